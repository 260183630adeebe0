//! The promise of who may do what: outside the lab a token opens sales and nothing else needs one; in the
//! lab nobody from elsewhere changes anything.

use std::path::Path;
use std::process::{Command, Output};

use reqwest::RequestBuilder;
use reqwest::header::{HOST, ORIGIN};
use sellout::app::Running;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Api, TestApp, config, fresh_database, servers};

const TOKEN: &str = "the operator's word";

fn new_sale() -> Value {
    json!({"name": "n", "units": 10, "strategy": "atomic_update"})
}

fn opening(api: &Api) -> RequestBuilder {
    api.client.post(format!("{}/v1/sales", api.url)).json(&new_sale())
}

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

fn run_of(id: &str) -> Value {
    json!({"schema_version": 1, "id": id, "started_at": "t", "finished_at": "t", "exit_code": 0,
        "current": null, "environment": {"sellout": "", "commit": "", "cpu": "", "cores": 1,
            "memory_mib": 1, "os": "", "build": "", "postgres": "", "redis": null, "private_servers": true},
        "parameters": {"scenario": "s", "strategies": [], "stock": 1, "buyers": 1, "attempts": 1,
            "quantity": 1, "per_buyer_limit": null, "seed": 1},
        "results": []})
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_lab_only_the_token_opens_a_sale_and_anybody_buys() {
    let app = TestApp::on(&fresh_database().await, &["--token", TOKEN]).await;
    let api = &app.api;
    let open = || opening(api);
    let refused = [
        open(),
        open().bearer_auth("another word, as long"),
        open().bearer_auth(""),
        open().bearer_auth(format!("{TOKEN}s")),
        open().header("authorization", format!("Basic {TOKEN}")),
        open().header("authorization", TOKEN),
    ];
    for request in refused {
        let answer = api.send(request).await;
        assert_eq!(refusal(&answer), (401, "unauthorized"), "{}", answer.text);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert!(!answer.text.contains(TOKEN), "it tells what it should be told");
    }
    assert_eq!(api.get("/v1/sales").await.body["sales"], json!([]), "a refused sale is there");
    // The scheme's name has no case (RFC 9110), the token has.
    for scheme in ["Bearer", "bearer"] {
        let opened = api.send(open().header("authorization", format!("{scheme} {TOKEN}"))).await;
        assert_eq!(opened.status, 201, "{}", opened.text);
        let sale: Uuid = opened.body["id"].as_str().and_then(|id| id.parse().ok()).expect("a sale id");
        assert!(api.buy(sale).await.is_sold(), "buyers need no token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_the_lab_is_not_there_outside_it() {
    let app = TestApp::on(&fresh_database().await, &["--token", TOKEN]).await;
    let opened = app.api.send(opening(&app.api).bearer_auth(TOKEN)).await;
    let sale = opened.body["id"].as_str().expect("a sale id");
    let answers = json!({"sold": 0, "sold_out": 0, "contended": 0, "rejected": 0, "error": 0, "unknown": 0});
    let tally = json!({"attempts": 0, "answers": answers, "peak_in_flight": 0, "demand_units": 0,
        "sold_out_quantity_min": null, "told_yes": [], "unknown_keys": []});
    for (path, body) in
        [(format!("/v1/sales/{sale}/tally"), &tally), ("/v1/runs/run-1".into(), &run_of("run-1"))]
    {
        let put = app.api.client.put(format!("{}{path}", app.api.url)).bearer_auth(TOKEN).json(body);
        let answer = app.api.send(put).await;
        assert_eq!(refusal(&answer), (404, "lab-only"), "{path}: {}", answer.text);
    }
    assert_eq!(app.api.get("/v1/runs").await.body["runs"], json!([]));
    // The same two are taken in the lab, so it was not the body.
    let lab = TestApp::start().await;
    let sale = lab.api.open_sale("atomic_update", 1).await;
    assert_eq!(lab.api.put(&format!("/v1/sales/{sale}/tally"), &tally).await.status, 204);
    assert_eq!(lab.api.put("/v1/runs/run-1", &run_of("run-1")).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_lab_a_foreign_page_or_a_rebound_name_changes_nothing() {
    let app = TestApp::start().await;
    let api = &app.api;
    let port = api.url.rsplit(':').next().expect("a port");
    let sale = api.open_sale("atomic_update", 10).await;
    let order = || {
        let url = format!("{}/v1/sales/{sale}/orders", api.url);
        api.client.post(url).json(&json!({"buyer_id": "b", "quantity": 1}))
    };
    let run = || api.client.put(format!("{}/v1/runs/run-1", api.url)).json(&run_of("run-1"));
    for request in [&order as &dyn Fn() -> RequestBuilder, &run, &|| opening(api)] {
        for host in
            ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.0.2.1", "", "[2001:db8::1]"]
        {
            let answer = api.send(request().header(HOST, host)).await;
            assert_eq!(refusal(&answer), (403, "forbidden"), "Host {host:?}: {}", answer.text);
        }
        for origin in ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "file://", ""]
        {
            let answer = api.send(request().header(ORIGIN, origin)).await;
            assert_eq!(refusal(&answer), (403, "forbidden"), "Origin {origin:?}: {}", answer.text);
        }
    }
    assert_eq!(api.audit(sale).await.evidence.sold, 0);
    assert_eq!(api.get("/v1/sales").await.body["sales"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.get("/v1/runs").await.body["runs"], json!([]));
    for host in ["localhost", &format!("localhost:{port}"), "127.0.0.1", "[::1]:80", "127.9.9.9"] {
        let own_page = order().header(HOST, host).header(ORIGIN, format!("http://{host}"));
        assert!(api.send(own_page).await.is_sold(), "{host}");
    }
    // Reading is nobody's harm, and monitoring knows us by other names.
    let read = api.client.get(format!("{}/v1/sales", api.url)).header(HOST, "sellout.internal");
    assert_eq!(api.send(read).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_kept_in_its_folder_and_nowhere_else() {
    let outer = tempfile::tempdir().expect("temporary directory");
    let folder = outer.path().join("a").join("runs");
    let settings = ["--lab", "--runs-dir", folder.to_str().expect("a path")];
    let redis = Some(servers().redis_url.as_str());
    let running = Running::start(config(&fresh_database().await, redis, &settings)).await;
    let running = running.expect("the service starts");
    let api = Api::at(format!("http://{}", running.address));
    let ids =
        ["..", ".", "../x", "../../x", "a.b", ".hidden", "x/y", "x\\y", "x\0", "", "ü", &"x".repeat(65)];
    for id in ids {
        for path in [id, &id.replace('.', "%2e").replace('/', "%2f").replace('\0', "%00")] {
            let answer = api.put(&format!("/v1/runs/{path}"), &run_of(id)).await;
            assert!((400..500).contains(&answer.status.as_u16()), "{id:?} {path}: {}", answer.text);
            assert!(!answer.problem().is_empty(), "{id:?} {path}: {}", answer.text);
        }
    }
    let other = api.put("/v1/runs/run-1", &run_of("run-2")).await;
    assert_eq!(refusal(&other), (422, "validation"), "path and body differ: {}", other.text);
    assert_eq!(names(outer.path()), [] as [&str; 0], "something was written");
    assert_eq!(api.put("/v1/runs/run-1", &run_of("run-1")).await.status, 204);
    assert_eq!((names(outer.path()), names(&folder)), (vec!["a".to_owned()], vec!["run-1".to_owned()]));
    running.stop().await;
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|e| e.expect("an entry").file_name().into_string().expect("a name")).collect()
}

fn serve(arguments: &[&str]) -> Output {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_sellout"));
    // Nothing is asked of the database: settings that contradict each other are refused before.
    serve.args(["serve", "--database-url", "postgres://127.0.0.1:1/none"]).args(arguments);
    serve.env_remove("REDIS_URL").env_remove("SELLOUT_TOKEN").env_remove("SELLOUT_LAB");
    serve.output().expect("sellout serve")
}

#[test]
fn a_lab_that_others_could_reach_and_a_token_that_could_be_guessed_are_refused_at_start() {
    for bind in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let refused = serve(&["--lab", "--bind", bind]);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{bind}: {why}");
        assert!(why.contains("loopback") && why.contains(bind) && !why.contains("panicked"), "{why}");
    }
    for token in ["", "fifteen letters"] {
        let refused = serve(&["--bind", "127.0.0.1:0", "--token", token]);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{why}");
        assert!(why.contains("SELLOUT_TOKEN") && why.contains("16"), "{why}");
    }
}
