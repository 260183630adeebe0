//! Takes nothing and sells nothing: the ceiling of the harness.
//!
//! # How
//! Every order walks the whole road (HTTP, parsing, checkout, answer) and meets no store at all. The
//! answer is always sold out, because that is the truth: there is nothing behind it.
//!
//! # Guarantee
//! None to keep. It is a control: what the load test reaches with it is the most that this machine and
//! this harness can reach with anything. It is shown apart and never judged.
//!
//! # Fails when
//! Never; it promises nothing.
//!
//! # Cost
//! No round trip.
//!
//! # See
//! The control group of an experiment

use std::sync::Arc;

use async_trait::async_trait;

use super::{Spec, Strategy};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "noop",
    variant: "",
    guarantee: Guarantee::Control,
    breaks: &[],
    oversells_in: None,
    fails_when: "never; it sells nothing",
    round_trips: RoundTrips { sold: 0, sold_out: 0 },
    remembers_keys: true,
    queues: true,
    gives_back: false,
    carts: false,
    needs: &[],
    statements: &[],
    source: include_str!("noop.rs"),
    lock: None,
    build: |_, _| Ok(Arc::new(Noop)),
};

struct Noop;

#[async_trait]
impl Strategy for Noop {
    async fn open(&self, _: &Sale) -> Result<(), Error> {
        Ok(())
    }

    async fn take(&self, _: &Sale, _: &Order) -> Result<Outcome, Error> {
        Ok(Outcome::SoldOut)
    }

    async fn left(&self, _: &Sale) -> Result<Option<i64>, Error> {
        Ok(None)
    }
}
