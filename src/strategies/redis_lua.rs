//! Take in one Redis script, record in PostgreSQL in batches, then answer.
//!
//! # How
//! One Lua script looks at the key, the buyer's limit and the stock, takes the units and notes the order
//! down in a stream, all before Redis runs anything else. The stream is drained into PostgreSQL in batches;
//! a batch is one commit, under the stock row that the ledger keeps too. Only after that commit is the buyer
//! told yes, and only then does Redis forget the entry. Whatever dies in between, the entry is there and
//! somebody drains it.
//!
//! # Guarantee
//! Exact. The ledger's stock row has the last word, so a Redis that believes in too much sells nothing
//! twice: what it took in excess is refused before anybody was told. A Redis that was lost, emptied, rolled
//! back or failed over is filled anew from the ledger under a new epoch; meanwhile the sale is closed (503).
//! A missing key means closed, never zero. Units come back by numbers without a gap.
//!
//! # Fails when
//! Never by interleaving, and not when Redis forgets; without Redis nobody buys.
//!
//! # Cost
//! Four trips for one order alone: the script, the read of the stream, the batch, and the word that it is
//! done, for which nobody waits; in a crowd hundreds of orders share the last three. A sold-out buyer costs
//! PostgreSQL nothing. No lock is held while waiting, and no connection either: all orders of a process share
//! one, on which nobody waits for another's answer.
//!
//! # See
//! <https://redis.io/docs/latest/develop/programmability/eval-intro/>,
//! <https://redis.io/docs/latest/develop/data-types/streams/>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::backends::Backends;
use crate::pipeline::{self, Ack, Pipeline};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "redis_lua",
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
    source: include_str!("redis_lua.rs"),
    lock: None,
    build: |backends, spec| Ok(Arc::new(RedisLua::new(backends, spec.id)?)),
};

struct RedisLua {
    pipeline: Arc<Pipeline>,
}

impl RedisLua {
    fn new(backends: &Backends, id: &'static str) -> Result<RedisLua, Error> {
        Ok(RedisLua { pipeline: Pipeline::start(backends, id)? })
    }
}

#[async_trait]
impl Strategy for RedisLua {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        self.pipeline.open(sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        // The script is before every other buyer's or after it. What it took is in the stream in the same
        // moment; whoever buys the last unit in Redis has it, and PostgreSQL says so before the buyer hears
        // of it.
        self.pipeline.take(sale, order, Ack::Recorded).await
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

    fn counter(&self) -> &'static str {
        "the units in Redis"
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        self.pipeline.left(sale).await
    }
}
