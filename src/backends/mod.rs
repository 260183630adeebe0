//! Opens PostgreSQL, Redis, ZooKeeper and etcd. Every timeout and limit of a driver stands here, none is a
//! library's default.

#[cfg_attr(not(feature = "etcd"), path = "etcd_absent.rs")]
mod etcd;
mod flush;
mod postgres;
mod probe;
mod redis;
pub mod redis_messages;
mod redis_wire;
pub mod zookeeper;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPool;

use crate::config::{Limits, Servers};
use crate::faults::Switches;
use crate::sale::Error;

pub use self::redis::{redis_at_write, redis_connection};
pub use etcd::Etcd;
#[cfg(feature = "etcd")]
pub use etcd::{Lease, Seen};
pub use flush::{Flush, Wire};
use redis_messages::RedisMessages;
pub use redis_wire::{RedisWire, Wired};
pub use zookeeper::Zookeeper;

/// Every statement of this room, for the test that PREPAREs them.
pub const STATEMENTS: &[(&str, &str)] = &[("backends.settings.sql", postgres::SETTINGS)];

/// A server that a strategy may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// PostgreSQL, which also holds the ledger.
    Postgres,
    /// Redis.
    Redis,
    /// Several independent Redis, for lock_redlock.
    Redlock,
    /// ZooKeeper.
    Zookeeper,
    /// etcd.
    Etcd,
}

impl Need {
    /// Its name in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Need::Postgres => "postgres",
            Need::Redis => "redis",
            Need::Redlock => "redlock",
            Need::Zookeeper => "zookeeper",
            Need::Etcd => "etcd",
        }
    }
}

/// The servers, open.
#[derive(Clone)]
pub struct Backends {
    /// Orders: the pool that the strategies sell from.
    pub pg: PgPool,
    /// Locks that last as long as a session. A pool of their own: who holds a lock here waits for a
    /// connection of `pg`, and must not wait for one that a waiter for the lock has.
    pub pg_locks: PgPool,
    /// Orders whose commits are not flushed: can be seen and are not durable yet.
    pub pg_unflushed: PgPool,
    /// Makes them durable, many at once.
    pub flush: Arc<Flush>,
    /// What becomes of orders later on (confirmed, released, expired), and operators' changes: a lane of its
    /// own, which no rush of buyers fills.
    pub pg_life: PgPool,
    /// Reading beside the road (audit, exports, lookups), so that a rush does not starve it nor it the rush.
    pub pg_reads: PgPool,
    /// Redis, or why there is none.
    pub redis: Result<deadpool_redis::Pool, String>,
    /// One connection to it for all who sell by scripts.
    pub redis_wire: Result<RedisWire, String>,
    /// The same Redis for locks, apart: who sells by a script does not wait behind who waits for a lock.
    pub redis_locks: Result<deadpool_redis::Pool, String>,
    /// What that Redis announces to who waits for a lock.
    pub redis_messages: Result<RedisMessages, String>,
    /// The independent Redis of lock_redlock, or why there are none.
    pub redlock: Result<Vec<deadpool_redis::Pool>, String>,
    /// ZooKeeper, or why there is none.
    pub zookeeper: Result<Zookeeper, String>,
    /// etcd, or why there is none.
    pub etcd: Result<Etcd, String>,
    /// What goes wrong on purpose.
    pub faults: Switches,
    /// The limits that were asked for.
    pub limits: Limits,
}

/// What the servers say about themselves.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// PostgreSQL version and durability settings, in one line.
    pub postgres: String,
    /// The same of Redis.
    pub redis: Option<String>,
    /// The same of the independent Redis of lock_redlock.
    pub redlock: Option<String>,
    /// ZooKeeper version and mode.
    pub zookeeper: Option<String>,
    /// etcd version.
    pub etcd: Option<String>,
    /// Settings with which a store cannot keep its promise.
    pub unfit: Vec<(Need, String)>,
}

impl Backends {
    /// Opens the servers and brings the schema up to date. PostgreSQL must be there; any other that is
    /// missing makes its strategies unavailable and nothing else.
    pub async fn open(servers: &Servers, limits: Limits) -> anyhow::Result<Backends> {
        Backends::open_with(servers, limits, None).await
    }

    /// The same in a lab, where these may be made slow.
    pub async fn open_in_lab(servers: &Servers, limits: Limits) -> anyhow::Result<Backends> {
        Backends::open_with(servers, limits, Some(Switches::default())).await
    }

    async fn open_with(servers: &Servers, limits: Limits, lab: Option<Switches>) -> anyhow::Result<Backends> {
        let slow = lab.as_ref();
        let [pg, pg_locks, pg_unflushed, pg_life, pg_reads] =
            postgres::open(&servers.database_url, &limits, slow).await?;
        let redis = || match servers.redis() {
            None => Err(not_set("REDIS_URL")),
            Some(url) => self::redis::open("REDIS_URL", url, &limits, slow),
        };
        let redlock = match servers.redlock() {
            urls if urls.is_empty() => Err(not_set("REDLOCK_URLS")),
            urls => self::redis::open_all(&urls, &limits, slow),
        };
        let zookeeper = match servers.zookeeper() {
            None => Err(not_set("ZOOKEEPER_HOSTS")),
            hosts => Zookeeper::open(hosts, &limits),
        };
        let etcd = match servers.etcd() {
            urls if urls.is_empty() && cfg!(feature = "etcd") => Err(not_set("ETCD_URLS")),
            urls => Etcd::open(&urls, &limits),
        };
        let redis_messages =
            servers.redis().ok_or_else(|| not_set("REDIS_URL")).and_then(RedisMessages::open);
        let faults = lab.clone().unwrap_or_default();
        let wire = |url| RedisWire::open(url, &limits, faults.clone());
        let redis_wire = servers.redis().ok_or_else(|| not_set("REDIS_URL")).and_then(wire);
        let (redis, redis_locks) = (redis(), redis());
        Ok(Backends {
            flush: Arc::new(Flush::new(&pg, &limits)),
            pg,
            pg_locks,
            pg_unflushed,
            pg_life,
            pg_reads,
            redis,
            redis_wire,
            redis_locks,
            redis_messages,
            redlock,
            zookeeper,
            etcd,
            faults,
            limits,
        })
    }

