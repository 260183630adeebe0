//! The naive take inside a session-level advisory lock of PostgreSQL.
//!
//! # How
//! `pg_advisory_lock` on a connection of its own, in its own statement; the naive take on another one; then
//! `pg_advisory_unlock`, whose answer is looked at. Waiters queue in the server.
//!
//! # Guarantee
//! Conditional. The lock lasts as long as its session. Lock and work are on two connections, so the server
//! can lose the first (a restart, a proxy, a time-out) and let another in while the second still writes.
//! `lock_pg_advisory_fenced` mints a number at the stock row when it reads and writes only if nobody newer
//! has looked since: exact.
//!
//! # Fails when
//! The lock's session ends before the work does. Behind a pooler in transaction mode the lock and its unlock
//! may run on different sessions, and it protects nothing.
//!
//! # Cost
//! Four round trips and a second connection, held while waiting.
//!
//! # See
//! <https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>

use async_trait::async_trait;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Guard, Lock, Released, refused};
use crate::backends::Backends;
use crate::sale::Error;

/// Its own source, for the card.
pub const SOURCE: &str = include_str!("lock_pg_advisory.rs");
/// Its statements.
pub const STATEMENTS: [(&str, &str); 2] =
    [("lock_pg_advisory.lock.sql", LOCK), ("lock_pg_advisory.unlock.sql", UNLOCK)];

const LOCK: &str = include_str!("lock_pg_advisory.lock.sql");
const UNLOCK: &str = include_str!("lock_pg_advisory.unlock.sql");

/// A lock per sale in the server of the ledger.
pub struct LockPgAdvisory {
    sessions: PgPool,
}

/// A session that may hold the lock. Dropped on any way but the release it is closed, and never goes back
/// into the pool: its lock would go with it, to whoever borrows it next.
struct Session(Option<PoolConnection<Postgres>>);

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}

/// Inside.
pub struct Held {
    session: Session,
    key: i64,
}

#[async_trait]
impl Lock for LockPgAdvisory {
    type Guard = Held;

    fn new(backends: &Backends) -> Result<LockPgAdvisory, Error> {
        Ok(LockPgAdvisory { sessions: backends.pg_locks.clone() })
    }

    async fn acquire(&self, sale: Uuid) -> Result<Held, Error> {
        let connection = self.sessions.acquire().await.map_err(refused)?;
        let mut held = Held { session: Session(Some(connection)), key: key(sale) };
        // Should the answer get lost, or this future, the session is closed and takes the lock with it.
        if let Some(connection) = held.session.0.as_mut() {
            sqlx::query(LOCK).bind(held.key).execute(&mut **connection).await.map_err(refused)?;
        }
        Ok(held)
    }
}

#[async_trait]
impl Guard for Held {
    async fn release(mut self) -> Released {
        let Some(mut connection) = self.session.0.take() else { return Released::Unknown };
        match sqlx::query_scalar(UNLOCK).bind(self.key).fetch_one(&mut *connection).await {
            Ok(true) => Released::Ours,
            // Not ours any more, or the session is gone and the lock with it.
            Ok(false) | Err(_) => {
                connection.close_on_drop();
                Released::Lost
            }
        }
    }
}

/// The random half of a UUIDv7. Two sales that share it would wait for each other, and do no harm.
fn key(sale: Uuid) -> i64 {
    i64::from_be_bytes(sale.as_u64_pair().1.to_be_bytes())
}
