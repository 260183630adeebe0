//! The naive take inside a lease that stands in a table.
//!
//! # How
//! One statement takes the lease if it is free or has run out, by the clock of the database, and counts its
//! token up; an owner that is inside may enter again, under the same token. While the holder works its lease
//! is begun anew at each third. Release ends the lease if it is still this owner's. Who finds it taken asks
//! again after a short random pause.
//!
//! # Guarantee
//! Conditional. A lease that has run out does not stop its holder: a process that was stopped for longer
//! renews nothing, and still writes.
//! `lock_pg_table_fenced` claims the lease's token at the stock row when it reads and requires it when it
//! writes, so that an overtaken holder writes nothing: exact.
//!
//! # Fails when
//! The holder's process is stopped beyond its lease. (Application clocks play no part in who may enter:
//! `clock_timestamp()` decides.)
//!
//! # Cost
//! Four round trips; no connection is held while working or waiting, but waiting is polling, and unfair.
//!
//! # See
//! <https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT>

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait, refused};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_pg_table",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder stopped beyond its lease"),
    fails_when: "a holder is stopped beyond its lease",
    trips: Trips { acquire: 1, release: 1 },
    needs: &[Need::Postgres],
    statements: &[
        ("lock_pg_table.acquire.sql", ACQUIRE),
        ("lock_pg_table.renew.sql", RENEW),
        ("lock_pg_table.release.sql", RELEASE),
    ],
    source: include_str!("lock_pg_table.rs"),
    queues: true,
    waits_by: "asking again",
    fair: false,
    reentrant: true,
    renews: true,
    has_token: true,
    build: |backends| {
        let (pg, lease) = (backends.pg_locks.clone(), backends.limits.lock_lease());
        Ok(Arc::new(LockPgTable { pg, lease }))
    },
};

const ACQUIRE: &str = include_str!("lock_pg_table.acquire.sql");
const RENEW: &str = include_str!("lock_pg_table.renew.sql");
const RELEASE: &str = include_str!("lock_pg_table.release.sql");

/// A lease per sale in the server of the ledger.
struct LockPgTable {
    pg: PgPool,
    lease: Duration,
}

/// Inside.
struct Held {
    pg: PgPool,
    sale: Uuid,
    owner: Owner,
    token: i64,
    lease: Duration,
}

#[async_trait]
impl Lock for LockPgTable {
    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let (pg, lease) = (self.pg.clone(), self.lease);
        // Tells this entry from an earlier one of the same owner.
        let entry = Uuid::now_v7();
        loop {
            let deadline = Instant::now() + lease;
            let asked = sqlx::query(ACQUIRE).bind(sale).bind(owner.0).bind(millis(lease)).bind(entry);
            match asked.fetch_optional(&pg).await {
                Ok(Some(row)) => {
                    let token: i64 = row.try_get("token").map_err(refused)?;
                    let depth: i32 = row.try_get("depth").map_err(refused)?;
                    let inside = Arc::new(Held { pg, sale, owner, token, lease });
                    let (token, depth) = (Some(token), depth.unsigned_abs());
                    return Ok(Entered { inside, token, depth, life: Life::Until(deadline) });
                }
                Ok(None) => wait.pause("the lease was held by others").await?,
                Err(e) => {
                    // The answer may have got lost on its way. If we did enter, we leave now rather than when
                    // the lease runs out.
                    let back = sqlx::query(RELEASE).bind(sale).bind(owner.0).bind(None::<i64>).bind(entry);
                    let _best_effort = back.execute(&pg).await;
                    return Err(refused(e));
                }
            }
        }
    }
}

#[async_trait]
impl Inside for Held {
    async fn renew(&self) -> Result<Option<Instant>, Error> {
        let deadline = Instant::now() + self.lease;
        let renewed = sqlx::query(RENEW).bind(self.sale).bind(self.owner.0).bind(self.token);
        let renewed = renewed.bind(millis(self.lease)).execute(&self.pg).await.map_err(refused)?;
        Ok((renewed.rows_affected() == 1).then_some(deadline))
    }

    async fn leave(&self) -> Released {
        let left = sqlx::query_scalar(RELEASE).bind(self.sale).bind(self.owner.0).bind(self.token);
        match left.bind(None::<Uuid>).fetch_optional(&self.pg).await {
            Ok(Some(0)) => Released::Ours,
            Ok(Some(depth)) => Released::StillInside(i32::unsigned_abs(depth)),
            Ok(None) => Released::Lost,
            Err(_) => Released::Unknown,
        }
    }
}

fn millis(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}
