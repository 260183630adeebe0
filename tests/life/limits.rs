//! What a buyer may have is what he holds and has bought: it is not exceeded by asking often, and falls when
//! his orders end.

use std::cell::RefCell;

use futures_util::future::join_all;
use uuid::Uuid;

use crate::ask::{cart, is_told_to_try_again, two_services};
use crate::support::{Answer, eventually};

const WAYS: [&str; 10] = [
    "atomic_update",
    "row_lock",
    "optimistic",
    "serializable",
    "lock_redis_fenced",
    "redis_lua",
    "flush_barrier",
    "ticket",
    "stripes",
    "skip_locked",
];
const LIMIT: usize = 3;

/// Those who were told yes; the others were told that the limit is reached, or to try again.
fn have(answers: &[Answer]) -> Vec<String> {
    for answer in answers.iter().filter(|answer| !answer.is_sold()) {
        let fits = answer.problem() == "buyer-limit" || is_told_to_try_again(answer);
        assert!(fits, "{} {}", answer.status, answer.text);
    }
    answers.iter().filter(|answer| answer.is_sold()).map(|answer| answer.id().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_holds_by_many_requests_at_once_gets_his_limit_and_no_more() {
    let [a, b] = two_services(&["--lab"]).await;
    for way in WAYS {
        let sale = a.api.open_limited(way, 60, i64::try_from(LIMIT).ok()).await;
        let ask = async |at: usize| {
            let (api, key) = ([&a.api, &b.api][at % 2], Uuid::now_v7().to_string());
            // Holds and purchases count alike.
            match at % 3 {
                0 => api.order(sale, &key, "greedy", 1).await,
                _ => api.hold_as(sale, &key, "greedy", 1, 60).await,
            }
        };
        let has = RefCell::new(have(&join_all((0..18).map(ask)).await));
        // A strategy that tells many to try again may leave room: he asks until there is none.
        eventually("his limit is reached", async || {
            let more = ask(1).await;
            has.borrow_mut().extend(more.is_sold().then(|| more.id().to_owned()));
            more.problem() == "buyer-limit"
        })
        .await;
        let has = has.into_inner();
        assert_eq!(has.len(), LIMIT, "{way}");
        for (freed, order) in has.iter().enumerate() {
            // Whichever it is: the one verb fits a hold, the other a purchase.
            let ended = [b.api.end(order, "release").await, b.api.end(order, "cancel").await];
            assert_eq!(ended.iter().filter(|answer| answer.status == 200).count(), 1, "{way}: {ended:?}");
            // One is free again: of six at once one gets it.
            let more = RefCell::new(Vec::new());
            eventually("what has ended does not count", async || {
                let told = have(&join_all((0..6).map(ask)).await);
                more.borrow_mut().extend(told);
                more.borrow().len() == 1
            })
            .await;
            let others = a.api.audit(sale).await.evidence;
            assert_eq!((others.sold, others.over_limit), (3, 0), "{way}, {freed} freed: {others:?}");
        }
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.drift, e.unbalanced), (Some(0), 0), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_that_expire_do_not_count_any_more_and_confirmed_ones_do() {
    let [a, b] = two_services(&["--lab"]).await;
    for way in WAYS {
        let sale = a.api.open_limited(way, 20, i64::try_from(LIMIT).ok()).await;
        let hold = async |quantity, seconds| {
            a.api.hold_as(sale, &Uuid::now_v7().to_string(), "b", quantity, seconds).await
        };
        let kept = hold(1, 60).await;
        assert!(kept.is_sold() && hold(2, 1).await.is_sold(), "{way}");
        assert_eq!(hold(1, 60).await.problem(), "buyer-limit", "{way}");
        assert_eq!(b.api.end(kept.id(), "confirm").await.status, 200, "{way}");
        // Confirmed it is still his.
        eventually("two have expired", async || hold(2, 60).await.is_sold()).await;
        assert_eq!(hold(1, 60).await.problem(), "buyer-limit", "{way}");
        let e = b.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.over_limit, e.drift, e.unbalanced), (3, 0, Some(0), 0), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_counts_for_the_limit_of_each_of_its_sales() {
    let [a, b] = two_services(&["--lab"]).await;
    let x = a.api.open_limited("atomic_update", 50, Some(3)).await;
    let y = a.api.open_limited("row_lock", 50, Some(2)).await;
    let buy = async |at: usize| {
        cart([&a.api, &b.api][at % 2], &Uuid::now_v7().to_string(), &[(x, 1), (y, 1)]).await
    };
    let carts = join_all((0..16).map(buy)).await.iter().filter(|c| c.is_sold()).count();
    assert_eq!(carts, 2, "the smaller limit");
    let refused = buy(0).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "buyer-limit"), "{}", refused.text);
    let alone = async |sale| a.api.order(sale, &Uuid::now_v7().to_string(), "a buyer of carts", 1).await;
    assert_eq!(alone(y).await.problem(), "buyer-limit");
    assert!(alone(x).await.is_sold(), "a refused cart has left nothing behind");
    assert_eq!(alone(x).await.problem(), "buyer-limit");
    for (sale, sold) in [(x, 3), (y, 2)] {
        let e = b.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.over_limit, e.drift, e.unbalanced), (sold, 0, Some(0), 0), "{e:?}");
    }
}
