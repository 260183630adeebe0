//! How a run ends, in one number: machines (CI) act on it, so every meaning is separate.
//! 130 and 5 mean "not all was tested", 1 a surprise, 3 "proves nothing", 4 "correct but slow".

use sellout::wire::{Guarantee, RunResult, StrategyCard, Verdict};

/// As declared.
pub const AS_DECLARED: u8 = 0;
/// A strategy broke its declaration.
pub const SURPRISE: u8 = 1;
/// The command line.
pub const USAGE: u8 = 2;
/// Nothing proved.
pub const INCONCLUSIVE: u8 = 3;
/// Above the threshold.
pub const TOO_SLOW: u8 = 4;
/// The service or this machine.
pub const ENVIRONMENT: u8 = 5;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// A run that cannot go on and has nothing to report.
#[derive(Debug)]
pub struct Stop {
    /// Exit code.
    pub code: u8,
    /// Why.
    pub sentence: String,
}

impl Stop {
    /// Something outside this program is missing.
    pub fn environment(sentence: impl Into<String>) -> Self {
        Stop { code: ENVIRONMENT, sentence: sentence.into() }
    }

    /// What was asked for makes no sense.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Stop { code: USAGE, sentence: sentence.into() }
    }
}

/// What the exit code depends on.
pub struct Facts<'a> {
    /// The rows.
    pub rows: &'a [RunResult],
    /// The cards that were chosen.
    pub cards: &'a [StrategyCard],
    /// Were they chosen by name?
    pub by_name: bool,
    /// Is this the scenario in which an unsafe strategy is expected to oversell?
    pub rush: bool,
    /// Threshold for sold orders.
    pub p99_limit_ms: Option<u64>,
    /// Ctrl-C.
    pub interrupted: bool,
    /// Why the rest could not be run.
    pub broken: Option<&'a str>,
}

/// The worst that happened, and all that happened in a sentence, the worst first.
pub fn decide(facts: &Facts) -> (u8, String) {
    let checks = [
        (INTERRUPTED, facts.interrupted.then(|| "interrupted; the report is unfinished".into())),
        (ENVIRONMENT, environment(facts)),
        (SURPRISE, named(facts, "not as declared", |row| !row.as_declared)),
        (INCONCLUSIVE, named(facts, "inconclusive", |row| inconclusive(facts, row))),
        (TOO_SLOW, named(facts, "too slow", |row| too_slow(facts, row))),
    ];
    let found: Vec<(u8, String)> =
        checks.into_iter().filter_map(|(code, why)| why.map(|why| (code, why))).collect();
    let Some((code, _)) = found.first() else {
        return (AS_DECLARED, "Exit 0: every strategy behaved as declared.".into());
    };
    let whys: Vec<&str> = found.iter().map(|(_, why)| why.as_str()).collect();
    (*code, format!("Exit {code}: {}.", whys.join("; ")))
}

fn environment(facts: &Facts) -> Option<String> {
    if let Some(why) = facts.broken {
        return Some(why.to_owned());
    }
    if facts.rows.iter().all(|row| row.verdict == Verdict::Skipped) {
        return Some("no strategy could be run".into());
    }
    named(facts, "asked for by name and skipped", |row| facts.by_name && row.verdict == Verdict::Skipped)
}

fn named(facts: &Facts, what: &str, is_so: impl Fn(&RunResult) -> bool) -> Option<String> {
    let ids: Vec<&str> =
        facts.rows.iter().filter(|row| is_so(row)).map(|row| row.strategy.as_str()).collect();
    (!ids.is_empty()).then(|| format!("{what}: {}", ids.join(", ")))
}

fn inconclusive(facts: &Facts, row: &RunResult) -> bool {
    match row.verdict {
        Verdict::Invalid => true,
        Verdict::NotExercised => !excused(facts, row),
        _ => false,
    }
}

/// An unsafe strategy that did not oversell where it was not expected to: no crowd would change that.
fn excused(facts: &Facts, row: &RunResult) -> bool {
    let card = facts.cards.iter().find(|card| card.id == row.strategy);
    let needs_a_fault = card.and_then(|c| c.oversells_in.as_deref()).is_some_and(|place| place != "rush");
    row.declared == Guarantee::Oversells && (needs_a_fault || !facts.rush)
}

fn too_slow(facts: &Facts, row: &RunResult) -> bool {
    let p99_us = row.latency_us.get("sold").map(|latency| latency.p99);
    let judged = row.verdict != Verdict::Control;
    judged && facts.p99_limit_ms.zip(p99_us).is_some_and(|(limit, p99)| p99 > limit.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{card, result};

    fn code(rows: &[RunResult], change: impl Fn(&mut Facts)) -> u8 {
        let cards = [card("naive", Some("rush")), card("lease", Some("pause"))];
        let mut facts = Facts {
            rows,
            cards: &cards,
            by_name: false,
            rush: true,
            p99_limit_ms: None,
            interrupted: false,
            broken: None,
        };
        change(&mut facts);
        decide(&facts).0
    }

    fn unsafe_row(id: &str, verdict: Verdict) -> RunResult {
        RunResult { declared: Guarantee::Oversells, as_declared: true, ..result(id, verdict) }
    }

    #[test]
    fn as_declared_is_zero_whether_it_held_or_was_meant_to_oversell() {
        let rows = [
            unsafe_row("naive", Verdict::Oversold),
            result("a", Verdict::Held),
            result("b", Verdict::Skipped),
        ];
        assert_eq!(code(&rows, |_| ()), AS_DECLARED);
    }

    #[test]
    fn the_worst_wins() {
        let surprise = RunResult { as_declared: false, ..result("a", Verdict::Oversold) };
        let rows = [surprise, result("b", Verdict::Invalid), result("c", Verdict::Skipped)];
        assert_eq!(code(&rows, |f| (f.interrupted, f.broken) = (true, Some("x"))), INTERRUPTED);
        assert_eq!(code(&rows, |f| f.broken = Some("x")), ENVIRONMENT);
        assert_eq!(code(&rows, |f| f.by_name = true), ENVIRONMENT);
        assert_eq!(code(&rows, |f| f.p99_limit_ms = Some(1)), SURPRISE);
        assert_eq!(code(&rows[1..], |f| f.p99_limit_ms = Some(1)), INCONCLUSIVE);
        assert_eq!(code(&[result("a", Verdict::Held)], |f| f.p99_limit_ms = Some(1)), TOO_SLOW);
        assert_eq!(code(&[result("a", Verdict::Held)], |f| f.p99_limit_ms = Some(1000)), AS_DECLARED);
    }

    #[test]
    fn a_run_of_nothing_but_skipped_rows_is_no_success() {
        assert_eq!(code(&[result("a", Verdict::Skipped)], |_| ()), ENVIRONMENT);
        assert_eq!(code(&[], |_| ()), ENVIRONMENT);
    }

    #[test]
    fn an_unsafe_strategy_that_did_not_oversell_counts_only_where_it_should_have() {
        let quiet = |id| [unsafe_row(id, Verdict::NotExercised)];
        assert_eq!(code(&quiet("naive"), |_| ()), INCONCLUSIVE);
        assert_eq!(code(&quiet("naive"), |f| f.rush = false), AS_DECLARED);
        assert_eq!(code(&quiet("lease"), |_| ()), AS_DECLARED);
        assert_eq!(code(&[result("a", Verdict::NotExercised)], |f| f.rush = false), INCONCLUSIVE);
    }
}
