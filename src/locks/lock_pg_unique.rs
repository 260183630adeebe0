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

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait, refused};
use crate::patience::Patience;
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts. Nobody else enters early, so a fence would have nothing to do.
pub const FACTS: Facts = Facts {
    id: "lock_pg_unique",
    guarantee: Guarantee::NeverOver,
    breaks: &[Hazard::LockLeft],
    oversells_in: None,
    fails_when: "a holder dies inside: nobody sells any more",
    trips: Trips { acquire: 1, release: 1 },
    needs: &[Need::Postgres],
    statements: &[("lock_pg_unique.acquire.sql", ACQUIRE), ("lock_pg_unique.release.sql", RELEASE)],
    source: include_str!("lock_pg_unique.rs"),
    queues: true,
    waits_by: "asking again",
    fair: false,
    reentrant: false,
    renews: false,
    has_token: false,
    build: |backends| Ok(Arc::new(LockPgUnique { pg: backends.pg_locks.clone() })),
};

const ACQUIRE: &str = include_str!("lock_pg_unique.acquire.sql");
const RELEASE: &str = include_str!("lock_pg_unique.release.sql");
/// Left behind, the row would lock everybody out: so long is the release tried.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// A row per sale in the server of the ledger, there while somebody is inside.
struct LockPgUnique {
    pg: PgPool,
}

/// Inside.
struct Held {
    pg: PgPool,
    sale: Uuid,
    owner: Owner,
}

#[async_trait]
impl Lock for LockPgUnique {
    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let inside = Held { pg: self.pg.clone(), sale, owner };
        loop {
            match sqlx::query(ACQUIRE).bind(sale).bind(owner.0).execute(&self.pg).await {
                Ok(done) if done.rows_affected() == 1 => {
                    let inside = Arc::new(inside);
                    return Ok(Entered { inside, token: None, depth: 1, life: Life::Session });
                }
                Ok(_) => wait.pause("the lock's row was held by others").await?,
                Err(e) => {
                    // The answer may have got lost after the row was written, and no lease would end it.
                    let _best_effort = inside.leave().await;
                    return Err(refused(e));
                }
            }
        }
    }
}

#[async_trait]
impl Inside for Held {
    async fn leave(&self) -> Released {
        let mut patience = Patience::new(RELEASE_MAX);
        let mut asked_before = false;
        loop {
            match sqlx::query(RELEASE).bind(self.sale).bind(self.owner.0).execute(&self.pg).await {
                Ok(done) if done.rows_affected() == 1 => return Released::Ours,
                Ok(_) if !asked_before => return Released::Lost,
                Ok(_) => return Released::Ours,
                // Should the first have deleted it unheard, the second finds nothing, and that is well.
                Err(_) if patience.pause("the release was not answered").await.is_ok() => asked_before = true,
                Err(_) => return Released::Unknown,
            }
        }
    }
}
