//! The service dies and comes again: what it answered before it answers still, byte for byte, and what was
//! held meanwhile ends as it was said.

use futures_util::future::join_all;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::ask::{cart, cart_held, confirm_or_rehold, eventually_left, poll_hold, sells_out, state, story};
use crate::support::process::Process;
use crate::support::{Answer, Api, eventually, fresh_database};

const WAYS: [&str; 5] =
    ["atomic_update", "lock_redis_fenced", "redis_lua", "redis_lua_batched", "redis_buckets"];

/// Orders of one sale that end in each way, and the answers that their keys got.
struct Before {
    way: &'static str,
    sale: Uuid,
    sold: Answer,
    /// Held still, confirmed, released, cancelled after they were confirmed, and run out.
    held: [Answer; 5],
}

impl Before {
    async fn buy(api: &Api, way: &'static str) -> Before {
        let sale = api.open_sale(way, 9).await;
        let sold = api.order(sale, &format!("{way}-sold"), "b", 1).await;
        let hold = |at| async move { hold(api, way, sale, at).await };
        let held = [hold(0).await, hold(1).await, hold(2).await, hold(3).await, hold(4).await];
        assert!(sold.is_sold() && held.iter().all(Answer::is_sold), "{way}: {} {held:?}", sold.text);
        for (at, verb) in [(1, "confirm"), (2, "release"), (3, "confirm"), (3, "cancel")] {
            assert_eq!(api.end(held[at].id(), verb).await.status, 200, "{way}: {verb}");
        }
        assert_eq!(api.end(sold.id(), "cancel").await.status, 200, "{way}");
        Before { way, sale, sold, held }
    }

    async fn is_answered_still(&self, api: &Api) {
        let way = self.way;
        let again = api.order(self.sale, &format!("{way}-sold"), "b", 1).await;
        assert_eq!((again.status.as_u16(), &again.text), (201, &self.sold.text), "{way}: it was cancelled");
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.headers["location"], self.sold.headers["location"]);
        for (at, first) in self.held.iter().enumerate() {
            let again = hold(api, way, self.sale, at).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &first.text), "{way}: hold {at}");
            assert_eq!(again.headers["idempotent-replayed"], "true", "{way}: hold {at}");
        }
        let other = api.order(self.sale, &format!("{way}-sold"), "b", 2).await;
        assert_eq!(other.problem(), "idempotency-key-reused", "{way}: {}", other.text);
    }
}

/// The last one is a short one.
async fn hold(api: &Api, way: &str, sale: Uuid, at: usize) -> Answer {
    let seconds = if at == 4 { 2 } else { 3_600 };
    api.hold_as(sale, &format!("{way}-held-{at}"), "b", 1, seconds).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_a_restart_is_answered_after_it_byte_for_byte() {
    let database = fresh_database().await;
    let sql = PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let mut first = Process::start(&database);
    let before = join_all(WAYS.map(|way| Before::buy(&first.api, way))).await;
    for before in &before {
        before.is_answered_still(&first.api).await;
    }
    first.kill();
    drop(first);
    let second = Process::start(&database);
    let api = &second.api;
    for before in &before {
        let way = before.way;
        before.is_answered_still(api).await;
        // A hold that nobody looked after while there was no service ends with the new one.
        let short = before.held[4].id();
        eventually("it expires", async || state(api, short).await == "expired").await;
        before.is_answered_still(api).await;
        assert_eq!(story(&sql, short).await, ["held", "expired"], "{way}");
        let states = join_all(before.held.iter().map(|held| state(api, held.id()))).await;
        assert_eq!(states, ["held", "confirmed", "released", "cancelled", "expired"], "{way}");
        let again = confirm_or_rehold(api, short).await;
        assert!(again.is_sold(), "{way}: {}", again.text);
        eventually_left(api, before.sale, 6).await;
        sells_out(&[api], before.sale, 6).await;
        before.is_answered_still(api).await;
        let e = api.audit(before.sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (9, 0, Some(0), 0), "{way}: {e:?}");
    }
}

/// Killed in the middle of a rush of holds, releases and cancellations: every key has one answer, which is
/// that of the ledger, and every unit is somewhere.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_orders_are_held_and_ended_it_loses_none_and_gives_none_back_twice() {
    const UNITS: i64 = 300;
    let database = fresh_database().await;
    let sql = PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let mut first = Process::start(&database);
    let mut sales = Vec::new();
    for way in WAYS {
        sales.push(first.api.open_sale(way, UNITS).await);
    }
    let buyers: Vec<_> = (0..240)
        .map(|at| {
            let (api, sale) = (first.api.clone(), sales[at % WAYS.len()]);
            tokio::spawn(async move { hold_and_end(&api, sale, at).await })
        })
        .collect();
    let ended = "select count(*) from movements where kind in ('released', 'cancelled')";
    eventually("some have ended", async || {
        sqlx::query_scalar::<_, i64>(ended).fetch_one(&sql).await.expect("a count") > 25
    })
    .await;
    first.kill();
    let known: Vec<Option<String>> =
        join_all(buyers).await.into_iter().map(|b| b.expect("a buyer")).collect();
    assert!(known.iter().any(Option::is_none), "it was killed too late: this showed nothing");

    let second = Process::start(&database);
    let api = &second.api;
    for (at, known) in known.iter().enumerate().filter(|(_, known)| known.is_some()) {
        // The dead one's lock is in the way until its lease ends.
        let again = poll_hold(api, sales[at % WAYS.len()], &format!("hold-{at}")).await;
        assert_eq!((again.status.as_u16(), Some(&again.text)), (201, known.as_ref()), "told yes, hold {at}");
    }
    for (sale, way) in sales.into_iter().zip(WAYS) {
        // What the dead one had taken is recorded, what it had given back is for sale.
        eventually("nothing is under way", async || api.audit(sale).await.evidence.drift == Some(0)).await;
        let e = api.audit(sale).await.evidence;
        assert_eq!((e.left, e.unbalanced), (Some(UNITS - e.sold), 0), "{way}: {e:?}");
        sells_out(&[api], sale, UNITS - e.sold).await;
        let e = api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (UNITS, 0, Some(0), 0), "{way}: {e:?}");
    }
}

