//! Who may use whom. One crate has no walls that the compiler could guard, so this reads the table in
//! `src/lib.rs` and holds every `crate::…` against it.

use crate::hold;
use crate::tree::{File, lines_with, named_after, read};

/// Arrows that no row of the table may ever permit, and why.
const NEVER: &[(&str, &[&str], &str)] = &[
    (
        "http",
        &["locks", "backends", "services", "stock"],
        "a handler parses and answers, the stores are below",
    ),
    ("checkout", &["http", "locks", "app"], "nothing on the road of an order calls up"),
    ("strategies", &["http", "checkout", "app", "audit"], "nothing on the road of an order calls up"),
    ("locks", &["http", "checkout", "strategies", "ledger"], "a lock keeps others out and knows no orders"),
    ("ledger", &["strategies", "locks", "checkout", "backends"], "the judge does not know the accused"),
    ("audit", &["strategies", "locks", "checkout", "backends"], "the judge does not know the accused"),
    ("dashboard", &["strategies", "backends", "checkout", "locks"], "it shows what came over the wire"),
    ("trace", &["strategies", "checkout", "ledger", "backends"], "it is told, and asks nobody"),
    ("reports", &["strategies", "backends", "checkout", "locks"], "they say what the load test wrote down"),
    ("wire", &["sale", "ledger", "strategies", "http"], "shapes alone, so that the load test may share them"),
];

/// Drivers and frameworks, and the only files (by the start of their path) that may name them.
const DRIVERS: &[(&str, &[&str])] = &[
    (
        "sqlx",
        &[
            "src/strategies/",
            "src/locks/",
            "src/ledger/",
            "src/life/",
            "src/pipeline/",
            "src/audit/collect.rs",
            "src/stock.rs",
            "src/backends/",
        ],
    ),
    ("redis", &["src/strategies/", "src/pipeline/", "src/locks/", "src/backends/"]),
    ("deadpool_redis", &["src/strategies/", "src/pipeline/", "src/locks/", "src/backends/"]),
    ("zookeeper_client", &["src/locks/", "src/backends/"]),
    ("etcd_client", &["src/locks/", "src/backends/"]),
    ("actix_web", &["src/http/", "src/dashboard/", "src/app.rs", "loadtest/src/bench/bare.rs"]),
    ("reqwest", &["src/commands/", "loadtest/src/"]),
    ("goose", &["loadtest/src/"]),
];

/// What under_lock brackets. (`fenced_take` is no strategy.)
const TAKES: &[&str] = &["naive", "fence_on_write_only"];

const LAST: &str = "loadtest";

#[test]
fn each_room_uses_only_the_rooms_that_its_row_permits() {
    hold(
        "The table in src/lib.rs says who may use whom; a new arrow is argued there first, because in one \
         crate the compiler will not object and the road of an order would soon run in circles.",
        strangers,
        &[
            ("src/ledger/sales.rs", "use crate::{sale, locks::lock_redis};", "locks"),
            ("src/audit/judge.rs", "fn f() {\n    crate::strategies::ALL\n}", "strategies"),
            ("src/strategies/naive.rs", "use crate::locks::Lock;", "locks"),
            ("src/nowhere.rs", "//! A room without a row.", "row"),
            ("src/checkout/mod.rs", "use super::wire::Run;", "super"),
            ("src/checkout/live.rs", "use super::super::http;", "super"),
            ("loadtest/src/main.rs", "use sellout::{wire, checkout::Checkout};", "checkout"),
        ],
    );
}

#[test]
fn the_table_permits_no_arrow_that_breaks_the_promise() {
    for (room, forbidden, why) in NEVER {
        let permitted = permitted(room).unwrap_or_else(|| panic!("src/lib.rs has no row for {room}"));
        let broken: Vec<_> = forbidden.iter().filter(|f| permitted.iter().any(|p| p == *f)).collect();
        assert!(broken.is_empty(), "src/lib.rs permits {room} to use {broken:?}: {why}");
    }
}

#[test]
fn the_table_is_read_as_it_is_written() {
    let row = "//! | [`a`], [`b`] | the [`ledger::Row`] trait, sale: *judge*; never http, locks |";
    assert_eq!(row_of(row, "[`b`]"), Some(vec!["the", "ledger", "Row", "trait", "sale", "judge"]));
    assert_eq!(row_of(row, "[`c`]"), None);
    assert!(!permitted("http").unwrap_or_default().is_empty());
}

#[test]
fn drivers_are_named_only_where_the_stores_are_opened_and_used() {
    hold(
        "A driver named elsewhere is a second way to a store, past its time limits and past the audit.",
        smuggled,
        &[
            ("src/http/orders.rs", "use sqlx::postgres::PgPool;", "sqlx"),
            ("src/audit/judge.rs", "fn f(_: &sqlx::Error) {}", "sqlx"),
            ("src/audit/mod.rs", "use sqlx::Row;", "sqlx"),
            ("src/checkout/mod.rs", "use redis::Script;", "redis"),
            ("src/http/mod.rs", "use deadpool_redis::Pool;", "deadpool_redis"),
            ("src/strategies/naive.rs", "use actix_web::web;", "actix_web"),
        ],
    );
}

