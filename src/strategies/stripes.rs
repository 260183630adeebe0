//! Split the stock over 16 rows, take from one that nobody holds.
//!
//! # How
//! The units are shared out over sixteen rows. A buyer begins at the stripe of his name and takes from the
//! first one that has enough and that nobody holds (`FOR UPDATE SKIP LOCKED`), in the statement that records
//! the order. Sixteen can commit at once, and PostgreSQL flushes them together.
//!
//! # Guarantee
//! Exact. A stripe is taken from under its row lock, so each sells what it has and no more. Nothing is
//! stranded: where no free stripe has enough, they are waited for in one sequence and the order is gathered
//! from several. *Sold out* is said only when their sum cannot serve it, and that sum counts as left whatever
//! somebody has taken and not committed yet. Units that come back are spread over all of them.
//!
//! # Fails when
//! Never by interleaving. The last units are one queue again.
//!
//! # Cost
//! One round trip; two for who has to gather. One stripe is held through the commit's flush; its neighbours
//! sell meanwhile. Units that come back wait for the takes under way and hold up the next ones.
//!
//! # See
//! <https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::ledger::{self, at_write};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "stripes",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; the last units are one queue",
    round_trips: RoundTrips { sold: 1, sold_out: 2 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[
        ("stripes.open.sql", OPEN),
        ("stripes.take.sql", TAKE),
        ("stripes.gather.sql", GATHER),
        ("stripes.give_back.sql", GIVE_BACK),
        ("stripes.left.sql", LEFT),
        ("stripes.forget.sql", FORGET),
    ]],
    source: include_str!("stripes.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(Stripes { pg: backends.pg.clone() })),
};

const OPEN: &str = include_str!("stripes.open.sql");
const TAKE: &str = include_str!("stripes.take.sql");
const GATHER: &str = include_str!("stripes.gather.sql");
const GIVE_BACK: &str = include_str!("stripes.give_back.sql");
const LEFT: &str = include_str!("stripes.left.sql");
const FORGET: &str = include_str!("stripes.forget.sql");

struct Stripes {
    pg: PgPool,
}

#[async_trait]
impl Strategy for Stripes {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::lay_out(&self.pg, OPEN, sale).await
    }

    async fn take(&self, _: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        // One statement: until its commit nobody else touches the stripe it has taken from, and everybody
        // else passes it by.
        let taken = ledger::bind(TAKE, order).fetch_one(&mut *pg).await;
        match taken.and_then(|row| row.try_get::<String, _>("taken")).map_err(at_write)?.as_str() {
            "all" => {
                order.trace.decide_and_commit(true, "stripes.take.sql");
                return Ok(Outcome::Sold(order.id));
            }
            "none" => {
                order.trace.decide(false, "stripes.take.sql");
                return Ok(Outcome::SoldOut);
            }
            _ => order.trace.retry(),
        }
        // Others hold what would do, or no stripe has enough alone: a new transaction, which holds none when
        // it begins to wait.
        let taken = ledger::bind(GATHER, order).fetch_optional(&mut *pg).await;
        let taken = taken.map_err(at_write)?;
        order.trace.decide_and_commit(taken.is_some(), "stripes.gather.sql");
        Ok(taken.map_or(Outcome::SoldOut, |_| Outcome::Sold(order.id)))
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        stock::give_back_apart(lane, GIVE_BACK, sale, back).await
    }

    fn counter(&self) -> &'static str {
        "the sixteen rows over which the stock is spread"
    }

    async fn forget(&self, sale: &Sale) {
        stock::forget(&self.pg, FORGET, sale).await;
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left_apart(&self.pg, LEFT, sale).await.map(Some)
    }
}
