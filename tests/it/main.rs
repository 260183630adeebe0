//! One binary for the promises of the README, each file one of them.

#![expect(clippy::expect_used, reason = "a test that cannot go on says so and ends")]

mod access;
mod admission;
mod api;
mod audit;
mod batches;
mod bench;
mod dashboard;
mod demo;
mod description;
mod docs;
mod faults;
mod growth;
mod lab;
mod lab_faults;
mod lifecycle;
mod live;
mod ops;
mod reports;
mod scenarios;
mod services;
mod sold_out;
mod statements;
mod support;
mod trace;
mod unflushed;
mod vendored;
