//! The promise: the audit catches each kind of harm by its own field. Ledgers and histories are doctored
//! here, behind the service's back, and both readers must see it: the sums in SQL and the sums of a
//! stranger who downloaded the ledger.

use sellout::audit;
use sellout::wire::{Answers, Audit, Evidence, Guarantee, LedgerRow, Tally, ToldYes, Verdict};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::support::{Api, TestApp};

const UNITS: i64 = 10;

/// A sale that went well: sold out by ten buyers of forty, and the tally that says so.
struct Sound {
    app: TestApp,
    sql: PgPool,
    sale: Uuid,
    tally: Tally,
}

impl Sound {
    async fn sale() -> Sound {
        Sound::limited(None).await
    }

    async fn limited(limit: Option<i64>) -> Sound {
        let app = TestApp::start().await;
        let sale = app.api.open_limited("atomic_update", UNITS, limit).await;
        let mut tally = Tally { attempts: 40, peak_in_flight: 40, demand_units: 40, ..Tally::default() };
        tally.sold_out_quantity_min = Some(1);
        for i in 0..40 {
            let (key, buyer) = (format!("key-{sale}-{i}"), format!("buyer-{i}"));
            let answer = app.api.order(sale, &key, &buyer, 1).await;
            if answer.is_sold() {
                let order_id = answer.body["id"].as_str().expect("an id").parse().expect("a UUID");
                tally.answers.sold += 1;
                tally.told_yes.push(ToldYes { key, order_id, buyer_id: buyer, quantity: 1 });
            } else {
                tally.answers.sold_out += 1;
            }
        }
        let sql = app.sql().await;
        Sound { app, sql, sale, tally }
    }

    async fn doctor(&self, statement: &str) {
        let statement = statement.replace("$sale", &format!("'{}'", self.sale));
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.sql).await.expect("the doctored statement");
    }

    /// What the service says, after the stranger's own sums have been found equal to it.
    async fn audit(&self) -> Audit {
        let tally = serde_json::to_value(&self.tally).expect("JSON");
        let path = format!("/v1/sales/{}", self.sale);
        let put = self.app.api.put(&format!("{path}/tally"), &tally).await;
        assert_eq!(put.status, 204, "{}", put.text);
        let audit = self.app.api.audit(self.sale).await;
        let rows = ledger(&self.app.api, &path).await;
        let limit = self.app.api.get(&path).await.body["per_buyer_limit"].as_i64();
        let sums = audit::from_history(UNITS, limit, &rows, &self.tally);
        let own = audit::weigh(sums, audit.evidence.left, 0);
        // Movements are not in the download.
        let seen = Evidence { unbalanced: 0, ..audit.evidence.clone() };
        assert_eq!(own, seen, "the two readers differ");
        audit
    }
}

async fn ledger(api: &Api, sale: &str) -> Vec<LedgerRow> {
    let text = api.get(&format!("{sale}/ledger")).await.text;
    text.lines().map(|l| serde_json::from_str(l).expect("a row")).collect()
}

