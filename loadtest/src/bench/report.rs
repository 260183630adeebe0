//! What the rounds come to: medians, and ratios that were taken within each round before the median.

use std::collections::BTreeMap;

use sellout::wire::{Environment, Latency, Verdict};
use serde::{Deserialize, Serialize};

use crate::outcome::{Client, Kind, Outcome};
use crate::plan::Plan;
use crate::round::Kept;
use crate::targets::{self, Target};

/// Version of [`Report`]; raised when a field changes its meaning.
const SCHEMA_VERSION: u32 = 1;
/// More cores than this at work for others mark a run as disturbed.
pub const DISTURBED_CORES: f64 = 0.3;

/// All of it: the file of `--json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of this shape.
    pub schema_version: u32,
    /// When the first round began.
    pub started_at: String,
    /// Where.
    pub environment: Environment,
    /// Rounds that were finished.
    pub rounds: u32,
    /// What was meant to be run.
    pub plan: Plan,
    /// Who was left out, and why.
    pub left_out: Vec<String>,
    /// What must be reached.
    pub targets: Vec<Target>,
    /// Work of others, round by round.
    pub disturbed: Vec<Disturbed>,
    /// Orders that the ledger of each round held at its end; every round begins with an empty one.
    pub ledger_orders: Vec<u64>,
    /// Rows per second that PostgreSQL inserted a thousand per statement, with nothing around them.
    pub insert_limit: Option<f64>,
    /// One row per contestant and kind of run.
    pub contestants: Vec<Row>,
}

/// Work of others in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disturbed {
    /// Which round.
    pub round: u32,
    /// Cores at work for others, on average over its runs.
    pub foreign_cores: f64,
    /// Cores that the host took away.
    pub stolen_cores: f64,
    /// Runs with more of both than [`DISTURBED_CORES`].
    pub runs: usize,
    /// Of how many.
    pub of: usize,
}

/// CPU time per order in microseconds, medians.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuPerOrder {
    /// All of it.
    pub total: Option<f64>,
    /// The service.
    pub service: Option<f64>,
    /// PostgreSQL.
    pub postgres: Option<f64>,
    /// Redis.
    pub redis: Option<f64>,
    /// The client.
    pub load: Option<f64>,
}

/// One contestant in one kind of run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The contestant.
    pub strategy: String,
    /// What was timed.
    pub kind: Kind,
    /// Who sent.
    pub client: Client,
    /// Connections.
    pub concurrency: usize,
    /// Sales.
    pub items: usize,
    /// Orders of this kind per second; `null` unless every round's audit said HELD.
    pub per_s: Option<f64>,
    /// Of bare in the same round and kind.
    pub ratio_to_bare: Option<f64>,
    /// Of atomic_update in the same round and kind.
    pub ratio_to_atomic_update: Option<f64>,
    /// Median, of the sold (of the refused where that is the kind).
    pub p50_us: Option<f64>,
    /// 99th percentile of the same.
    pub p99_us: Option<f64>,
    /// CPU time.
    pub cpu_us_per_order: CpuPerOrder,
    /// The worst of the rounds; `null` for bare, which sells nothing.
    pub verdict: Option<Verdict>,
    /// Its sentence.
    pub reason: String,
    /// Rounds in which others worked beside it.
    pub disturbed: usize,
    /// Each round as it was.
    pub runs: Vec<Outcome>,
}

impl Outcome {
    /// Did others work beside it?
    pub fn disturbed(&self) -> bool {
        self.foreign_cores.unwrap_or(0.0) + self.stolen_cores.unwrap_or(0.0) > DISTURBED_CORES
    }

    /// Latency of what its kind is about.
    pub fn latency(&self) -> Option<&Latency> {
        self.latency_us.get(if self.kind == Kind::Rejected { "sold_out" } else { "sold" })
    }

    /// CPU time of all processes per order; nothing where the service's or the client's is not known.
    pub fn cpu_per_order(&self) -> Option<f64> {
        let cpu = &self.cpu_us;
        let all = cpu.service? + cpu.load? + cpu.postgres.unwrap_or(0.0) + cpu.redis.unwrap_or(0.0);
        self.each(Some(all))
    }

    fn each(&self, us: Option<f64>) -> Option<f64> {
        let orders = self.orders();
        us.filter(|_| self.stands() && orders > 0).map(|us| us / orders as f64)
    }
}

impl Report {
    /// Puts the rounds together. The error is a sentence.
    pub fn new(kept: &[Kept]) -> Result<Report, String> {
        let first = kept.first().ok_or("no round was finished")?;
        let contestants = rows(kept.iter().flat_map(|round| round.outcomes.iter().cloned()));
        let insert_limit = median(kept.iter().filter_map(|round| round.insert_limit).collect());
        Ok(Report {
            schema_version: SCHEMA_VERSION,
            started_at: first.started_at.clone(),
            environment: first.environment.clone(),
            rounds: u32::try_from(kept.len()).unwrap_or(u32::MAX),
            plan: first.plan.clone(),
            left_out: first.left_out.clone(),
            targets: targets::all(&contestants, insert_limit),
            disturbed: kept.iter().map(|round| disturbance(&round.outcomes)).collect(),
            ledger_orders: kept.iter().map(|r| r.outcomes.iter().map(|o| o.ledger_orders).sum()).collect(),
            insert_limit,
            contestants,
        })
    }
}

