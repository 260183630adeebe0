//! `kill -9` at each step of an order between Redis and the ledger: whoever comes next finishes it, once.

use std::time::{Duration, Instant};

use sellout::strategies::Spec;
use uuid::Uuid;

use crate::crowd::{WAYS, WHOLE};
use crate::lost::{private, wire};
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

/// Where it is killed: which server's turn of the order is kept back, and what has happened by then.
const STEPS: [(&str, bool, u64, &str); 4] = [
    ("before the script runs", true, 1, "nothing"),
    ("before the stream is read", true, 2, "taken in Redis"),
    ("before the batch is recorded", false, 1, "taken in Redis"),
    ("after the commit, before the stream forgets it", true, 3, "recorded"),
];

const NARROW: [&str; 2] = ["--pool-connections-max", "1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_at_any_step_leaves_an_order_that_is_sold_once_or_not_at_all() {
    for way in WHOLE {
        killed_at_each_step(way).await;
    }
}

async fn killed_at_each_step(way: &str) {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    for (step, in_redis, turn, by_then) in STEPS {
        let (pg, redis) = (Relay::to(port_of(&database)).await, Relay::to(port_of(redis_url)).await);
        let behind = with_port(redis_url, redis.port);
        let settings = [&NARROW[..], &UNATTENDED].concat();
        let mut first = Process::between(&with_port(&database, pg.port), &behind, &settings);
        let next =
            TestApp::between(&database, Some(redis_url), &["--lab", "--pipeline-check-ms", "100"]).await;
        // Everything open, prepared and loaded.
        let warm = first.api.open_sale(way, 3).await;
        for _ in 0..3 {
            assert!(first.api.buy(warm).await.is_sold(), "{step}");
        }
        let sale = next.api.open_sale(way, 2).await;
        assert_eq!(first.api.get(&format!("/v1/sales/{sale}")).await.body["left"], 2, "{step}");

        let relay = if in_redis { &redis } else { &pg };
        relay.hold(turn);
        let (api, key) = (first.api.clone(), Uuid::now_v7().to_string());
        let order =
            api.client.post(format!("{}/v1/sales/{sale}/orders", api.url)).header("Idempotency-Key", &key);
        let order = tokio::spawn(order.json(&serde_json::json!({"buyer_id": "b", "quantity": 1})).send());
        eventually(step, async || relay.is_holding()).await;
        first.kill();
        // The wires of a dead process carry nothing any more.
        relay.redirect(1);
        let _ = order.await;

        let sold = async || next.api.audit(sale).await.evidence.sold;
        match by_then {
            "nothing" => assert_eq!(sold().await, 0, "{step}"),
            // Nobody asks again, and it is sold all the same: the units are not stranded.
            _ => eventually(step, async || sold().await == 1).await,
        }
        // Whoever asks again learns it.
        let again = next.api.order(sale, &key, "b", 1).await;
        assert!(again.is_sold(), "{step}: {}", again.text);
        assert!(next.api.buy(sale).await.is_sold(), "{step}: the other unit");
        assert_eq!(next.api.buy(sale).await.problem(), "sold-out", "{step}");
        nothing_is_left(&next, redis_url, sale, step).await;
        next.stop().await;
    }
}

/// The stream is empty, nobody has anything unfinished, and the counters agree.
async fn nothing_is_left(app: &TestApp, redis_url: &str, sale: Uuid, step: &str) {
    let orders = format!("sellout:{{{sale}}}:1:orders");
    let mut redis = wire(redis_url).await;
    let begun = Instant::now();
    // What a dead process had read is taken over when it has been idle for five seconds.
    eventually("nothing is left in the stream", async || {
        let length: i64 =
            redis::cmd("XLEN").arg(&orders).query_async(&mut redis.clone()).await.expect("XLEN");
        length == 0
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(12), "{step}: it took {:?}", begun.elapsed());
    let pending: (i64, redis::Value, redis::Value, redis::Value) =
        redis::cmd("XPENDING").arg(&orders).arg("ledger").query_async(&mut redis).await.expect("XPENDING");
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((pending.0, e.sold, e.orders, e.drift), (0, 2, 2, Some(0)), "{step}: {e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_while_units_come_back_brings_them_back_once() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let others = ["atomic_update", "row_lock", "optimistic"];
    let strategies: Vec<&Spec> =
        WAYS.iter().chain(&others).map(|id| Spec::find(id).expect("a strategy")).collect();
    for spec in strategies {
        for turn in 1..=4 {
            let pg = Relay::to(port_of(&database)).await;
            let settings = [&["--life-connections-max", "1"][..], &UNATTENDED].concat();
            let mut first = Process::between(&with_port(&database, pg.port), redis_url, &settings);
            let check = ["--lab", "--pipeline-check-ms", "100"];
            let next = TestApp::between(&database, Some(redis_url), &check).await;
            let sale = next.api.open_sale(spec.id, 2).await;
            let warm = first.api.hold(sale, 60).await;
            assert_eq!(first.api.end(warm.id(), "release").await.status, 200, "{}", spec.id);
            let hold = first.api.hold(sale, 60).await;
            pg.hold(turn);
            let url = format!("{}/v1/orders/{}/release", first.api.url, hold.id());
            let release = tokio::spawn(first.api.client.post(url).send());
            eventually("it is held, or done", async || pg.is_holding() || release.is_finished()).await;
            first.kill();
            pg.redirect(1);
            let _ = release.await;
            // Twice is once, whether the first one came through or not.
            for _ in 0..2 {
                let released = next.api.end(hold.id(), "release").await;
                assert_eq!(released.body["state"], "released", "{}, turn {turn}: {}", spec.id, released.text);
            }
            eventually("both are for sale again", async || {
                next.api.get(&format!("/v1/sales/{sale}")).await.body["left"] == 2
            })
            .await;
            for _ in 0..2 {
                assert!(next.api.buy(sale).await.is_sold(), "{}, turn {turn}", spec.id);
            }
            assert_eq!(next.api.buy(sale).await.problem(), "sold-out");
            let e = next.api.audit(sale).await.evidence;
            assert_eq!((e.sold, e.drift, e.unbalanced), (2, Some(0), 0), "{}, turn {turn}: {e:?}", spec.id);
            next.stop().await;
        }
    }
}
