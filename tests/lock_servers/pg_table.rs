//! `lock_pg_table`, where an owner that is inside may enter again: each entry is left once, by nobody else.

use std::time::Duration;

use sellout::backends::Backends;
use sellout::locks::{Locks, Owner, Released, lock_pg_table};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::relay::Relay;
use crate::support::{TestApp, config, eventually, fresh_database, polled_for, port_of, with_port};

/// So long that nothing is renewed or free in a test because of it.
const LONG: [&str; 2] = ["--lock-lease-ms", "600000"];

async fn locks(database_url: &str) -> Locks {
    let config = config(database_url, None, &[&LONG[..], &["--lock-connections-max", "1"]].concat());
    let backends = Backends::open(&config.servers, config.limits.clone()).await.expect("servers");
    Locks::new(&lock_pg_table::FACTS, &backends).expect("PostgreSQL")
}

async fn depth(sql: &PgPool, sale: Uuid) -> i32 {
    let depth = sqlx::query_scalar("select depth from lock_leases where sale_id = $1");
    depth.bind(sale).fetch_one(sql).await.expect("the lease")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_dropped_leaves_once() {
    let database = fresh_database().await;
    let (locks, sql) = (locks(&database).await, PgPool::connect(&database).await.expect("PostgreSQL"));
    let (sale, mut dropped) = (Uuid::now_v7(), 0);
    for round in 0..100 {
        let owner = Owner::fresh();
        let outer = locks.acquire(sale, owner).await.expect("inside");
        let inner = locks.again(sale, owner).await.expect("inside again");
        let released = polled_for(inner.release(), Duration::from_micros(10 * round)).await;
        dropped += u32::from(released.is_none());
        eventually("it has left once", async || depth(&sql, sale).await < 2).await;
        // Whatever was sent by then comes before this: there is one connection.
        locks.again(sale, owner).await.expect("inside still").release().await;
        assert_eq!(outer.release().await, Released::Ours, "round {round}: left twice by one guard");
    }
    assert!(dropped >= 20, "{dropped} of 100 were dropped: this showed little");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_answer_got_lost_takes_back_itself_and_no_other() {
    let database = fresh_database().await;
    let relay = Relay::to(port_of(&database)).await;
    let locks = locks(&with_port(&database, relay.port)).await;
    let sql = PgPool::connect(&database).await.expect("PostgreSQL");
    let (sale, owner) = (Uuid::now_v7(), Owner::fresh());
    let outer = locks.acquire(sale, owner).await.expect("inside");
    // Entered, and the answer thrown away with the wire.
    relay.cut(1);
    assert!(locks.again(sale, owner).await.is_err(), "the wire was not cut");
    assert_eq!(depth(&sql, sale).await, 1, "the entry that nobody heard of stayed");
    // Not even asked: the session had ended before.
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::query(end).execute(&sql).await.expect("pg_terminate_backend");
    assert!(locks.again(sale, owner).await.is_err(), "the session lives");
    let sql = PgPool::connect(&database).await.expect("PostgreSQL");
    assert_eq!(depth(&sql, sale).await, 1, "an entry that was never made took back another");
    assert_eq!(outer.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_has_looked_may_not_look_again() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    let sale = app.api.open_sale("lock_pg_table_fenced", 1).await;
    // Somebody with the number that the next holder will have.
    let claimed = sqlx::query("update stock set fence = 1 where sale_id = $1").bind(sale).execute(&sql).await;
    assert_eq!(claimed.expect("the stock").rows_affected(), 1);
    let sold = app.api.buy(sale).await;
    assert!(sold.is_sold(), "the second number is a new one: {}", sold.text);
    let fence = sqlx::query_scalar::<_, i64>("select fence from stock where sale_id = $1").bind(sale);
    assert_eq!(fence.fetch_one(&sql).await.expect("the fence"), 2, "two looked under one number");
    app.stop().await;
}
