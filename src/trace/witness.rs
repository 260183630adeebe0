//! Of all orders of a sale the two or three that tell how it was decided.
//!
//! Where more was sold than there is: the order whose commit first went beyond it, and those that acted on
//! the same number as it did. Else the closest call: one order that sold, and one that was there at the same
//! time and found too little, or had to begin anew. Steps of all others are left out of the picture and
//! stay in the count: ledger and counter are those after every step of every order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::record::Recorded;
use super::state::State;
use super::step::{Act, Lane, Step, Wrote};
use super::words::{self, Told};
use crate::wire::{Belief, StepKind, Trace, TraceKind, TraceLane, TraceStep};

/// Steps of a trace: what a page shows, and a kept run has room for.
pub(super) const STEPS_SHOWN_MAX: usize = 60;
/// Orders beside the one that was sold too much.
const OTHERS_MAX: usize = 2;
/// Two orders with so many steps together are looked through at a glance; a shorter pair is preferred to an
/// earlier one only above this.
const GLANCE: usize = 20;
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

/// All steps of one order, by their places in the record.
struct Life<'a> {
    lane: &'a Arc<Lane>,
    places: Vec<usize>,
}

impl Life<'_> {
    fn first(&self) -> usize {
        self.places.first().copied().unwrap_or_default()
    }

    fn find(&self, steps: &[Step], wanted: impl Fn(Act) -> bool) -> Option<usize> {
        self.places.iter().rfind(|place| wanted(steps[**place].act)).copied()
    }

    fn commit(&self, steps: &[Step]) -> Option<usize> {
        self.find(steps, |act| act == Act::Commit)
    }

    /// What it read last, and where.
    fn read(&self, steps: &[Step]) -> Option<(usize, i64)> {
        let place = self.find(steps, |act| matches!(act, Act::Read { .. }))?;
        let Act::Read { seen } = steps[place].act else { return None };
        Some((place, seen))
    }

    /// What its buyer was told; empty: nothing yet.
    fn outcome(&self, steps: &[Step]) -> &'static str {
        let reply = self.find(steps, |act| matches!(act, Act::Reply { .. }));
        let outcome = |place: usize| match steps[place].act {
            Act::Reply { outcome } => outcome,
            _ => "",
        };
        reply.map_or("", outcome)
    }
}

/// Which orders were picked, and for what.
pub(super) enum Picked {
    /// The order of this number was sold beyond the stock; it and these others read so many.
    Oversold { beyond: u64, read: Option<i64> },
    /// The second one found too little after the first one's commit.
    Refused { sold: u64, refused: u64 },
    /// The second one began anew after the first one's commit.
    Retried { sold: u64, retried: u64 },
    /// Both were sold, the second one while the first one was under way.
    Both,
    /// No two orders were under way at once.
    Alone,
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
    let lives = lives(steps);
    let (picked, mut chosen) = oversold(steps, &stands, &lives).or_else(|| closest_call(steps, &lives))?;
    chosen.sort_by_key(|life| life.first());
    let (left_out, shown) = shown(&chosen);
    let names: HashMap<u64, &'static str> = chosen.iter().map(|life| life.lane.n).zip(NAMES).collect();
    let lane = |life: &&Life<'_>| TraceLane {
        id: names.get(&life.lane.n).copied().unwrap_or_default().to_owned(),
        buyer_id: life.lane.buyer_id.clone(),
        key: life.lane.key.clone(),
        outcome: life.outcome(steps).to_owned(),
    };
    let before = Stand::of(&recorded.before);
    let told = Told { names: &names, steps, stands: &stands, before };
    let kind = match picked {
        Picked::Oversold { .. } => TraceKind::Oversold,
        _ => TraceKind::ClosestCall,
    };
    Some(Trace {
        kind,
        sentence: words::sentence(&picked, &chosen.iter().map(|l| l.lane.n).collect::<Vec<_>>(), &told),
        counter: counter.to_owned(),
        opened: recorded.opened,
        lanes: chosen.iter().map(lane).collect(),
        steps: walk(&shown, left_out, &told, kind == TraceKind::Oversold),
        recorded: recorded.orders,
        truncated: recorded.truncated || left_out > 0,
    })
}

