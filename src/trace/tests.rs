//! Hand-written schedules, and the picture that is made of each.

use std::sync::{Arc, Weak};

use super::record::Record;
use super::step::{Act, Lane, Wrote};
use super::witness::witness;
use crate::wire::{StepKind, Trace, TraceKind, TraceStep};

pub(super) const ARRIVE: Act = Act::Arrive;
pub(super) const ENTER: Act = Act::Enter;
pub(super) const LEAVE: Act = Act::Leave { lost: false };
pub(super) const ENOUGH: Act = Act::Check { ok: true };
pub(super) const TOO_FEW: Act = Act::Check { ok: false };
pub(super) const TAKE: Act = Act::Decide { ok: true };
pub(super) const NONE: Act = Act::Decide { ok: false };
pub(super) const COMMIT: Act = Act::Commit;
pub(super) const SOLD: Act = Act::Reply { outcome: "sold" };
pub(super) const SOLD_OUT: Act = Act::Reply { outcome: "sold_out" };

pub(super) fn read(seen: i64) -> Act {
    Act::Read { seen }
}

pub(super) fn write(to: i64) -> Act {
    Act::Write(Wrote::To(to))
}

fn subtract(by: i64) -> Act {
    Act::Write(Wrote::By(by))
}

pub(super) fn lane(n: u64) -> Arc<Lane> {
    let (buyer_id, key) = (format!("b{n}"), format!("k{n}"));
    Arc::new(Lane { n, buyer_id, key, quantity: 1, record: Weak::new() })
}

/// A record of so many units in which these orders of one unit did that.
pub(super) fn record(opened: i64, steps: &[(u64, Act)]) -> Record {
    let record = Record::new(opened);
    for (n, act) in steps {
        record.note(Some(&lane(*n)), &[(*act, Some("a.sql"))]);
    }
    record
}

pub(super) fn shown(opened: i64, steps: &[(u64, Act)]) -> Trace {
    let trace = witness(&record(opened, steps).read(), "the stock row").expect("something was recorded");
    let times: Vec<u64> = trace.steps.iter().map(|step| step.t_us).collect();
    assert!(times.is_sorted() && times[0] == 0, "{times:?}");
    assert!(trace.steps.iter().map(|step| step.n).eq(1..=u32::try_from(trace.steps.len()).unwrap()));
    assert_eq!((trace.opened, trace.counter.as_str()), (opened, "the stock row"));
    trace
}

/// The step of a lane, the last one of that kind.
pub(super) fn at<'a>(trace: &'a Trace, lane: &str, kind: StepKind) -> &'a TraceStep {
    let found = trace.steps.iter().rfind(|step| step.lane == lane && step.kind == kind);
    found.unwrap_or_else(|| panic!("{lane} has no {kind:?}: {trace:#?}"))
}

fn keys(trace: &Trace) -> Vec<&str> {
    trace.lanes.iter().map(|lane| lane.key.as_str()).collect()
}

fn believes(step: &TraceStep, lane: &str) -> Option<(i64, bool)> {
    step.believes.iter().find(|belief| belief.lane == lane).map(|belief| (belief.units, belief.stale))
}

