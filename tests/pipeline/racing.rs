//! Who drains races with who fills Redis anew, and with others who drain.

use redis::aio::MultiplexedConnection;
use sqlx::Row;
use uuid::Uuid;

use crate::crowd::{WAYS, rush, sell_out, settle};
use crate::lost::{private, wire};
use crate::support::relay::Relay;
use crate::support::{TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

#[tokio::test(flavor = "multi_thread")]
async fn who_drains_for_an_epoch_that_is_over_is_refused_and_its_buyer_is_served_anew() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let pg = Relay::to(port_of(&database)).await;
    let narrow = [&["--lab", "--pool-connections-max", "1"][..], &UNATTENDED].concat();
    let late = TestApp::between(&with_port(&database, pg.port), Some(redis_url), &narrow).await;
    let other = TestApp::between(&database, Some(redis_url), &[&["--lab"][..], &UNATTENDED].concat()).await;
    let sale = other.api.open_sale("redis_lua", 3).await;
    assert!(late.api.buy(sale).await.is_sold());

    // Taken in Redis and read from the stream; the batch is on its way to the ledger.
    pg.hold(1);
    let (api, key) = (late.api.clone(), Uuid::now_v7().to_string());
    let retried = key.clone();
    let buyer = tokio::spawn(async move { api.order(sale, &key, "b", 1).await });
    eventually("the batch is held", async || pg.is_holding()).await;
    let mut redis = wire(redis_url).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.expect("FLUSHALL");
    assert_eq!(other.api.buy(sale).await.problem(), "store-unavailable");
    eventually("the other one has filled it anew, and sells", async || other.api.buy(sale).await.is_sold())
        .await;
    pg.release();

    let answer = buyer.await.expect("the buyer");
    assert!(answer.is_sold(), "decided anew under the new epoch: {}", answer.text);
    let again = other.api.order(sale, &retried, "b", 1).await;
    assert_eq!((again.status, &again.text), (answer.status, &answer.text));
    assert_eq!(other.api.buy(sale).await.problem(), "sold-out");
    let e = other.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.oversold, e.drift), (3, 3, 0, Some(0)), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drainers_and_fillers_that_race_all_the_time_sell_every_unit_once() {
    for way in WAYS {
        drainers_and_fillers_race(way).await;
    }
}

async fn drainers_and_fillers_race(way: &str) {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let settings = ["--lab", "--pipeline-check-ms", "50"];
    let mut apps = Vec::new();
    for _ in 0..3 {
        apps.push(TestApp::between(&database, Some(redis_url), &settings).await);
    }
    let sale = apps[0].api.open_sale(way, 500).await;
    let sold = std::sync::Arc::default();
    let apis = apps.iter().map(|app| app.api.clone()).collect();
    let buyers = tokio::spawn(rush(apis, sale, 900, 64, sold));
    let sql = apps[0].sql().await;
    let mut redis = wire(redis_url).await;
    let mut wiped = 0;
    while !buyers.is_finished() && wiped < 8 {
        let begun: i64 = epoch(&sql, sale).await;
        redis::cmd("FLUSHALL").exec_async(&mut redis).await.expect("FLUSHALL");
        wiped += 1;
        eventually("it is filled again", async || buyers.is_finished() || epoch(&sql, sale).await > begun)
            .await;
    }
    assert!(wiped >= 2, "the rush was over too soon: this showed nothing");
    let mut told = buyers.await.expect("the rush");
    sell_out(&apps[1].api, sale, &mut told).await;
    settle(&apps[2].api, sale, 500, &told).await;
}

async fn epoch(sql: &sqlx::PgPool, sale: Uuid) -> i64 {
    let row = sqlx::query("select epoch from sales where id = $1").bind(sale).fetch_one(sql).await;
    row.expect("the sale").get("epoch")
}

/// Where what was taken for a sale in its first epoch is noted down.
pub fn stream(sale: Uuid) -> String {
    format!("sellout:{{{sale}}}:1:orders")
}

