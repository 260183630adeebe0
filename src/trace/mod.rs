//! What the orders of a sale did, step by step, as this process saw it happen: the record behind the picture
//! of how a strategy sold too much, or did not.
//!
//! Recorded are orders of sales that were opened in the lab. A step is written down when its answer is here,
//! so two steps of different orders may have happened the other way round inside a store; what one order saw
//! is never doubted. Other processes that sell from the same stock are not seen.
//!
//! Bounded: `record::STEPS_MAX` (4,096) steps in each of two windows per sale, `SALES_MAX` (8) sales, the
//! oldest goes; some megabytes in all. Off, an order carries a `None`, and each step of it costs one branch:
//! nothing is allocated, locked, or read from a clock.

#[cfg(test)]
mod bounds;
mod choice;
mod record;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod witness;
mod words;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use uuid::Uuid;

use crate::wire::Trace;
use record::Record;
use step::{Act, Lane, Wrote};

/// Sales whose steps are kept.
const SALES_MAX: usize = 8;

/// Keeps the records of a service.
pub struct Recorder {
    on: bool,
    records: Mutex<VecDeque<(Uuid, Arc<Record>)>>,
}

impl Recorder {
    /// Off: it never records anything.
    pub fn new(on: bool) -> Recorder {
        Recorder { on, records: Mutex::default() }
    }

    /// Begins the record of a sale that is being opened with so many units.
    pub fn open(&self, sale: Uuid, units: i64) -> Watch {
        if !self.on {
            return Watch::default();
        }
        let record = Arc::new(Record::new(units));
        let watch = Watch(Some(Arc::downgrade(&record)));
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == SALES_MAX {
            records.pop_front();
        }
        records.push_back((sale, record));
        watch
    }

    /// Ends the record of a sale: another strategy sells it from here on.
    pub fn forget(&self, sale: Uuid) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| *id != sale);
    }
}

/// What an open sale has of its record: nothing where none is kept, or not any more.
#[derive(Clone, Default)]
pub struct Watch(Option<Weak<Record>>);

impl Watch {
    /// An order reaches the strategy. Its steps are recorded by what comes back.
    #[inline]
    pub fn follow(&self, buyer_id: &str, key: &str, quantity: i64) -> Track {
        match &self.0 {
            None => Track::default(),
            Some(record) => begin(record, buyer_id, key, quantity),
        }
    }

    /// Units came back: of orders that `ended`, or by an operator's change.
    pub fn came_back(&self, units: i64, ended: bool) {
        if let Some(record) = self.0.as_ref().and_then(Weak::upgrade).filter(|_| units != 0) {
            record.note(None, &[(Act::Back { units, ended }, None)]);
        }
    }

    /// The orders that tell how it was decided; `None` where nothing was recorded. `counter`: what is fought
    /// over, in words.
    pub fn witness(&self, counter: &str) -> Option<Trace> {
        let record = self.0.as_ref()?.upgrade()?;
        witness::witness(&record.read(), counter)
    }
}

#[cold]
fn begin(record: &Weak<Record>, buyer_id: &str, key: &str, quantity: i64) -> Track {
    let Some(record) = record.upgrade() else { return Track::default() };
    let Some(n) = record.enlist() else { return Track::default() };
    let (buyer_id, key) = (buyer_id.to_owned(), key.to_owned());
    let lane = Arc::new(Lane { n, buyer_id, key, quantity, record: Arc::downgrade(&record) });
    record.note(Some(&lane), &[(Act::Arrive, None)]);
    Track(Some(lane))
}

/// What an order carries: where its steps are written down. Strategies say in one line each what they have
/// just done; where nothing is recorded, that is one branch.
#[derive(Clone, Default)]
pub struct Track(Option<Arc<Lane>>);

impl Track {
    /// It was let in by a lock.
    #[inline]
    pub fn enter(&self) {
        self.note(&[(Act::Enter, None)]);
    }

    /// It read how many units are left. `statement`: its file, as on the card.
    #[inline]
    pub fn read(&self, seen: i64, statement: &'static str) {
        self.note(&[(Act::Read { seen }, Some(statement))]);
    }

    /// It compared what it read with what it wants.
    #[inline]
    pub fn check(&self, ok: bool) {
        self.note(&[(Act::Check { ok }, None)]);
    }

    /// It wrote a number that it had worked out.
    #[inline]
    pub fn write(&self, to: i64, statement: &'static str) {
        self.note(&[(Act::Write(Wrote::To(to)), Some(statement))]);
    }

    /// It had so many units subtracted from whatever stood there.
    #[inline]
    pub fn subtract(&self, by: i64, statement: &'static str) {
        self.note(&[(Act::Write(Wrote::By(by)), Some(statement))]);
    }

    /// Its order and what it wrote are durable, and seen by others.
    #[inline]
    pub fn commit(&self) {
        self.note(&[(Act::Commit, None)]);
    }

    /// One statement or script read, checked and, if `sold`, took.
    #[inline]
    pub fn decide(&self, sold: bool, statement: &'static str) {
        self.note(&[(Act::Decide { ok: sold }, Some(statement))]);
    }

    /// The same where its answer says too that it is committed.
    #[inline]
    pub fn decide_and_commit(&self, sold: bool, statement: &'static str) {
        let both = [(Act::Decide { ok: sold }, Some(statement)), (Act::Commit, None)];
        self.note(&both[..1 + usize::from(sold)]);
    }

    /// It let the lock go. `lost`: that was not its own any more.
    #[inline]
    pub fn leave(&self, lost: bool) {
        self.note(&[(Act::Leave { lost }, None)]);
    }

    /// Others were in its way; nothing was taken, and it begins anew.
    #[inline]
    pub fn retry(&self) {
        self.note(&[(Act::Retry, None)]);
    }

    /// Its buyer is answered.
    #[inline]
    pub fn reply(&self, outcome: &'static str) {
        self.note(&[(Act::Reply { outcome }, None)]);
    }

    /// Is anything recorded?
    #[inline]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    fn note(&self, acts: &[(Act, Option<&'static str>)]) {
        if let Some(lane) = &self.0 {
            write_down(lane, acts);
        }
    }
}

#[cold]
fn write_down(lane: &Arc<Lane>, acts: &[(Act, Option<&'static str>)]) {
    if let Some(record) = lane.record.upgrade() {
        record.note(Some(lane), acts);
    }
}

/// Two orders are the same by what they ask for, whoever watches them.
impl PartialEq for Track {
    fn eq(&self, _: &Track) -> bool {
        true
    }
}

impl Eq for Track {}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "on" } else { "off" })
    }
}
