//! The promise of the load test's other crowds: units that come back are sold again, carts are sold whole or
//! not at all, and a key is an order once. On every safe strategy that can do it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use sellout::strategies::{ALL, Spec};
use sellout::wire::{Run, RunResult, Verdict};
use serde_json::Value;

use crate::support::TestApp;

const STOCK: i64 = 20;
const ATTEMPTS: u64 = 200;
/// Services at once, each with its share of the strategies: most of a run of holds is waiting for them.
const SERVICES: usize = 4;

/// The load test lies beside the program.
fn load_test() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_sellout")).with_file_name("sellout-load");
    assert!(path.exists(), "{} is missing: cargo build --workspace", path.display());
    path
}

fn names(can: impl Fn(&Spec) -> bool) -> Vec<&'static str> {
    ALL.iter().filter(|spec| spec.is_safe() && can(spec)).map(|spec| spec.id).collect()
}

/// A run of the load test and its history.
struct Ran {
    output: Output,
    rows: Vec<RunResult>,
    history: String,
}

async fn run(app: &TestApp, scenario: &str, strategies: &str) -> Ran {
    let runs = tempfile::tempdir().expect("temporary directory");
    let output = tokio::process::Command::new(load_test())
        .args(["--host", &app.api.url, "--scenario", scenario, "--strategies", strategies])
        .args(["--stock", &STOCK.to_string(), "--attempts", &ATTEMPTS.to_string(), "--buyers", "24"])
        .args(["--seed", "7", "--json", "-", "--no-progress", "--runs-dir"])
        .arg(runs.path())
        .env_remove("SELLOUT_TOKEN")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("sellout-load");
    let said = String::from_utf8_lossy(&output.stderr);
    let run: Run = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let history = std::fs::read_to_string(runs.path().join(&run.id).join("history.ndjson"));
    Ran { rows: run.results, history: history.expect("the history"), output }
}

/// Runs them in several services at once, and asserts that each has held with so many units sold.
async fn all_hold(scenario: &'static str, strategies: &[&'static str], sold: i64) -> Vec<Ran> {
    assert!(!strategies.is_empty(), "no strategy can do {scenario}");
    let share = strategies.len().div_ceil(SERVICES);
    let shares = strategies.chunks(share).map(|names| async move {
        let app = TestApp::start().await;
        let ran = run(&app, scenario, &names.join(",")).await;
        app.stop().await;
        ran
    });
    let all = futures_util::future::join_all(shares).await;
    let held: Vec<&str> = all.iter().flat_map(|ran| &ran.rows).map(|row| row.strategy.as_str()).collect();
    assert_eq!(held, strategies, "every one of them was run");
    for row in all.iter().flat_map(|ran| &ran.rows) {
        let e = &row.evidence;
        assert_eq!(row.verdict, Verdict::Held, "{scenario}, {}: {}", row.strategy, row.reason);
        assert_eq!((e.sold, e.told_yes, e.stranded), (sold, Some(sold), 0), "{scenario}, {}", row.strategy);
        assert_eq!((row.attempts, row.answers.total()), (ATTEMPTS, ATTEMPTS), "{scenario}, {}", row.strategy);
    }
    for ran in &all {
        assert_eq!(ran.output.status.code(), Some(0), "{scenario}: {:?}", ran.output);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_from_holds_is_sold_again_to_the_last_unit() {
    let ran = all_hold("holds", &names(|spec| spec.gives_back), STOCK).await;
    for Ran { history, rows, .. } in &ran {
        let lines: Vec<Value> = history.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        let ops = |field: &str, word: &str| -> BTreeSet<u64> {
            let said = |line: &&Value| line[field] == word || word.is_empty() && line[field].is_i64();
            lines.iter().filter(said).map(|line| line["op"].as_u64().expect("a number")).collect()
        };
        let (sent, holds) = (ops("event", "invoke"), ops("hold_seconds", ""));
        let strategies = rows.len() as u64;
        let counted = (sent.len() as u64, holds.len() as u64);
        assert_eq!(counted, (ATTEMPTS * strategies, ATTEMPTS / 2 * strategies));
        // Not a rush by another name: holds were confirmed, released, and left to run out.
        let granted: BTreeSet<u64> = ops("answer", "sold").intersection(&holds).copied().collect();
        let (confirmed, released) = (ops("verb", "confirm"), ops("verb", "release"));
        let abandoned = granted.iter().filter(|op| !confirmed.contains(op) && !released.contains(op));
        assert!(abandoned.count() > 0 && !confirmed.is_empty() && !released.is_empty());
        assert_eq!(ops("event", "end"), ops("event", "ended"), "each end was answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn carts_that_cross_each_other_sell_every_sale_out_and_none_by_halves() {
    let ran = all_hold("carts", &names(|spec| spec.carts), 4 * STOCK).await;
    for row in ran.iter().flat_map(|ran| &ran.rows) {
        let clients = row.evidence.clients.expect("the clients' side");
        assert!(clients.answers.rejected > 0, "{}: no cart was refused for another sale", row.strategy);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_retries_buys_once_per_key() {
    all_hold("retry-storm", &names(|_| true), STOCK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategy_that_cannot_do_it_is_skipped_with_the_reason_and_fails_only_when_named() {
    let app = TestApp::start().await;
    for (scenario, reason) in [("holds", "gives no units back"), ("carts", "sells no carts")] {
        let named = run(&app, scenario, "naive,row_lock").await;
        let words: Vec<_> = named.rows.iter().map(|row| (row.strategy.as_str(), row.verdict)).collect();
        assert_eq!(words, [("naive", Verdict::Skipped), ("row_lock", Verdict::Held)]);
        assert!(named.rows[0].reason.contains(reason), "{}", named.rows[0].reason);
        assert_eq!(named.output.status.code(), Some(5));
    }
    app.stop().await;
}
