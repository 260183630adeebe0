//! Lock the stock row, read, check, write, commit.
//!
//! # How
//! A transaction reads the row with `FOR UPDATE`. Everybody else who wants it waits in the database until
//! this transaction ends. Then the naive arithmetic is right, because the number cannot change any more.
//!
//! # Guarantee
//! Exact. The lock and the data live in the same server, so a client that dies or is cut off loses both
//! together: a lock without its holder cannot commit.
//!
//! # Fails when
//! Never by interleaving. A frozen client holds everybody up until a time-out ends its session.
//!
//! # Cost
//! Four round trips, and the row is locked for three of them: every reject waits in the same queue.
//!
//! # See
//! <https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "row_lock",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; a frozen holder stalls all until its session times out",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: true,
    needs: &[Need::Postgres],
    statements: &[&[("row_lock.lock.sql", LOCK), ("row_lock.take.sql", TAKE)]],
    source: include_str!("row_lock.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(RowLock { pg: backends.pg.clone() })),
};

const LOCK: &str = include_str!("row_lock.lock.sql");
const TAKE: &str = include_str!("row_lock.take.sql");

struct RowLock {
    pg: PgPool,
}

#[async_trait]
impl Strategy for RowLock {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut tx = self.pg.begin().await.map_err(before_write)?;
        // From here to the COMMIT nobody else can read this row for update, or change it.
        let left = sqlx::query_scalar(LOCK).bind(sale.id).fetch_optional(&mut *tx).await;
        let left: i64 = left.map_err(before_write)?.ok_or_else(stock::missing)?;
        order.trace.read(left, "row_lock.lock.sql");
        order.trace.check(left >= order.quantity);

        if left < order.quantity {
            tx.rollback().await.map_err(before_write)?;
            return Ok(Outcome::SoldOut);
        }
        faults::window(sale).await;
        // An error here ends the transaction, and with it the lock; COMMIT has not been sent.
        ledger::bind(TAKE, order).fetch_one(&mut *tx).await.map_err(at_write)?;
        order.trace.write(left - order.quantity, "row_lock.take.sql");
        tx.commit().await.map_err(at_write)?;
        order.trace.commit();
        Ok(Outcome::Sold(order.id))
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        stock::give_back(lane, sale, back, None).await
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
