//! How long a holder stays inside by itself, and what happens to one that does nothing.

use std::time::Duration;

use sellout::backends::Need;
use sellout::config::Limits;
use sellout::locks::{Facts, Released};
use sellout::wire::Hazard;

use crate::bench::{Bench, SOON, limits};

const LEASES: u64 = 10;

pub fn declared_renewal(facts: &Facts) -> Option<String> {
    facts.renews.then(|| "yes".to_owned())
}

/// Another one waits for ten leases. It must not come in, unless nothing is renewed.
pub async fn a_lease_is_renewed_over_ten_leases(bench: &Bench, facts: &'static Facts) -> &'static str {
    let lease = limits(facts, 300, 0).lock_lease_ms;
    let limits = limits(facts, 300, LEASES * lease);
    let (party, other) = (bench.party(facts, limits.clone()).await, bench.party(facts, limits).await);
    let sale = party.sale().await;
    let guard = party.enter(sale).await.expect("it is free");
    // A mutex of this process knows nobody of the others, so there the other one is of this one.
    let other = if facts.breaks.contains(&Hazard::SecondProcess) { &party } else { &other };
    let entered = other.enter(sale).await;
    assert!(!facts.renews || entered.is_none(), "it declares that it renews");
    if entered.is_some() {
        return "no";
    }
    let (dated, lost) = (guard.deadline().is_some(), guard.is_lost());
    assert!(!lost, "it still is inside, and says that it is not");
    assert_eq!(guard.release().await, Released::Ours);
    if dated { "yes" } else { "needs none" }
}

/// Only lock_pg_row: nothing else of PostgreSQL's ends a session for doing nothing.
pub fn is_held_by_a_transaction(facts: &Facts) -> bool {
    let row = facts.statements.iter().any(|(_, text)| text.contains("for update"));
    row && facts.needs == [Need::Postgres]
}

/// `idle_in_transaction_session_timeout` ends the session of a holder that hangs. The connection must not go
/// back into the pool as if it were whole.
pub async fn a_frozen_holder_is_cut_and_leaks_nothing(bench: &Bench, facts: &'static Facts) -> &'static str {
    let short = Limits { order_deadline_ms: 400, ..limits(facts, 400, 300) };
    let party = bench.party(facts, short.clone()).await;
    let other = bench.party(facts, limits(facts, 400, 3_000)).await;
    let sale = party.sale().await;
    let frozen = party.enter(sale).await.expect("it is free");
    let next = other.enter(sale).await.expect("the frozen one is cut");
    assert_eq!(frozen.release().await, Released::Lost);
    // The other one is inside, and every connection of the pool works.
    let mut connections = Vec::new();
    for _ in 0..short.lock_connections_max {
        let connection = tokio::time::timeout(SOON, party.backends.pg_locks.acquire()).await;
        let mut connection = connection.expect("in time").expect("a connection");
        sqlx::query("select 1").execute(&mut *connection).await.expect("it works");
        connections.push(connection);
    }
    drop(connections);
    assert!(party.enter(sale).await.is_none(), "the other one is inside");
    assert_eq!(next.release().await, Released::Ours);
    let again = tokio::time::timeout(Duration::from_secs(2), party.enter(sale)).await;
    assert!(again.is_ok_and(|entered| entered.is_some()), "it is free");
    "yes"
}