/// The raw client's row.
pub fn find<'a>(
    rows: &'a [Row],
    strategy: &str,
    kind: Kind,
    concurrency: usize,
    items: usize,
) -> Option<&'a Row> {
    rows.iter().find(|row| {
        (row.strategy.as_str(), row.kind, row.concurrency, row.items) == (strategy, kind, concurrency, items)
            && row.client == Client::Raw
    })
}

fn rows(outcomes: impl Iterator<Item = Outcome>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut places: BTreeMap<_, usize> = BTreeMap::new();
    for outcome in outcomes {
        let Outcome { strategy, kind, client, concurrency, items, .. } = &outcome;
        let key = (strategy.clone(), *kind, *client, *concurrency, *items);
        let place = *places.entry(key).or_insert(rows.len());
        if place == rows.len() {
            rows.push(blank(&outcome));
        }
        rows[place].runs.push(outcome);
    }
    rows.iter_mut().for_each(Row::sum);
    let against = |name: &str, row: &Row| {
        let other = find(&rows, name, row.kind, row.concurrency, row.items)?;
        (row.client == Client::Raw).then(|| per_round(row, other, |run| run.per_s))?
    };
    let ratios: Vec<_> =
        rows.iter().map(|row| (against("bare", row), against("atomic_update", row))).collect();
    for (row, (bare, atomic_update)) in rows.iter_mut().zip(ratios) {
        (row.ratio_to_bare, row.ratio_to_atomic_update) = (bare, atomic_update);
    }
    rows
}

impl Row {
    /// Medians of its runs, or none where one of them was not HELD.
    fn sum(&mut self) {
        self.disturbed = self.runs.iter().filter(|run| run.disturbed()).count();
        let foul = self.runs.iter().find(|run| !run.stands());
        if let Some(run) = foul.or(self.runs.first()) {
            (self.verdict, self.reason) = (run.verdict, run.reason.clone());
        }
        if foul.is_some() {
            return;
        }
        let of =
            |value: &dyn Fn(&Outcome) -> Option<f64>| median(self.runs.iter().filter_map(value).collect());
        let each = |part: fn(&Outcome) -> Option<f64>| of(&|run| run.each(part(run)));
        self.per_s = of(&|run| run.per_s);
        self.p50_us = of(&|run| run.latency().map(|l| l.p50 as f64));
        self.p99_us = of(&|run| run.latency().map(|l| l.p99 as f64));
        self.cpu_us_per_order = CpuPerOrder {
            total: of(&Outcome::cpu_per_order),
            service: each(|run| run.cpu_us.service),
            postgres: each(|run| run.cpu_us.postgres),
            redis: each(|run| run.cpu_us.redis),
            load: each(|run| run.cpu_us.load),
        };
    }
}

/// The median over the rounds of what one had of the other in the same round.
pub fn per_round(row: &Row, other: &Row, value: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
    // A rate that may not be printed may not be guessed from a ratio either.
    (row.per_s.is_some() && other.per_s.is_some()).then_some(())?;
    let ratio = |run: &Outcome| {
        let same = other.runs.iter().find(|other| other.round == run.round)?;
        Some(value(run)? / value(same).filter(|value| *value > 0.0)?)
    };
    median(row.runs.iter().filter_map(ratio).collect())
}

/// The middle one; between the two in the middle where they are even.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().checked_sub(1)? / 2);
    Some(f64::midpoint(values[lower], values[upper]))
}

fn disturbance(outcomes: &[Outcome]) -> Disturbed {
    let mean = |part: fn(&Outcome) -> Option<f64>| {
        let values: Vec<f64> = outcomes.iter().filter_map(part).collect();
        if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
    };
    Disturbed {
        round: outcomes.first().map_or(0, |run| run.round),
        foreign_cores: mean(|run| run.foreign_cores),
        stolen_cores: mean(|run| run.stolen_cores),
        runs: outcomes.iter().filter(|run| run.disturbed()).count(),
        of: outcomes.len(),
    }
}

fn blank(of: &Outcome) -> Row {
    Row {
        strategy: of.strategy.clone(),
        kind: of.kind,
        client: of.client,
        concurrency: of.concurrency,
        items: of.items,
        per_s: None,
        ratio_to_bare: None,
        ratio_to_atomic_update: None,
        p50_us: None,
        p99_us: None,
        cpu_us_per_order: CpuPerOrder::default(),
        verdict: None,
        reason: String::new(),
        disturbed: 0,
        runs: Vec::new(),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
pub mod tests;
