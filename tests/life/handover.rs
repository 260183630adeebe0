//! A sale is handed over from strategy to strategy while buyers rush: nothing is sold twice, nothing is lost,
//! and whoever decided under the old one sells nothing any more.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::ask::{
    confirm_or_rehold, eventually_left, patient_rush, poll_hand_over, poll_order, sells_out, state,
    two_services,
};
use crate::support::process::Process;
use crate::support::{Answer, Api, TestApp, eventually, fresh_database};

/// Every kind of store hands over to every other and takes over again.
const ROUND_TRIP: [&str; 7] = [
    "redis_lua",
    "lock_redis_fenced",
    "redis_lua_batched",
    "row_lock",
    "redis_buckets",
    "redis_lua",
    "atomic_update",
];
/// And so does every place where units can lie in PostgreSQL.
const APART: [&str; 8] =
    ["stripes", "ticket", "skip_locked", "flush_barrier", "ticket", "redis_lua", "stripes", "atomic_update"];
const UNITS: i64 = 420;
/// So many more are sold before the next one takes over.
const EACH: i64 = 45;

async fn sold(sql: &PgPool, sale: Uuid) -> i64 {
    let sold = "select count(*) from orders where sale_id = $1 and state = 'confirmed'";
    sqlx::query_scalar(sold).bind(sale).fetch_one(sql).await.expect("the ledger")
}

/// Hands over at each stage of the rush, by the one service and the other in turn, and twice at once.
async fn walk(apis: [&Api; 2], sql: &PgPool, sale: Uuid, ways: &[&str]) {
    for (at, &way) in ways.iter().enumerate() {
        let so_far = EACH * (i64::try_from(at).expect("a number") + 1);
        eventually("it sells on", async || sold(sql, sale).await >= so_far).await;
        let twice = [apis[at % 2], apis[(at + at / 2) % 2]];
        for answer in join_all(twice.map(|api| poll_hand_over(api, sale, way))).await {
            assert_eq!(
                (answer.status.as_u16(), &answer.body["strategy"]),
                (200, &way.into()),
                "{}",
                answer.text
            );
        }
    }
}

