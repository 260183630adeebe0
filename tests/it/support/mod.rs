//! What the tests share: real servers, a database of their own, the service with the API's verbs, a relay.
//!
//! `DATABASE_URL`, `REDIS_URL`, `REDLOCK_URLS`, `ZOOKEEPER_HOSTS` and `ETCD_URLS` name servers to use
//! (`./run test` sets them); for each that is not set the tests start private ones, so that a plain
//! `cargo test` works too.

#![expect(dead_code, reason = "each test program uses its own part of this")]

pub mod browser;
pub mod calls;
pub mod process;
pub mod relay;

use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use clap::Parser;
use reqwest::{Client, StatusCode};
use sellout::app::Running;
use sellout::config::Config;
use sellout::services::{Services, Wanted};
use sellout::wire::Audit;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use uuid::Uuid;

/// Nobody looks after anything beside the orders: for tests that count, hold or cut turns, where that would
/// be turns too.
pub const UNATTENDED: [&str; 4] = ["--sweep-ms", "3600000", "--pipeline-check-ms", "3600000"];
/// No wait in a test is longer.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Real servers: their addresses.
pub struct Servers {
    pub database_url: String,
    pub redis_url: String,
    pub redlock_urls: Vec<String>,
    /// With commas.
    pub zookeeper_hosts: String,
    pub etcd_urls: Vec<String>,
}

impl Servers {
    /// The variables by which a service is told of them, without the database.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("REDIS_URL", self.redis_url.clone()),
            ("REDLOCK_URLS", self.redlock_urls.join(",")),
            ("ZOOKEEPER_HOSTS", self.zookeeper_hosts.clone()),
            ("ETCD_URLS", self.etcd_urls.join(",")),
        ]
    }
}

/// The servers of this test program. Private ones end with the process: the kernel sees to that.
pub fn servers() -> &'static Servers {
    static PRIVATE: OnceLock<Services> = OnceLock::new();
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let set = |name| std::env::var(name).ok().filter(|address| !address.is_empty());
        let lacks = |name, number| if set(name).is_some() { 0 } else { number };
        let private = PRIVATE.get_or_init(|| {
            let wanted = Wanted {
                postgres: set("DATABASE_URL").is_none(),
                redis: set("REDIS_URL").is_none(),
                redlock: lacks("REDLOCK_URLS", Wanted::ALL.redlock),
                zookeeper: lacks("ZOOKEEPER_HOSTS", Wanted::ALL.zookeeper),
                etcd: lacks("ETCD_URLS", Wanted::ALL.etcd),
            };
            Services::start(wanted).expect("private servers for the tests")
        });
        assert!(private.missing().is_empty(), "the tests need all servers: {:?}", private.missing());
        let started = private.environment();
        let address = |name| {
            let started = started.iter().find(|(started, _)| *started == name);
            set(name).or(started.map(|(_, address)| address.clone())).expect("set or started")
        };
        let list = |name| address(name).split(',').map(str::to_owned).collect();
        Servers {
            database_url: address("DATABASE_URL"),
            redis_url: address("REDIS_URL"),
            redlock_urls: list("REDLOCK_URLS"),
            zookeeper_hosts: address("ZOOKEEPER_HOSTS"),
            etcd_urls: list("ETCD_URLS"),
        }
    })
}

/// A fresh database on the server of the tests.
pub async fn fresh_database() -> String {
    let server = &servers().database_url;
    let name = format!("sellout_test_{}", Uuid::now_v7().simple());
    let mut admin = PgConnection::connect(server).await.expect("the tests' PostgreSQL");
    let create = AssertSqlSafe(format!("create database {name}"));
    sqlx::query(create).execute(&mut admin).await.expect("create database");
    with_path(server, &name)
}

/// The same server, another database.
fn with_path(url: &str, database: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(b, q)| (b, Some(q)));
    let host = base.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    query.map_or_else(|| format!("{host}/{database}"), |q| format!("{host}/{database}?{q}"))
}

/// The same URL, another loopback port: for a relay in between.
pub fn with_port(url: &str, port: u16) -> String {
    let (before, after) = url.rsplit_once(':').expect("a URL with a port");
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}:{port}{rest}")
}

/// The port of a URL.
pub fn port_of(url: &str) -> u16 {
    let (_, after) = url.rsplit_once(':').expect("a URL with a port");
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a port")
}

