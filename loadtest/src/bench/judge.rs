//! The verdict on a run: the service's audit of every sale, with the clients' tally as second witness.

use sellout::audit;
use sellout::wire::{Audit, Verdict};
use uuid::Uuid;

use crate::api::Api;
use crate::heard::Heard;
use crate::sum::sum;

/// A judgement.
#[derive(Debug, PartialEq)]
pub struct Judged {
    /// The word; none where there is nothing to be judged.
    pub verdict: Option<Verdict>,
    /// The sentence.
    pub reason: String,
    /// Orders in the ledger.
    pub orders: u64,
}

/// Hands in what was told, waits until nothing is under way, and asks.
pub async fn judge(api: &Api, sales: &[Uuid], heard: &Heard) -> Result<Judged, String> {
    let audits = api.audits(sales, heard.tallies()).await?;
    let orders = audits.iter().map(|audit| audit.evidence.orders.unsigned_abs()).sum();
    Ok(Judged { orders, ..together(&audits, heard.peak()) })
}

/// One sale speaks for itself. Of many, each must be clean; that there was contention is asked of all of
/// them together, since a thousand sales cannot each have eight orders under way.
pub fn together(audits: &[Audit], peak: u64) -> Judged {
    if let [audit] = audits {
        return Judged { verdict: Some(audit.verdict), reason: audit.reason.clone(), orders: 0 };
    }
    let clean = |audit: &&Audit| matches!(audit.verdict, Verdict::Held | Verdict::NotExercised);
    if let Some(audit) = audits.iter().find(|audit| !clean(audit)) {
        return Judged { verdict: Some(audit.verdict), reason: audit.reason.clone(), orders: 0 };
    }
    let Some(first) = audits.first() else {
        return Judged { verdict: Some(Verdict::Invalid), reason: "There was no sale.".into(), orders: 0 };
    };
    let mut all = audits.iter().map(|audit| audit.evidence.clone()).reduce(sum).unwrap_or_default();
    if let Some(clients) = &mut all.clients {
        clients.peak_in_flight = peak;
    }
    let (verdict, reason) = audit::judge(first.declared, None, &all);
    Judged { verdict: Some(verdict), reason: format!("{} sales together: {reason}", audits.len()), orders: 0 }
}

#[cfg(test)]
mod tests {
    use sellout::wire::{Answers, Clients, Evidence, Guarantee};

    use super::*;

    fn of(sold: i64, opened: i64, verdict: Verdict) -> Audit {
        let answers = Answers { sold: sold.unsigned_abs(), ..Answers::default() };
        let attempts = sold.unsigned_abs();
        let clients = Clients { attempts, answers, peak_in_flight: 1, demand_units: sold };
        let evidence = Evidence { opened, sold, clients: Some(clients), ..Evidence::default() };
        Audit {
            sale_id: Uuid::nil(),
            strategy: "x".into(),
            declared: Guarantee::Exact,
            verdict,
            reason: "so".into(),
            evidence,
            offenders: vec![],
        }
    }

    #[test]
    fn one_sale_speaks_for_itself() {
        let judged = together(&[of(5, 9, Verdict::Lost)], 256);
        assert_eq!(judged, Judged { verdict: Some(Verdict::Lost), reason: "so".into(), orders: 0 });
    }

    #[test]
    fn many_quiet_sales_are_contention_together() {
        let quiet = vec![of(5, 9, Verdict::NotExercised); 20];
        assert_eq!(together(&quiet, 256).verdict, Some(Verdict::Held));
        assert_eq!(together(&quiet, 3).verdict, Some(Verdict::NotExercised));
    }

    #[test]
    fn one_foul_sale_among_many_is_the_verdict() {
        let mut sales = vec![of(5, 9, Verdict::Held); 20];
        sales[13].verdict = Verdict::Oversold;
        assert_eq!(together(&sales, 256).verdict, Some(Verdict::Oversold));
        assert_eq!(together(&[], 256).verdict, Some(Verdict::Invalid));
    }
}
