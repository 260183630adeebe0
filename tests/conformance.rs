//! Requirement × strategy, on real servers. The names come from the registry: a new strategy is tested
//! without touching this folder, `cargo test --test conformance redis_lua` runs one strategy, and
//! `… cut_wire` one requirement.
//!
//! A strategy that declares a hazard is held to it: the requirement that it breaks must really break, by a
//! fixed interleaving and not by luck.

#![expect(clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "conformance/halves.rs"]
mod halves;
#[path = "conformance/lives.rs"]
mod lives;
#[path = "conformance/outlived.rs"]
mod outlived;
#[path = "conformance/requirements.rs"]
mod requirements;
#[path = "conformance/schedules.rs"]
mod schedules;
#[path = "it/support/mod.rs"]
mod support;
#[path = "conformance/watched.rs"]
mod watched;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use sellout::strategies::{ALL, Need, Spec};
use support::TestApp;

/// No trial takes longer.
const TRIAL_MAX: Duration = Duration::from_secs(120);

/// One service and one database for all trials; each trial has sales of its own.
pub struct Bench {
    /// The service.
    pub app: TestApp,
}

type Trying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A requirement: its name and how it is tried on a strategy.
struct Requirement {
    name: &'static str,
    /// Whom it concerns.
    concerns: fn(&Spec) -> bool,
    /// Do its services share one worker thread?
    one_thread: bool,
    attempt: fn(Arc<Bench>, &'static Spec) -> Trying,
}

macro_rules! requirement {
    ($room:ident::$name:ident) => {
        requirement!($room::$name, sells)
    };
    ($room:ident::$name:ident, $concerns:path) => {
        Requirement {
            name: stringify!($name),
            concerns: $concerns,
            one_thread: false,
            attempt: |bench, spec| Box::pin(async move { $room::$name(&bench, spec).await }),
        }
    };
}

const REQUIREMENTS: &[Requirement] = &[
    requirement!(requirements::sells_every_unit_and_no_more),
    requirement!(requirements::says_sold_out_and_changes_nothing, everybody),
    requirement!(requirements::a_repeated_key_sells_once_one_after_the_other),
    requirement!(requirements::a_repeated_key_sells_once_fifty_at_once),
    requirement!(requirements::a_repeated_key_sells_once_after_a_restart),
    requirement!(requirements::the_same_key_with_another_body_is_refused),
    requirement!(requirements::a_hundred_clicks_of_one_buyer_take_what_the_limit_allows),
    requirement!(requirements::three_are_not_sold_when_two_are_left),
    requirement!(requirements::ledger_and_stock_agree_after_the_rush),
    requirement!(requirements::two_processes_sell_one_stock),
    Requirement {
        one_thread: true,
        ..requirement!(
            schedules::the_last_unit_is_sold_once_whoever_is_held_where,
            schedules::waits_for_the_ledger
        )
    },
    requirement!(
        schedules::a_cut_wire_is_unknown_and_a_retry_learns_the_truth,
        schedules::waits_for_the_ledger
    ),
    requirement!(lives::a_hold_ends_once_and_its_units_are_for_sale_again, lives::gives_back),
    requirement!(lives::a_limit_counts_what_is_held, lives::gives_back),
    requirement!(lives::the_stock_of_an_open_sale_is_changed_once_per_key, lives::gives_back),
    requirement!(lives::what_comes_back_stays_whoever_is_held_where, lives::gives_back),
    requirement!(lives::holds_are_refused_in_words, lives::gives_nothing_back),
    requirement!(outlived::who_outlives_its_lock_oversells_unless_fenced, outlived::can_outlive_its_lock),
    requirement!(
        halves::who_was_overtaken_does_not_write_first_either,
        halves::is_fenced_by_tokens_of_a_lease_row
    ),
    requirement!(
        halves::what_was_sold_long_ago_sells_again_while_somebody_counts,
        halves::skips_locked_orders
    ),
    requirement!(schedules::costs_the_declared_round_trips, everybody),
];

/// A control sells nothing; few requirements make sense for it.
fn sells(spec: &Spec) -> bool {
    spec.guarantee != sellout::wire::Guarantee::Control
}

fn everybody(_: &Spec) -> bool {
    true
}

/// A program that was built without etcd has no lock_etcd to try.
fn is_built(spec: &Spec) -> bool {
    cfg!(feature = "etcd") || !spec.needs.contains(&Need::Etcd)
}

fn main() {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let runtime = Arc::new(runtime);
    // A fixed interleaving must not hang on which thread serves whom: a lock may take that for its owner.
    let one_thread = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let one_thread = Arc::new(one_thread.expect("a runtime"));
    // Listing must not need servers.
    let bench = (!arguments.list).then(|| {
        support::servers();
        Arc::new(Bench { app: runtime.block_on(TestApp::start()) })
    });
    let trials = REQUIREMENTS.iter().flat_map(|requirement| {
        let fits = |spec: &&&'static Spec| is_built(spec) && (requirement.concerns)(spec);
        let runtime = if requirement.one_thread { &one_thread } else { &runtime };
        let (bench, runtime) = (bench.clone(), Arc::clone(runtime));
        ALL.iter().filter(fits).map(move |&spec| {
            let (bench, runtime) = (bench.clone(), Arc::clone(&runtime));
            Trial::test(format!("{}::{}", requirement.name, spec.id), move || {
                let bench = bench.ok_or_else(|| Failed::from("no servers"))?;
                let trying = (requirement.attempt)(bench, spec);
                let limited = runtime.block_on(async { tokio::time::timeout(TRIAL_MAX, trying).await });
                limited.map_err(|_| Failed::from(format!("not done within {TRIAL_MAX:?}")))
            })
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Before the exit, which runs no destructors: its temporary folder goes with it.
    drop(bench);
    conclusion.exit();
}
