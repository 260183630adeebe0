//! The promise of the README's first command: every strategy on real servers, and a table that SQL agrees
//! with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sellout::strategies::{ALL, Need, Spec};
use sellout::wire::{Guarantee, Run, RunResult, TraceKind, Verdict};
use sqlx::PgPool;

use crate::support::process::children_of;
use crate::support::{eventually, fresh_database, servers};

const ADDRESSES: [&str; 5] = ["DATABASE_URL", "REDIS_URL", "REDLOCK_URLS", "ZOOKEEPER_HOSTS", "ETCD_URLS"];
const PROGRAMS: [&str; 3] = ["SELLOUT_REDIS_SERVER", "SELLOUT_ZOOKEEPER_JARS", "SELLOUT_ETCD"];

/// `sellout demo --once` in a folder of its own.
fn demo(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_sellout"));
    demo.arg("demo").arg("--once").arg("--runs-dir").arg(folder.join("runs")).args(arguments);
    ADDRESSES.iter().chain(&PROGRAMS).for_each(|name| {
        demo.env_remove(name);
    });
    demo.envs(environment.iter().copied());
    demo.stdin(Stdio::null()).output().expect("sellout demo")
}

fn words(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn read_run(path: &Path) -> Run {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("a run")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_what_sql_counts() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let database = fresh_database().await;
    let json = folder.path().join("out.json");
    let others = servers().environment();
    let mut environment = vec![("DATABASE_URL", database.as_str())];
    environment.extend(others.iter().map(|(name, address)| (*name, address.as_str())));
    let output = demo(folder.path(), &environment, &["--json", json.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));

    let run = read_run(&json);
    let named: Vec<&str> = run.results.iter().map(|r| r.strategy.as_str()).collect();
    assert_eq!(named, ALL.iter().map(|s| s.id).collect::<Vec<_>>(), "every registered strategy, in order");
    assert!(run.parameters.attempts >= 2000 && run.parameters.buyers >= 200 && run.parameters.stock == 100);
    assert!(run.traced);
    let sold = sold_by_sql(&database).await;
    for r in &run.results {
        let (e, id) = (&r.evidence, r.sale_id.expect("a sale").to_string());
        assert_eq!(
            e.sold,
            sold.get(&id).copied().unwrap_or(0),
            "{}: what it tells and what SQL counts",
            r.strategy
        );
        assert_eq!(r.answers.total(), r.attempts, "{}", r.strategy);
        assert!(r.as_declared, "{}: {}", r.strategy, r.reason);
        told_how(r);
        match r.declared {
            // Where it needs a fault, a rush may or may not do: the schedules of conformance show it.
            Guarantee::Oversells if needs_a_fault(&r.strategy) => {}
            Guarantee::Oversells => assert_eq!(r.verdict, Verdict::Oversold, "{}: {}", r.strategy, r.reason),
            Guarantee::Control => assert_eq!((r.verdict, e.sold), (Verdict::Control, 0)),
            _ => assert_eq!((r.verdict, e.sold), (Verdict::Held, 100), "{}: {}", r.strategy, r.reason),
        }
    }
    let kept = folder.path().join("runs").join(&run.id);
    assert_eq!(read_run(&kept.join("run.json")).results, run.results);
    let page = std::fs::read_to_string(kept.join("report.html")).expect("the report");
    assert!(page.contains("run-data") && !page.contains("src=\"/"), "the report must stand alone");
    let history = std::fs::read_to_string(kept.join("history.ndjson")).expect("the history");
    let asked = history.lines().filter(|l| l.contains("\"invoke\"")).count() as u64;
    assert_eq!(asked, run.results.iter().map(|r| r.attempts).sum::<u64>(), "each request is on file");
}

/// How it was decided, and its curve; neither makes a kept run large.
fn told_how(row: &RunResult) {
    let Some(trace) = &row.trace else {
        return assert_eq!(row.declared, Guarantee::Control, "{}: no trace", row.strategy);
    };
    let oversold = row.verdict == Verdict::Oversold;
    assert_eq!(trace.kind == TraceKind::Oversold, oversold, "{}: {}", row.strategy, trace.sentence);
    assert!((1..=60).contains(&trace.steps.len()), "{}: {} steps", row.strategy, trace.steps.len());
    let told: i64 = row.evidence.told_yes.unwrap_or_default();
    assert!(row.series.len() <= 120, "{}: {} points", row.strategy, row.series.len());
    assert_eq!(row.series.last().map_or(0, |point| point.sold), told, "{}: its curve", row.strategy);
}

fn needs_a_fault(strategy: &str) -> bool {
    Spec::find(strategy).expect("registered").oversells_in != Some("rush")
}

async fn sold_by_sql(database: &str) -> BTreeMap<String, i64> {
    let pool = PgPool::connect(database).await.expect("PostgreSQL");
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select sale_id::text, sum(quantity)::bigint from orders group by sale_id")
            .fetch_all(&pool)
            .await
            .expect("the ledger");
    rows.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategy_without_its_server_is_skipped_with_the_reason() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let database = fresh_database().await;
    let json = folder.path().join("out.json");
    // No redis-server, java or etcd is to be found there.
    let nowhere = folder.path().to_str().expect("a path");
    let environment = [("DATABASE_URL", database.as_str()), ("PATH", nowhere)];
    let few =
        ["--attempts", "400", "--buyers", "40", "--stock", "20", "--json", json.to_str().expect("a path")];
    let output = demo(folder.path(), &environment, &few);
    let run = read_run(&json);
    let said = words(&output);
    let missing = |need: Need| match need {
        Need::Postgres => None,
        Need::Redis => Some(["REDIS_URL", "Redis is not installed"]),
        Need::Redlock => Some(["REDLOCK_URLS", "Redis is not installed"]),
        Need::Zookeeper => Some(["ZOOKEEPER_HOSTS", "Java is not installed"]),
        Need::Etcd if cfg!(feature = "etcd") => Some(["ETCD_URLS", "etcd is not installed"]),
        Need::Etcd => Some(["--features etcd", ""]),
    };
    for spec in ALL {
        let row = run.results.iter().find(|r| r.strategy == spec.id).expect("listed, not dropped");
        let lacks: Vec<_> = spec.needs.iter().filter_map(|need| missing(*need)).collect();
        assert_eq!(row.verdict == Verdict::Skipped, !lacks.is_empty(), "{}: {}", spec.id, row.reason);
        for [setting, sentence] in lacks {
            assert!(row.reason.contains(setting) && row.reason.contains("./run"), "{}", row.reason);
            let times = said.matches(sentence).count();
            assert!(sentence.is_empty() || times == 1, "{sentence}: said {times} times in {said}");
        }
    }
    assert_ne!(
        output.status.code(),
        Some(5),
        "skipped rows count only when they were named: {}",
        words(&output)
    );
    let named = [&few[..], &["--strategies", "redis_lua"]].concat();
    let output = demo(folder.path(), &environment, &named);
    assert_eq!(output.status.code(), Some(5), "{}", words(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_demo_with_its_servers_and_keeps_what_was_sold() {
    use rustix::process::{Pid, Signal, kill_process};
    let folder = tempfile::tempdir().expect("temporary directory");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_sellout"))
        .args(["demo", "--attempts", "200000", "--strategies", "naive", "--runs-dir"])
        .arg(folder.path())
        .env("DATABASE_URL", fresh_database().await)
        .envs(servers().environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sellout demo");
    // Under way: the load test has written down some thousand orders.
    let under_way = || {
        let run = std::fs::read_dir(folder.path()).ok().and_then(|mut d| d.next()?.ok());
        run.and_then(|r| r.path().join("history.ndjson").metadata().ok()).is_some_and(|m| m.len() > 200_000)
    };
    eventually("the run is under way", async || under_way()).await;
    let children = children_of(demo.id());
    assert!(children.len() >= 2, "service and load test: {children:?}");
    kill_process(Pid::from_child(&demo), Signal::INT).expect("interrupt");
    let status = tokio::task::spawn_blocking(move || demo.wait()).await.expect("join").expect("wait");
    assert_eq!(status.code(), Some(130));
    let alive = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
    assert_eq!(children.iter().filter(|p| alive(p)).count(), 0, "{children:?} outlived the demo");
    let kept =
        std::fs::read_dir(folder.path()).expect("runs").next().expect("a run").expect("an entry").path();
    let run = read_run(&kept.join("run.json"));
    assert_eq!(run.exit_code, Some(130));
    assert!(run.results[0].evidence.sold > 0, "what was sold until then is judged: {:?}", run.results[0]);
}
