//! One file per lock. A lock keeps others out while its holder works, and that is all it does.
//!
//! [`crate::strategies`]' `under_lock` makes a strategy of each: the naive take, bracketed by the lock and
//! nothing else. So the code shows what a lock *is*: the same bug, made safe by who may enter.
//!
//! # Adding a lock
//! One file here with a `Lock`; one line in `strategies/under_lock.rs`; one in the list of
//! `strategies/mod.rs`.

pub mod lock_in_process;
pub mod lock_pg_advisory;
pub mod lock_pg_row;
pub mod lock_pg_table;
pub mod lock_pg_unique;
pub mod lock_redis;
pub mod lock_redis_short_lease;

use std::time::Instant;

use async_trait::async_trait;
use uuid::Uuid;

use crate::backends::Backends;
use crate::sale::Error;

/// Keeps others out of one sale. Owners are new for every acquisition: a thread or a process is none, for
/// many buyers share one.
#[async_trait]
pub trait Lock: Send + Sync + Sized + 'static {
    /// What was acquired. It is released by [`Guard::release`]; one that is dropped must not stay locked for
    /// longer than its lease or session.
    type Guard: Guard;

    /// Takes part in the locks of these servers; an error says which server is missing.
    fn new(backends: &Backends) -> Result<Self, Error>;

    /// Makes what is to be locked, where a lock needs that. Calling it again changes nothing.
    async fn open(&self, sale: Uuid) -> Result<(), Error> {
        let _nothing_to_make = sale;
        Ok(())
    }

    /// Waits, at most the wait limit, until nobody else is inside.
    async fn acquire(&self, sale: Uuid) -> Result<Self::Guard, Error>;
}

/// The right to be inside.
#[async_trait]
pub trait Guard: Send {
    /// From this moment on others may be inside too, whether or not anybody said so. Taken from the local
    /// clock *before* the lock was asked for, so that it errs on the safe side. `None`: it lasts as long as
    /// its session or process.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// A number that grows from holder to holder. `None`: the lock has none, and whoever wants a fence
    /// mints the number at the stock row.
    fn token(&self) -> Option<i64> {
        None
    }

    /// Leaves. Only the owner's own acquisition is released, never what another one holds by now.
    async fn release(self) -> Released;
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

/// What a release met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lock was ours, and is free now.
    Ours,
    /// The lock was no longer ours: its lease had ended, and others may have been inside with us.
    Lost,
    /// The server did not answer; the lease will end it.
    Unknown,
}
