//! Whoever ends an order, how often and by which door: its units come back once.

use futures_util::future::join_all;

use crate::ask::{eventually_left, left, record_holds, sells_out, state, story, two_services, with_token};
use crate::last_moment::at_the_last_moment;
use crate::support::{TestApp, fresh_database};

/// Each takes and gives back its own way.
const WAYS: [&str; 9] = [
    "atomic_update",
    "optimistic",
    "serializable",
    "lock_redis_fenced",
    "redis_lua",
    "flush_barrier",
    "ticket",
    "stripes",
    "skip_locked",
];

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_by_two_operators_at_once_and_many_times_it_comes_back_once() {
    let tokens = "operator day the-token-of-the-day;operator night the-token-of-the-night";
    let [a, b] = two_services(&["--lab", "--tokens", tokens]).await;
    let sql = a.sql().await;
    let day = with_token(&a.api, "the-token-of-the-day");
    let night = with_token(&b.api, "the-token-of-the-night");
    for way in WAYS {
        let sale = day.open_sale(way, 3).await;
        let orders = [a.api.buy(sale).await, a.api.buy(sale).await, b.api.buy(sale).await];
        assert!(orders.iter().all(|order| order.is_sold()), "{way}: {orders:?}");
        let order = orders[0].id();
        let cancel = |at: usize| if at.is_multiple_of(2) { &day } else { &night }.end(order, "cancel");
        for answer in join_all((0..24).map(cancel)).await {
            assert_eq!(answer.status, 200, "{way}: {}", answer.text);
            assert_eq!(answer.body["state"], "cancelled", "{way}");
        }
        assert_eq!(story(&sql, order).await, ["sold", "cancelled"], "{way}");
        eventually_left(&night, sale, 1).await;
        sells_out(&[&day, &night], sale, 1).await;
        let e = day.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (3, 0, Some(0), 0), "{way}: {e:?}");
    }
}

/// Confirmed, released and cancelled by many at once: what became of it is one story, and every answer fits.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_confirmed_and_released_at_once_it_comes_back_once_or_stays_sold() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let mut ends = std::collections::BTreeMap::<String, usize>::new();
    for way in WAYS {
        let sale = a.api.open_sale(way, 12).await;
        let (mut sold, verbs) = (0, ["confirm", "release", "cancel", "cancel", "release", "confirm"]);
        for round in 0..12 {
            let hold = a.api.hold(sale, 60).await;
            let order = hold.id();
            let end = |at: usize| {
                let api = if (at + round).is_multiple_of(2) { &a.api } else { &b.api };
                api.end(order, verbs[(at + round) % verbs.len()])
            };
            for answer in join_all((0..6).map(end)).await {
                let fits = answer.status == 200 || answer.problem() == "order-state";
                assert!(fits, "{way}: {} {}", answer.status, answer.text);
            }
            let (state, story) = (state(&a.api, order).await, story(&sql, order).await);
            match state.as_str() {
                "released" => assert_eq!(story, ["held", "released"], "{way}"),
                "confirmed" => assert_eq!(story, ["held", "confirmed"], "{way}"),
                "cancelled" => assert_eq!(story, ["held", "confirmed", "cancelled"], "{way}"),
                other => panic!("{way}: it is {other}"),
            }
            sold += i64::from(state == "confirmed");
            *ends.entry(state).or_default() += 1;
        }
        eventually_left(&b.api, sale, 12 - sold).await;
        sells_out(&[&a.api, &b.api], sale, 12 - sold).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (12, 0, Some(0), 0), "{way}: {e:?}");
    }
    assert!(ends.len() > 1, "always the same end: {ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn released_at_the_moment_of_its_end_it_comes_back_once() {
    const ROUNDS: i64 = 600;
    let settings = ["--lab", "--sweep-ms", "1", "--life-connections-max", "12"];
    let app = TestApp::on(&fresh_database().await, &settings).await;
    let sql = app.sql().await;
    let sale = app.api.open_sale("atomic_update", ROUNDS).await;
    let holds = record_holds(&sql, sale, ROUNDS, 700.0, 3.0).await;
    let mut released = 0;
    for (order, answer) in at_the_last_moment(&app.api, holds, "release").await {
        let story = story(&sql, &order).await;
        if answer.status == 200 {
            assert_eq!(story, ["held", "released"], "{}", answer.text);
        } else {
            assert_eq!(answer.problem(), "order-state", "{} {}", answer.status, answer.text);
            assert_eq!(story, ["held", "expired"]);
        }
        released += i64::from(answer.status == 200);
    }
    assert!(released > 50 && ROUNDS - released > 50, "{released} released: this showed little");
    assert_eq!(left(&app.api, sale).await, Some(ROUNDS), "each came back once");
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.left, e.drift, e.unbalanced), (0, Some(ROUNDS), Some(0), 0), "{e:?}");
}
