//! Let PostgreSQL find the conflict: SERIALIZABLE, and try again when it says no.
//!
//! # How
//! The naive read and the naive write, in one transaction at isolation level SERIALIZABLE. Who would have
//! acted on a stale read gets SQLSTATE 40001 instead of a commit, and starts again.
//!
//! # Guarantee
//! Exact. It does update the stock row, so two buyers collide in a plain write-write conflict, which
//! already snapshot isolation refuses; it does not lean on predicate locks alone.
//!
//! # Fails when
//! Never by interleaving. Under a rush nearly everybody is told 40001 and pays for all of it again.
//!
//! # Cost
//! Four round trips when alone, four more for every conflict.
//!
//! # See
//! <https://www.postgresql.org/docs/current/transaction-iso.html#XACT-SERIALIZABLE>;
//! Ports and Grittner, Serializable Snapshot Isolation in PostgreSQL (2012)

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::faults;
use crate::ledger::{self, at_write, before_write, is_conflict};
use crate::patience::Patience;
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "serializable",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; a rush is told 40001 over and over",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: true,
    needs: &[Need::Postgres],
    statements: &[&[("serializable.read.sql", READ), ("serializable.write.sql", WRITE)]],
    source: include_str!("serializable.rs"),
    lock: None,
    build: |backends, _| {
        let wait = backends.limits.wait();
        Ok(Arc::new(Serializable { pg: backends.pg.clone(), wait }))
    },
};

const READ: &str = include_str!("serializable.read.sql");
const WRITE: &str = include_str!("serializable.write.sql");

struct Serializable {
    pg: PgPool,
    wait: std::time::Duration,
}

/// One try: an outcome, or a conflict after which nothing was taken.
enum Try {
    Done(Outcome),
    Conflict,
}

impl Serializable {
    async fn attempt(&self, sale: &Sale, order: &Order) -> Result<Try, Error> {
        let begin = self.pg.begin_with("begin isolation level serializable").await;
        let mut tx = begin.map_err(before_write)?;
        // Others may read this row too. Of all who go on to write it, one will commit.
        let left = match sqlx::query_scalar(READ).bind(sale.id).fetch_optional(&mut *tx).await {
            Err(e) if is_conflict(&e) => return Ok(Try::Conflict),
            read => read.map_err(before_write)?.ok_or_else(stock::missing)?,
        };
        let left: i64 = left;
        order.trace.read(left, "serializable.read.sql");
        order.trace.check(left >= order.quantity);
        if left < order.quantity {
            tx.rollback().await.map_err(before_write)?;
            return Ok(Try::Done(Outcome::SoldOut));
        }
        faults::window(sale).await;
        match ledger::bind(WRITE, order).bind(left - order.quantity).fetch_one(&mut *tx).await {
            Err(e) if is_conflict(&e) => return Ok(Try::Conflict),
            written => written.map_err(at_write)?,
        };
        order.trace.write(left - order.quantity, "serializable.write.sql");
        match tx.commit().await {
            // A conflict at COMMIT is an answer: it was rolled back. A broken wire is not: unknown.
            Err(e) if is_conflict(&e) => Ok(Try::Conflict),
            committed => {
                committed.map_err(at_write)?;
                order.trace.commit();
                Ok(Try::Done(Outcome::Sold(order.id)))
            }
        }
    }
}

#[async_trait]
impl Strategy for Serializable {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut patience = Patience::new(self.wait);
        loop {
            if let Try::Done(outcome) = self.attempt(sale, order).await? {
                return Ok(outcome);
            }
            order.trace.retry();
            patience.pause("every attempt met a serialization failure").await?;
        }
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        stock::give_back(lane, sale, back, None).await
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
