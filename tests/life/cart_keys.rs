//! One key is one cart: asked again it is answered byte for byte, and it is never anything else.

use futures_util::future::join_all;
use sqlx::PgPool;
use uuid::Uuid;

use crate::ask::{cart, cart_held, eventually_left, left, sells_out, two_services};
use crate::support::{Answer, TestApp};

async fn orders(sql: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from orders").fetch_one(sql).await.expect("a count")
}

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_is_sent_again_is_answered_byte_for_byte() {
    let [a, b] = two_services(&["--lab"]).await;
    let (x, y) = (a.api.open_sale("atomic_update", 3).await, a.api.open_sale("row_lock", 3).await);
    let first = cart(&a.api, "k", &[(x, 2), (y, 1)]).await;
    assert!(first.is_sold() && !first.headers.contains_key("idempotent-replayed"), "{}", first.text);
    let again = async |when: &str| {
        // Sorted or not, it is the same cart.
        for (api, items) in [(&a.api, [(x, 2), (y, 1)]), (&b.api, [(y, 1), (x, 2)])] {
            let again = cart(api, "k", &items).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &first.text), "{when}");
            assert_eq!(again.headers["idempotent-replayed"], "true", "{when}");
        }
    };
    again("at once").await;
    sells_out(&[&a.api], x, 1).await;
    again("of one nothing is left").await;
    sells_out(&[&b.api], y, 2).await;
    again("nothing is left").await;
    for order in first.body["orders"].as_array().expect("orders") {
        let cancelled = a.api.end(order["id"].as_str().expect("an id"), "cancel").await;
        assert_eq!(cancelled.body["state"], "cancelled", "{}", cancelled.text);
    }
    again("it was cancelled").await;
    assert_eq!((left(&a.api, x).await, left(&a.api, y).await), (Some(2), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_of_a_cart_are_one_cart() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let (x, y) = (a.api.open_sale("atomic_update", 500).await, a.api.open_sale("optimistic", 20).await);
    for round in 0..20 {
        let key = format!("twins-{round}");
        let twin = |at: usize| {
            let (api, key) = ([&a.api, &b.api][at % 2], &key);
            async move { cart(api, key, &[(x, 3), (y, 1)]).await }
        };
        let twins = join_all((0..10).map(twin)).await;
        for twin in &twins {
            assert_eq!((twin.status.as_u16(), &twin.text), (201, &twins[0].text), "round {round}");
        }
        let replayed = twins.iter().filter(|twin| twin.headers.contains_key("idempotent-replayed")).count();
        assert_eq!(replayed, 9, "one of them bought");
        // The last unit of one is gone with the last round: its twins are told yes all the same.
    }
    assert_eq!(orders(&sql).await, 40);
    assert_eq!((left(&a.api, x).await, left(&b.api, y).await), (Some(440), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_s_key_with_another_body_is_refused() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let (x, y) = (a.api.open_sale("atomic_update", 9).await, a.api.open_sale("row_lock", 9).await);
    let z = a.api.open_sale("atomic_update", 9).await;
    assert!(cart(&a.api, "k", &[(x, 2), (y, 1)]).await.is_sold());
    let bodies: [&[(Uuid, i64)]; 6] =
        [&[(x, 1), (y, 1)], &[(x, 2)], &[(y, 1)], &[(z, 1)], &[(x, 2), (y, 1), (z, 1)], &[(x, 99), (z, 99)]];
    for items in bodies {
        for api in [&a.api, &b.api] {
            let other = cart(api, "k", items).await;
            assert_eq!(refusal(&other), (422, "idempotency-key-reused"), "{items:?}: {}", other.text);
        }
    }
    let held = cart_held(&b.api, "k", &[(x, 2), (y, 1)], Some(60)).await;
    assert_eq!(refusal(&held), (422, "idempotency-key-reused"), "{}", held.text);
    assert_eq!(orders(&sql).await, 2);
}

/// Two bodies under one key cross: one has the key and waits for a stock row, the other the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_for_two_bodies_at_once_is_one_of_them_and_never_a_deadlock() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let (x, y) = (a.api.open_sale("atomic_update", 99).await, a.api.open_sale("atomic_update", 99).await);
    let (mut alone, mut together) = (0, 0);
    for round in 0..60 {
        let key = format!("unlike-{round}");
        let (both, last) = ([(x, 1), (y, 1)], [(y, 1)]);
        let single = async {
            match round % 2 {
                0 => cart(&b.api, &key, &last).await,
                _ => b.api.order(y, &key, "a buyer of carts", 1).await,
            }
        };
        let (cart, single) = tokio::join!(cart(&a.api, &key, &both), single);
        assert_ne!(cart.is_sold(), single.is_sold(), "{} {}", cart.text, single.text);
        let refused = if cart.is_sold() { &single } else { &cart };
        assert_eq!(refusal(refused), (422, "idempotency-key-reused"), "{}", refused.text);
        alone += i64::from(single.is_sold());
        together += i64::from(cart.is_sold());
    }
    assert_eq!(orders(&sql).await, alone + 2 * together);
    assert_eq!((left(&a.api, x).await, left(&b.api, y).await), (Some(99 - together), Some(99 - 60)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_s_key_is_no_single_order_s_key_and_the_other_way_round() {
    let app = TestApp::start().await;
    let (api, sql) = (&app.api, app.sql().await);
    let (x, y) = (api.open_sale("atomic_update", 9).await, api.open_sale("row_lock", 9).await);
    let bought = cart(api, "a-cart's", &[(x, 1), (y, 1)]).await;
    assert!(bought.is_sold(), "{}", bought.text);
    let ways = ["atomic_update", "row_lock", "optimistic", "serializable", "lock_redis_fenced", "redis_lua"];
    for way in ways {
        let sale = api.open_sale(way, 1).await;
        for sale in [sale, x, y] {
            let alone = api.order(sale, "a-cart's", "a buyer of carts", 1).await;
            assert_eq!(refusal(&alone), (422, "idempotency-key-reused"), "{way}: {}", alone.text);
        }
        eventually_left(api, sale, 1).await;
        let key = format!("a-single-{way}");
        let alone = api.order(sale, &key, "a buyer of carts", 1).await;
        assert!(alone.is_sold(), "{way}: {}", alone.text);
        for items in [&[(x, 1), (y, 1)][..], &[(x, 1)], &[(y, 99)]] {
            let together = cart(api, &key, items).await;
            assert_eq!(refusal(&together), (422, "idempotency-key-reused"), "{way}: {}", together.text);
        }
        let again = api.order(sale, &key, "a buyer of carts", 1).await;
        assert_eq!((again.status.as_u16(), &again.text), (201, &alone.text), "{way}");
    }
    assert_eq!((left(api, x).await, left(api, y).await), (Some(8), Some(8)));
    assert_eq!(orders(&sql).await, 2 + 6);
}