fn lives(steps: &[Step]) -> Vec<Life<'_>> {
    let mut lives: BTreeMap<u64, Life<'_>> = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        if let Some(lane) = &step.lane {
            lives.entry(lane.n).or_insert(Life { lane, places: Vec::new() }).places.push(place);
        }
    }
    lives.into_values().collect()
}

type Choice<'a, 'b> = (Picked, Vec<&'b Life<'a>>);

/// The order whose commit first went beyond what was for sale, and who acted on the same number.
fn oversold<'a, 'b>(steps: &[Step], stands: &[Stand], lives: &'b [Life<'a>]) -> Option<Choice<'a, 'b>> {
    let over =
        |place: &usize| steps[*place].act == Act::Commit && stands[*place].sold > stands[*place].for_sale;
    let beyond = (0..steps.len()).find(over)?;
    let n = steps[beyond].lane.as_ref()?.n;
    let life = lives.iter().find(|life| life.lane.n == n)?;
    let read = life.read(steps).filter(|(place, _)| *place < beyond);
    let before = |other: &&Life<'_>| other.lane.n != n && other.commit(steps).is_some_and(|at| at < beyond);
    let mut others: Vec<&Life<'_>> = lives.iter().filter(before).collect();
    others.sort_by_key(|other| {
        let at = other.commit(steps).unwrap_or_default();
        let alike = read.is_some() && other.read(steps).map(|(_, seen)| seen) == read.map(|(_, seen)| seen);
        let made_stale = read.is_none_or(|(place, _)| at > place);
        std::cmp::Reverse((alike, made_stale, at))
    });
    let seen = read.map(|(_, seen)| seen);
    let alike = |other: &&Life<'_>| other.read(steps).map(|(_, seen)| seen) == seen;
    let acted_alike = others.iter().take_while(|other| alike(other)).count();
    others.truncate(acted_alike.clamp(1, OTHERS_MAX));
    let read = seen.filter(|_| acted_alike > 0);
    others.push(life);
    Some((Picked::Oversold { beyond: n, read }, others))
}

/// One that sold, and one that was there at the same time and went without, or went twice.
fn closest_call<'a, 'b>(steps: &[Step], lives: &'b [Life<'a>]) -> Option<Choice<'a, 'b>> {
    let of = |n: u64| lives.iter().find(|life| life.lane.n == n);
    // Who lost by that step, and who had committed last while the loser was there.
    let pair = |place: usize| -> Option<(&'b Life<'a>, &'b Life<'a>)> {
        let loser = of(steps[place].lane.as_ref()?.n)?;
        let winner = steps[loser.first()..place].iter().rev().find_map(|step| {
            step.lane.as_ref().filter(|lane| step.act == Act::Commit && lane.n != loser.lane.n)
        })?;
        Some((of(winner.n)?, loser))
    };
    let nearest = |lost: fn(Act) -> bool| {
        let pairs = (0..steps.len()).filter(|place| lost(steps[*place].act)).filter_map(pair);
        pairs.min_by_key(|(winner, loser)| (winner.places.len() + loser.places.len()).max(GLANCE))
    };
    if let Some((winner, loser)) = nearest(Act::refuses) {
        let picked = Picked::Refused { sold: winner.lane.n, refused: loser.lane.n };
        return Some((picked, vec![winner, loser]));
    }
    if let Some((winner, loser)) = nearest(|act| act == Act::Retry) {
        let picked = Picked::Retried { sold: winner.lane.n, retried: loser.lane.n };
        return Some((picked, vec![winner, loser]));
    }
    let commits = (0..steps.len()).rev().filter(|place| steps[*place].act == Act::Commit);
    if let Some((winner, other)) = commits.filter_map(pair).next() {
        return Some((Picked::Both, vec![winner, other]));
    }
    // The last who sold, and whoever came after or before.
    let last = lives.iter().rposition(|life| life.commit(steps).is_some()).unwrap_or_default();
    let near: Vec<&Life<'_>> = lives.iter().skip(last.saturating_sub(1)).take(2).collect();
    let together = matches!(near[..], [a, b] if b.first() < a.places.last().copied().unwrap_or_default());
    let picked = if together { Picked::Both } else { Picked::Alone };
    (!near.is_empty()).then_some((picked, near))
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
