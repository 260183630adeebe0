//! **sellout** sells out and never oversells, and shows which ways of taking stock do oversell and why.
//!
//! # The road of an order
//!
//! `http/orders.rs → checkout → strategies/<one>.rs → ledger`. Four files, one direction. The request is
//! parsed at the door; checkout finds the sale and asks its strategy; the strategy takes the units and
//! records the order in one statement or transaction; what comes back is `Sold`, `SoldOut`, or an error that
//! says what to do next. Nothing below calls up. Audit and dashboard stand beside the road.
//!
//! # Rooms, and who may use whom
//!
//! | room | may use |
//! |---|---|
//! | [`http`] | checkout, life, audit, ledger (reads), sale, wire, Spec, runs, feed, lab, access, config, dashboard, reports, oversight; never sqlx, redis, locks |
//! | [`checkout`] | the [`strategies::Strategy`] trait, sale, trace, ledger, backends, config, wire |
//! | [`life`] | checkout, ledger, backends, sale, wire, Spec |
//! | [`strategies`] | sale, faults, ledger, stock, pipeline, batch, backends, config, patience, wire; never each other, except `under_lock` the takes that it brackets and locks (`mod` names their facts) |
//! | [`pipeline`] | ledger, stock, trace, batch, backends, patience, config, sale, wire |
//! | [`batch`] | sale |
//! | [`locks`] | backends, patience, sale, wire |
//! | [`stock`] | PostgreSQL, ledger, sale |
//! | [`ledger`], [`audit`] | PostgreSQL, sale, wire: *the judge does not know the accused* |
//! | [`backends`], [`patience`] | config, faults, sale |
//! | [`oversight`] | checkout, audit, ledger (reads), sale, wire, Spec |
//! | [`faults`] | sale, wire |
//! | [`lab`] | faults, runs, services, sale, wire |
//! | [`feed`] | checkout, runs, lab, wire |
//! | [`runs`] | dashboard, wire |
//! | [`sale`] | trace, wire |
//! | [`trace`], [`dashboard`], [`reports`] | wire |
//! | [`config`] | access |
//! | [`access`] | sale |
//! | [`wire`], [`services`] | nothing of ours |
//! | [`app`], [`commands`] | all: they put the rooms together |
//! | `loadtest/` | [`wire`], [`audit`], [`reports`] (words for what it saw itself), and HTTP: a witness from outside |
//!
//! # Invariants, mostly of what is absent
//!
//! - Functions in `migrations/` are the only writers of orders and of their states; no Rust file writes one.
//! - No units come back without the movement that says why, and none comes back twice.
//! - No count of oversell looks at the stock counter; it is only compared.
//! - No strategy is chosen at compile time: all sell side by side in one process.
//! - No critical section is cancelled by a client; no wait is without a limit.
//! - No answer says *sold* before PostgreSQL has committed it, or *sold out* to a key that was sold.
//! - No private server outlives the process that started it.
//!
//! `tests/tidy.rs` holds the table and the sizes, `tests/conformance.rs` the promises of each strategy, and
//! `tests/locks.rs` what each lock was observed to do.

pub mod wire;

pub mod sale;

pub mod trace;

pub mod http;

pub mod checkout;

pub mod life;

pub mod strategies;

pub mod pipeline;

pub mod batch;

pub mod locks;

pub mod stock;

pub mod ledger;

pub mod audit;

pub mod backends;

pub mod patience;

pub mod faults;

pub mod access;

pub mod runs;

pub mod lab;

pub mod feed;

pub mod dashboard;

pub mod reports;

pub mod oversight;

pub mod config;

pub mod app;

pub mod services;

pub mod commands;