#[test]
fn a_lost_update_is_two_orders_that_read_the_same_number_and_a_counter_that_looks_healthy() {
    let one = [(1, ARRIVE), (2, ARRIVE), (1, read(1)), (1, ENOUGH), (2, read(1)), (2, ENOUGH)];
    let two = [(1, write(0)), (1, COMMIT), (1, SOLD), (2, write(0)), (2, COMMIT), (2, SOLD)];
    let trace = shown(1, &[one, two].concat());
    assert_eq!((trace.kind, keys(&trace)), (TraceKind::Oversold, vec!["k1", "k2"]));
    assert_eq!(trace.lanes[1].outcome, "sold");
    assert_eq!(trace.steps.len(), 12);
    assert_eq!(
        trace.sentence,
        "A and B both read 1 and acted on it; the order of B made it 2 sold of 1, and the counter says 0."
    );
    let (seen, first) = (at(&trace, "B", StepKind::Read), at(&trace, "A", StepKind::Commit));
    assert_eq!((seen.seen, seen.counter, believes(seen, "B")), (Some(1), Some(1), Some((1, false))));
    assert_eq!((first.counter, first.ledger, believes(first, "B")), (Some(0), 1, Some((1, true))));
    assert_eq!(believes(first, "A"), Some((0, false)));
    let lost = at(&trace, "B", StepKind::Write);
    assert_eq!((lost.wrote, lost.statement.as_deref()), (Some(0), Some("a.sql")));
    assert_eq!(lost.note, "B writes 0 over 0, which it never saw: an update is lost.");
    let beyond = at(&trace, "B", StepKind::Commit);
    assert_eq!((beyond.counter, beyond.ledger), (Some(0), 2));
    assert_eq!(beyond.note, "The order of B is in the ledger: 2 sold of 1. That is 1 too many.");
    assert_eq!((trace.recorded, trace.truncated), (0, false), "nobody was enlisted here");
}

#[test]
fn what_is_not_committed_is_not_seen_by_others() {
    let steps = [(1, ARRIVE), (1, ENTER), (1, read(5)), (1, ENOUGH), (1, write(4)), (1, LEAVE)];
    let trace = shown(5, &[&steps[..], &[(1, COMMIT), (1, SOLD)]].concat());
    assert_eq!(at(&trace, "A", StepKind::Write).counter, Some(5));
    assert_eq!(believes(at(&trace, "A", StepKind::Write), "A"), Some((4, false)));
    assert!(at(&trace, "A", StepKind::Leave).note.contains("before its commit"));
    assert_eq!(at(&trace, "A", StepKind::Commit).counter, Some(4));
    assert!(trace.sentence.starts_with("A was there alone"), "{}", trace.sentence);
}

#[test]
fn a_check_that_is_older_than_the_write_leaves_a_counter_below_zero() {
    let one = [(1, ARRIVE), (2, ARRIVE), (1, read(1)), (2, read(1)), (1, ENOUGH), (2, ENOUGH)];
    let two = [(2, subtract(1)), (2, COMMIT), (2, SOLD), (1, subtract(1)), (1, COMMIT), (1, SOLD)];
    let trace = shown(1, &[one, two].concat());
    assert_eq!(trace.kind, TraceKind::Oversold);
    let beyond = at(&trace, "A", StepKind::Commit);
    assert_eq!((beyond.counter, beyond.ledger), (Some(-1), 2));
    assert_eq!(at(&trace, "A", StepKind::Write).wrote, None, "the statement did not say");
    assert!(trace.sentence.ends_with("and the counter says -1."), "{}", trace.sentence);
}

#[test]
fn a_lock_that_ended_before_its_holder_lets_two_in() {
    let steps = [
        (1, ARRIVE),
        (1, ENTER),
        (1, read(1)),
        (1, ENOUGH),
        (2, ARRIVE),
        (2, ENTER),
        (2, read(1)),
        (2, ENOUGH),
        (2, write(0)),
        (2, COMMIT),
        (2, LEAVE),
        (2, SOLD),
        (1, write(0)),
        (1, COMMIT),
        (1, Act::Leave { lost: true }),
        (1, SOLD),
    ];
    let trace = shown(1, &steps);
    assert_eq!((trace.kind, keys(&trace)), (TraceKind::Oversold, vec!["k1", "k2"]));
    let entered = &at(&trace, "B", StepKind::Enter).note;
    assert!(entered.contains("while A is inside"), "{entered}");
    assert!(at(&trace, "A", StepKind::Leave).note.contains("not its own"));
}

