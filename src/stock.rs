//! The counter in PostgreSQL that most strategies fight over: how it is opened and read.
//!
//! How it is *taken* is each strategy's own business and stands in its file.

use sqlx::Row;
use sqlx::postgres::PgPool;

use crate::ledger::{self, at_write, before_write};
use crate::sale::{Back, Error, Sale};

/// Every statement of this room, for the test that PREPAREs them.
pub const STATEMENTS: &[(&str, &str)] =
    &[("stock.open.sql", OPEN), ("stock.left.sql", LEFT), ("stock.give_back.sql", GIVE_BACK)];

const OPEN: &str = include_str!("stock.open.sql");
const LEFT: &str = include_str!("stock.left.sql");
const GIVE_BACK: &str = include_str!("stock.give_back.sql");

/// Puts the units of a sale on sale. Once: a second call changes nothing.
pub async fn open(pg: &PgPool, sale: &Sale) -> Result<(), Error> {
    let opened = sqlx::query(OPEN).bind(sale.id).bind(sale.units).execute(pg).await;
    opened.map(|_| ()).map_err(at_write)
}

/// What the counter says; below zero where a strategy oversold it.
pub async fn left(pg: &PgPool, sale: &Sale) -> Result<i64, Error> {
    let left = sqlx::query_scalar(LEFT).bind(sale.id).fetch_optional(pg).await;
    left.map_err(before_write)?.ok_or_else(missing)
}

/// Puts units back (or takes off what an operator wants off), together with the reason: the orders that end,
/// or the change. Answers by how many; 0 where it was done before. Right for whoever takes by subtracting,
/// under the row's lock, by version or by fence; a lock from elsewhere must be held around it.
/// `token`: of that lock, claimed here as by any other holder.
pub async fn give_back(pg: &PgPool, sale: &Sale, back: &Back, token: Option<i64>) -> Result<i64, Error> {
    let mut pg = ledger::connection(pg).await?;
    let units = ledger::bind_back(GIVE_BACK, sale, back)
        .bind(token)
        .fetch_optional(&mut *pg)
        .await
        .map_err(at_write)?;
    units.map_or(Ok(0), |row| row.try_get("units").map_err(at_write))
}

/// Lays the units of a sale out for its epoch, apart from the counter. Once: a second call changes nothing.
/// `sql`: where its strategy puts them.
pub async fn lay_out(pg: &PgPool, sql: &'static str, sale: &Sale) -> Result<(), Error> {
    let mut pg = ledger::connection(pg).await?;
    let laid_out = sqlx::query(sql).bind(sale.id).bind(sale.epoch).bind(sale.units).execute(&mut *pg).await;
    laid_out.map(|_| ()).map_err(at_write)
}

/// [`give_back`] for units that lie apart from the counter; `sql` moves them in the same statement.
pub async fn give_back_apart(pg: &PgPool, sql: &'static str, sale: &Sale, back: &Back) -> Result<i64, Error> {
    let mut pg = ledger::connection(pg).await?;
    let row = ledger::bind_back(sql, sale, back).fetch_one(&mut *pg).await.map_err(at_write)?;
    row.try_get(0).map_err(at_write)
}

/// [`left`] for units that lie apart from the counter.
pub async fn left_apart(pg: &PgPool, sql: &'static str, sale: &Sale) -> Result<i64, Error> {
    let left = sqlx::query_scalar(sql).bind(sale.id).fetch_optional(pg).await;
    left.map_err(before_write)?.ok_or_else(missing)
}

/// What was laid out for an epoch that is over goes. Should that fail, it lies there and nobody sells it: no
/// other epoch looks at it.
pub async fn forget(pg: &PgPool, sql: &'static str, sale: &Sale) {
    if let Err(e) = sqlx::query(sql).bind(sale.id).bind(sale.epoch).execute(pg).await {
        tracing::warn!("what was laid out for epoch {} of sale {} stays: {e}", sale.epoch, sale.id);
    }
}

/// A sale without a counter is closed. Never zero: that would tell buyers that it sold out.
pub fn missing() -> Error {
    Error::Unavailable("this sale has no stock row".into())
}
