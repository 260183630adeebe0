//! What every strategy owes its buyers. Sold is counted from the ledger, never from the answers alone.

use sellout::strategies::{Hazard, Spec};
use sellout::wire::Guarantee;
use serde_json::json;
use uuid::Uuid;

use crate::Bench;
use crate::support::process::Process;
use crate::support::{Answer, Api, eventually};

const UNITS: i64 = 40;
const AT_ONCE: usize = 48;

fn sold(answers: &[Answer]) -> i64 {
    answers.iter().filter(|a| a.is_sold()).count().try_into().expect("a count")
}

/// Nothing but yes, sold out, or an honest "too many at once".
fn all_answers_make_sense(answers: &[Answer]) {
    for a in answers {
        let fine = a.is_sold() || matches!(a.problem(), "sold-out" | "contended");
        assert!(fine, "{} {}", a.status, a.text);
    }
}

pub async fn sells_every_unit_and_no_more(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, UNITS).await;
    let answers = Api::rush(&[api], sale, 400, AT_ONCE).await;
    all_answers_make_sense(&answers);
    let audit = api.audit(sale).await;
    assert_eq!(audit.evidence.sold, sold(&answers), "what was told and what is recorded differ");
    if spec.has(Hazard::StaleRead) {
        // How many more is luck here; that it can be more is shown by schedule.
        assert!(audit.evidence.sold >= UNITS, "sold {} of {UNITS}", audit.evidence.sold);
    } else {
        assert_eq!(audit.evidence.sold, UNITS);
    }
}

pub async fn says_sold_out_and_changes_nothing(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, 1).await;
    if spec.guarantee != Guarantee::Control {
        assert!(api.buy(sale).await.is_sold());
    }
    let before = api.audit(sale).await.evidence;
    let refused = api.buy(sale).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "sold-out"), "{}", refused.text);
    let after = api.audit(sale).await.evidence;
    assert_eq!((before.sold, before.left), (after.sold, after.left));
}

pub async fn a_repeated_key_sells_once_one_after_the_other(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, 2).await;
    let key = Uuid::now_v7().to_string();
    let first = api.order(sale, &key, "b", 1).await;
    assert!(first.is_sold(), "{}", first.text);
    assert!(first.headers.get("idempotent-replayed").is_none());
    replays(api, sale, &key, &first).await;
    // Also when there is nothing left to sell.
    assert!(api.buy(sale).await.is_sold());
    replays(api, sale, &key, &first).await;
    assert_eq!(api.audit(sale).await.evidence.sold, 2);
}

async fn replays(api: &Api, sale: Uuid, key: &str, first: &Answer) {
    let again = api.order(sale, key, "b", 1).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.headers.get("location"), first.headers.get("location"));
    assert_eq!(again.headers.get("idempotent-replayed").map(|v| v.as_bytes()), Some(&b"true"[..]));
}

pub async fn a_repeated_key_sells_once_fifty_at_once(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    // One unit: the twins of the one who gets it must not be told that it is gone.
    let sale = api.open_sale(spec.id, 1).await;
    let key = Uuid::now_v7().to_string();
    let twins = (0..50).map(|_| api.order(sale, &key, "b", 1));
    let answers = futures_util::future::join_all(twins).await;
    for answer in &answers {
        assert!(answer.is_sold(), "{} {}", answer.status, answer.text);
        assert_eq!(answer.body["id"], answers[0].body["id"]);
    }
    assert_eq!(api.audit(sale).await.evidence.orders, 1);
}

pub async fn a_repeated_key_sells_once_after_a_restart(bench: &Bench, spec: &Spec) {
    let database = bench.app.database_url.clone();
    let mut process = Process::start(&database);
    let sale = process.api.open_sale(spec.id, 1).await;
    let key = Uuid::now_v7().to_string();
    let first = process.api.order(sale, &key, "b", 1).await;
    assert!(first.is_sold(), "{}", first.text);
    process.kill();
    let restarted = Process::start(&database);
    if spec.has(Hazard::EarlyAck) {
        // It may stand where the dead process had read it; another one takes that over when it has been idle.
        let answered = async || restarted.api.order(sale, &key, "b", 1).await.is_sold();
        eventually("it is recorded", answered).await;
    }
    replays(&restarted.api, sale, &key, &first).await;
    assert_eq!(restarted.api.audit(sale).await.evidence.orders, 1);
}

