//! Redis loses what it had acknowledged, in the middle of a rush through two services.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use redis::aio::MultiplexedConnection;
use sellout::services::{Data, Services, Wanted, Which};
use uuid::Uuid;

use crate::crowd::{Told, WAYS, WHOLE, rush, sell_out, settle};
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{Api, TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

const UNITS: usize = 1_600;
const BUYERS: usize = 3_600;
const AT_ONCE: usize = 48;

/// A Redis behind an address that stays.
struct Lossy {
    relay: Relay,
    url: String,
    now: Services,
}

pub async fn private() -> Services {
    let start = || Services::start(Wanted { redis: true, ..Wanted::NONE }).expect("a Redis of its own");
    tokio::task::spawn_blocking(start).await.expect("a task")
}

pub async fn wire(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("Redis")
}

fn own(services: &Services) -> &str {
    services.redis_url().expect("a URL")
}

impl Lossy {
    async fn start() -> Lossy {
        let now = private().await;
        let relay = Relay::to(port_of(own(&now))).await;
        let url = with_port(own(&now), relay.port);
        Lossy { relay, url, now }
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut wire = wire(own(&self.now)).await;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut wire).await.expect("an answer")
    }

    async fn restart(mut self, data: Data) -> Lossy {
        // Whoever is on his way now waits until it is killed, so that somebody notices.
        self.relay.freeze();
        self.now = tokio::task::spawn_blocking(move || {
            let mut now = self.now;
            now.crash(Which::Redis).expect("kill -9");
            now.revive(Which::Redis, data).expect("started again");
            now
        })
        .await
        .expect("a task");
        self.relay.redirect(port_of(own(&self.now)));
        self.relay.thaw();
        self
    }
}

