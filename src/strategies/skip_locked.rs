//! A row for each unit, claimed `FOR UPDATE SKIP LOCKED`.
//!
//! # How
//! The stock is as many rows as there are units. A buyer begins somewhere among them, locks the next ones
//! that nobody holds, deletes them and records the order, all in one statement. Nobody waits for anybody.
//!
//! # Guarantee
//! Exact. SKIP LOCKED is right for taking *any* free row, and a deleted row is gone for all. It is wrong for
//! counting (see `skip_locked_count`), so *sold out* is not said because rows are locked: they are counted
//! without looking at locks, and if there are enough, the locked ones are waited for, everybody in the
//! sequence of their numbers. Whoever holds them may fail, and then they are sold.
//!
//! # Fails when
//! Never by interleaving. It has a row for each unit: a million at most, and opening a sale writes them all.
//!
//! # Cost
//! One round trip. Each unit is a row to be written, locked and deleted, and to be vacuumed away. Units that
//! come back wait for the takes under way and hold up the next ones.
//!
//! # See
//! <https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE>;
//! <https://shopify.engineering/scaling-inventory-reservations>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "skip_locked",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; a row for each unit, a million at most",
    round_trips: RoundTrips { sold: 1, sold_out: 2 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[
        ("skip_locked.open.sql", OPEN),
        ("skip_locked.unsold.sql", UNSOLD),
        ("skip_locked.take.sql", TAKE),
        ("skip_locked.wait.sql", WAIT),
        ("skip_locked.give_back.sql", GIVE_BACK),
        ("skip_locked.left.sql", LEFT),
        ("skip_locked.forget.sql", FORGET),
    ]],
    source: include_str!("skip_locked.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(SkipLocked { pg: backends.pg.clone() })),
};

const OPEN: &str = include_str!("skip_locked.open.sql");
const UNSOLD: &str = include_str!("skip_locked.unsold.sql");
const TAKE: &str = include_str!("skip_locked.take.sql");
const WAIT: &str = include_str!("skip_locked.wait.sql");
const GIVE_BACK: &str = include_str!("skip_locked.give_back.sql");
const LEFT: &str = include_str!("skip_locked.left.sql");
const FORGET: &str = include_str!("skip_locked.forget.sql");

/// Most rows of a sale, and most that are added at once.
const UNITS_MAX: i64 = 1_000_000;

struct SkipLocked {
    pg: PgPool,
}

/// Somewhere among the units, a different place for each order: who begins at the same one stumbles over
/// those who are there already.
fn somewhere(sale: &Sale, order: &Order) -> i64 {
    let units = u128::from(sale.units.unsigned_abs().max(1));
    i64::try_from(order.id.as_u128() % units).unwrap_or(0)
}

#[async_trait]
impl Strategy for SkipLocked {
    async fn fits(&self, sale: &Sale) -> Result<(), Error> {
        let rows = sqlx::query_scalar(UNSOLD).bind(sale.id).bind(sale.units).fetch_one(&self.pg).await;
        let rows: i64 = rows.map_err(before_write)?;
        if rows > UNITS_MAX { Err(too_many()) } else { Ok(()) }
    }

    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::lay_out(&self.pg, OPEN, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        // One statement: whoever looks for units just now does not see those that are locked here.
        let taken = ledger::bind(TAKE, order).bind(somewhere(sale, order)).fetch_one(&mut *pg).await;
        match taken.and_then(|row| row.try_get::<String, _>("taken")).map_err(at_write)?.as_str() {
            "all" => {
                order.trace.decide_and_commit(true, "skip_locked.take.sql");
                return Ok(Outcome::Sold(order.id));
            }
            "none" => {
                order.trace.decide(false, "skip_locked.take.sql");
                return Ok(Outcome::SoldOut);
            }
            _ => order.trace.retry(),
        }
        // Others hold what would do. They sell it or let it go: wait, and look at nothing else meanwhile.
        let taken = ledger::bind(WAIT, order).fetch_optional(&mut *pg).await;
        let taken = taken.map_err(at_write)?;
        order.trace.decide_and_commit(taken.is_some(), "skip_locked.wait.sql");
        Ok(taken.map_or(Outcome::SoldOut, |_| Outcome::Sold(order.id)))
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        match back {
            Back::Change { delta, .. } if *delta > UNITS_MAX => Err(too_many()),
            _ => stock::give_back_apart(lane, GIVE_BACK, sale, back).await,
        }
    }

    fn counter(&self) -> &'static str {
        "the rows in PostgreSQL, one for each unit"
    }

    async fn forget(&self, sale: &Sale) {
        stock::forget(&self.pg, FORGET, sale).await;
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left_apart(&self.pg, LEFT, sale).await.map(Some)
    }
}

fn too_many() -> Error {
    Error::Unsupported("skip_locked has a row for each unit, and at most a million of them")
}
