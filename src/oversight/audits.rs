//! Audits of sales that are open, and what the last one of each said.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Oversight;
use crate::audit;
use crate::checkout::OpenSale;
use crate::sale::Error;
use crate::wire::{Audit, Evidence, LiveAudit, Verdict};

/// Audits that are remembered. Sales that were audited longest ago are forgotten first.
const JUDGED_MAX: usize = 1_000;

/// What is remembered of an audit.
#[derive(Clone)]
pub(super) struct Judged {
    pub(super) at: Instant,
    pub(super) verdict: Verdict,
    pub(super) evidence: Evidence,
}

impl Oversight {
    /// Counts orders against the opening stock, and remembers what came of it; `None`: there is no such sale.
    /// Final when `in_flight` is 0.
    pub async fn audit(&self, open: &Arc<OpenSale>) -> Result<Option<Audit>, Error> {
        let checkout = &self.checkout;
        let answered = open.live().answered;
        // Before the ledger is read: what is under way now may or may not be in the sums.
        let in_flight = open.live().in_flight + checkout.pending(open).await.unwrap_or(0);
        // The judge does not depend on the accused: a counter that cannot be asked is unknown, not a refusal.
        let left = checkout.left(open).await.ok().flatten();
        let (id, pool) = (open.sale.id, checkout.backends().pg_reads.clone());
        let limit = checkout.backends().limits.audit_deadline();
        let counted = checkout.read_within(limit, async move {
            audit::read(&pool, id, limit).await.map_err(|e| Error::Unavailable(e.to_string()))
        });
        let Some((sums, offenders)) = counted.await? else { return Ok(None) };
        let evidence = audit::weigh(sums, left, in_flight);
        let declared = open.spec.guarantee;
        let (verdict, reason) = audit::judge(declared, open.spec.oversells_in, &evidence);
        let still =
            in_flight == 0 && open.live().answered == answered && self.counter_stands(open, &evidence).await;
        self.remember(open, lasting(evidence.clone(), still));
        let strategy = open.sale.strategy.clone();
        Ok(Some(Audit { sale_id: id, strategy, declared, verdict, reason, evidence, offenders }))
    }

    /// Does the counter say the same once more? Asked only where it differs from the ledger: another process
    /// may have sold between the two looks.
    async fn counter_stands(&self, open: &Arc<OpenSale>, evidence: &Evidence) -> bool {
        let agrees = evidence.drift.unwrap_or(0) == 0;
        agrees || self.checkout.left(open).await.ok().flatten() == evidence.left
    }

    fn remember(&self, open: &OpenSale, evidence: Evidence) {
        let (id, declared) = (open.sale.id, open.spec.guarantee);
        let (verdict, reason) = audit::judge(declared, open.spec.oversells_in, &evidence);
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = judged.get(&id).is_some_and(|judged| judged.verdict == verdict);
        if !known && !audit::as_declared(declared, verdict) {
            tracing::error!(sale.id = %id, verdict = verdict.word(), "audit: {reason}");
        }
        if judged.len() >= JUDGED_MAX {
            let oldest = judged.iter().min_by_key(|(_, judged)| judged.at).map(|(id, _)| *id);
            if let Some(id) = oldest {
                judged.remove(&id);
            }
        }
        judged.insert(id, Judged { at: Instant::now(), verdict, evidence });
    }

    pub(super) fn judged(&self, sale: Uuid) -> Option<Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).get(&sale).cloned()
    }

    pub(super) fn last_audit(&self, sale: Uuid) -> Option<LiveAudit> {
        let judged = self.judged(sale)?;
        Some(LiveAudit { verdict: judged.verdict, age_s: judged.at.elapsed().as_secs() })
    }

    /// Is there something to audit: is it open, or over since its last audit?
    pub(super) fn is_due(&self, open: &OpenSale) -> bool {
        let hours = &open.sale.hours;
        let ended =
            || hours.read.checked_add(Duration::from_millis(u64::try_from(hours.closes_in_ms?).ok()?));
        let over = || {
            ended()
                .zip(self.judged(open.sale.id))
                .is_some_and(|(end, last)| last.at < end && end.elapsed() > Duration::ZERO)
        };
        hours.check().is_ok() || over()
    }

    /// Since the last audit of a sale; before the first one, since this process began.
    pub(super) fn audit_age(&self, judged: Option<&Judged>) -> Duration {
        judged.map_or(self.since, |judged| judged.at).elapsed()
    }
}

/// What stays true though somebody bought meanwhile: the ledger's side is of one moment, the counter was read
/// at another, and the two can only be compared while nothing moves.
fn lasting(evidence: Evidence, still: bool) -> Evidence {
    if still {
        return evidence;
    }
    Evidence { in_flight: 0, left: None, drift: None, stranded: 0, ..evidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Guarantee;

    #[test]
    fn a_counter_that_was_read_at_another_moment_accuses_nobody_and_the_ledger_still_does() {
        let moving = Evidence {
            opened: 10,
            sold: 4,
            left: Some(7),
            drift: Some(1),
            in_flight: 3,
            ..Default::default()
        };
        let judge = |e: &Evidence| audit::judge(Guarantee::Exact, None, e).0;
        assert_eq!(judge(&lasting(moving.clone(), true)), Verdict::Invalid);
        assert_eq!(judge(&lasting(moving.clone(), false)), Verdict::NotExercised);
        let sold = Evidence { sold: 11, oversold: 1, ..moving };
        assert_eq!(judge(&lasting(sold, false)), Verdict::Oversold);
    }
}
