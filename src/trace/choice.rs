//! Which orders tell how a sale was decided.
//!
//! Where more was sold than there is, the order whose commit first went beyond it is one of them, but not
//! always the one that went wrong: if two orders before it acted on one number, the counter is too high by
//! one from then on, and whoever buys that unit has looked at a counter that nobody else was changing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::step::{Act, Lane, Step};

/// Orders beside the one that was sold too much.
const OTHERS_MAX: usize = 2;
/// Two orders with so many steps together are looked through at a glance; a shorter pair is preferred to an
/// earlier one only above this.
const GLANCE: usize = 20;

/// Which orders were picked, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picked {
    /// The order of this number was sold beyond the stock; it and all others that are shown read so many.
    Alike { beyond: u64, read: i64 },
    /// It did not know what the other one took between its read and its commit.
    Unaware { beyond: u64, read: i64 },
    /// Before it two others read so many and both acted on it, so that the counter was too high.
    Inflated { beyond: u64, others: [u64; 2], read: i64 },
    /// What led there is not among the steps.
    Unexplained { beyond: u64 },
    /// Both were there at the same time; the second one found too little.
    Refused { sold: u64, refused: u64 },
    /// Both were there at the same time; the second one began anew.
    Retried { sold: u64, retried: u64 },
    /// Both were there at the same time, and nothing else happened to them.
    Both,
    /// They were not.
    Apart,
}

impl Picked {
    /// Was more sold than there is?
    pub(super) fn is_oversold(self) -> bool {
        use Picked::{Alike, Inflated, Unaware, Unexplained};
        matches!(self, Alike { .. } | Unaware { .. } | Inflated { .. } | Unexplained { .. })
    }
}

/// All steps of one order.
pub(super) struct Life<'a> {
    pub lane: &'a Arc<Lane>,
    /// Their places in the record.
    pub places: Vec<usize>,
    read: Option<Read>,
    commit: Option<usize>,
    /// Where it had its units: by a script, or with its commit.
    took: Option<usize>,
}

/// A number that an order read last.
#[derive(Clone, Copy)]
struct Read {
    seen: i64,
    /// Where its answer was there. It may have been read at any time since the step before.
    place: usize,
    since: usize,
}

impl Life<'_> {
    pub(super) fn first(&self) -> usize {
        self.places.first().copied().unwrap_or_default()
    }

    fn last(&self) -> usize {
        self.places.last().copied().unwrap_or_default()
    }

    fn live(&mut self, place: usize, act: Act) {
        match act {
            Act::Read { seen } => {
                let since = self.places.last().copied().unwrap_or_default();
                self.read = Some(Read { seen, place, since });
            }
            Act::Decide { ok: true } => self.took = Some(place),
            Act::Commit => {
                self.commit = Some(place);
                self.took.get_or_insert(place);
            }
            _ => {}
        }
        self.places.push(place);
    }
}

/// The orders of these steps.
pub(super) fn lives(steps: &[Step]) -> Vec<Life<'_>> {
    let mut lives: BTreeMap<u64, Life<'_>> = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        let Some(lane) = &step.lane else { continue };
        let life = Life { lane, places: Vec::new(), read: None, commit: None, took: None };
        lives.entry(lane.n).or_insert(life).live(place, step.act);
    }
    lives.into_values().collect()
}

type Choice<'a, 'b> = (Picked, Vec<&'b Life<'a>>);

/// The order whose commit stands at this place and went beyond what was for sale, and who explains it.
pub(super) fn oversold<'a, 'b>(at: usize, lives: &'b [Life<'a>]) -> Option<Choice<'a, 'b>> {
    let life = lives.iter().find(|life| life.commit == Some(at))?;
    let beyond = life.lane.n;
    let before = |other: &&Life<'_>| other.commit.is_some_and(|commit| commit < at);
    let mut others: Vec<&Life<'_>> = lives.iter().filter(before).collect();
    others.sort_by_key(|other| std::cmp::Reverse(other.commit));
    let (picked, mut chosen) = match life.read {
        None => (Picked::Unexplained { beyond }, Vec::new()),
        Some(read) => explain(beyond, read, &others),
    };
    chosen.push(life);
    Some((picked, chosen))
}

/// `others`: those with a commit before, the last one first.
fn explain<'a, 'b>(beyond: u64, read: Read, others: &[&'b Life<'a>]) -> Choice<'a, 'b> {
    let since = |place: usize| others.iter().filter(move |other| other.commit > Some(place)).copied();
    let same = |other: &&Life<'_>| other.read.is_some_and(|other| other.seen == read.seen);
    let alike: Vec<_> = since(read.since).filter(same).take(OTHERS_MAX).collect();
    if !alike.is_empty() {
        return (Picked::Alike { beyond, read: read.seen }, alike);
    }
    if let Some(other) = since(read.place).next() {
        return (Picked::Unaware { beyond, read: read.seen }, vec![other]);
    }
    match lost_update(others) {
        Some(([one, two], seen)) => {
            let others = [one.lane.n, two.lane.n];
            (Picked::Inflated { beyond, others, read: seen }, vec![one, two])
        }
        None => (Picked::Unexplained { beyond }, Vec::new()),
    }
}

/// The last two orders that acted on the same number: the second one had read it before it heard, or could
/// have heard, of the first one's commit.
fn lost_update<'a, 'b>(last_first: &[&'b Life<'a>]) -> Option<([&'b Life<'a>; 2], i64)> {
    let mut by_number: HashMap<i64, &'b Life<'a>> = HashMap::new();
    for earlier in last_first {
        let Some(read) = earlier.read else { continue };
        if let Some(later) = by_number.insert(read.seen, earlier)
            && later.read.is_some_and(|later| Some(later.since) < earlier.commit)
        {
            return Some(([earlier, later], read.seen));
        }
    }
    None
}

/// One that sold, and one that was there at the same time and went without, or went twice.
pub(super) fn closest_call<'a, 'b>(steps: &[Step], lives: &'b [Life<'a>]) -> Option<Choice<'a, 'b>> {
    let of: HashMap<u64, &Life<'_>> = lives.iter().map(|life| (life.lane.n, life)).collect();
    let mut takers: Vec<&Life<'_>> = lives.iter().filter(|life| life.took.is_some()).collect();
    takers.sort_by_key(|life| std::cmp::Reverse(life.took));
    // Who lost by that step, and who had taken last of those that were there with it.
    let pair = |place: usize| {
        let loser = *of.get(&steps[place].lane.as_ref()?.n)?;
        let with = |taker: &&&Life<'_>| {
            taker.took < Some(place) && taker.last() > loser.first() && taker.lane.n != loser.lane.n
        };
        takers.iter().find(with).map(|winner| (*winner, loser))
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
    if takers.is_empty() && !steps.iter().any(|step| step.act.refuses()) {
        // Nothing was decided: a control, or nobody has come as far yet.
        return None;
    }
    // The last who sold, and whoever came before or after.
    let last = lives.iter().rposition(|life| life.commit.is_some()).unwrap_or_default();
    let near: Vec<&Life<'_>> = lives.iter().skip(last.saturating_sub(1)).take(2).collect();
    let together = matches!(near[..], [a, b] if b.first() < a.last());
    let picked = if together { Picked::Both } else { Picked::Apart };
    (!near.is_empty()).then_some((picked, near))
}
