//! Take in one Redis script, answer, and record later: here to show what that loses.
//!
//! # How
//! The same script and the same stream as `redis_lua`. The buyer is told yes as soon as Redis has taken the
//! units; the order becomes durable some milliseconds later, when the stream is drained into PostgreSQL.
//! Many flash-sale designs answer here, because it is fast.
//!
//! # Guarantee
//! It never sells a unit twice in the ledger. But its yes is a promise by a store that may forget: with
//! `appendfsync everysec` a power cut takes the last second with it, a failover what the replica did not
//! have yet. The units of forgotten orders are sold again, and their first buyers hold a yes that nobody
//! knows of: LOST.
//!
//! # Fails when
//! Redis forgets what it acknowledged, or the ledger refuses what Redis has taken.
//!
//! # Cost
//! One trip that a buyer waits for, the script; three more that nobody waits for.
//!
//! # See
//! <https://redis.io/docs/latest/develop/programmability/eval-intro/>,
//! <https://redis.io/docs/latest/develop/data-types/streams/>

use std::sync::Arc;

use async_trait::async_trait;

use super::{Hazard, Need, Spec, Strategy};
use crate::backends::Backends;
use crate::pipeline::{self, Ack, Pipeline};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "redis_lua_ack_early",
    variant: "",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::EarlyAck, Hazard::StoreLoss],
    oversells_in: None,
    fails_when: "Redis forgets what it acknowledged: the buyer was told yes, and no order exists",
    // Three of them come after the answer; they are here because the test counts what is on the wire.
    round_trips: RoundTrips { sold: 4, sold_out: 1 },
    remembers_keys: true,
    queues: true,
    gives_back: false,
    carts: false,
    needs: &[Need::Postgres, Need::Redis],
    statements: &[pipeline::STATEMENTS],
    source: include_str!("redis_lua_ack_early.rs"),
    lock: None,
    build: |backends, spec| Ok(Arc::new(AckEarly::new(backends, spec.id)?)),
};

struct AckEarly {
    pipeline: Arc<Pipeline>,
}

impl AckEarly {
    fn new(backends: &Backends, id: &'static str) -> Result<AckEarly, Error> {
        Ok(AckEarly { pipeline: Pipeline::start(backends, id)? })
    }
}

#[async_trait]
impl Strategy for AckEarly {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        self.pipeline.open(sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        // Told yes here, with nothing but Redis' word: until the stream is drained, a Redis that dies or
        // fails over takes this order with it, and then another buyer gets the same unit.
        self.pipeline.take(sale, order, Ack::Taken).await
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
