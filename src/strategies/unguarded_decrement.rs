//! Read the stock, check in the program, then let the database subtract.
//!
//! # How
//! One statement reads how many units are left and the program checks. A second statement says
//! `units_left = units_left - n` and records the order. No update is lost this time: the subtraction
//! happens inside the row's own lock.
//!
//! # Guarantee
//! None. The check is as old as in `naive`. Every buyer who read "1 left" goes on to subtract, so the
//! counter runs below zero: the one kind of oversell that a look at the counter shows.
//!
//! # Fails when
//! Two buyers check before either subtracts.
//!
//! # Cost
//! Two round trips; the row lock is held for the second only.
//!
//! # See
//! The check-then-act race; <https://www.postgresql.org/docs/current/sql-update.html>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Hazard, Need, Spec, Strategy};
use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "unguarded_decrement",
    variant: "",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::NegativeCounter],
    oversells_in: Some("rush"),
    fails_when: "two buyers check before either subtracts",
    round_trips: RoundTrips { sold: 2, sold_out: 2 },
    remembers_keys: false,
    queues: false,
    gives_back: false,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[("unguarded_decrement.read.sql", READ), ("unguarded_decrement.write.sql", WRITE)]],
    source: include_str!("unguarded_decrement.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(UnguardedDecrement { pg: backends.pg.clone() })),
};

const READ: &str = include_str!("unguarded_decrement.read.sql");
const WRITE: &str = include_str!("unguarded_decrement.write.sql");

struct UnguardedDecrement {
    pg: PgPool,
}

#[async_trait]
impl Strategy for UnguardedDecrement {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        let left = sqlx::query_scalar(READ).bind(sale.id).fetch_optional(&mut *pg).await;
        let left: i64 = left.map_err(before_write)?.ok_or_else(stock::missing)?;
        order.trace.read(left, "unguarded_decrement.read.sql");
        order.trace.check(left >= order.quantity);

        if left < order.quantity {
            return Ok(Outcome::SoldOut);
        }
        // Here every other buyer who saw the same `left` stands beside us, and none of us will look again.
        faults::window(sale).await;
        let written = ledger::bind(WRITE, order).fetch_one(&mut *pg).await;
        written.map_err(at_write)?;
        order.trace.subtract(order.quantity, "unguarded_decrement.write.sql");
        order.trace.commit();
        Ok(Outcome::Sold(order.id))
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
