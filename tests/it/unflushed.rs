//! The promise: who commits without waiting for the disk says nothing before the disk has it. A crash in
//! between takes an order back that nobody was told of.

use sellout::backends::Backends;
use sellout::sale::Error;
use sellout::services::{Data, Services, Wanted, Which};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::support::relay::Relay;
use crate::support::{
    Answer, Api, TestApp, UNATTENDED, config, eventually, fresh_database, port_of, with_port,
};

/// Turns of an order that sells: the take, and the flush.
const FLUSH: u64 = 2;

async fn private_postgres() -> Services {
    let start = || Services::start(Wanted { postgres: true, ..Wanted::NONE }).expect("PostgreSQL");
    let services = tokio::task::spawn_blocking(start).await.expect("PostgreSQL");
    // Nobody else flushes by the way: by itself it would after some 200 ms.
    let mut sql = PgConnection::connect(services.database_url().expect("a URL")).await.expect("a connection");
    for statement in ["alter system set wal_writer_delay = '10s'", "select pg_reload_conf()"] {
        sqlx::query(statement).execute(&mut sql).await.expect("a setting");
    }
    services
}

/// The service behind a relay, and a sale that it has sold from.
async fn selling(database: &str, units: i64) -> (TestApp, Relay, Uuid) {
    let pg = Relay::to(port_of(database)).await;
    // One connection that sells, so that the turns are an order's and not those of a new connection.
    let settings = [&["--lab", "--pool-connections-max", "1"][..], &UNATTENDED].concat();
    let app = TestApp::between(&with_port(database, pg.port), None, &settings).await;
    let sale = app.api.open_sale("flush_barrier", units).await;
    let first = app.api.order(sale, "first", "b", 1).await;
    assert!(first.is_sold(), "{} {}", first.status, first.text);
    (app, pg, sale)
}

async fn is_recorded(sql: &PgPool, sale: Uuid, key: &str) -> bool {
    let recorded = "select count(*) = 1 from orders where sale_id = $1 and key = $2";
    sqlx::query_scalar(recorded).bind(sale).bind(key).fetch_one(sql).await.expect("the ledger")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_flush_takes_back_only_what_nobody_was_told() {
    let mut services = private_postgres().await;
    let database = services.database_url().expect("a URL").to_owned();
    let (app, pg, sale) = selling(&database, 3).await;
    let sql = PgPool::connect_lazy(&database).expect("a pool");
    pg.hold(FLUSH);
    let api = app.api.clone();
    let caught = tokio::spawn(async move { api.order(sale, "caught", "b", 1).await });
    eventually("the flush is held", async || pg.is_holding()).await;
    assert!(is_recorded(&sql, sale, "caught").await, "it has committed, and everybody can see it");
    assert!(!caught.is_finished(), "he was answered before the disk had it");
    services.crash(Which::Postgres).expect("crashed");
    services.revive(Which::Postgres, Data::Kept).expect("revived");
    pg.release();
    let caught = caught.await.expect("an answer");
    assert_eq!(caught.problem(), "outcome-unknown", "{} {}", caught.status, caught.text);
    let seen = async |key: &str| {
        let mut sql = PgConnection::connect(&database).await.expect("PostgreSQL is back");
        let seen = "select count(*) from orders where sale_id = $1 and key = $2";
        sqlx::query_scalar::<_, i64>(seen).bind(sale).bind(key).fetch_one(&mut sql).await.expect("the ledger")
    };
    assert_eq!((seen("first").await, seen("caught").await), (1, 0), "nothing was lost: this showed nothing");
    // The retry finds out; and what was sold before is sold still.
    for key in ["caught", "first", "other"] {
        eventually(key, async || app.api.order(sale, key, "b", 1).await.is_sold()).await;
    }
    assert_eq!(app.api.buy(sale).await.problem(), "sold-out");
    let judged = async || app.api.get(&format!("/v1/sales/{sale}/audit")).await.status == 200;
    eventually("those who read are connected again", judged).await;
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.oversold, e.drift, e.unbalanced), (3, 0, Some(0), 0), "{e:?}");
    app.stop().await;
    drop(services);
}