/// A rush of two services; when a third of the units is sold, `lose` happens to Redis. Nobody is told a yes
/// that does not stand in the ledger, every unit is sold once, and none is left over.
async fn sells_on<F: Future<Output = Lossy>>(
    way: &str,
    redis: Lossy,
    lose: impl FnOnce(Lossy, Uuid) -> F,
) -> (i64, Told) {
    let database = fresh_database().await;
    let settings = ["--lab", "--pipeline-check-ms", "200"];
    let one = TestApp::between(&database, Some(&redis.url), &settings).await;
    let two = TestApp::between(&database, Some(&redis.url), &settings).await;
    let sale = one.api.open_sale(way, i64::try_from(UNITS).expect("units")).await;
    let sold = Arc::new(AtomicUsize::new(0));
    let apis: Vec<Api> = vec![one.api.clone(), two.api.clone()];
    let buyers = tokio::spawn(rush(apis, sale, BUYERS, AT_ONCE, Arc::clone(&sold)));
    eventually("a third is sold", async || sold.load(SeqCst) > UNITS / 3).await;
    let redis = lose(redis, sale).await;
    let mut told = buyers.await.expect("the rush");
    sell_out(&two.api, sale, &mut told).await;
    settle(&one.api, sale, UNITS, &told).await;
    let epoch = one.api.get(&format!("/v1/sales/{sale}")).await.body["epoch"].as_i64().expect("an epoch");
    one.stop().await;
    two.stop().await;
    drop(redis);
    (epoch, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_in_the_middle_of_a_rush_loses_no_order() {
    let mut doubts = 0;
    for way in WAYS {
        let restart = async |redis: Lossy, _| redis.restart(Data::Kept).await;
        let (_, told) = sells_on(way, Lossy::start().await, restart).await;
        doubts += told.doubts;
    }
    // Of one way it may be nobody: who was taken already and waits for the ledger goes on waiting.
    assert!(doubts > 0, "nobody noticed: this showed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_comes_back_empty_is_filled_again_and_loses_no_order() {
    let mut doubts = 0;
    for way in WAYS {
        let restart = async |redis: Lossy, _| redis.restart(Data::Empty).await;
        let (epoch, told) = sells_on(way, Lossy::start().await, restart).await;
        assert!(epoch >= 2, "{way}: it was never filled again: this showed nothing");
        doubts += told.doubts;
    }
    assert!(doubts > 0, "nobody noticed: this showed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_wiped_is_filled_again_and_loses_no_order() {
    for way in WAYS {
        let wipe = async |redis: Lossy, _| {
            redis.ask::<()>(&["FLUSHALL"]).await;
            redis
        };
        let (epoch, _) = sells_on(way, Lossy::start().await, wipe).await;
        assert!(epoch >= 2, "{way}: it was never filled again: this showed nothing");
    }
}

/// What `appendfsync everysec` may lose: the counter and the keys of the last moments.
async fn roll_back(redis: Lossy, sale: Uuid) -> Lossy {
    let (head, keys) = (format!("sellout:{{{sale}}}:head"), format!("sellout:{{{sale}}}:1:keys"));
    let marks: Vec<String> = redis.ask(&["HRANDFIELD", &keys, "20"]).await;
    assert_eq!(marks.len(), 20, "too early: there is nothing to be lost");
    let command: Vec<&str> = ["HDEL", &keys].into_iter().chain(marks.iter().map(String::as_str)).collect();
    redis.ask::<i64>(&command).await;
    redis.ask::<i64>(&["HINCRBY", &head, "left", "20"]).await;
    redis
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_rolled_back_by_twenty_decrements_sells_none_of_them_twice() {
    for way in WHOLE {
        let (epoch, _) = sells_on(way, Lossy::start().await, roll_back).await;
        assert!(epoch >= 2, "{way}: it was never filled again: this showed nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_replica_that_is_behind_loses_no_order() {
    let (redis, later) = (Lossy::start().await, private().await);
    redis.ask::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).await;
    let port = port_of(own(&redis.now)).to_string();
    let mut replica = wire(own(&later)).await;
    let mut follow = async |host: &str, port: &str| {
        redis::cmd("REPLICAOF").arg(host).arg(port).exec_async(&mut replica).await.expect("REPLICAOF");
    };
    follow("127.0.0.1", &port).await;
    eventually("the replica follows", async || {
        redis.ask::<String>(&["INFO", "replication"]).await.contains("state=online")
    })
    .await;
    // Cut off a while before it takes over: everything since is forgotten, the stream with it.
    let (epoch, _) = sells_on("redis_lua", redis, async |redis: Lossy, sale: Uuid| {
        let head = format!("sellout:{{{sale}}}:head");
        let left: i64 = redis.ask(&["HGET", &head, "left"]).await;
        follow("127.0.0.1", "1").await;
        // More than can be on its way at once: some of it is recorded, and then the replica is wrong.
        let lost = i64::try_from(2 * AT_ONCE).expect("a number");
        eventually("more is sold that it does not see", async || {
            redis.ask::<i64>(&["HGET", &head, "left"]).await < left - lost
        })
        .await;
        follow("NO", "ONE").await;
        redis.relay.redirect(port_of(own(&later)));
        Lossy { now: later, ..redis }
    })
    .await;
    // Nobody needs to notice: what the replica has too much of is refused before anybody is told yes.
    assert!(epoch >= 2, "it was never filled again: this showed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_before_the_ledger_has_it_loses_orders_when_redis_forgets() {
    let (redis, database) = (Lossy::start().await, fresh_database().await);
    let pg = Relay::to(port_of(&database)).await;
    let settings = ["--pool-connections-max", "1"];
    let mut early = Process::between(&with_port(&database, pg.port), &redis.url, &settings);
    let sale = early.api.open_sale("redis_lua_ack_early", 10).await;
    assert!(early.api.buy(sale).await.is_sold());
    assert_eq!(early.api.audit(sale).await.evidence.sold, 1);
    pg.freeze();
    let promised = early.api.order(sale, "promised", "b", 1).await;
    assert!(promised.is_sold(), "told yes by Redis alone: {}", promised.text);
    early.kill();
    redis.ask::<()>(&["FLUSHALL"]).await;
    let app = TestApp::between(&database, Some(&redis.url), &["--lab", "--pipeline-check-ms", "50"]).await;
    eventually("the sale is filled again", async || {
        app.api.get(&format!("/v1/sales/{sale}")).await.body["left"] == 9
    })
    .await;
    let sold = app.api.get(&format!("/v1/orders/{}", promised.id())).await;
    assert_eq!(sold.problem(), "not-found", "it was told yes, and nobody knows of it");
    let tally = serde_json::json!({
        "attempts": 2,
        "answers": {"sold": 2, "sold_out": 0, "contended": 0, "rejected": 0, "error": 0, "unknown": 0},
        "peak_in_flight": 1, "demand_units": 2, "sold_out_quantity_min": null, "unknown_keys": [],
        "told_yes": [{"key": "promised", "order_id": promised.id(), "buyer_id": "b", "quantity": 1}],
    });
    assert_eq!(app.api.put(&format!("/v1/sales/{sale}/tally"), &tally).await.status, 204);
    let audit = app.api.audit(sale).await;
    assert_eq!((audit.verdict, audit.evidence.lost), (sellout::wire::Verdict::Lost, Some(1)), "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_bought_and_asks_again_while_the_sale_begins_a_new_epoch_is_told_of_his_order() {
    let (redis, database) = (private().await, fresh_database().await);
    for way in WAYS {
        let app =
            TestApp::between(&database, Some(own(&redis)), &[&["--lab"][..], &UNATTENDED].concat()).await;
        let sale = app.api.open_sale(way, 10).await;
        let first = app.api.order(sale, &format!("{way}-1"), "b", 1).await;
        assert!(first.is_sold(), "{way}: {}", first.text);
        // Somebody has ended the epoch in the ledger and lost Redis, and cannot fill it: the row is taken.
        let sql = app.sql().await;
        let raised = sqlx::query("update sales set epoch = epoch + 1 where id = $1").bind(sale);
        raised.execute(&sql).await.expect("another epoch");
        redis::cmd("FLUSHALL").exec_async(&mut wire(own(&redis)).await).await.expect("FLUSHALL");
        let mut held = sql.begin().await.expect("a transaction");
        let row = sqlx::query("select from sales where id = $1 for update").bind(sale);
        row.execute(&mut *held).await.expect("the row's lock");
        let again = app.api.order(sale, &format!("{way}-1"), "b", 1).await;
        assert_eq!(
            (again.status, &again.text),
            (first.status, &first.text),
            "{way}: the ledger remembers it"
        );
        let other = app.api.order(sale, &format!("{way}-2"), "b", 1).await;
        assert_eq!(
            (other.status.as_u16(), &other.body["executed"]),
            (503, &false.into()),
            "{way}: {}",
            other.text
        );
        held.rollback().await.expect("rollback");
        eventually("it sells again", async || app.api.buy(sale).await.is_sold()).await;
    }
}
