//! The promise: the page shows how a sale was decided in the very run that was made, from recorded steps and
//! not from a drawing; and outside the lab nothing is recorded.

use reqwest::StatusCode;
use sellout::strategies::{ALL, Need, Spec};
use sellout::wire::{Guarantee, StepKind, Trace, TraceKind, Verdict};
use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::relay::Relay;
use crate::support::{Answer, Api, TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

/// Steps that a kept run has room for.
const STEPS_MAX: usize = 60;

async fn trace(api: &Api, sale: Uuid) -> Trace {
    let answer = api.get(&format!("/v1/sales/{sale}/trace")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    serde_json::from_str(&answer.text).expect("a trace")
}

/// What every trace is, whatever it shows.
fn makes_sense<'t>(trace: &'t Trace, spec: &Spec) {
    let of = |lane: &'t str| trace.steps.iter().filter(move |step| step.lane == lane);
    assert!(trace.steps.iter().map(|step| step.n).eq(1..=u32::try_from(trace.steps.len()).expect("few")));
    assert!(trace.steps.is_sorted_by_key(|step| step.t_us), "steps are not in the order of time");
    assert!(trace.steps.len() <= STEPS_MAX && (1..=4).contains(&trace.lanes.len()));
    assert!(trace.steps.iter().all(|step| !step.note.is_empty()) && !trace.sentence.is_empty());
    let card: Vec<&str> = spec.statements().map(|(name, _)| name).collect();
    let strange = trace.steps.iter().filter_map(|step| step.statement.as_deref());
    let strange: Vec<&str> = strange.filter(|name| !card.contains(name)).collect();
    assert_eq!(strange, [] as [&str; 0], "{}: not on its card", spec.id);
    for lane in &trace.lanes {
        let kinds: Vec<StepKind> = of(&lane.id).map(|step| step.kind).collect();
        assert_eq!(kinds.first(), Some(&StepKind::Arrive), "{}: {trace:#?}", spec.id);
        assert_eq!(
            kinds.iter().filter(|kind| **kind == StepKind::Reply).count(),
            1,
            "{}: {kinds:?}",
            spec.id
        );
        let decided = kinds.iter().any(|kind| matches!(kind, StepKind::Decide | StepKind::Check));
        let answered = ["sold", "sold_out"].contains(&lane.outcome.as_str());
        assert!(decided || !answered, "{}: nothing is decided: {kinds:?}", spec.id);
        if lane.outcome == "sold" {
            let took = kinds.iter().any(|kind| matches!(kind, StepKind::Decide | StepKind::Write));
            assert!(took && kinds.contains(&StepKind::Commit), "{}: sold by {kinds:?}", spec.id);
        }
    }
}

/// A lab service whose PostgreSQL is behind a relay, with a connection for each of two buyers; all is
/// prepared on both.
async fn two_connections(strategy: &str) -> (TestApp, Relay) {
    let database = fresh_database().await;
    let pg = Relay::to(port_of(&database)).await;
    let settings = [&["--lab", "--pool-connections-max", "2"][..], &UNATTENDED].concat();
    let app = TestApp::on(&with_port(&database, pg.port), &settings).await;
    let sale = app.api.open_sale(strategy, 40).await;
    Api::rush(&[&app.api], sale, 40, 8).await;
    (app, pg)
}

/// The last unit: a first buyer is held at this turn of its conversation, a second one buys, the first one
/// goes on.
async fn last_unit(app: &TestApp, pg: &Relay, strategy: &str, turn: u64) -> (Uuid, Answer, Answer) {
    let sale = app.api.open_sale(strategy, 1).await;
    pg.hold(turn);
    let api = app.api.clone();
    let first: JoinHandle<Answer> = tokio::spawn(async move { api.buy(sale).await });
    eventually("the first buyer is held", async || pg.is_holding()).await;
    let second = app.api.buy(sale).await;
    pg.release();
    (sale, first.await.expect("the first buyer"), second)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_read_the_same_last_unit_is_shown_step_by_step_as_it_was_sold_twice() {
    let (app, pg) = two_connections("naive").await;
    let (sale, first, second) = last_unit(&app, &pg, "naive", 2).await;
    assert!(first.is_sold() && second.is_sold(), "{} {}", first.text, second.text);
    assert_eq!(app.api.audit(sale).await.verdict, Verdict::Oversold);

    let trace = trace(&app.api, sale).await;
    makes_sense(&trace, Spec::find("naive").expect("registered"));
    assert_eq!((trace.kind, trace.opened, trace.lanes.len()), (TraceKind::Oversold, 1, 2), "{trace:#?}");
    assert_eq!((trace.recorded, trace.truncated), (2, false));
    assert_eq!(trace.counter, "the stock row in PostgreSQL");
    let buyers: Vec<&str> = trace.lanes.iter().map(|lane| lane.buyer_id.as_str()).collect();
    assert_eq!(
        buyers,
        [first.body["buyer_id"].as_str(), second.body["buyer_id"].as_str()].map(Option::unwrap_or_default)
    );
    let seen: Vec<Option<i64>> = trace.steps.iter().map(|step| step.seen).filter(Option::is_some).collect();
    assert_eq!(seen, [Some(1), Some(1)], "both read the same number");
    let kinds = |lane: &str| {
        let own = trace.steps.iter().filter(|step| step.lane == lane);
        own.map(|step| step.kind).collect::<Vec<_>>()
    };
    use StepKind::{Arrive, Check, Commit, Read, Reply, Write};
    assert_eq!((kinds("A"), kinds("B")), (vec![Arrive, Read, Check, Write, Commit, Reply], kinds("A")));
    // B sells the unit while A believes in it; then A writes what it had worked out.
    let sold = trace.steps.iter().find(|step| step.kind == Commit).expect("a commit");
    assert_eq!((sold.lane.as_str(), sold.counter, sold.ledger), ("B", Some(0), 1));
    let stale = sold.believes.iter().find(|belief| belief.lane == "A").expect("what A believes");
    assert_eq!((stale.units, stale.stale), (1, true));
    let last = trace.steps.last().expect("steps");
    assert_eq!((last.ledger, last.counter), (2, Some(0)), "more than was opened, and the counter looks well");
    assert!(trace.sentence.contains("both read 1"), "{}", trace.sentence);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_guarded_statement_is_shown_at_its_closest_call() {
    let (app, pg) = two_connections("atomic_update").await;
    let (sale, first, second) = last_unit(&app, &pg, "atomic_update", 1).await;
    assert_eq!((first.problem(), second.is_sold()), ("sold-out", true), "{} {}", first.text, second.text);
    let trace = trace(&app.api, sale).await;
    makes_sense(&trace, Spec::find("atomic_update").expect("registered"));
    assert_eq!((trace.kind, trace.lanes.len()), (TraceKind::ClosestCall, 2), "{trace:#?}");
    let outcomes: Vec<&str> = trace.lanes.iter().map(|lane| lane.outcome.as_str()).collect();
    assert_eq!(outcomes, ["sold_out", "sold"]);
    let decided = trace.steps.iter().filter(|step| step.kind == StepKind::Decide);
    let decided: Vec<_> = decided.map(|step| (step.lane.as_str(), step.ok, step.counter)).collect();
    assert_eq!(decided, [("B", Some(true), Some(0)), ("A", Some(false), Some(0))]);
    assert_eq!(trace.steps.last().map(|step| step.ledger), Some(1));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_strategy_that_sells_says_what_its_orders_did() {
    let app = TestApp::start().await;
    let is_built = |spec: &Spec| cfg!(feature = "etcd") || !spec.needs.contains(&Need::Etcd);
    for spec in ALL.iter().filter(|spec| spec.guarantee != Guarantee::Control && is_built(spec)) {
        let sale = app.api.open_sale(spec.id, 3).await;
        Api::rush(&[&app.api], sale, 12, 6).await;
        let audit = app.api.audit(sale).await;
        let trace = trace(&app.api, sale).await;
        makes_sense(&trace, spec);
        assert_eq!(trace.kind == TraceKind::Oversold, audit.verdict == Verdict::Oversold, "{trace:#?}");
        assert!(trace.lanes.iter().any(|lane| lane.outcome == "sold"), "{}: {trace:#?}", spec.id);
        let shown = trace.steps.iter().map(|step| step.ledger).max().unwrap_or_default();
        assert!((1..=audit.evidence.sold).contains(&shown), "{}: {trace:#?}", spec.id);
        if spec.lock.is_some() {
            assert!(trace.steps.iter().any(|step| step.kind == StepKind::Enter), "{}: {trace:#?}", spec.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_lab_or_switched_off_nothing_is_recorded() {
    const TOKEN: &str = "an operator's long enough token";
    let database = fresh_database().await;
    let app = TestApp::on(&database, &["--token", TOKEN]).await;
    let sale = json!({"name": "a test", "units": 1, "strategy": "atomic_update"});
    let open = app.api.client.post(format!("{}/v1/sales", app.api.url)).bearer_auth(TOKEN).json(&sale);
    let opened = app.api.send(open).await;
    let sale: Uuid = opened.body["id"].as_str().and_then(|id| id.parse().ok()).expect("a sale id");
    assert!(app.api.buy(sale).await.is_sold());
    let path = format!("/v1/sales/{sale}/trace");
    let refused = app.api.send(app.api.client.get(format!("{}{path}", app.api.url)).bearer_auth(TOKEN)).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (404, "lab-only"), "{}", refused.text);

    let off = TestApp::on(&database, &["--lab", "--trace", "false"]).await;
    let silent = off.api.open_sale("naive", 2).await;
    assert!(off.api.buy(silent).await.is_sold());
    let lab = TestApp::on(&database, &["--lab"]).await;
    // Opened elsewhere; opened here, and nobody has come; not there.
    let quiet = lab.api.open_sale("naive", 2).await;
    assert!(lab.api.buy(sale).await.problem() == "sold-out");
    for (api, sale) in [(&off.api, silent), (&lab.api, sale), (&lab.api, quiet), (&lab.api, Uuid::nil())] {
        let none = api.get(&format!("/v1/sales/{sale}/trace")).await;
        assert_eq!((none.status.as_u16(), none.problem()), (404, "not-found"), "{}", none.text);
    }
    // Handed over, it is another strategy's sale, and this one's steps would not explain it.
    let sale = lab.api.open_sale("atomic_update", 2).await;
    assert!(lab.api.buy(sale).await.is_sold());
    trace(&lab.api, sale).await;
    assert_eq!(lab.api.hand_over(sale, "optimistic").await.status, StatusCode::OK);
    assert!(lab.api.buy(sale).await.is_sold());
    assert_eq!(lab.api.get(&format!("/v1/sales/{sale}/trace")).await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_sale_is_cut_to_what_is_worth_showing() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("group_commit", 1_500).await;
    for batch in 0..2 {
        let order =
            |n: u32| json!({"key": format!("{batch}-{n}"), "buyer_id": format!("b{n}"), "quantity": 1});
        let orders: Vec<_> = (0..1_000).map(order).collect();
        let path = format!("/v1/sales/{sale}/orders:batch");
        let answer = app.api.post(&path, &json!({ "orders": orders })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    let trace = trace(&app.api, sale).await;
    makes_sense(&trace, Spec::find("group_commit").expect("registered"));
    assert!(trace.truncated && trace.recorded > 1_500, "{} recorded", trace.recorded);
    assert_eq!(trace.kind, TraceKind::ClosestCall);
    // The last units, though those before them are not kept any more. Who was decided in one batch hears of
    // it in any sequence, so some of those who were sold to may be counted after the first who was not.
    let last = trace.steps.last().map(|step| (step.ledger, step.counter));
    assert!(last.is_some_and(|(sold, left)| sold > 1_200 && sold <= 1_500 && left == Some(0)), "{trace:#?}");
    assert_eq!(trace.lanes.iter().filter(|lane| lane.outcome == "sold_out").count(), 1, "{trace:#?}");
}
