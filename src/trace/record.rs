//! The steps of one sale, of which the last ones are kept until it comes to what is worth showing.
//!
//! A window moves along with the sale. When more is committed than there is, it takes in some more steps and
//! then stands still for good. Before that, the first order that finds too little opens a second window that
//! is kept aside, for the case that nothing is ever oversold.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::state::State;
use super::step::{Act, Lane, Step};

/// Steps that are kept while the window moves: those of the orders that one strategy works on at once.
const BEFORE: usize = 3_072;
/// Steps of a window, those after the moment that is worth showing included.
pub(super) const STEPS_MAX: usize = BEFORE + 1_024;

/// The record of one sale.
#[derive(Debug)]
pub(super) struct Record {
    opened: i64,
    began: Instant,
    /// Nothing is added any more.
    closed: AtomicBool,
    /// And something would have been.
    more: AtomicBool,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    /// After all steps so far.
    now: State,
    window: Window,
    /// Around the first order that found too little.
    call: Option<Window>,
    /// Was a unit too many committed? Then the window moves no more, and is filled up.
    beyond: bool,
    orders: u64,
    /// Has the window moved?
    moved: bool,
}

/// Steps in the order in which they were written down, and how it stood before the first of them.
#[derive(Clone, Debug)]
struct Window {
    before: State,
    steps: VecDeque<Step>,
}

/// What is read of a record.
pub(super) struct Recorded {
    pub opened: i64,
    pub before: State,
    pub steps: Vec<Step>,
    pub orders: u64,
    pub truncated: bool,
}

impl Record {
    pub(super) fn new(units: i64) -> Record {
        let now = State::new(units);
        let window = Window { before: now.clone(), steps: VecDeque::new() };
        Record {
            opened: units,
            began: Instant::now(),
            closed: AtomicBool::new(false),
            more: AtomicBool::new(false),
            book: Mutex::new(Book { now, window, call: None, beyond: false, orders: 0, moved: false }),
        }
    }

    /// A number for an order; `None` when no more are taken in.
    pub(super) fn enlist(&self) -> Option<u64> {
        if self.closed.load(Relaxed) {
            self.more.store(true, Relaxed);
            return None;
        }
        let mut book = self.book();
        book.orders += 1;
        Some(book.orders)
    }

    /// Writes steps down. The clock is read inside, so that they stand in the order of their times.
    pub(super) fn note(&self, lane: Option<&Arc<Lane>>, acts: &[(Act, Option<&'static str>)]) {
        let mut book = self.book();
        let t_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        for (act, statement) in acts {
            if self.closed.load(Relaxed) {
                self.more.store(true, Relaxed);
                return;
            }
            let step = Step { lane: lane.cloned(), t_us, act: *act, statement: *statement };
            let goes_on = book.push(step);
            self.closed.store(!goes_on, Relaxed);
        }
    }

    /// The window that shows most.
    pub(super) fn read(&self) -> Recorded {
        let book = self.book();
        let kept = book.call.as_ref().filter(|_| !book.beyond).unwrap_or(&book.window);
        Recorded {
            opened: self.opened,
            before: kept.before.clone(),
            steps: kept.steps.iter().cloned().collect(),
            orders: book.orders,
            truncated: book.moved || self.more.load(Relaxed),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Does it go on?
    fn push(&mut self, step: Step) -> bool {
        self.now.apply(&step);
        if let Some(call) = self.call.as_mut().filter(|call| call.steps.len() < STEPS_MAX) {
            call.steps.push_back(step.clone());
        }
        let act = step.act;
        self.window.steps.push_back(step);
        if self.beyond {
            return self.window.steps.len() < STEPS_MAX;
        }
        if self.window.steps.len() > BEFORE {
            self.window.pass();
            self.moved = true;
        }
        if act == Act::Commit && self.now.sold > self.now.for_sale {
            (self.beyond, self.call) = (true, None);
        } else if act.refuses() && self.call.is_none() {
            self.call = Some(self.window.clone());
        }
        true
    }
}

impl Window {
    /// The oldest step goes.
    fn pass(&mut self) {
        if let Some(oldest) = self.steps.pop_front() {
            self.before.apply(&oldest);
        }
    }
}
