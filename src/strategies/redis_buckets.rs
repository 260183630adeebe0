//! Take in Redis from one of several buckets of the stock, record in PostgreSQL in batches, then answer.
//!
//! # How
//! The units of a sale lie in up to eight buckets, each with keys under a hash tag of its own. A buyer has a
//! home bucket, so that his limit and his keys are in one place, and there his order is taken by the script
//! of `redis_lua`. Where the home has too little, others give: the giver notes the gift and subtracts it, the
//! home accepts its number once and takes the order in the same moment, the giver forgets the note. Whoever
//! dies in between leaves a note, and whoever finds it delivers it. All streams are drained into the ledger
//! as that of `redis_lua` is.
//!
//! # Guarantee
//! Exact. No unit is sold twice, for the ledger's stock row has the last word; none is stranded, for sold out
//! is said only when all buckets together, with what travels between them, had too little at one moment. A
//! key that another buyer uses again is found by the ledger's primary key, and the unit goes back.
//!
//! # Fails when
//! Never by interleaving; without Redis nobody buys. It gains nothing on one Redis, which was measured to
//! work as much or a third more for each order than with `redis_lua`: it is for a cluster in which one slot
//! is the bound. The client here speaks to one node; the keys are ready for more.
//!
//! # Cost
//! What `redis_lua` costs, while the home has enough. An order that needs a gift asks all buckets what they
//! have and one or more to give: three trips more. Sold out asks all of them twice, and the ledger for the
//! key. Units that come back are told to every bucket.
//!
//! # See
//! <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>,
//! <https://redis.io/docs/latest/develop/programmability/eval-intro/>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::backends::Backends;
use crate::ledger;
use crate::pipeline::{self, Ack, Pipeline};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "redis_buckets",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; without Redis nobody buys; on one Redis it gains nothing",
    // Of a sale of one unit, so of one bucket. The last trip of a sold order comes after the answer.
    round_trips: RoundTrips { sold: 4, sold_out: 2 },
    // A key that another buyer sends again is at home elsewhere: only the ledger knows.
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: false,
    needs: &[Need::Postgres, Need::Redis],
    statements: &[pipeline::STATEMENTS],
    source: include_str!("redis_buckets.rs"),
    lock: None,
    build: |backends, spec| Ok(Arc::new(RedisBuckets::new(backends, spec.id)?)),
};

/// Buckets of a sale, at most; one that has fewer units has a bucket for each.
const BUCKETS_MAX: i64 = 8;

struct RedisBuckets {
    pg: PgPool,
    pipeline: Arc<Pipeline>,
}

impl RedisBuckets {
    fn new(backends: &Backends, id: &'static str) -> Result<RedisBuckets, Error> {
        let pipeline = Pipeline::over(backends, id, BUCKETS_MAX)?;
        Ok(RedisBuckets { pg: backends.pg.clone(), pipeline })
    }
}

#[async_trait]
impl Strategy for RedisBuckets {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        self.pipeline.open(sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        // Buyers of other buckets take at the same time, and may take what this one is about to ask for: then
        // it asks again. Of what a bucket was given nobody else can take before this order has.
        match self.pipeline.take(sale, order, Ack::Recorded).await {
            // His home may have forgotten the key, or another buyer used it: what was sold to it counts.
            Err(Error::BuyerLimit) if order.retry_safe => {
                match ledger::find(&self.pg, &order.caller, &order.key, None).await? {
                    Some(_) => Err(Error::KeyUsed),
                    None => Err(Error::BuyerLimit),
                }
            }
            taken => taken,
        }
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
        "the units in Redis, spread over up to eight buckets"
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        self.pipeline.left(sale).await
    }
}
