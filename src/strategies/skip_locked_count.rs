//! Count the orders `FOR UPDATE SKIP LOCKED`, sell if there is room: broken on purpose.
//!
//! # How
//! No counter at all: a transaction locks the orders of the sale and adds them up, sells if the sum leaves
//! room, and commits. `FOR UPDATE`, so that nobody else counts meanwhile; `SKIP LOCKED`, so that nobody has
//! to wait, as the recipe for job queues says.
//!
//! # Guarantee
//! None. SKIP LOCKED is right for taking *any one* free row and wrong for counting: rows that another buyer
//! is counting just now are not there. The more people look, the emptier it seems, and a sale that was sold
//! out long ago sells again. Without SKIP LOCKED it would still oversell: an order that is being recorded is
//! no row yet that could be locked or counted.
//!
//! # Fails when
//! Two buyers count at the same time, even if both come too late.
//!
//! # Cost
//! Four round trips. The count grows with every order, and locks each of them: it writes what it reads.
//!
//! # See
//! <https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE>: "Skipping locked rows
//! provides an inconsistent view of the data"

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Hazard, Need, Spec, Strategy};
use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "skip_locked_count",
    variant: "",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::NegativeCounter],
    oversells_in: Some("rush"),
    fails_when: "two buyers count at the same time",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    remembers_keys: false,
    queues: false,
    gives_back: false,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[
        ("skip_locked_count.count.sql", COUNT),
        ("skip_locked_count.record.sql", RECORD),
        ("skip_locked_count.sold.sql", SOLD),
    ]],
    source: include_str!("skip_locked_count.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(SkipLockedCount { pg: backends.pg.clone() })),
};

const COUNT: &str = include_str!("skip_locked_count.count.sql");
const RECORD: &str = include_str!("skip_locked_count.record.sql");
const SOLD: &str = include_str!("skip_locked_count.sold.sql");

struct SkipLockedCount {
    pg: PgPool,
}

#[async_trait]
impl Strategy for SkipLockedCount {
    async fn open(&self, _sale: &Sale) -> Result<(), Error> {
        // What is left is worked out from the orders; there is nothing to put on sale.
        Ok(())
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut tx = self.pg.begin().await.map_err(before_write)?;
        // Another buyer who counts just now holds the orders that were there when it came. They are skipped
        // here, and so this sum is too small.
        let sold = sqlx::query_scalar(COUNT).bind(sale.id).fetch_one(&mut *tx).await;
        let sold: i64 = sold.map_err(before_write)?;

        order.trace.read(sale.units - sold, "skip_locked_count.count.sql");
        order.trace.check(sold + order.quantity <= sale.units);
        if sold + order.quantity > sale.units {
            tx.rollback().await.map_err(before_write)?;
            return Ok(Outcome::SoldOut);
        }
        // No other buyer can see, let alone lock, what is recorded here before it is committed.
        faults::window(sale).await;
        ledger::bind(RECORD, order).fetch_one(&mut *tx).await.map_err(at_write)?;
        order.trace.subtract(order.quantity, "skip_locked_count.record.sql");
        tx.commit().await.map_err(at_write)?;
        order.trace.commit();
        Ok(Outcome::Sold(order.id))
    }

    fn counter(&self) -> &'static str {
        "the orders in PostgreSQL, added up anew for each buyer"
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        let sold = sqlx::query_scalar(SOLD).bind(sale.id).fetch_one(&self.pg).await;
        sold.map(|sold: i64| Some(sale.units - sold)).map_err(before_write)
    }
}
