//! The promise of the lab's page: a run that is asked for there is the load test itself, in a process of its
//! own, one at a time, and nothing of it stays behind.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use sellout::wire::{LabRun, LabState, NewLabRun, Run, RunSummary, Verdict};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::process::{Process, children_of, stands};
use crate::support::{Answer, Api, TestApp, eventually, fresh_database};

/// A run that takes a second or two.
fn small(strategies: &[&str]) -> NewLabRun {
    NewLabRun {
        strategies: strategies.iter().map(|s| (*s).to_owned()).collect(),
        buyers: Some(40),
        attempts: Some(400),
        stock: Some(20),
        seed: Some(7),
        ..NewLabRun::default()
    }
}

/// A run that does not end by itself while a test looks on.
fn endless() -> NewLabRun {
    NewLabRun { attempts: Some(1_000_000), stock: Some(1_000_000_000), ..small(&["atomic_update"]) }
}

async fn ask(api: &Api, new: &NewLabRun) -> Answer {
    api.post("/v1/lab/runs", &json!(new)).await
}

async fn start(api: &Api, new: &NewLabRun) -> LabRun {
    let answer = ask(api, new).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    let run: LabRun = serde_json::from_value(answer.body).expect("a run");
    assert_eq!(answer.headers["location"], format!("/v1/runs/{}", run.id));
    run
}

async fn current(api: &Api) -> LabRun {
    serde_json::from_value(api.get("/v1/lab/runs/current").await.body).expect("a run")
}

async fn has_ended(api: &Api) -> LabRun {
    let over = async || !matches!(current(api).await.state, LabState::Running | LabState::Cancelling);
    eventually("the run ends", over).await;
    current(api).await
}

async fn kept(api: &Api, id: &str) -> Run {
    let answer = api.get(&format!("/v1/runs/{id}")).await;
    serde_json::from_value(answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text))
}

async fn listed(api: &Api) -> Vec<RunSummary> {
    serde_json::from_value(api.get("/v1/runs").await.body["runs"].clone()).expect("a list")
}

async fn sold(database_url: &str, run: &Run, row: usize) -> i64 {
    let pool = PgPool::connect(database_url).await.expect("PostgreSQL");
    let sold = "select coalesce(sum(quantity), 0)::bigint from orders where sale_id = $1";
    let sale = run.results[row].sale_id.expect("a sale");
    sqlx::query_scalar(sold).bind(sale).fetch_one(&pool).await.expect("the ledger")
}

/// The load test has sold something.
async fn sells(api: &Api) {
    let sold = async || {
        let sales = api.get("/v1/sales").await.body;
        sales["sales"][0]["live"]["sold_units"].as_i64().is_some_and(|sold| sold > 50)
    };
    eventually("the run sells", sold).await;
}

fn load_test_of(service: u32) -> u32 {
    let named = |pid: &u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "sellout-load"
    };
    children_of(service).into_iter().find(named).expect("the load test")
}

/// Gone, or a zombie that nobody has asked for.
fn is_dead(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("a signal");
}