pub async fn the_same_key_with_another_body_is_refused(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, 10).await;
    let key = Uuid::now_v7().to_string();
    assert!(api.order(sale, &key, "b", 1).await.is_sold());
    for (buyer, quantity) in [("b", 2), ("c", 1)] {
        let refused = api.order(sale, &key, buyer, quantity).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem()),
            (422, "idempotency-key-reused"),
            "{}",
            refused.text
        );
    }
    let other_sale = api.open_sale(spec.id, 10).await;
    if spec.has(Hazard::EarlyAck) {
        // Another sale's Redis does not know the key; the ledger does, and is asked after the yes.
        assert!(api.order(other_sale, &key, "b", 1).await.is_sold());
        eventually("told yes, refused, and the unit is back", async || {
            let e = api.audit(other_sale).await.evidence;
            (e.sold, e.left) == (0, Some(10))
        })
        .await;
        return;
    }
    let refused = api.order(other_sale, &key, "b", 1).await;
    let honest = matches!(refused.problem(), "idempotency-key-reused");
    assert!(honest, "a key belongs to the caller, not to a sale: {} {}", refused.status, refused.text);
    assert_eq!(api.audit(sale).await.evidence.sold, 1);
    assert_eq!(api.audit(other_sale).await.evidence.sold, 0);
}

pub async fn a_hundred_clicks_of_one_buyer_take_what_the_limit_allows(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_limited(spec.id, 10, Some(4)).await;
    let clicks = (0..100).map(|_| async {
        let key = Uuid::now_v7().to_string();
        api.order(sale, &key, "the keen one", 1).await
    });
    let answers = futures_util::future::join_all(clicks).await;
    assert_eq!(sold(&answers), 4);
    let refused = answers.iter().filter(|a| !a.is_sold());
    for answer in refused {
        // Late clicks may find the stock contended; none may find it gone.
        assert!(matches!(answer.problem(), "buyer-limit" | "contended"), "{}", answer.text);
    }
    let too_many = api.order(sale, &Uuid::now_v7().to_string(), "another", 5).await;
    assert_eq!(too_many.problem(), "buyer-limit", "one order beyond the limit: {}", too_many.text);
    // What the refused clicks did not take is there for others.
    let others = Api::rush(&[api], sale, 6, 1).await;
    assert_eq!(
        sold(&others),
        6,
        "units were stranded: {:?}",
        others.iter().map(|a| &a.text).collect::<Vec<_>>()
    );
    let audit = api.audit(sale).await;
    assert_eq!((audit.evidence.sold, audit.evidence.over_limit), (10, 0));
}

pub async fn three_are_not_sold_when_two_are_left(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, 5).await;
    let order = async |quantity| api.order(sale, &Uuid::now_v7().to_string(), "b", quantity).await;
    assert!(order(3).await.is_sold());
    assert_eq!(order(3).await.problem(), "sold-out");
    assert!(order(2).await.is_sold(), "the two that are left can be bought");
    assert_eq!(order(1).await.problem(), "sold-out");
    assert_eq!(api.audit(sale).await.evidence.sold, 5);
}

pub async fn ledger_and_stock_agree_after_the_rush(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, UNITS).await;
    Api::rush(&[api], sale, 200, AT_ONCE).await;
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.unbalanced, e.duplicates), (0, 0), "{e:?}");
    if !spec.has(Hazard::LostUpdate) {
        assert_eq!(e.drift, Some(0), "{e:?}");
    }
    // The download says the same as the sum.
    let text = api.get(&format!("/v1/sales/{sale}/ledger")).await.text;
    let units = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("a JSON line"));
    assert_eq!(units.map(|row| row["quantity"].as_i64().expect("a quantity")).sum::<i64>(), e.sold);
}

pub async fn two_processes_sell_one_stock(bench: &Bench, spec: &Spec) {
    let database = bench.app.database_url.clone();
    let (one, two) = (Process::start(&database), Process::start(&database));
    let sale = one.api.open_sale(spec.id, UNITS).await;
    let answers = Api::rush(&[&one.api, &two.api], sale, 300, AT_ONCE).await;
    all_answers_make_sense(&answers);
    let e = two.api.audit(sale).await.evidence;
    assert_eq!(e.sold, sold(&answers));
    if spec.has(Hazard::StaleRead) || spec.has(Hazard::SecondProcess) {
        assert!(e.sold >= UNITS, "{e:?}");
    } else {
        assert_eq!((e.sold, e.drift), (UNITS, Some(0)), "{e:?}");
    }
    // A key sold by one is known to the other.
    let sale = one.api.open_sale(spec.id, 1).await;
    let key = Uuid::now_v7().to_string();
    let first = one.api.order(sale, &key, "b", 1).await;
    let again = two.api.order(sale, &key, "b", 1).await;
    assert_eq!((first.status, first.body), (again.status, again.body), "{}", json!(again.text));
}
