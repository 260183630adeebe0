//! The promise of the lab's buttons: what they say is what really happens, the audit sees it, and it is over
//! with the run.

use std::time::{Duration, Instant};

use sellout::services::{Services, Wanted};
use sellout::wire::{Faults, LabRun, LabState, NewLabRun, Run, RunResult, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::support::process::Process;
use crate::support::{Answer, Api, TestApp, eventually, fresh_database};

/// A run of these strategies with something broken, ended and kept.
async fn run(api: &Api, strategies: &[&str], stock: i64, faults: Faults) -> Run {
    let new = NewLabRun {
        strategies: strategies.iter().map(|s| (*s).to_owned()).collect(),
        buyers: Some(40),
        attempts: Some(600),
        stock: Some(stock),
        seed: Some(7),
        faults,
        ..NewLabRun::default()
    };
    let answer = api.post("/v1/lab/runs", &json!(new)).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    let current = async || -> LabRun {
        serde_json::from_value(api.get("/v1/lab/runs/current").await.body).expect("a run")
    };
    eventually("the run ends", async || current().await.state != LabState::Running).await;
    let ended = current().await;
    assert_eq!((ended.state, &ended.error), (LabState::Ended, &None));
    let kept = api.get(&format!("/v1/runs/{}", ended.id)).await;
    serde_json::from_value(kept.body).unwrap_or_else(|e| panic!("{e}: {}", kept.text))
}

fn row<'a>(run: &'a Run, strategy: &str) -> &'a RunResult {
    run.results.iter().find(|row| row.strategy == strategy).expect("its row")
}

async fn switch(api: &Api, faults: &Faults) -> Answer {
    api.put("/v1/lab/faults", &json!(faults)).await
}

