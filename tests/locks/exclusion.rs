//! One at a time: in one process, and among several.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sellout::locks::Facts;
use sellout::wire::{Guarantee, Hazard};

use crate::bench::{Bench, limits};
use crate::holder::Holder;

const TASKS: usize = 8;
const ACQUISITIONS: u32 = 100;
/// As long as a short take.
const WORK: Duration = Duration::from_millis(3);

/// A lock that is broken on purpose declares that it oversells, not how: the table says what was seen.
pub fn declared_in_one_process(facts: &Facts) -> Option<String> {
    (facts.guarantee != Guarantee::Oversells).then(|| "yes".to_owned())
}

pub fn declared_among_processes(facts: &Facts) -> Option<String> {
    let kept = if facts.breaks.contains(&Hazard::SecondProcess) { "no" } else { "yes" };
    declared_in_one_process(facts).map(|_| kept.to_owned())
}

pub async fn two_acquisitions_in_one_process_exclude_each_other(
    bench: &Bench,
    facts: &'static Facts,
) -> &'static str {
    let party = bench.party(facts, limits(facts, 2_000, 10_000)).await;
    let sale = party.sale().await;
    let (begun, inside, met) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    let buyer = async || {
        while begun.fetch_add(1, SeqCst) < ACQUISITIONS && !met.load(SeqCst) {
            let guard = party.enter(sale).await.expect("its turn comes within ten seconds");
            let others = inside.fetch_add(1, SeqCst);
            if others > 0 || poll_for_others(&inside).await {
                met.store(true, SeqCst);
            }
            inside.fetch_sub(1, SeqCst);
            guard.release().await;
        }
    };
    join_all((0..TASKS).map(|_| buyer())).await;
    if met.load(SeqCst) { "no" } else { "yes" }
}

/// Works for a moment; did somebody come in meanwhile?
async fn poll_for_others(inside: &AtomicU32) -> bool {
    let began = Instant::now();
    while began.elapsed() < WORK {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if inside.load(SeqCst) > 1 {
            return true;
        }
    }
    false
}

pub async fn two_processes_exclude_each_other(bench: &Bench, facts: &'static Facts) -> &'static str {
    let limits = limits(facts, 10_000, 300);
    let here = bench.party(facts, limits.clone()).await;
    let sale = here.sale().await;
    let mut there = Holder::inside(&bench.servers, &limits, facts, sale).await;
    if let Some(guard) = here.enter(sale).await {
        guard.release().await;
        return "no";
    }
    assert_eq!(there.release().await.released, "Ours");
    // And the other way round.
    let guard = here.enter(sale).await.expect("it is free");
    assert!(!there.enters().await, "the other process came in while this one was inside");
    guard.release().await;
    assert!(there.enters().await, "it is free again");
    "yes"
}