/// The first offender's kind.
fn points_at(audit: &Audit, kind: &str) -> usize {
    audit.offenders.iter().filter(|o| o.kind == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_sale_reads_held_in_every_field() {
    let sound = Sound::sale().await;
    let a = sound.audit().await;
    assert_eq!((a.verdict, a.offenders.len()), (Verdict::Held, 0), "{}", a.reason);
    let e = a.evidence;
    assert_eq!((e.opened, e.sold, e.left, e.told_yes), (10, 10, Some(0), Some(10)));
    assert_eq!((e.oversold, e.stranded, e.duplicates, e.over_limit, e.unbalanced), (0, 0, 0, 0, 0));
    assert_eq!((e.lost, e.phantom, e.unknown, e.drift), (Some(0), Some(0), Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_update_is_seen_though_the_counter_looks_healthy() {
    let mut sound = Sound::sale().await;
    // Two orders more than there was, and a counter that reads zero: what a lost update leaves behind.
    for i in 100..102 {
        let id = Uuid::now_v7();
        sound
            .doctor(&format!(
                "select record_order('anonymous', 'late-{i}', '{id}', $sale, 'late', 1, '\\x00'::bytea, true)"
            ))
            .await;
        let (key, buyer_id) = (format!("late-{i}"), "late".to_owned());
        sound.tally.told_yes.push(ToldYes { key, order_id: id, buyer_id, quantity: 1 });
        sound.tally.answers.sold += 1;
        sound.tally.attempts += 1;
    }
    let a = sound.audit().await;
    assert_eq!((a.verdict, a.evidence.oversold, a.evidence.left), (Verdict::Oversold, 2, Some(0)));
    assert_eq!((a.evidence.drift, points_at(&a, "oversold")), (Some(2), 2));
    assert!(a.reason.contains("reads 0, as if all were well"), "{}", a.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_order_that_is_missing_is_lost() {
    let sound = Sound::sale().await;
    let key = &sound.tally.told_yes[3].key;
    sound
        .doctor(&format!(
            "delete from orders where key = '{key}'; update stock set units_left = 1 where sale_id = $sale"
        ))
        .await;
    let a = sound.audit().await;
    assert_eq!(
        (a.verdict, a.evidence.lost, a.evidence.drift),
        (Verdict::Lost, Some(1), Some(0)),
        "{}",
        a.reason
    );
    assert_eq!(a.offenders.iter().find(|o| o.kind == "lost").map(|o| &o.key), Some(key));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_rewritten_after_the_yes_is_lost() {
    let sound = Sound::sale().await;
    let key = &sound.tally.told_yes[0].key;
    sound.doctor(&format!("update orders set buyer_id = 'somebody else' where key = '{key}'")).await;
    let a = sound.audit().await;
    assert_eq!((a.verdict, a.evidence.lost), (Verdict::Lost, Some(1)), "{}", a.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_was_told_of_is_a_phantom() {
    let mut sound = Sound::sale().await;
    let refused = sound.tally.told_yes.pop().expect("a yes");
    sound.tally.answers.sold -= 1;
    sound.tally.answers.sold_out += 1;
    let a = sound.audit().await;
    assert_eq!((a.verdict, a.evidence.phantom), (Verdict::Inconsistent, Some(1)), "{}", a.reason);
    assert_eq!(a.offenders.iter().find(|o| o.kind == "phantom").map(|o| &o.key), Some(&refused.key));

    // The same order, had its client been left in doubt, is no phantom.
    sound.tally.answers.sold_out -= 1;
    sound.tally.answers.unknown += 1;
    sound.tally.unknown_keys.push(refused.key);
    let a = sound.audit().await;
    assert_eq!(
        (a.verdict, a.evidence.phantom, a.evidence.unknown),
        (Verdict::Held, Some(0), Some(1)),
        "{}",
        a.reason
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_under_one_key_are_a_duplicate() {
    let sound = Sound::sale().await;
    let (a, b) = (&sound.tally.told_yes[0].key, &sound.tally.told_yes[1].key);
    // The primary key would refuse it, so it goes first: the audit must not lean on what it checks.
    sound
        .doctor(&format!(
            "alter table orders drop constraint orders_pkey; update orders set key = '{a}' where key = '{b}'"
        ))
        .await;
    let audit = sound.audit().await;
    assert_eq!(audit.evidence.duplicates, 1);
    // Its other face: the second key's yes is gone. That harms a buyer and comes first.
    assert_eq!((audit.verdict, points_at(&audit, "duplicate")), (Verdict::Lost, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_that_was_given_two_order_ids_is_a_duplicate() {
    let mut sound = Sound::sale().await;
    let first = sound.tally.told_yes[0].clone();
    sound.tally.told_yes.push(ToldYes { order_id: Uuid::now_v7(), ..first });
    let a = sound.audit().await;
    assert_eq!((a.evidence.duplicates, a.evidence.lost, a.evidence.told_yes), (1, Some(1), Some(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_beyond_the_limit_is_over_limit() {
    let mut sound = Sound::limited(Some(1)).await;
    let (a, b) = (sound.tally.told_yes[0].buyer_id.clone(), sound.tally.told_yes[1].buyer_id.clone());
    sound.doctor(&format!("update orders set buyer_id = '{a}' where buyer_id = '{b}'")).await;
    sound.tally.told_yes[1].buyer_id = a;
    let audit = sound.audit().await;
    assert_eq!((audit.verdict, audit.evidence.over_limit), (Verdict::Inconsistent, 1), "{}", audit.reason);
    assert_eq!(points_at(&audit, "over_limit"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_above_the_truth_is_inconsistent_and_one_below_strands() {
    let sound = Sound::sale().await;
    sound.doctor("update stock set units_left = 3 where sale_id = $sale").await;
    let a = sound.audit().await;
    assert_eq!((a.verdict, a.evidence.drift), (Verdict::Inconsistent, Some(3)), "{}", a.reason);

    let key = &sound.tally.told_yes[0].key;
    sound
        .doctor(&format!(
            "update orders set state = 'cancelled' where key = '{key}';
             insert into movements (sale_id, order_id, kind, delta)
                 select sale_id, id, 'cancelled', 1 from orders where key = '{key}';
             update stock set units_left = 0 where sale_id = $sale"
        ))
        .await;
    let e = sound.audit().await.evidence;
    assert_eq!((e.stranded, e.drift, e.sold, e.unbalanced), (1, Some(-1), 9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movement_without_its_order_is_unbalanced() {
    let sound = Sound::sale().await;
    sound
        .doctor(
            "insert into movements (sale_id, order_id, kind, delta)
             select sale_id, gen_random_uuid(), 'cancelled', 4 from orders where sale_id = $sale limit 1",
        )
        .await;
    let a = sound.app.api.audit(sound.sale).await;
    assert_eq!((a.verdict, a.evidence.unbalanced), (Verdict::Inconsistent, -4), "{}", a.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_sold_nothing_does_not_pass_for_safe() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("atomic_update", UNITS).await;
    let answers = Answers { sold_out: 40, ..Answers::default() };
    let tally = json!(Tally {
        attempts: 40,
        answers,
        peak_in_flight: 40,
        demand_units: 40,
        sold_out_quantity_min: Some(1),
        ..Tally::default()
    });
    app.api.put(&format!("/v1/sales/{sale}/tally"), &tally).await;
    let a = app.api.audit(sale).await;
    assert_eq!((a.verdict, a.evidence.stranded), (Verdict::Stranded, UNITS), "{}", a.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tally_what_clients_know_is_null_and_nothing_reads_held() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("atomic_update", UNITS).await;
    app.api.buy(sale).await;
    let answer = app.api.get(&format!("/v1/sales/{sale}/audit")).await.body;
    assert_eq!(answer["verdict"], "NOT_EXERCISED");
    for field in ["told_yes", "lost", "phantom", "unknown", "clients"] {
        assert!(answer[field].is_null(), "{field}: {}", answer[field]);
    }
}

type Spoil = fn(&mut Evidence);

/// A run that is in order, to be spoiled one field at a time.
fn contended() -> Evidence {
    let answers = Answers { sold: 10, sold_out: 30, ..Answers::default() };
    let clients = sellout::wire::Clients { attempts: 40, answers, peak_in_flight: 40, demand_units: 40 };
    Evidence {
        opened: 10,
        sold: 10,
        orders: 10,
        left: Some(0),
        told_yes: Some(10),
        lost: Some(0),
        phantom: Some(0),
        unknown: Some(0),
        drift: Some(0),
        clients: Some(clients),
        ..Evidence::default()
    }
}

#[test]
fn the_first_match_wins_in_the_order_of_harm() {
    let spoil: [(Spoil, Verdict); 6] = [
        (|e| e.clients = None, Verdict::NotExercised),
        (|e| e.stranded = 1, Verdict::Stranded),
        (|e| e.phantom = Some(1), Verdict::Inconsistent),
        (|e| e.in_flight = 1, Verdict::Invalid),
        (|e| e.lost = Some(1), Verdict::Lost),
        (|e| e.oversold = 1, Verdict::Oversold),
    ];
    let mut evidence = contended();
    assert_eq!(audit::judge(Guarantee::Exact, None, &evidence).0, Verdict::Held);
    // Each harm is added to those before it, and is heard above them.
    for (spoil, verdict) in spoil {
        spoil(&mut evidence);
        assert_eq!(audit::judge(Guarantee::Exact, None, &evidence).0, verdict, "{evidence:?}");
    }
    assert_eq!(audit::judge(Guarantee::Control, None, &evidence).0, Verdict::Control);
}

#[test]
fn no_contention_never_reads_as_safe() {
    let spoil: [Spoil; 3] = [
        |e| e.clients.as_mut().expect("clients").peak_in_flight = 7,
        |e| e.clients.as_mut().expect("clients").demand_units = 19,
        |e| {
            let clients = e.clients.as_mut().expect("clients");
            (clients.answers.sold_out, clients.answers.contended) = (0, 30);
        },
    ];
    for spoil in spoil {
        let mut evidence = contended();
        spoil(&mut evidence);
        assert_eq!(audit::judge(Guarantee::Exact, None, &evidence).0, Verdict::NotExercised, "{evidence:?}");
    }
    assert_eq!(
        audit::judge(Guarantee::Oversells, None, &contended()).0,
        Verdict::NotExercised,
        "luck is no promise"
    );
    let (_, said) = audit::judge(Guarantee::Oversells, Some("a holder stopped"), &contended());
    assert!(said.contains("a holder stopped"), "who needs a fault is told which: {said}");
}

#[test]
fn errors_and_sums_that_do_not_add_up_make_a_run_invalid() {
    let mut evidence = contended();
    let clients = evidence.clients.as_mut().expect("clients");
    (clients.answers.unknown, clients.attempts) = (2, 42);
    assert_eq!(
        audit::judge(Guarantee::Exact, None, &evidence).0,
        Verdict::Held,
        "2 of 42 is below five percent"
    );
    let clients = evidence.clients.as_mut().expect("clients");
    (clients.answers.error, clients.attempts) = (1, 43);
    assert_eq!(audit::judge(Guarantee::Exact, None, &evidence).0, Verdict::Invalid, "3 of 43 is above");

    let mut evidence = contended();
    evidence.clients.as_mut().expect("clients").attempts = 41;
    assert_eq!(audit::judge(Guarantee::Exact, None, &evidence).0, Verdict::Invalid);
}
