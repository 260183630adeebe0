//! An order's life under every strategy that takes units back: held, confirmed, released, expired,
//! cancelled; and the stock of its sale changed meanwhile.

use std::time::{Duration, Instant};

use sellout::strategies::{Hazard, Spec};
use sellout::wire::Guarantee;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::Bench;
use crate::schedules::TURNS_MAX;
use crate::support::{Answer, Api, eventually};
use crate::watched::{NARROW, Watched};

pub fn gives_back(spec: &Spec) -> bool {
    spec.gives_back
}

pub fn gives_nothing_back(spec: &Spec) -> bool {
    !spec.gives_back && spec.guarantee != Guarantee::Control
}

async fn sells_out(api: &Api, sale: Uuid, units: usize) {
    for at in 0..units {
        let answer = api.buy(sale).await;
        assert!(answer.is_sold(), "unit {at} of {units}: {} {}", answer.status, answer.text);
    }
    assert_eq!(api.buy(sale).await.problem(), "sold-out");
}

pub async fn a_hold_ends_once_and_its_units_are_for_sale_again(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, 4).await;
    let key = Uuid::now_v7().to_string();
    let first = api.hold_as(sale, &key, "b", 1, 60).await;
    assert_eq!((first.status.as_u16(), &first.body["state"]), (201, &"held".into()), "{}", first.text);
    assert!(first.body["expires_at"].is_string(), "{}", first.text);
    let others = [api.hold(sale, 60).await, api.hold(sale, 60).await, api.hold(sale, 1).await];
    assert_eq!(api.buy(sale).await.problem(), "sold-out", "what is held is not for sale");

    // Confirmed, and cancelled, each as often as anybody likes.
    for _ in 0..2 {
        let confirmed = api.end(first.id(), "confirm").await;
        assert_eq!((confirmed.status.as_u16(), &confirmed.body["state"]), (200, &"confirmed".into()));
    }
    assert_eq!(api.end(first.id(), "release").await.problem(), "order-state");
    let again = api.hold_as(sale, &key, "b", 1, 60).await;
    assert_eq!(again.text, first.text, "a retry is answered as the first time, byte for byte");
    for _ in 0..2 {
        let released = api.end(others[0].id(), "release").await;
        assert_eq!(released.body["state"], "released", "{}", released.text);
        let cancelled = api.end(first.id(), "cancel").await;
        assert_eq!(cancelled.body["state"], "cancelled", "{}", cancelled.text);
    }
    assert_eq!(api.end(others[0].id(), "confirm").await.problem(), "order-state");
    assert_eq!(api.end(others[1].id(), "cancel").await.problem(), "order-state", "it is held");
    eventually("the last one has expired", async || {
        api.get(&format!("/v1/orders/{}", others[2].id())).await.body["state"] == "expired"
    })
    .await;
    let late = api.end(others[2].id(), "confirm").await;
    assert_eq!(late.problem(), "hold-expired", "{}", late.text);

    // One is held still, the other three are for sale: not one more, not one fewer.
    eventually("all of it is back", async || api.get(&format!("/v1/sales/{sale}")).await.body["left"] == 3)
        .await;
    sells_out(api, sale, 3).await;
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.unbalanced, e.drift), (4, 0, Some(0)), "{e:?}");
}

pub async fn a_limit_counts_what_is_held(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_limited(spec.id, 10, Some(3)).await;
    let hold = async |quantity| api.hold_as(sale, &Uuid::now_v7().to_string(), "hoarder", quantity, 60).await;
    let first = hold(2).await;
    assert!(first.is_sold(), "{}", first.text);
    assert_eq!(hold(2).await.problem(), "buyer-limit");
    assert_eq!(api.end(first.id(), "release").await.status, 200);
    eventually("the limit has fallen with it", async || {
        // A belief elsewhere may lag; the ledger's word is what counts.
        hold(3).await.is_sold()
    })
    .await;
    assert_eq!(hold(1).await.problem(), "buyer-limit");
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.over_limit, e.drift), (3, 0, Some(0)), "{e:?}");
}