#[test]
fn who_is_let_in_before_the_word_that_another_left_is_accused_of_nothing() {
    // The lock ends with the commit, whose answer comes after the next one's.
    let one = [(1, ARRIVE), (2, ARRIVE), (1, read(2)), (1, ENTER), (1, ENOUGH), (1, write(1))];
    let two = [(2, read(2)), (2, ENTER), (2, ENOUGH), (1, COMMIT), (1, LEAVE), (1, SOLD), (2, write(1))];
    let trace = shown(1, &[&one[..], &two, &[(2, COMMIT), (2, LEAVE), (2, SOLD)]].concat());
    assert_eq!(at(&trace, "B", StepKind::Enter).note, "B is let in by the lock.");
    assert_eq!(believes(at(&trace, "B", StepKind::Write), "B"), Some((1, true)));
}

#[test]
fn who_reads_rightly_what_others_had_spoilt_is_shown_with_them_and_not_blamed() {
    let mut steps = Vec::new();
    // Two inside at once, and both write 2.
    for n in 1..=2 {
        steps.extend([(n, ARRIVE), (n, ENTER), (n, read(3)), (n, ENOUGH)]);
    }
    for n in 1..=2 {
        steps.extend([(n, write(2)), (n, COMMIT), (n, LEAVE), (n, SOLD)]);
    }
    for (n, seen) in [(3, 2), (4, 1)] {
        steps.extend([(n, ARRIVE), (n, ENTER), (n, read(seen)), (n, ENOUGH)]);
        steps.extend([(n, write(seen - 1)), (n, COMMIT), (n, LEAVE), (n, SOLD)]);
    }
    let trace = shown(3, &steps);
    assert_eq!((trace.kind, keys(&trace)), (TraceKind::Oversold, vec!["k1", "k2", "k4"]));
    assert!(trace.sentence.starts_with("A and B both read 3 and acted on it"), "{}", trace.sentence);
    let innocent = at(&trace, "C", StepKind::Write);
    assert_eq!((innocent.note.as_str(), innocent.counter), ("C writes 0.", Some(1)));
    // Where those two are not among the steps, nobody is accused.
    let trace = shown(0, &steps[18..26]);
    assert!(trace.sentence.starts_with("What went wrong is not among the kept steps"), "{}", trace.sentence);
}

#[test]
fn who_read_a_number_before_it_was_there_anew_did_not_spoil_it() {
    let late = [(1, ARRIVE), (1, ENTER), (1, read(3)), (2, ARRIVE), (2, ENTER), (2, read(3))];
    let whole = |n, seen| [(n, ARRIVE), (n, ENTER), (n, read(seen)), (n, write(seen - 1)), (n, COMMIT)];
    let gone = |n| [(n, LEAVE), (n, SOLD)];
    let steps = [
        &late[..],
        &[(1, write(2)), (1, COMMIT)],
        &gone(1),
        &whole(3, 2),
        &gone(3),
        // The counter says 2 once more.
        &[(2, write(2)), (2, COMMIT)],
        &gone(2),
        &whole(4, 2),
        &gone(4),
    ];
    let trace = shown(3, &steps.concat());
    assert_eq!(keys(&trace), ["k1", "k2", "k4"], "{}", trace.sentence);
}

#[test]
fn a_closest_call_is_of_two_who_were_there_together() {
    let mut steps = vec![(1, ARRIVE), (1, TAKE), (1, COMMIT), (2, ARRIVE), (2, TAKE), (2, COMMIT), (2, SOLD)];
    steps.extend([(3, ARRIVE), (1, SOLD), (3, NONE), (3, SOLD_OUT)]);
    assert_eq!(keys(&shown(2, &steps)), ["k1", "k3"]);
}

#[test]
fn a_sale_that_a_script_decides_shows_who_took_last_and_who_came_too_late() {
    let mut steps = vec![(1, ARRIVE), (2, ARRIVE), (1, TAKE), (2, TAKE), (3, ARRIVE), (1, COMMIT), (3, NONE)];
    steps.extend([(3, SOLD_OUT), (2, COMMIT), (2, SOLD), (1, SOLD)]);
    let trace = shown(2, &steps);
    assert_eq!((trace.kind, keys(&trace)), (TraceKind::ClosestCall, vec!["k2", "k3"]));
    let how = "A and B were there at the same time: A was first, B found too little and was told: sold out.";
    assert_eq!(trace.sentence, how);
}

