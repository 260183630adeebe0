//! Orders that are decided together are each decided for itself: batches of `group_commit`, and the batch
//! endpoint in front of every strategy.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{Answer, Api, TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

/// A service behind a relay whose one connection is kept back while a first buyer's batch is on it, so that
/// all others are one batch; and a service beside it.
struct Held {
    app: TestApp,
    beside: TestApp,
    pg: Relay,
}

impl Held {
    async fn start() -> Held {
        let database = fresh_database().await;
        let pg = Relay::to(port_of(&database)).await;
        // One at once: whoever stands in the line of the strategy is not counted.
        let narrow = ["--lab", "--pool-connections-max", "1", "--in-flight-max", "1"];
        let settings = [&narrow[..], &UNATTENDED].concat();
        let app = TestApp::on(&with_port(&database, pg.port), &settings).await;
        let beside = TestApp::on(&database, &["--lab"]).await;
        Held { app, beside, pg }
    }

    /// Sends these orders as one batch: key, buyer, quantity. Answers in their sequence.
    async fn together(&self, sale: Uuid, orders: &[(&str, &str, i64)]) -> Vec<Answer> {
        self.pg.hold(1);
        let api = self.app.api.clone();
        let first = tokio::spawn(async move { api.buy(sale).await });
        eventually("the first batch is held", async || self.pg.is_holding()).await;
        let mut others = Vec::new();
        for (key, buyer, quantity) in orders {
            let (api, key, buyer, quantity) =
                (self.app.api.clone(), (*key).to_owned(), (*buyer).to_owned(), *quantity);
            let before = self.app.api.in_flight(sale).await;
            others.push(tokio::spawn(async move { api.order(sale, &key, &buyer, quantity).await }));
            // One after the other, so that their sequence is known.
            eventually("it waits", async || self.app.api.in_flight(sale).await > before).await;
        }
        self.pg.release();
        assert!(first.await.expect("the first buyer").is_sold());
        let mut answers = Vec::new();
        for other in others {
            answers.push(other.await.expect("a buyer"));
        }
        answers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sold_out_used_reused_and_over_limit_in_one_batch_each_get_their_own_answer() {
    let held = Held::start().await;
    let api = &held.beside.api;
    let sale = api.open_limited("group_commit", 7, Some(3)).await;
    // Met before: looking a sale up is no turn of an order.
    assert!(held.app.api.order(sale, "old", "o", 1).await.is_sold());
    let answers = held
        .together(
            sale,
            &[
                ("a", "a", 2),
                ("b", "o", 3),
                ("old", "o", 1),
                ("old", "o", 2),
                ("c", "a", 2),
                ("d", "d", 3),
                ("e", "e", 1),
                ("a", "a", 2),
            ],
        )
        .await;
    let said: Vec<_> = answers.iter().map(|a| (a.status.as_u16(), a.problem().to_owned())).collect();
    let no = |status, problem: &str| (status, problem.to_owned());
    let yes = (201, String::new());
    assert_eq!(
        said,
        [
            yes.clone(),
            no(409, "buyer-limit"),
            yes.clone(),
            no(422, "idempotency-key-reused"),
            no(409, "buyer-limit"),
            yes.clone(),
            no(409, "sold-out"),
            yes,
        ]
    );
    assert_eq!(answers[7].id(), answers[0].id(), "a twin in the same batch is the same order");
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.left, e.over_limit, e.drift), (7, 4, Some(0), 0, Some(0)), "{e:?}");
    assert_eq!(e.unbalanced, 0);
    let batches = "select count(distinct xmin::text) from orders where key in ('a', 'd')";
    let batches: i64 = sqlx::query_scalar(batches).fetch_one(&held.beside.sql().await).await.expect("xmin");
    assert_eq!(batches, 1, "they were decided apart: this showed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_recorded_fails_alone() {
    let held = Held::start().await;
    let api = &held.beside.api;
    let sale = api.open_sale("group_commit", 20).await;
    let sql = held.beside.sql().await;
    // A stand-in for whatever the database may refuse for the sake of one row.
    let poison = "alter table orders add constraint no_poison check (buyer_id <> 'poison')";
    sqlx::query(poison).execute(&sql).await.expect("a constraint");
    assert!(held.app.api.buy(sale).await.is_sold());
    held.pg.hold(1);
    let first = tokio::spawn({
        let api = held.app.api.clone();
        async move { api.buy(sale).await }
    });
    eventually("the first batch is held", async || held.pg.is_holding()).await;
    let buyers = ["b1", "b2", "poison", "b3", "b4"];
    let orders = buyers.map(|buyer| {
        let api = held.app.api.clone();
        tokio::spawn(async move { api.order(sale, buyer, buyer, 1).await })
    });
    eventually("all wait", async || held.app.api.in_flight(sale).await >= 6).await;
    held.pg.release();
    assert!(first.await.expect("the first").is_sold());
    for (buyer, order) in buyers.into_iter().zip(orders) {
        let answer = order.await.expect("a buyer");
        if buyer == "poison" {
            assert_eq!(answer.problem(), "store-unavailable", "{}", answer.text);
            assert_eq!(answer.body["executed"], false);
        } else {
            assert!(answer.is_sold(), "{buyer}: {}", answer.text);
        }
    }
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.left, e.drift), (6, 6, Some(14), Some(0)), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_commit_nobody_heard_of_is_sent_again_and_sold_once() {
    let held = Held::start().await;
    let api = &held.beside.api;
    let sale = api.open_sale("group_commit", 11).await;
    assert!(held.app.api.buy(sale).await.is_sold());
    // Committed, and the word of it is lost. Sent again, it says that each of them is recorded.
    held.pg.cut(1);
    for answer in Api::rush(&[&held.app.api], sale, 10, 10).await {
        assert!(answer.is_sold(), "there is one for each, and nobody is left in doubt: {}", answer.text);
    }
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.left, e.drift), (11, 11, Some(0), Some(0)), "{e:?}");
    assert_eq!(api.buy(sale).await.problem(), "sold-out");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_word_about_a_commit_nobody_is_told_that_nothing_was_taken() {
    let held = Held::start().await;
    let api = &held.beside.api;
    let sale = api.open_sale("group_commit", 2).await;
    assert!(held.app.api.buy(sale).await.is_sold());
    held.pg.hold(1);
    let late = held.app.api.clone();
    let late = tokio::spawn(async move { late.order(sale, "late", "late", 1).await });
    eventually("its batch is held", async || held.pg.is_holding()).await;
    assert!(api.buy(sale).await.is_sold(), "the last unit, to somebody else");
    // The wire breaks. The batch is sent again, and refused; but the first sending may be on its way still.
    held.pg.redirect(port_of(&held.beside.database_url));
    let late = late.await.expect("the late buyer");
    assert_eq!(late.problem(), "outcome-unknown", "{}", late.text);
    held.pg.release();
    let again = api.order(sale, "late", "late", 1).await;
    assert_eq!(again.problem(), "sold-out", "who asks again learns it: {}", again.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_both_batch_sell_one_stock() {
    let database = fresh_database().await;
    let (one, two) = (Process::start(&database), Process::start(&database));
    let sale = one.api.open_sale("group_commit", 300).await;
    let answers = Api::rush(&[&one.api, &two.api], sale, 900, 128).await;
    assert_eq!(answers.iter().filter(|a| a.is_sold()).count(), 300);
    assert!(answers.iter().all(|a| a.is_sold() || a.problem() == "sold-out"));
    let e = two.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.left, e.drift), (300, 300, Some(0), Some(0)), "{e:?}");
    let sql = sqlx::PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let batched = "select max(n) from (select count(*) as n from orders group by xmin) batches";
    let largest: i64 = sqlx::query_scalar(batched).fetch_one(&sql).await.expect("the batches");
    assert!(largest > 4, "orders of one transaction: {largest}, so nothing was batched");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sales_share_a_batch_and_each_keeps_its_own_stock() {
    let app = Arc::new(TestApp::start().await);
    let mut sales = Vec::new();
    for units in 1..=20 {
        sales.push((app.api.open_sale("group_commit", units).await, units));
    }
    let orders = (0..600).map(|n| {
        let (sale, _) = sales[n % sales.len()];
        let api = app.api.clone();
        async move { api.buy(sale).await.is_sold() }
    });
    let told = futures_util::future::join_all(orders).await;
    assert_eq!(told.into_iter().filter(|sold| *sold).count(), 210);
    for (sale, units) in sales {
        let e = app.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.left, e.drift), (units, units, Some(0), Some(0)), "{e:?}");
    }
}

