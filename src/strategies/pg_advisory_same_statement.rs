//! Lock and read in one statement: broken on purpose.
//!
//! # How
//! A transaction takes the advisory lock and reads the stock in a single SELECT, to save a round trip. Then
//! it checks, writes and commits; the lock goes with the transaction, after the commit. All in the right
//! order, it seems.
//!
//! # Guarantee
//! None. A statement's snapshot is taken when it starts, before it waits for the lock. When the lock is
//! granted, the row is read as it was before the wait: older than what the holder has committed since.
//!
//! # Fails when
//! Anybody has to wait for the lock, which in a rush is always.
//!
//! # Cost
//! Four round trips. The fifth, a lock in a statement of its own, would make it right.
//!
//! # See
//! <https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Hazard, Need, Spec, Strategy};
use crate::backends::Backends;
use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "pg_advisory_same_statement",
    variant: "",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::LostUpdate],
    oversells_in: Some("rush"),
    fails_when: "anybody has to wait for the lock",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    remembers_keys: false,
    queues: false,
    gives_back: false,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[
        ("pg_advisory_same_statement.read.sql", READ),
        ("pg_advisory_same_statement.write.sql", WRITE),
    ]],
    source: include_str!("pg_advisory_same_statement.rs"),
    lock: None,
    build: |backends: &Backends, _| Ok(Arc::new(PgAdvisorySameStatement { pg: backends.pg.clone() })),
};

const READ: &str = include_str!("pg_advisory_same_statement.read.sql");
const WRITE: &str = include_str!("pg_advisory_same_statement.write.sql");

struct PgAdvisorySameStatement {
    pg: PgPool,
}

#[async_trait]
impl Strategy for PgAdvisorySameStatement {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let key = i64::from_be_bytes(sale.id.as_u64_pair().1.to_be_bytes());
        let mut tx = self.pg.begin().await.map_err(before_write)?;
        // While this statement waits, the holder writes and commits, and this statement will not see it.
        let left = sqlx::query_scalar(READ).bind(sale.id).bind(key).fetch_optional(&mut *tx).await;
        let left: i64 = left.map_err(before_write)?.ok_or_else(stock::missing)?;
        // It was read before the wait and handed out after it.
        order.trace.read(left, "pg_advisory_same_statement.read.sql");
        order.trace.enter();
        order.trace.check(left >= order.quantity);

        if left < order.quantity {
            tx.rollback().await.map_err(before_write)?;
            order.trace.leave(false);
            return Ok(Outcome::SoldOut);
        }
        faults::window(sale).await;
        let written = ledger::bind(WRITE, order).bind(left - order.quantity).fetch_one(&mut *tx).await;
        written.map_err(at_write)?;
        order.trace.write(left - order.quantity, "pg_advisory_same_statement.write.sql");
        tx.commit().await.map_err(at_write)?;
        order.trace.commit();
        order.trace.leave(false);
        Ok(Outcome::Sold(order.id))
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
