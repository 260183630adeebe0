//! The counter in PostgreSQL that most strategies fight over: how it is opened and read.
//!
//! How it is *taken* is each strategy's own business and stands in its file.

use sqlx::postgres::PgPool;

use crate::ledger::{at_write, before_write};
use crate::sale::{Error, Sale};

/// Every statement of this room, for the test that PREPAREs them.
pub const STATEMENTS: &[(&str, &str)] = &[("stock.open.sql", OPEN), ("stock.left.sql", LEFT)];

const OPEN: &str = include_str!("stock.open.sql");
const LEFT: &str = include_str!("stock.left.sql");

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

/// A sale without a counter is closed. Never zero: that would tell buyers that it sold out.
pub fn missing() -> Error {
    Error::Unavailable("this sale has no stock row".into())
}
