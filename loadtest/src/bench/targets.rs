//! What must be reached, held against the medians. A target that is missed is said like one that is met.

use serde::{Deserialize, Serialize};

use crate::outcome::{Client, Kind, Outcome};
use crate::plan::{BATCHES, FLAG};
use crate::report::{Row, find, per_round};

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is measured.
    pub measure: String,
    /// What it must be.
    pub at_least: f64,
    /// What it should be.
    pub aim: f64,
    /// Is less more?
    pub at_most: bool,
    /// What it is; `null` where it was not measured, or may not be said.
    pub value: Option<f64>,
    /// Is it reached?
    pub reached: Option<bool>,
}

use Kind::{Accepted, Rejected};

/// Strategy, the other one, kind, connections, at least, aim.
const RATES: [(&str, &str, Kind, usize, f64, f64); 15] = [
    ("noop", "bare", Rejected, 256, 0.80, 0.92),
    ("group_commit", "atomic_update", Accepted, 64, 10.0, 15.0),
    ("group_commit", "atomic_update", Accepted, 256, 14.0, 22.0),
    ("group_commit", "bare", Accepted, 64, 0.30, 0.50),
    ("group_commit", "bare", Accepted, 256, 0.45, 0.65),
    ("group_commit", "bare", Accepted, 1024, 0.55, 0.80),
    ("redis_lua", "atomic_update", Accepted, 256, 10.0, 15.0),
    ("redis_lua_batched", "redis_lua", Accepted, 64, 1.2, 1.6),
    ("flush_barrier", "atomic_update", Accepted, 256, 3.5, 5.0),
    ("ticket", "atomic_update", Accepted, 256, 3.0, 4.5),
    ("stripes", "atomic_update", Accepted, 256, 2.0, 3.5),
    ("skip_locked", "atomic_update", Accepted, 256, 1.7, 2.8),
    (FLAG, "bare", Rejected, 256, 0.90, 0.97),
    ("group_commit", "bare", Rejected, 256, 0.65, 0.80),
    ("redis_lua", "bare", Rejected, 256, 0.65, 0.80),
];

/// All of them.
pub fn all(rows: &[Row], insert_limit: Option<f64>) -> Vec<Target> {
    let mut targets: Vec<Target> = RATES
        .iter()
        .map(|&(strategy, other, kind, c, at_least, aim)| {
            let value = between(rows, strategy, other, kind, c, |run| run.per_s);
            let how = if kind == Rejected { "refused, " } else { "" };
            target(format!("{strategy} ÷ {other}, {how}c = {c}"), at_least, aim, false, value)
        })
        .collect();
    let cpu = between(rows, "group_commit", "bare", Accepted, 256, Outcome::cpu_per_order);
    targets.push(target("group_commit ÷ bare, CPU per order, c = 256".into(), 2.6, 1.8, true, cpu));
    let p99 = |run: &Outcome| run.latency().map(|l| l.p99 as f64);
    let p99 = between(rows, "group_commit", "atomic_update", Accepted, 256, p99);
    targets.push(target("group_commit ÷ atomic_update, p99, c = 256".into(), 0.30, 0.10, true, p99));
    let batch = rows.iter().find(|row| row.client == Client::Batch).and_then(|row| row.per_s);
    let batch = batch.zip(insert_limit).map(|(batch, limit)| batch / limit);
    let (connections, size) = BATCHES;
    let said = format!("batches ÷ bare inserts ({connections} × {size})");
    targets.push(target(said, 0.4, 0.7, false, batch));
    targets
}

fn between(
    rows: &[Row],
    strategy: &str,
    other: &str,
    kind: Kind,
    concurrency: usize,
    value: impl Fn(&Outcome) -> Option<f64>,
) -> Option<f64> {
    let row = find(rows, strategy, kind, concurrency, 1)?;
    per_round(row, find(rows, other, kind, concurrency, 1)?, value)
}

fn target(measure: String, at_least: f64, aim: f64, at_most: bool, value: Option<f64>) -> Target {
    let reached = value.map(|value| if at_most { value <= at_least } else { value >= at_least });
    Target { measure, at_least, aim, at_most, value, reached }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_more_where_it_should_be_and_what_was_not_measured_is_neither() {
        let reached = |at_most, value| target("x".into(), 2.0, 3.0, at_most, value).reached;
        assert_eq!((reached(false, Some(2.0)), reached(false, Some(1.9))), (Some(true), Some(false)));
        assert_eq!((reached(true, Some(2.0)), reached(true, Some(2.1))), (Some(true), Some(false)));
        assert_eq!(reached(false, None), None);
    }

    #[test]
    fn nothing_measured_is_a_table_of_open_targets() {
        let all = all(&[], Some(1.0));
        assert!(all.len() == RATES.len() + 3 && all.iter().all(|target| target.value.is_none()));
    }
}
