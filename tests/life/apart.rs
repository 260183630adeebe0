//! Units that do not lie in one row: stripes, a row per unit, numbers of a sequence. Whatever buyers do to
//! each other, all are sold, none twice, and nobody is told *sold out* because somebody else is under way.

use futures_util::StreamExt;
use futures_util::future::join_all;
use sellout::strategies::Spec;
use sqlx::{PgPool, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::ask::{eventually_left, is_told_to_try_again, left, sells_out, two_services};
use crate::support::{Answer, Api, TestApp, eventually};

const WAYS: [&str; 3] = ["stripes", "skip_locked", "ticket"];

/// Orders of these quantities, all by buyers of that name, at once at both services; asked until they know.
async fn rush_of(apis: [&Api; 2], sale: Uuid, name: &str, quantities: &[i64]) -> Vec<Answer> {
    let asked = quantities.iter().enumerate().map(|(at, quantity)| {
        let key = Uuid::now_v7().to_string();
        async move { poll_quantity(apis[at % 2], sale, &key, name, *quantity).await }
    });
    futures_util::stream::iter(asked).buffer_unordered(24).collect().await
}

async fn poll_quantity(api: &Api, sale: Uuid, key: &str, buyer: &str, quantity: i64) -> Answer {
    let mut answer = api.order(sale, key, buyer, quantity).await;
    for _ in 0..200 {
        if !is_told_to_try_again(&answer) {
            break;
        }
        answer = api.order(sale, key, buyer, quantity).await;
    }
    answer
}

fn units_of(answers: &[Answer]) -> i64 {
    answers.iter().filter(|a| a.is_sold()).map(|a| a.body["quantity"].as_i64().expect("a quantity")).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_who_all_begin_at_one_place_buy_all_hundred_in_any_quantities() {
    let [a, b] = two_services(&["--lab"]).await;
    for way in WAYS {
        let sale = a.api.open_sale(way, 100).await;
        // One name is one stripe to begin at.
        let quantities: Vec<i64> = (0..60).map(|at| 1 + at % 5).collect();
        let answers = rush_of([&a.api, &b.api], sale, "everybody", &quantities).await;
        for answer in answers.iter().filter(|answer| !answer.is_sold()) {
            assert_eq!(answer.problem(), "sold-out", "{way}: {} {}", answer.status, answer.text);
        }
        let sold = units_of(&answers);
        // Who wanted most was refused last: fewer than five were left then.
        assert!((96..=100).contains(&sold), "{way}: {sold} of 100, and 180 were wanted");
        sells_out(&[&a.api, &b.api], sale, 100 - sold).await;
        let e = a.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.stranded, e.drift), (100, 0, 0, Some(0)), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_of_a_large_sale_is_taken_without_a_look_at_the_others() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("skip_locked", 20_000).await;
    for _ in 0..5 {
        assert!(app.api.buy(sale).await.is_sold());
    }
    let sql = app.sql().await;
    let waited = sqlx::query_scalar::<_, bool>("select wait_for_units($1, 1, 2)").bind(sale);
    assert!(waited.fetch_one(&sql).await.expect("units that nobody holds"));
    let seen = "select n_tup_del, seq_tup_read + idx_tup_fetch as looked_at \
                from pg_stat_user_tables where relname = 'units'";
    let seen = async || sqlx::query(seen).fetch_one(&sql).await.expect("the statistics");
    eventually("all that was taken is counted", async || seen().await.get::<i64, _>("n_tup_del") == 7).await;
    let looked_at: i64 = seen().await.get("looked_at");
    // Once or twice all are counted, for who asks how many are left; not for each order.
    assert!(looked_at < 3 * 20_000, "{looked_at} rows were looked at for 7 units");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stripe_has_enough_and_the_order_is_gathered_from_several() {
    let app = TestApp::start().await;
    // Sixteen stripes of two.
    let sale = app.api.open_sale("stripes", 32).await;
    let order = async |quantity| app.api.order(sale, &Uuid::now_v7().to_string(), "b", quantity).await;
    for (quantity, left) in [(3, 29), (9, 20), (1, 19), (16, 3)] {
        assert!(order(quantity).await.is_sold(), "{quantity}, and {left} remain");
        eventually_left(&app.api, sale, left).await;
    }
    assert_eq!(order(4).await.problem(), "sold-out");
    assert!(order(3).await.is_sold(), "what is left lies in several");
    assert_eq!(order(1).await.problem(), "sold-out");
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.drift), (32, Some(0)), "{e:?}");
}

/// Buyers who are refused in the middle of their take, for their limit or a key of before, between others.
#[tokio::test(flavor = "multi_thread")]
async fn buyers_who_are_refused_in_between_keep_no_unit_back() {
    let [a, b] = two_services(&["--lab"]).await;
    let apis = [&a.api, &b.api];
    for way in WAYS {
        let sale = a.api.open_limited(way, 100, Some(3)).await;
        let hoarders = join_all((0..4).map(async |at| {
            poll_quantity(&a.api, sale, &format!("{way}-hoard-{at}"), &format!("hoarder-{at}"), 3).await
        }));
        assert!(hoarders.await.iter().all(Answer::is_sold), "{way}");
        let asked = (0..240).map(|at| async move {
            let name = format!("hoarder-{}", at % 4);
            match at % 3 {
                0 => (3, poll_quantity(apis[at % 2], sale, &Uuid::now_v7().to_string(), &name, 1).await),
                1 => {
                    (1, poll_quantity(apis[at % 2], sale, &format!("{way}-hoard-{}", at % 4), &name, 3).await)
                }
                _ => {
                    let new = Uuid::now_v7().to_string();
                    (2, poll_quantity(apis[at % 2], sale, &new, &new, 1 + i64::from(at % 2 == 1)).await)
                }
            }
        });
        let answers: Vec<(i32, Answer)> =
            futures_util::stream::iter(asked).buffer_unordered(24).collect().await;
        let of = |kind| answers.iter().filter(move |(k, _)| *k == kind).map(|(_, answer)| answer.clone());
        let refused = of(3).filter(|a| a.problem() == "buyer-limit").count();
        assert!(refused > 10, "{way}: {refused} were refused for their limit: this showed little");
        assert!(of(3).all(|a| ["buyer-limit", "sold-out"].contains(&a.problem())), "{way}");
        assert!(of(1).all(|a| a.is_sold()), "{way}: a key of before gets its order");
        let bought: Vec<Answer> = of(2).collect();
        let rest = 100 - 12 - units_of(&bought);
        sells_out(&apis, sale, rest).await;
        let e = b.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.over_limit), (100, 0, 0), "{way}: {e:?}");
        assert_eq!((e.stranded, e.drift, e.unbalanced), (0, Some(0), 0), "{way}: {e:?}");
    }
}

