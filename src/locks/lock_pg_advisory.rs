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

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait, refused};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_pg_advisory",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::SessionLost],
    oversells_in: Some("the lock's session cut while its holder works"),
    fails_when: "the lock's session ends before the work does",
    trips: Trips { acquire: 1, release: 1 },
    needs: &[Need::Postgres],
    statements: &[("lock_pg_advisory.lock.sql", LOCK), ("lock_pg_advisory.unlock.sql", UNLOCK)],
    source: include_str!("lock_pg_advisory.rs"),
    queues: true,
    waits_by: "queue in the server",
    fair: true,
    // A session may take it twice, but each acquisition has a session of its own.
    reentrant: false,
    renews: false,
    has_token: false,
    build: |backends| Ok(Arc::new(LockPgAdvisory { sessions: backends.pg_locks.clone() })),
};

const LOCK: &str = include_str!("lock_pg_advisory.lock.sql");
const UNLOCK: &str = include_str!("lock_pg_advisory.unlock.sql");

/// A lock per sale in the server of the ledger.
struct LockPgAdvisory {
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
struct Held {
    session: Mutex<Session>,
    key: i64,
}

#[async_trait]
impl Lock for LockPgAdvisory {
    async fn enter(&self, sale: Uuid, _owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let late = "the advisory lock was held by others for as long as one waits";
        let mut session = Session(Some(self.sessions.acquire().await.map_err(refused)?));
        let key = key(sale);
        // Should the answer get lost, or the wait be over, the session is closed and takes the lock with it.
        if let Some(connection) = session.0.as_mut() {
            let locking = sqlx::query(LOCK).bind(key).execute(&mut **connection);
            wait.for_event(locking, late).await?.map_err(refused)?;
        }
        let inside = Arc::new(Held { session: Mutex::new(session), key });
        Ok(Entered { inside, token: None, depth: 1, life: Life::Session })
    }
}

#[async_trait]
impl Inside for Held {
    async fn leave(&self) -> Released {
        let Some(mut connection) = self.session.lock().await.0.take() else { return Released::Unknown };
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
