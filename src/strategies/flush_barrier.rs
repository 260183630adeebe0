//! Commit without a flush, then wait for one flush that many buyers share.
//!
//! # How
//! The one guarded UPDATE of `atomic_update`, on connections with `synchronous_commit = off`: the hot row is
//! locked for the statement and not for the disk. Before a buyer is answered he waits for a barrier: one
//! connection that commits something small and durable, again and again, for all who wait. PostgreSQL's log
//! is sequential, so whatever committed before that is durable with it.
//!
//! # Guarantee
//! Exact, and durable when it is said. A buyer is let through only by a flush that began after his own
//! commit, on a wire that was open before it: a server that crashed in between has cut that wire, and then
//! his outcome is *unknown*, for the commit may be lost. What a retry is told of an earlier order is flushed
//! first too. A crash loses only what nobody was told, key, stock and order together.
//!
//! # Fails when
//! Never by interleaving. Where the database has `synchronous_commit` off, the barrier holds nothing.
//!
//! # Cost
//! Two round trips, the second one shared. No lock is held while waiting for the disk. Whoever reads beside
//! the orders (audit, exports) may see one some milliseconds before it is durable.
//!
//! # See
//! <https://www.postgresql.org/docs/current/wal-async-commit.html>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::backends::Flush;
use crate::ledger::{self, at_write};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "flush_barrier",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; a crash loses only what nobody was told",
    round_trips: RoundTrips { sold: 2, sold_out: 2 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[("flush_barrier.take.sql", TAKE), ("flush_barrier.flush.sql", FLUSH)]],
    source: include_str!("flush_barrier.rs"),
    lock: None,
    build: |backends, _| {
        let flush = Arc::clone(&backends.flush);
        Ok(Arc::new(FlushBarrier {
            pg: backends.pg.clone(),
            unflushed: backends.pg_unflushed.clone(),
            flush,
        }))
    },
};

const TAKE: &str = include_str!("flush_barrier.take.sql");
const FLUSH: &str = include_str!("flush_barrier.flush.sql");

struct FlushBarrier {
    pg: PgPool,
    /// Connections whose commits are not flushed.
    unflushed: PgPool,
    flush: Arc<Flush>,
}

#[async_trait]
impl Strategy for FlushBarrier {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, _: &Sale, order: &Order) -> Result<Outcome, Error> {
        // Before the write: a server that crashes after it is noticed by this wire.
        let wire = self.flush.wire().await?;
        let taken = {
            let mut pg = ledger::connection(&self.unflushed).await?;
            // Other buyers are before it or after it, never inside; those after it can see it at once, and
            // it is not durable yet.
            ledger::bind(TAKE, order).fetch_optional(&mut *pg).await.map_err(at_write)?
        };
        order.trace.decide(taken.is_some(), "flush_barrier.take.sql");
        // The connection is free again: the next buyer takes while this one waits for the disk. Who is told
        // *sold out* is promised nothing, so he does not wait.
        if taken.is_none() {
            return Ok(Outcome::SoldOut);
        }
        self.flush.passed(wire, FLUSH).await?;
        order.trace.commit();
        Ok(Outcome::Sold(order.id))
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        // Those connections flush, and with their commit every earlier one.
        stock::give_back(lane, sale, back, None).await
    }

    fn flush(&self) -> Option<&'static str> {
        Some(FLUSH)
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
