//! The promise: an operator sees at one glance what is open, how fast it sells, what is on hold, which server
//! is down and what the last audit said; to look disturbs nothing, and audits are made without being asked.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sellout::wire::{LiveSale, LiveView, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{Api, TestApp, config, eventually, fresh_database, port_of, servers, with_port};

const OPERATOR: &str = "the operator's word";

async fn live(api: &Api) -> LiveView {
    let answer = api.get("/v1/live").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    serde_json::from_str(&answer.text).expect("a live view")
}

async fn seen(api: &Api, sale: Uuid) -> Option<LiveSale> {
    live(api).await.sales.into_iter().find(|s| s.id == sale)
}

/// Until the view says so of the sale: it may be a second old.
async fn eventually_seen(api: &Api, sale: Uuid, what: &str, is_so: impl Fn(&LiveSale) -> bool) -> LiveSale {
    eventually(what, async || seen(api, sale).await.is_some_and(|sale| is_so(&sale))).await;
    seen(api, sale).await.expect("it is still there")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_stock_holds_servers_and_the_last_audit() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("atomic_update", 100).await;
    for _ in 0..3 {
        assert!(app.api.buy(sale).await.is_sold());
    }
    for seconds in [3600, 50, 40] {
        assert!(app.api.hold(sale, seconds).await.is_sold());
    }
    let found = eventually_seen(&app.api, sale, "six are sold", |s| s.sold == 6).await;
    let facts = (found.units, found.left, found.held, found.expiring, found.in_flight, found.backlog);
    assert_eq!(facts, (100, Some(94), 3, 2, 0, Some(0)));
    assert_eq!(
        (found.strategy.as_str(), found.audit),
        ("atomic_update", None),
        "in a lab nobody audits unasked"
    );

    let audit = app.api.audit(sale).await;
    let found = eventually_seen(&app.api, sale, "the audit is remembered", |s| s.audit.is_some()).await;
    assert_eq!(found.audit.map(|a| a.verdict), Some(audit.verdict));

    let view = live(&app.api).await;
    let server = |name: &str| view.servers.iter().find(|s| s.name == name).expect("a server");
    for name in ["PostgreSQL", "Redis", "Redlock", "ZooKeeper", "etcd"] {
        assert!(server(name).up && server(name).why.is_none(), "{:?}", server(name));
    }
    assert!(server("PostgreSQL").version.as_deref().is_some_and(|v| v.contains("fsync")));
    assert!(!view.draining && view.at.ends_with('Z'));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_is_not_open_yet_or_not_any_more_is_not_shown() {
    let app = TestApp::start().await;
    let sale =
        |more: (&str, &str)| json!({"name": "n", "units": 5, "strategy": "atomic_update", more.0: more.1});
    let open = app.api.open_sale("atomic_update", 5).await;
    for more in [("opens_at", "2999-01-01T00:00:00Z"), ("closes_at", "2001-01-01T00:00:00Z")] {
        let answer = app.api.post("/v1/sales", &sale(more)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let shown: Vec<Uuid> = live(&app.api).await.sales.iter().map(|s| s.id).collect();
    assert_eq!(shown, [open]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn speed_is_seen_while_it_sells_and_is_nothing_afterwards() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("atomic_update", 1_000_000).await;
    let api = app.api.clone();
    let rush = tokio::spawn(async move { Api::rush(&[&api], sale, 3_000, 8).await });
    let fast = eventually_seen(&app.api, sale, "it sells", |s| s.orders_per_s > 0.0).await;
    assert!(fast.orders_per_s < 1_000_000.0, "{fast:?}");
    let sold = rush.await.expect("the rush").iter().filter(|answer| answer.is_sold()).count();
    let quiet = eventually_seen(&app.api, sale, "it is over", |s| s.orders_per_s == 0.0).await;
    assert_eq!((sold, quiet.sold), (3_000, 3_000));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_pages_look_once() {
    let app = TestApp::start().await;
    app.api.open_sale("atomic_update", 5).await;
    let began = Instant::now();
    let together = futures_util::future::join_all((0..20).map(|_| live(&app.api))).await;
    let mut moments: HashSet<String> = together.into_iter().map(|view| view.at).collect();
    for _ in 0..20 {
        moments.insert(live(&app.api).await.at);
    }
    // What was seen is good for a second, however many ask and however fast.
    let looks = 1 + usize::try_from(began.elapsed().as_secs()).expect("a number");
    assert!(moments.len() <= looks, "{looks} at most: {moments:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_down_in_words_and_what_it_knows_is_unknown() {
    let redis = Relay::to(port_of(&servers().redis_url)).await;
    let url = with_port(&servers().redis_url, redis.port);
    let settings = ["--lab", "--wait-limit-ms", "500", "--order-deadline-ms", "2000"];
    let app = TestApp::between(&fresh_database().await, Some(&url), &settings).await;
    let sales = [app.api.open_sale("redis_lua", 50).await, app.api.open_sale("atomic_update", 50).await];
    redis.freeze();
    let up = |view: &LiveView| view.servers.iter().find(|s| s.name == "Redis").map(|s| s.up);
    eventually("Redis is down", async || up(&live(&app.api).await) == Some(false)).await;
    let view = live(&app.api).await;
    let of = |sale: Uuid| view.sales.iter().find(|s| s.id == sale).expect("the sale");
    assert_eq!((of(sales[0]).left, of(sales[0]).backlog), (None, None));
    assert_eq!((of(sales[1]).left, of(sales[1]).backlog), (Some(50), Some(0)));
    let down: Vec<_> = view.servers.iter().filter(|s| s.why.is_some()).collect();
    assert!(down.len() == 1 && down[0].name == "Redis" && !down[0].up, "{:?}", view.servers);
    redis.thaw();
    eventually("Redis is up again", async || up(&live(&app.api).await) == Some(true)).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_looks() {
    let tokens = "operator shop a-word-for-operators; buyer app a-word-for-buyers";
    let app = TestApp::on(&fresh_database().await, &["--token", OPERATOR, "--tokens", tokens]).await;
    let look = || app.api.client.get(format!("{}/v1/live", app.api.url));
    let refused = [look(), look().bearer_auth("a-word-for-buyers"), look().bearer_auth("no word of ours")];
    for request in refused {
        let answer = app.api.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (401, "unauthorized"), "{}", answer.text);
    }
    let answer = app.api.send(look().bearer_auth(OPERATOR)).await;
    assert_eq!((answer.status.as_u16(), &answer.body["sales"]), (200, &json!([])));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_beyond_the_stock_is_found_and_counted_though_nobody_asks() {
    let database = fresh_database().await;
    let service = Process::with(&database, &["--audit-every-ms", "100"]);
    let sale = service.api.open_sale("atomic_update", 5).await;
    assert!(service.api.buy(sale).await.is_sold());
    let metric = async |name: &str, value: &str| {
        let line = format!("{name}{{strategy=\"atomic_update\"}} {value}");
        service.api.get("/metrics").await.text.lines().any(|l| l == line)
    };
    eventually("it was audited", async || seen(&service.api, sale).await.is_some_and(|s| s.audit.is_some()))
        .await;
    assert!(metric("sellout_audit_oversold_units", "0").await, "and nothing was found");
    sell_past_the_stock(&database, sale).await;
    eventually("it is counted", async || metric("sellout_audit_oversold_units", "2").await).await;
    // The counter still has four, as if all were well: that is seen as well.
    eventually("and the counter's error", async || metric("sellout_audit_drift_units", "6").await).await;
    let found = eventually_seen(&service.api, sale, "the view says so", |s| {
        s.audit.is_some_and(|audit| audit.verdict == Verdict::Oversold)
    });
    assert_eq!(found.await.sold, 1, "though the process itself sold one");
}

/// Six orders that nobody looked for: as a strategy would that forgets to.
async fn sell_past_the_stock(database: &str, sale: Uuid) {
    let sql = sqlx::PgPool::connect(database).await.expect("the tests' PostgreSQL");
    let sell = "select record_order('anonymous', 'k' || i, gen_random_uuid(), $1, 'b' || i, 1, '\\x00', true)
                from generate_series(1, 6) i";
    sqlx::query(sell).bind(sale).execute(&sql).await.expect("six orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_does_not_end_with_the_sale() {
    let database = fresh_database().await;
    let service = Process::with(&database, &["--audit-every-ms", "100"]);
    let sql = sqlx::PgPool::connect(&database).await.expect("the tests' PostgreSQL");
    let soon = "select to_char(clock_timestamp() at time zone 'utc' + interval '4 seconds',
                               'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let soon: String = sqlx::query_scalar(soon).fetch_one(&sql).await.expect("a time");
    let body = json!({"name": "n", "units": 5, "strategy": "row_lock", "closes_at": soon});
    let opened = service.api.post("/v1/sales", &body).await;
    let sale: Uuid = opened.id().parse().expect("a sale id");
    sell_past_the_stock(&database, sale).await;
    let counted = async || {
        let line = "sellout_audit_oversold_units{strategy=\"row_lock\"} 1";
        service.api.get("/metrics").await.text.lines().any(|l| l == line)
    };
    eventually("it is counted while it sells", &counted).await;
    eventually("it is over", async || seen(&service.api, sale).await.is_none()).await;
    assert!(counted().await, "and is still told");
}

#[test]
fn audits_are_made_every_minute_and_never_in_a_lab_unless_told() {
    let every = |more: &[&str]| config("postgres://nowhere", None, more).audit_every();
    assert_eq!(every(&[]), Some(Duration::from_secs(60)));
    assert_eq!(every(&["--lab"]), None);
    assert_eq!(every(&["--lab", "--audit-every-ms", "500"]), Some(Duration::from_millis(500)));
    assert_eq!(every(&["--audit-every-ms", "0"]), None);
}
