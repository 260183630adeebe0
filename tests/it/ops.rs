//! The promise: the alert rules and the dashboard in `ops/` ask for meters that this program really has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sellout::oversight::{METRICS, Meter};
use serde_json::Value;

use crate::reports::keeps_to;
use crate::support::eventually;
use crate::support::fresh_database;
use crate::support::process::Process;

const ALERTS: &str = "ops/prometheus/alerts.yml";
const DASHBOARD: &str = "ops/grafana/sellout.json";
const README: &str = "ops/README.md";

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every name of a meter in a text.
fn names(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let at = text.match_indices("sellout_");
    let fresh = at.filter(|(at, _)| !text[..*at].ends_with(|c: char| part(c) || "/.-".contains(c)));
    fresh.map(|(at, _)| text[at..].chars().take_while(|c| part(*c)).collect()).collect()
}

/// The meter that a series belongs to: a histogram has three kinds of them.
fn meter(name: &str) -> Option<(Meter, &'static str)> {
    let of = |(kind, meter, _): &(Meter, &'static str, &str)| {
        let rest = name.strip_prefix(meter)?;
        let part = *kind == Meter::Histogram && ["_bucket", "_sum", "_count"].contains(&rest);
        (rest.is_empty() && *kind != Meter::Histogram || part).then_some((*kind, *meter))
    };
    METRICS.iter().find_map(of)
}

#[test]
fn every_meter_that_ops_asks_for_is_one_of_ours() {
    for path in [ALERTS, DASHBOARD] {
        let names = names(&read(path));
        assert!(names.len() > 8, "{path}: {names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| meter(name).is_none()).collect();
        assert!(unknown.is_empty(), "{path} asks for what there is not: {unknown:?}");
    }
    assert_eq!(meter("sellout_orders"), None);
    assert_eq!(meter("sellout_order_duration_seconds"), None, "a histogram has no series of that name");
    assert_eq!(meter("sellout_lock_wait_seconds_sum"), Some((Meter::Histogram, "sellout_lock_wait_seconds")));
}

#[test]
fn the_list_of_meters_is_the_list_of_what_is_counted() {
    let mut code = String::new();
    collect(&file("src"), &mut code);
    let quoted = code.match_indices("\"sellout_").map(|(at, _)| {
        let name: String = code[at + 1..].chars().take_while(|c| *c != '"').collect();
        name
    });
    let quoted: Vec<String> = quoted.collect();
    for (_, name, help) in METRICS {
        // Once in the list, and where it is counted.
        assert!(quoted.iter().filter(|q| q == name).count() >= 2, "nothing counts {name}");
        assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help}");
    }
    let unlisted: Vec<_> = quoted.iter().filter(|q| METRICS.iter().all(|(_, name, _)| name != q)).collect();
    assert!(unlisted.is_empty(), "not in the list: {unlisted:?}");
}

fn collect(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, code);
        } else if path.extension().is_some_and(|e| e == "rs") {
            *code += &std::fs::read_to_string(&path).expect("a source");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_scrape_has_what_ops_asks_for() {
    let service = Process::with(&fresh_database().await, &["--audit-every-ms", "200"]);
    for strategy in ["atomic_update", "lock_in_process"] {
        let sale = service.api.open_sale(strategy, 5).await;
        assert!(service.api.buy(sale).await.is_sold());
    }
    let asked: BTreeSet<String> = [ALERTS, DASHBOARD].iter().flat_map(|path| names(&read(path))).collect();
    // What has never happened in this process is not there yet: nobody was sent away, no lock was lost.
    let rare = ["_shed_", "_fenced_", "_locks_lost_", "_renewals_refused_"];
    let asked: Vec<_> = asked.iter().filter(|name| !rare.iter().any(|part| name.contains(part))).collect();
    let missing = async || {
        let scrape = service.api.get("/metrics").await.text;
        let has = |name: &str| {
            scrape.lines().any(|l| l.starts_with(&format!("{name}{{")) || l.starts_with(&format!("{name} ")))
        };
        asked.iter().filter(|name| !has(name)).map(|name| (*name).clone()).collect::<Vec<_>>()
    };
    eventually("all of them are in a scrape", async || missing().await.is_empty()).await;
    let scrape = service.api.get("/metrics").await.text;
    assert!(scrape.contains("# HELP sellout_audit_oversold_units Units sold beyond the stock"), "{scrape}");
    assert!(
        scrape.contains("sellout_server_up{server=\"postgresql\"} 1"),
        "the server of the alert: {scrape}"
    );
    let zero = "sellout_orders_total{strategy=\"atomic_update\",outcome=\"unknown\"} 0";
    assert!(scrape.contains(zero), "a rate needs the zero before the one: {scrape}");
}

#[test]
fn the_alert_rules_are_what_prometheus_reads_and_each_says_what_to_do() {
    let schema = file("tests/it/alerts.schema.json");
    keeps_to(&schema, &[file(ALERTS)]).unwrap_or_else(|said| panic!("{said}"));
    let text = read(ALERTS);
    let rules: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    let distinct: BTreeSet<_> = rules.iter().collect();
    assert!(rules.len() > 10 && rules.len() == distinct.len(), "{rules:?}");
    // The schema refuses something.
    let folder = tempfile::tempdir().expect("temporary directory");
    let wrong = folder.path().join("wrong.yml");
    std::fs::write(&wrong, text.replacen("severity: page", "severity: loud", 1)).expect("a file");
    let said = keeps_to(&schema, &[wrong]).expect_err("a severity that there is not");
    assert!(said.contains("loud"), "{said}");
}

#[test]
fn the_dashboard_is_one_that_any_grafana_with_a_prometheus_can_show() {
    let text = read(DASHBOARD);
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].to_string()).collect();
    assert!(panels.len() > 10 && ids.len() == panels.len(), "each panel has its own id");
    for panel in panels {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(
            targets.iter().all(|t| t["expr"].as_str().is_some_and(|e| e.contains("sellout_"))),
            "{panel}"
        );
    }
    let mut sources = Vec::new();
    datasources(&dashboard, &mut sources);
    let ours = |source: &&Value| source["type"] == "prometheus" && source["uid"] == "${datasource}";
    assert!(!sources.is_empty() && sources.iter().all(ours), "{sources:?}");
    assert!(!text.contains("://"), "it names no host");
}

fn datasources<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("datasource"));
            fields.values().for_each(|field| datasources(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| datasources(item, found)),
        _ => {}
    }
}

#[test]
fn the_meters_of_the_readme_are_those_of_the_program() {
    let mut table = "| meter | kind | what it says |\n|---|---|---|\n".to_owned();
    for (kind, name, help) in METRICS {
        table += &format!("| `{name}` | {} | {help} |\n", format!("{kind:?}").to_lowercase());
    }
    let page = read(README);
    let (before, rest) = page.split_once("<!-- meters:start -->\n").expect("the table's start");
    let (shown, after) = rest.split_once("<!-- meters:end -->").expect("the table's end");
    if std::env::var_os("UPDATE_README").is_some() {
        let page = format!("{before}<!-- meters:start -->\n{table}<!-- meters:end -->{after}");
        std::fs::write(file(README), page).expect("the readme is written");
        return;
    }
    assert!(shown == table, "{README}: UPDATE_README=1 cargo test --test it meters_of_the_readme");
}