/// What the hold was answered, where it was answered; who hears nothing tries nothing more.
async fn hold_and_end(api: &Api, sale: Uuid, at: usize) -> Option<String> {
    let post = async |path: String, body: Value| {
        let request = api.client.post(format!("{}{path}", api.url)).json(&body);
        let response = request.header("Idempotency-Key", format!("hold-{at}")).send().await.ok()?;
        (response.status() == 201 || response.status() == 200).then_some(response.text().await.ok()?)
    };
    let body = serde_json::json!({"buyer_id": "b", "quantity": 1, "hold_seconds": 3_600});
    let held = post(format!("/v1/sales/{sale}/orders"), body).await?;
    let order: Value = serde_json::from_str(&held).expect("an order");
    let path = format!("/v1/orders/{}", order["id"].as_str().expect("an id"));
    if at.is_multiple_of(2) {
        post(format!("{path}/release"), Value::Null).await;
    } else {
        post(format!("{path}/confirm"), serde_json::json!({})).await;
        let _ = api.client.delete(format!("{}{path}", api.url)).send().await;
    }
    Some(held)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_answered_after_a_restart_byte_for_byte() {
    let database = fresh_database().await;
    let mut first = Process::start(&database);
    let api = first.api.clone();
    let (x, y) = (api.open_sale("atomic_update", 4).await, api.open_sale("row_lock", 4).await);
    let sold = cart(&api, "sold", &[(x, 1), (y, 1)]).await;
    let held = cart_held(&api, "held", &[(y, 1), (x, 1)], Some(3_600)).await;
    assert!(sold.is_sold() && held.is_sold(), "{} {}", sold.text, held.text);
    for (answer, verb) in [(&sold, "cancel"), (&held, "release")] {
        let order = answer.body["orders"][0]["id"].as_str().expect("an id");
        assert_eq!(api.end(order, verb).await.status, 200);
    }
    first.kill();
    let second = Process::start(&database);
    let again = [
        cart(&second.api, "sold", &[(x, 1), (y, 1)]).await,
        cart_held(&second.api, "held", &[(y, 1), (x, 1)], Some(3_600)).await,
    ];
    for (again, first) in again.iter().zip([&sold, &held]) {
        assert_eq!((again.status.as_u16(), &again.text), (201, &first.text));
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
    let other = cart(&second.api, "held", &[(y, 1), (x, 1)]).await;
    assert_eq!(other.problem(), "idempotency-key-reused", "{}", other.text);
}
