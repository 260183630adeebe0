//! A hold ends at one moment, by one clock: who confirms at that moment and who lets it expire never both
//! win, nor neither; and what nobody paid for is soon for sale again.

use std::collections::HashMap;

use futures_util::StreamExt;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::ask::{left, movements, record_holds, sells_out, two_services};
use crate::last_moment::at_the_last_moment;
use crate::support::{Answer, TestApp, eventually, fresh_database};

const ROUNDS: usize = 10_000;
/// The first hold ends so long after it was recorded, and then one every so often.
const FIRST_MS: f64 = 2_500.0;
const EVERY_MS: f64 = 1.9;

#[tokio::test(flavor = "multi_thread")]
async fn of_confirm_and_expire_at_the_same_moment_exactly_one_wins() {
    let settings = ["--lab", "--sweep-ms", "1", "--life-connections-max", "12"];
    let app = TestApp::on(&fresh_database().await, &settings).await;
    let (api, sql) = (&app.api, app.sql().await);
    let units = i64::try_from(ROUNDS).expect("a number");
    let sale = api.open_sale("atomic_update", units).await;
    let holds = record_holds(&sql, sale, units, FIRST_MS, EVERY_MS).await;
    assert_eq!(holds.len(), ROUNDS);
    let answers = at_the_last_moment(api, holds, "confirm").await;
    assert_eq!(answers.len(), ROUNDS);
    let open = "select count(*) from orders where sale_id = $1 and state = 'held'";
    eventually("every hold has ended", async || {
        sqlx::query_scalar::<_, i64>(open).bind(sale).fetch_one(&sql).await.expect("a count") == 0
    })
    .await;

    let (confirmed, close) = ledger_agrees(&sql, sale, answers).await;
    println!("{confirmed} of {ROUNDS} were confirmed, {close} of them in the last millisecond");
    assert!(confirmed > 1_000 && units - confirmed > 1_000, "{confirmed} confirmed: this showed little");
    assert!(close > 200, "{close} of {confirmed} in the last millisecond: this showed little");
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.left, e.drift, e.unbalanced), (confirmed, Some(units - confirmed), Some(0), 0));
}

/// Each order has one end, and its buyer was told that one. Answers how many were confirmed, and how many of
/// them in the last millisecond.
async fn ledger_agrees(sql: &PgPool, sale: Uuid, answers: Vec<(String, Answer)>) -> (i64, i64) {
    let ledger = "select o.id::text as id, o.state, array_agg(m.kind order by m.seq) as kinds,
            bool_or(m.kind = 'confirmed' and m.at > o.expires_at - interval '1 millisecond') as close
        from orders o join history m on m.order_id = o.id where o.sale_id = $1
        group by o.id, o.state";
    let rows = sqlx::query(ledger).bind(sale).fetch_all(sql).await.expect("the ledger");
    let said: HashMap<_, _> = answers.into_iter().collect();
    assert_eq!(rows.len(), said.len());
    let (mut confirmed, mut close) = (0, 0);
    for row in &rows {
        let (id, state): (String, String) = (row.get("id"), row.get("state"));
        let (kinds, answer): (Vec<String>, _) = (row.get("kinds"), &said[&id]);
        assert_eq!(kinds, ["held", &state], "order {id} was answered {}", answer.text);
        match state.as_str() {
            "confirmed" => assert_eq!(answer.status, 200, "{}", answer.text),
            "expired" => assert_eq!(answer.problem(), "hold-expired", "{} {}", answer.status, answer.text),
            other => panic!("order {id} is {other}"),
        }
        confirmed += i64::from(state == "confirmed");
        close += i64::from(row.get::<bool, _>("close"));
    }
    (confirmed, close)
}

async fn abandoned_holds_come_back(strategy: &str) {
    const HOLDS: i64 = 1_000;
    const SECONDS: i64 = 3;
    let [a, b] = two_services(&["--lab"]).await;
    let sql = a.sql().await;
    let sale = a.api.open_sale(strategy, HOLDS).await;
    let holds = (0..HOLDS).map(|at| if at % 2 == 0 { &a.api } else { &b.api });
    let holds = holds.map(|api| async move { api.hold(sale, SECONDS).await });
    let held: Vec<Answer> = futures_util::stream::iter(holds).buffer_unordered(48).collect().await;
    assert!(held.iter().all(Answer::is_sold), "a hold was refused");
    eventually("all are for sale again", async || left(&a.api, sale).await == Some(HOLDS)).await;
    let late = "select (extract(epoch from max(m.at - o.expires_at)) * 1000)::bigint
        from movements m join orders o on o.id = m.order_id
        where m.sale_id = $1 and m.kind = 'expired'";
    let late: i64 = sqlx::query_scalar(late).bind(sale).fetch_one(&sql).await.expect("the latest");
    println!("{strategy}: the last hold came back {late} ms after its end");
    assert!((0..2_000).contains(&late), "{strategy}: {late} ms after its end");
    let movements = movements(&sql, sale).await;
    assert_eq!((movements["held"], movements["expired"]), (HOLDS, HOLDS), "each once");
    sells_out(&[&a.api, &b.api], sale, HOLDS).await;
    let e = b.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (HOLDS, 0, Some(0), 0), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_abandoned_holds_are_for_sale_again_within_two_seconds_of_their_end() {
    abandoned_holds_come_back("atomic_update").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_abandoned_holds_are_for_sale_again_in_redis_too() {
    abandoned_holds_come_back("redis_lua").await;
}