/// Everybody who was told yes is in the ledger, and nobody else; all is sold.
async fn nothing_is_lost(sql: &PgPool, apis: [&Api; 2], sale: Uuid, answers: &[Answer]) {
    let told: BTreeSet<String> =
        answers.iter().filter(|a| a.is_sold()).map(|a| format!("{} {}", a.id(), a.body["key"])).collect();
    for answer in answers.iter().filter(|answer| !answer.is_sold()) {
        assert_eq!(answer.problem(), "sold-out", "{} {}", answer.status, answer.text);
    }
    let kept = "select id || ' \"' || key || '\"' from orders where sale_id = $1 and state = 'confirmed'";
    let kept: Vec<String> = sqlx::query_scalar(kept).bind(sale).fetch_all(sql).await.expect("the ledger");
    assert_eq!(kept.len(), usize::try_from(UNITS).expect("units"), "sold out, to the unit");
    assert_eq!(told, kept.into_iter().collect(), "told yes, and in the ledger");
    for api in apis {
        assert_eq!(poll_order(api, sale, "too-late").await.problem(), "sold-out");
        let audit = api.audit(sale).await;
        let e = &audit.evidence;
        assert_eq!((e.sold, e.oversold, e.left, e.drift), (UNITS, 0, Some(0), Some(0)), "{e:?}");
        assert_eq!((e.unbalanced, e.duplicates, e.stranded), (0, 0, 0), "{e:?}");
        assert_eq!(audit.strategy, "atomic_update");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handed_on_seven_times_during_a_rush_it_sells_out_exactly() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let sale = a.api.open_sale("atomic_update", UNITS).await;
    let apis = [&a.api, &b.api];
    let buyers = usize::try_from(UNITS).expect("units") + 40;
    let (answers, ()) =
        tokio::join!(patient_rush(&apis, sale, buyers, 24), walk(apis, &sql, sale, &ROUND_TRIP));
    nothing_is_lost(&sql, apis, sale, &answers).await;
    // Each step is one epoch, and Redis may have been found empty, and filled, before it was opened.
    let shown = b.api.get(&format!("/v1/sales/{sale}")).await;
    let epoch = shown.body["epoch"].as_i64().expect("an epoch");
    assert!((8..=12).contains(&epoch), "{}", shown.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn handed_on_among_units_that_lie_apart_it_sells_out_exactly() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let sale = a.api.open_sale("atomic_update", UNITS).await;
    let apis = [&a.api, &b.api];
    let buyers = usize::try_from(UNITS).expect("units") + 40;
    let (answers, ()) = tokio::join!(patient_rush(&apis, sale, buyers, 24), walk(apis, &sql, sale, &APART));
    nothing_is_lost(&sql, apis, sale, &answers).await;
    // What was laid out for the others has gone with them.
    let rows = "select (select count(*) from stripes) + (select count(*) from units)
        + (select count(*) from tickets)
        + (select count(*) from pg_class where relkind = 'S' and relname like 'tickets\\_%')";
    let rows: i64 = sqlx::query_scalar(rows).fetch_one(&sql).await.expect("what is laid out");
    assert_eq!(rows, 0, "left behind");
}

/// The same by processes of their own, which share nothing but the servers.
#[tokio::test(flavor = "multi_thread")]
async fn handed_on_among_two_processes_it_sells_out_exactly() {
    let database = fresh_database().await;
    let (a, b) = (Process::start(&database), Process::start(&database));
    let sql = PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let sale = a.api.open_sale("atomic_update", UNITS).await;
    let apis = [&a.api, &b.api];
    let buyers = usize::try_from(UNITS).expect("units") + 40;
    let (answers, ()) =
        tokio::join!(patient_rush(&apis, sale, buyers, 24), walk(apis, &sql, sale, &ROUND_TRIP));
    nothing_is_lost(&sql, apis, sale, &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_that_is_asked_for_again_is_one() {
    let [a, b] = two_services(&["--lab", "--pipeline-check-ms", "3600000"]).await;
    let sale = a.api.open_sale("atomic_update", 6).await;
    assert!(b.api.buy(sale).await.is_sold());
    let epoch = async |api: &Api| api.get(&format!("/v1/sales/{sale}")).await.body["epoch"].clone();
    for (way, is) in [("redis_lua", 2), ("row_lock", 3)] {
        let asked = (0..8).map(|at| poll_hand_over([&a.api, &b.api][at % 2], sale, way));
        for answer in join_all(asked).await {
            assert_eq!(answer.status, 200, "{way}: {}", answer.text);
        }
        for api in [&a.api, &b.api] {
            let again = api.hand_over(sale, way).await;
            assert_eq!((again.status.as_u16(), &again.body["epoch"]), (200, &is.into()), "{}", again.text);
            assert_eq!(epoch(api).await, is, "{way}");
        }
        assert!(a.api.buy(sale).await.is_sold(), "{way}");
    }
    eventually_left(&b.api, sale, 3).await;
    sells_out(&[&a.api, &b.api], sale, 3).await;
    let e = a.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.oversold, e.drift), (6, 0, Some(0)), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_sale_is_not_changed_by_hand() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("atomic_update", 6).await;
    let url = format!("{}/v1/sales/{sale}", app.api.url);
    for body in [json!({"strategy": "naive"}), json!({"units": 7}), json!({})] {
        let refused = app.api.send(app.api.client.patch(&url).json(&body)).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (409, "sale-immutable"), "{}", refused.text);
    }
    for (way, problem) in [
        ("no_such_strategy", "validation"),
        ("unguarded_decrement", "unsupported-by-strategy"),
        ("redis_lua_ack_early", "unsupported-by-strategy"),
    ] {
        let refused = app.api.hand_over(sale, way).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (422, problem), "{way}: {}", refused.text);
    }
    let shown = app.api.get(&format!("/v1/sales/{sale}")).await;
    assert_eq!((&shown.body["strategy"], &shown.body["epoch"]), (&"atomic_update".into(), &1.into()));
}

/// What was begun under one strategy ends under another.
#[tokio::test(flavor = "multi_thread")]
async fn holds_keys_and_limits_go_along_with_the_sale() {
    let [a, b] = two_services(&["--lab"]).await;
    let sale = a.api.open_limited("atomic_update", 9, Some(2)).await;
    let held = a.api.hold_as(sale, "held", "hoarder", 2, 60).await;
    let brief = a.api.hold_as(sale, "brief", "brief", 2, 1).await;
    let bought = a.api.order(sale, "bought", "bought", 1).await;
    assert!(held.is_sold() && brief.is_sold() && bought.is_sold());
    for (at, way) in ["redis_lua", "lock_redis_fenced", "redis_lua", "optimistic"].into_iter().enumerate() {
        assert_eq!(b.api.hand_over(sale, way).await.status, 200, "{way}");
        for api in [&a.api, &b.api] {
            let more = api.order(sale, &format!("more-{at}"), "hoarder", 1).await;
            assert_eq!(more.problem(), "buyer-limit", "{way}: {}", more.text);
            let again = api.order(sale, "bought", "bought", 1).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &bought.text), "{way}");
            let other = api.order(sale, "bought", "bought", 2).await;
            assert_eq!(other.problem(), "idempotency-key-reused", "{way}: {}", other.text);
        }
        match at {
            0 => assert_eq!(a.api.end(bought.id(), "cancel").await.status, 200),
            1 => {
                eventually("it expires", async || state(&b.api, brief.id()).await == "expired").await;
                assert_eq!(confirm_or_rehold(&a.api, brief.id()).await.status, 201);
            }
            2 => assert_eq!(a.api.end(held.id(), "confirm").await.status, 200),
            _ => assert_eq!(b.api.end(held.id(), "cancel").await.status, 200),
        }
    }
    // Rehold's two are sold; what was cancelled is not.
    eventually_left(&a.api, sale, 7).await;
    assert!(a.api.order(sale, "once-more", "hoarder", 2).await.is_sold(), "his limit has fallen");
    sells_out(&[&a.api, &b.api], sale, 5).await;
    let e = b.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.over_limit, e.oversold, e.drift, e.unbalanced), (9, 0, 0, Some(0), 0), "{e:?}");
}
