//! Sales in PostgreSQL: written once, read when a process meets a sale for the first time or learns that its
//! epoch is over.

use std::time::Instant;

use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
use uuid::Uuid;

use super::{at_write, before_write, connection};
use crate::sale::{Error, Hours, Sale};

pub(super) const INSERT: &str = include_str!("sale_insert.sql");
pub(super) const ONE: &str = include_str!("sale.sql");
pub(super) const NEWEST: &str = include_str!("sales.sql");
pub(super) const EXHAUSTED: &str = include_str!("exhausted.sql");
pub(super) const RETURNS: &str = include_str!("returns.sql");
pub(super) const ON_HOLD: &str = include_str!("on_hold.sql");
pub(super) const RAISE: &str = include_str!("raise_epoch.sql");

/// Writes the sale; gives it the time at which it opened.
pub async fn insert_sale(pool: &PgPool, sale: Sale) -> Result<Sale, Error> {
    let mut connection = connection(pool).await?;
    let row = sqlx::query(INSERT)
        .bind(sale.id)
        .bind(&sale.name)
        .bind(sale.units)
        .bind(&sale.strategy)
        .bind(sale.per_buyer_limit)
        .bind(&sale.hours.opens_at)
        .bind(&sale.hours.closes_at)
        .fetch_one(&mut *connection)
        .await
        .map_err(at_write)?;
    let opened_at = row.try_get("opened_at").map_err(before_write)?;
    let hours = hours(&row).map_err(before_write)?;
    Ok(Sale { opened_at, hours, ..sale })
}

/// Ends the epoch of a sale, perhaps with another strategy: whoever decided under it records nothing any
/// more. Answers with the new one (at least `least`); `None` when another one had ended it already.
pub async fn raise_epoch(
    pool: &PgPool,
    sale: &Sale,
    strategy: Option<&str>,
    least: i64,
) -> Result<Option<i64>, Error> {
    let mut connection = connection(pool).await?;
    let raised = sqlx::query_scalar(RAISE).bind(sale.id).bind(sale.epoch).bind(strategy).bind(least);
    raised.fetch_one(&mut *connection).await.map_err(at_write)
}

/// One sale.
pub async fn sale(pool: &PgPool, id: Uuid) -> Result<Option<Sale>, Error> {
    let row = sqlx::query(ONE).bind(id).fetch_optional(pool).await.map_err(before_write)?;
    row.as_ref().map(from_row).transpose().map_err(before_write)
}

/// The newest sales, at most `limit`.
pub async fn sales(pool: &PgPool, limit: i64) -> Result<Vec<Sale>, Error> {
    let rows = sqlx::query(NEWEST).bind(limit).fetch_all(pool).await.map_err(before_write)?;
    rows.iter().map(from_row).collect::<Result<_, _>>().map_err(before_write)
}

/// Orders of a sale beyond which it is not remembered as sold out: eight bytes each.
const REMEMBERED_MAX: i64 = 1_000_000;

/// A sale of which nothing is left.
pub struct Exhausted {
    /// Its epoch.
    pub epoch: i64,
    /// How often units had come back.
    pub returns: i64,
    /// Every key that was sold: the first eight bytes of SHA-256 of `caller:key`, sorted.
    pub keys: Vec<[u8; 8]>,
}

/// What there is to know of a sale of which nothing is left; `None` while something is.
/// `flush`: makes that durable, where it may not be yet: a crash must not bring units back unseen.
pub async fn exhausted(
    pool: &PgPool,
    id: Uuid,
    flush: Option<&'static str>,
) -> Result<Option<Exhausted>, Error> {
    let mut connection = connection(pool).await?;
    let row = sqlx::query(EXHAUSTED).bind(id).bind(REMEMBERED_MAX).fetch_optional(&mut *connection).await;
    if let (Ok(Some(_)), Some(flush)) = (&row, flush) {
        sqlx::query(flush).execute(&mut *connection).await.map_err(before_write)?;
    }
    let read = |row: PgRow| -> Result<Exhausted, sqlx::Error> {
        let bytes: Vec<u8> = row.try_get("keys")?;
        let mut keys: Vec<[u8; 8]> = bytes.as_chunks().0.to_vec();
        keys.sort_unstable();
        Ok(Exhausted { epoch: row.try_get("epoch")?, returns: row.try_get("returns")?, keys })
    };
    row.map_err(before_write)?.map(read).transpose().map_err(before_write)
}

/// Epoch of a sale, and how often its units have come back.
pub async fn returns(pool: &PgPool, id: Uuid) -> Result<Option<(i64, i64)>, Error> {
    let row = sqlx::query(RETURNS).bind(id).fetch_optional(pool).await.map_err(before_write)?;
    let read = |row: PgRow| Ok((row.try_get("epoch")?, row.try_get("returns")?));
    row.map(read).transpose().map_err(before_write)
}

/// Units of a sale that wait for a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnHold {
    /// All of them.
    pub units: i64,
    /// Those whose hold ends within a minute.
    pub expiring: i64,
}

/// What is on hold of each of these sales; one that holds nothing is left out.
pub async fn on_hold(pool: &PgPool, sales: Vec<Uuid>) -> Result<Vec<(Uuid, OnHold)>, Error> {
    let rows = sqlx::query(ON_HOLD).bind(sales).fetch_all(pool).await.map_err(before_write)?;
    let read = |row: &PgRow| -> Result<(Uuid, OnHold), sqlx::Error> {
        let held = OnHold { units: row.try_get("units")?, expiring: row.try_get("expiring")? };
        Ok((row.try_get("sale_id")?, held))
    };
    rows.iter().map(read).collect::<Result<_, _>>().map_err(before_write)
}

fn from_row(row: &PgRow) -> Result<Sale, sqlx::Error> {
    Ok(Sale {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        units: row.try_get("units")?,
        strategy: row.try_get("strategy")?,
        per_buyer_limit: row.try_get("per_buyer_limit")?,
        opened_at: row.try_get("opened_at")?,
        epoch: row.try_get("epoch")?,
        hours: hours(row)?,
        race_window: None,
    })
}

fn hours(row: &PgRow) -> Result<Hours, sqlx::Error> {
    Ok(Hours {
        opens_at: row.try_get("opens_at")?,
        closes_at: row.try_get("closes_at")?,
        read: Instant::now(),
        opens_in_ms: row.try_get("opens_in_ms")?,
        closes_in_ms: row.try_get("closes_in_ms")?,
    })
}
