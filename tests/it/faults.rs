//! The promise for bad days: what a broken server leaves unknown is called unknown, nobody is told a yes that
//! is not so, and whoever can still sell sells on.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use sellout::app::Running;
use sellout::services::{Data, Services, Wanted, Which};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::support::{Answer, Api, TestApp, UNATTENDED, config, eventually, fresh_database};

/// Servers that a test may kill.
async fn private(postgres: bool, redis: bool) -> Services {
    let start = move || Services::start(Wanted { postgres, redis, ..Wanted::NONE }).expect("private servers");
    tokio::task::spawn_blocking(start).await.expect("private servers")
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("a signal");
}

/// Neither yes nor sold out: nothing was taken, or nobody knows.
fn is_honest(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::SERVICE_UNAVAILABLE => answer.body["executed"] == false,
        StatusCode::INTERNAL_SERVER_ERROR => answer.problem() == "outcome-unknown",
        _ => false,
    }
}

async fn units_sold(sql: &PgPool, sale: Uuid) -> i64 {
    let sold = "select coalesce(sum(quantity), 0)::bigint from orders where sale_id = $1";
    sqlx::query_scalar(sold).bind(sale).fetch_one(sql).await.expect("the ledger")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_is_no_yes_and_no_sold_out_and_postgresql_sells_on() {
    let redis = private(false, true).await;
    let app = TestApp::between(&fresh_database().await, redis.redis_url(), &["--lab"]).await;
    let (api, sql) = (&app.api, app.sql().await);
    let (lua, locked) = (api.open_sale("redis_lua", 100_000).await, api.open_sale("lock_redis", 100).await);
    let plain = api.open_sale("atomic_update", 100).await;
    let (before, other) = (api.order(lua, "bought-before", "b", 1).await, api.buy(locked).await);
    assert!(before.is_sold() && other.is_sold(), "{} {}", before.text, other.text);
    let rush = {
        let api = api.clone();
        tokio::spawn(async move { Api::rush(&[&api], lua, 4_000, 32).await })
    };
    let sold = async || api.get(&format!("/v1/sales/{lua}")).await.body["live"]["sold_units"].as_i64();
    eventually("the rush is on", async || sold().await > Some(100)).await;
    signal(redis.pid(Which::Redis).expect("a pid"), Signal::KILL);
    let answers = rush.await.expect("the rush");
    let yes = answers.iter().filter(|a| a.is_sold()).count();
    assert!(yes < 4_000, "Redis was killed too late: this showed nothing");
    for answer in answers.iter().filter(|a| !a.is_sold()) {
        assert!(is_honest(answer), "{} {}", answer.status, answer.text);
    }
    for sale in [lua, locked] {
        for answer in Api::rush(&[api], sale, 40, 8).await {
            assert_eq!((answer.status.as_u16(), is_honest(&answer)), (503, true), "{}", answer.text);
        }
    }
    // What was bought is bought: "nothing was taken" would make a buyer buy again.
    let again = api.order(lua, "bought-before", "b", 1).await;
    assert_eq!((again.status, &again.text), (before.status, &before.text));
    assert_eq!(api.order(lua, "bought-before", "b", 2).await.problem(), "idempotency-key-reused");
    // Units taken in Redis and not recorded are unknown, so the ledger may have more than was told, not less.
    assert!(units_sold(&sql, lua).await > i64::try_from(yes).expect("a count"));
    assert!(Api::rush(&[api], plain, 20, 8).await.iter().all(Answer::is_sold), "PostgreSQL sells on");
    let audit = api.audit(lua).await;
    assert_eq!((audit.evidence.left, audit.evidence.oversold), (None, 0), "{audit:?}");
    let ready = api.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.body["servers"]["redis"]),
        (200, &json!("down")),
        "{}",
        ready.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_closes_the_sale_until_it_is_filled_from_the_ledger() {
    let redis = private(false, true).await;
    // Nobody looks after it beside the orders, so the first one finds it empty.
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&fresh_database().await, redis.redis_url(), &settings).await;
    let sale = app.api.open_sale("redis_lua", 10).await;
    let first = app.api.order(sale, "k-1", "b", 1).await;
    assert!(first.is_sold(), "{}", first.text);
    let client = redis::Client::open(redis.redis_url().expect("a URL")).expect("a client");
    let mut wire = client.get_multiplexed_async_connection().await.expect("a connection");
    redis::cmd("FLUSHALL").exec_async(&mut wire).await.expect("FLUSHALL");
    let closed = app.api.buy(sale).await;
    assert_eq!((closed.status.as_u16(), closed.problem()), (503, "store-unavailable"), "{}", closed.text);
    assert!(is_honest(&closed), "{}", closed.text);
    let again = app.api.order(sale, "k-1", "b", 1).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text), "the ledger remembers the key");
    eventually("it sells again", async || app.api.buy(sale).await.is_sold()).await;
    let view = app.api.get(&format!("/v1/sales/{sale}")).await.body;
    assert_eq!((&view["left"], &view["epoch"]), (&json!(8), &json!(2)), "{view}");
    for _ in 0..8 {
        assert!(app.api.buy(sale).await.is_sold());
    }
    assert_eq!(app.api.buy(sale).await.problem(), "sold-out");
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.oversold, e.drift), (10, 0, Some(0)), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_served_in_time_is_told_that_nothing_was_taken() {
    let app = TestApp::on(&fresh_database().await, &["--lab", "--wait-limit-ms", "50"]).await;
    let sale = app.api.open_sale("atomic_update", 1).await;
    let sql = app.sql().await;
    let mut held = sql.begin().await.expect("a transaction");
    let row = sqlx::query("select from stock where sale_id = $1 for update").bind(sale);
    row.execute(&mut *held).await.expect("the row's lock");
    let refused = app.api.order(sale, "k-1", "b", 1).await;
    assert!(is_honest(&refused) && refused.problem() == "contended", "{} {}", refused.status, refused.text);
    assert_eq!(refused.headers["retry-after"], "1");
    held.rollback().await.expect("rollback");
    let sold = app.api.order(sale, "k-1", "b", 1).await;
    assert!(sold.is_sold() && !sold.headers.contains_key("idempotent-replayed"), "{}", sold.text);
    assert_eq!(app.api.buy(sale).await.problem(), "sold-out");
}

