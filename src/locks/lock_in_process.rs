//! The naive take inside a mutex of this process: right until there are two of them.
//!
//! # How
//! One asynchronous mutex per sale, in memory, first come first served. What `synchronized` is to a Java
//! service.
//!
//! # Guarantee
//! Conditional: exact as long as exactly one process sells. The mutex of another process is another mutex.
//! `lock_in_process_fenced` mints a number at the stock row when it reads and writes only if nobody has
//! looked since, so it stays exact in two processes; the mutex then only saves wasted attempts.
//!
//! # Fails when
//! A second process sells the same stock: a second instance, or the old one during a rolling deployment.
//!
//! # Cost
//! The two round trips of the naive take; waiting costs nothing but memory, and no connection.
//!
//! # See
//! <https://docs.rs/tokio/latest/tokio/sync/struct.Mutex.html>

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::{Guard, Lock, Released};
use crate::backends::Backends;
use crate::sale::Error;

/// Its own source, for the card.
pub const SOURCE: &str = include_str!("lock_in_process.rs");

/// More sales than this, and those that nobody waits for are forgotten.
const REMEMBERED_MAX: usize = 1024;

type Door = tokio::sync::Mutex<()>;

/// A mutex per sale.
pub struct LockInProcess {
    doors: Mutex<HashMap<Uuid, Weak<Door>>>,
    wait: Duration,
}

/// Inside.
pub struct Held(OwnedMutexGuard<()>);

impl LockInProcess {
    fn door(&self, sale: Uuid) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = doors.get(&sale).and_then(Weak::upgrade) {
            return door;
        }
        if doors.len() >= REMEMBERED_MAX {
            doors.retain(|_, door| door.strong_count() > 0);
        }
        // Nobody holds or awaits the old one, so nobody can be inside by it.
        let door = Arc::default();
        doors.insert(sale, Arc::downgrade(&door));
        door
    }
}

#[async_trait]
impl Lock for LockInProcess {
    type Guard = Held;

    fn new(backends: &Backends) -> Result<LockInProcess, Error> {
        Ok(LockInProcess { doors: Mutex::default(), wait: backends.limits.wait() })
    }

    async fn acquire(&self, sale: Uuid) -> Result<Held, Error> {
        let entered = tokio::time::timeout(self.wait, self.door(sale).lock_owned()).await;
        let late = |_| Error::Contended("the mutex was held by others for as long as one waits".into());
        entered.map(Held).map_err(late)
    }
}

#[async_trait]
impl Guard for Held {
    async fn release(self) -> Released {
        drop(self.0);
        Released::Ours
    }
}
