//! One strategy: open a sale, let the buyers go, wait until it is quiet, read, judge.
//!
//! We judge from what a stranger can read, the ledger, and what our own buyers heard. The service's
//! audit is then held against it, field by field: where two readers of one ledger disagree, at
//! least one of them is wrong, and the row proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sellout::audit::{self, Sums};
use sellout::wire::{
    Audit, Evidence, Guarantee, LedgerRow, NewSale, RunResult, SaleView, StrategyCard, Tally, Verdict,
};
use serde_json::Value;
use uuid::Uuid;

use crate::args::Args;
use crate::attack::{Ground, attack};
use crate::client::{Failure, Service};
use crate::cpu;
use crate::history::History;
use crate::plan::plan;
use crate::progress::Progress;
use crate::tally::Figures;

const SETTLE_LIMIT: Duration = Duration::from_secs(30);
const SETTLE_STEP: Duration = Duration::from_millis(50);
/// The ledger and the audit are two calls; something may happen between them once, not again and again.
const READ_TIMES: u32 = 3;

/// What all strategies of a run share.
pub struct Desk {
    /// The service.
    pub service: Service,
    /// What was asked for.
    pub args: Args,
    /// Units at opening.
    pub opening: i64,
    /// The run's name, in keys.
    pub run_id: String,
    /// The run's seed.
    pub seed: u64,
    /// The run's history.
    pub history: Arc<History>,
    /// The eye's part.
    pub progress: Progress,
    /// Was it said already that tallies are refused?
    pub tally_warned: AtomicBool,
}

/// A judged row, and whether the service went away meanwhile.
pub struct Outcome {
    /// The row.
    pub row: RunResult,
    /// Then no other strategy can be run.
    pub gone: bool,
}

impl Desk {
    /// Opens the sale of a strategy.
    pub async fn open(&self, card: &StrategyCard) -> Result<SaleView, Failure> {
        let sale = NewSale {
            name: format!("{}: {}", self.args.scenario.name(), card.id),
            units: self.opening,
            strategy: card.id.clone(),
            per_buyer_limit: self.args.limit(),
        };
        self.service.open_sale(&sale).await
    }

    /// Attacks an open sale and judges it. `position` counts strategies from 0. The error is a sentence.
    pub async fn run(&self, card: &StrategyCard, sale: Uuid, position: usize) -> Result<Outcome, String> {
        let ground = Arc::new(self.ground(sale, position));
        let cpu_before = self.args.service_pid.and_then(cpu::tree_us);
        let bar = self.progress.watch(&ground, position, &card.id);
        let attacked = attack(&ground, &self.args.host, self.args.buyers).await;
        bar.stop();
        attacked?;
        let settled = self.settle(sale).await;
        let cpu_after = self.args.service_pid.and_then(cpu::tree_us);

        let tally = ground.witness.tally(self.args.limit());
        let (judged, gone) = self.judge(card, sale, &tally, settled).await;
        let mut row = row(card, Some(sale), judged);
        let figures = ground.witness.figures();
        add_figures(&mut row, &tally, figures);
        row.service_cpu_us_per_attempt = cpu_before
            .zip(cpu_after)
            .filter(|_| tally.attempts > 0)
            .map(|(before, after)| (after - before) / tally.attempts as f64);
        Ok(Outcome { row, gone })
    }

    fn ground(&self, sale: Uuid, position: usize) -> Ground {
        let prefix = format!("{}-{position}-", self.run_id);
        let orders = plan(self.args.scenario, &self.args.crowd(), self.seed, &prefix);
        let first_op = position as u64 * self.args.attempts;
        let buyers = usize::try_from(self.args.buyers).unwrap_or(usize::MAX);
        Ground::new(self.service.clone(), sale, orders, buyers, Arc::clone(&self.history), first_op)
    }

    /// Waits until no order is under way. Past the limit the audit will say so itself.
    async fn settle(&self, sale: Uuid) -> Result<(), Failure> {
        let begun = Instant::now();
        while self.service.sale(sale).await?.live.in_flight > 0 && begun.elapsed() < SETTLE_LIMIT {
            tokio::time::sleep(SETTLE_STEP).await;
        }
        Ok(())
    }

