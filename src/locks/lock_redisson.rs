//! The naive take inside Redisson's lock: a lease that is renewed, waiters woken by a message.
//!
//! # How
//! A hash at the lock's name has a field for its owner, and in it how often that one is inside. A renewal at
//! each third of the lease keeps it while its holder lives. Who finds it taken subscribes to its channel,
//! asks again, and sleeps until woken, at most a tenth of a second, for messages get lost. Names, field,
//! channel and message are Redisson's (`RLock`, `RFencedLock`): a Java client and this one exclude and wake
//! each other. It departs where that would not be safe: the owner is an acquisition, no thread (see
//! `lock_redisson_thread_id`); entering again keeps the token, or the outer write would be refused as late;
//! nobody sleeps for as long as a lease. Two fields more: this holder's token, so that who lost the lock and
//! won it again does not renew or release it by an old guard, and the last entry, to count it once.
//!
//! # Guarantee
//! Conditional. One holder at a time while Redis remembers and a holder's process runs.
//! `lock_redisson_fenced` claims the token at the stock row when it reads and requires it when it writes:
//! exact. Should Redis come back without its counter, that is raised above what the stock row has seen, and
//! selling goes on.
//!
//! # Fails when
//! A process is stopped beyond its lease (nothing renews it then), or Redis comes back empty, or fails over
//! to a replica that never saw the lock. Tokens are exact below 2^53: Lua counts in doubles.
//!
//! # Cost
//! Five round trips, one more for each third of a lease, and for each release a small key that lasts a
//! lease. Waiting costs a subscriber connection per process, and is unfair between processes.
//!
//! # See
//! <https://redisson.pro/docs/data-and-services/locks-and-synchronizers/>; redisson issues 5761, 3712, 7272

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool_redis::{Connection, Pool};
use redis::{FromRedisValue, RedisError, Script};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait};
use crate::backends::redis_messages::RedisMessages;
use crate::backends::{self, Backends};
use crate::patience::random;
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_redisson",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder stopped beyond its lease"),
    fails_when: "a process is stopped beyond its lease, or Redis forgets",
    // The pool's ping and the script; the script.
    trips: Trips { acquire: 2, release: 1 },
    needs: &[Need::Postgres, Need::Redis],
    statements: &[
        ("lock_redisson.acquire.lua", ACQUIRE),
        ("lock_redisson.renew.lua", RENEW),
        ("lock_redisson.release.lua", RELEASE),
        ("lock_redisson.raise.lua", RAISE),
    ],
    source: include_str!("lock_redisson.rs"),
    queues: true,
    waits_by: "a message, and asking again",
    fair: false,
    reentrant: true,
    renews: true,
    has_token: true,
    build: |backends| owned_by(backends, |owner| owner),
};

const ACQUIRE: &str = include_str!("lock_redisson.acquire.lua");
const RENEW: &str = include_str!("lock_redisson.renew.lua");
const RELEASE: &str = include_str!("lock_redisson.release.lua");
const RAISE: &str = include_str!("lock_redisson.raise.lua");

/// Nobody sleeps longer for a message: that is what a lost one costs.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Redisson's client id.
static PROCESS: LazyLock<Uuid> = LazyLock::new(Uuid::now_v7);

/// This lock, with the owner that the caller's becomes at the moment in which Redis is asked.
pub(super) fn owned_by(backends: &Backends, whose: fn(Owner) -> Owner) -> Result<Arc<dyn Lock>, Error> {
    let (pool, messages) = (backends.redis_locks()?.clone(), backends.redis_messages()?.clone());
    Ok(Arc::new(LockRedisson { pool, messages, lease: backends.limits.lock_lease(), whose }))
}

/// Redisson's names for the lock of a sale; its id is the hash tag, so a cluster keeps them on one node.
fn name(before: &str, sale: Uuid) -> String {
    format!("{before}sellout:{{{sale}}}:rlock")
}

