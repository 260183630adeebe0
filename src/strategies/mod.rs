//! The exhibit: one file per way to take stock.
//!
//! # Adding a strategy
//!
//! 1. Write `x.rs` (and `x.sql` or `x.lua` beside it). Copy the shape of [`atomic_update`], the shortest
//!    complete one: a head with the five headings, `SPEC`, a struct, `impl Strategy`.
//! 2. Add `mod x;` and `&x::SPEC,` to the two lists below, in the order of the exhibition: broken first,
//!    then from simple to distributed.
//!
//! Nothing else. The card on the dashboard, the README row, `sellout strategies`, the load test's choice
//! and the conformance tests all come from the list. A lock needs only [`crate::locks`].
//!
//! Five things to note:
//! - the order is recorded by `record_order` in the *same* statement or transaction that takes the units;
//! - an error before the write says so ([`crate::ledger::before_write`]), one after it is *unknown*
//!   ([`crate::ledger::at_write`]), so take the connection first;
//! - a started critical section is never cancelled by its client (checkout sees to that), but every wait
//!   in it must have a limit;
//! - at each line where an interleaving matters, say what another buyer can do just now;
//! - what is done is told to `order.trace` once its answer is here: a line for each step.

mod atomic_update;
mod fence_on_write_only;
mod fenced_take;
mod flush_barrier;
mod group_commit;
mod lock_released_before_commit;
mod naive;
mod noop;
mod optimistic;
mod pg_advisory_same_statement;
mod redis_buckets;
mod redis_lua;
mod redis_lua_ack_early;
mod redis_lua_batched;
mod row_lock;
mod serializable;
mod skip_locked;
mod skip_locked_count;
mod stripes;
mod ticket;
mod under_lock;
mod unguarded_decrement;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use crate::backends::Backends;
pub use crate::backends::Need;
use crate::locks::{Facts, requirements};
use crate::sale::{Back, Error, Order, Outcome, Sale};
pub use crate::wire::Hazard;
use crate::wire::{Guarantee, LockCard, LockTrips, RoundTrips};

/// All strategies, in the order of the exhibition.
pub static ALL: &[&Spec] = &[
    &naive::SPEC,
    &unguarded_decrement::SPEC,
    &lock_released_before_commit::SPEC,
    &pg_advisory_same_statement::SPEC,
    &skip_locked_count::SPEC,
    &under_lock::LOCK_REDISSON_THREAD_ID,
    &under_lock::LOCK_REDIS_SHORT_LEASE,
    &under_lock::LOCK_REDIS_DEL,
    &under_lock::FENCE_ON_WRITE_ONLY,
    &atomic_update::SPEC,
    &row_lock::SPEC,
    &optimistic::SPEC,
    &serializable::SPEC,
    &flush_barrier::SPEC,
    &ticket::SPEC,
    &stripes::SPEC,
    &skip_locked::SPEC,
    &under_lock::LOCK_IN_PROCESS,
    &under_lock::LOCK_IN_PROCESS_FENCED,
    &under_lock::LOCK_PG_ROW,
    &under_lock::LOCK_PG_ROW_FENCED,
    &under_lock::LOCK_PG_ADVISORY,
    &under_lock::LOCK_PG_ADVISORY_FENCED,
    &under_lock::LOCK_PG_TABLE,
    &under_lock::LOCK_PG_TABLE_FENCED,
    &under_lock::LOCK_PG_UNIQUE,
    &under_lock::LOCK_REDIS,
    &under_lock::LOCK_REDIS_FENCED,
    &under_lock::LOCK_REDISSON,
    &under_lock::LOCK_REDISSON_FENCED,
    &under_lock::LOCK_REDLOCK,
    &under_lock::LOCK_REDLOCK_FENCED,
    &under_lock::LOCK_ZOOKEEPER,
    &under_lock::LOCK_ZOOKEEPER_FENCED,
    &under_lock::LOCK_CURATOR,
    &under_lock::LOCK_CURATOR_FENCED,
    &under_lock::LOCK_ETCD,
    &under_lock::LOCK_ETCD_FENCED,
    &group_commit::SPEC,
    &redis_lua::SPEC,
    &redis_lua_batched::SPEC,
    &redis_buckets::SPEC,
    &redis_lua_ack_early::SPEC,
    &noop::SPEC,
];

/// One way to take stock.
#[async_trait]
pub trait Strategy: Send + Sync {
    /// Can it sell that many? Asked before a sale is opened with it, or handed over to it.
    async fn fits(&self, sale: &Sale) -> Result<(), Error> {
        let _any_number = sale;
        Ok(())
    }

    /// Puts the units of a sale on sale for its epoch; called before the first order of it. Calling it again
    /// changes nothing.
    async fn open(&self, sale: &Sale) -> Result<(), Error>;

    /// Takes the order's units and records it, or says sold out. Durable before it returns `Sold`.
    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error>;