    /// Redis for scripts, or a refusal in which nothing was taken.
    pub fn redis_wire(&self) -> Result<&RedisWire, Error> {
        self.redis_wire.as_ref().map_err(|why| Error::Unavailable(why.clone()))
    }

    /// The process of the Redis that the stock is in, by its own word.
    pub async fn redis_process(&self) -> Result<u32, Error> {
        let pool = self.redis.as_ref().map_err(|why| Error::Unavailable(why.clone()))?;
        self::redis::process(pool).await
    }

    /// Redis for locks, or a refusal.
    pub fn redis_locks(&self) -> Result<&deadpool_redis::Pool, Error> {
        self.redis_locks.as_ref().map_err(|why| Error::Unavailable(why.clone()))
    }

    /// What Redis announces, or a refusal.
    pub fn redis_messages(&self) -> Result<&RedisMessages, Error> {
        self.redis_messages.as_ref().map_err(|why| Error::Unavailable(why.clone()))
    }

    /// The independent Redis of lock_redlock, or a refusal.
    pub fn redlock(&self) -> Result<&[deadpool_redis::Pool], Error> {
        self.redlock.as_deref().map_err(|why| Error::Unavailable(why.clone()))
    }

    /// ZooKeeper, or a refusal.
    pub fn zookeeper(&self) -> Result<&Zookeeper, Error> {
        self.zookeeper.as_ref().map_err(|why| Error::Unavailable(why.clone()))
    }

    /// etcd, or a refusal.
    pub fn etcd(&self) -> Result<&Etcd, Error> {
        self.etcd.as_ref().map_err(|why| Error::Unavailable(why.clone()))
    }

    /// Asks the servers what they are and how durable, all at once.
    pub async fn facts(&self) -> Facts {
        let limit = self.limits.wait();
        let (pg, redis, redlock, zookeeper, etcd) = tokio::join!(
            in_time(limit, async { Some(postgres::facts(&self.pg_reads).await.map_err(words)) }),
            in_time(limit, async {
                Some(self::redis::facts(self.redis.as_ref().ok()?).await.map_err(words))
            }),
            in_time(limit, async {
                Some(self::redis::facts_of_all(self.redlock.as_ref().ok()?).await.map_err(words))
            }),
            in_time(limit, async {
                Some(probe::zookeeper(&self.zookeeper.as_ref().ok()?.hosts).await.map(durable))
            }),
            in_time(limit, async { Some(probe::etcd(self.etcd.as_ref().ok()?.urls()).await.map(durable)) }),
        );
        let mut unfit = Vec::new();
        let mut line = |need: Need, name: &str, answer: Option<Answer>| match answer? {
            Ok((line, risks)) => {
                unfit.extend(risks.into_iter().map(|why| (need, why)));
                Some(line)
            }
            Err(why) => {
                unfit.push((need, format!("{name} cannot be asked: {why}")));
                None
            }
        };
        let postgres = line(Need::Postgres, "PostgreSQL", pg).unwrap_or_default();
        let redis = line(Need::Redis, "Redis", redis);
        let redlock = line(Need::Redlock, "Redlock", redlock);
        let zookeeper = line(Need::Zookeeper, "ZooKeeper", zookeeper);
        let etcd = line(Need::Etcd, "etcd", etcd);
        Facts { postgres, redis, redlock, zookeeper, etcd, unfit }
    }

    /// Does each server answer? PostgreSQL first; one that was not named is left out.
    pub async fn ping(&self) -> Vec<(Need, Result<(), String>)> {
        let limit = self.limits.wait();
        let (pg, redis, redlock, zookeeper, etcd) = tokio::join!(
            async { Some(sqlx::query("select 1").execute(&self.pg_reads).await.map(|_| ()).map_err(words)) },
            async { Some(self::redis::ping(self.redis.as_ref().ok()?).await) },
            async { Some(self::redis::ping_majority(self.redlock.as_ref().ok()?).await) },
            in_time(limit, async {
                Some(probe::zookeeper(&self.zookeeper.as_ref().ok()?.hosts).await.map(|_| ()))
            }),
            in_time(limit, async { Some(probe::etcd(self.etcd.as_ref().ok()?.urls()).await.map(|_| ())) }),
        );
        let answers = [
            (Need::Postgres, pg),
            (Need::Redis, redis),
            (Need::Redlock, redlock),
            (Need::Zookeeper, zookeeper),
            (Need::Etcd, etcd),
        ];
        answers.into_iter().filter_map(|(need, answer)| Some((need, answer?))).collect()
    }
}

/// A line about a server and what is unfit about it, or why it does not answer.
type Answer = Result<(String, Vec<String>), String>;

fn not_set(setting: &str) -> String {
    format!("{setting} is not set (./run demo installs and starts it)")
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Consensus is on disk before it is answered, and nobody can be asked whether that was switched off.
fn durable(line: String) -> (String, Vec<String>) {
    (line, Vec::new())
}

/// An answer within the limit; `None` where there is nobody to ask.
async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Option<Result<T, String>>>,
) -> Option<Result<T, String>> {
    let late = |_| Some(Err(format!("no answer within {limit:?}")));
    tokio::time::timeout(limit, answer).await.unwrap_or_else(late)
}