/// A buyer who has taken, and has not committed: the strategy's own statement in a transaction of the test.
async fn under_way(sql: &PgPool, way: &str, sale: Uuid, quantity: i64) -> Transaction<'static, Postgres> {
    let spec = Spec::find(way).expect("a strategy");
    let name = format!("{way}.take.sql");
    let (_, take) = spec.statements().find(|(file, _)| *file == name).expect("its take");
    let mut transaction = sql.begin().await.expect("a transaction");
    let key = Uuid::now_v7();
    let mut query = sqlx::query(take)
        .bind("anonymous")
        .bind(key.to_string())
        .bind(key)
        .bind(sale)
        .bind("who is under way")
        .bind(quantity)
        .bind(&[0_u8; 32][..])
        .bind(true)
        .bind(None::<i64>)
        .bind(1_i64);
    if way == "skip_locked" {
        query = query.bind(0_i64);
    }
    let row = query.fetch_one(&mut *transaction).await.expect("taken");
    assert!(["all", "some"].contains(&row.get(0)), "{way}: nothing was taken");
    transaction
}

async fn somebody_waits(sql: &PgPool) -> bool {
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar::<_, i64>(waiting).fetch_one(sql).await.expect("pg_stat_activity") > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_the_last_units_makes_nobody_hear_sold_out_before_he_has_them() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    for way in WAYS {
        for commits in [false, true] {
            let sale = app.api.open_sale(way, 1).await;
            let transaction = under_way(&sql, way, sale, 1).await;
            let api = app.api.clone();
            let late = tokio::spawn(async move { api.buy(sale).await });
            eventually("he waits", async || late.is_finished() || somebody_waits(&sql).await).await;
            assert!(!late.is_finished(), "{way}: answered while the last units are neither sold nor free");
            if commits {
                transaction.commit().await.expect("commit");
                assert_eq!(late.await.expect("an answer").problem(), "sold-out", "{way}");
            } else {
                transaction.rollback().await.expect("rollback");
                let late = late.await.expect("an answer");
                assert!(late.is_sold(), "{way}: {} {}", late.status, late.text);
            }
            let e = app.api.audit(sale).await.evidence;
            assert_eq!((e.sold, e.stranded, e.drift), (1, 0, Some(0)), "{way}: {e:?}");
        }
    }
}