async fn are_off(api: &Api) {
    let answer = api.get("/v1/lab/faults").await;
    assert_eq!(serde_json::from_value::<Faults>(answer.body).expect("faults"), Faults::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_holder_makes_expiring_locks_oversell_and_their_fenced_siblings_not() {
    let service = Process::with(&fresh_database().await, &["--lock-lease-ms", "300"]);
    let api = &service.api;
    let faults = Faults { pause_holder_ms: Some(900), ..Faults::default() };
    let run = run(api, &["lock_redis_short_lease", "lock_redis", "lock_redis_fenced"], 40, faults).await;
    for strategy in ["lock_redis_short_lease", "lock_redis"] {
        let row = row(&run, strategy);
        assert_eq!(row.verdict, Verdict::Oversold, "{strategy}: {}", row.reason);
    }
    let fenced = row(&run, "lock_redis_fenced");
    assert_eq!((fenced.verdict, fenced.evidence.oversold), (Verdict::Held, 0), "{}", fenced.reason);
    // Somebody stopped there too, and learnt that he had been overtaken.
    let slowest = fenced.latency_us.values().map(|latency| latency.max).max();
    assert!(slowest >= Some(900_000), "{:?}", fenced.latency_us);
    assert!(fenced.answers.contended > 0, "{:?}", fenced.answers);
    let told: Vec<_> = run.faults.iter().map(|e| (&*e.fault, e.argument)).collect();
    assert_eq!(
        told,
        [("pause_holder", Some(900)), ("pause_holder", None)],
        "on, and off by the load test itself"
    );
    are_off(api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_replies_are_unknown_to_the_buyers_and_known_to_the_ledger() {
    let service = Process::start(&fresh_database().await);
    let api = &service.api;
    let faults = Faults { drop_reply_every: Some(4), ..Faults::default() };
    let run = run(api, &["atomic_update"], 40, faults).await;
    let row = row(&run, "atomic_update");
    assert_eq!((row.answers.unknown, row.answers.sold), (10, 30), "{:?}", row.answers);
    assert_eq!((row.verdict, row.evidence.sold), (Verdict::Held, 40), "{}", row.reason);
    assert!(
        run.faults.iter().any(|e| (&*e.fault, e.argument) == ("drop_reply", Some(4))),
        "{:?}",
        run.faults
    );
    assert!(run.command.ends_with("--fault drop-reply=4"), "{}", run.command);
    are_off(api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_heard_nothing_asks_again_under_his_key_and_learns_that_he_has_bought() {
    let app = TestApp::start().await;
    let (api, url) = (&app.api, &app.api.url);
    let (sale, other) = (api.open_sale("atomic_update", 5).await, api.open_sale("atomic_update", 5).await);
    let answer = switch(api, &Faults { drop_reply_every: Some(1), ..Faults::default() }).await;
    assert_eq!(answer.body["drop_reply_every"], 1, "{}", answer.text);
    let body = json!({"buyer_id": "b", "quantity": 1});
    let order =
        api.client.post(format!("{url}/v1/sales/{sale}/orders")).header("Idempotency-Key", "k").json(&body);
    let cut = order.try_clone().expect("again").send().await.expect_err("an answer came");
    assert!(!cut.is_connect() && !cut.is_timeout() && cut.status().is_none(), "{cut:?}");
    let again = api.send(order).await;
    assert!(again.is_sold() && again.headers["idempotent-replayed"] == "true", "{}", again.text);
    let items = json!([{"sale_id": sale, "quantity": 1}, {"sale_id": other, "quantity": 1}]);
    let cart = api.client.post(format!("{url}/v1/orders")).header("Idempotency-Key", "cart");
    let cart = cart.json(&json!({"buyer_id": "b", "items": items}));
    cart.try_clone().expect("again").send().await.expect_err("an answer came");
    assert!(api.send(cart).await.is_sold());
    switch(api, &Faults::default()).await;
    assert!(api.buy(sale).await.is_sold(), "off again");
    assert_eq!(api.audit(sale).await.evidence.sold, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_is_waited_for_by_every_order() {
    let app = TestApp::start().await;
    let api = &app.api;
    let locked = ["atomic_update", "lock_redis", "redis_lua"];
    let mut sales: Vec<Uuid> = Vec::new();
    for strategy in locked {
        sales.push(api.open_sale(strategy, 100).await);
        assert!(api.buy(sales[sales.len() - 1]).await.is_sold(), "warm");
    }
    for (slow, name) in [(None, "before"), (Some(200), "while"), (None, "after")] {
        switch(api, &Faults { slow_store_ms: slow, ..Faults::default() }).await;
        for (sale, strategy) in sales.iter().zip(locked) {
            let mut took = Vec::new();
            for _ in 0..5 {
                let asked = Instant::now();
                assert!(api.buy(*sale).await.is_sold(), "slow, and right");
                took.push(asked.elapsed());
            }
            took.sort_unstable();
            let waited = took[2] >= Duration::from_millis(200);
            assert_eq!(waited, slow.is_some(), "{strategy}, {name}: {took:?}");
        }
    }
    let refused = switch(api, &Faults { slow_store_ms: Some(5_000), ..Faults::default() }).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (422, "validation"), "{}", refused.text);
    are_off(api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_sells_nothing_wrong_and_comes_back() {
    let start = || Services::start(Wanted { redis: true, ..Wanted::NONE }).expect("a private Redis");
    let redis = tokio::task::spawn_blocking(start).await.expect("a private Redis");
    let url = redis.redis_url().expect("Redis").to_owned();
    let _kept = redis.keep();
    let database = fresh_database().await;
    let app = TestApp::between(&database, Some(&url), &["--lab", "--private-servers"]).await;
    let (api, sql) = (&app.api, app.sql().await);
    let sale = api.open_sale("redis_lua", 10_000).await;
    let mut yes: i64 = 0;
    for _ in 0..20 {
        yes += i64::from(api.buy(sale).await.is_sold());
    }
    let killed = api.send(api.client.post(format!("{}/v1/lab/faults/kill-redis", api.url))).await;
    assert_eq!((killed.status.as_u16(), &killed.body["outage_ms"]), (202, &json!(2000)), "{}", killed.text);
    let mut refused = 0;
    let began = Instant::now();
    loop {
        let answer = api.buy(sale).await;
        if answer.is_sold() {
            yes += 1;
            break;
        }
        // One that was under way may be unknown; none is sold out.
        assert!(answer.status.is_server_error(), "{} {}", answer.status, answer.text);
        refused += i64::from(answer.status.as_u16() == 503 && answer.body["executed"] == false);
        assert!(began.elapsed() < crate::support::LIMIT, "it does not come back: {}", answer.text);
    }
    assert!(refused > 0 && began.elapsed() >= Duration::from_millis(1_500), "{refused} refused");
    for answer in Api::rush(&[api], sale, 40, 8).await {
        assert!(answer.is_sold(), "{}", answer.text);
        yes += 1;
    }
    let audit = api.audit(sale).await;
    assert_eq!(audit.evidence.oversold, 0, "{audit:?}");
    let sold: i64 =
        sqlx::query_scalar("select coalesce(sum(quantity), 0)::bigint from orders where sale_id = $1")
            .bind(sale)
            .fetch_one(&sql)
            .await
            .expect("the ledger");
    assert!(sold >= yes, "told yes {yes} times, {sold} in the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_somebody_named_is_not_killed() {
    let app = TestApp::start().await;
    let answer = app.api.send(app.api.client.post(format!("{}/v1/lab/faults/kill-redis", app.api.url))).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (409, "not-ours"), "{}", answer.text);
    assert!(app.api.buy(app.api.open_sale("redis_lua", 1).await).await.is_sold());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artificial_window_lets_everybody_into_the_gap_and_is_named_on_the_sale() {
    let app = TestApp::start().await;
    let api = &app.api;
    for (strategy, crowd) in
        [("naive", true), ("unguarded_decrement", true), ("row_lock", false), ("optimistic", false)]
    {
        let body = json!({"name": "s", "units": 1, "strategy": strategy, "race_window_ms": 300});
        let opened = api.post("/v1/sales", &body).await;
        assert_eq!(opened.body["race_window_ms"], 300, "{}", opened.text);
        let sale: Uuid = opened.id().parse().expect("an id");
        let answers = Api::rush(&[api], sale, 8, 8).await;
        let sold = answers.iter().filter(|answer| answer.is_sold()).count();
        assert_eq!(sold, if crowd { 8 } else { 1 }, "{strategy}");
    }
    let plain = api.open_sale("naive", 1).await;
    assert_eq!(api.get(&format!("/v1/sales/{plain}")).await.body.get("race_window_ms"), None);
}
