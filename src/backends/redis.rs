//! How a Redis is opened, reached, and asked what it is.

use std::time::Duration;

use deadpool_redis::{Connection, Hook, Manager, Pool, PoolConfig, PoolError, Runtime, Timeouts};
use redis::{AsyncConnectionConfig, RedisError};

use crate::config::Limits;
use crate::faults::Switches;
use crate::sale::Error;

/// Longest wait for one of several to answer.
const PING_MAX: Duration = Duration::from_secs(2);

/// A pool that opens connections when they are wanted: a Redis that is down while we start may come back.
///
/// `setting` is where the address comes from, for the reason why there is none. `slow`: in a lab, what a
/// connection that is taken out takes longer.
pub(super) fn open(
    setting: &str,
    url: &str,
    limits: &Limits,
    slow: Option<&Switches>,
) -> Result<Pool, String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        // The driver's own default is 500 ms. A time-out leaves the outcome unknown, so it is the deadline.
        .set_response_timeout(Some(limits.order_deadline()));
    let manager = Manager::new_with_config(url, config).map_err(|e| format!("{setting}: {e}"))?;
    let mut pool = Pool::builder(manager);
    if let Some(slow) = slow.cloned() {
        pool = pool.pre_recycle(Hook::async_fn(move |_, _| {
            let slow = slow.clone();
            Box::pin(async move {
                slow.slow().await;
                Ok(())
            })
        }));
    }
    pool.config(PoolConfig {
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

/// An odd number, so that a majority is one: with four, two halves could each wait for the other.
pub(super) fn open_all(
    urls: &[String],
    limits: &Limits,
    slow: Option<&Switches>,
) -> Result<Vec<Pool>, String> {
    match urls.len() {
        3 | 5 | 7 => urls.iter().map(|url| open("REDLOCK_URLS", url, limits, slow)).collect(),
        n => Err(format!("REDLOCK_URLS names {n} servers; it takes 3, 5 or 7")),
    }
}

/// A pooled Redis connection, or a word that nothing was sent.
pub async fn redis_connection(pool: &Pool) -> Result<Connection, Error> {
    pool.get().await.map_err(|e| match e {
        PoolError::Timeout(_) => Error::Contended("no free Redis connection within the wait limit".into()),
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

/// The process behind a pool, as it says itself.
pub(super) async fn process(pool: &Pool) -> Result<u32, Error> {
    let mut connection = redis_connection(pool).await?;
    let unknown = |why: String| Error::Unavailable(format!("Redis does not say which process it is: {why}"));
    let mut ask = redis::cmd("INFO");
    let info: String =
        ask.arg("server").query_async(&mut connection).await.map_err(|e| unknown(e.to_string()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"));
    pid.and_then(|pid| pid.trim().parse().ok()).ok_or_else(|| unknown("no process_id".into()))
}

/// Version and durability in one line, and what is unfit about them.
pub(super) async fn facts(pool: &Pool) -> anyhow::Result<(String, Vec<String>)> {
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

/// The same of several: one line if they agree.
pub(super) async fn facts_of_all(pools: &[Pool]) -> anyhow::Result<(String, Vec<String>)> {
    let answers = futures_util::future::join_all(pools.iter().map(facts)).await;
    let (mut lines, mut unfit) = (Vec::new(), Vec::new());
    for answer in answers {
        let (line, risks) = answer?;
        lines.push(line);
        unfit.extend(risks);
    }
    lines.dedup();
    unfit.dedup();
    Ok((format!("{} independent {}", pools.len(), lines.join(" / ")), unfit))
}

/// Does it answer? Taking a pooled connection pings it.
pub(super) async fn ping(pool: &Pool) -> Result<(), String> {
    pool.get().await.map(|_| ()).map_err(|e| format!("Redis cannot be reached: {e}"))
}

/// Does a majority of them answer? With less there is no lock.
pub(super) async fn ping_majority(pools: &[Pool]) -> Result<(), String> {
    // A frozen minority must not make the others look slow.
    let one = async |pool| match tokio::time::timeout(PING_MAX, ping(pool)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {PING_MAX:?}")),
    };
    let answers = futures_util::future::join_all(pools.iter().map(one)).await;
    let up = answers.iter().filter(|answer| answer.is_ok()).count();
    let why = answers.into_iter().find_map(Result::err).unwrap_or_default();
    let majority = 2 * up > pools.len();
    majority.then_some(()).ok_or_else(|| format!("{up} of {} Redis for Redlock answer: {why}", pools.len()))
}
