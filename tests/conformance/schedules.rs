//! Fixed interleavings, by a relay between a service and PostgreSQL. No luck: the first buyer is held at
//! every turn of its conversation, one after the other, while a second one buys through another service.

use sellout::strategies::{Hazard, Spec};
use sellout::wire::{Guarantee, Verdict};
use sqlx::PgPool;
use uuid::Uuid;

use crate::Bench;
use crate::support::relay::Relay;
use crate::support::{Answer, TestApp, eventually, port_of, servers, with_port};

/// One connection, so that the turns of one order are the turns of the relay.
const NARROW: [&str; 7] =
    ["--lab", "--pool-connections-max", "1", "--lock-connections-max", "1", "--redis-connections-max", "1"];
/// No strategy talks longer than this for one order.
const TURNS_MAX: u64 = 12;

/// A service whose PostgreSQL and Redis can be counted, held and cut.
struct Watched {
    app: TestApp,
    pg: Relay,
    redis: Relay,
    /// Its sessions' name in PostgreSQL: others wait there too, and must not be taken for it.
    name: String,
}

impl Watched {
    async fn start(bench: &Bench, settings: &[&str]) -> Watched {
        let (database, redis) = (&bench.app.database_url, &servers().redis_url);
        let pg = Relay::to(port_of(database)).await;
        let redis_relay = Relay::to(port_of(redis)).await;
        let name = format!("watched-{}", Uuid::now_v7());
        let database = format!("{}?application_name={name}", with_port(database, pg.port));
        let redis = with_port(redis, redis_relay.port);
        let app = TestApp::between(&database, Some(&redis), settings).await;
        Watched { app, pg, redis: redis_relay, name }
    }

    /// A fresh sale of one unit that this service has met: looking it up is no turn of an order.
    async fn last_unit(&self, bench: &Bench, spec: &Spec) -> Uuid {
        let sale = bench.app.api.open_sale(spec.id, 1).await;
        assert_eq!(self.app.api.get(&format!("/v1/sales/{sale}")).await.body["left"], 1);
        sale
    }

    fn turns(&self) -> u64 {
        self.pg.turns() + self.redis.turns()
    }

    /// Every connection open, every statement prepared, every script loaded.
    async fn warm(&self, spec: &Spec) {
        let sale = self.app.api.open_sale(spec.id, 2).await;
        for _ in 0..4 {
            self.app.api.buy(sale).await;
        }
    }
}

pub async fn costs_the_declared_round_trips(bench: &Bench, spec: &Spec) {
    let watched = Watched::start(bench, &NARROW).await;
    watched.warm(spec).await;
    let api = &watched.app.api;
    let sale = api.open_sale(spec.id, 1).await;
    let trips = async || {
        let before = watched.turns();
        let answer = api.buy(sale).await;
        (answer, watched.turns() - before)
    };
    if spec.guarantee != Guarantee::Control {
        let (answer, sold) = trips().await;
        assert!(answer.is_sold(), "{}", answer.text);
        assert_eq!(sold, u64::from(spec.round_trips.sold), "round trips of a sold order");
    }
    let (answer, sold_out) = trips().await;
    assert_eq!(answer.problem(), "sold-out", "{}", answer.text);
    assert_eq!(sold_out, u64::from(spec.round_trips.sold_out), "round trips of a sold-out order");
    watched.app.stop().await;
}

pub async fn the_last_unit_is_sold_once_whoever_is_held_where(bench: &Bench, spec: &Spec) {
    let first = Watched::start(bench, &NARROW).await;
    let second = Watched::start(bench, &["--lab"]).await;
    first.warm(spec).await;
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
    let asked = second.turns();
    let api = second.app.api.clone();
    let two = tokio::spawn(async move { api.buy(sale).await });
    // Seen waiting: in PostgreSQL for a lock, or asking a server for one over and over.
    eventually("the second buyer has its answer, or waits", async || {
        two.is_finished() || second.turns() > asked + 2 * TURNS_MAX || waits(sql, &second.name).await
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
    assert!(unknown >= 1, "a cut after the write must be unknown at least once");
    watched.app.stop().await;
}

/// A lease that is over soon, so that a holder can be held beyond it.
const SHORT_LEASE: [&str; 2] = ["--lock-lease-ms", "100"];

/// Can its lock end while its holder goes on? The fenced ones too: that is what their fence is for.
pub fn can_outlive_its_lock(spec: &Spec) -> bool {
    let base = Spec::find(spec.id.strip_suffix("_fenced").unwrap_or(spec.id));
    base.is_some_and(|base| base.has(Hazard::LeaseExpiry) || base.has(Hazard::SessionLost))
}

pub async fn who_outlives_its_lock_oversells_unless_fenced(bench: &Bench, spec: &Spec) {
    let first = Watched::start(bench, &[&NARROW[..], &SHORT_LEASE].concat()).await;
    let second = Watched::start(bench, &["--lab", SHORT_LEASE[0], SHORT_LEASE[1]]).await;
    let sql = bench.app.sql().await;
    let (mut oversold, mut refused) = (0, 0);
    for turn in 1..=TURNS_MAX {
        // Again for every turn: the lock's connection is cut below, and a new one takes turns of its own.
        first.warm(spec).await;
        let sale = first.last_unit(bench, spec).await;
        first.pg.hold(turn);
        let api = first.app.api.clone();
        let one = tokio::spawn(async move { api.buy(sale).await });
        eventually("the holder is held, or done", async || first.pg.is_holding() || one.is_finished()).await;
        if !first.pg.is_holding() {
            first.pg.release();
            break;
        }
        let api = second.app.api.clone();
        let two = tokio::spawn(async move { api.buy(sale).await });
        eventually("the lock has ended, and the other buyer has its answer", async || {
            cut_lock_sessions(&sql, &first.name).await;
            two.is_finished()
        })
        .await;
        first.pg.release();
        let (one, two) = (one.await.expect("the holder"), two.await.expect("the other buyer"));
        let told = i64::from(one.is_sold()) + i64::from(two.is_sold());
        let e = bench.app.api.audit(sale).await.evidence;
        assert_eq!(e.sold, told, "held at turn {turn}: {} {}", one.text, two.text);
        oversold += i64::from(e.oversold > 0);
        refused += i64::from(one.problem() == "contended");
    }
    if spec.id.ends_with("_fenced") {
        assert_eq!(oversold, 0, "the fence let an overtaken holder write");
        assert!(refused >= 1, "no late write was refused: this showed nothing");
    } else {
        assert!(oversold >= 1, "a holder that outlives its lock must oversell without a fence");
    }
    first.app.stop().await;
    second.app.stop().await;
}

/// Ends the sessions in which this service holds a lock: what a time-out or a restart would do.
async fn cut_lock_sessions(sql: &PgPool, name: &str) {
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity a
               where application_name = $1 and (state = 'idle in transaction' or exists
                   (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory' and l.granted))";
    sqlx::query(cut).bind(name).execute(sql).await.expect("pg_terminate_backend");
}