    async fn judge(
        &self,
        card: &StrategyCard,
        sale: Uuid,
        tally: &Tally,
        settled: Result<(), Failure>,
    ) -> (Judged, bool) {
        let taken = match settled {
            Ok(()) => self.hand_in(sale, tally).await,
            Err(failure) => Err(failure),
        };
        let gone = |failure: &Failure| matches!(failure, Failure::Unreachable(_));
        let taken = match taken {
            Ok(taken) => taken,
            Err(failure) => {
                return (Judged::unread(self.opening, "sale", &failure), gone(&failure));
            }
        };
        let mut last = None;
        for _ in 0..READ_TIMES {
            let read = (self.service.ledger(sale).await, self.service.audit(sale).await);
            let (ledger, audit) = match read {
                (Ok(ledger), Ok(audit)) => (ledger, audit),
                (Err(failure), _) => {
                    return (Judged::unread(self.opening, "ledger", &failure), gone(&failure));
                }
                (_, Err(failure)) => {
                    return (Judged::unread(self.opening, "audit", &failure), gone(&failure));
                }
            };
            let case = Case { card, opening: self.opening, limit: self.args.limit(), tally, taken };
            let judged = case.judge(&ledger, &audit);
            if !judged.disputed {
                return (judged, false);
            }
            last = Some(judged);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        (last.unwrap_or_else(|| Judged::skipped(self.opening, String::new())), false)
    }

    /// Gives the service what the buyers heard. `false`: it takes none (lab mode is off).
    async fn hand_in(&self, sale: Uuid, tally: &Tally) -> Result<bool, Failure> {
        match self.service.put_tally(sale, tally).await {
            Ok(()) => Ok(true),
            Err(Failure::Refused(status, said)) => {
                if !self.tally_warned.swap(true, Ordering::Relaxed) {
                    eprintln!(
                        "sellout-load: the service takes no tally ({status}: {said}); judged by our own count alone."
                    );
                }
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What one sale is judged by, besides its ledger.
struct Case<'a> {
    card: &'a StrategyCard,
    opening: i64,
    limit: Option<i64>,
    tally: &'a Tally,
    /// Does the service know the tally?
    taken: bool,
}

/// A judgement.
pub struct Judged {
    verdict: Verdict,
    reason: String,
    evidence: Evidence,
    disputed: bool,
}

impl Case<'_> {
    fn judge(&self, ledger: &[LedgerRow], audit: &Audit) -> Judged {
        let mut sums = audit::from_history(self.opening, self.limit, ledger, self.tally);
        // Movements are the service's own books: only it sees whether they balance.
        sums.unbalanced = audit.evidence.unbalanced;
        let ours = audit::weigh(sums.clone(), audit.evidence.left, audit.evidence.in_flight);
        let comparable = if self.taken {
            ours.clone()
        } else {
            audit::weigh(Sums { told: None, ..sums }, audit.evidence.left, audit.evidence.in_flight)
        };
        let (verdict, reason) = audit::judge(self.card.guarantee, &ours);
        let disputed = differences(&comparable, &audit.evidence);
        if disputed.is_empty() || self.card.guarantee == Guarantee::Control {
            return Judged { verdict, reason, evidence: ours, disputed: false };
        }
        let reason = format!("The two readers of the ledger disagree: {}.", disputed.join(", "));
        Judged { verdict: Verdict::Invalid, reason, evidence: ours, disputed: true }
    }
}

impl Judged {
    /// A strategy that was not run.
    pub fn skipped(opening: i64, reason: String) -> Self {
        let evidence = Evidence { opened: opening, ..Evidence::default() };
        Judged { verdict: Verdict::Skipped, reason, evidence, disputed: false }
    }

    /// A strategy that was run and cannot be judged.
    fn unread(opening: i64, what: &str, failure: &Failure) -> Self {
        let reason = format!("The {what} could not be read after the run ({failure}).");
        Judged { verdict: Verdict::Invalid, ..Judged::skipped(opening, reason) }
    }
}

/// Field by field, whatever fields there are.
fn differences(ours: &Evidence, theirs: &Evidence) -> Vec<String> {
    let (Ok(Value::Object(ours)), Ok(Value::Object(theirs))) =
        (serde_json::to_value(ours), serde_json::to_value(theirs))
    else {
        return vec!["the evidence has no fields".into()];
    };
    ours.iter()
        .filter(|(name, value)| theirs.get(*name) != Some(*value))
        .map(|(name, value)| {
            format!(
                "{name} is {value} by our count and {} by the service's",
                theirs.get(name).unwrap_or(&Value::Null)
            )
        })
        .collect()
}

/// The row of a judged or skipped strategy; figures are added where there are some.
pub fn row(card: &StrategyCard, sale_id: Option<Uuid>, judged: Judged) -> RunResult {
    RunResult {
        strategy: card.id.clone(),
        declared: card.guarantee,
        verdict: judged.verdict,
        reason: judged.reason,
        as_declared: audit::as_declared(card.guarantee, judged.verdict),
        sale_id,
        evidence: judged.evidence,
        attempts: 0,
        answers: Default::default(),
        seconds: 0.0,
        accepted_per_s: 0.0,
        rejected_per_s: 0.0,
        latency_us: Default::default(),
        peak_in_flight: 0,
        service_cpu_us_per_attempt: None,
    }
}

fn add_figures(row: &mut RunResult, tally: &Tally, figures: Figures) {
    row.attempts = tally.attempts;
    row.answers = tally.answers;
    row.peak_in_flight = tally.peak_in_flight;
    row.seconds = figures.seconds;
    row.accepted_per_s = figures.accepted_per_s;
    row.rejected_per_s = figures.rejected_per_s;
    row.latency_us = figures.latency_us;
}
