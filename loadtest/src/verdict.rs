//! The second judgement, made from what a stranger can read: the downloaded ledger and what our own
//! buyers heard. The service's audit is then held against it, field by field. Where two readers of
//! one ledger disagree, at least one of them is wrong, and the row proves nothing.

use std::collections::HashSet;

use sellout::audit::{self, Sums};
use sellout::wire::{Audit, Evidence, Guarantee, LedgerRow, Tally, Verdict};
use serde_json::Value;
use uuid::Uuid;

use crate::client::Failure;

/// What one sale is judged by, besides its ledger.
pub struct Case<'a> {
    /// What its strategy claims.
    pub declared: Guarantee,
    /// `rush`, or the fault that it needs to oversell.
    pub oversells_in: Option<&'a str>,
    /// Units at opening.
    pub opening: i64,
    /// Most units per buyer.
    pub limit: Option<i64>,
    /// What the buyers heard.
    pub tally: &'a Tally,
    /// Does the service know the tally?
    pub taken: bool,
}

/// A judgement.
pub struct Judged {
    /// The word.
    pub verdict: Verdict,
    /// The sentence.
    pub reason: String,
    /// What it rests on.
    pub evidence: Evidence,
    /// Do the two readers disagree?
    pub disputed: bool,
}

impl Case<'_> {
    /// Judges by our own count, and asks whether the service counted the same.
    pub fn judge(&self, ledger: &[LedgerRow], audit: &Audit) -> Judged {
        let sums = self.sums(ledger, audit.evidence.unbalanced);
        let (left, in_flight) = (audit.evidence.left, audit.evidence.in_flight);
        let ours = audit::weigh(sums.clone(), left, in_flight);
        let comparable = match self.taken {
            true => ours.clone(),
            false => audit::weigh(Sums { told: None, ..sums }, left, in_flight),
        };
        let (verdict, reason) =
            self.only_held(ledger).unwrap_or_else(|| audit::judge(self.declared, self.oversells_in, &ours));
        let disputed = differences(&comparable, &audit.evidence);
        if disputed.is_empty() || self.declared == Guarantee::Control {
            return Judged { verdict, reason, evidence: ours, disputed: false };
        }
        let reason = format!("The two readers of the ledger disagree: {}.", disputed.join(", "));
        Judged { verdict: Verdict::Invalid, reason, evidence: ours, disputed: true }
    }

    /// Without the service's audit nothing is settled, but our own count is worth a sentence.
    pub fn judge_alone(&self, ledger: &[LedgerRow], failure: &Failure) -> Judged {
        let evidence = audit::weigh(self.sums(ledger, 0), None, 0);
        let (_, ours) = audit::judge(self.declared, self.oversells_in, &evidence);
        let reason = format!("The audit could not be read ({failure}). By our own count: {ours}");
        Judged { verdict: Verdict::Invalid, reason, evidence, disputed: false }
    }

    /// Nothing could be read: all that is known is what the buyers heard.
    pub fn unread(&self, reason: String) -> Judged {
        let told = self.tally.told_yes.iter().map(|yes| (yes.key.as_str(), yes.quantity));
        let told: std::collections::HashMap<&str, i64> = told.collect();
        let evidence = Evidence {
            told_yes: Some(told.values().sum()),
            unknown: i64::try_from(self.tally.unknown_keys.len()).ok(),
            ..Judged::skipped(self.opening, String::new()).evidence
        };
        Judged { verdict: Verdict::Invalid, reason, evidence, disputed: false }
    }

    /// To the audit a held order has its units, and that is all it asks. Our buyers know more: who was told
    /// yes has paid, so an order that is only held when all is quiet has forgotten his payment.
    fn only_held(&self, ledger: &[LedgerRow]) -> Option<(Verdict, String)> {
        let yes: HashSet<Uuid> = self.tally.told_yes.iter().map(|told| told.order_id).collect();
        let held = ledger.iter().filter(|row| row.state == "held" && yes.contains(&row.order_id)).count();
        let said = || format!("{held} orders were told yes, and the ledger only holds units for them.");
        (held > 0).then(|| (Verdict::Lost, said()))
    }

    /// Movements are the service's own books: only it sees whether they balance.
    fn sums(&self, ledger: &[LedgerRow], unbalanced: i64) -> Sums {
        Sums { unbalanced, ..audit::from_history(self.opening, self.limit, ledger, self.tally) }
    }
}

impl Judged {
    /// A strategy that was not run.
    pub fn skipped(opening: i64, reason: String) -> Self {
        let evidence = Evidence { opened: opening, ..Evidence::default() };
        Judged { verdict: Verdict::Skipped, reason, evidence, disputed: false }
    }
}

