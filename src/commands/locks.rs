//! The locks, requirement by requirement: what the tests observed, as text and as the README's table.

use crate::locks::requirements::{Cell, cell};
use crate::locks::{ALL, Facts};
use crate::strategies;

/// Where a cell of a column comes from.
enum From {
    /// One requirement, by the name of its test.
    Test(&'static str),
    /// Among processes, or else in one.
    Exclusion,
    /// The twin with a fence: by the lock's own number, or by one of the stock row.
    Fence,
}

/// In the order of the question: does it keep others out, until when, and at what price?
const COLUMNS: &[(&str, From)] = &[
    ("exclusive", From::Exclusion),
    ("holder stopped", From::Test("a_stopped_holder_is_overtaken")),
    ("holder killed: free", From::Test("a_killed_holder_frees_it")),
    ("kept over a restart of its server", From::Test("its_server_restarted_keeps_it")),
    ("… that lost its data", From::Test("its_server_restarted_empty_keeps_it")),
    ("… over a failover", From::Test("its_server_fails_over_and_keeps_it")),
    ("reentrant", From::Test("an_owner_that_is_inside_enters_again")),
    ("blocking", From::Test("a_waiter_asks_as_often_as_declared")),
    ("fair", From::Test("waiters_enter_in_the_order_in_which_they_came")),
    ("renews", From::Test("a_lease_is_renewed_over_ten_leases")),
    ("fence", From::Fence),
    ("release by its owner only", From::Test("a_release_by_a_non_owner_is_refused")),
    ("wait limit", From::Test("no_wait_is_longer_than_its_limit")),
    ("a dropped wait leaks nothing", From::Test("an_acquisition_dropped_at_any_point_leaks_nothing")),
    ("trips to enter / leave", From::Test("costs_the_declared_round_trips")),
];

/// Where the fence's own test is, for locks without a number of their own.
const FENCE: &str = "tests/conformance/outlived.rs";

/// What to say, and the test that says so.
fn value(facts: &Facts, from: &From) -> Option<(String, String)> {
    let said = |Cell { value, test }: &Cell| (value.clone(), test.clone());
    match from {
        From::Test(requirement) => cell(facts.id, requirement).map(said),
        From::Exclusion => {
            let among = cell(facts.id, "two_processes_exclude_each_other").map(said)?;
            let alone = cell(facts.id, "two_acquisitions_in_one_process_exclude_each_other").map(said)?;
            Some(match (among.0.as_str(), alone.0.as_str()) {
                ("no", "yes") => ("in one process".to_owned(), alone.1),
                ("yes", "no") => ("among processes".to_owned(), alone.1),
                _ => among,
            })
        }
        From::Fence => {
            let of_this = |bracket: &strategies::Bracket| bracket.facts.id == facts.id && bracket.fenced;
            let twin = strategies::ALL.iter().any(|spec| spec.lock.as_ref().is_some_and(of_this));
            let number = cell(facts.id, "tokens_grow_from_owner_to_owner").map(said)?;
            twin.then(|| match number.0.as_str() {
                "no token" => ("minted at the stock row".to_owned(), FENCE.to_owned()),
                _ => number,
            })
        }
    }
}

/// The table of the README; a test holds the two equal.
pub(super) fn markdown() -> String {
    let mut text = "| lock |".to_owned();
    COLUMNS.iter().for_each(|(heading, _)| text += &format!(" {heading} |"));
    text += "\n|---|";
    COLUMNS.iter().for_each(|_| text += "---|");
    for facts in ALL {
        text += &format!("\n| `{}` |", facts.id);
        for (_, from) in COLUMNS {
            let said = value(facts, from).map(|(value, test)| format!("[{value}]({test})"));
            text += &format!(" {} |", said.as_deref().unwrap_or("–"));
        }
    }
    text
}

/// A paragraph for each lock, a line for each requirement that concerns it.
pub(super) fn plain() -> String {
    let mut text = String::new();
    for facts in ALL {
        text += &format!("{}\n", facts.id);
        for (heading, from) in COLUMNS {
            if let Some((value, test)) = value(facts, from) {
                text += &format!("  {heading:<34} {value:<26} {test}\n");
            }
        }
        text += "\n";
    }
    text + "Observed on real servers, each line by the test that it names."
}
