//! Fixed interleavings, by a relay between a service and PostgreSQL. No luck: the first buyer is held at
//! every turn of its conversation, one after the other, while a second one buys through another service.

use sellout::strategies::{Hazard, Spec};
use sellout::wire::{Guarantee, Verdict};
use sqlx::PgPool;
use uuid::Uuid;

use crate::Bench;
use crate::support::{Answer, eventually};
use crate::watched::{LONG_LEASE, NARROW, Watched};

/// No strategy talks longer than this for one order.
pub const TURNS_MAX: u64 = 12;

pub async fn costs_the_declared_round_trips(bench: &Bench, spec: &Spec) {
    let watched = Watched::start(bench, &[&NARROW[..], &LONG_LEASE].concat()).await;
    watched.warm(spec).await;
    let api = &watched.app.api;
    let sale = api.open_sale(spec.id, 1).await;
    let trips = async |declared: u32| {
        watched.poll_until_quiet().await;
        let before = watched.turns();
        let answer = api.buy(sale).await;
        (answer, watched.poll_turns_since(before, u64::from(declared)).await)
    };
    if spec.guarantee != Guarantee::Control {
        let (answer, sold) = trips(spec.round_trips.sold).await;
        assert!(answer.is_sold(), "{}", answer.text);
        assert_eq!(sold, u64::from(spec.round_trips.sold), "round trips of a sold order");
        // What comes after the answer is over, or the next one would be in the same turn of a shared wire.
        api.audit(sale).await;
    }
    let (answer, sold_out) = trips(spec.round_trips.sold_out).await;
    assert_eq!(answer.problem(), "sold-out", "{}", answer.text);
    assert_eq!(sold_out, u64::from(spec.round_trips.sold_out), "round trips of a sold-out order");
    watched.app.stop().await;
}

pub async fn the_last_unit_is_sold_once_whoever_is_held_where(bench: &Bench, spec: &Spec) {
    let first = Watched::start(bench, &NARROW).await;
    let second = Watched::start(bench, &["--lab"]).await;
    first.warm(spec).await;
    second.warm(spec).await;
    let sql = bench.app.sql().await;
    let mut oversold_at = Vec::new();
    let mut held = 0;
    for turn in 1..=TURNS_MAX {
        let sale = first.last_unit(bench, spec).await;
        let Some((one, two)) = hold_first(&first, &second, &sql, sale, turn).await else { break };
        held += 1;
        for answer in [&one, &two] {
            // Contended: who was overtaken under a fence took nothing, and is told so.
            let fine = answer.is_sold() || matches!(answer.problem(), "sold-out" | "contended");
            assert!(fine, "held at turn {turn}: {} {}", answer.status, answer.text);
        }
        let audit = bench.app.api.audit(sale).await;
        let told = i64::from(one.is_sold()) + i64::from(two.is_sold());
        assert_eq!(audit.evidence.sold, told, "held at turn {turn}");
        if told == 2 {
            assert_eq!(audit.verdict, Verdict::Oversold);
            assert_eq!(audit.offenders.iter().filter(|o| o.kind == "oversold").count(), 1);
            oversold_at.push((turn, audit.evidence.left));
        } else {
            assert_eq!(told, 1, "held at turn {turn}: one unit, one buyer");
        }
    }
    assert!(held >= 1, "nobody was held: this showed nothing");
    if spec.has(Hazard::StaleRead) || spec.has(Hazard::SecondProcess) {
        // Both have read one, both sell it. What the counter says afterwards differs.
        let left = if spec.has(Hazard::NegativeCounter) { -1 } else { 0 };
        assert!(!oversold_at.is_empty(), "held between read and write it must oversell");
        assert!(oversold_at.iter().all(|(_, seen)| *seen == Some(left)), "{oversold_at:?}");
    } else {
        assert_eq!(oversold_at, [], "oversold");
    }
    first.app.stop().await;
    second.app.stop().await;
}

