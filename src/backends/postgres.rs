//! How PostgreSQL is opened, brought up to date, and asked what it is.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection, Row};

use crate::config::Limits;
use crate::faults::Switches;

/// What it is asked.
pub(super) const SETTINGS: &str = include_str!("backends.settings.sql");

/// Connections whose commits are not flushed, at most: the more wait for a hot row, the longer it takes from
/// hand to hand.
const UNFLUSHED_MAX: u32 = 8;

/// The pools: for selling, for locks that last as long as a session, for selling without a flush, for what
/// becomes of orders, and for reading.
/// `slow`: in a lab, what a connection that is taken out takes longer; not those that only read.
pub(super) async fn open(url: &str, limits: &Limits, slow: Option<&Switches>) -> anyhow::Result<[PgPool; 5]> {
    let options = options(url, limits)?;
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
    let taken = |size: u32| match slow.cloned() {
        None => pool(size),
        Some(slow) => pool(size).before_acquire(move |_, _| {
            let slow = slow.clone();
            Box::pin(async move {
                slow.slow().await;
                Ok(true)
            })
        }),
    };
    let pg = match taken(limits.pool_connections_max).connect_with(options.clone()).await {
        Err(sqlx::Error::PoolTimedOut) => return Err(why_not(&options, limits.wait()).await),
        opened => opened?,
    };
    let locks = taken(limits.lock_connections_max).connect_lazy_with(options.clone());
    let life = taken(limits.life_connections_max).connect_lazy_with(options.clone());
    let reads = pool(limits.read_connections_max).connect_lazy_with(options.clone());
    let unflushed = taken(limits.pool_connections_max.min(UNFLUSHED_MAX))
        .connect_lazy_with(options.options([("synchronous_commit", "off")]));
    migrator().run(&pg).await?;
    Ok([pg, locks, unflushed, life, reads])
}

/// The pool tries until its limit and then says only that it timed out. One more attempt says why.
async fn why_not(options: &PgConnectOptions, wait: Duration) -> anyhow::Error {
    match tokio::time::timeout(wait, PgConnection::connect_with(options)).await {
        Ok(Err(e)) => e.into(),
        Ok(Ok(_)) => anyhow::anyhow!("it answers too slowly"),
        Err(_) => anyhow::anyhow!("it takes connections and does not answer"),
    }
}

fn options(url: &str, limits: &Limits) -> anyhow::Result<PgConnectOptions> {
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

/// Version and durability in one line, and what is unfit about them.
pub(super) async fn facts(pool: &PgPool) -> Result<(String, Vec<String>), sqlx::Error> {
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

/// The schema, embedded: a clean clone builds without a database, and the binary needs no files.
fn migrator() -> Migrator {
    let files = [
        (1, "sales", include_str!("../../migrations/0001_sales.sql")),
        (2, "stock", include_str!("../../migrations/0002_stock.sql")),
        (3, "ledger", include_str!("../../migrations/0003_ledger.sql")),
        (4, "tallies", include_str!("../../migrations/0004_tallies.sql")),
        (5, "locks", include_str!("../../migrations/0005_locks.sql")),
        (6, "lock_depth", include_str!("../../migrations/0006_lock_depth.sql")),
        (7, "life", include_str!("../../migrations/0007_life.sql")),
        (8, "drain", include_str!("../../migrations/0008_drain.sql")),
        (9, "carts", include_str!("../../migrations/0009_carts.sql")),
        (10, "history", include_str!("../../migrations/0010_history.sql")),
        (11, "batches", include_str!("../../migrations/0011_batches.sql")),
        (12, "apart", include_str!("../../migrations/0012_apart.sql")),
        (13, "drains", include_str!("../../migrations/0013_drains.sql")),
        (14, "units", include_str!("../../migrations/0014_units.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        let sql = sqlx::SqlStr::from_static(sql);
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(files.into_iter().map(migration).collect())
}
