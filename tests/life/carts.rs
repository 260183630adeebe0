//! Several sales in one order: all of it or nothing, whoever else buys the same sales, in whatever sequence,
//! one by one or together.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::ask::{
    cart, cart_held, eventually_left, left, patient_rush, poll_cart, sells_out, state, two_services,
};
use crate::support::{Answer, Api, TestApp, eventually};

/// The sales of each cart in the ledger, by its key, with their units.
async fn in_the_ledger(sql: &PgPool) -> BTreeMap<String, BTreeMap<Uuid, i64>> {
    let orders = "select first.key, o.sale_id, o.quantity
        from orders o
        join orders first on first.cart_id = o.cart_id and first.key not like '% %'";
    let rows = sqlx::query(orders).fetch_all(sql).await.expect("the carts");
    let mut carts: BTreeMap<String, BTreeMap<Uuid, i64>> = BTreeMap::new();
    for row in rows {
        carts.entry(row.get("key")).or_default().insert(row.get("sale_id"), row.get("quantity"));
    }
    carts
}

fn is_short_of(answer: &Answer) -> BTreeSet<Uuid> {
    assert_eq!((answer.status.as_u16(), answer.problem()), (409, "sold-out"), "{}", answer.text);
    let short = answer.body["short"].as_array().expect("who is short");
    short.iter().map(|id| id.as_str().and_then(|id| id.parse().ok()).expect("a sale")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_crossing_carts_are_whole_or_nothing_and_never_stuck() {
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let open = |units| a.api.open_sale("atomic_update", units);
    let (x, y, z) = (open(300).await, open(150).await, open(150).await);
    let kinds =
        [vec![(x, 1), (y, 1)], vec![(y, 2), (x, 1)], vec![(z, 1), (y, 1), (x, 1)], vec![(x, 2), (z, 2)]];
    let wanted: BTreeMap<String, _> =
        (0..480).map(|at| (format!("cart-{at}"), kinds[at % kinds.len()].clone())).collect();
    let asked = wanted.iter().enumerate().map(|(at, (key, items))| {
        let api = [&a.api, &b.api][at % 2];
        async move { (key, cart(api, key, items).await) }
    });
    let answers: Vec<_> = futures_util::stream::iter(asked).buffer_unordered(96).collect().await;

    let ledger = in_the_ledger(&sql).await;
    let mut short = BTreeSet::new();
    for (key, answer) in &answers {
        if answer.is_sold() {
            let whole: BTreeMap<_, _> = wanted[*key].iter().copied().collect();
            assert_eq!(ledger.get(*key), Some(&whole), "not the whole cart");
            let sales: Vec<_> = answer.body["orders"].as_array().expect("orders").iter().collect();
            assert_eq!(sales.len(), whole.len(), "{}", answer.text);
        } else {
            // No deadlock, nobody who waited too long: sold out is the only other answer.
            let missing = is_short_of(answer);
            assert!(missing.iter().all(|sale| wanted[*key].iter().any(|(id, _)| id == sale)));
            assert!(!ledger.contains_key(*key), "told no, and something is there");
            short.extend(missing);
        }
    }
    let sold = answers.iter().filter(|(_, answer)| answer.is_sold()).count();
    assert!(sold > 100 && sold < 480 && short.len() > 1, "{sold} sold, short {short:?}: this showed little");
    for (sale, units) in [(x, 300), (y, 150), (z, 150)] {
        let rest = left(&a.api, sale).await.expect("what is left");
        sells_out(&[&a.api, &b.api], sale, rest).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (units, 0, Some(0), 0), "{e:?}");
    }
}

/// Carts subtract under a guard; who took by reading first must notice.
async fn beside_single_orders(way: &str) {
    const UNITS: i64 = 70;
    let [a, b] = two_services(&["--lab"]).await;
    let (x, y) = (a.api.open_sale(way, UNITS).await, b.api.open_sale(way, UNITS).await);
    let carts = (0..60).map(|at| {
        let api = [&a.api, &b.api][at % 2];
        let items = if at % 2 == 0 { [(x, 1), (y, 1)] } else { [(y, 1), (x, 1)] };
        async move { poll_cart(api, &Uuid::now_v7().to_string(), &items).await }
    });
    let carts = async { futures_util::stream::iter(carts).buffer_unordered(10).collect::<Vec<_>>().await };
    let apis = [&a.api, &b.api];
    let (carts, of_x, of_y) =
        tokio::join!(carts, patient_rush(&apis, x, 60, 8), patient_rush(&apis, y, 60, 8));
    let sold = |answers: &[Answer]| i64::try_from(answers.iter().filter(|a| a.is_sold()).count());
    let (carts, of_x, of_y) = (sold(&carts), sold(&of_x), sold(&of_y));
    let (carts, of_x, of_y) = (carts.expect("n"), of_x.expect("n"), of_y.expect("n"));
    assert!(carts > 5 && of_x > 5 && of_y > 5, "{way}: {carts} carts, {of_x} and {of_y}: this showed little");
    for (sale, alone) in [(x, of_x), (y, of_y)] {
        assert_eq!(left(&a.api, sale).await, Some(UNITS - carts - alone), "{way}");
        sells_out(&apis, sale, UNITS - carts - alone).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (UNITS, 0, Some(0), 0), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn carts_beside_single_orders_of_atomic_update_sell_out_exactly() {
    beside_single_orders("atomic_update").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carts_beside_single_orders_of_row_lock_sell_out_exactly() {
    beside_single_orders("row_lock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carts_beside_single_orders_of_optimistic_sell_out_exactly() {
    beside_single_orders("optimistic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carts_beside_single_orders_of_serializable_sell_out_exactly() {
    beside_single_orders("serializable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sale_that_is_short_is_named_and_the_same_sale_twice_is_summed() {
    let app = TestApp::start().await;
    let api = &app.api;
    let (one, two) = (api.open_sale("atomic_update", 1).await, api.open_sale("row_lock", 2).await);
    let many = api.open_sale("optimistic", 50).await;
    let twice = cart(api, "twice", &[(one, 1), (many, 1), (one, 1)]).await;
    assert_eq!(is_short_of(&twice), BTreeSet::from([one]), "one is left and two are asked for");
    let both = cart(api, "both", &[(two, 3), (many, 50), (one, 2)]).await;
    assert_eq!(is_short_of(&both), BTreeSet::from([one, two]));
    for (sale, units) in [(one, 1), (two, 2), (many, 50)] {
        assert_eq!(left(api, sale).await, Some(units), "a refused cart takes nothing");
    }
    let summed = cart(api, "summed", &[(many, 2), (two, 1), (many, 3), (two, 1)]).await;
    assert!(summed.is_sold(), "{}", summed.text);
    let units = |sale: Uuid| {
        let orders = summed.body["orders"].as_array().expect("orders");
        let of_sale: Vec<_> = orders.iter().filter(|o| o["sale_id"] == json!(sale)).collect();
        assert_eq!(of_sale.len(), 1, "{}", summed.text);
        of_sale[0]["quantity"].as_i64()
    };
    assert_eq!((units(many), units(two)), (Some(5), Some(2)));
    assert_eq!((left(api, many).await, left(api, two).await), (Some(45), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_takes_its_stock_elsewhere_is_in_no_cart() {
    let app = TestApp::start().await;
    let api = &app.api;
    let good = api.open_sale("atomic_update", 5).await;
    for way in ["redis_lua", "lock_redis_fenced", "lock_pg_advisory", "lock_in_process", "naive"] {
        let other = api.open_sale(way, 5).await;
        let refused = cart(api, &format!("with-{way}"), &[(good, 1), (other, 1)]).await;
        let refusal = (refused.status.as_u16(), refused.problem());
        assert_eq!(refusal, (422, "unsupported-by-strategy"), "{way}: {}", refused.text);
        assert_eq!(left(api, other).await, Some(5), "{way}");
    }
    assert_eq!(left(api, good).await, Some(5), "a refused cart takes nothing");
    for (items, what) in
        [(vec![], "no item"), (vec![(Uuid::now_v7(), 1)], "an unknown sale"), (vec![(good, 0)], "none of it")]
    {
        assert_eq!(cart(api, "invalid", &items).await.problem(), "validation", "{what}");
    }
}

/// What one process remembers of a sale may be over.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_was_handed_over_meanwhile_is_looked_at_again() {
    let [a, b] = two_services(&["--lab"]).await;
    let (x, y) = (a.api.open_sale("atomic_update", 4).await, a.api.open_sale("atomic_update", 4).await);
    assert!(cart(&a.api, "before", &[(x, 1), (y, 1)]).await.is_sold());
    assert_eq!(b.api.hand_over(x, "row_lock").await.status, 200);
    let after = cart(&a.api, "after", &[(x, 1), (y, 1)]).await;
    assert!(after.is_sold(), "{}", after.text);
    assert_eq!(b.api.hand_over(y, "redis_lua").await.status, 200);
    let refused = cart(&a.api, "now", &[(x, 1), (y, 1)]).await;
    assert_eq!(refused.problem(), "unsupported-by-strategy", "{}", refused.text);
    for sale in [x, y] {
        eventually_left(&a.api, sale, 2).await;
        sells_out(&[&a.api, &b.api], sale, 2).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift), (4, 0, Some(0)), "{e:?}");
    }
}

async fn orders_of(answer: &Answer, api: &Api) -> Vec<(String, String)> {
    assert!(answer.is_sold(), "{}", answer.text);
    let ids = answer.body["orders"].as_array().expect("orders").iter();
    let ids = ids.map(|order| order["id"].as_str().expect("an id").to_owned());
    join_all(ids.map(async |id| (id.clone(), state(api, &id).await))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_cart_ends_order_by_order() {
    let [a, b] = two_services(&["--lab"]).await;
    let (x, y) = (a.api.open_sale("atomic_update", 5).await, a.api.open_sale("serializable", 5).await);
    let z = a.api.open_sale("row_lock", 5).await;
    let held = cart_held(&a.api, "held", &[(x, 2), (y, 2), (z, 2)], Some(60)).await;
    let orders = orders_of(&held, &b.api).await;
    assert!(orders.len() == 3 && orders.iter().all(|(_, state)| state == "held"), "{}", held.text);
    let short = cart_held(&b.api, "short", &[(x, 4), (y, 1)], Some(60)).await;
    assert_eq!(is_short_of(&short), BTreeSet::from([x]), "what is held is not for sale");
    assert_eq!(a.api.end(&orders[0].0, "confirm").await.status, 200);
    assert_eq!(b.api.end(&orders[1].0, "release").await.status, 200);
    let again = cart_held(&b.api, "held", &[(z, 2), (y, 2), (x, 2)], Some(60)).await;
    assert_eq!((again.status.as_u16(), &again.text), (201, &held.text), "whatever has become of it");

    let brief = cart_held(&b.api, "brief", &[(x, 1), (y, 1), (z, 1)], Some(1)).await;
    let brief = orders_of(&brief, &a.api).await;
    for (order, _) in &brief {
        eventually("it has expired", async || state(&a.api, order).await == "expired").await;
    }
    let mut sales = [x, y, z];
    sales.sort();
    // Sorted by sale: the first confirmed, the second released, the third still held.
    for (sale, rest) in sales.into_iter().zip([3, 5, 3]) {
        assert_eq!(left(&a.api, sale).await, Some(rest));
        sells_out(&[&a.api, &b.api], sale, rest).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (5, 0, Some(0), 0), "{e:?}");
    }
}
