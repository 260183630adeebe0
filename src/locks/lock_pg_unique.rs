//! The naive take inside a row whose insert only one can win.
//!
//! # How
//! The primary key lets one insert through; that one is inside. Release deletes the owner's row. Who lost
//! tries again after a short random pause.
//!
//! # Guarantee
//! Never over: nobody else enters while the row is there, and no lease lets them in early. That is also its
//! fault.
//!
//! # Fails when
//! A holder dies inside. Its row stays, nobody enters any more, and the units that are left are never sold
//! until a person deletes it.
//!
//! # Cost
//! Four round trips, and two dead row versions for vacuum per order; waiting is polling, and unfair.
//!
//! # See
//! <https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT>

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Guard, Lock, Released, refused};
use crate::backends::Backends;
use crate::patience::Patience;
use crate::sale::Error;

/// Its own source, for the card.
pub const SOURCE: &str = include_str!("lock_pg_unique.rs");
/// Its statements.
pub const STATEMENTS: [(&str, &str); 2] =
    [("lock_pg_unique.acquire.sql", ACQUIRE), ("lock_pg_unique.release.sql", RELEASE)];

const ACQUIRE: &str = include_str!("lock_pg_unique.acquire.sql");
const RELEASE: &str = include_str!("lock_pg_unique.release.sql");

/// A row per sale in the server of the ledger, there while somebody is inside.
pub struct LockPgUnique {
    pg: PgPool,
    wait: Duration,
}

/// Inside.
pub struct Held {
    pg: PgPool,
    sale: Uuid,
    owner: Uuid,
}

#[async_trait]
impl Lock for LockPgUnique {
    type Guard = Held;

    fn new(backends: &Backends) -> Result<LockPgUnique, Error> {
        Ok(LockPgUnique { pg: backends.pg_locks.clone(), wait: backends.limits.wait() })
    }

    async fn acquire(&self, sale: Uuid) -> Result<Held, Error> {
        let (pg, owner) = (self.pg.clone(), Uuid::now_v7());
        let mut patience = Patience::new(self.wait);
        loop {
            match sqlx::query(ACQUIRE).bind(sale).bind(owner).execute(&pg).await {
                Ok(done) if done.rows_affected() == 1 => return Ok(Held { pg, sale, owner }),
                Ok(_) => patience.pause("the lock's row was held by others").await?,
                Err(e) => {
                    // The answer may have got lost after the row was written, and no lease would end it.
                    let _best_effort = sqlx::query(RELEASE).bind(sale).bind(owner).execute(&pg).await;
                    return Err(refused(e));
                }
            }
        }
    }
}

#[async_trait]
impl Guard for Held {
    async fn release(self) -> Released {
        let mut patience = Patience::new(Duration::from_secs(5));
        let mut asked_before = false;
        loop {
            match sqlx::query(RELEASE).bind(self.sale).bind(self.owner).execute(&self.pg).await {
                Ok(done) if done.rows_affected() == 1 => return Released::Ours,
                Ok(_) if !asked_before => return Released::Lost,
                Ok(_) => return Released::Ours,
                // Left behind, the row would lock everybody out: worth more than one attempt. Should the
                // first have deleted it unheard, the second finds nothing, and that is well.
                Err(_) if patience.pause("the release was not answered").await.is_ok() => asked_before = true,
                Err(_) => return Released::Unknown,
            }
        }
    }
}
