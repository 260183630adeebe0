//! Whoever stops waiting leaves nothing behind: no lock, no waiter in a queue, no connection out of a pool.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use sellout::locks::Facts;
use sellout::wire::Hazard;
use uuid::Uuid;

use crate::bench::{Bench, Party, SOON, limits};
use crate::support::{eventually, polled_for};

const ROUNDS: u32 = 200;
/// The longest time until it is dropped; an acquisition takes less, or waits for the one who comes and goes.
const DROPPED_AFTER_MAX: Duration = Duration::from_millis(5);

pub async fn an_acquisition_dropped_at_any_point_leaks_nothing(
    bench: &Bench,
    facts: &'static Facts,
) -> &'static str {
    // A database of its own: here every advisory lock is looked at.
    let bench = bench.apart().await;
    // No lease ends within this trial: what is left behind stays.
    let limits = limits(facts, 60_000, 10_000);
    let connections = limits.lock_connections_max;
    let (party, other) = (bench.party(facts, limits.clone()).await, bench.party(facts, limits).await);
    let sale = party.sale().await;
    let over = AtomicBool::new(false);
    // A mutex of this process is contended for in this process only.
    let rival = if facts.breaks.contains(&Hazard::SecondProcess) { &party } else { &other };
    let (dropped, ()) = tokio::join!(give_up(&party, sale, &over), come_and_go(rival, sale, &over));
    assert!(dropped >= ROUNDS / 4, "only {dropped} of {ROUNDS} were dropped: this showed little");
    let free = tokio::time::timeout(2 * SOON, other.enter(sale)).await;
    free.ok().flatten().expect("nobody is inside, so it is entered").release().await;
    let free = tokio::time::timeout(2 * SOON, party.enter(sale)).await;
    free.ok().flatten().expect("by either process").release().await;
    whole_pools(&party, connections).await;
    let sql = bench.sql().await;
    let left = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                where d.datname = current_database() and l.locktype = 'advisory'";
    eventually("no advisory lock is held or awaited", async || {
        sqlx::query_scalar::<_, i64>(left).fetch_one(&sql).await.expect("pg_locks") == 0
    })
    .await;
    "yes"
}

/// Asks, and drops the question a little later each time. How many were dropped?
async fn give_up(party: &Party, sale: Uuid, over: &AtomicBool) -> u32 {
    let mut dropped = 0;
    for round in 0..ROUNDS {
        // Most of them early: some locks are entered within the first tenth of a millisecond.
        let after = DROPPED_AFTER_MAX.mul_f64((f64::from(round) / f64::from(ROUNDS)).powi(3));
        match polled_for(party.enter(sale), after).await {
            Some(entered) => drop(entered.expect("it waits for ten seconds").release().await),
            None => dropped += 1,
        }
    }
    over.store(true, SeqCst);
    dropped
}

async fn come_and_go(party: &Party, sale: Uuid, over: &AtomicBool) {
    while !over.load(SeqCst) {
        if let Some(guard) = party.enter(sale).await {
            // As long as a take.
            polled_for(std::future::pending::<()>(), Duration::from_millis(1)).await;
            guard.release().await;
        }
    }
}

/// Every connection can be had at once.
async fn whole_pools(party: &Party, connections: u32) {
    let mut taken = Vec::new();
    for _ in 0..connections {
        let connection = tokio::time::timeout(5 * SOON, party.backends.pg_locks.acquire()).await;
        taken.push(connection.expect("a connection leaked").expect("PostgreSQL"));
    }
    let Ok(pool) = party.backends.redis_locks() else { return };
    let mut taken = Vec::new();
    for _ in 0..pool.status().max_size {
        taken.push(tokio::time::timeout(5 * SOON, pool.get()).await.expect("it leaked").expect("Redis"));
    }
}
