//! The picture of a sale: the orders that tell how it was decided ([`super::choice`]), their steps, and how
//! it stood after each. Steps of all others are left out of the picture and stay in the count: ledger and
//! counter are those after every step of every order.

use std::collections::{BTreeMap, HashMap};

use super::choice::{self, Life};
use super::record::Recorded;
use super::state::State;
use super::step::{Act, Step, Wrote};
use super::words::{self, Told};
use crate::wire::{Belief, StepKind, Trace, TraceKind, TraceLane, TraceStep};

/// Steps of a trace: what a page shows, and a kept run has room for.
pub(super) const STEPS_SHOWN_MAX: usize = 60;
/// Names of lanes.
const NAMES: [&str; 4] = ["A", "B", "C", "D"];

/// How it stood after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub counter: Option<i64>,
    pub sold: i64,
    pub for_sale: i64,
}

impl Stand {
    fn of(state: &State) -> Stand {
        Stand { counter: state.counter(), sold: state.sold, for_sale: state.for_sale }
    }
}

/// Makes the trace; `None` where no order was recorded. `counter`: what is fought over, in words.
pub(super) fn witness(recorded: &Recorded, counter: &str) -> Option<Trace> {
    let steps = &recorded.steps[..];
    let mut state = recorded.before.clone();
    let stand = |step: &Step| {
        state.apply(step);
        Stand::of(&state)
    };
    let stands: Vec<Stand> = steps.iter().map(stand).collect();
    let lives = choice::lives(steps);
    let over =
        |place: &usize| steps[*place].act == Act::Commit && stands[*place].sold > stands[*place].for_sale;
    let beyond = (0..steps.len()).find(over).and_then(|place| choice::oversold(place, &lives));
    let (picked, mut chosen) = beyond.or_else(|| choice::closest_call(steps, &lives))?;
    chosen.sort_by_key(|life| life.first());
    let (left_out, shown) = shown(&chosen);
    let names: HashMap<u64, &'static str> = chosen.iter().map(|life| life.lane.n).zip(NAMES).collect();
    let lane = |life: &&Life<'_>| TraceLane {
        id: names.get(&life.lane.n).copied().unwrap_or_default().to_owned(),
        buyer_id: life.lane.buyer_id.clone(),
        key: life.lane.key.clone(),
        outcome: outcome(life, steps).to_owned(),
    };
    let before = Stand::of(&recorded.before);
    let told = Told { names: &names, steps, stands: &stands, before };
    let kind = if picked.is_oversold() { TraceKind::Oversold } else { TraceKind::ClosestCall };
    Some(Trace {
        kind,
        sentence: words::sentence(picked, &chosen.iter().map(|l| l.lane.n).collect::<Vec<_>>(), &told),
        counter: counter.to_owned(),
        opened: recorded.opened,
        lanes: chosen.iter().map(lane).collect(),
        steps: walk(&shown, left_out, &told, picked.is_oversold()),
        recorded: recorded.orders,
        truncated: recorded.truncated || left_out > 0,
    })
}

