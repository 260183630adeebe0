//! What the tests of this program ask again and again: buyers who try until they know, carts, and what only
//! the ledger says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::json;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::support::{Answer, Api, LIMIT, TestApp, eventually, fresh_database};

/// Two services on one database.
pub async fn two_services(more: &[&str]) -> [TestApp; 2] {
    let database = fresh_database().await;
    [TestApp::on(&database, more).await, TestApp::on(&database, more).await]
}

/// The same service, asked by whoever has this token.
pub fn with_token(api: &Api, token: &str) -> Api {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token");
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let client = reqwest::Client::builder().timeout(LIMIT).default_headers(headers);
    Api { url: api.url.clone(), client: client.build().expect("HTTP client") }
}

/// Nothing was taken, and asking again is the advice.
pub fn is_told_to_try_again(answer: &Answer) -> bool {
    let shed = answer.status == 503 && answer.body["executed"] == false;
    shed || answer.problem() == "request-in-progress"
}

/// Asks until the answer is one: whoever was told to try again does.
async fn poll_answer<F: Future<Output = Answer>>(mut ask: impl FnMut() -> F) -> Answer {
    let until = Instant::now() + LIMIT;
    loop {
        let answer = ask().await;
        if !is_told_to_try_again(&answer) || Instant::now() > until {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// One unit, always under the same key.
pub async fn poll_order(api: &Api, sale: Uuid, key: &str) -> Answer {
    poll_answer(|| api.order(sale, key, key, 1)).await
}

/// One unit held for an hour.
pub async fn poll_hold(api: &Api, sale: Uuid, key: &str) -> Answer {
    poll_answer(|| api.hold_as(sale, key, "b", 1, 3_600)).await
}

/// A cart.
pub async fn poll_cart(api: &Api, key: &str, items: &[(Uuid, i64)]) -> Answer {
    poll_answer(|| cart(api, key, items)).await
}

/// A change of the stock.
pub async fn poll_change(api: &Api, sale: Uuid, key: &str, delta: i64) -> Answer {
    poll_answer(|| api.change(sale, key, delta)).await
}

/// A handover.
pub async fn poll_hand_over(api: &Api, sale: Uuid, strategy: &str) -> Answer {
    poll_answer(|| api.hand_over(sale, strategy)).await
}

/// Buyers of one unit each, who ask until they know; every service gets its share.
pub async fn patient_rush(apis: &[&Api], sale: Uuid, buyers: usize, at_once: usize) -> Vec<Answer> {
    let asked = (0..buyers).map(|at| {
        let api = apis[at % apis.len()];
        async move { poll_order(api, sale, &Uuid::now_v7().to_string()).await }
    });
    futures_util::stream::iter(asked).buffer_unordered(at_once).collect().await
}

/// Exactly so many more are for sale: that many buyers get one, and nobody else. A service that remembers
/// the sale as sold out may refuse some first, for no longer than one refresh.
pub async fn sells_out(apis: &[&Api], sale: Uuid, units: i64) {
    let units = usize::try_from(units).expect("units");
    let (mut sold, until) = (0, Instant::now() + Duration::from_secs(5));
    while sold < units {
        assert!(Instant::now() < until, "{sold} of {units} could be bought");
        sold += bought(apis, sale, units - sold).await;
    }
    assert_eq!(bought(apis, sale, 16).await, 0, "{units} were for sale, and more could be bought");
}

async fn bought(apis: &[&Api], sale: Uuid, buyers: usize) -> usize {
    let answers = patient_rush(apis, sale, buyers, 24).await;
    for answer in answers.iter().filter(|answer| !answer.is_sold()) {
        assert_eq!(answer.problem(), "sold-out", "{} {}", answer.status, answer.text);
    }
    answers.iter().filter(|answer| answer.is_sold()).count()
}

/// What the sale's strategy believes is left.
pub async fn left(api: &Api, sale: Uuid) -> Option<i64> {
    api.get(&format!("/v1/sales/{sale}")).await.body["left"].as_i64()
}

/// A belief elsewhere may lag behind the ledger for a moment, not for ever.
pub async fn eventually_left(api: &Api, sale: Uuid, units: i64) {
    eventually(&format!("{units} are left"), async || left(api, sale).await == Some(units)).await;
}

/// The order as its own caller sees it now.
pub async fn state(api: &Api, order: &str) -> String {
    let order = api.get(&format!("/v1/orders/{order}")).await;
    order.body["state"].as_str().expect("a state").to_owned()
}

/// `confirm` of a payment that may be late.
pub async fn confirm_or_rehold(api: &Api, order: &str) -> Answer {
    api.post(&format!("/v1/orders/{order}/confirm"), &json!({"rehold": true})).await
}

/// Several sales at once, all or nothing.
pub async fn cart(api: &Api, key: &str, items: &[(Uuid, i64)]) -> Answer {
    cart_held(api, key, items, None).await
}

/// The same, held for so long.
pub async fn cart_held(api: &Api, key: &str, items: &[(Uuid, i64)], seconds: Option<i64>) -> Answer {
    let items: Vec<_> = items.iter().map(|(sale, n)| json!({"sale_id": sale, "quantity": n})).collect();
    let mut body = json!({"buyer_id": "a buyer of carts", "items": items});
    if let Some(seconds) = seconds {
        body["hold_seconds"] = seconds.into();
    }
    let request = api.client.post(format!("{}/v1/orders", api.url));
    api.send(request.header("Idempotency-Key", key).json(&body)).await
}

/// How many movements of each kind a sale has.
pub async fn movements(sql: &PgPool, sale: Uuid) -> BTreeMap<String, i64> {
    let kinds = "select kind, count(*) as n from history where sale_id = $1 group by kind";
    let rows = sqlx::query(kinds).bind(sale).fetch_all(sql).await.expect("the movements");
    rows.iter().map(|row| (row.get("kind"), row.get("n"))).collect()
}

/// The kinds of an order's movements, as they happened.
pub async fn story(sql: &PgPool, order: &str) -> Vec<String> {
    let kinds = "select kind from history where order_id = $1::uuid order by seq";
    let order: Uuid = order.parse().expect("an order id");
    sqlx::query_scalar(kinds).bind(order).fetch_all(sql).await.expect("the movements")
}

/// Holds that are recorded beside the service, so that each ends at a millisecond of its own: the first in
/// `first_ms`, one more every `every_ms`. Answers with their ids and ends (µs since 1970), soonest first.
pub async fn record_holds(
    sql: &PgPool,
    sale: Uuid,
    number: i64,
    first_ms: f64,
    every_ms: f64,
) -> Vec<(String, u64)> {
    // The stock row is taken from first, as every strategy does.
    let take = "with taken as (
            update stock set units_left = units_left - $2 where sale_id = $1 returning sale_id
        )
        select count(record_order('anonymous', 'round-' || i, gen_random_uuid(), sale_id, 'b-' || i, 1,
            '\\x00', true, ($3 + i * $4)::bigint, 1))
        from taken, generate_series(1, $2) i";
    let take = sqlx::query(take).bind(sale).bind(number).bind(first_ms).bind(every_ms);
    take.execute(sql).await.expect("recorded holds");
    let ends = "select id::text as id, (extract(epoch from expires_at) * 1000000)::bigint as ends
        from orders where sale_id = $1 order by expires_at";
    let rows = sqlx::query(ends).bind(sale).fetch_all(sql).await.expect("their ends");
    let ends = |us: i64| u64::try_from(us).expect("after 1970");
    rows.iter().map(|row| (row.get("id"), ends(row.get("ends")))).collect()
}
