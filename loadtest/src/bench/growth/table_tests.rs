//! The page, on steps that were written down.

use sellout::wire::Verdict;

use super::*;
use crate::growth::orders::Restart;
use crate::growth::servers::{Counters, Relation};
use crate::growth::{fill::Fill, pictures};
use crate::report::tests::run;

const HELD: Option<Verdict> = Some(Verdict::Held);

/// A step with so many orders in the ledger.
pub fn step(orders: u64) -> Step {
    let cpu = |sold| {
        let mut outcome = run(1, "x", sold, HELD);
        outcome.cpu_us.postgres = Some(30.0 * sold as f64);
        outcome
    };
    Step {
        filled: orders,
        orders,
        fill: (orders > 0).then(|| Fill { orders, seconds: 2.0, ..Fill::default() }),
        fill_counters: Counters::default(),
        group_commit: cpu(20_000),
        atomic_update: cpu(2_000),
        counters: Counters { orders: 10, pages_read: orders, ..Counters::default() },
        small_audit: Asked { seconds: 0.004, status: 200, ..Asked::default() },
        big_audit: Asked { seconds: 1.0, status: 200, orders: Some(7), ..Asked::default() },
        restart: Restart { stop: 0.1, listen: 0.2, big: 0.05, stored: None },
        sizes: vec![
            Relation { name: "orders".into(), bytes: 200 * orders },
            Relation { name: "orders_pkey".into(), bytes: 100 * orders },
            Relation { name: "stock".into(), bytes: 8_192 },
        ],
    }
}

fn part() -> Part {
    let mut late = step(1_000_000);
    late.big_audit = Asked {
        seconds: 15.0,
        status: 503,
        refused: Some("canceling statement due to statement timeout".into()),
        ..Asked::default()
    };
    late.small_audit.seconds = 0.008;
    Part {
        environment: sellout::wire::Environment { cpu: "a CPU".into(), ..Default::default() },
        sales: vec![sales::tests::step("group_commit", 1_000, (1 << 20, 10 << 20))],
        orders: vec![step(0), step(100_000), late],
        rebuilt: vec![rebuild::Step { orders: 1_000, seconds: 0.5, ..rebuild::Step::default() }],
        waiting: vec![
            Waiting { connections: 256, idle: 10 << 20, busy: 20 << 20, under_way: 256 },
            Waiting { connections: 4_096, idle: 35 << 20, busy: 50 << 20, under_way: 4_096 },
        ],
        overload: vec![crate::growth::overload::tests::overload(1_000, 850, 10_000)],
        ..Part::default()
    }
}

#[test]
fn the_page_says_what_grew_what_bends_and_what_was_not_answered() {
    let page = page(&part());
    for said in [
        "| group_commit | 1000 |",
        "| audit of 100 orders, ms | 4.00 | 8.00 | 2.00 | bends at 1000000 orders |",
        "| group_commit, p50 ms | 200 | 200 | 1.00 | straight |",
        "The audit of 1000000 orders was not answered: canceling statement due to statement timeout",
        "| 503 after 15.0 s |",
        "| orders_pkey | 100 |",
        "| all | 300 |",
        "4.00 KiB while it is idle, and 8.00 KiB with an order that waits",
        "| 0.90 ✓ |",
        "| 0.85 |",
        "x keeps 0.85 of its peak under ten times the rate: refusing took 0.0250 cores",
        "a CPU",
    ] {
        assert!(page.contains(said), "{said} is missing in\n{page}");
    }
}

#[test]
fn what_was_not_held_has_its_verdict_and_no_rate() {
    let mut all = part();
    all.orders[1].group_commit = run(1, "x", 20_000, Some(Verdict::Lost));
    let page = page(&all);
    let line = page.lines().find(|line| line.starts_with("| 100000 |")).unwrap();
    assert!(line.contains("| LOST: so | – | – |"), "{line}");
}

#[test]
fn every_picture_shows_what_was_measured_and_nothing_of_what_was_not() {
    let pictures = pictures::all(&part());
    assert_eq!(pictures.len(), 4);
    for (name, text) in pictures {
        assert!(text.contains(">group_commit</text>") && !text.contains("NaN"), "{name}: {text}");
    }
    assert!(pictures::all(&Part::default()).is_empty());
}

#[test]
fn the_readme_of_growth_shows_the_newest_committed_growth() {
    crate::table::tests::shown_on("docs/growth.md", "growth", |newest| {
        let part: Part = crate::show::kept(newest).unwrap();
        (
            format!("{}\n{}", section(&part), machine(&part.environment, &part.started_at)),
            pictures::all(&part),
        )
    });
}
