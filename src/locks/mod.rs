//! One file per lock. A lock keeps others out while its holder works, and that is all it does.
//!
//! [`crate::strategies`]' `under_lock` makes a strategy of each, and a second one with a fence: the naive
//! take, bracketed by the lock and nothing else. So the code shows what a lock *is*: the same bug, made safe
//! by who may enter.
//!
//! A lock's file says how its server is asked: go in, stay in, leave ([`Lock`], [`Inside`]). What all of them
//! owe their callers stands once, in `holding`: the queue of this process in front of the server, the limit
//! of every wait, renewal that ends before the release, the local deadline, the lost signal, and that a
//! future dropped at any point leaves nothing locked ([`Locks`], [`Guard`]).
//!
//! # Adding a lock
//! One file here with its `FACTS`; one line in [`ALL`]; one line (two with a fence) in
//! `strategies/under_lock.rs` and in the list of `strategies/mod.rs`.

mod doors;
mod holding;
pub mod lock_curator;
pub mod lock_etcd;
pub mod lock_in_process;
pub mod lock_pg_advisory;
pub mod lock_pg_row;
pub mod lock_pg_table;
pub mod lock_pg_unique;
pub mod lock_redis;
pub mod lock_redis_del;
pub mod lock_redis_short_lease;
pub mod lock_redisson;
pub mod lock_redisson_thread_id;
pub mod lock_redlock;
pub mod lock_zookeeper;
mod majority;
pub mod requirements;
mod znode_queue;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::backends::Backends;
pub use crate::backends::Need;
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

pub use holding::{Guard, Locks, Wait};

/// All locks, in the order of the exhibition.
pub static ALL: &[&Facts] = &[
    &lock_in_process::FACTS,
    &lock_pg_row::FACTS,
    &lock_pg_advisory::FACTS,
    &lock_pg_table::FACTS,
    &lock_pg_unique::FACTS,
    &lock_redis::FACTS,
    &lock_redisson::FACTS,
    &lock_redlock::FACTS,
    &lock_zookeeper::FACTS,
    &lock_curator::FACTS,
    &lock_etcd::FACTS,
    &lock_redis_del::FACTS,
    &lock_redis_short_lease::FACTS,
    &lock_redisson_thread_id::FACTS,
];

/// The typed facts of a lock. Prose gives the reasons; these are held to by tests.
pub struct Facts {
    /// File stem, and the name of the strategy that it becomes.
    pub id: &'static str,
    /// What it claims when it brackets the naive take.
    pub guarantee: Guarantee,
    /// What really goes wrong.
    pub breaks: &'static [Hazard],
    /// Where it oversells: `rush`, or the fault that it needs.
    pub oversells_in: Option<&'static str>,
    /// What breaks it, in one line for a table.
    pub fails_when: &'static str,
    /// Trips to its server, warm and uncontended.
    pub trips: Trips,
    /// Servers, PostgreSQL included.
    pub needs: &'static [Need],
    /// SQL and Lua: file name and text, the very text that runs.
    pub statements: &'static [(&'static str, &'static str)],
    /// Its own source.
    pub source: &'static str,
    /// Does a process send one waiter at a time to the server, in the order in which they came?
    pub queues: bool,
    /// How a waiter learns that it may enter.
    pub waits_by: &'static str,
    /// Do waiters of several processes enter in the order in which they came?
    pub fair: bool,
    /// May an owner that is inside enter again?
    pub reentrant: bool,
    /// Is its lease begun anew while its holder works?
    pub renews: bool,
    /// Has it a number that grows from holder to holder? Else the stock row mints one.
    pub has_token: bool,
    /// Takes part in it on these servers; an error says which is missing.
    pub build: fn(&Backends) -> Result<Arc<dyn Lock>, Error>,
}

/// Exchanges with the lock's server, the pool's ping included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trips {
    /// To enter.
    pub acquire: u32,
    /// To leave.
    pub release: u32,
}

/// Who is inside: new for every acquisition. A thread, a task or a process is no owner, for many buyers
/// share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub Uuid);

impl Owner {
    /// An owner that nobody else is.
    pub fn fresh() -> Owner {
        Owner(Uuid::now_v7())
    }
}

/// How a server is asked to keep others out of one sale.
#[async_trait]
pub trait Lock: Send + Sync + 'static {
    /// Makes what is to be locked, where a lock needs that. Calling it again changes nothing.
    async fn open(&self, sale: Uuid) -> Result<(), Error> {
        let _nothing_to_make = sale;
        Ok(())
    }

    /// Goes inside, or says that nothing was entered. It runs in a task of its own and is never cancelled;
    /// so it must do all of its waiting by `wait`, which ends it when time is up or the asker has gone, and
    /// undo by itself what it had begun by then.
    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error>;

    /// Makes every later token greater than `above`, for a counter that has restarted. A counter that is
    /// greater already is left alone.
    async fn raise(&self, sale: Uuid, above: i64) -> Result<(), Error> {
        let _no_counter = (sale, above);
        Ok(())
    }
}

/// What a server gave to the one who entered.
pub struct Entered {
    /// The way to stay and to leave.
    pub inside: Arc<dyn Inside>,
    /// The lock's number of this holder; equal for each entry of one owner.
    pub token: Option<i64>,
    /// How often this owner is inside, this time included.
    pub depth: u32,
    /// How long.
    pub life: Life,
}

/// How long one may believe to be inside, by the local clock.
pub enum Life {
    /// As long as a session or a process, whose end nobody announces.
    Session,
    /// Until then. Taken *before* the lock was asked for, so that it errs on the safe side.
    Until(Instant),
    /// Until the moment that stands here: somebody else moves it on, or back when it is over.
    Kept(watch::Receiver<Instant>),
}

/// The right to be inside, as its server knows it.
#[async_trait]
pub trait Inside: Send + Sync + 'static {
    /// Begins the lease anew, if it is still this owner's, and says until when; `None`: it is over. Called
    /// only where [`Facts::renews`] and the life is [`Life::Until`].
    async fn renew(&self) -> Result<Option<Instant>, Error> {
        Ok(None)
    }

    /// Leaves. Only the owner's own acquisition is released, never what another one holds by now.
    async fn leave(&self) -> Released;
}

/// What a release met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lock was ours, and is free now.
    Ours,
    /// It is still ours, this many times.
    StillInside(u32),
    /// The lock was no longer ours: its lease had ended, and others may have been inside with us.
    Lost,
    /// The server did not answer; the lease or the session will end it.
    Unknown,
}

/// What an error means while asking PostgreSQL for a lock: nobody is inside for it, nothing was taken.
fn refused(e: sqlx::Error) -> Error {
    let code = e.as_database_error().and_then(|db| db.code()).map(|c| c.into_owned());
    match (code.as_deref(), &e) {
        (Some("55P03" | "57014" | "40P01"), _) | (_, sqlx::Error::PoolTimedOut) => {
            Error::Contended("the lock was held by others for as long as one waits".into())
        }
        _ => Error::Unavailable(format!("PostgreSQL: {e}")),
    }
}