#[test]
fn a_lock_that_holds_is_a_closest_call_and_accuses_nobody() {
    let steps = [
        (1, ARRIVE),
        (2, ARRIVE),
        (1, ENTER),
        (1, read(1)),
        (1, ENOUGH),
        (1, write(0)),
        (1, COMMIT),
        // Its server has let the other one in before this process heard that the first one had left.
        (2, ENTER),
        (1, LEAVE),
        (1, SOLD),
        (2, read(0)),
        (2, TOO_FEW),
        (2, LEAVE),
        (2, SOLD_OUT),
    ];
    let trace = shown(1, &steps);
    assert_eq!((trace.kind, keys(&trace)), (TraceKind::ClosestCall, vec!["k1", "k2"]));
    assert_eq!(at(&trace, "B", StepKind::Enter).note, "B is let in by the lock.");
    assert_eq!(at(&trace, "B", StepKind::Check).ok, Some(false));
    assert!(trace.sentence.ends_with("B found too little and was told: sold out."), "{}", trace.sentence);
    assert!(trace.steps.iter().all(|step| step.believes.iter().all(|belief| !belief.stale)), "{trace:#?}");
}

#[test]
fn one_statement_decides_and_nobody_comes_between() {
    let steps = [(1, ARRIVE), (2, ARRIVE), (1, TAKE), (1, COMMIT), (1, SOLD), (2, NONE), (2, SOLD_OUT)];
    let trace = shown(1, &steps);
    assert_eq!(trace.kind, TraceKind::ClosestCall);
    let decided = at(&trace, "A", StepKind::Decide);
    assert_eq!((decided.ok, decided.counter, decided.ledger), (Some(true), Some(0), 0));
    assert!(decided.note.starts_with("a.sql reads, checks and takes 1 unit for A"), "{}", decided.note);
    assert_eq!(at(&trace, "B", StepKind::Decide).note, "a.sql finds fewer than 1 unit: nothing for B.");
}

#[test]
fn who_is_refused_before_the_taker_was_heard_of_knows_more_than_the_count() {
    let steps = [(1, ARRIVE), (2, ARRIVE), (2, NONE), (2, SOLD_OUT), (1, TAKE), (1, COMMIT), (1, SOLD)];
    let trace = shown(1, &steps);
    assert_eq!(at(&trace, "B", StepKind::Decide).counter, Some(0));
    assert_eq!(at(&trace, "A", StepKind::Commit).counter, Some(0), "taken once, not twice");
}

#[test]
fn a_write_that_found_another_version_is_tried_again() {
    let steps = [
        (1, ARRIVE),
        (2, ARRIVE),
        (1, read(2)),
        (2, read(2)),
        (1, write(1)),
        (1, COMMIT),
        (1, SOLD),
        (2, Act::Retry),
        (2, read(1)),
        (2, write(0)),
        (2, COMMIT),
        (2, SOLD),
    ];
    let trace = shown(2, &steps);
    assert_eq!(trace.kind, TraceKind::ClosestCall);
    assert!(trace.sentence.ends_with("B began anew and was told: sold."), "{}", trace.sentence);
    assert_eq!(believes(at(&trace, "B", StepKind::Retry), "B"), None);
    assert_eq!(at(&trace, "B", StepKind::Write).note, "B writes 0.");
}

#[test]
fn told_yes_before_the_ledger_has_it_is_said() {
    let steps = [(1, ARRIVE), (1, TAKE), (1, SOLD), (1, COMMIT)];
    let trace = shown(1, &steps);
    assert_eq!(
        at(&trace, "A", StepKind::Reply).note,
        "A is told: sold. The ledger does not have the order yet."
    );
    assert!(at(&trace, "A", StepKind::Commit).note.starts_with("Only now the order of A"));
    assert_eq!(at(&trace, "A", StepKind::Commit).counter, Some(0));
}

