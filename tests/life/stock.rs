//! Operators put units on sale and take some off while a rush runs: it sells what there was and what was
//! changed, to the unit, and never takes off what somebody has.

use futures_util::future::join_all;
use uuid::Uuid;

use crate::ask::{eventually_left, left, movements, patient_rush, poll_change, sells_out, two_services};
use crate::support::{Api, TestApp};

const OPENED: i64 = 90;

/// Changes the stock by many keys, each of them asked for by two operators at once. Answers the sum.
async fn change_again_and_again(apis: [&Api; 2], sale: Uuid) -> i64 {
    let mut changed = 0;
    for (at, delta) in [-3, 6, 9, -40, 4, -2, 7, -1, 5, -6, 8, 3].into_iter().enumerate() {
        let key = format!("change-{at}");
        let both = join_all(apis.map(|api| poll_change(api, sale, &key, delta))).await;
        let mut done = 0;
        for answer in &both {
            match answer.status.as_u16() {
                200 => done += answer.body["changed"].as_i64().expect("by how many"),
                _ => assert_eq!((answer.problem(), delta < 0), ("stock-below-sold", true), "{}", answer.text),
            }
        }
        assert!(done == 0 || done == delta, "one key is one change: {both:?}");
        assert!(delta < 0 || done == delta, "a restock is never refused: {both:?}");
        changed += done;
    }
    changed
}

async fn changed_under_load(way: &str) {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let sale = a.api.open_sale(way, OPENED).await;
    let apis = [&a.api, &b.api];
    let (answers, changed) =
        tokio::join!(patient_rush(&apis, sale, 110, 12), change_again_and_again([&a.api, &b.api], sale));
    for answer in &answers {
        assert!(
            answer.is_sold() || answer.problem() == "sold-out",
            "{way}: {} {}",
            answer.status,
            answer.text
        );
    }
    let told = i64::try_from(answers.iter().filter(|answer| answer.is_sold()).count()).expect("a count");
    assert!(told > 20, "{way}: {told} were sold: this showed little");

    let last = poll_change(&a.api, sale, "the-last", 25).await;
    assert_eq!(last.body["changed"], 25, "{way}: {}", last.text);
    let rest = OPENED + changed + 25 - told;
    eventually_left(&b.api, sale, rest).await;
    sells_out(&apis, sale, rest).await;
    let e = b.api.audit(sale).await.evidence;
    assert_eq!((e.opened, e.changed), (OPENED, changed + 25), "{way}: {e:?}");
    assert_eq!((e.sold, e.oversold, e.stranded), (OPENED + e.changed, 0, 0), "{way}: {e:?}");
    assert_eq!((e.drift, e.unbalanced, e.duplicates), (Some(0), 0, 0), "{way}: {e:?}");
    let movements = movements(&sql, sale).await;
    // Each once, however many asked; of those that take off, what was sold meanwhile stays.
    assert_eq!((movements["restocked"], (1..=5).contains(&movements["reduced"])), (8, true), "{movements:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn atomic_update_sells_what_is_changed_during_the_rush() {
    changed_under_load("atomic_update").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_lock_sells_what_is_changed_during_the_rush() {
    changed_under_load("row_lock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn optimistic_sells_what_is_changed_during_the_rush() {
    changed_under_load("optimistic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_redis_fenced_sells_what_is_changed_during_the_rush() {
    changed_under_load("lock_redis_fenced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_pg_advisory_sells_what_is_changed_during_the_rush() {
    changed_under_load("lock_pg_advisory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_lua_sells_what_is_changed_during_the_rush() {
    changed_under_load("redis_lua").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_lua_batched_sells_what_is_changed_during_the_rush() {
    changed_under_load("redis_lua_batched").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_buckets_sells_what_is_changed_during_the_rush() {
    changed_under_load("redis_buckets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flush_barrier_sells_what_is_changed_during_the_rush() {
    changed_under_load("flush_barrier").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_sells_what_is_changed_during_the_rush() {
    changed_under_load("ticket").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stripes_sells_what_is_changed_during_the_rush() {
    changed_under_load("stripes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_locked_sells_what_is_changed_during_the_rush() {
    changed_under_load("skip_locked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_or_sold_is_never_taken_off() {
    let [a, b] = two_services(&["--lab"]).await;
    for way in [
        "atomic_update",
        "row_lock",
        "optimistic",
        "lock_redis_fenced",
        "lock_pg_advisory",
        "redis_lua",
        "flush_barrier",
        "ticket",
        "stripes",
        "skip_locked",
    ] {
        let sale = a.api.open_sale(way, 10).await;
        let held = a.api.hold_as(sale, &format!("{way}-held"), "b", 3, 60).await;
        assert!(held.is_sold() && b.api.buy(sale).await.is_sold() && a.api.buy(sale).await.is_sold());
        let refused = a.api.change(sale, "six", -6).await;
        let refusal = (refused.status.as_u16(), refused.problem());
        assert_eq!(refusal, (409, "stock-below-sold"), "{way}: five are left: {}", refused.text);
        assert_eq!(a.api.change(sale, "one", -1).await.body["changed"], -1, "{way}");
        // Four are left; of eight who take one off at once, four do.
        let off = join_all(
            (0..8)
                .map(async |at| poll_change([&a.api, &b.api][at % 2], sale, &format!("off-{at}"), -1).await),
        );
        let done = off.await.iter().filter(|answer| answer.body["changed"] == -1).count();
        assert_eq!(done, 4, "{way}");
        assert_eq!(b.api.change(sale, "two", -1).await.problem(), "stock-below-sold", "{way}");
        // A refused key was no change; what is let go may be taken off, once per key.
        assert_eq!(b.api.end(held.id(), "release").await.status, 200, "{way}");
        let twice = join_all([&a.api, &b.api].map(|api| poll_change(api, sale, "two", -1))).await;
        let done: i64 = twice.iter().map(|answer| answer.body["changed"].as_i64().expect("a number")).sum();
        assert_eq!(done, -1, "{way}: {twice:?}");
        assert_eq!(a.api.change(sale, "two", -2).await.problem(), "idempotency-key-reused", "{way}");
        eventually_left(&a.api, sale, 2).await;
        sells_out(&[&a.api, &b.api], sale, 2).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.changed, e.sold, e.oversold, e.drift), (-6, 4, 0, Some(0)), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_its_key_and_its_units() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("atomic_update", 5).await;
    for delta in [0, 1_000_000_001, -1_000_000_001] {
        assert_eq!(app.api.change(sale, "k", delta).await.problem(), "validation", "{delta}");
    }
    let path = format!("/v1/sales/{sale}/stock");
    let keyless = app.api.post(&path, &serde_json::json!({"delta": 1})).await;
    assert_eq!((keyless.status.as_u16(), keyless.problem()), (422, "validation"), "{}", keyless.text);
    let unknown = app.api.change(Uuid::now_v7(), "k", 1).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem()), (404, "not-found"), "{}", unknown.text);
    assert_eq!(left(&app.api, sale).await, Some(5));
    // The same key is free at another sale: it belongs to one sale's stock.
    let other = app.api.open_sale("atomic_update", 5).await;
    for sale in [sale, other] {
        assert_eq!(app.api.change(sale, "k", 2).await.body["changed"], 2);
        assert_eq!(left(&app.api, sale).await, Some(7));
    }
}
