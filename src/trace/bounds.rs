//! What is kept of a sale, and what of it is shown, and that off is off.

use uuid::Uuid;

use super::record::{Record, STEPS_MAX};
use super::step::Act;
use super::tests::{ARRIVE, COMMIT, ENOUGH, SOLD, SOLD_OUT, TAKE, TOO_FEW, lane, read, shown, write};
use super::witness::{STEPS_SHOWN_MAX, witness};
use super::{Recorder, SALES_MAX, Track, Watch};
use crate::wire::{StepKind, TraceKind};

#[test]
fn nothing_recorded_is_no_trace() {
    assert!(witness(&Record::new(5).read(), "x").is_none());
    let off = Recorder::new(false).open(Uuid::nil(), 5);
    assert!(!off.follow("b", "k", 1).is_on() && off.witness("x").is_none());
    assert!(Watch::default().witness("x").is_none());
}

#[test]
fn off_is_a_null_that_an_order_carries() {
    let off = Track::default();
    assert_eq!(size_of::<Track>(), size_of::<usize>());
    off.read(1, "a.sql");
    off.commit();
    assert!(!off.is_on());
    // Who watches it is no part of what an order is.
    let on = Recorder::new(true);
    assert_eq!(on.open(Uuid::nil(), 1).follow("b", "k", 1), off);
}

#[test]
fn a_large_sale_keeps_its_bound_and_still_shows_the_moment() {
    let sold = |n: u64, of: i64| {
        [(n, ARRIVE), (n, read(of)), (n, ENOUGH), (n, write(of - 1)), (n, COMMIT), (n, SOLD)]
    };
    let record = Record::new(20_000);
    let note = |steps: &[(u64, Act)]| {
        for (n, act) in steps {
            record.note(Some(&lane(*n)), &[(*act, None)]);
        }
    };
    for n in 0..20_000 {
        note(&sold(n, 20_000 - i64::try_from(n).unwrap()));
        assert!(n % 1_000 != 0 || record.read().steps.len() <= STEPS_MAX);
    }
    // Refused for long before the one who had read in time comes along.
    note(&[(20_000, ARRIVE), (20_000, read(1)), (20_000, ENOUGH)]);
    for n in 20_001..20_501 {
        note(&[(n, ARRIVE), (n, read(0)), (n, TOO_FEW), (n, SOLD_OUT)]);
    }
    let call = witness(&record.read(), "x").expect("a trace");
    assert_eq!((call.kind, call.truncated), (TraceKind::ClosestCall, true));
    note(&[(20_000, write(0)), (20_000, COMMIT), (20_000, SOLD)]);
    let trace = witness(&record.read(), "x").expect("a trace");
    assert_eq!((trace.kind, trace.truncated), (TraceKind::Oversold, true));
    assert_eq!(trace.steps.last().map(|step| step.ledger), Some(20_001));
    // From here on it stands still, and says that there was more.
    for n in 30_000..32_000 {
        note(&sold(n, 1));
    }
    assert_eq!((record.enlist(), record.read().steps.len()), (None, STEPS_MAX));
    assert_eq!(witness(&record.read(), "x").map(|later| later.sentence), Some(trace.sentence));
}

#[test]
fn an_order_that_began_anew_a_hundred_times_is_cut_and_says_so() {
    let mut steps = vec![(1, ARRIVE), (2, ARRIVE)];
    for _ in 0..100 {
        steps.extend([(2, read(1)), (2, ENOUGH), (2, Act::Retry)]);
    }
    steps.extend([(1, TAKE), (1, COMMIT), (1, SOLD), (2, read(0)), (2, TOO_FEW), (2, SOLD_OUT)]);
    let trace = shown(1, &steps);
    assert_eq!((trace.steps.len(), trace.truncated), (STEPS_SHOWN_MAX, true));
    assert_eq!((trace.steps[0].kind, trace.steps[1].kind), (StepKind::Arrive, StepKind::Arrive));
    assert!(trace.steps[2].note.contains("left out"), "{}", trace.steps[2].note);
}

#[test]
fn so_many_sales_are_kept_and_the_oldest_goes() {
    let recorder = Recorder::new(true);
    let open = |n: usize| recorder.open(Uuid::from_u128(n as u128), 1);
    let first = open(0);
    let track = first.follow("b", "k", 1);
    assert!(track.is_on() && first.witness("x").is_none(), "who has only come has decided nothing");
    track.decide_and_commit(true, "a.sql");
    assert!(first.witness("x").is_some_and(|trace| trace.recorded == 1));
    let others: Vec<Watch> = (1..=SALES_MAX).map(open).collect();
    track.commit();
    assert!(first.witness("x").is_none() && !first.follow("b", "k", 1).is_on());
    assert!(others.iter().all(|watch| watch.follow("b", "k", 1).is_on()));
    recorder.forget(Uuid::from_u128(1));
    assert!(!others[0].follow("b", "k", 1).is_on());
}
