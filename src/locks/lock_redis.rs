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

use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool_redis::{Connection, Pool};
use redis::Script;
use uuid::Uuid;

use super::{Guard, Lock, Released};
use crate::backends::{self, Backends};
use crate::patience::Patience;
use crate::sale::Error;

/// Its script.
pub const STATEMENTS: [(&str, &str); 1] = [("lock_redis.release.lua", RELEASE)];

const RELEASE: &str = include_str!("lock_redis.release.lua");
/// Its own source, for the card.
pub const SOURCE: &str = include_str!("lock_redis.rs");

/// A lock per sale in one Redis.
pub struct LockRedis {
    pool: Pool,
    lease: Duration,
    wait: Duration,
    release: Script,
}

impl LockRedis {
    /// The same lock with a lease of its own.
    pub fn with_lease(backends: &Backends, lease: Duration) -> Result<LockRedis, Error> {
        let (pool, wait) = (backends.redis()?.clone(), backends.limits.wait());
        Ok(LockRedis { pool, lease, wait, release: Script::new(RELEASE) })
    }
}

/// Inside the lock.
pub struct Held {
    connection: Connection,
    key: String,
    owner: String,
    deadline: Instant,
    release: Script,
}

#[async_trait]
impl Lock for LockRedis {
    type Guard = Held;

    fn new(backends: &Backends) -> Result<LockRedis, Error> {
        LockRedis::with_lease(backends, backends.limits.lock_lease())
    }

    async fn acquire(&self, sale: Uuid) -> Result<Held, Error> {
        // The connection is kept from the first question to the release: the pool bounds how many poll, the
        // rest wait for the pool in the order in which they came.
        let mut connection = backends::redis_connection(&self.pool).await?;
        let key = format!("sellout:{{{sale}}}:lock");
        let owner = Uuid::now_v7().to_string();
        let mut patience = Patience::new(self.wait);
        loop {
            let deadline = Instant::now() + self.lease;
            let mut set = redis::cmd("SET");
            set.arg(&key).arg(&owner).arg("NX").arg("PX").arg(millis(self.lease));
            // If the answer is lost the lock may be ours; its lease ends it, and nothing has been taken.
            let answer: Result<Option<String>, _> = set.query_async(&mut connection).await;
            match answer {
                Ok(Some(_)) => {
                    let release = self.release.clone();
                    return Ok(Held { connection, key, owner, deadline, release });
                }
                Ok(None) => patience.pause("the Redis lock was held by others").await?,
                Err(e) => return Err(Error::Unavailable(format!("Redis: {e}"))),
            }
        }
    }
}

#[async_trait]
impl Guard for Held {
    fn deadline(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    async fn release(mut self) -> Released {
        let released = self.release.key(&self.key).arg(&self.owner).invoke_async(&mut self.connection).await;
        match released {
            Ok(1) => Released::Ours,
            Ok::<i64, _>(_) => Released::Lost,
            Err(_) => Released::Unknown,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
