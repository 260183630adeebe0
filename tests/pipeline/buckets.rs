//! Units in several buckets: all of them are sold, wherever they lie and whoever dies while they travel.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use crate::crowd::{Told, rush, sell_out, settle};
use crate::lost::{private, wire};
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{Api, TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

const WAY: &str = "redis_buckets";

/// What the heads of all buckets say.
async fn heads(redis: &mut MultiplexedConnection, sale: Uuid) -> Vec<HashMap<String, String>> {
    let mut heads = Vec::new();
    for bucket in 0..8 {
        let head = format!("sellout:{{{sale}:{bucket}}}:head");
        heads.push(redis::cmd("HGETALL").arg(head).query_async(redis).await.expect("a head"));
    }
    heads
}

/// Units on their way between buckets.
fn travelling(heads: &[HashMap<String, String>]) -> i64 {
    let notes = heads.iter().flatten().filter(|(name, _)| name.starts_with("out:"));
    notes.map(|(_, note)| note.split_once(' ').expect("a note").1.parse::<i64>().expect("units")).sum()
}

fn sum(heads: &[HashMap<String, String>], field: &str) -> i64 {
    heads.iter().filter_map(|head| head.get(field)).map(|n| n.parse::<i64>().expect("a number")).sum()
}

/// Every unit is in the ledger, none is in Redis, and all counters agree.
async fn all_sold(api: &Api, sale: Uuid, units: i64) {
    eventually("Redis and the ledger agree", async || api.audit(sale).await.evidence.drift == Some(0)).await;
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.left, e.oversold, e.unbalanced), (units, Some(0), 0, 0), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_who_are_all_at_home_in_one_bucket_buy_every_unit() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let app = TestApp::between(&database, Some(redis_url), &["--lab"]).await;
    let sale = app.api.open_sale(WAY, 100).await;
    let mut redis = wire(redis_url).await;
    let shares = heads(&mut redis, sale).await;
    assert!(shares.iter().all(|head| ["12", "13"].contains(&head["left"].as_str())), "{shares:?}");
    let order = |at: usize| {
        let api = app.api.clone();
        async move { api.order(sale, &format!("k-{at}-{sale}"), "the keen one", 1).await }
    };
    let answers = futures_util::future::join_all((0..140).map(order)).await;
    let sold = answers.iter().filter(|answer| answer.is_sold()).count();
    let refused = answers.iter().filter(|answer| !answer.is_sold());
    let honest = refused.clone().all(|answer| matches!(answer.problem(), "sold-out" | "contended"));
    assert!(honest, "{:?}", refused.map(|answer| &answer.text).collect::<Vec<_>>());
    assert_eq!(sold, 100, "a buyer was refused though there were units elsewhere");
    all_sold(&app.api, sale, 100).await;
    let after = heads(&mut redis, sale).await;
    assert_eq!((sum(&after, "left"), sum(&after, "lent")), (0, 0), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_several_units_is_gathered_from_where_they_lie() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(redis_url), &settings).await;
    // One in each bucket.
    let sale = app.api.open_sale(WAY, 8).await;
    let order = async |quantity| app.api.order(sale, &Uuid::now_v7().to_string(), "b", quantity).await;
    assert_eq!(order(9).await.problem(), "sold-out");
    assert!(order(5).await.is_sold(), "five of eight, from five buckets");
    assert_eq!(order(4).await.problem(), "sold-out");
    assert!(order(3).await.is_sold(), "the other three");
    assert_eq!(order(1).await.problem(), "sold-out");
    all_sold(&app.api, sale, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_whose_buyers_want_one_to_five_units_sell_all_and_no_more() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let one = TestApp::between(&database, Some(redis_url), &["--lab"]).await;
    let two = TestApp::between(&database, Some(redis_url), &["--lab"]).await;
    let sale = one.api.open_sale(WAY, 100).await;
    let order = |at: usize| {
        let api = [&one, &two][at % 2].api.clone();
        let (key, quantity) = (format!("k-{at}-{sale}"), 1 + i64::try_from(at % 5).expect("units"));
        // Few buyers, so that some buckets are nobody's home.
        let buyer = format!("b-{}", at % 3);
        async move { (quantity, api.order(sale, &key, &buyer, quantity).await) }
    };
    let answers = futures_util::future::join_all((0..60).map(order)).await;
    let sold: i64 = answers.iter().filter(|(_, answer)| answer.is_sold()).map(|(quantity, _)| quantity).sum();
    for (quantity, answer) in answers.iter().filter(|(_, answer)| !answer.is_sold()) {
        let honest = matches!(answer.problem(), "sold-out" | "contended");
        assert!(honest && sold + quantity > 100 || answer.problem() == "contended", "{}", answer.text);
    }
    let mut told = Told::default();
    sell_out(&two.api, sale, &mut told).await;
    assert_eq!(sold + i64::try_from(told.yes.len()).expect("units"), 100);
    all_sold(&one.api, sale, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_buyer_sends_again_is_refused_and_his_unit_goes_back() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(redis_url), &settings).await;
    let sale = app.api.open_limited(WAY, 80, Some(20)).await;
    assert!(app.api.order(sale, "the-key", "a", 1).await.is_sold());
    for buyer in ["b", "c", "d", "e", "f"] {
        for _ in 0..2 {
            let reused = app.api.order(sale, "the-key", buyer, 1).await;
            let answer = (reused.status.as_u16(), reused.problem());
            assert_eq!(answer, (422, "idempotency-key-reused"), "{}", reused.text);
        }
        // Neither his limit nor the stock has anything of it.
        assert!(app.api.order(sale, &format!("own-{buyer}"), buyer, 15).await.is_sold(), "{buyer}");
    }
    assert!(app.api.order(sale, "rest", "g", 4).await.is_sold());
    let gone = app.api.order(sale, "the-key", "h", 1).await;
    assert_eq!(gone.problem(), "idempotency-key-reused", "also when all is sold: {}", gone.text);
    assert_eq!(app.api.buy(sale).await.problem(), "sold-out");
    all_sold(&app.api, sale, 80).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_come_back_come_to_one_bucket_once() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(redis_url), &settings).await;
    let sale = app.api.open_limited(WAY, 16, Some(16)).await;
    let bought = app.api.order(sale, "all", "b", 16).await;
    assert!(bought.is_sold(), "{}", bought.text);
    assert_eq!(app.api.order(sale, "more", "b", 1).await.problem(), "sold-out");
    assert_eq!(app.api.end(bought.id(), "cancel").await.status, 200);
    assert_eq!(app.api.change(sale, "more", 5).await.status, 200);
    assert_eq!(app.api.change(sale, "less", -9).await.status, 200);
    let mut redis = wire(redis_url).await;
    let after = heads(&mut redis, sale).await;
    assert!(after.iter().all(|head| head["applied"] == "3"), "{after:?}");
    assert_eq!((sum(&after, "left"), travelling(&after)), (12, 0), "{after:?}");
    assert!(app.api.order(sale, "again", "b", 7).await.is_sold(), "his limit has fallen again");
    assert!(app.api.order(sale, "other", "c", 5).await.is_sold());
    all_sold(&app.api, sale, 12).await;
}