/// A twin in another process finds the order in the ledger, and its flush has not come yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_elsewhere_is_told_of_an_order_only_when_it_is_durable() {
    let mut services = private_postgres().await;
    let database = services.database_url().expect("a URL").to_owned();
    let (app, pg, sale) = selling(&database, 2).await;
    let other = TestApp::on(&database, &["--lab"]).await;
    pg.hold(FLUSH);
    let api = app.api.clone();
    let caught = tokio::spawn(async move { api.order(sale, "caught", "b", 1).await });
    eventually("the flush is held", async || pg.is_holding()).await;
    let again = other.api.order(sale, "caught", "b", 1).await;
    assert!(again.is_sold(), "{} {}", again.status, again.text);
    services.crash(Which::Postgres).expect("crashed");
    services.revive(Which::Postgres, Data::Kept).expect("revived");
    pg.release();
    let caught = caught.await.expect("an answer");
    assert_eq!(caught.problem(), "outcome-unknown", "{} {}", caught.status, caught.text);
    let still = async || other.api.order(sale, "caught", "b", 1).await;
    eventually("it answers again", async || still().await.is_sold()).await;
    assert_eq!(still().await.id(), again.id(), "he was told of this order");
    app.stop().await;
    other.stop().await;
    drop(services);
}

/// One flush at a time, and those who come meanwhile share the next one.
#[tokio::test(flavor = "multi_thread")]
async fn buyers_share_a_flush_and_none_is_let_through_by_one_that_began_before_his_commit() {
    let (app, pg, sale) = selling(&fresh_database().await, 40).await;
    pg.hold(FLUSH);
    let before = pg.turns();
    let api = app.api.clone();
    let first = tokio::spawn(async move { api.buy(sale).await });
    eventually("the flush is held", async || pg.is_holding()).await;
    let api = app.api.clone();
    let others = tokio::spawn(async move { Api::rush(&[&api], sale, 32, 32).await });
    let sql = app.sql().await;
    eventually("all others have committed", async || {
        let orders = sqlx::query_scalar::<_, i64>("select count(*) from orders where sale_id = $1");
        orders.bind(sale).fetch_one(&sql).await.expect("the ledger") == 34
    })
    .await;
    assert!(!others.is_finished() && !first.is_finished(), "answered before the flush");
    // 33 takes, and the flush that is held.
    let turns = pg.turns();
    pg.release();
    assert!(first.await.expect("an answer").is_sold());
    assert!(others.await.expect("answers").iter().all(Answer::is_sold));
    assert!(turns - before >= 34, "{turns} - {before}");
    assert_eq!(pg.turns() - turns, 1, "one flush for 32, and it began after they had committed");
    assert_eq!(app.api.audit(sale).await.evidence.sold, 34);
}

/// A server that crashed has lost the commit and answers again, on a new wire: its flush says nothing of what
/// was committed before.
#[tokio::test(flavor = "multi_thread")]
async fn a_flush_on_a_wire_that_was_opened_later_lets_nobody_through() {
    let mut services = private_postgres().await;
    let config = config(services.database_url().expect("a URL"), None, &["--lab"]);
    let backends = Backends::open(&config.servers, config.limits).await.expect("the servers");
    let (flush, sql) = (&backends.flush, "select pg_logical_emit_message(true, 'sellout', '')");
    let before = flush.wire().await.expect("a wire");
    flush.passed(before, sql).await.expect("flushed");
    services.crash(Which::Postgres).expect("crashed");
    services.revive(Which::Postgres, Data::Kept).expect("revived");
    for _ in 0..2 {
        let lost = flush.passed(before, sql).await;
        assert!(matches!(lost, Err(Error::Unknown(_))), "{lost:?}");
    }
    let after = flush.wire().await.expect("a new wire");
    flush.passed(after, sql).await.expect("flushed");
    let lost = flush.passed(before, sql).await;
    assert!(matches!(lost, Err(Error::Unknown(_))), "{lost:?}");
    flush.passed(after, sql).await.expect("whoever came later is let through");
}
