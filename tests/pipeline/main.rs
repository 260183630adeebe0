//! The promise of `redis_lua` and of what shares its road to the ledger: no order that was answered yes is
//! lost, no unit is sold twice and none is stranded, whatever becomes of Redis, of the processes that drain
//! it, and of the service.

#![expect(clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "../it/support/mod.rs"]
mod support;

mod batched;
mod buckets;
mod crowd;
mod killed;
mod large;
mod lost;
mod racing;
mod together;
mod unfit;
mod wires;