/// Where it is killed: which turn with Redis is kept back, and whether units travel then.
const STEPS: [(&str, u64, bool); 4] = [
    ("before it looks who has some", 2, false),
    ("before anybody gives", 3, false),
    ("given, and not arrived", 4, true),
    ("arrived, and not forgotten", 5, true),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_while_units_travel_strands_none_and_doubles_none() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    for (step, turn, travels) in STEPS {
        let relay = Relay::to(port_of(redis_url)).await;
        let mut first = Process::between(&database, &with_port(redis_url, relay.port), &UNATTENDED);
        let check = ["--lab", "--pipeline-check-ms", "100"];
        // Nobody looks after it until it is seen what was left behind.
        let idle =
            TestApp::between(&database, Some(redis_url), &[&["--lab"][..], &UNATTENDED].concat()).await;
        let warm = first.api.open_sale(WAY, 3).await;
        for _ in 0..3 {
            assert!(first.api.buy(warm).await.is_sold(), "{step}");
        }
        let sale = idle.api.open_sale(WAY, 16).await;
        // His home has two.
        let (two, key) = (format!("two-{turn}"), format!("travels-{turn}"));
        assert!(idle.api.order(sale, &two, "b", 2).await.is_sold(), "{step}");
        assert_eq!(first.api.get(&format!("/v1/sales/{sale}")).await.body["left"], 14, "{step}");
        relay.hold(turn);
        let order = first.api.client.post(format!("{}/v1/sales/{sale}/orders", first.api.url));
        let order = order.header("Idempotency-Key", &key);
        let order = tokio::spawn(order.json(&serde_json::json!({"buyer_id": "b", "quantity": 1})).send());
        eventually(step, async || relay.is_holding()).await;
        let mut redis = wire(redis_url).await;
        let during = heads(&mut redis, sale).await;
        assert_eq!(travelling(&during) > 0, travels, "{step}: {during:?}");
        first.kill();
        relay.redirect(1);
        let _ = order.await;

        let next = TestApp::between(&database, Some(redis_url), &check).await;
        let again = next.api.order(sale, &key, "b", 1).await;
        assert!(again.is_sold(), "{step}: {}", again.text);
        let mut told = Told::default();
        sell_out(&next.api, sale, &mut told).await;
        assert_eq!(told.yes.len(), 13, "{step}");
        all_sold(&next.api, sale, 16).await;
        eventually("nothing travels any more", async || {
            let after = heads(&mut redis.clone(), sale).await;
            (sum(&after, "left"), sum(&after, "lent"), travelling(&after)) == (0, 0, 0)
        })
        .await;
        idle.stop().await;
        next.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_redis_has_lost_closes_the_sale_until_all_are_filled_again() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let settings = ["--lab", "--pipeline-check-ms", "50"];
    let app = TestApp::between(&database, Some(redis_url), &settings).await;
    let other = TestApp::between(&database, Some(redis_url), &settings).await;
    let mut redis = wire(redis_url).await;
    for what in ["head", "1:keys", "1:buyers", "1:orders"] {
        let sale = app.api.open_sale(WAY, 200).await;
        let sold = std::sync::Arc::default();
        let buyers =
            rush(vec![app.api.clone(), other.api.clone()], sale, 150, 16, std::sync::Arc::clone(&sold));
        let buyers = tokio::spawn(buyers);
        eventually("some are sold", async || sold.load(std::sync::atomic::Ordering::SeqCst) > 20).await;
        let key = format!("sellout:{{{sale}:3}}:{what}");
        redis::cmd("DEL").arg(&key).exec_async(&mut redis).await.expect("DEL");
        let mut told = buyers.await.expect("the rush");
        eventually("it was filled again", async || {
            app.api.get(&format!("/v1/sales/{sale}")).await.body["epoch"].as_i64() >= Some(2)
                || app.api.get("/v1/sales").await.text.contains("\"epoch\":2")
        })
        .await;
        sell_out(&other.api, sale, &mut told).await;
        settle(&app.api, sale, 200, &told).await;
    }
}