/// An entry of the stream as a script writes it, of an order that was not asked for.
pub async fn note_down(redis: &mut MultiplexedConnection, sale: Uuid, order: &str, key: &str, quantity: i64) {
    let note = serde_json::json!([{
        "order": order, "caller": "anonymous", "key": key, "fingerprint": "00".repeat(32), "buyer": "b",
        "quantity": quantity, "retry_safe": true, "hold_ms": null,
    }]);
    let mut add = redis::cmd("XADD");
    add.arg(stream(sale)).arg("*").arg("orders").arg(note.to_string());
    add.exec_async(redis).await.expect("XADD");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_brought_twice_is_recorded_once() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let app = TestApp::between(&database, Some(redis_url), &["--lab", "--pipeline-check-ms", "50"]).await;
    let sale = app.api.open_limited("redis_lua", 5, Some(2)).await;
    let first = app.api.order(sale, "k-1", "b", 2).await;
    assert!(first.is_sold(), "{}", first.text);
    // The entry once more, as a consumer would leave it that died after the commit; and one that only the
    // ledger refuses, twice.
    let mut redis = wire(redis_url).await;
    let (orders, refused) = (stream(sale), Uuid::now_v7().to_string());
    for (order, key, quantity) in [(first.id(), "k-1", 2), (&refused, "k-2", 1)] {
        for _ in 0..2 {
            note_down(&mut redis, sale, order, key, quantity).await;
        }
    }
    // The refused one had taken its unit in Redis once.
    redis::cmd("HINCRBY")
        .arg(format!("sellout:{{{sale}}}:head"))
        .arg("left")
        .arg(-1)
        .exec_async(&mut redis)
        .await
        .expect("HINCRBY");
    eventually("the stream is drained", async || {
        redis::cmd("XLEN").arg(&orders).query_async::<i64>(&mut redis.clone()).await.expect("XLEN") == 0
    })
    .await;
    eventually("the unit is back once", async || {
        app.api.get(&format!("/v1/sales/{sale}")).await.body["left"] == 3
    })
    .await;
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.drift), (2, 1, Some(0)), "{e:?}");
    // Known as what it is, and not refused and put right afterwards.
    let counted = "select s.epoch, k.returns from sales s join stock k on k.sale_id = s.id where s.id = $1";
    let row = sqlx::query(counted).bind(sale).fetch_one(&app.sql().await).await.expect("the sale");
    assert_eq!((row.get::<i64, _>("epoch"), row.get::<i64, _>("returns")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_two_processes_bring_back_at_once_come_back_once() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let relay = Relay::to(port_of(redis_url)).await;
    // Nobody looks after it: what comes back twice would be seen, and put right.
    let narrow = [&["--lab", "--redis-connections-max", "1"][..], &UNATTENDED].concat();
    let slow = TestApp::between(&database, Some(&with_port(redis_url, relay.port)), &narrow).await;
    let quick = TestApp::between(&database, Some(redis_url), &narrow).await;
    let sale = quick.api.open_sale("redis_lua", 4).await;
    let release = async |app: &TestApp, order: &str| {
        let released = app.api.end(order, "release").await;
        assert_eq!(released.status, 200, "{}", released.text);
    };
    let holds =
        [slow.api.hold(sale, 60).await, slow.api.hold(sale, 60).await, quick.api.hold(sale, 60).await];
    assert_eq!(quick.api.audit(sale).await.evidence.left, Some(1));
    // Everything open and loaded.
    release(&slow, holds[0].id()).await;
    // The look at what Redis has been told of, and then the number.
    relay.hold(2);
    let (api, order) = (slow.api.clone(), holds[1].id().to_owned());
    let late = tokio::spawn(async move { api.end(&order, "release").await });
    eventually("it is on its way", async || relay.is_holding()).await;
    // Brings its own number, and the one before it.
    release(&quick, holds[2].id()).await;
    assert_eq!(quick.api.audit(sale).await.evidence.left, Some(4));
    relay.release();
    assert_eq!(late.await.expect("the release").status, 200);
    let e = quick.api.audit(sale).await.evidence;
    assert_eq!((e.left, e.drift), (Some(4), Some(0)), "it came back twice: {e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_over_does_not_begin_again() {
    let services = private().await;
    let mut redis = wire(services.redis_url().expect("a URL")).await;
    let (_, script) =
        sellout::pipeline::STATEMENTS.iter().find(|(name, _)| *name == "publish.lua").expect("it");
    let script = redis::Script::new(script);
    let keys = ["head", "orders", "keys", "buyers"];
    for (epoch, left, before) in [(3, 7, 0), (2, 9, -1), (3, 9, -1), (4, 5, 3)] {
        let mut call = script.prepare_invoke();
        keys.iter().for_each(|key| _ = call.key(key));
        call.arg(epoch).arg(left).arg(0).arg("ledger");
        let said: i64 = call.invoke_async(&mut redis).await.expect("an answer");
        let stands: (i64, i64) = redis::cmd("HMGET")
            .arg("head")
            .arg("epoch")
            .arg("left")
            .query_async(&mut redis)
            .await
            .expect("HMGET");
        let expected = if before < 0 { (3, 7) } else { (epoch, left) };
        assert_eq!((said, stands), (before, expected), "epoch {epoch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_recorded_does_not_keep_the_others_of_its_batch_back() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    // Nobody looks: both are read together, when the other one is taken.
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(redis_url), &settings).await;
    let sale = app.api.open_sale("redis_lua", 3).await;
    let mut redis = wire(redis_url).await;
    // No text has a zero byte in PostgreSQL: the ledger refuses the statement, not the order.
    note_down(&mut redis, sale, &Uuid::now_v7().to_string(), "no\0ne", 1).await;
    let mut head = redis::cmd("HINCRBY");
    head.arg(format!("sellout:{{{sale}}}:head")).arg("left").arg(-1);
    head.exec_async(&mut redis).await.expect("its unit is taken");
    let answer = app.api.buy(sale).await;
    assert!(answer.is_sold(), "{}", answer.text);
    let sql = app.sql().await;
    eventually("Redis is filled anew without it", async || epoch(&sql, sale).await == 2).await;
    eventually("its unit is for sale again", async || app.api.buy(sale).await.is_sold()).await;
    assert!(app.api.buy(sale).await.is_sold());
    assert_eq!(app.api.buy(sale).await.problem(), "sold-out");
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.in_flight, e.drift), (3, 3, 0, Some(0)), "{e:?}");
}