#[test]
fn steps_of_others_are_left_out_and_stay_in_the_count() {
    let mut steps = vec![(1, ARRIVE), (1, read(3)), (2, ARRIVE), (2, read(3))];
    for n in 3..=4 {
        steps.extend([(n, ARRIVE), (n, read(3)), (n, ENOUGH), (n, write(2)), (n, COMMIT), (n, SOLD)]);
    }
    steps.extend([(1, write(2)), (1, COMMIT), (5, ARRIVE), (5, read(2)), (5, write(1)), (5, COMMIT)]);
    let trace = shown(3, &steps);
    // The fourth of three read 2, and rightly so: shown are those before it who both acted on 3.
    assert_eq!((trace.kind, keys(&trace)), (TraceKind::Oversold, vec!["k1", "k4", "k5"]));
    let how = "A and B both read 3 and acted on it, so the counter lost one and says too much since; ";
    assert_eq!(trace.sentence, format!("{how}the order of C made it 4 sold of 3, and the counter says 1."));
    steps.extend([(2, write(2)), (2, COMMIT), (2, SOLD)]);
    let trace = shown(2, &steps);
    // Of two units the third order is the first: it read 3, as did the two before it.
    assert_eq!((trace.lanes.len(), trace.steps.last().map(|step| step.ledger)), (3, Some(3)));
    assert!(trace.sentence.starts_with("A, B and C all read 3"), "{}", trace.sentence);
    let trace = shown(4, &steps);
    // Of four the fifth is: between it and the one before it stands one that read another number.
    assert_eq!((at(&trace, "A", StepKind::Commit).ledger, at(&trace, "B", StepKind::Commit).ledger), (3, 5));
    let written = &at(&trace, "B", StepKind::Write).note;
    let meanwhile = "(Meanwhile 1 unit went to other orders, and the counter went from 2 to 1.) ";
    assert_eq!(*written, format!("{meanwhile}B writes 2 over 1, which it never saw: an update is lost."));
}

#[test]
fn a_read_knows_more_than_was_heard_or_less_and_the_counter_stays_true() {
    let heard = [(1, ARRIVE), (2, ARRIVE), (1, read(9)), (1, write(8)), (1, COMMIT)];
    // Sent before the write was heard of: 9 may be old, so the counter is not set back.
    let old = shown(9, &[&heard[..], &[(2, read(9))]].concat());
    assert_eq!(at(&old, "B", StepKind::Read).counter, Some(8));
    assert_eq!(at(&old, "B", StepKind::Read).note, "B reads 9. By now the counter says 8.");
    // Nobody is known to have left 7 there: somebody has, and was not heard of.
    let new = shown(9, &[&heard[..], &[(2, read(7))]].concat());
    assert_eq!(at(&new, "B", StepKind::Read).counter, Some(7));
}

#[test]
fn units_that_come_back_are_for_sale_again_and_are_no_oversell() {
    let record = record(1, &[(1, ARRIVE), (1, TAKE), (1, COMMIT), (1, SOLD)]);
    record.note(None, &[(Act::Back { units: 1, ended: true }, None)]);
    for act in [ARRIVE, TAKE, COMMIT, SOLD] {
        record.note(Some(&lane(2)), &[(act, None)]);
    }
    record.note(None, &[(Act::Back { units: 5, ended: false }, None)]);
    for act in [ARRIVE, TAKE, COMMIT, SOLD] {
        record.note(Some(&lane(3)), &[(act, None)]);
    }
    let trace = witness(&record.read(), "x").expect("a trace");
    assert_eq!(trace.kind, TraceKind::ClosestCall);
    let last = at(&trace, "B", StepKind::Commit);
    assert_eq!((last.counter, last.ledger), (Some(4), 2));
    assert_eq!(last.note, "The order of B is in the ledger: 2 sold of 6.");
}
