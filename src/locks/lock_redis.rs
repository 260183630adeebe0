//! The naive take inside a Redis lock: `SET NX PX`, released by its owner only.
//!
//! # How
//! `SET key owner NX PX lease` enters if nobody is inside; else it asks again after a short random pause.
//! The owner is new for every acquisition: two requests of one process are two owners. Release is a script
//! that deletes the key only while it still names this owner.
//!
//! # Guarantee
//! Conditional. One holder at a time while Redis is up and every holder is faster than its lease. Nothing
//! stops a holder that was paused for longer from writing. This lock has no token; `lock_redis_fenced` mints
//! one at the stock row when it reads, and writes only if nobody newer has looked since: exact.
//!
//! # Fails when
//! The holder is paused beyond its lease, Redis fails over to a replica that never saw the key, or its
//! clock jumps. Then two are inside, and the naive take oversells.
//!
//! # Cost
//! Five round trips: the pool's ping, SET, the two of the naive take, and the release. Waiting is polling:
//! unfair, and slow at the tail.
//!
//! # See
//! <https://redis.io/docs/latest/commands/set/#patterns>; M. Kleppmann, How to do distributed locking (2016)

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool_redis::{Connection, Pool};
use redis::Script;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait};
use crate::backends::{self, Backends};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_redis",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder stopped beyond its lease"),
    fails_when: "a holder is slower than its lease, or Redis forgets",
    // The pool's ping and SET; the script.
    trips: Trips { acquire: 2, release: 1 },
    needs: &[Need::Postgres, Need::Redis],
    statements: &[("lock_redis.release.lua", RELEASE)],
    source: include_str!("lock_redis.rs"),
    queues: true,
    waits_by: "asking again",
    fair: false,
    reentrant: false,
    // What most programs that use this lock leave out; `lock_redisson` has it.
    renews: false,
    has_token: false,
    build: |backends| released_by(backends, RELEASE),
};

const RELEASE: &str = include_str!("lock_redis.release.lua");

/// This lock, left by that script.
pub(super) fn released_by(backends: &Backends, release: &'static str) -> Result<Arc<dyn Lock>, Error> {
    let (pool, lease) = (backends.redis_locks()?.clone(), backends.limits.lock_lease());
    Ok(Arc::new(LockRedis { pool, lease, release }))
}

/// A lock per sale in one Redis.
struct LockRedis {
    pool: Pool,
    lease: Duration,
    release: &'static str,
}

/// Inside the lock.
struct Held {
    connection: Mutex<Connection>,
    key: String,
    owner: Owner,
    release: &'static str,
}

#[async_trait]
impl Lock for LockRedis {
    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        // The connection is kept from the first question to the release: each one borrowed costs a ping.
        let mut connection = backends::redis_connection(&self.pool).await?;
        let key = format!("sellout:{{{sale}}}:lock");
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        loop {
            let deadline = Instant::now() + self.lease;
            let mut set = redis::cmd("SET");
            set.arg(&key).arg(owner.0.to_string()).arg("NX").arg("PX").arg(lease);
            let answer: Result<Option<String>, _> = set.query_async(&mut connection).await;
            match answer {
                Ok(Some(_)) => {
                    let (connection, release) = (Mutex::new(connection), self.release);
                    let inside = Arc::new(Held { connection, key, owner, release });
                    return Ok(Entered { inside, token: None, depth: 1, life: Life::Until(deadline) });
                }
                Ok(None) => wait.pause("the Redis lock was held by others").await?,
                // If it was the answer that got lost the lock may be ours; its lease ends it, and nothing
                // has been taken.
                Err(e) => return Err(Error::Unavailable(format!("Redis: {e}"))),
            }
        }
    }
}

#[async_trait]
impl Inside for Held {
    async fn leave(&self) -> Released {
        let script = Script::new(self.release);
        let mut connection = self.connection.lock().await;
        let owner = self.owner.0.to_string();
        match script.key(&self.key).arg(owner).invoke_async(&mut *connection).await {
            Ok(1) => Released::Ours,
            Ok::<i64, _>(_) => Released::Lost,
            Err(_) => Released::Unknown,
        }
    }
}
