//! Holders that are killed, and holders that are stopped.

use std::time::Instant;

use sellout::config::Limits;
use sellout::locks::Facts;
use sellout::wire::{Guarantee, Hazard};

use crate::bench::{Bench, SOON, limits};
use crate::holder::Holder;

const LEASE_MS: u64 = 400;

pub fn declared_after_a_kill(facts: &Facts) -> Option<String> {
    let left = facts.breaks.contains(&Hazard::LockLeft);
    Some(if left { "never" } else { "within its lease + 1 s" }.to_owned())
}

/// A lock that is left behind is looked at for a lease and two seconds, and then called so.
pub async fn a_killed_holder_frees_it(bench: &Bench, facts: &'static Facts) -> &'static str {
    let lease = limits(facts, LEASE_MS, 0).lock_lease();
    let patience = u64::try_from((lease + 2 * SOON).as_millis()).expect("seconds");
    let limits = limits(facts, LEASE_MS, patience);
    let next = bench.party(facts, limits.clone()).await;
    let sale = next.sale().await;
    let mut holder = Holder::inside(&bench.servers, &limits, facts, sale).await;
    let killed = Instant::now();
    holder.kill().await;
    let Some(guard) = next.enter(sale).await else { return "never" };
    let after = killed.elapsed();
    guard.release().await;
    println!("{}: the next owner entered {} ms after the kill", facts.id, after.as_millis());
    assert!(after <= lease + SOON, "free after {after:?} only");
    "within its lease + 1 s"
}

pub fn declared_when_stopped(facts: &Facts) -> Option<String> {
    // A broken lock may not even be told.
    let declares = facts.breaks.contains(&Hazard::LeaseExpiry) && facts.guarantee != Guarantee::Oversells;
    declares.then(|| "overtaken".to_owned())
}

/// Stopped for longer than its lease, and, where PostgreSQL ends idle transactions, than an order may take.
pub async fn a_stopped_holder_is_overtaken(bench: &Bench, facts: &'static Facts) -> &'static str {
    let short = Limits { order_deadline_ms: 800, ..limits(facts, LEASE_MS, 300) };
    let patience = short.lock_lease().max(short.order_deadline()) + 2 * SOON;
    let patience = u64::try_from(patience.as_millis()).expect("seconds");
    let other = bench.party(facts, limits(facts, LEASE_MS, patience)).await;
    let sale = other.sale().await;
    let mut holder = Holder::inside(&bench.servers, &short, facts, sale).await;
    holder.stop().await;
    let stopped = Instant::now();
    let entered = other.enter(sale).await;
    println!(
        "{}: after {} ms of a stopped holder: {}",
        facts.id,
        stopped.elapsed().as_millis(),
        match entered {
            Some(_) => "another entered",
            None => "nobody else is inside",
        }
    );
    holder.go_on();
    let left = holder.release().await;
    let Some(guard) = entered else {
        assert_eq!(left.released, "Ours", "nobody else was inside");
        return "stays inside";
    };
    // Its work is done, or its lease over.
    guard.release().await;
    assert!(left.past_its_deadline, "its deadline must be past, if it has one");
    if left.released == "Lost" { "overtaken" } else { "overtaken and not told" }
}