/// The postmaster and its children, stopped in the middle of whatever they do.
struct Frozen(Vec<u32>);

impl Frozen {
    fn freeze(postmaster: u32) -> Frozen {
        signal(postmaster, Signal::STOP);
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let parent = |pid: u32| -> Option<u32> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
        };
        let mut frozen = Frozen(vec![postmaster]);
        for child in pids.filter(|pid| parent(*pid) == Some(postmaster)) {
            signal(child, Signal::STOP);
            frozen.0.push(child);
        }
        frozen
    }

    /// As if the power had gone.
    fn kill(mut self) {
        self.0.drain(..).for_each(|pid| signal(pid, Signal::KILL));
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in self.0.drain(..).rev() {
            signal(pid, Signal::CONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postgresql_is_answered_in_time_and_the_retry_is_definite() {
    let limits = ["--wait-limit-ms", "300", "--order-deadline-ms", "1000", "--pool-connections-max", "2"];
    let postgres = private(true, false).await;
    let database = postgres.database_url().expect("a URL");
    let app = TestApp::between(database, None, &[&["--lab"][..], &limits].concat()).await;
    let (api, sql) = (&app.api, app.sql().await);
    let strategies = ["atomic_update", "row_lock", "optimistic", "serializable"];
    let mut sales = Vec::new();
    for strategy in strategies {
        let sale = api.open_sale(strategy, 10).await;
        assert!(api.buy(sale).await.is_sold());
        sales.push(sale);
    }
    let frozen = Frozen::freeze(postgres.pid(Which::Postgres).expect("a pid"));
    let started = Instant::now();
    let orders = sales.iter().flat_map(|sale| (0..4).map(move |i| (*sale, format!("{sale}-{i}"))));
    let orders: Vec<(Uuid, String)> = orders.collect();
    let asked = orders.iter().map(|(sale, key)| api.order(*sale, key, key, 1));
    let reads = ["/v1/sales", "/readyz"].map(str::to_owned).into_iter();
    let reads = reads.chain(sales.iter().map(|sale| format!("/v1/sales/{sale}/audit")));
    let reads = reads.map(|path| async move { api.get(&path).await });
    let (answers, reads) =
        tokio::join!(futures_util::future::join_all(asked), futures_util::future::join_all(reads));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "limits of 1.3 s, and it took {took:?}");
    for answer in &answers {
        assert!(is_honest(answer), "{} {}", answer.status, answer.text);
    }
    assert!(answers.iter().any(|a| a.problem() == "outcome-unknown"), "nobody was cut off in the middle");
    assert!(reads.iter().all(|a| a.status == StatusCode::SERVICE_UNAVAILABLE), "{reads:?}");
    drop(frozen);
    for (sale, key) in &orders {
        let sold = async || api.order(*sale, key, key, 1).await.is_sold();
        eventually("a retry is sold", sold).await;
    }
    for sale in sales {
        let keys = "select count(*), count(distinct key) from orders where sale_id = $1";
        let (orders, keys): (i64, i64) =
            sqlx::query_as(keys).bind(sale).fetch_one(&sql).await.expect("orders");
        assert_eq!((orders, keys), (5, 5), "one order of each key");
        let e = api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.drift, e.duplicates), (5, Some(0), 0), "{e:?}");
    }
    assert_eq!(api.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_locks_that_crashed_is_down_until_it_is_back_and_postgresql_sells_on() {
    let start = || Services::start(Wanted { redlock: 3, zookeeper: 1, etcd: 1, ..Wanted::NONE });
    let start = tokio::task::spawn_blocking(start).await.expect("started");
    let mut private = start.expect("private servers");
    let (redlock, etcd) = (private.redlock_urls().join(","), private.etcd_urls().join(","));
    let zookeeper = private.zookeeper_hosts().expect("ZooKeeper");
    let names = ["--lab", "--redlock-urls", &redlock, "--zookeeper-hosts", &zookeeper, "--etcd-urls", &etcd];
    let app = TestApp::between(&fresh_database().await, None, &names).await;
    let sale = app.api.open_sale("atomic_update", 10).await;
    let servers = async || {
        let ready = app.api.get("/readyz").await;
        assert_eq!(ready.status, 200, "without them the others sell on: {}", ready.text);
        let word = |name: &str| ready.body["servers"][name].as_str().unwrap_or("none").to_owned();
        ["redlock", "zookeeper", "etcd"].map(word)
    };
    // Built without etcd there is none to look at.
    let etcd = |word| if cfg!(feature = "etcd") { word } else { "none" };
    assert_eq!(servers().await, ["up", "up", etcd("up")]);
    for (which, expected) in [
        (Which::Redlock(0), ["up", "up", etcd("up")]), // a minority
        (Which::Redlock(2), ["down", "up", etcd("up")]),
        (Which::Zookeeper(0), ["down", "down", etcd("up")]),
        (Which::Etcd(0), ["down", "down", etcd("down")]),
    ] {
        private.crash(which).expect("crashed");
        assert_eq!(servers().await, expected, "after {which} crashed");
    }
    assert!(app.api.buy(sale).await.is_sold());
    for which in [Which::Redlock(2), Which::Zookeeper(0), Which::Etcd(0)] {
        private.revive(which, Data::Empty).expect("revived");
    }
    eventually("they are back", async || servers().await == ["up", "up", etcd("up")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgresql_is_not_ready_and_sells_nothing() {
    let postgres = private(true, false).await;
    let database = postgres.database_url().expect("a URL");
    let app = TestApp::between(database, None, &["--lab", "--wait-limit-ms", "300"]).await;
    let sale = app.api.open_sale("atomic_update", 10).await;
    assert!(app.api.buy(sale).await.is_sold());
    let ready = app.api.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.body["status"]), (200, &json!("ready")), "{}", ready.text);
    Frozen::freeze(postgres.pid(Which::Postgres).expect("a pid")).kill();
    eventually("it is not ready", async || app.api.get("/readyz").await.status == 503).await;
    for answer in Api::rush(&[&app.api], sale, 8, 4).await {
        assert!(is_honest(&answer), "{} {}", answer.status, answer.text);
    }
    assert_eq!(app.api.get("/livez").await.status, 200, "a restart of the service would not help");
    // And whoever starts now is told what is missing.
    let late = Running::start(config(database, None, &["--lab", "--wait-limit-ms", "300"])).await;
    let why = format!("{:#}", late.err().expect("no database, no service"));
    assert!(why.contains("DATABASE_URL") && why.contains("refused"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_its_strategies_say_why_and_the_others_sell() {
    let database = fresh_database().await;
    let with = TestApp::on(&database, &["--lab"]).await;
    let earlier = with.api.open_sale("redis_lua", 5).await;
    assert!(with.api.buy(earlier).await.is_sold());
    let nobody = "redis://127.0.0.1:1";
    for redis_url in [None, Some(nobody)] {
        let app = TestApp::between(&database, redis_url, &["--lab"]).await;
        let api = &app.api;
        let cards =
            api.get("/v1/strategies").await.body["strategies"].as_array().cloned().unwrap_or_default();
        for card in &cards {
            let id = card["id"].as_str().expect("an id");
            let wants = |name| card["needs"].as_array().is_some_and(|needs| needs.contains(&json!(name)));
            let needs = wants("redis");
            if wants("etcd") && !cfg!(feature = "etcd") {
                continue; // unavailable for a reason of its own
            }
            assert_eq!(card["available"], !needs, "{id}");
            let body = json!({"name": "n", "units": 5, "strategy": id});
            let opened = api.post("/v1/sales", &body).await;
            if !needs {
                assert_eq!(opened.status, 201, "{id}: {}", opened.text);
                continue;
            }
            let why = card["unavailable_reason"].as_str().expect("a reason");
            assert!(why.to_lowercase().contains("redis"), "{why}");
            assert_eq!(
                (opened.status.as_u16(), opened.problem()),
                (503, "store-unavailable"),
                "{}",
                opened.text
            );
            assert!(opened.body["detail"].as_str().is_some_and(|d| d.contains(why)), "{}", opened.text);
        }
        let sale = api.open_sale("atomic_update", 5).await;
        assert!(api.buy(sale).await.is_sold());
        // A sale of before can be looked at, judged and downloaded; it only cannot sell.
        assert_eq!(api.buy(earlier).await.problem(), "store-unavailable");
        let listed = api.get("/v1/sales").await;
        assert!(listed.text.contains(&earlier.to_string()), "{} {}", listed.status, listed.text);
        assert_eq!(api.get(&format!("/v1/sales/{earlier}")).await.body["left"], Value::Null);
        assert_eq!(api.get(&format!("/v1/sales/{earlier}/ledger")).await.text.lines().count(), 1);
        assert_eq!(api.audit(earlier).await.evidence.sold, 1);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_forgets_commits_opens_no_sale_outside_the_lab() {
    const TOKEN: &str = "the operator's word";
    let database = fresh_database().await;
    let sql = PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&sql).await.expect("its name");
    let set = async |value: &str| {
        let set = format!("alter database {name} set synchronous_commit = {value}");
        sqlx::query(AssertSqlSafe(set)).execute(&sql).await.expect("alter database");
    };
    let open = async |app: &TestApp| {
        let body = json!({"name": "n", "units": 1, "strategy": "atomic_update"});
        let request = app.api.client.post(format!("{}/v1/sales", app.api.url)).bearer_auth(TOKEN);
        app.api.send(request.json(&body)).await
    };
    set("off").await;
    let outside = TestApp::on(&database, &["--token", TOKEN]).await;
    let refused = open(&outside).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "store-unfit"), "{}", refused.text);
    assert!(refused.text.contains("synchronous_commit is off"), "{}", refused.text);
    assert_eq!(outside.api.get("/v1/sales").await.body["sales"], json!([]));
    let lab = TestApp::on(&database, &["--lab"]).await;
    assert_eq!(open(&lab).await.status, 201, "the lab sells all the same");
    assert!(lab.api.get("/v1/environment").await.text.contains("synchronous_commit off"), "and says so");
    set("on").await;
    let fit = TestApp::on(&database, &["--token", TOKEN]).await;
    assert_eq!(open(&fit).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_in_the_middle_has_bought_and_poisons_nothing() {
    let app = TestApp::on(&fresh_database().await, &["--lab", "--pool-connections-max", "3"]).await;
    let (api, sql) = (&app.api, app.sql().await);
    for strategy in ["atomic_update", "row_lock", "optimistic", "serializable", "redis_lua", "lock_redis"] {
        let sale = api.open_sale(strategy, 100).await;
        // Whoever records an order of this sale waits for this lock.
        let mut held = sql.begin().await.expect("a transaction");
        let lock = "lock table orders in share mode";
        sqlx::query(lock).execute(&mut *held).await.expect("a lock");
        let mut wires = Vec::new();
        for i in 0..12 {
            wires.push(api.ask_and_leave(sale, &format!("{sale}-{i}")).await);
        }
        eventually("all orders are under way", async || api.in_flight(sale).await == 12).await;
        drop(wires);
        held.rollback().await.expect("rollback");
        eventually("all orders are answered, for nobody", async || api.in_flight(sale).await == 0).await;
        // Some may have found the row contended; none is half done.
        let e = api.audit(sale).await.evidence;
        assert_eq!((e.drift, e.unbalanced, e.duplicates), (Some(0), 0, 0), "{strategy}: {e:?}");
        assert!(e.sold >= 3, "{strategy}: {e:?}");
        for i in 0..12 {
            let key = format!("{sale}-{i}");
            eventually("a retry is sold", async || api.order(sale, &key, &key, 1).await.is_sold()).await;
        }
        let others = Api::rush(&[api], sale, 20, 3).await;
        assert!(others.iter().all(Answer::is_sold), "{strategy}: a connection is poisoned");
        assert_eq!(units_sold(&sql, sale).await, 32, "{strategy}: one order for each key");
    }
}
