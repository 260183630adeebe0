//! The promise of the program: it finishes what it began, survives its own death, and says by its exit code
//! how it went.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sellout::strategies::ALL;
use sellout::wire::Verdict;
use serde_json::Value;
use sqlx::PgPool;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::support::process::Process;
use crate::support::{Answer, Api, TestApp, eventually, fresh_database, servers};

/// The program, with nothing of our own environment that it would read.
fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sellout"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SELLOUT_")) {
        program.env_remove(name);
    }
    for name in ["DATABASE_URL", "REDIS_URL", "REDLOCK_URLS", "ZOOKEEPER_HOSTS", "ETCD_URLS"] {
        program.env_remove(name);
    }
    program.args(arguments);
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// What it said and how it ended.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program(arguments).output().expect("sellout");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// `sellout serve`, killed if the test fails.
struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Serve {
    fn start(database: &str, more: &[&str]) -> (Serve, Api) {
        let line = ["serve", "--lab", "--bind", "127.0.0.1:0", "--database-url", database];
        let mut serve = program(&line);
        serve.envs(servers().environment()).args(more).stderr(Stdio::inherit());
        let mut serve = Serve(serve.spawn().expect("sellout serve"));
        let mut said = String::new();
        let stdout = serve.0.stdout.take().expect("its stdout");
        BufReader::new(stdout).read_line(&mut said).expect("its address");
        let url = said.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {said:?}"));
        let api = Api::at(url.to_owned());
        (serve, api)
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("SIGTERM");
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let ended = std::sync::Mutex::new(None);
        eventually("it ends", || {
            let status = self.0.try_wait().expect("its status");
            *ended.lock().expect("the status") = status;
            std::future::ready(status.is_some())
        })
        .await;
        ended.into_inner().expect("the status").and_then(|status| status.code())
    }
}

async fn waiting_for_a_lock(sql: &PgPool) -> i64 {
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
                   and datname = current_database() and application_name = 'sellout'";
    sqlx::query_scalar(waiting).fetch_one(sql).await.expect("pg_stat_activity")
}

async fn orders_of(sql: &PgPool, sale: Uuid) -> BTreeSet<String> {
    let ids = sqlx::query_scalar::<_, Uuid>("select id from orders where sale_id = $1").bind(sale);
    ids.fetch_all(sql).await.expect("orders").iter().map(Uuid::to_string).collect()
}

