//! The promise: a sale that sold out refuses its crowd without asking any store, forgets no order that it
//! sold, and sells again as soon as there is something to sell.

use serde_json::json;
use uuid::Uuid;

use crate::support::relay::Relay;
use crate::support::{Api, TestApp, UNATTENDED, eventually, fresh_database, port_of, servers, with_port};

const STRATEGIES: [&str; 4] = ["atomic_update", "redis_lua", "lock_redis_fenced", "row_lock"];

/// Refused so often that the store is asked whether that will last.
async fn refuse_many(api: &Api, sale: Uuid) {
    for answer in Api::rush(&[api], sale, 40, 8).await {
        assert_eq!(answer.problem(), "sold-out", "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_comes_too_late_touches_no_store_and_who_was_sold_to_gets_his_order() {
    let database = fresh_database().await;
    let pg = Relay::to(port_of(&database)).await;
    let redis = Relay::to(port_of(&servers().redis_url)).await;
    let (database, redis_url) = (with_port(&database, pg.port), with_port(&servers().redis_url, redis.port));
    // Looked at again so rarely that no look falls into what is counted.
    let settings = [&["--lab", "--sold-out-refresh-ms", "3600000"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(&redis_url), &settings).await;
    for strategy in STRATEGIES {
        let sale = app.api.open_sale(strategy, 2).await;
        let first = app.api.order(sale, &format!("first-{strategy}"), "b", 1).await;
        assert!(first.is_sold() && app.api.buy(sale).await.is_sold(), "{strategy}: {}", first.text);
        refuse_many(&app.api, sale).await;
        eventually("the stores are left alone", async || {
            let before = pg.turns() + redis.turns();
            refuse_many(&app.api, sale).await;
            pg.turns() + redis.turns() == before
        })
        .await;
        // Not even a sold-out sale forgets a key; and only its own body is answered.
        let again = app.api.order(sale, &format!("first-{strategy}"), "b", 1).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{strategy}");
        let other = app.api.order(sale, &format!("first-{strategy}"), "c", 1).await;
        assert_eq!(other.problem(), "idempotency-key-reused", "{strategy}");
        // Units that come back here are seen at once.
        assert_eq!(app.api.change(sale, "more", 1).await.status, 200);
        assert!(app.api.buy(sale).await.is_sold(), "{strategy}: it is for sale again");
        assert_eq!(app.api.buy(sale).await.problem(), "sold-out");
        assert_eq!(app.api.audit(sale).await.evidence.sold, 3, "{strategy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_the_store_is_asked_by_everybody() {
    let pg = Relay::to(port_of(&fresh_database().await)).await;
    let database = with_port(&fresh_database().await, pg.port);
    let settings = [&["--lab", "--sold-out-flag", "false"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, None, &settings).await;
    let sale = app.api.open_sale("atomic_update", 1).await;
    assert!(app.api.buy(sale).await.is_sold());
    // With the flag the second crowd would ask nobody, and the third surely not.
    for _ in 0..3 {
        let before = pg.turns();
        refuse_many(&app.api, sale).await;
        assert!(pg.turns() >= before + 40, "{} turns for 40 orders", pg.turns() - before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_come_back_elsewhere_are_sold_here_within_a_refresh() {
    let database = fresh_database().await;
    let settings = ["--lab", "--sold-out-refresh-ms", "100"];
    let here = TestApp::on(&database, &settings).await;
    let there = TestApp::on(&database, &settings).await;
    for strategy in STRATEGIES {
        let sale = here.api.open_sale(strategy, 2).await;
        let hold = here.api.hold(sale, 600).await;
        assert!(hold.is_sold() && here.api.buy(sale).await.is_sold(), "{strategy}");
        refuse_many(&here.api, sale).await;
        assert_eq!(there.api.end(hold.id(), "release").await.status, 200, "{strategy}");
        eventually("released there, sold here", async || here.api.buy(sale).await.is_sold()).await;
        refuse_many(&here.api, sale).await;
        // Another strategy, another epoch: what was remembered under the old one does not count.
        assert_eq!(there.api.change(sale, "more", 1).await.status, 200, "{strategy}");
        let to = if strategy == "atomic_update" { "row_lock" } else { "atomic_update" };
        let handed = there.api.hand_over(sale, to).await;
        assert_eq!(
            (handed.status.as_u16(), &handed.body["left"]),
            (200, &json!(1)),
            "{strategy}: {}",
            handed.text
        );
        eventually("handed over there, sold here", async || here.api.buy(sale).await.is_sold()).await;
        let e = here.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift), (3, 0, Some(0)), "{strategy}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_might_oversell_is_asked_every_time() {
    let database = fresh_database().await;
    let pg = Relay::to(port_of(&database)).await;
    let settings = [&["--lab", "--sold-out-refresh-ms", "3600000"][..], &UNATTENDED].concat();
    let app = TestApp::on(&with_port(&database, pg.port), &settings).await;
    for strategy in ["naive", "lock_redis", "unguarded_decrement"] {
        let sale = app.api.open_sale(strategy, 1).await;
        assert!(app.api.buy(sale).await.is_sold());
        for _ in 0..3 {
            let before = pg.turns();
            refuse_many(&app.api, sale).await;
            // An overtaken writer may still sell: its key must be found when it is asked for again.
            assert!(pg.turns() >= before + 40, "{strategy}: a store was not asked");
        }
    }
}
