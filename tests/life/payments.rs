//! A payment may come late, twice or never: it buys what it paid for once, or is told that it bought nothing.

use futures_util::future::join_all;

use crate::ask::{confirm_or_rehold, eventually_left, record_holds, state, story, two_services};
use crate::support::{Api, TestApp, UNATTENDED, eventually, fresh_database};

async fn expired(api: &Api, order: &str) {
    eventually("the hold has ended", async || state(api, order).await == "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_is_told_so_and_changes_nothing() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    for way in ["atomic_update", "lock_redis_fenced", "redis_lua"] {
        let sale = a.api.open_sale(way, 2).await;
        let hold = a.api.hold(sale, 1).await;
        expired(&b.api, hold.id()).await;
        for answer in join_all((0..8).map(|at| [&a.api, &b.api][at % 2].end(hold.id(), "confirm"))).await {
            assert_eq!((answer.status.as_u16(), answer.problem()), (409, "hold-expired"), "{}", answer.text);
        }
        assert_eq!(story(&sql, hold.id()).await, ["held", "expired"], "{way}");
        eventually_left(&a.api, sale, 2).await;
        let e = b.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.drift, e.unbalanced), (0, 0, Some(0), 0), "{way}: {e:?}");
    }
}

/// Nobody has swept yet: the clock says that it is late, not the sweeper.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_over_at_its_end_and_not_when_somebody_sweeps() {
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::on(&fresh_database().await, &settings).await;
    let sql = app.sql().await;
    let sale = app.api.open_sale("atomic_update", 2).await;
    let holds = record_holds(&sql, sale, 1, 1.0, 1.0).await;
    let order = &holds[0].0;
    let over = "select expires_at <= clock_timestamp() from orders where sale_id = $1";
    eventually("it is over", async || {
        sqlx::query_scalar::<_, bool>(over).bind(sale).fetch_one(&sql).await.expect("the clock")
    })
    .await;
    let late = app.api.end(order, "confirm").await;
    assert_eq!((late.status.as_u16(), late.problem()), (409, "hold-expired"), "{}", late.text);
    assert_eq!(state(&app.api, order).await, "held", "nobody has swept");
    // What it holds is not back yet; one unit is left beside it, and that one is taken again.
    let again = confirm_or_rehold(&app.api, order).await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert_eq!(story(&sql, order).await, ["held"]);
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.left, e.drift, e.unbalanced), (2, Some(0), Some(0), 0), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_may_take_the_units_again_once_and_as_long_as_some_are_left() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    for way in ["atomic_update", "optimistic", "lock_redis_fenced", "redis_lua"] {
        let sale = a.api.open_sale(way, 3).await;
        let hold = a.api.hold_as(sale, &format!("{way}-first"), "late", 2, 1).await;
        let other = a.api.hold_as(sale, &format!("{way}-other"), "later", 1, 1).await;
        expired(&b.api, hold.id()).await;
        expired(&b.api, other.id()).await;
        eventually_left(&a.api, sale, 3).await;

        let pay = |at: usize| confirm_or_rehold([&a.api, &b.api][at % 2], hold.id());
        let paid = join_all((0..12).map(pay)).await;
        let first = &paid[0];
        for answer in &paid {
            assert_eq!(answer.status, 201, "{way}: {}", answer.text);
            assert_eq!(answer.text, first.text, "{way}: paid once is bought once");
        }
        assert_ne!(first.id(), hold.id(), "{way}: an expired order stays expired");
        assert_eq!(first.headers["location"], format!("/v1/orders/{}", first.id()));
        assert_eq!((&first.body["quantity"], &first.body["state"]), (&2.into(), &"confirmed".into()));
        assert_eq!(first.body["buyer_id"], "late");
        assert_eq!(story(&sql, first.id()).await, ["sold"], "{way}");
        assert_eq!(story(&sql, hold.id()).await, ["held", "expired"], "{way}");

        // The last one is bought by somebody else; then there is none for who pays too late.
        assert!(b.api.buy(sale).await.is_sold(), "{way}");
        let late = confirm_or_rehold(&a.api, other.id()).await;
        assert_eq!((late.status.as_u16(), late.problem()), (409, "sold-out"), "{way}: {}", late.text);
        let again = confirm_or_rehold(&b.api, hold.id()).await;
        assert_eq!(
            (again.status.as_u16(), &again.text),
            (201, &first.text),
            "{way}: sold out changes nothing"
        );
        let e = b.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.drift, e.unbalanced), (3, 2, Some(0), 0), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_comes_twice_pays_once() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    for way in ["atomic_update", "row_lock", "redis_lua"] {
        let sale = a.api.open_sale(way, 2).await;
        let hold = a.api.hold(sale, 60).await;
        let pay = |at: usize| {
            let api = [&a.api, &b.api][at % 2];
            let order = hold.id();
            async move {
                // Rehold is for holds that ran out; this one has not.
                if at.is_multiple_of(3) {
                    confirm_or_rehold(api, order).await
                } else {
                    api.end(order, "confirm").await
                }
            }
        };
        let paid = join_all((0..16).map(pay)).await;
        for answer in &paid {
            assert_eq!(answer.status, 200, "{way}: {}", answer.text);
            assert_eq!((answer.id(), &answer.body["state"]), (hold.id(), &"confirmed".into()), "{way}");
        }
        assert_eq!(story(&sql, hold.id()).await, ["held", "confirmed"], "{way}");
        let e = b.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.left, e.drift, e.unbalanced), (1, Some(1), Some(0), 0), "{way}: {e:?}");
    }
}
