//! Waiting: how long, in which order, and what it costs; and the trips of who need not wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sellout::locks::{Facts, Trips};
use sellout::wire::Hazard;
use uuid::Uuid;

use crate::bench::{Bench, Party, SOON, limits};

const WAIT: Duration = Duration::from_millis(300);

/// Two wait, one in the holder's process and one in another: both are told in time, and neither leaves
/// anything behind that would keep the next one out.
pub async fn no_wait_is_longer_than_its_limit(bench: &Bench, facts: &'static Facts) -> &'static str {
    let limits = limits(facts, 10_000, 300);
    let (here, there) = (bench.party(facts, limits.clone()).await, bench.party(facts, limits).await);
    let sale = here.sale().await;
    let holder = here.enter(sale).await.expect("it is free");
    let wait = async |party: &Party| {
        let began = Instant::now();
        let entered = party.enter(sale).await;
        (entered.is_some(), began.elapsed())
    };
    let (one, two) = tokio::join!(wait(&here), wait(&there));
    for (entered, waited) in [one, two] {
        assert!(waited <= WAIT + SOON, "waited for {waited:?}");
        // Nearly: who polls gives up when the next pause would be too long.
        assert!(entered || waited >= WAIT / 2, "refused after {waited:?} already");
    }
    holder.release().await;
    let began = Instant::now();
    let next = there.enter(sale).await.expect("nobody is inside, and nobody waits");
    assert!(began.elapsed() <= WAIT, "who gave up was in the way for {:?}", began.elapsed());
    next.release().await;
    "yes"
}

const WAITERS: usize = 5;
/// Whoever enters by luck does so in order once in 120 times, or more often where all are woken at once.
const ROUNDS_OF_LUCK: usize = 12;

/// Five processes' worth of waiters, each seen waiting before the next one comes.
pub async fn waiters_enter_in_the_order_in_which_they_came(
    bench: &Bench,
    facts: &'static Facts,
) -> &'static str {
    let limits = limits(facts, 10_000, 5_000);
    let holder = bench.party(facts, limits.clone()).await;
    let alone = facts.breaks.contains(&Hazard::SecondProcess);
    let mut parties = Vec::new();
    for _ in 0..if alone { 1 } else { WAITERS } {
        let party = bench.watched(facts, limits.clone()).await;
        party.warm().await;
        parties.push(Arc::new(party));
    }
    let rounds = if facts.fair { 2 } else { ROUNDS_OF_LUCK };
    for _ in 0..rounds {
        let sale = holder.sale().await;
        let first = if alone { &parties[0] } else { &holder };
        let order = queue_up(first, &parties, sale).await;
        if order != (0..WAITERS).collect::<Vec<_>>() {
            assert!(!facts.fair, "they entered in the order {order:?}");
            return "no";
        }
    }
    "yes"
}

/// In which order they entered. Who enters past the holder was not in order.
async fn queue_up(holder: &Party, parties: &[Arc<Party>], sale: Uuid) -> Vec<usize> {
    let holding = holder.enter(sale).await.expect("it is free");
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for at in 0..WAITERS {
        let party = Arc::clone(&parties[at % parties.len()]);
        let (before, waiter, entered) = (party.turns(), Arc::clone(&party), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let guard = waiter.enter(sale).await.expect("its turn comes within five seconds");
            entered.lock().unwrap_or_else(PoisonError::into_inner).push(at);
            guard.release().await;
        }));
        party.poll_until_it_waits(before).await;
    }
    let past_the_holder = !order.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    holding.release().await;
    join_all(waiting).await.into_iter().for_each(|waited| waited.expect("a waiter"));
    let order = order.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if past_the_holder { Vec::new() } else { order }
}

/// A second of waiting costs no more turns than this where one is told when it is time; and no more than that
/// where one is told, and asks now and then in case nobody said so. Asking again costs more.
const TURNS_OF_THE_TOLD: u64 = 8;
const TURNS_OF_THE_WARY: u64 = 30;

pub fn declared_waiting(facts: &Facts) -> Option<String> {
    let kept_out = facts.guarantee != sellout::wire::Guarantee::Oversells;
    kept_out.then(|| facts.waits_by.to_owned())
}

/// Counts what a waiter asks in one second behind a holder.
pub async fn a_waiter_asks_as_often_as_declared(bench: &Bench, facts: &'static Facts) -> String {
    let limits = limits(facts, 10_000, 5_000);
    let waiter = bench.watched(facts, limits.clone()).await;
    waiter.warm().await;
    let sale = waiter.sale().await;
    let alone = facts.breaks.contains(&Hazard::SecondProcess);
    let other = bench.party(facts, limits).await;
    let holding = if alone { &waiter } else { &other }.enter(sale).await.expect("it is free");
    let before = waiter.turns();
    let waited = tokio::time::timeout(Duration::from_secs(1), waiter.enter(sale)).await;
    let turns = waiter.turns() - before;
    holding.release().await;
    if waited.is_ok() {
        return "not kept out".to_owned();
    }
    println!("{}: {turns} turns in a second of waiting", facts.id);
    let expected = match facts.waits_by {
        by if by.starts_with("asking") => TURNS_OF_THE_WARY + 1..=u64::MAX,
        by if by.contains("asking") => TURNS_OF_THE_TOLD + 1..=TURNS_OF_THE_WARY,
        _ => 0..=TURNS_OF_THE_TOLD,
    };
    assert!(expected.contains(&turns), "{} says FACTS, {turns} turns were seen in a second", facts.waits_by);
    facts.waits_by.to_owned()
}

pub fn declared_trips(facts: &Facts) -> Option<String> {
    Some(trips(facts.trips))
}

fn trips(trips: Trips) -> String {
    format!("{} / {}", trips.acquire, trips.release)
}

/// Trips to enter and to leave, warm and uncontended. The least of some: a heartbeat of a session may fall
/// into one of them, and none of them takes fewer than it takes.
pub async fn costs_the_declared_round_trips(bench: &Bench, facts: &'static Facts) -> String {
    let party = bench.watched(facts, limits(facts, 10_000, 5_000)).await;
    party.warm().await;
    let sale = party.sale().await;
    let (mut acquire, mut release) = (u64::MAX, u64::MAX);
    for _ in 0..4 {
        let before = party.turns();
        let guard = party.enter(sale).await.expect("it is free");
        // Of several servers the last one may be asked when the answer is known already.
        party.poll_until_it_waits(before).await;
        let inside = party.turns();
        guard.release().await;
        party.poll_until_it_waits(inside).await;
        (acquire, release) = (acquire.min(inside - before), release.min(party.turns() - inside));
    }
    let count = |turns: u64| u32::try_from(turns).expect("a few");
    trips(Trips { acquire: count(acquire), release: count(release) })
}
