//! Requirement × lock, on real servers, without a strategy around it. The names come from the registry: a new
//! lock is tried without touching this folder; `cargo test --test locks lock_pg_row` tries one lock, and
//! `… a_killed_holder` one requirement.
//!
//! A trial says what it *observed*. That must be what the lock's FACTS declare, and what stands in the
//! committed table, `src/locks/requirements.json`, which the README and `/v1/strategies` show. With
//! UPDATE_README set (`./run readme`) the table is written instead of compared.

#![expect(clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "locks/bench.rs"]
mod bench;
#[path = "locks/crash.rs"]
mod crash;
#[path = "locks/dropped.rs"]
mod dropped;
#[path = "locks/exclusion.rs"]
mod exclusion;
#[path = "locks/holder.rs"]
mod holder;
#[path = "locks/leases.rs"]
mod leases;
#[path = "locks/outage.rs"]
mod outage;
#[path = "locks/owners.rs"]
mod owners;
#[path = "it/support/mod.rs"]
mod support;
#[path = "locks/table.rs"]
mod table;
#[path = "locks/waiting.rs"]
mod waiting;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use sellout::locks::{ALL, Facts};
use sellout::wire::Guarantee;

use bench::Bench;
use table::Table;

/// No trial takes longer.
const TRIAL_MAX: Duration = Duration::from_secs(60);
/// Most trials wait, for a lease or a server; so many of them at once still disturb nobody's clock.
const AT_ONCE: usize = 6;

type Trying = Pin<Box<dyn Future<Output = String> + Send>>;

/// A requirement: its name, where its test is, and how it is tried on a lock.
struct Requirement {
    name: &'static str,
    /// The file of the test.
    file: &'static str,
    /// Whom it concerns.
    concerns: fn(&Facts) -> bool,
    /// What the FACTS say that one will observe, where they say it.
    declared: fn(&Facts) -> Option<String>,
    attempt: fn(Arc<Bench>, &'static Facts) -> Trying,
}

macro_rules! requirement {
    ($room:ident::$name:ident, $concerns:expr, $declared:expr) => {
        Requirement {
            name: stringify!($name),
            file: concat!("tests/locks/", stringify!($room), ".rs"),
            concerns: $concerns,
            declared: $declared,
            attempt: |bench, facts| Box::pin(async move { $room::$name(&bench, facts).await.to_string() }),
        }
    };
}

const REQUIREMENTS: &[Requirement] = &[
    requirement!(
        exclusion::two_acquisitions_in_one_process_exclude_each_other,
        everybody,
        exclusion::declared_in_one_process
    ),
    requirement!(exclusion::two_processes_exclude_each_other, everybody, exclusion::declared_among_processes),
    requirement!(crash::a_killed_holder_frees_it, everybody, crash::declared_after_a_kill),
    requirement!(crash::a_stopped_holder_is_overtaken, everybody, crash::declared_when_stopped),
    requirement!(owners::an_owner_that_is_inside_enters_again, knows_its_owner, |facts| yes(facts.reentrant)),
    requirement!(owners::a_release_by_a_non_owner_is_refused, everybody, owners::declared_release),
    requirement!(owners::tokens_grow_from_owner_to_owner, everybody, owners::declared_token),
    requirement!(waiting::no_wait_is_longer_than_its_limit, everybody, |_| yes(true)),
    requirement!(waiting::waiters_enter_in_the_order_in_which_they_came, knows_its_owner, |facts| yes(
        facts.fair
    )),
    requirement!(waiting::a_waiter_asks_as_often_as_declared, knows_its_owner, waiting::declared_waiting),
    requirement!(waiting::costs_the_declared_round_trips, everybody, waiting::declared_trips),
    requirement!(leases::a_lease_is_renewed_over_ten_leases, knows_its_owner, leases::declared_renewal),
    requirement!(
        leases::a_frozen_holder_is_cut_and_leaks_nothing,
        leases::is_held_by_a_transaction,
        |_| yes(true)
    ),
    requirement!(outage::its_server_restarted_keeps_it, outage::has_a_server, |_| None),
    requirement!(outage::its_server_restarted_empty_keeps_it, outage::has_a_server_apart, |_| None),
    requirement!(outage::its_server_fails_over_and_keeps_it, outage::has_several_servers, |_| yes(true)),
    requirement!(dropped::an_acquisition_dropped_at_any_point_leaks_nothing, everybody, |_| yes(true)),
];

fn everybody(_: &Facts) -> bool {
    true
}

/// A broken lock that takes one buyer for another lets it in or not, as luck will have it: what a waiter or
/// an owner meets there cannot be said.
fn knows_its_owner(facts: &Facts) -> bool {
    !(facts.reentrant && facts.guarantee == Guarantee::Oversells)
}

/// The word of a cell.
fn yes(yes: bool) -> Option<String> {
    Some(if yes { "yes" } else { "no" }.to_owned())
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if holder::is_asked_for() {
        return runtime.block_on(holder::hold());
    }
    let runtime = Arc::new(runtime);
    // Listing must not need servers.
    let bench = (!arguments.list).then(|| {
        support::servers();
        Arc::new(runtime.block_on(Bench::start()))
    });
    let table = Arc::new(Table::read());
    let kept = Arc::clone(&table);
    let whole = Trial::test("every_cell_has_its_test", move || whole(&kept));
    let trials = REQUIREMENTS.iter().flat_map(|requirement| {
        let concerned = |facts: &&&'static Facts| (requirement.concerns)(facts);
        let (bench, runtime, table) = (bench.clone(), Arc::clone(&runtime), Arc::clone(&table));
        ALL.iter().filter(concerned).map(move |&facts| {
            let (bench, runtime, table) = (bench.clone(), Arc::clone(&runtime), Arc::clone(&table));
            Trial::test(format!("{}::{}", requirement.name, facts.id), move || {
                let bench = bench.ok_or_else(|| Failed::from("no servers"))?;
                attempt(&runtime, bench, &table, requirement, facts)
            })
        })
    });
    let trials = trials.chain([whole]).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    table.write(REQUIREMENTS);
    drop(bench);
    conclusion.exit();
}

/// Observes, and compares with what is declared and with the table.
fn attempt(
    runtime: &tokio::runtime::Runtime,
    bench: Arc<Bench>,
    table: &Table,
    requirement: &Requirement,
    facts: &'static Facts,
) -> Result<(), Failed> {
    if let Some(missing) = bench::missing(&bench, facts) {
        println!("{}::{} skipped: {missing}", requirement.name, facts.id);
        return Ok(());
    }
    let trying = (requirement.attempt)(bench, facts);
    let limited = runtime.block_on(async { tokio::time::timeout(TRIAL_MAX, trying).await });
    let observed = limited.map_err(|_| Failed::from(format!("not done within {TRIAL_MAX:?}")))?;
    if let Some(declared) = (requirement.declared)(facts)
        && declared != observed
    {
        return Err(format!("FACTS declare {declared:?}, observed is {observed:?}").into());
    }
    table.hold(facts.id, requirement, observed).map_err(Failed::from)
}

/// Every lock has a cell for what concerns it and for nothing else, and each cell names a test that is there.
fn whole(table: &Table) -> Result<(), Failed> {
    let faults = table.faults(REQUIREMENTS);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}
