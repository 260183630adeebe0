//! The naive take inside a lease that stands in a table.
//!
//! # How
//! One statement takes the lease if it is free or has run out, by the clock of the database, and counts its
//! token up. Release ends the lease if it is still this owner's. Who finds it taken asks again after a short
//! random pause.
//!
//! # Guarantee
//! Conditional. A lease that has run out does not stop its holder: paused for longer, it still writes.
//! `lock_pg_table_fenced` claims the lease's token at the stock row when it reads and requires it when it
//! writes, so that an overtaken holder writes nothing: exact.
//!
//! # Fails when
//! The holder is paused beyond its lease. (Application clocks play no part: `clock_timestamp()` decides.)
//!
//! # Cost
//! Four round trips; no connection is held while working or waiting, but waiting is polling, and unfair.
//!
//! # See
//! <https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT>

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Guard, Lock, Released, refused};
use crate::backends::Backends;
use crate::patience::Patience;
use crate::sale::Error;

/// Its own source, for the card.
pub const SOURCE: &str = include_str!("lock_pg_table.rs");
/// Its statements.
pub const STATEMENTS: [(&str, &str); 2] =
    [("lock_pg_table.acquire.sql", ACQUIRE), ("lock_pg_table.release.sql", RELEASE)];

const ACQUIRE: &str = include_str!("lock_pg_table.acquire.sql");
const RELEASE: &str = include_str!("lock_pg_table.release.sql");

/// A lease per sale in the server of the ledger.
pub struct LockPgTable {
    pg: PgPool,
    lease: Duration,
    wait: Duration,
}

/// Inside, until the deadline.
pub struct Held {
    pg: PgPool,
    sale: Uuid,
    owner: Uuid,
    token: i64,
    deadline: Instant,
}

#[async_trait]
impl Lock for LockPgTable {
    type Guard = Held;

    fn new(backends: &Backends) -> Result<LockPgTable, Error> {
        let limits = &backends.limits;
        Ok(LockPgTable { pg: backends.pg_locks.clone(), lease: limits.lock_lease(), wait: limits.wait() })
    }

    async fn acquire(&self, sale: Uuid) -> Result<Held, Error> {
        let (pg, owner) = (self.pg.clone(), Uuid::now_v7());
        let lease = i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX);
        let mut patience = Patience::new(self.wait);
        loop {
            let deadline = Instant::now() + self.lease;
            let asked = sqlx::query_scalar(ACQUIRE).bind(sale).bind(owner).bind(lease).fetch_optional(&pg);
            match asked.await {
                Ok(Some(token)) => return Ok(Held { pg, sale, owner, token, deadline }),
                Ok(None) => patience.pause("the lease was held by others").await?,
                Err(e) => {
                    // The answer may have got lost on its way. If the lease is ours it is given back now
                    // rather than when it runs out.
                    let _best_effort = sqlx::query(RELEASE).bind(sale).bind(owner).execute(&pg).await;
                    return Err(refused(e));
                }
            }
        }
    }
}

#[async_trait]
impl Guard for Held {
    fn deadline(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    fn token(&self) -> Option<i64> {
        Some(self.token)
    }

    async fn release(self) -> Released {
        match sqlx::query(RELEASE).bind(self.sale).bind(self.owner).execute(&self.pg).await {
            Ok(done) if done.rows_affected() == 1 => Released::Ours,
            Ok(_) => Released::Lost,
            Err(_) => Released::Unknown,
        }
    }
}