#[test]
fn strategies_and_locks_do_not_know_their_neighbours() {
    hold(
        "Each strategy and each lock is read alone; only under_lock may use others, the takes \
         that it brackets: the naive one, and the one whose fence is broken.",
        neighbours,
        &[
            ("src/strategies/row_lock.rs", "use super::naive::Naive;", "naive"),
            ("src/strategies/row_lock.rs", "use super::{Spec, naive};", "naive"),
            ("src/strategies/under_lock.rs", "use super::row_lock;", "row_lock"),
            ("src/locks/lock_x.rs", "use crate::locks::lock_redis::Held;", "lock_redis"),
            ("src/strategies/mod.rs", "pub mod naive;", "pub mod"),
        ],
    );
}

fn strangers(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.is_program()) {
        let Some(room) = room(file) else { continue };
        let Some(permitted) = permitted(room) else {
            faults.push(format!("{}: {room} has no row in the table of src/lib.rs", file.path));
            continue;
        };
        let code = file.lex().code;
        let prefix = if room == LAST { "sellout::" } else { "crate::" };
        let own = |name: &String| room != LAST && (name == room || room_names().iter().all(|r| r != name));
        let brackets =
            ["src/strategies/under_lock.rs", "src/strategies/mod.rs"].contains(&file.path.as_str());
        let under_lock = |name: &String| brackets && name == "locks";
        for name in named_after(&code, prefix) {
            if !own(&name) && !under_lock(&name) && !permitted.contains(&name) {
                faults.push(format!("{}: {room} may not use {name}", file.path));
            }
        }
        // `super` that leads out of the room would hide an arrow from the search above.
        let program = code.lines().take(file.foot() - 1);
        let outward = at_top(file) && program.into_iter().any(|line| line.contains("super::"));
        if room != LAST && (outward || code.contains("super::super::")) {
            faults.push(format!("{}: say crate::…, not super::…, for another room", file.path));
        }
    }
    faults
}

/// Is this file the face of its room, so that its `super` is the crate?
fn at_top(file: &File) -> bool {
    file.path.matches('/').count() <= 1 + usize::from(file.stem() == "mod")
}

fn smuggled(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.is_program()) {
        let code = file.lex().code;
        for (driver, homes) in DRIVERS {
            let at_home = homes.iter().any(|home| file.path.starts_with(home));
            let namesake = code.contains(&format!("mod {driver};"));
            let paths = !named_after(&code, &format!("{driver}::")).is_empty();
            let uses = !lines_with(&code, &format!("use {driver}")).is_empty();
            if !at_home && !namesake && (paths || uses) {
                faults.push(format!("{} names {driver}", file.path));
            }
        }
    }
    faults
}

fn neighbours(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    let ids: Vec<_> = sellout::strategies::ALL.iter().map(|spec| spec.id).chain(["under_lock"]).collect();
    for file in files {
        let code = file.lex().code;
        let under_lock = file.path == "src/strategies/under_lock.rs";
        if file.path == "src/strategies/mod.rs" && code.contains("pub mod ") {
            faults.push(format!("{}: pub mod opens a strategy to other rooms", file.path));
        }
        if !file.is_exhibit() && !under_lock {
            continue;
        }
        for prefix in ["super::", "crate::strategies::", "crate::locks::"] {
            for name in named_after(&code, prefix) {
                let lock = under_lock && (TAKES.contains(&name.as_str()) || prefix == "crate::locks::");
                // A lock that is broken on purpose is the whole one with one thing changed.
                let broken =
                    file.path.starts_with("src/locks/") && file.stem().starts_with(&format!("{name}_"));
                if ids.contains(&name.as_str()) && name != file.stem() && !lock && !broken {
                    faults.push(format!("{} uses {name}", file.path));
                }
            }
        }
    }
    faults
}

/// `src/http/orders.rs` → http; the load test is a room of its own; lib.rs and main.rs are none.
fn room(file: &File) -> Option<&str> {
    if file.path.starts_with("loadtest/") {
        return Some(LAST);
    }
    let inside = file.path.strip_prefix("src/")?;
    let room = inside.split(['/', '.']).next()?;
    (!["lib", "main"].contains(&room)).then_some(room)
}

/// The rooms that a row of the table permits; `all` permits all of them.
fn permitted(room: &str) -> Option<Vec<String>> {
    let map = read("src/lib.rs")?;
    let label = if room == LAST { "`loadtest/`".to_owned() } else { format!("[`{room}`]") };
    let words = map.lines().find_map(|line| row_of(line, &label))?;
    let rooms = room_names();
    if words.contains(&"all") {
        return Some(rooms);
    }
    let name = |word: &str| if word == "Spec" { "strategies".to_owned() } else { word.to_owned() };
    Some(words.into_iter().map(name).filter(|word| rooms.contains(word)).collect())
}

/// The words of a row's second cell, up to "never", if its first cell has the label.
fn row_of<'a>(line: &'a str, label: &str) -> Option<Vec<&'a str>> {
    let mut cells = line.strip_prefix("//! |")?.split('|');
    cells.next()?.contains(label).then_some(())?;
    let words =
        cells.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    Some(words.take_while(|word| *word != "never").collect())
}

/// The rooms: the modules of the crate.
fn room_names() -> Vec<String> {
    let map = read("src/lib.rs").unwrap_or_default();
    let module = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    map.lines().filter_map(module).collect()
}
