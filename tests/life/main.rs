//! An order's whole life and a sale's, one promise per file: what is held, ends; what ends, comes back once;
//! what is changed, handed over or closed meanwhile sells out exactly.

#![expect(clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "../it/support/mod.rs"]
mod support;

mod ask;
mod last_moment;

mod apart;
mod boundary;
mod callers;
mod cart_keys;
mod carts;
mod endings;
mod handover;
mod hours;
mod limits;
mod payments;
mod restarts;
mod stock;