pub async fn the_stock_of_an_open_sale_is_changed_once_per_key(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, 3).await;
    sells_out(api, sale, 3).await;
    let held = api.change(sale, "more", 5).await;
    assert_eq!((held.status.as_u16(), &held.body["changed"]), (200, &5.into()), "{}", held.text);
    assert_eq!(api.change(sale, "more", 5).await.body["changed"], 0, "one key is one change");
    assert_eq!(api.change(sale, "more", 6).await.problem(), "idempotency-key-reused");
    assert!(api.hold(sale, 60).await.is_sold());
    let below = api.change(sale, "less", -5).await;
    assert_eq!(below.problem(), "stock-below-sold", "what is held stays: {}", below.text);
    assert_eq!(api.change(sale, "less", -2).await.body["changed"], -2);
    eventually("the change is seen", async || api.get(&format!("/v1/sales/{sale}")).await.body["left"] == 2)
        .await;
    sells_out(api, sale, 2).await;
    let e = api.audit(sale).await.evidence;
    assert_eq!((e.opened, e.changed, e.sold, e.oversold, e.drift), (3, 3, 6, 0, Some(0)), "{e:?}");
}

/// A buyer is held at every turn of his order, one after the other, while units come back by another
/// service: a bare addition would be written over by whoever has read before it.
pub async fn what_comes_back_stays_whoever_is_held_where(bench: &Bench, spec: &Spec) {
    let first = Watched::start(bench, &NARROW).await;
    first.warm(spec).await;
    let second = &bench.app.api;
    for turn in 1..=TURNS_MAX {
        let sale = second.open_sale(spec.id, 4).await;
        assert_eq!(first.app.api.get(&format!("/v1/sales/{sale}")).await.body["left"], 4);
        let hold = second.hold(sale, 60).await;
        assert!(hold.is_sold(), "{}", hold.text);
        assert_eq!(second.audit(sale).await.evidence.left, Some(3));
        first.pg.hold(turn);
        let api = first.app.api.clone();
        let buyer = tokio::spawn(async move { api.buy(sale).await });
        eventually("the buyer is held, or done", async || first.pg.is_holding() || buyer.is_finished()).await;
        let was_held = first.pg.is_holding();
        // What guards one process alone is asked of that one.
        let by = if spec.has(Hazard::SecondProcess) { &first.app.api } else { second };
        let (api, order) = (by.clone(), hold.id().to_owned());
        let release = tokio::spawn(async move { api.end(&order, "release").await });
        // It may have to wait for the buyer; it must not be lost on him.
        poll_for_a_while(&release).await;
        first.pg.release();
        let (bought, released) = (buyer.await.expect("the buyer"), release.await.expect("the release"));
        assert_eq!(released.status, 200, "held at turn {turn}: {}", released.text);
        let fine = bought.is_sold() || bought.problem() == "contended";
        assert!(fine, "held at turn {turn}: {}", bought.text);
        let sold = i64::from(bought.is_sold());
        eventually("the counter says what the ledger says", async || {
            second.get(&format!("/v1/sales/{sale}")).await.body["left"] == 4 - sold
        })
        .await;
        let e = second.audit(sale).await.evidence;
        assert_eq!((e.sold, e.drift, e.unbalanced), (sold, Some(0), 0), "held at turn {turn}: {e:?}");
        if !was_held {
            assert!(turn > 1, "nobody was held: this showed nothing");
            break;
        }
    }
    first.app.stop().await;
}

/// Gives something a moment to happen that need not happen now.
async fn poll_for_a_while(task: &JoinHandle<Answer>) {
    let until = Instant::now() + Duration::from_millis(200);
    while !task.is_finished() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn holds_are_refused_in_words(bench: &Bench, spec: &Spec) {
    let api = &bench.app.api;
    let sale = api.open_sale(spec.id, 2).await;
    let held = api.hold(sale, 60).await;
    assert_eq!((held.status.as_u16(), held.problem()), (422, "unsupported-by-strategy"), "{}", held.text);
    assert_eq!(api.change(sale, "k", 1).await.problem(), "unsupported-by-strategy");
    let sold = api.buy(sale).await;
    assert!(sold.is_sold(), "{}", sold.text);
    // Where the answer comes before the order, there is nothing to be cancelled for a moment.
    assert_eq!(api.audit(sale).await.evidence.in_flight, 0);
    assert_eq!(api.end(sold.id(), "cancel").await.problem(), "unsupported-by-strategy");
    assert_eq!(api.audit(sale).await.evidence.sold, 1);
}