/// Holds the first buyer's `turn`, lets a second buyer go as far as it comes, then lets both finish. `None`
/// when the first one's conversation is shorter than that.
async fn hold_first(
    first: &Watched,
    second: &Watched,
    sql: &PgPool,
    sale: Uuid,
    turn: u64,
) -> Option<(Answer, Answer)> {
    first.pg.hold(turn);
    let api = first.app.api.clone();
    let one = tokio::spawn(async move { api.buy(sale).await });
    eventually("the first buyer is held, or done", async || first.pg.is_holding() || one.is_finished()).await;
    if !first.pg.is_holding() {
        first.pg.release();
        return None;
    }
    let before = second.mark();
    let api = second.app.api.clone();
    let two = tokio::spawn(async move { api.buy(sale).await });
    // Seen waiting: in PostgreSQL for a lock, in a queue, or asking a server for one over and over.
    eventually("the second buyer has its answer, or waits", async || {
        two.is_finished() || second.seems_to_wait(before, TURNS_MAX) || waits(sql, &second.name).await
    })
    .await;
    first.pg.release();
    Some((one.await.expect("the first buyer"), two.await.expect("the second buyer")))
}

async fn waits(sql: &PgPool, name: &str) -> bool {
    let waiting =
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = $1";
    let waiting = sqlx::query_scalar::<_, i64>(waiting).bind(name).fetch_one(sql).await;
    waiting.expect("pg_stat_activity") > 0
}

/// Does it send again what got no answer? These functions of the schema answer the same twice.
fn sends_again(spec: &Spec) -> bool {
    spec.statements().any(|(_, text)| text.contains("drain(") || text.contains("record_batch("))
}

/// Does its answer wait for PostgreSQL at all?
pub fn waits_for_the_ledger(spec: &Spec) -> bool {
    spec.guarantee != Guarantee::Control && !spec.has(Hazard::EarlyAck)
}

pub async fn a_cut_wire_is_unknown_and_a_retry_learns_the_truth(bench: &Bench, spec: &Spec) {
    let watched = Watched::start(bench, &NARROW).await;
    let api = &watched.app.api;
    let mut unknown = 0;
    for turn in 1..=TURNS_MAX {
        watched.warm(spec).await;
        let sale = watched.last_unit(bench, spec).await;
        let key = Uuid::now_v7().to_string();
        let before = watched.pg.turns();
        watched.pg.cut(turn);
        let cut = api.order(sale, &key, "b", 1).await;
        let was_cut = watched.pg.turns() - before >= turn;
        if !was_cut {
            assert!(cut.is_sold(), "{}", cut.text);
            assert!(turn > 1, "the wire was never cut: this showed nothing");
            break;
        }
        // The reply was lost. Before the write that means nothing was taken; after it, nobody knows.
        match cut.problem() {
            "store-unavailable" => {
                assert_eq!(cut.body["executed"], false, "{}", cut.text);
                assert_eq!(
                    bench.app.api.audit(sale).await.evidence.sold,
                    0,
                    "cut at {turn}: it said nothing was taken"
                );
            }
            "outcome-unknown" => unknown += 1,
            // After the commit: it was the lock's release that nobody answered.
            "" if cut.is_sold() => {}
            _ => panic!("cut at turn {turn}: {} {}", cut.status, cut.text),
        }
        // Whoever asks again with the same key learns it, and the unit is sold exactly once.
        eventually("a retry is sold", async || bench.app.api.order(sale, &key, "b", 1).await.is_sold()).await;
        let other = bench.app.api.buy(sale).await;
        assert_eq!(other.problem(), "sold-out", "cut at turn {turn}: {}", other.text);
        let e = bench.app.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.drift), (1, 1, Some(0)), "cut at turn {turn}: {e:?}");
    }
    if sends_again(spec) {
        // Whoever records a batch asks the ledger again, and its buyers wait for that.
        assert_eq!(unknown, 0, "a lost answer is asked for again");
    } else {
        assert!(unknown >= 1, "a cut after the write must be unknown at least once");
    }
    watched.app.stop().await;
}