async fn batch(api: &Api, sale: Uuid, orders: Value) -> Answer {
    api.post(&format!("/v1/sales/{sale}/orders:batch"), &json!({ "orders": orders })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_request_answers_each_order_as_if_it_had_come_alone() {
    let app = TestApp::start().await;
    for strategy in ["group_commit", "atomic_update", "redis_lua"] {
        let sale = app.api.open_limited(strategy, 10, Some(4)).await;
        let key = |name: &str| format!("{strategy}-{name}");
        let orders = json!([
            {"key": key("a"), "buyer_id": "a", "quantity": 4},
            {"key": key("b"), "buyer_id": "b", "quantity": 0},
            {"key": key("c"), "buyer_id": "c", "quantity": 5},
            {"key": "two words", "buyer_id": "d", "quantity": 1},
        ]);
        let answer = batch(&app.api, sale, orders.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let results = answer.body["results"].as_array().expect("results");
        let said: Vec<_> =
            results.iter().map(|r| (r["status"].as_u64(), r["problem"]["type"].as_str())).collect();
        assert_eq!(
            said,
            [
                (Some(201), None),
                (Some(422), Some("/problems/validation")),
                (Some(409), Some("/problems/buyer-limit")),
                (Some(422), Some("/problems/validation")),
            ],
            "{strategy}"
        );
        let again = batch(&app.api, sale, orders).await;
        assert_eq!(
            again.body["results"][0]["order"], results[0]["order"],
            "{strategy}: a retry buys nothing"
        );
        assert_eq!(again.body["results"][0]["replayed"], true);
        let alone = app.api.order(sale, &key("a"), "a", 4).await;
        assert_eq!(alone.body, results[0]["order"], "a key is a key, batch or not");
        let rest =
            (0..8).map(|n| json!({"key": key(&format!("r{n}")), "buyer_id": format!("r{n}"), "quantity": 1}));
        let rest = batch(&app.api, sale, rest.collect()).await;
        let sold = rest.body["results"].as_array().expect("results").iter().filter(|r| r["status"] == 201);
        assert_eq!(sold.count(), 6, "{strategy}: {}", rest.text);
        let e = app.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.drift), (10, 7, Some(0)), "{strategy}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_thousand_is_taken_and_one_more_or_none_is_refused_whole() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("group_commit", 10_000).await;
    let orders = |n: usize| -> Value {
        (0..n).map(|i| json!({"key": format!("k{i}"), "buyer_id": format!("b{i}"), "quantity": 1})).collect()
    };
    for n in [0, 1001] {
        let refused = batch(&app.api, sale, orders(n)).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (422, "validation"), "{}", refused.text);
    }
    assert_eq!(app.api.audit(sale).await.evidence.sold, 0);
    let taken = batch(&app.api, sale, orders(1000)).await;
    let results = taken.body["results"].as_array().expect("results");
    assert!(results.iter().all(|r| r["status"] == 201), "{}", taken.text);
    for (i, result) in results.iter().enumerate() {
        assert_eq!(result["order"]["key"], format!("k{i}"), "in the order in which they were sent");
    }
    assert_eq!(app.api.audit(sale).await.evidence.sold, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_counts_the_orders_of_a_batch() {
    let app = TestApp::on(&fresh_database().await, &["--lab", "--rate-per-s", "5"]).await;
    let sale = app.api.open_sale("group_commit", 100).await;
    let orders =
        |n: usize| -> Value { (0..n).map(|i| json!({"buyer_id": format!("b{i}"), "quantity": 1})).collect() };
    let refused = batch(&app.api, sale, orders(6)).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (429, "rate-limited"), "{}", refused.text);
    assert_eq!(batch(&app.api, sale, orders(4)).await.status, StatusCode::OK);
    assert_eq!(batch(&app.api, sale, orders(4)).await.status.as_u16(), 429, "four of five are gone");
    assert_eq!(app.api.audit(sale).await.evidence.sold, 4);
}