/// Who raises the epoch works out what is unsold, and must not overlook who has taken and not committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_handover_and_a_change_wait_for_who_has_taken_and_not_committed() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    for way in WAYS {
        let sale = app.api.open_sale(way, 4).await;
        for change in [true, false] {
            let transaction = under_way(&sql, way, sale, 1).await;
            let api = app.api.clone();
            let moved = tokio::spawn(async move {
                if change {
                    api.change(sale, "less", -3).await
                } else {
                    api.hand_over(sale, "row_lock").await
                }
            });
            eventually("it waits", async || moved.is_finished() || somebody_waits(&sql).await).await;
            assert!(!moved.is_finished(), "{way}: it did not wait");
            transaction.commit().await.expect("commit");
            let moved = moved.await.expect("an answer");
            assert_eq!(moved.status, 200, "{way}: {}", moved.text);
            if change {
                assert_eq!(moved.body["changed"], -3, "{way}: three were left");
                assert_eq!(app.api.change(sale, "more", 2).await.status, 200);
            }
        }
        sells_out(&[&app.api], sale, 1).await;
        let e = app.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.oversold, e.stranded, e.drift), (3, 0, 0, Some(0)), "{way}: {e:?}");
    }
}

/// One service sells on as it knows the sale, and another one has handed it over.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_heard_of_a_handover_tells_nobody_sold_out() {
    let [a, b] = two_services(&["--lab"]).await;
    for way in WAYS {
        for (from, to) in
            [("atomic_update", way), (way, "flush_barrier"), (way, "stripes"), ("row_lock", way)]
        {
            let sale = a.api.open_sale(from, 3).await;
            assert!(a.api.buy(sale).await.is_sold());
            assert_eq!(b.api.hand_over(sale, to).await.status, 200, "{from} to {to}");
            let late = a.api.order(sale, &Uuid::now_v7().to_string(), "b", 2).await;
            assert!(late.is_sold(), "{from} to {to}: {} {}", late.status, late.text);
            let e = b.api.audit(sale).await.evidence;
            assert_eq!((e.sold, e.oversold, e.drift), (3, 0, Some(0)), "{from} to {to}: {e:?}");
        }
    }
}

/// Between the number and the commit the connection is killed: nobody has that number ever again.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_whose_holder_was_killed_is_a_gap_and_is_sold_in_the_end() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    let sale = app.api.open_sale("ticket", 100).await;
    for quantity in [1, 5, 1, 13] {
        let mut transaction = under_way(&sql, "ticket", sale, quantity).await;
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut *transaction)
            .await
            .expect("its pid");
        let killed = sqlx::query("select pg_terminate_backend($1, 10000)").bind(pid).execute(&sql).await;
        killed.expect("killed");
        assert!(transaction.commit().await.is_err(), "it was killed");
        assert!(app.api.buy(sale).await.is_sold());
    }
    assert_eq!(left(&app.api, sale).await, Some(76), "it believes that twenty are lost");
    // Twenty numbers are gone, and the ledger knows of no order that has them.
    let answers = Api::rush(&[&app.api], sale, 130, 24).await;
    assert_eq!(units_of(&answers), 96);
    for answer in answers.iter().filter(|answer| !answer.is_sold()) {
        assert_eq!(answer.problem(), "sold-out", "{}", answer.text);
    }
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.oversold, e.stranded, e.drift), (100, 0, 0, Some(0)), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_too_many_rows_is_refused_before_anything_is_moved() {
    let app = TestApp::start().await;
    let body = |units: i64| serde_json::json!({"name": "n", "units": units, "strategy": "skip_locked"});
    let refused = app.api.post("/v1/sales", &body(1_000_001)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (422, "unsupported-by-strategy"),
        "{}",
        refused.text
    );
    assert!(refused.text.contains("a million"), "{}", refused.text);
    let large = app.api.open_sale("stripes", 1_000_001).await;
    let refused = app.api.hand_over(large, "skip_locked").await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (422, "unsupported-by-strategy"),
        "{}",
        refused.text
    );
    assert!(app.api.buy(large).await.is_sold(), "it sells as before");
    assert!(app.api.buy(large).await.is_sold());
    // Not more than a million by now.
    let handed = app.api.hand_over(large, "ticket").await;
    assert_eq!((handed.status.as_u16(), &handed.body["left"]), (200, &999_999.into()), "{}", handed.text);
    let small = app.api.open_sale("skip_locked", 3).await;
    assert_eq!(app.api.change(small, "k", 1_000_001).await.problem(), "unsupported-by-strategy");
    assert_eq!(left(&app.api, small).await, Some(3));
}
