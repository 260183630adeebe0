//! How it stands after each step: units sold in the ledger, and the counter as far as it is known.
//!
//! A write counts when its commit was heard of. Answers may be heard in another order than their statements
//! ran in, so a read may know more than was heard of, or less: a number that nobody is known to have left
//! there since that order's last step is newer than everything that was heard.

use std::collections::{HashMap, VecDeque};

use super::step::{Act, Step, Wrote};

/// Values of the counter that are remembered, to tell an old one from a new one.
const REMEMBERED: usize = 256;
/// Orders under way that are remembered, far beyond those that are worked on at once.
const OPEN_MAX: usize = 4_096;

/// How it stands.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Units at opening, and what an operator put on sale or took off since.
    pub for_sale: i64,
    /// Units sold in the ledger.
    pub sold: i64,
    /// The counter by the writes that were heard of.
    heard: i64,
    ahead: Ahead,
    /// Counts steps.
    n: u64,
    /// Orders that were not answered yet, by their numbers.
    open: HashMap<u64, Open>,
    /// Which value the counter has had since which step.
    values: VecDeque<(u64, Option<i64>)>,
}

/// What somebody knows of the counter beyond the writes that were heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    Nothing,
    Seen(i64),
    /// There is less than the writes say, nobody knows how much.
    Less,
}

/// An order under way.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// Its last step.
    last: u64,
    /// Written, and not committed.
    wrote: Option<Wrote>,
    /// Taken outside of the ledger, which does not have it yet.
    took: bool,
}

impl State {
    pub(super) fn new(units: i64) -> State {
        State {
            for_sale: units,
            sold: 0,
            heard: units,
            ahead: Ahead::Nothing,
            n: 0,
            open: HashMap::new(),
            values: VecDeque::from([(0, Some(units))]),
        }
    }

    /// What the counter says, as others see it; `None` where that is not known.
    pub(super) fn counter(&self) -> Option<i64> {
        match self.ahead {
            Ahead::Nothing => Some(self.heard),
            Ahead::Seen(units) => Some(units),
            Ahead::Less => None,
        }
    }

    /// One step further.
    pub(super) fn apply(&mut self, step: &Step) {
        self.n += 1;
        match (&step.lane, step.act) {
            (None, Act::Back { units, ended }) => {
                self.heard += units;
                self.ahead = Ahead::Nothing;
                if ended { self.sold -= units } else { self.for_sale += units }
            }
            (Some(lane), act) => self.apply_own(lane.n, lane.quantity, act),
            (None, _) => {}
        }
        let counter = self.counter();
        if self.values.back().is_none_or(|(_, value)| *value != counter) {
            self.values.push_back((self.n, counter));
            if self.values.len() > REMEMBERED {
                self.values.pop_front();
            }
        }
    }

    fn apply_own(&mut self, lane: u64, quantity: i64, act: Act) {
        let known = self.open.remove(&lane);
        let mut own = known.unwrap_or(Open { last: self.n, ..Open::default() });
        match act {
            Act::Read { seen } if !self.was(seen, own.last) => self.ahead = Ahead::Seen(seen),
            Act::Write(wrote) => own.wrote = Some(wrote),
            Act::Decide { ok: true } => {
                self.take(Wrote::By(quantity));
                own.took = true;
            }
            // It takes what others have taken and were not heard to have.
            Act::Decide { ok: false } if self.counter().is_some_and(|units| units >= quantity) => {
                self.ahead = if quantity == 1 { Ahead::Seen(0) } else { Ahead::Less };
            }
            Act::Commit => {
                if let Some(wrote) = own.wrote.take() {
                    self.take(wrote);
                }
                own.took = false;
                self.sold += quantity;
            }
            Act::Retry | Act::Reply { .. } => {
                // The ledger has refused what was taken elsewhere.
                if own.took && !matches!(act, Act::Reply { outcome: "sold" | "unknown" }) {
                    self.heard += quantity;
                }
                own = Open::default();
            }
            _ => {}
        }
        own.last = self.n;
        // Who was answered already and is recorded later is not under way again.
        let under_way = known.is_some() || act == Act::Arrive;
        if under_way && self.open.len() < OPEN_MAX && !matches!(act, Act::Reply { .. }) {
            self.open.insert(lane, own);
        }
    }

    fn take(&mut self, wrote: Wrote) {
        match wrote {
            Wrote::To(units) => (self.heard, self.ahead) = (units, Ahead::Nothing),
            Wrote::By(units) => {
                self.heard -= units;
                // What was seen is caught up with at some time.
                if !matches!(self.ahead, Ahead::Seen(seen) if seen < self.heard) {
                    self.ahead = Ahead::Nothing;
                }
            }
        }
    }

    /// Did the counter have this value at that step, or at some time since?
    fn was(&self, units: i64, since: u64) -> bool {
        let then = self.values.iter().rposition(|(n, _)| *n <= since).unwrap_or(0);
        self.values.iter().skip(then).any(|(_, value)| *value == Some(units))
    }
}
