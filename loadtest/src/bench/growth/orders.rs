//! What an order costs when millions are in the ledger already: to sell one, to sell a thousand at once, to
//! audit a sale, to come back after a restart; and how much room they take.

use std::time::Instant;

use sellout::wire::{Audit, Verdict};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fill::Fill;
use super::options::filled;
use super::servers::{Counters, Relation};
use super::{Run, rebuild};
use crate::outcome::Outcome;

/// Orders of the sale whose audit is to be quick whatever else is in the ledger.
const SMALL: u64 = 100;
/// The most that a sale may have.
pub const UNITS: i64 = 1_000_000_000;

/// What a ledger of that size does to everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Orders that were filled in by the thousand, into one sale.
    pub filled: u64,
    /// All orders in the ledger as the timed runs begin.
    pub orders: u64,
    /// How the last of them were filled in.
    pub fill: Option<Fill>,
    /// What PostgreSQL did for that.
    pub fill_counters: Counters,
    /// One order per request on a fresh sale.
    pub group_commit: Outcome,
    /// The same.
    pub atomic_update: Outcome,
    /// What PostgreSQL did for both.
    pub counters: Counters,
    /// The audit of a sale of a hundred orders.
    pub small_audit: Asked,
    /// The audit of the sale that was filled.
    pub big_audit: Asked,
    /// The service ends and comes back.
    pub restart: Restart,
    /// Room on disk, before the timed runs.
    pub sizes: Vec<Relation>,
}

/// An audit that was asked for once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// How long it took.
    pub seconds: f64,
    /// What was answered.
    pub status: u16,
    /// What it found.
    pub verdict: Option<Verdict>,
    /// Orders that it counted.
    pub orders: Option<i64>,
    /// Why there is no audit.
    pub refused: Option<String>,
}

/// Seconds of a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// SIGTERM to the end of the old process.
    pub stop: f64,
    /// Start of the new one until it listens.
    pub listen: f64,
    /// From there to the first order sold of the sale that was filled.
    pub big: f64,
    /// From there to the first order sold of a sale that Redis keeps.
    pub stored: Option<f64>,
}

impl Restart {
    /// All of it, for the sale that was filled.
    pub fn seconds(&self) -> f64 {
        self.stop + self.listen + self.big
    }
}

/// All steps, and then the sale that Redis forgets.
pub async fn grow(run: &mut Run) -> Result<(), String> {
    let (steps, units) = (run.options.orders(), UNITS);
    let big = run.stage.api()?.open("group_commit", units).await?;
    let stored = match run.stage.servers.redis_url {
        Some(_) => Some(run.stage.api()?.open("redis_lua", units).await?),
        None => None,
    };
    for (filled, more) in steps.iter().zip(filled(&steps)) {
        let step = step(run, (big, stored), *filled, more).await?;
        let rate =
            |outcome: &Outcome| outcome.per_s.map_or(outcome.reason.clone(), |rate| format!("{rate:.0}/s"));
        let words = format!(
            "{} orders: group_commit {}, atomic_update {}, audit {:.2} s ({}), restart {:.2} s",
            step.orders,
            rate(&step.group_commit),
            rate(&step.atomic_update),
            step.big_audit.seconds,
            step.big_audit.status,
            step.restart.seconds()
        );
        run.part.orders.push(step);
        run.step(run.options.fill_work(more), &words)?;
    }
    if stored.is_some() { rebuild::grow(run).await } else { Ok(()) }
}

async fn step(
    run: &mut Run,
    (big, stored): (Uuid, Option<Uuid>),
    filled: u64,
    more: u64,
) -> Result<Step, String> {
    let empty = run.stage.servers.counters().await?;
    let fill = if more > 0 { Some(run.fill(big, more).await?) } else { None };
    let full = run.stage.servers.counters().await?;
    let sizes = run.stage.servers.sizes().await?;
    let group_commit = run.fresh("group_commit").await?;
    let atomic_update = run.fresh("atomic_update").await?;
    let counters = run.stage.servers.counters().await?.since(full);
    let small = run.stage.api()?.open("group_commit", 1_000).await?;
    run.fill(small, SMALL).await?;
    let small_audit = run.audit(small).await?;
    let big_audit = run.audit(big).await?;
    let restart = run.restart(big, stored).await?;
    let (orders, fill_counters) = (full.orders, full.since(empty));
    Ok(Step {
        filled,
        orders,
        fill,
        fill_counters,
        group_commit,
        atomic_update,
        counters,
        small_audit,
        big_audit,
        restart,
        sizes,
    })
}

impl Run {
    async fn audit(&self, sale: Uuid) -> Result<Asked, String> {
        let begun = Instant::now();
        let (status, said) = self.stage.api()?.audit_once(sale).await?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(match serde_json::from_str::<Audit>(&said) {
            Ok(audit) => {
                let orders = Some(audit.evidence.orders);
                Asked { seconds, status, verdict: Some(audit.verdict), orders, refused: None }
            }
            Err(_) => Asked { seconds, status, refused: Some(said), ..Asked::default() },
        })
    }

    /// Ends the service and starts it anew, until both sales sell.
    pub async fn restart(&mut self, big: Uuid, stored: Option<Uuid>) -> Result<Restart, String> {
        let stop = self.stage.stop().await?.as_secs_f64();
        let listen = self.stage.start(&[]).await?.as_secs_f64();
        let big = self.first_sold(big).await?;
        let stored = match stored {
            Some(sale) => Some(self.first_sold(sale).await?),
            None => None,
        };
        Ok(Restart { stop, listen, big, stored })
    }
}
