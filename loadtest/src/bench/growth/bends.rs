//! Curves that bend: what costs more than half as much again at the end as at the beginning, and where that
//! began.

use super::orders::Step;
use crate::outcome::Outcome;

/// More than this times the first value is a bend.
const BENT: f64 = 1.5;

/// One measure over all steps.
#[derive(Debug, PartialEq)]
pub struct Curve {
    /// What is measured.
    pub name: &'static str,
    /// At the first step that has it.
    pub first: f64,
    /// At the last.
    pub last: f64,
    /// Orders in the ledger at the first step from which on it was bent up to the last.
    pub bent_at: Option<u64>,
    /// Did others work beside the last step? Then a bend may be theirs.
    pub disturbed: bool,
}

type Measure = (&'static str, fn(&Step) -> Option<f64>);

const MEASURES: [Measure; 11] = [
    ("group_commit, p50 ms", |s| p50(&s.group_commit)),
    ("group_commit, p99 ms", |s| p99(&s.group_commit)),
    ("group_commit, CPU µs per order", |s| servers(&s.group_commit)),
    ("atomic_update, p50 ms", |s| p50(&s.atomic_update)),
    ("atomic_update, p99 ms", |s| p99(&s.atomic_update)),
    ("atomic_update, CPU µs per order", |s| servers(&s.atomic_update)),
    ("batches, µs per order", |s| s.fill.as_ref()?.per_s().map(|rate| 1e6 / rate)),
    ("batches, CPU µs per order", |s| s.fill.as_ref()?.cpu_per_order()),
    ("audit of 100 orders, ms", |s| Some(1e3 * s.small_audit.seconds)),
    ("restart until the service listens, ms", |s| Some(1e3 * (s.restart.stop + s.restart.listen))),
    ("restart, first order of the filled sale, ms", |s| Some(1e3 * s.restart.big)),
];

/// All of them. (The audit of the filled sale grows with its orders, as it must: it stands in the table.)
pub fn curves(steps: &[Step]) -> Vec<Curve> {
    MEASURES.iter().filter_map(|(name, measure)| curve(name, steps, *measure)).collect()
}

fn curve(name: &'static str, steps: &[Step], measure: impl Fn(&Step) -> Option<f64>) -> Option<Curve> {
    let points: Vec<(u64, f64)> = steps.iter().filter_map(|s| Some((s.orders, measure(s)?))).collect();
    let ((_, first), (_, last)) = (*points.first()?, *points.last()?);
    let straight = |(_, value): &(u64, f64)| *value <= BENT * first;
    let from = points.iter().rposition(straight).map_or(0, |at| at + 1);
    let bent_at = points.get(from).map(|(orders, _)| *orders);
    let disturbed = steps.last().is_some_and(|s| s.group_commit.disturbed() || s.atomic_update.disturbed());
    Some(Curve { name, first, last, bent_at, disturbed })
}

impl Curve {
    /// How much more it is.
    pub fn ratio(&self) -> f64 {
        self.last / self.first
    }
}

fn p50(outcome: &Outcome) -> Option<f64> {
    outcome.per_s.and(outcome.latency()).map(|l| l.p50 as f64 / 1e3)
}

/// In milliseconds, where the run stands.
pub fn p99(outcome: &Outcome) -> Option<f64> {
    outcome.per_s.and(outcome.latency()).map(|l| l.p99 as f64 / 1e3)
}

/// CPU time of the service and PostgreSQL per order; the client's does not depend on the ledger.
pub fn servers(outcome: &Outcome) -> Option<f64> {
    let all = outcome.cpu_us.service? + outcome.cpu_us.postgres?;
    outcome.per_s.filter(|_| outcome.orders() > 0).map(|_| all / outcome.orders() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(values: &[f64]) -> Vec<Step> {
        let step = |(at, value): (usize, &f64)| {
            let mut step = super::super::table::tests::step(at as u64);
            step.small_audit.seconds = *value;
            step
        };
        values.iter().enumerate().map(step).collect()
    }

    fn bent_at(values: &[f64]) -> Option<u64> {
        curve("x", &steps(values), |s| Some(s.small_audit.seconds)).unwrap().bent_at
    }

    #[test]
    fn a_curve_is_bent_from_where_it_stays_above_half_as_much_again() {
        assert_eq!(bent_at(&[1.0, 1.2, 1.5]), None);
        assert_eq!(bent_at(&[1.0, 1.6, 1.7]), Some(1));
        assert_eq!(bent_at(&[1.0, 9.0, 1.1, 1.6]), Some(3), "a blip is no bend");
        assert_eq!(bent_at(&[1.0, 9.0, 1.1]), None);
    }

    #[test]
    fn a_bend_beside_which_others_worked_may_be_theirs() {
        let mut steps = steps(&[1.0, 2.0]);
        let disturbed = |steps: &[Step]| curve("x", steps, |_| Some(1.0)).unwrap().disturbed;
        assert!(!disturbed(&steps));
        steps[1].atomic_update.foreign_cores = Some(1.0);
        assert!(disturbed(&steps));
    }

    #[test]
    fn what_was_not_measured_has_no_curve() {
        assert_eq!(curve("x", &steps(&[1.0, 2.0]), |_| None), None);
        assert_eq!(curve("x", &[], |_| Some(1.0)), None);
        let curves = curves(&steps(&[1.0, 2.0]));
        assert!(curves.iter().any(|curve| curve.name == "audit of 100 orders, ms" && curve.ratio() == 2.0));
    }
}
