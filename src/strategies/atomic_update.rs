//! Check, take and record in one guarded UPDATE.
//!
//! # How
//! `update … set units_left = units_left - n where units_left >= n`, and the order is recorded in the
//! same statement from the row that came back. No row back: sold out.
//!
//! # Guarantee
//! Exact. The check and the subtraction happen under one row lock. A buyer who had to wait for that lock
//! has the guard evaluated again on the newest version of the row (READ COMMITTED re-checks the WHERE
//! clause after a wait), so nobody acts on an old number. Stock and order commit together.
//!
//! # Fails when
//! Never by interleaving. One hot row is a queue: each order holds it until its commit is on disk.
//!
//! # Cost
//! One round trip. The row lock is held from the update to the end of the commit flush.
//!
//! # See
//! <https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::ledger::{self, at_write};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "atomic_update",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; one hot row is a queue",
    round_trips: RoundTrips { sold: 1, sold_out: 2 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: true,
    needs: &[Need::Postgres],
    statements: &[&[("atomic_update.sql", TAKE)]],
    source: include_str!("atomic_update.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(AtomicUpdate { pg: backends.pg.clone() })),
};

const TAKE: &str = include_str!("atomic_update.sql");

struct AtomicUpdate {
    pg: PgPool,
}

#[async_trait]
impl Strategy for AtomicUpdate {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, _: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        // One statement: other buyers are before it or after it, never inside.
        let taken = ledger::bind(TAKE, order).fetch_optional(&mut *pg).await;
        let taken = taken.map_err(at_write)?;
        order.trace.decide_and_commit(taken.is_some(), "atomic_update.sql");
        match taken {
            Some(_) => Ok(Outcome::Sold(order.id)),
            None => Ok(Outcome::SoldOut),
        }
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        stock::give_back(lane, sale, back, None).await
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