/// Polls until `ready` says so; panics with `what` after the limit.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ready: impl FnMut() -> F) {
    let until = tokio::time::Instant::now() + LIMIT;
    while !ready().await {
        assert!(tokio::time::Instant::now() < until, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Polls it for so long and then drops it. Not by a timer, which knows no less than a millisecond.
pub async fn polled_for<T>(asked: impl Future<Output = T>, long: Duration) -> Option<T> {
    let (mut asked, began) = (pin!(asked), Instant::now());
    std::future::poll_fn(|context| match asked.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if began.elapsed() >= long => Poll::Ready(None),
        Poll::Pending => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    config: Config,
}

/// Settings as a command line would give them. Redlock's servers, ZooKeeper and etcd are those of the tests
/// unless `more` names others (an empty name is none).
pub fn config(database_url: &str, redis_url: Option<&str>, more: &[&str]) -> Config {
    let (redlock, etcd) = (servers().redlock_urls.join(","), servers().etcd_urls.join(","));
    let mut line = vec!["test", "--bind", "127.0.0.1:0", "--database-url", database_url];
    line.extend(["--redis-url", redis_url.unwrap_or_default()]);
    for (name, address) in [
        ("--redlock-urls", redlock.as_str()),
        ("--zookeeper-hosts", servers().zookeeper_hosts.as_str()),
        ("--etcd-urls", etcd.as_str()),
    ] {
        if !more.contains(&name) {
            line.extend([name, address]);
        }
    }
    line.extend(more);
    Settings::parse_from(line).config
}

/// The service, in this process, behind the same door as `main`.
pub struct TestApp {
    pub api: Api,
    pub database_url: String,
    running: Running,
    _runs: tempfile::TempDir,
}

impl TestApp {
    /// A lab service with a database of its own.
    pub async fn start() -> TestApp {
        TestApp::on(&fresh_database().await, &["--lab"]).await
    }

    /// A service on a database that is there, with these settings.
    pub async fn on(database_url: &str, more: &[&str]) -> TestApp {
        TestApp::between(database_url, Some(&servers().redis_url), more).await
    }

    /// A service on these servers.
    pub async fn between(database_url: &str, redis_url: Option<&str>, more: &[&str]) -> TestApp {
        let runs = tempfile::tempdir().expect("temporary directory");
        let folder = runs.path().to_str().expect("temporary path").to_owned();
        let mut line = vec!["--runs-dir", &folder];
        line.extend(more);
        let running =
            Running::start(config(database_url, redis_url, &line)).await.expect("the service starts");
        let api = Api::at(format!("http://{}", running.address));
        TestApp { api, database_url: database_url.to_owned(), running, _runs: runs }
    }

    /// Drains and ends.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// A connection beside the service, for what only a test may look at.
    pub async fn sql(&self) -> PgPool {
        PgPool::connect(&self.database_url).await.expect("the tests' PostgreSQL")
    }
}

/// An answer: status, headers, and the body as JSON where it is.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    /// The last part of a problem's `type`.
    pub fn problem(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or("");
        kind.strip_prefix("/problems/").unwrap_or("")
    }

    /// The order's id.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().expect("an order id")
    }

    pub fn is_sold(&self) -> bool {
        self.status == StatusCode::CREATED
    }
}

/// The API's verbs.
#[derive(Clone)]
pub struct Api {
    pub url: String,
    pub client: Client,
}

impl Api {
    pub fn at(url: String) -> Api {
        let client = Client::builder().timeout(LIMIT).build().expect("HTTP client");
        Api { url, client }
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, text, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.client.post(format!("{}{path}", self.url)).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.client.put(format!("{}{path}", self.url)).json(body)).await
    }

    pub async fn open_sale(&self, strategy: &str, units: i64) -> Uuid {
        self.open_limited(strategy, units, None).await
    }

    pub async fn open_limited(&self, strategy: &str, units: i64, limit: Option<i64>) -> Uuid {
        let mut body = json!({"name": "a test", "units": units, "strategy": strategy});
        if let Some(limit) = limit {
            body["per_buyer_limit"] = limit.into();
        }
        let answer = self.post("/v1/sales", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.body["id"].as_str().and_then(|id| id.parse().ok()).expect("a sale id")
    }

    pub async fn order(&self, sale: Uuid, key: &str, buyer: &str, quantity: i64) -> Answer {
        let url = format!("{}/v1/sales/{sale}/orders", self.url);
        let body = json!({"buyer_id": buyer, "quantity": quantity});
        self.send(self.client.post(url).header("Idempotency-Key", key).json(&body)).await
    }

    /// One unit, a new key, a new buyer.
    pub async fn buy(&self, sale: Uuid) -> Answer {
        let name = Uuid::now_v7().to_string();
        self.order(sale, &name, &name, 1).await
    }

    /// The audit when nothing is under way any more: final, it calls itself then.
    pub async fn audit(&self, sale: Uuid) -> Audit {
        self.poll_audit(sale).await
    }

    async fn poll_audit(&self, sale: Uuid) -> Audit {
        let until = Instant::now() + LIMIT;
        loop {
            let answer = self.get(&format!("/v1/sales/{sale}/audit")).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            let audit: Audit = serde_json::from_str(&answer.text).expect("an audit");
            if audit.evidence.in_flight == 0 || Instant::now() > until {
                return audit;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// An order from someone who hangs up when the wire is dropped: a reset, not a goodbye.
    pub async fn ask_and_leave(&self, sale: Uuid, key: &str) -> TcpStream {
        let address = self.url.strip_prefix("http://").expect("a URL");
        let mut wire = TcpStream::connect(address).await.expect("the service");
        wire.set_zero_linger().expect("a reset at the end");
        let body = format!(r#"{{"buyer_id":"{key}","quantity":1}}"#);
        let head =
            format!("POST /v1/sales/{sale}/orders HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: {key}");
        let length = body.len();
        let request =
            format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        wire.write_all(request.as_bytes()).await.expect("an order");
        wire
    }

    /// Orders under way. From the list: one sale's page asks its counter, perhaps over connections that are
    /// taken just now.
    pub async fn in_flight(&self, sale: Uuid) -> u64 {
        let listed = self.get("/v1/sales").await.body["sales"].as_array().cloned().unwrap_or_default();
        let ours = listed.into_iter().find(|s| s["id"] == sale.to_string()).expect("the sale");
        ours["live"]["in_flight"].as_u64().expect("a number")
    }

    /// Holds one unit for so long, under a new key, for a new buyer.
    pub async fn hold(&self, sale: Uuid, seconds: i64) -> Answer {
        let name = Uuid::now_v7().to_string();
        self.hold_as(sale, &name, &name, 1, seconds).await
    }

    pub async fn hold_as(&self, sale: Uuid, key: &str, buyer: &str, quantity: i64, seconds: i64) -> Answer {
        let url = format!("{}/v1/sales/{sale}/orders", self.url);
        let body = json!({"buyer_id": buyer, "quantity": quantity, "hold_seconds": seconds});
        self.send(self.client.post(url).header("Idempotency-Key", key).json(&body)).await
    }

    /// `confirm` or `release` of an order, or `DELETE` of it with `cancel`.
    pub async fn end(&self, order: &str, verb: &str) -> Answer {
        let url = format!("{}/v1/orders/{order}", self.url);
        match verb {
            "cancel" => self.send(self.client.delete(url)).await,
            verb => self.send(self.client.post(format!("{url}/{verb}"))).await,
        }
    }

    /// An operator's change of the stock.
    pub async fn change(&self, sale: Uuid, key: &str, delta: i64) -> Answer {
        let url = format!("{}/v1/sales/{sale}/stock", self.url);
        self.send(self.client.post(url).header("Idempotency-Key", key).json(&json!({"delta": delta}))).await
    }

    pub async fn hand_over(&self, sale: Uuid, strategy: &str) -> Answer {
        self.post(&format!("/v1/sales/{sale}/handover"), &json!({"strategy": strategy})).await
    }

    /// `attempts` buyers of one unit each, `at_once` of them at a time; every service gets its share.
    pub async fn rush(apis: &[&Api], sale: Uuid, attempts: usize, at_once: usize) -> Vec<Answer> {
        use futures_util::StreamExt;
        let buyers = (0..attempts).map(|i| apis[i % apis.len()].buy(sale));
        futures_util::stream::iter(buyers).buffer_unordered(at_once).collect().await
    }
}
