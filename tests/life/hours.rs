//! A sale has hours, by the clock of the database: before and after them nothing is sold, whatever a process
//! remembers, and what was sold stays answered.

use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::ask::{cart, eventually_left, left, poll_order, sells_out, two_services};
use crate::support::{Answer, Api, TestApp, eventually};

const WAYS: [&str; 4] = ["atomic_update", "serializable", "lock_redis_fenced", "redis_lua"];

/// That long from now, by the database's clock.
async fn time(sql: &PgPool, ms: i64) -> String {
    let time = "select to_char((clock_timestamp() + $1 * interval '1 millisecond') at time zone 'utc',
        'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    sqlx::query_scalar(time).bind(ms).fetch_one(sql).await.expect("the time")
}

async fn open(api: &Api, way: &str, units: i64, hours: [Option<String>; 2]) -> Uuid {
    let mut sale = json!({"name": "with hours", "units": units, "strategy": way});
    for (name, at) in ["opens_at", "closes_at"].into_iter().zip(hours) {
        sale[name] = at.into();
    }
    let opened = api.post("/v1/sales", &sale).await;
    assert_eq!(opened.status, StatusCode::CREATED, "{}", opened.text);
    opened.id().parse().expect("a sale id")
}

/// Moves the hours behind the back of every service: who goes by what he remembers is wrong.
async fn move_hours(sql: &PgPool, sale: Uuid, opens_ms: Option<i64>, closes_ms: Option<i64>) {
    let moved = "update sales set opens_at = clock_timestamp() + $2 * interval '1 millisecond',
        closes_at = clock_timestamp() + $3 * interval '1 millisecond' where id = $1";
    let moved = sqlx::query(moved).bind(sale).bind(opens_ms).bind(closes_ms);
    moved.execute(sql).await.expect("moved hours");
}

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

const EARLY: (u16, &str) = (409, "sale-not-open");
const OVER: (u16, &str) = (410, "sale-ended");

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_before_a_sale_opens_and_everything_from_then_on() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    for way in WAYS {
        let sale = open(&a.api, way, 12, [Some(time(&sql, 900).await), None]).await;
        for api in [&a.api, &b.api] {
            assert_eq!(refusal(&api.buy(sale).await), EARLY, "{way}");
            assert_eq!(refusal(&api.hold(sale, 60).await), EARLY, "{way}");
        }
        for answer in Api::rush(&[&a.api, &b.api], sale, 24, 12).await {
            assert_eq!(refusal(&answer), EARLY, "{way}: {}", answer.text);
        }
        let early = async || a.api.order(sale, &format!("{way}-early"), "early", 1).await;
        assert_eq!(refusal(&early().await), EARLY, "{way}");
        eventually("it opens", async || early().await.is_sold()).await;
        let first = "select min(o.recorded_at) >= min(s.opens_at)
            from orders o join sales s on s.id = o.sale_id where s.id = $1";
        let first: bool = sqlx::query_scalar(first).bind(sale).fetch_one(&sql).await.expect("the first");
        assert!(first, "{way}: sold before it opened");
        sells_out(&[&a.api, &b.api], sale, 11).await;
        let e = b.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift), (12, 0, Some(0)), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_end_nothing_is_sold_and_what_was_sold_is_answered_still() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    for way in WAYS {
        // More than can be bought until then.
        let sale = open(&a.api, way, 9_999, [None, Some(time(&sql, 1_500).await)]).await;
        let bought = a.api.order(sale, &format!("{way}-bought"), "b", 1).await;
        let held = a.api.hold_as(sale, &format!("{way}-held"), "b", 1, 60).await;
        assert!(bought.is_sold() && held.is_sold(), "{way}: {} {}", bought.text, held.text);
        eventually("it ends", async || refusal(&b.api.buy(sale).await) == OVER).await;
        for api in [&a.api, &b.api] {
            for answer in Api::rush(&[api], sale, 8, 8).await {
                assert_eq!(refusal(&answer), OVER, "{way}: {}", answer.text);
            }
            let again = api.order(sale, &format!("{way}-bought"), "b", 1).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &bought.text), "{way}");
            let again = api.hold_as(sale, &format!("{way}-held"), "b", 1, 60).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &held.text), "{way}");
            let other = api.order(sale, &format!("{way}-bought"), "b", 2).await;
            assert_eq!(refusal(&other), (422, "idempotency-key-reused"), "{way}");
        }
        // What was held in time may be paid for still.
        assert_eq!(b.api.end(held.id(), "confirm").await.status, 200, "{way}");
        // The hour is looked at and then the order is written: a writer may lose its core in between.
        let last = "select bool_and(o.recorded_at <= s.closes_at + interval '200 ms')
            from orders o join sales s on s.id = o.sale_id where s.id = $1";
        let last: bool = sqlx::query_scalar(last).bind(sale).fetch_one(&sql).await.expect("the last");
        assert!(last, "{way}: sold after its end");
    }
}

