//! The naive take inside a row lock on a row that is there to be locked.
//!
//! # How
//! A transaction on a connection of its own locks the sale's lock row `FOR UPDATE` and stays open while the
//! naive take runs on another connection. The end of the transaction is the release.
//!
//! # Guarantee
//! Conditional. The lock lasts as long as its transaction, and lock and work are on two connections: the
//! server may end the first (its idle-in-transaction time-out, a restart) while the second still writes.
//! `lock_pg_row_fenced` mints a number at the stock row when it reads and writes only if nobody newer has
//! looked since: exact. (`row_lock` needs no fence: there the lock is on the connection that writes.)
//!
//! # Fails when
//! The holder pauses for longer than `idle_in_transaction_session_timeout`, or its session is cut.
//!
//! # Cost
//! Five round trips and a second connection, held while waiting, in a transaction that keeps vacuum back.
//!
//! # See
//! <https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait, refused};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_pg_row",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::SessionLost],
    oversells_in: Some("the lock's session cut while its holder works"),
    fails_when: "the lock's session ends before the work does",
    trips: Trips { acquire: 2, release: 1 },
    needs: &[Need::Postgres],
    statements: &[("lock_pg_row.open.sql", OPEN), ("lock_pg_row.lock.sql", LOCK)],
    source: include_str!("lock_pg_row.rs"),
    queues: true,
    waits_by: "queue in the server",
    fair: true,
    reentrant: false,
    renews: false,
    has_token: false,
    build: |backends| Ok(Arc::new(LockPgRow { sessions: backends.pg_locks.clone() })),
};

const OPEN: &str = include_str!("lock_pg_row.open.sql");
const LOCK: &str = include_str!("lock_pg_row.lock.sql");

/// A row per sale in the server of the ledger.
struct LockPgRow {
    sessions: PgPool,
}

/// Inside. Dropped, it is rolled back, which is the release too.
struct Held(Mutex<Option<Transaction<'static, Postgres>>>);

#[async_trait]
impl Lock for LockPgRow {
    async fn open(&self, sale: Uuid) -> Result<(), Error> {
        let made = sqlx::query(OPEN).bind(sale).execute(&self.sessions).await;
        made.map(|_| ()).map_err(refused)
    }

    async fn enter(&self, sale: Uuid, _owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let late = "the lock row was held by others for as long as one waits";
        let mut transaction = self.sessions.begin().await.map_err(refused)?;
        let locking = sqlx::query(LOCK).bind(sale).fetch_optional(&mut *transaction);
        // Given up while it waits, the transaction is rolled back once the server's own time-out has come.
        let locked = wait.for_event(locking, late).await?;
        // A row that is not there cannot be locked, and must not pass for a lock.
        let missing = || Error::Unavailable("this sale has no lock row".into());
        locked.map_err(refused)?.ok_or_else(missing)?;
        let inside = Arc::new(Held(Mutex::new(Some(transaction))));
        Ok(Entered { inside, token: None, depth: 1, life: Life::Session })
    }
}

#[async_trait]
impl Inside for Held {
    async fn leave(&self) -> Released {
        let Some(transaction) = self.0.lock().await.take() else { return Released::Unknown };
        // Nothing was written here. An error: the transaction had ended before, and the lock with it.
        if transaction.rollback().await.is_ok() { Released::Ours } else { Released::Lost }
    }
}
