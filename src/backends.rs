//! Opens PostgreSQL and Redis. Every timeout and limit of a driver stands here, none is a library's default.

use std::str::FromStr;
use std::time::Duration;

use deadpool_redis::{Manager, PoolConfig, Runtime, Timeouts};
use redis::{AsyncConnectionConfig, RedisError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection, Row};

use crate::config::Limits;
use crate::sale::Error;

/// Every statement of this room, for the test that PREPAREs them.
pub const STATEMENTS: &[(&str, &str)] = &[("backends.settings.sql", SETTINGS)];

const SETTINGS: &str = include_str!("backends.settings.sql");

/// A server that a strategy may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// PostgreSQL, which also holds the ledger.
    Postgres,
    /// Redis.
    Redis,
}

impl Need {
    /// Its name in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Need::Postgres => "postgres",
            Need::Redis => "redis",
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
    /// Reading beside the road (audit, exports, lookups), so that a rush does not starve it nor it the rush.
    pub pg_reads: PgPool,
    /// Redis, or why there is none.
    pub redis: Result<deadpool_redis::Pool, String>,
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
    /// Settings with which a store cannot keep its promise.
    pub unfit: Vec<(Need, String)>,
}

impl Backends {
    /// Opens the servers and brings the schema up to date. PostgreSQL must be there; a missing Redis makes
    /// its strategies unavailable and nothing else.
    pub async fn open(
        database_url: &str,
        redis_url: Option<&str>,
        limits: Limits,
    ) -> anyhow::Result<Backends> {
        let options = pg_options(database_url, &limits)?;
        let pool = |size: u32| {
            PgPoolOptions::new()
                .max_connections(size)
                .min_connections(0)
                .acquire_timeout(limits.wait())
                .idle_timeout(Duration::from_secs(600))
                .max_lifetime(None)
                // A ping before each use would be a hidden round trip in every measured cost.
                .test_before_acquire(false)
        };
        let pg = match pool(limits.pool_connections_max).connect_with(options.clone()).await {
            Err(sqlx::Error::PoolTimedOut) => return Err(why_not(&options, limits.wait()).await),
            opened => opened?,
        };
        let pg_locks = pool(limits.lock_connections_max).connect_lazy_with(options.clone());
        let pg_reads = pool(limits.read_connections_max).connect_lazy_with(options);
        migrator().run(&pg).await?;
        let redis = match redis_url {
            None => Err("REDIS_URL is not set".to_owned()),
            Some(url) => open_redis(url, &limits),
        };
        Ok(Backends { pg, pg_locks, pg_reads, redis, limits })
    }

    /// Redis, or a refusal in which nothing was taken.
    pub fn redis(&self) -> Result<&deadpool_redis::Pool, Error> {
        self.redis.as_ref().map_err(|why| Error::Unavailable(why.clone()))
    }

    /// Asks the servers what they are and how durable.
    pub async fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        match postgres_facts(&self.pg_reads).await {
            Ok((line, unfit)) => {
                facts.postgres = line;
                facts.unfit.extend(unfit.into_iter().map(|why| (Need::Postgres, why)));
            }
            Err(e) => facts.unfit.push((Need::Postgres, format!("PostgreSQL cannot be asked: {e}"))),
        }
        if let Ok(pool) = &self.redis {
            match redis_facts(pool).await {
                Ok((line, unfit)) => {
                    facts.redis = Some(line);
                    facts.unfit.extend(unfit.into_iter().map(|why| (Need::Redis, why)));
                }
                Err(e) => facts.unfit.push((Need::Redis, format!("Redis cannot be asked: {e}"))),
            }
        }
        facts
    }

    /// Does each server answer? PostgreSQL first; a Redis that was not named is left out.
    pub async fn ping(&self) -> Vec<(Need, Result<(), String>)> {
        let pg = sqlx::query("select 1").execute(&self.pg_reads).await;
        let mut answers = vec![(Need::Postgres, pg.map(|_| ()).map_err(|e| e.to_string()))];
        if let Ok(pool) = &self.redis {
            // Taking a pooled connection pings it.
            let redis = pool.get().await.map(|_| ());
            answers.push((Need::Redis, redis.map_err(|e| format!("Redis cannot be reached: {e}"))));
        }
        answers
    }
}

/// The pool tries until its limit and then says only that it timed out. One more attempt says why.
async fn why_not(options: &PgConnectOptions, wait: Duration) -> anyhow::Error {
    match tokio::time::timeout(wait, PgConnection::connect_with(options)).await {
        Ok(Err(e)) => e.into(),
        Ok(Ok(_)) => anyhow::anyhow!("it answers too slowly"),
        Err(_) => anyhow::anyhow!("it takes connections and does not answer"),
    }
}

