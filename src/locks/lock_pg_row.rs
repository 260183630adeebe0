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

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{Guard, Lock, Released, refused};
use crate::backends::Backends;
use crate::sale::Error;

/// Its own source, for the card.
pub const SOURCE: &str = include_str!("lock_pg_row.rs");
/// Its statements.
pub const STATEMENTS: [(&str, &str); 2] = [("lock_pg_row.open.sql", OPEN), ("lock_pg_row.lock.sql", LOCK)];

const OPEN: &str = include_str!("lock_pg_row.open.sql");
const LOCK: &str = include_str!("lock_pg_row.lock.sql");

/// A row per sale in the server of the ledger.
pub struct LockPgRow {
    sessions: PgPool,
}

/// Inside. Dropped, it is rolled back, which is the release too.
pub struct Held(Transaction<'static, Postgres>);

#[async_trait]
impl Lock for LockPgRow {
    type Guard = Held;

    fn new(backends: &Backends) -> Result<LockPgRow, Error> {
        Ok(LockPgRow { sessions: backends.pg_locks.clone() })
    }

    async fn open(&self, sale: Uuid) -> Result<(), Error> {
        let made = sqlx::query(OPEN).bind(sale).execute(&self.sessions).await;
        made.map(|_| ()).map_err(refused)
    }

    async fn acquire(&self, sale: Uuid) -> Result<Held, Error> {
        let mut transaction = self.sessions.begin().await.map_err(refused)?;
        let locked = sqlx::query(LOCK).bind(sale).fetch_optional(&mut *transaction).await;
        // A row that is not there cannot be locked, and must not pass for a lock.
        let missing = || Error::Unavailable("this sale has no lock row".into());
        locked.map_err(refused)?.ok_or_else(missing)?;
        Ok(Held(transaction))
    }
}

#[async_trait]
impl Guard for Held {
    async fn release(self) -> Released {
        // Nothing was written here. An error: the transaction had ended before, and the lock with it.
        if self.0.rollback().await.is_ok() { Released::Ours } else { Released::Lost }
    }
}
