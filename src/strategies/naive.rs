//! Read the stock, subtract in the program, write the result.
//!
//! # How
//! One statement reads how many units are left. The program compares and subtracts. A second statement
//! writes the target number and records the order. This is how everybody writes it the first time.
//!
//! # Guarantee
//! None. Two buyers who read the same number both pass the check and both write the same target: one of
//! the two updates is lost, two orders exist. The counter ends at a healthy zero or above it, so neither
//! `stock < 0` nor a CHECK constraint sees anything. Putting both statements in one transaction does not
//! help: at READ COMMITTED a read takes no lock.
//!
//! # Fails when
//! Two buyers come within one round trip of each other.
//!
//! # Cost
//! Two round trips. Nothing is held while waiting, and that is the trouble.
//!
//! # See
//! "Lost update", P4 in Berenson et al., A Critique of ANSI SQL Isolation Levels (1995);
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
    id: "naive",
    variant: "",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::LostUpdate],
    oversells_in: Some("rush"),
    fails_when: "two buyers come within one round trip of each other",
    round_trips: RoundTrips { sold: 2, sold_out: 2 },
    remembers_keys: false,
    queues: false,
    gives_back: false,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&STATEMENTS],
    source: include_str!("naive.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(Naive::new(backends))),
};

/// Its two statements; under a lock they are the same two.
pub(super) const STATEMENTS: [(&str, &str); 2] = [("naive.read.sql", READ), ("naive.write.sql", WRITE)];

const READ: &str = include_str!("naive.read.sql");
const WRITE: &str = include_str!("naive.write.sql");

/// The naive take, alone or (by [`super::under_lock`]) inside a lock.
pub(super) struct Naive {
    pg: PgPool,
}

impl Naive {
    pub(super) fn new(backends: &Backends) -> Naive {
        Naive { pg: backends.pg.clone() }
    }
}

#[async_trait]
impl Strategy for Naive {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        let left = sqlx::query_scalar(READ).bind(sale.id).fetch_optional(&mut *pg).await;
        let left: i64 = left.map_err(before_write)?.ok_or_else(stock::missing)?;
        order.trace.read(left, "naive.read.sql");
        order.trace.check(left >= order.quantity);

        if left < order.quantity {
            return Ok(Outcome::SoldOut);
        }
        // Between the read above and the write below any number of other buyers may read the same `left`,
        // pass the same check and take the same last unit.
        faults::window(sale).await;
        let target = left - order.quantity;

        let written = ledger::bind(WRITE, order).bind(target).fetch_one(&mut *pg).await;
        written.map_err(at_write)?;
        order.trace.write(target, "naive.write.sql");
        order.trace.commit();
        Ok(Outcome::Sold(order.id))
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