/// Field by field, whatever fields there are, and inside the clients' sums too.
fn differences(ours: &Evidence, theirs: &Evidence) -> Vec<String> {
    let (Ok(Value::Object(ours)), Ok(Value::Object(theirs))) =
        (serde_json::to_value(ours), serde_json::to_value(theirs))
    else {
        return vec!["the evidence has no fields".into()];
    };
    let said = |name: &str| theirs.get(name).cloned().unwrap_or(Value::Null);
    ours.iter()
        .filter(|(name, value)| said(name) != **value)
        .map(|(name, value)| format!("{name} is {value} by our count and {} by the service's", said(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use sellout::wire::{Answers, ToldYes};

    use super::*;

    fn id(n: i64) -> Uuid {
        Uuid::from_u64_pair(1, n.unsigned_abs())
    }

    fn ledger(orders: i64) -> Vec<LedgerRow> {
        let row = |n| LedgerRow {
            order_id: id(n),
            key: format!("k{n}"),
            buyer_id: format!("b{n}"),
            quantity: 1,
            state: "confirmed".into(),
        };
        (0..orders).map(row).collect()
    }

    /// 20 attempts for 5 units, `yes` of them told yes.
    fn tally(yes: i64) -> Tally {
        let told =
            |n| ToldYes { key: format!("k{n}"), order_id: id(n), buyer_id: format!("b{n}"), quantity: 1 };
        let sold = yes.unsigned_abs();
        Tally {
            attempts: 20,
            answers: Answers { sold, sold_out: 20 - sold, ..Answers::default() },
            peak_in_flight: 20,
            demand_units: 20,
            sold_out_quantity_min: Some(1),
            told_yes: (0..yes).map(told).collect(),
            unknown_keys: vec![],
        }
    }

    fn audit(evidence: Evidence) -> Audit {
        Audit {
            sale_id: id(0),
            strategy: "a".into(),
            declared: Guarantee::Exact,
            verdict: Verdict::Held,
            reason: String::new(),
            evidence,
            offenders: vec![],
        }
    }

    /// What an honest service says of it.
    fn honest(sums: Sums) -> Audit {
        audit(audit::weigh(sums, Some(0), 0))
    }

    fn case(tally: &Tally, taken: bool) -> Case<'_> {
        Case { declared: Guarantee::Exact, oversells_in: None, opening: 5, limit: None, tally, taken }
    }

    #[test]
    fn two_readers_that_agree_give_our_verdict() {
        let (rows, tally) = (ledger(5), tally(5));
        let theirs = honest(audit::from_history(5, None, &rows, &tally));
        assert_eq!(case(&tally, true).judge(&rows, &theirs).verdict, Verdict::Held);
    }

    #[test]
    fn a_payment_that_the_ledger_forgot_is_lost_though_the_units_are_still_held() {
        let (mut rows, tally) = (ledger(5), tally(5));
        rows[2].state = "held".into();
        let theirs = honest(audit::from_history(5, None, &rows, &tally));
        assert_eq!(theirs.evidence.lost, Some(0));
        assert_eq!(case(&tally, true).judge(&rows, &theirs).verdict, Verdict::Lost);
    }

    #[test]
    fn a_service_that_miscounts_is_found_out_and_named() {
        let (rows, tally) = (ledger(7), tally(7));
        let lie = honest(audit::from_history(5, None, &rows[..5], &tally));
        let judged = case(&tally, true).judge(&rows, &lie);
        assert_eq!((judged.verdict, judged.disputed), (Verdict::Invalid, true));
        assert!(judged.reason.contains("sold is 7 by our count and 5 by the service's"), "{}", judged.reason);
    }

    #[test]
    fn what_only_the_service_sees_is_taken_over_and_judged() {
        let (rows, tally) = (ledger(5), tally(5));
        let sums = Sums { unbalanced: 3, ..audit::from_history(5, None, &rows, &tally) };
        assert_eq!(case(&tally, true).judge(&rows, &honest(sums)).verdict, Verdict::Inconsistent);
    }

    #[test]
    fn a_refused_tally_leaves_us_our_own_evidence() {
        let (rows, tally) = (ledger(4), tally(5));
        let sums = Sums { told: None, ..audit::from_history(5, None, &rows, &tally) };
        let judged = case(&tally, false).judge(&rows, &honest(sums));
        assert_eq!((judged.verdict, judged.evidence.lost), (Verdict::Lost, Some(1)));
    }

    #[test]
    fn without_an_audit_the_row_is_invalid_and_still_says_what_we_counted() {
        let (rows, tally) = (ledger(7), tally(7));
        let judged = case(&tally, true).judge_alone(&rows, &Failure::Senseless("x".into()));
        assert_eq!(judged.verdict, Verdict::Invalid);
        assert!(judged.reason.contains("Sold 7 of 5 units"), "{}", judged.reason);
    }
}