/// What an order's buyer was told; empty: nothing yet.
fn outcome(life: &Life<'_>, steps: &[Step]) -> &'static str {
    let told = |place: &usize| match steps[*place].act {
        Act::Reply { outcome } => Some(outcome),
        _ => None,
    };
    life.places.iter().rev().find_map(told).unwrap_or_default()
}

/// The places of all their steps, as many as are shown, and how many are not.
fn shown(chosen: &[&Life<'_>]) -> (usize, Vec<usize>) {
    let mut places: Vec<usize> = chosen.iter().flat_map(|life| life.places.iter().copied()).collect();
    places.sort_unstable();
    let left_out = places.len().saturating_sub(STEPS_SHOWN_MAX);
    if left_out > 0 {
        // That they came stays, and then what happened last.
        let firsts: Vec<usize> = chosen.iter().map(|life| life.first()).collect();
        let (mut kept, rest): (Vec<usize>, Vec<usize>) = places.iter().partition(|at| firsts.contains(at));
        kept.extend(&rest[left_out..]);
        kept.sort_unstable();
        places = kept;
    }
    (left_out, places)
}

/// What an order holds true.
#[derive(Clone, Copy)]
struct Held {
    /// What it believes is left.
    units: i64,
    /// What must be there for that to be so.
    base: i64,
}

fn walk(shown: &[usize], left_out: usize, told: &Told<'_>, oversold: bool) -> Vec<TraceStep> {
    let mut held: BTreeMap<&str, Held> = BTreeMap::new();
    let (mut walked, mut previous) = (Vec::with_capacity(shown.len()), None);
    let began = shown.first().map_or(0, |place| told.steps[*place].t_us);
    for (n, place) in (1..).zip(shown) {
        let (step, stand) = (&told.steps[*place], told.stands[*place]);
        let Some(lane) = &step.lane else { continue };
        let name = told.name(lane.n);
        believe(&mut held, name, step.act);
        let believes = held.iter().map(|(lane, held)| Belief {
            lane: (*lane).to_owned(),
            units: held.units,
            stale: stand.counter.is_some_and(|counter| counter != held.base),
        });
        let (kind, seen, wrote, ok) = facts(step.act);
        let mut note = words::meanwhile(previous, *place, told) + &words::note(*place, told, oversold);
        if previous.is_some_and(|before: usize| left_out > 0 && skips(before, *place, told)) {
            note.push_str(" Some steps of these orders before this one are left out.");
        }
        walked.push(TraceStep {
            n,
            t_us: step.t_us - began,
            lane: name.to_owned(),
            kind,
            seen,
            wrote,
            ok,
            statement: step.statement.map(str::to_owned),
            counter: stand.counter,
            ledger: stand.sold,
            believes: believes.collect(),
            note,
        });
        previous = Some(*place);
    }
    walked
}

/// Are steps of the orders that are shown between these two?
fn skips(before: usize, place: usize, told: &Told<'_>) -> bool {
    let ours = |step: &Step| step.lane.as_ref().is_some_and(|lane| told.names.contains_key(&lane.n));
    told.steps[before + 1..place].iter().any(ours)
}

fn believe(held: &mut BTreeMap<&'static str, Held>, name: &'static str, act: Act) {
    match act {
        Act::Read { seen } => _ = held.insert(name, Held { units: seen, base: seen }),
        Act::Write(wrote) => {
            if let Some(held) = held.get_mut(name) {
                held.units = match wrote {
                    Wrote::To(units) => units,
                    Wrote::By(units) => held.base - units,
                };
            }
        }
        Act::Commit => {
            if let Some(held) = held.get_mut(name) {
                held.base = held.units;
            }
        }
        Act::Retry | Act::Reply { .. } => _ = held.remove(name),
        _ => {}
    }
}

/// What is said of a step on the wire.
fn facts(act: Act) -> (StepKind, Option<i64>, Option<i64>, Option<bool>) {
    let bare = |kind| (kind, None, None, None);
    match act {
        Act::Arrive | Act::Back { .. } => bare(StepKind::Arrive),
        Act::Enter => bare(StepKind::Enter),
        Act::Read { seen } => (StepKind::Read, Some(seen), None, None),
        Act::Check { ok } => (StepKind::Check, None, None, Some(ok)),
        Act::Write(Wrote::To(units)) => (StepKind::Write, None, Some(units), None),
        Act::Write(Wrote::By(_)) => bare(StepKind::Write),
        Act::Commit => bare(StepKind::Commit),
        Act::Decide { ok } => (StepKind::Decide, None, None, Some(ok)),
        Act::Leave { .. } => bare(StepKind::Leave),
        Act::Retry => bare(StepKind::Retry),
        Act::Reply { .. } => bare(StepKind::Reply),
    }
}