fn told_yes(answers: &[Answer]) -> BTreeSet<String> {
    let yes = answers.iter().filter(|a| a.is_sold());
    yes.map(|a| a.body["id"].as_str().expect("an order id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_the_orders_under_way_and_exits_with_zero() {
    let database = fresh_database().await;
    let (mut serve, api) = Serve::start(&database, &[]);
    let sql = PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let sale = api.open_sale("atomic_update", 20).await;
    let mut held = sql.begin().await.expect("a transaction");
    let row = sqlx::query("select from stock where sale_id = $1 for update").bind(sale);
    row.execute(&mut *held).await.expect("the row's lock");
    let buyers = (0..8).map(|_| {
        let api = api.clone();
        tokio::spawn(async move { api.buy(sale).await })
    });
    let mut buyers: Vec<_> = buyers.collect();
    // One who does not stay to hear the answer: the order is finished all the same.
    let gone = buyers.pop().expect("a buyer");
    eventually("the orders are under way", async || waiting_for_a_lock(&sql).await == 8).await;
    gone.abort();
    let page = api.client.get(format!("{}/v1/events", api.url)).send().await.expect("a page listens");
    let url = format!("{}/readyz", api.url);
    assert_eq!(run(&["healthcheck", "--url", &url]).0, Some(0));
    serve.terminate();
    eventually("it takes nobody new", async || TcpStream::connect(&api.url[7..]).await.is_err()).await;
    assert_eq!(run(&["healthcheck", "--url", &url]).0, Some(1), "who drains is not ready");
    assert_eq!(waiting_for_a_lock(&sql).await, 8, "an order was let go");
    held.rollback().await.expect("rollback");
    let mut answers = Vec::new();
    for buyer in buyers {
        answers.push(buyer.await.expect("a buyer"));
    }
    assert_eq!(told_yes(&answers).len(), 7, "{answers:?}");
    let ended = std::time::Instant::now();
    assert_eq!(serve.exit_code().await, Some(0));
    // Well under the time that a connection is given: a page that listens for ever is not waited for.
    assert!(ended.elapsed().as_secs() < 8, "it took {:?} to end", ended.elapsed());
    drop(page);
    let recorded = orders_of(&sql, sale).await;
    assert!(recorded.is_superset(&told_yes(&answers)) && recorded.len() == 8, "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_yes_before_a_kill_is_in_the_ledger_after_it() {
    let database = fresh_database().await;
    let (serve, api) = Serve::start(&database, &[]);
    let sql = PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let strategies = ["atomic_update", "row_lock", "serializable", "redis_lua"];
    let mut sales = Vec::new();
    for strategy in strategies {
        sales.push(api.open_sale(strategy, 5_000).await);
    }
    let answers = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let buyers = (0..64_usize).map(|i| {
        let (api, sale, answers) = (api.clone(), sales[i % sales.len()], answers.clone());
        tokio::spawn(async move {
            // Until the wire breaks: an order without an answer is neither yes nor no.
            loop {
                let buyer = Uuid::now_v7().to_string();
                let url = format!("{}/v1/sales/{sale}/orders", api.url);
                let order = api.client.post(url).json(&serde_json::json!({"buyer_id": buyer, "quantity": 1}));
                let Ok(response) = order.header("Idempotency-Key", &buyer).send().await else { break };
                let sold = response.status() == 201;
                let Ok(body) = response.json::<Value>().await else { break };
                let id = body["id"].as_str().unwrap_or_default().to_owned();
                answers.lock().expect("answers").extend(sold.then_some(id));
            }
        })
    });
    let buyers: Vec<_> = buyers.collect();
    eventually("the rush is on", async || answers.lock().expect("answers").len() >= 200).await;
    drop(serve); // kill -9
    for buyer in buyers {
        buyer.await.expect("a buyer");
    }
    let after = Process::start(&database);
    let mut recorded = BTreeSet::new();
    for sale in &sales {
        recorded.extend(orders_of(&sql, *sale).await);
        let audit = after.api.audit(*sale).await;
        assert_ne!(audit.verdict, Verdict::Oversold, "{audit:?}");
        assert_eq!((audit.evidence.duplicates, audit.evidence.unbalanced), (0, 0), "{audit:?}");
        assert!(after.api.buy(*sale).await.is_sold(), "it sells on");
    }
    let told: BTreeSet<String> = answers.lock().expect("answers").iter().cloned().collect();
    let lost: Vec<_> = told.difference(&recorded).collect();
    assert!(lost.is_empty(), "told yes and not in the ledger: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_says_by_its_exit_code_whether_the_service_is_ready() {
    let app = TestApp::start().await;
    let url = format!("{}/readyz", app.api.url);
    assert_eq!(run(&["healthcheck", "--url", &url]).0, Some(0));
    app.stop().await;
    let (code, _, why) = run(&["healthcheck", "--url", &url]);
    assert!(code == Some(1) && why.contains(&url), "{code:?} {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_command_finds_an_oversold_ledger_and_passes_a_sound_one() {
    let app = TestApp::start().await;
    let (sound, oversold) =
        (app.api.open_sale("atomic_update", 2).await, app.api.open_sale("atomic_update", 1).await);
    for sale in [sound, oversold] {
        assert!(app.api.buy(sale).await.is_sold());
    }
    let database = app.database_url.as_str();
    let audit = |more: &[&str]| run(&[&["audit", "--database-url", database], more].concat());
    let (code, text, why) = audit(&[]);
    assert!(code == Some(0) && text.contains(&sound.to_string()), "{code:?} {text} {why}");
    // What no strategy here would do: an order beyond the stock.
    let sell =
        "select record_order('anonymous', 'one too many', gen_random_uuid(), $1, 'b', 1, '\\x00', true)";
    sqlx::query(sell).bind(oversold).execute(&app.sql().await).await.expect("an order");
    let (id, other) = (oversold.to_string(), sound.to_string());
    let (code, text, _) = audit(&["--sale", &id, "--json"]);
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (code, &parsed[0]["verdict"], &parsed[0]["oversold"]),
        (Some(1), &"OVERSOLD".into(), &1.into())
    );
    assert!(matches!(audit(&[]), (Some(1), text, _) if text.contains("OVERSOLD")));
    assert_eq!(audit(&["--sale", &other, "--json"]).0, Some(0), "the sound one is sound still");
    let (code, text, why) = audit(&["--sale", &Uuid::nil().to_string()]);
    assert!(code != Some(0) && text.is_empty() && why.contains("no such sale"), "{code:?} {text} {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_servers_and_what_is_wrong_with_them() {
    let database = fresh_database().await;
    let mut doctor = program(&["doctor", "--database-url", &database]);
    let Output { status, stdout, .. } = doctor.envs(servers().environment()).output().expect("sellout");
    let text = String::from_utf8(stdout).expect("text");
    assert_eq!(status.code(), Some(0), "{text}");
    let etcd = if cfg!(feature = "etcd") { "etcd 3" } else { "built without etcd" };
    for fact in ["PostgreSQL 1", "Redis ", "3 independent Redis", "ZooKeeper 3", "standalone", etcd] {
        assert!(text.contains(fact), "{fact} is missing in:\n{text}");
    }
    let sql = PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&sql).await.expect("its name");
    let off = sqlx::AssertSqlSafe(format!("alter database {name} set synchronous_commit = off"));
    sqlx::query(off).execute(&sql).await.expect("alter database");
    let (code, text, _) = run(&["doctor", "--database-url", &database]);
    assert!(code == Some(1) && text.contains("synchronous_commit is off"), "{code:?} {text}");
    let (code, text, why) = run(&["doctor", "--database-url", &closed_port("postgres")]);
    assert!(code == Some(5) && text.contains("refused"), "{code:?} {text} {why}");
}

/// As a compose file passes on what nobody has set.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_address_is_the_same_as_none_and_a_dead_one_is_said() {
    let database = fresh_database().await;
    let doctor = |address: &str| {
        let mut doctor = program(&["doctor", "--database-url", &database]);
        for name in ["REDIS_URL", "REDLOCK_URLS", "ZOOKEEPER_HOSTS", "ETCD_URLS"] {
            doctor.env(name, "");
        }
        let output = doctor.env("ZOOKEEPER_HOSTS", address).output().expect("sellout");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, text) = doctor("");
    let etcd = if cfg!(feature = "etcd") { "ETCD_URLS is not set" } else { "--features etcd" };
    for lack in ["REDIS_URL is not set", "REDLOCK_URLS is not set", "ZOOKEEPER_HOSTS is not set", etcd] {
        assert!(text.contains(lack), "{lack}: {text}");
    }
    assert!(code == Some(0) && text.matches("./run").count() == 4, "{text}");
    let (code, text) = doctor("127.0.0.1:1");
    assert!(code == Some(1) && text.contains("ZooKeeper cannot be reached: 127.0.0.1:1"), "{text}");
}

/// An address at which nobody listens.
fn closed_port(scheme: &str) -> String {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    format!("{scheme}://postgres@127.0.0.1:{port}/none")
}

#[test]
fn what_it_prints_for_programs_is_json_with_everything_in_it() {
    let (code, text, why) = run(&["strategies", "--json"]);
    let cards: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let ids: Vec<&str> = cards.iter().filter_map(|card| card["id"].as_str()).collect();
    assert_eq!(ids, ALL.iter().map(|s| s.id).collect::<Vec<_>>());
    assert_eq!((code, why.as_str()), (Some(0), ""));
    let (code, text, why) = run(&["openapi"]);
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{text}");
    assert_eq!((code, why.as_str()), (Some(0), ""));
}

#[test]
fn a_wrong_command_line_ends_with_two_and_says_why() {
    let lines: [&[&str]; 6] = [
        &[],
        &["sell"],
        &["serve"],
        &["serve", "--database-url", "postgres://x", "--bind", "here"],
        &["audit", "--database-url", "postgres://x", "--sale", "1"],
        &["strategies", "--json", "--markdown"],
    ];
    for line in lines {
        let (code, text, why) = run(line);
        assert!(code == Some(2) && text.is_empty() && !why.is_empty(), "{line:?}: {code:?} {text} {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_a_missing_database_end_with_five_and_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let bind = taken.local_addr().expect("its address").to_string();
    let database = fresh_database().await;
    let (code, text, why) = run(&["serve", "--database-url", &database, "--bind", &bind]);
    assert!(code == Some(5) && text.is_empty(), "{code:?} {text} {why}");
    let sentence = format!("cannot listen on {bind}");
    assert!(why.contains(&sentence) && why.contains("in use") && !why.contains("panicked"), "{why}");
    let nobody = closed_port("postgres");
    let (code, text, why) = run(&["serve", "--database-url", &nobody, "--wait-limit-ms", "500"]);
    assert!(code == Some(5) && text.is_empty() && !why.contains("panicked"), "{code:?} {text} {why}");
    assert!(why.contains("PostgreSQL (DATABASE_URL)") && why.contains("refused"), "{why}");
}