/// The hour is the ledger's: a process that remembers another one sells nothing by it, and what Redis has
/// taken in good faith comes back there.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_s_clock_decides_and_not_what_a_process_remembers() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    for way in WAYS {
        let sale = a.api.open_sale(way, 30).await;
        let bought = a.api.order(sale, &format!("{way}-bought"), "b", 1).await;
        assert!(bought.is_sold() && left(&b.api, sale).await == Some(29), "{way}");
        let mut refused = Vec::new();
        for (opens, closes, says) in [(Some(600_000), None, EARLY), (None, Some(-1), OVER)] {
            move_hours(&sql, sale, opens, closes).await;
            for answer in Api::rush(&[&a.api], sale, 45, 16).await {
                // Who finds nothing left, since Redis has not heard yet, is told so: nothing was taken.
                let believed = answer.problem() == "sold-out" && way == "redis_lua";
                assert!(refusal(&answer) == says || believed, "{way}: {} {}", answer.status, answer.text);
                refused.push(answer);
            }
            let again = a.api.order(sale, &format!("{way}-bought"), "b", 1).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &bought.text), "{way}");
            eventually_left(&a.api, sale, 29).await;
        }
        assert!(refused.iter().filter(|a| a.problem() != "sold-out").count() > 20, "{way}");
        move_hours(&sql, sale, None, None).await;
        sells_out(&[&a.api], sale, 29).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.stranded, e.drift), (30, 0, 0, Some(0)), "{way}: {e:?}");
    }
}

/// A key that was refused early is not spoilt by it.
#[tokio::test(flavor = "multi_thread")]
async fn redis_takes_no_unit_for_good_outside_the_hours() {
    let app = TestApp::start().await;
    let (api, sql) = (&app.api, app.sql().await);
    let sale = api.open_limited("redis_lua", 8, Some(2)).await;
    move_hours(&sql, sale, Some(600_000), None).await;
    for round in 0..3 {
        for at in 0..4 {
            // Until the refusal has come back, Redis counts it for his limit.
            let key = format!("mine-{at}");
            eventually(&format!("early, round {round}"), async || {
                let answer = api.order(sale, &key, "b", 2).await;
                assert!(answer.problem() == "buyer-limit" || refusal(&answer) == EARLY, "{}", answer.text);
                refusal(&answer) == EARLY
            })
            .await;
        }
    }
    move_hours(&sql, sale, None, None).await;
    // His limit, his keys and the units: all as if nobody had asked.
    eventually_left(api, sale, 8).await;
    let bought = poll_order(api, sale, "mine").await;
    assert!(bought.is_sold(), "{}", bought.text);
    assert!(api.order(sale, "mine-0", "b", 2).await.is_sold());
    assert_eq!(api.order(sale, "mine-1", "b", 2).await.problem(), "buyer-limit");
    sells_out(&[api], sale, 5).await;
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.over_limit, e.drift, e.unbalanced), (8, 0, Some(0), 0), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_keeps_the_hours_of_each_of_its_sales() {
    let app = TestApp::start().await;
    let (api, sql) = (&app.api, app.sql().await);
    let x = api.open_sale("atomic_update", 5).await;
    let y = open(api, "row_lock", 5, [Some(time(&sql, 700).await), None]).await;
    assert_eq!(refusal(&cart(api, "k", &[(x, 1), (y, 1)]).await), EARLY);
    assert_eq!(left(api, x).await, Some(5), "a refused cart takes nothing");
    eventually("it opens", async || cart(api, "k", &[(x, 1), (y, 1)]).await.is_sold()).await;
    let sold = cart(api, "k", &[(x, 1), (y, 1)]).await;
    // Once closed behind the service's back, once as it knows itself.
    move_hours(&sql, x, None, Some(-1)).await;
    let z = open(api, "atomic_update", 5, [None, Some(time(&sql, 1).await)]).await;
    for (key, items) in [("other", [(x, 1), (y, 1)]), ("another", [(z, 1), (y, 1)])] {
        eventually("it is over", async || refusal(&cart(api, key, &items).await) == OVER).await;
    }
    let again = cart(api, "k", &[(y, 1), (x, 1)]).await;
    assert_eq!((again.status.as_u16(), &again.text), (201, &sold.text));
    assert_eq!((left(api, x).await, left(api, y).await, left(api, z).await), (Some(4), Some(4), Some(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_that_make_no_sense_are_refused() {
    let app = TestApp::start().await;
    let noon = "2026-11-27T12:00:00Z";
    for (opens, closes) in [("noon", noon), (noon, "soon"), (noon, noon), (noon, "2026-11-27T12:00:00+01:00")]
    {
        let sale = json!({"name": "n", "units": 1, "strategy": "atomic_update", "opens_at": opens,
            "closes_at": closes});
        let refused = app.api.post("/v1/sales", &sale).await;
        assert_eq!(refusal(&refused), (422, "validation"), "{opens} to {closes}: {}", refused.text);
    }
}
