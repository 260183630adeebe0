//! Take many orders in one Redis script, record in PostgreSQL in batches, then answer.
//!
//! # How
//! As in `redis_lua`, with one script call for all orders of a process that wait: whoever comes while a call
//! is under way goes in the next one. The script decides them one after the other, each as it would be
//! decided alone, reads and writes what they share once, and notes all that it took down in one entry of the
//! stream. Nobody waits for a batch to fill; alone, an order goes at once.
//!
//! # Guarantee
//! Exact, for the same reasons: the ledger's stock row has the last word, a Redis that forgot is filled anew
//! under a new epoch. A call that breaks leaves all its orders unknown, not one; they are in the stream all
//! or none, and whoever asks again with the same key learns which.
//!
//! # Fails when
//! Never by interleaving, and not when Redis forgets; without Redis nobody buys.
//!
//! # Cost
//! For one order alone what `redis_lua` costs. In a crowd the script call is shared too: Redis spends less
//! than half the time per order. The queue is bounded; who finds it full is told that nothing was taken.
//!
//! # See
//! <https://redis.io/docs/latest/develop/programmability/eval-intro/>,
//! <https://redis.io/docs/latest/develop/use/pipelining/>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::backends::Backends;
use crate::pipeline::{self, Pipeline};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "redis_lua_batched",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; without Redis nobody buys",
    // The last one comes after the answer; it is here because the test counts what is on the wire.
    round_trips: RoundTrips { sold: 4, sold_out: 1 },
    remembers_keys: true,
    queues: true,
    gives_back: true,
    carts: false,
    needs: &[Need::Postgres, Need::Redis],
    statements: &[pipeline::STATEMENTS],
    source: include_str!("redis_lua_batched.rs"),
    lock: None,
    build: |backends, spec| Ok(Arc::new(RedisLuaBatched::new(backends, spec.id)?)),
};

struct RedisLuaBatched {
    pipeline: Arc<Pipeline>,
}

impl RedisLuaBatched {
    fn new(backends: &Backends, id: &'static str) -> Result<RedisLuaBatched, Error> {
        Ok(RedisLuaBatched { pipeline: Pipeline::start(backends, id)? })
    }
}

#[async_trait]
impl Strategy for RedisLuaBatched {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        self.pipeline.open(sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        // The script is before every other process's or after it; within it, orders that came together are
        // decided in the sequence in which they queued. What it took is in the stream in the same moment.
        self.pipeline.take_batched(sale, order).await
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        self.pipeline.give_back(lane, sale, back).await
    }

    async fn hand_over(&self, sale: &Sale) -> Result<(), Error> {
        self.pipeline.hand_over(sale).await
    }

    async fn forget(&self, sale: &Sale) {
        self.pipeline.forget(sale).await;
    }

    async fn pending(&self, sale: &Sale) -> Result<u64, Error> {
        self.pipeline.pending(sale).await
    }

    fn has_line(&self) -> bool {
        true
    }

    fn counter(&self) -> &'static str {
        "the units in Redis"
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        self.pipeline.left(sale).await
    }
}