/// The next snapshot that says so.
async fn seen(api: &Api, what: &str, says: impl Fn(&Value) -> bool) {
    let mut events = api.client.get(format!("{}/v1/events", api.url)).send().await.expect("events");
    let mut text = String::new();
    while let Some(bytes) = events.chunk().await.expect("an event") {
        text.push_str(&String::from_utf8_lossy(&bytes));
        let data = text.split("\n\n").filter_map(|event| event.split_once("data: "));
        if data.filter_map(|(_, data)| serde_json::from_str(data).ok()).any(|snapshot: Value| says(&snapshot))
        {
            return;
        }
    }
    panic!("never said: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_asked_for_ends_with_what_sql_counts() {
    let database = fresh_database().await;
    let service = Process::start(&database);
    let api = &service.api;
    let asked = NewLabRun { race_window_ms: Some(5), ..small(&["naive", "atomic_update"]) };
    let run = start(api, &asked).await;
    seen(api, "the page's run", |snapshot| snapshot["lab_run"]["id"] == run.id.as_str()).await;
    let second = ask(api, &asked).await;
    assert_eq!((second.status.as_u16(), second.problem()), (409, "run-active"), "{}", second.text);
    assert!(second.text.contains(&run.id), "{}", second.text);
    let refused = api.send(api.client.delete(format!("{}/v1/runs/{}", api.url, run.id))).await;
    assert_eq!(refused.problem(), "run-active", "{}", refused.text);

    let ended = has_ended(api).await;
    assert_eq!((ended.state, &ended.error, &ended.id), (LabState::Ended, &None, &run.id));
    let kept = kept(api, &run.id).await;
    assert_eq!((kept.exit_code, kept.cancelled, kept.co_located), (Some(0), false, Some(true)));
    assert_eq!((kept.parameters.seed, kept.parameters.race_window_ms), (7, Some(5)));
    assert_eq!(
        kept.faults.iter().map(|e| (&*e.fault, e.argument)).collect::<Vec<_>>(),
        [("race_window", Some(5))]
    );
    assert!(kept.viewers_max >= 1, "one page looked: {}", kept.viewers_max);
    assert_eq!(kept.command, ended.command);
    let (program, rest) = kept.command.split_once(' ').expect("a command");
    assert!(program == "sellout-load" && rest.contains("--race-window-ms 5 --seed 7"), "{}", kept.command);
    for (row, verdict) in [(0, Verdict::Oversold), (1, Verdict::Held)] {
        let result = &kept.results[row];
        assert_eq!((result.verdict, result.answers.total()), (verdict, 400), "{}", result.reason);
        assert_eq!(result.evidence.sold, sold(&database, &kept, row).await, "{}", result.strategy);
        assert!(result.service_cpu_us_per_attempt.is_some_and(|cpu| cpu > 0.0), "the service is measured");
    }
    assert!(children_of(service.pid()).is_empty(), "its process is gone");

    let forget = async || api.send(api.client.delete(format!("{}/v1/runs/{}", api.url, run.id))).await.status;
    assert_eq!(forget().await.as_u16(), 204);
    assert_eq!(api.get(&format!("/v1/runs/{}", run.id)).await.status.as_u16(), 404);
    assert_eq!((forget().await.as_u16(), listed(api).await.len()), (404, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_settled_and_judged_and_stays_listed_as_incomplete() {
    let database = fresh_database().await;
    let service = Process::start(&database);
    let api = &service.api;
    let run = start(api, &endless()).await;
    sells(api).await;
    let cancel =
        async || api.send(api.client.post(format!("{}/v1/lab/runs/{}/cancel", api.url, run.id))).await;
    let told = cancel().await;
    assert_eq!((told.status.as_u16(), &told.body["state"]), (202, &json!("cancelling")), "{}", told.text);
    let ended = has_ended(api).await;
    assert_eq!((ended.state, ended.error), (LabState::Ended, None));
    let kept = kept(api, &run.id).await;
    assert_eq!((kept.cancelled, kept.exit_code, kept.finished_at.as_deref()), (true, Some(130), None));
    let sold = sold(&database, &kept, 0).await;
    assert!(sold > 50 && kept.results[0].evidence.sold == sold, "{sold}: {:?}", kept.results[0]);
    assert_eq!(
        listed(api).await.iter().map(|r| (&*r.id, r.finished)).collect::<Vec<_>>(),
        [(&*run.id, false)]
    );
    assert_eq!(cancel().await.status.as_u16(), 404, "there is nothing to cancel any more");
    // And the next one may begin.
    start(api, &small(&["atomic_update"])).await;
    assert_eq!(has_ended(api).await.state, LabState::Ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_after_it_was_told_to_end_is_marked_all_the_same() {
    let database = fresh_database().await;
    let service = Process::start(&database);
    let api = &service.api;
    let run = start(api, &endless()).await;
    sells(api).await;
    let load = load_test_of(service.pid());
    signal(load, Signal::STOP);
    stands(load).await;
    let told = api.send(api.client.post(format!("{}/v1/lab/runs/{}/cancel", api.url, run.id))).await;
    assert_eq!(told.status.as_u16(), 202, "{}", told.text);
    signal(load, Signal::KILL);
    has_ended(api).await;
    let kept = kept(api, &run.id).await;
    assert_eq!((kept.cancelled, kept.exit_code, kept.finished_at), (true, None, None));
    assert!(listed(api).await.iter().all(|r| !r.finished));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hopeless_run_is_refused_in_words_and_starts_nothing() {
    let database = fresh_database().await;
    let service = Process::start(&database);
    let api = &service.api;
    let base = || small(&["atomic_update"]);
    let faults = |ms| sellout::wire::Faults { slow_store_ms: Some(ms), ..Default::default() };
    for (new, word) in [
        (NewLabRun { buyers: Some(0), ..base() }, "buyers: must be 1 to 5000."),
        (NewLabRun { buyers: Some(300), attempts: Some(200), ..base() }, "some buyers would never buy"),
        (NewLabRun { scenario: Some("stampede".into()), ..base() }, "stampede"),
        (NewLabRun { strategies: vec!["atomic-update".into()], ..base() }, "strategies:"),
        (NewLabRun { quantity: Some(21), ..base() }, "--quantity is above --stock"),
        (NewLabRun { race_window_ms: Some(1_001), ..base() }, "race_window_ms"),
        (NewLabRun { faults: faults(1_001), ..base() }, "slow_store_ms"),
    ] {
        let answer = ask(api, &new).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (422, "validation"), "{}", answer.text);
        assert!(answer.text.contains(word), "{word}: {}", answer.text);
        assert!(!answer.text.contains("Usage"), "{}", answer.text);
    }
    let unknown = api.post("/v1/lab/runs", &json!({"token": "x"})).await;
    assert_eq!(unknown.status.as_u16(), 422, "{}", unknown.text);
    assert_eq!(api.get("/v1/lab/runs/current").await.status.as_u16(), 404);
    assert!(listed(api).await.is_empty() && children_of(service.pid()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_with_its_service_however_that_ends() {
    let database = fresh_database().await;
    for hard in [false, true] {
        let mut service = Process::start(&database);
        start(&service.api, &endless()).await;
        sells(&service.api).await;
        let load = load_test_of(service.pid());
        if hard {
            service.kill();
        } else {
            service.terminate();
            assert!(service.ends().await, "it ends as it should");
        }
        eventually("the load test is gone", async || is_dead(load)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_test_is_let_in_where_tokens_are_wanted_and_nobody_can_read_its_token() {
    let database = fresh_database().await;
    let tokens = "lab bench the-token-of-the-lab;buyer shop a-token-of-the-shop";
    let service = Process::with(&database, &["--tokens", tokens]);
    let api = &service.api;
    let url = format!("{}/v1/lab/runs", api.url);
    assert_eq!(ask(api, &endless()).await.problem(), "unauthorized");
    let signed = api.client.post(&url).bearer_auth("the-token-of-the-lab").json(&endless());
    let answer = api.send(signed).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    sells(api).await;
    let load = load_test_of(service.pid());
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{load}/{what}")).expect("its own words");
    let environment = read("environ");
    let token = environment.split('\0').find_map(|one| one.strip_prefix("SELLOUT_TOKEN=")).expect("a token");
    assert!(!tokens.contains(token) && !read("cmdline").contains(token), "{}", read("cmdline"));
    assert!(!environment.contains("DATABASE_URL"), "it is told no store");
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_the_lab_there_is_none_of_it() {
    let settings = ["--token", "an-operators-token"];
    let app = TestApp::on(&fresh_database().await, &settings).await;
    let (api, url) = (&app.api, &app.api.url);
    let signed = |request: reqwest::RequestBuilder| api.send(request.bearer_auth("an-operators-token"));
    for request in [
        api.client.post(format!("{url}/v1/lab/runs")).json(&small(&["atomic_update"])),
        api.client.get(format!("{url}/v1/lab/runs/current")),
        api.client.post(format!("{url}/v1/lab/runs/x/cancel")),
        api.client.get(format!("{url}/v1/lab/faults")),
        api.client.put(format!("{url}/v1/lab/faults")).json(&json!({"slow_store_ms": 5})),
        api.client.post(format!("{url}/v1/lab/faults/kill-redis")),
        api.client.delete(format!("{url}/v1/runs/x")),
        api.client
            .post(format!("{url}/v1/sales"))
            .json(&json!({"name": "s", "units": 1, "strategy": "row_lock", "race_window_ms": 5})),
    ] {
        let answer = signed(request).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (404, "lab-only"), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_elsewhere_starts_and_breaks_nothing_and_a_missing_program_is_said() {
    let app = TestApp::start().await;
    let (api, url) = (&app.api, &app.api.url);
    for (name, value) in [("host", "evil.example"), ("origin", "http://evil.example")] {
        for request in [
            api.client.post(format!("{url}/v1/lab/runs")).json(&small(&["atomic_update"])),
            api.client.put(format!("{url}/v1/lab/faults")).json(&json!({"slow_store_ms": 5})),
            api.client.post(format!("{url}/v1/lab/faults/kill-redis")),
            api.client.delete(format!("{url}/v1/runs/x")),
        ] {
            let answer = api.send(request.header(name, value)).await;
            assert_eq!(answer.problem(), "forbidden", "{}", answer.text);
        }
    }
    assert_eq!(api.get("/v1/lab/faults").await.body["slow_store_ms"], Value::Null);
    // Beside this test program there is no load test.
    assert!(!Path::new(&std::env::current_exe().expect("us")).with_file_name("sellout-load").exists());
    let answer = ask(api, &small(&["atomic_update"])).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (503, "load-test-missing"), "{}", answer.text);
    assert!(answer.text.contains("cargo build --workspace"), "{}", answer.text);
}