struct LockRedisson {
    pool: Pool,
    messages: RedisMessages,
    lease: Duration,
    whose: fn(Owner) -> Owner,
}

/// Inside, or about to be.
struct Held {
    pool: Pool,
    /// Kept from the first question to the release: each one borrowed costs a ping.
    connection: Mutex<Option<Connection>>,
    sale: Uuid,
    owner: String,
    /// Empty until the answer that has it.
    token: String,
    /// New for every entry, so that each is counted and left once.
    entry: String,
    lease: Duration,
}

#[async_trait]
impl Lock for LockRedisson {
    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let (pool, lease, entry) = (self.pool.clone(), self.lease, Uuid::now_v7().to_string());
        let connection = Mutex::new(Some(backends::redis_connection(&pool).await?));
        let (token, mut listening) = (String::new(), None);
        let mut held = Held { pool, connection, sale, owner: String::new(), token, entry, lease };
        loop {
            let deadline = Instant::now() + lease;
            held.owner = format!("{}:{}", *PROCESS, (self.whose)(owner).0);
            match held.ask::<(u8, i64, u32)>(ACQUIRE).await {
                Ok((1, token, depth)) => {
                    held.token = token.to_string();
                    let (inside, life) = (Arc::new(held), Life::Until(deadline));
                    return Ok(Entered { inside, token: Some(token), depth, life });
                }
                Ok((_, left, _)) => {
                    let listen = || self.messages.listen(&name("redisson_lock__channel:", sale));
                    let messages = listening.get_or_insert_with(listen);
                    let left = Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX).max(1));
                    let at_most = left.min(POLL_MAX.mul_f64(0.5 + random() / 2.0));
                    wait.event_or(messages.next(), at_most, "the Redisson lock was held by others").await?;
                }
                Err(e) => {
                    // If this entry was counted all the same it is taken back now rather than when the lease
                    // runs out.
                    let _best_effort = held.leave().await;
                    return Err(e);
                }
            }
        }
    }

    async fn raise(&self, sale: Uuid, above: i64) -> Result<(), Error> {
        let (script, mut connection) = (Script::new(RAISE), backends::redis_connection(&self.pool).await?);
        let mut call = script.key(name("redisson_lock_token:", sale));
        call.arg(above).invoke_async(&mut connection).await.map_err(unavailable)
    }
}

impl Held {
    /// What a broken wire left open is asked again on a new one: each script may run twice.
    async fn ask<T: FromRedisValue>(&self, script: &str) -> Result<T, Error> {
        let (script, lease) =
            (Script::new(script), u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX));
        let mut call = script.key(name("", self.sale));
        call.key(name("redisson_lock_token:", self.sale)).key(name("redisson_lock__channel:", self.sale));
        call.key(format!("{}:{}", name("redisson_unlock_latch:", self.sale), self.entry));
        call.arg(&self.owner).arg(&self.token).arg(&self.entry).arg(lease);
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_mut() {
            match call.invoke_async(connection).await {
                Err(e) if e.is_io_error() && !e.is_timeout() => *kept = None,
                answer => return answer.map_err(unavailable),
            }
        }
        let connection = kept.insert(backends::redis_connection(&self.pool).await?);
        call.invoke_async(connection).await.map_err(unavailable)
    }
}

#[async_trait]
impl Inside for Held {
    async fn renew(&self) -> Result<Option<Instant>, Error> {
        let deadline = Instant::now() + self.lease;
        Ok((self.ask::<i64>(RENEW).await? == 1).then_some(deadline))
    }

    async fn leave(&self) -> Released {
        match self.ask::<i64>(RELEASE).await {
            Ok(0) => Released::Ours,
            Ok(depth) => u32::try_from(depth).map_or(Released::Lost, Released::StillInside),
            Err(_) => Released::Unknown,
        }
    }
}

fn unavailable(e: RedisError) -> Error {
    Error::Unavailable(format!("Redis: {e}"))
}
