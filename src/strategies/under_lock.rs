//! The naive take, bracketed by a lock and nothing else.
//!
//! Not a strategy itself: each lock of [`crate::locks`] becomes one here. The card shows the lock's file,
//! because that is where the difference is. The write is inside the lock and committed before the release:
//! a lock that is let go before the commit protects nothing.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::naive::{self, Naive};
use super::{Hazard, Need, Spec, Strategy};
use crate::locks::lock_redis::{self, LockRedis};
use crate::locks::{Guard, Lock, Released};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// `SET NX PX` with an owner-checked release.
pub const LOCK_REDIS: Spec = Spec {
    id: "lock_redis",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder paused beyond its lease"),
    fails_when: "a holder is paused beyond its lease, or Redis fails over",
    round_trips: RoundTrips { sold: 5, sold_out: 5 },
    remembers_keys: false,
    needs: &[Need::Postgres, Need::Redis],
    statements: &[
        naive::STATEMENTS[0],
        naive::STATEMENTS[1],
        ("lock_redis.release.lua", lock_redis::RELEASE),
    ],
    source: lock_redis::SOURCE,
    build: |backends| {
        let lock = LockRedis::new(backends)?;
        Ok(Arc::new(UnderLock { lock, naive: Naive::new(backends) }))
    },
};

struct UnderLock<L> {
    lock: L,
    naive: Naive,
}

#[async_trait]
impl<L: Lock> Strategy for UnderLock<L> {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        self.naive.open(sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let guard = self.lock.acquire(sale.id).await?;
        // Alone inside, as long as the lease lasts. Should this process be stopped here for longer, another
        // buyer enters, and both go on: nothing at the stock row asks who holds the lock.
        let deadline = guard.deadline();
        let outcome = self.naive.take(sale, order).await;
        let late = Instant::now() > deadline;
        if guard.release().await == Released::Lost || late {
            metrics::counter!("sellout_locks_lost_total").increment(1);
            tracing::warn!(sale.id = %sale.id, order.id = %order.id, "the lock ended before its holder did");
        }
        outcome
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        self.naive.left(sale).await
    }
}
