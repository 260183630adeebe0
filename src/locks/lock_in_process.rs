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

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::doors::Doors;
use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_in_process",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::SecondProcess],
    oversells_in: Some("a second process"),
    fails_when: "a second process sells the same stock",
    trips: Trips { acquire: 0, release: 0 },
    needs: &[Need::Postgres],
    statements: &[],
    source: include_str!("lock_in_process.rs"),
    // It is the queue.
    queues: false,
    waits_by: "queue in memory",
    fair: true,
    reentrant: false,
    renews: false,
    has_token: false,
    build: |_| Ok(Arc::new(LockInProcess::default())),
};

/// A mutex per sale.
#[derive(Default)]
struct LockInProcess(Doors);

/// Inside, until it is taken out.
struct Held(Mutex<Option<OwnedMutexGuard<()>>>);

#[async_trait]
impl Lock for LockInProcess {
    async fn enter(&self, sale: Uuid, _owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let late = "the mutex was held by others for as long as one waits";
        let held = wait.for_event(self.0.enter(sale), late).await?;
        let inside = Arc::new(Held(Mutex::new(Some(held))));
        Ok(Entered { inside, token: None, depth: 1, life: Life::Session })
    }
}

#[async_trait]
impl Inside for Held {
    async fn leave(&self) -> Released {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Released::Ours
    }
}
