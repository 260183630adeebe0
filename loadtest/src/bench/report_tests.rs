//! The arithmetic of the report, on runs that were written down.

use sellout::wire::{Answers, Latency, Verdict};

use super::*;
use crate::outcome::Cpu;

/// Rounds of which nothing is remembered but what matters here.
pub fn run(round: u32, strategy: &str, sold: u64, verdict: Option<Verdict>) -> Outcome {
    let latency = Latency { count: sold, p50: 10 * sold, p90: 0, p99: 99 * sold, max: 0 };
    let outcome = Outcome {
        round,
        strategy: strategy.into(),
        kind: Kind::Accepted,
        client: Client::Raw,
        concurrency: 256,
        items: 1,
        seconds: 2.0,
        answers: Answers { sold, ..Answers::default() },
        per_s: None,
        accepted_per_s: None,
        rejected_per_s: None,
        latency_us: [("sold".to_owned(), latency)].into(),
        cpu_us: Cpu { service: Some(20.0 * sold as f64), load: Some(10.0 * sold as f64), ..Cpu::default() },
        foreign_cores: Some(0.1),
        stolen_cores: Some(0.0),
        ledger_orders: sold,
        verdict,
        reason: "so".into(),
    };
    outcome.rated(2.0)
}

const HELD: Option<Verdict> = Some(Verdict::Held);

fn three(atomic: [u64; 3], bare: [u64; 3]) -> Vec<Row> {
    let rounds = (1..).zip(atomic.into_iter().zip(bare));
    rows(
        rounds
            .flat_map(|(round, (a, b))| [run(round, "bare", b, None), run(round, "atomic_update", a, HELD)]),
    )
}

#[test]
fn a_median_is_the_middle_one_and_of_two_what_lies_between() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0]), Some(3.0));
    assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), Some(3.0));
}

#[test]
fn a_ratio_is_taken_within_each_round_and_not_between_medians() {
    // The machine was slow in the second round for both: of medians it would be 100 of 400.
    let rows = three([100, 20, 900], [400, 40, 900]);
    let row = find(&rows, "atomic_update", Kind::Accepted, 256, 1).unwrap();
    assert_eq!((row.per_s, row.ratio_to_bare), (Some(50.0), Some(0.5)));
    assert_eq!(row.ratio_to_atomic_update, Some(1.0));
}

#[test]
fn one_round_that_was_not_held_takes_every_number_of_its_row() {
    let outcomes =
        [run(1, "x", 100, HELD), run(2, "x", 100, Some(Verdict::Oversold)), run(1, "bare", 9, None)];
    assert_eq!(outcomes[1].per_s, None);
    let rows = rows(outcomes.into_iter());
    let row = find(&rows, "x", Kind::Accepted, 256, 1).unwrap();
    assert_eq!((row.per_s, row.ratio_to_bare, row.p50_us), (None, None, None));
    assert_eq!((row.cpu_us_per_order, row.verdict), (CpuPerOrder::default(), Some(Verdict::Oversold)));
}

#[test]
fn what_proves_nothing_has_no_rate_either() {
    for verdict in [Verdict::NotExercised, Verdict::Invalid, Verdict::Stranded, Verdict::Skipped] {
        assert_eq!(run(1, "x", 100, Some(verdict)).per_s, None, "{verdict:?}");
    }
    assert_eq!(run(1, "noop", 100, Some(Verdict::Control)).per_s, Some(50.0));
}

#[test]
fn cpu_time_is_split_per_order_and_the_client_is_in_the_sum() {
    let rows = three([100, 100, 100], [400, 400, 400]);
    let cpu = rows[1].cpu_us_per_order;
    assert_eq!((cpu.total, cpu.service, cpu.load, cpu.postgres), (Some(30.0), Some(20.0), Some(10.0), None));
}

#[test]
fn percentiles_are_those_of_the_outcome_that_the_kind_is_about() {
    let mut refused = run(1, "x", 0, HELD);
    refused.kind = Kind::Rejected;
    refused.latency_us = [("sold_out".to_owned(), Latency { p99: 7, ..Latency::default() })].into();
    assert_eq!(refused.latency().map(|l| l.p99), Some(7));
    assert_eq!(three([2, 4, 6], [9, 9, 9])[1].p99_us, Some(99.0 * 4.0));
}

#[test]
fn work_of_others_is_said_by_round_and_marked_by_run() {
    let mut runs = vec![run(1, "x", 5, HELD), run(1, "y", 5, HELD)];
    (runs[1].foreign_cores, runs[1].stolen_cores) = (Some(0.2), Some(0.15));
    assert!(!runs[0].disturbed() && runs[1].disturbed());
    let said = disturbance(&runs);
    assert_eq!((said.round, said.runs, said.of), (1, 1, 2));
    assert!((said.foreign_cores - 0.15).abs() < 1e-9);
    assert_eq!(rows(runs.into_iter())[1].disturbed, 1);
}
