//! Read with a version, write only if the version is still the same, else start again.
//!
//! # How
//! The read brings a version number along. The write says `where version = …` and raises it. If another
//! buyer was faster no row matches, and this one reads again after a short random pause.
//!
//! # Guarantee
//! Exact. Of all buyers who read version 7 only one can turn it into 8. It must be a version and not the
//! number of units: units that come back would make an old number look current (ABA).
//!
//! # Fails when
//! Never by interleaving. Under a rush most attempts are wasted; who runs out of patience is told to try
//! again, with nothing taken.
//!
//! # Cost
//! Two round trips when alone, two more for every lost race. Nothing is held while waiting.
//!
//! # See
//! Kung and Robinson, On Optimistic Methods for Concurrency Control (1981)

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::patience::Patience;
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "optimistic",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; a rush wastes most attempts",
    round_trips: RoundTrips { sold: 2, sold_out: 2 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: true,
    needs: &[Need::Postgres],
    statements: &[&[("optimistic.read.sql", READ), ("optimistic.swap.sql", SWAP)]],
    source: include_str!("optimistic.rs"),
    lock: None,
    build: |backends, _| {
        let wait = backends.limits.wait();
        Ok(Arc::new(Optimistic { pg: backends.pg.clone(), wait }))
    },
};

const READ: &str = include_str!("optimistic.read.sql");
const SWAP: &str = include_str!("optimistic.swap.sql");

struct Optimistic {
    pg: PgPool,
    wait: std::time::Duration,
}

#[async_trait]
impl Strategy for Optimistic {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut patience = Patience::new(self.wait);
        loop {
            let mut pg = ledger::connection(&self.pg).await?;
            let row = sqlx::query(READ).bind(sale.id).fetch_optional(&mut *pg).await;
            let row = row.map_err(before_write)?.ok_or_else(stock::missing)?;
            let left: i64 = row.try_get("units_left").map_err(before_write)?;
            let version: i64 = row.try_get("version").map_err(before_write)?;
            order.trace.read(left, "optimistic.read.sql");
            order.trace.check(left >= order.quantity);

            if left < order.quantity {
                return Ok(Outcome::SoldOut);
            }
            // Others may write now. If one does, `version` is no longer there and our write finds no row.
            faults::window(sale).await;
            let swapped = ledger::bind(SWAP, order).bind(left).bind(version).fetch_optional(&mut *pg);
            if swapped.await.map_err(at_write)?.is_some() {
                order.trace.write(left - order.quantity, "optimistic.swap.sql");
                order.trace.commit();
                return Ok(Outcome::Sold(order.id));
            }
            // The connection goes back before the pause: who pauses must not keep others from selling.
            drop(pg);
            order.trace.retry();
            patience.pause("the stock row changed under every attempt").await?;
        }
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        stock::give_back(lane, sale, back, None).await
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
