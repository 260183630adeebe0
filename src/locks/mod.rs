//! One file per lock. A lock keeps others out while its holder works, and that is all it does.
//!
//! [`crate::strategies`]' `under_lock` makes a strategy of each: the naive take, bracketed by the lock and
//! nothing else. So the code shows what a lock *is*: the same bug, made safe by who may enter.
//!
//! # Adding a lock
//! One file here with a `Lock`; one line in `strategies/under_lock.rs`; one in the list of
//! `strategies/mod.rs`.

pub mod lock_redis;

use std::time::Instant;

use async_trait::async_trait;
use uuid::Uuid;

use crate::sale::Error;

/// Keeps others out of one sale.
#[async_trait]
pub trait Lock: Send + Sync + Sized {
    /// What was acquired. It must be released by [`Guard::release`]; a guard that is dropped leaves the
    /// lock to its lease.
    type Guard: Guard;

    /// Waits, at most the wait limit, until nobody else is inside.
    async fn acquire(&self, sale: Uuid) -> Result<Self::Guard, Error>;
}

/// The right to be inside, until a deadline.
#[async_trait]
pub trait Guard: Send {
    /// From this moment on others may be inside too, whether or not anybody said so. Taken from the local
    /// clock *before* the lock was asked for, so that it errs on the safe side.
    fn deadline(&self) -> Instant;

    /// Leaves. Only the owner's own acquisition is released, never what another one holds by now.
    async fn release(self) -> Released;
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