    /// Puts units back, together with the reason (orders that end, an operator's change): its own way, under
    /// its own lock or version, or somebody who has read and not written yet would write over them. Answers
    /// by how many units the stock moved; 0 where it was done before. Only where [`Spec::gives_back`].
    /// `lane`: connections of their own, so that a rush of buyers does not keep units from coming back.
    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        let _nothing_comes_back = (lane, sale, back);
        Err(Error::Unsupported("the strategy of this sale takes no units back"))
    }

    /// Sells no more and finishes what it has taken outside of the ledger; called before another strategy
    /// takes the sale over. Nothing to do for whoever takes in PostgreSQL alone: the epoch refuses what
    /// comes late.
    async fn hand_over(&self, sale: &Sale) -> Result<(), Error> {
        let _nothing_outside = sale;
        Ok(())
    }

    /// Another strategy has taken the sale over: what was kept outside of the ledger for this epoch goes.
    async fn forget(&self, sale: &Sale) {
        let _nothing_outside = sale;
    }

    /// Orders that were taken and are not in the ledger yet.
    async fn pending(&self, sale: &Sale) -> Result<u64, Error> {
        let _nothing_outside = sale;
        Ok(0)
    }

    /// Does it keep its buyers in a line of its own, so long and no longer, each so long and no longer? Then
    /// they are not counted among those who are worked on: another queue in front only makes batches small.
    fn has_line(&self) -> bool {
        false
    }

    /// The statement after which what can be read is durable, for who commits without waiting for the disk:
    /// whatever is said to a buyer on the ground of an order that was found waits for it, on the connection
    /// that found it.
    fn flush(&self) -> Option<&'static str> {
        None
    }

    /// What is fought over, in words.
    fn counter(&self) -> &'static str {
        "the stock row in PostgreSQL"
    }

    /// What this strategy believes is left. The audit compares it; it never believes it.
    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error>;
}

/// The typed facts of a strategy. Prose gives the reasons; these are held to by tests.
pub struct Spec {
    /// File stem, JSON value, metric label, test name.
    pub id: &'static str,
    /// What to add to its title, where several share a source.
    pub variant: &'static str,
    /// What it claims.
    pub guarantee: Guarantee,
    /// What really goes wrong.
    pub breaks: &'static [Hazard],
    /// Where it oversells: `rush`, or the fault that it needs.
    pub oversells_in: Option<&'static str>,
    /// What breaks it, in one line for a table.
    pub fails_when: &'static str,
    /// Trips that one order waits for, warm and uncontended, every server counted; sold out includes the
    /// question to the ledger whether this key was sold before. (The pool's check of a connection that
    /// comes back is one more, and nobody waits for it.)
    pub round_trips: RoundTrips,
    /// Does its own *sold out* already account for the key? Then the ledger is not asked.
    pub remembers_keys: bool,
    /// Does whoever hangs up leave nothing half done, because a task of the strategy's own, or a script that
    /// cannot be stopped, does all of it? Then checkout needs no task for the order.
    pub queues: bool,
    /// Does it take units back? Then orders may be held, released and cancelled, and stock may be changed.
    pub gives_back: bool,
    /// Does it take at the stock row alone, so that one transaction can take from several sales at once?
    pub carts: bool,
    /// Servers.
    pub needs: &'static [Need],
    /// SQL and Lua in groups, those of its lock apart: file name and text, the very text that runs.
    pub statements: &'static [&'static [(&'static str, &'static str)]],
    /// Its own source.
    pub source: &'static str,
    /// The lock that brackets it, if one does.
    pub lock: Option<Bracket>,
    /// Makes it from open servers; an error says which is missing.
    pub build: Build,
}

/// Makes a strategy from open servers and its own facts.
pub type Build = fn(&Backends, &'static Spec) -> Result<Arc<dyn Strategy>, Error>;

/// A lock around the naive take.
pub struct Bracket {
    /// The facts of the lock.
    pub facts: &'static Facts,
    /// Does the stock row refuse who was overtaken?
    pub fenced: bool,
}

impl Bracket {
    /// The lock's part of the card.
    pub fn card(&self) -> LockCard {
        let Facts { id, waits_by, trips, .. } = self.facts;
        LockCard {
            id: (*id).to_owned(),
            fenced: self.fenced,
            waits_by: (*waits_by).to_owned(),
            trips: LockTrips { acquire: trips.acquire, release: trips.release },
            requirements: requirements::of(id),
        }
    }
}

impl Spec {
    /// The strategy of that name.
    pub fn find(id: &str) -> Option<&'static Spec> {
        ALL.iter().copied().find(|s| s.id == id)
    }

    /// May a sale use it outside the lab?
    pub fn is_safe(&self) -> bool {
        !matches!(self.guarantee, Guarantee::Oversells | Guarantee::Control)
    }

    /// The head of its source, without the comment marks.
    pub fn doc(&self) -> String {
        let head = self.source.lines().take_while(|l| l.starts_with("//!"));
        head.map(|l| l.trim_start_matches("//!").trim_start_matches(' ')).collect::<Vec<_>>().join("\n")
    }

    /// The first line of its head.
    pub fn title(&self) -> String {
        let doc = self.doc();
        let first = doc.lines().next().unwrap_or(self.id).trim_end_matches('.');
        format!("{first}{}", self.variant)
    }

    /// Its statements, one after the other.
    pub fn statements(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let lock = self.lock.as_ref().map_or(&[][..], |bracket| bracket.facts.statements);
        self.statements.iter().flat_map(|group| group.iter().copied()).chain(lock.iter().copied())
    }

    /// Does this really go wrong here?
    pub fn has(&self, hazard: Hazard) -> bool {
        self.breaks.contains(&hazard)
    }
}