fn pg_options(url: &str, limits: &Limits) -> anyhow::Result<PgConnectOptions> {
    let ms = limits.wait_limit_ms.to_string();
    let options = PgConnectOptions::from_str(url)?;
    // Whoever names its sessions in the URL wants to tell them apart.
    let name = options.get_application_name().unwrap_or("sellout").to_owned();
    Ok(options.application_name(&name).options([
        // Waiting for a row or advisory lock is bounded by the same limit as waiting for a connection.
        ("lock_timeout", ms.as_str()),
        ("statement_timeout", limits.order_deadline_ms.to_string().as_str()),
        // A frozen process must not hold the hot row for ever.
        ("idle_in_transaction_session_timeout", limits.order_deadline_ms.to_string().as_str()),
    ]))
}

/// A pool that opens connections when they are wanted: a Redis that is down while we start may come back.
fn open_redis(url: &str, limits: &Limits) -> Result<deadpool_redis::Pool, String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        // The driver's own default is 500 ms. A time-out leaves the outcome unknown, so it is the deadline.
        .set_response_timeout(Some(limits.order_deadline()));
    let manager = Manager::new_with_config(url, config).map_err(|e| format!("REDIS_URL: {e}"))?;
    deadpool_redis::Pool::builder(manager)
        .config(PoolConfig {
            max_size: limits.redis_connections_max,
            timeouts: Timeouts {
                wait: Some(limits.wait()),
                create: Some(limits.wait()),
                recycle: Some(limits.wait()),
            },
            ..PoolConfig::default()
        })
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|e| e.to_string())
}

/// A pooled Redis connection, or a word that nothing was sent.
pub async fn redis_connection(pool: &deadpool_redis::Pool) -> Result<deadpool_redis::Connection, Error> {
    pool.get().await.map_err(|e| match e {
        deadpool_redis::PoolError::Timeout(_) => {
            Error::Contended("no free Redis connection within the wait limit".into())
        }
        e => Error::Unavailable(format!("Redis: {e}")),
    })
}

/// What a Redis error means once a command that changes something has been sent.
pub fn redis_at_write(e: RedisError) -> Error {
    // An error reply is Redis' word that the script or command did not run to its end; ours check before
    // they write, so nothing was taken. Anything else is the wire's.
    if e.code().is_some() {
        return Error::Unavailable(format!("Redis: {e}"));
    }
    Error::Unknown(format!("Redis: {e}"))
}

async fn postgres_facts(pool: &PgPool) -> Result<(String, Vec<String>), sqlx::Error> {
    let row = sqlx::query(SETTINGS).fetch_one(pool).await?;
    let version: String = row.try_get("version")?;
    let (fsync, sync): (String, String) = (row.try_get("fsync")?, row.try_get("synchronous_commit")?);
    let mut unfit = Vec::new();
    if fsync == "off" {
        unfit.push("PostgreSQL fsync is off".to_owned());
    }
    if sync == "off" {
        unfit.push("PostgreSQL synchronous_commit is off".to_owned());
    }
    Ok((format!("PostgreSQL {version}, fsync {fsync}, synchronous_commit {sync}"), unfit))
}

async fn redis_facts(pool: &deadpool_redis::Pool) -> anyhow::Result<(String, Vec<String>)> {
    let mut connection = pool.get().await?;
    let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
    let field = |name: &str| {
        let line = info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("unknown").trim().to_owned()
    };
    let (version, policy) = (field("redis_version"), field("maxmemory_policy"));
    let aof = if field("aof_enabled") == "1" { "on" } else { "off" };
    // CONFIG may be forbidden on a managed server; then the line says so.
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("appendfsync");
    let fsync = ask.query_async::<Vec<String>>(&mut connection).await;
    let fsync = fsync.ok().and_then(|kv| kv.get(1).cloned()).unwrap_or_else(|| "unknown".into());
    let mut unfit = Vec::new();
    if policy != "noeviction" {
        unfit.push(format!("Redis maxmemory-policy is {policy}: it may evict the stock"));
    }
    if aof == "off" {
        unfit.push("Redis appendonly is off: a restart forgets the stock".to_owned());
    }
    Ok((format!("Redis {version}, appendonly {aof}, appendfsync {fsync}, {policy}"), unfit))
}

/// The schema, embedded: a clean clone builds without a database, and the binary needs no files.
fn migrator() -> Migrator {
    let files = [
        (1, "sales", include_str!("../migrations/0001_sales.sql")),
        (2, "stock", include_str!("../migrations/0002_stock.sql")),
        (3, "ledger", include_str!("../migrations/0003_ledger.sql")),
        (4, "tallies", include_str!("../migrations/0004_tallies.sql")),
        (5, "locks", include_str!("../migrations/0005_locks.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        let sql = sqlx::SqlStr::from_static(sql);
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(files.into_iter().map(migration).collect())
}
