//! The promise: what cannot be served in time is refused at once, with nothing taken, and what must not wait
//! has a lane of its own. And whoever goes down finishes first.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{Api, TestApp, eventually, fresh_database, port_of, with_port};

#[tokio::test(flavor = "multi_thread")]
async fn an_overfull_queue_is_refused_at_once_and_holds_are_confirmed_all_the_same() {
    let narrow = ["--lab", "--in-flight-max", "2", "--queue-max", "4", "--queue-wait-ms", "400"];
    let app = TestApp::on(&fresh_database().await, &narrow).await;
    let sale = app.api.open_sale("atomic_update", 20).await;
    let other = app.api.open_sale("atomic_update", 20).await;
    let hold = app.api.hold(other, 60).await;
    assert!(hold.is_sold(), "{}", hold.text);
    let sql = app.sql().await;
    let mut jam = sql.begin().await.expect("a transaction");
    let row = sqlx::query("select from stock where sale_id = $1 for update").bind(sale);
    row.execute(&mut *jam).await.expect("the row's lock");

    let api = app.api.clone();
    let crowd = tokio::spawn(async move {
        let asked = |_| async {
            let begun = Instant::now();
            (api.buy(sale).await, begun.elapsed())
        };
        futures_util::future::join_all((0..12).map(asked)).await
    });
    eventually("two are inside", async || app.api.get("/v1/sales").await.text.contains(r#""in_flight":2"#))
        .await;
    // The crowd's lane is full; who has paid does not stand in it.
    let confirmed = app.api.end(hold.id(), "confirm").await;
    assert_eq!(
        (confirmed.status.as_u16(), &confirmed.body["state"]),
        (200, &json!("confirmed")),
        "{}",
        confirmed.text
    );
    let cancelled = app.api.end(hold.id(), "cancel").await;
    assert_eq!(cancelled.body["state"], "cancelled", "{}", cancelled.text);
    // Those in the queue run out of patience before the jam ends.
    eventually("the queue has given up", async || {
        app.api.get("/metrics").await.text.contains(r#"sellout_shed_total{why="expired"} 4"#)
    })
    .await;
    jam.rollback().await.expect("rollback");

    let answers = crowd.await.expect("the crowd");
    let shed: Vec<_> = answers.iter().filter(|(answer, _)| answer.problem() == "overloaded").collect();
    assert_eq!(answers.iter().filter(|(answer, _)| answer.is_sold()).count(), 2);
    assert_eq!(shed.len(), 10, "{:?}", answers.iter().map(|(a, _)| &a.text).collect::<Vec<_>>());
    for (answer, _) in &shed {
        assert_eq!(
            (answer.status.as_u16(), &answer.body["executed"]),
            (503, &json!(false)),
            "{}",
            answer.text
        );
        assert_eq!(answer.headers["retry-after"], "1");
    }
    // Six found no place and were told so at once; four waited, and not for longer than they had to.
    let at_once = shed.iter().filter(|(_, took)| *took < Duration::from_millis(300)).count();
    assert_eq!(at_once, 6, "{:?}", shed.iter().map(|(_, took)| took).collect::<Vec<_>>());
    assert_eq!(app.api.audit(sale).await.evidence.sold, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_told_how_many_orders_are_left_to_him_and_refused_beyond() {
    let tokens = "buyer shop-a the-token-of-shop-a;buyer shop-b the-token-of-shop-b";
    let app = TestApp::on(&fresh_database().await, &["--lab", "--rate-per-s", "5", "--tokens", tokens]).await;
    let sale = app.api.open_sale("atomic_update", 100).await;
    let order = async |token: &str| {
        let url = format!("{}/v1/sales/{sale}/orders", app.api.url);
        let request = app.api.client.post(url).json(&json!({"buyer_id": "b", "quantity": 1}));
        app.api.send(request.bearer_auth(token)).await
    };
    let first = order("the-token-of-shop-a").await;
    assert!(first.is_sold(), "{}", first.text);
    assert_eq!(first.headers["ratelimit-policy"], "\"orders\";q=5;w=1");
    assert_eq!(first.headers["ratelimit"], "\"orders\";r=4;t=1");
    let mut refused = None;
    for _ in 0..20 {
        let answer = order("the-token-of-shop-a").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("twenty at once are more than five a second");
    assert_eq!(
        (refused.problem(), &refused.body["executed"]),
        ("rate-limited", &json!(false)),
        "{}",
        refused.text
    );
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["ratelimit"], "\"orders\";r=0;t=1");
    assert!(order("the-token-of-shop-b").await.is_sold(), "another caller has a limit of his own");
    eventually("a second later there is room", async || order("the-token-of-shop-a").await.is_sold()).await;
    assert!(app.api.get(&format!("/v1/sales/{sale}")).await.headers.get("ratelimit").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_down_says_so_first_and_finishes_every_order_that_it_has_begun() {
    let database = fresh_database().await;
    let pg = Relay::to(port_of(&database)).await;
    let settings = ["--drain-delay-ms", "1000"];
    let service = Process::with(&with_port(&database, pg.port), &settings);
    let other = TestApp::on(&database, &["--lab"]).await;
    for strategy in ["redis_lua", "atomic_update", "redis_lua_ack_early"] {
        let warm = service.api.open_sale(strategy, 1).await;
        assert!(service.api.buy(warm).await.is_sold());
    }
    let sales =
        [service.api.open_sale("redis_lua", 50).await, service.api.open_sale("atomic_update", 50).await];
    let early = service.api.open_sale("redis_lua_ack_early", 5).await;
    pg.freeze();
    let api = service.api.clone();
    let buyers = tokio::spawn(async move {
        let rush = sales.map(|sale| {
            let api = api.clone();
            async move { Api::rush(&[&api], sale, 8, 8).await }
        });
        futures_util::future::join_all(rush).await
    });
    assert!(service.api.buy(early).await.is_sold(), "told yes by Redis alone");
    // Sent, and on their way to a server that does not answer just now.
    eventually("all of them are under way", async || {
        service.api.get("/metrics").await.status == 200
            && pg.turns() > 0
            && redis_has(&other, sales[0]).await == 42
    })
    .await;
    let pid = Pid::from_raw(i32::try_from(service.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("SIGTERM");
    eventually("it says that it goes down", async || {
        // One that came before the signal was heard waits for the frozen server; it is asked again.
        let ready = service.api.client.get(format!("{}/readyz", service.api.url));
        let ready = ready.timeout(Duration::from_millis(200)).send().await;
        ready.is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    pg.thaw();
    let answers = buyers.await.expect("the buyers");
    for (sale, answers) in sales.into_iter().zip(answers) {
        assert!(
            answers.iter().all(|answer| answer.is_sold()),
            "{:?}",
            answers.iter().map(|a| &a.text).collect::<Vec<_>>()
        );
        assert_eq!(other.api.audit(sale).await.evidence.sold, 8);
    }
    let mut service = service;
    assert!(service.ends().await, "it ends by itself, with 0");
    // Also what it had promised and not recorded.
    let e = other.api.audit(early).await.evidence;
    assert_eq!((e.sold, e.in_flight), (1, 0), "{e:?}");
}

/// What Redis believes is left, asked through another service.
async fn redis_has(app: &TestApp, sale: uuid::Uuid) -> i64 {
    app.api.get(&format!("/v1/sales/{sale}")).await.body["left"].as_i64().unwrap_or(-1)
}
