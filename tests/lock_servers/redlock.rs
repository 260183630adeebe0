//! The promise: on three real Redis, a majority decides who is inside; and where that is not enough, the
//! fence decides.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sellout::backends::Backends;
use sellout::locks::{Guard, Locks, Owner, Released, lock_redlock};
use sellout::sale::Error;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::redlock_nodes::Nodes;
use crate::support::relay::Relay;
use crate::support::{TestApp, config, eventually, fresh_database, polled_for, port_of, with_port};

/// So long that nothing in a test is free because it has expired.
const LONG: &str = "60000";
/// Far below the wait limit, and above what a node may take (50 ms) on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(200);

/// The lock as one process has it.
async fn locks(urls: &[String], lease_ms: &str, wait_ms: &str) -> Locks {
    static DATABASE: OnceCell<String> = OnceCell::const_new();
    let database = DATABASE.get_or_init(fresh_database).await;
    let urls = urls.join(",");
    let settings = ["--redlock-urls", &urls, "--lock-lease-ms", lease_ms, "--wait-limit-ms", wait_ms];
    let config = config(database, None, &settings);
    let backends = Backends::open(&config.servers, config.limits.clone()).await.expect("servers");
    Locks::new(&lock_redlock::FACTS, &backends).expect("three nodes are named")
}

async fn enter(locks: &Locks, sale: Uuid) -> Guard {
    locks.acquire(sale, Owner::fresh()).await.expect("inside")
}

/// The fastest of a few, so that a busy machine does not decide.
async fn fastest(locks: &Locks, sale: Uuid) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        let guard = enter(locks, sale).await;
        fastest = fastest.min(started.elapsed());
        assert_eq!(guard.release().await, Released::Ours);
    }
    fastest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_frozen_minority_is_hardly_waited_for() {
    let mut nodes = Nodes::start().await;
    let locks = locks(&nodes.urls, LONG, "5000").await;
    let sale = Uuid::now_v7();
    fastest(&locks, sale).await;
    nodes.freeze(0);
    let frozen = fastest(&locks, sale).await;
    assert!(frozen < AT_ONCE, "a frozen node: {frozen:?}");
    nodes.thaw(0);
    nodes.nothing_is_left(&[0, 1, 2], sale).await;
    nodes.crash(1);
    let dead = fastest(&locks, sale).await;
    assert!(dead < AT_ONCE, "a dead node: {dead:?}");
    nodes.nothing_is_left(&[0, 2], sale).await;
    // Whoever finds it taken is told that, and not that the servers are away: two of three answered.
    let inside = enter(&locks, sale).await;
    let late = self::locks(&nodes.urls, LONG, "300").await.acquire(sale, Owner::fresh()).await;
    assert!(matches!(late, Err(Error::Contended(_))), "{:?}", late.err());
    assert_eq!(inside.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_no_is_told_so_though_the_last_attempt_finds_a_majority_silent() {
    let mut nodes = Nodes::start().await;
    let (one, two) = (locks(&nodes.urls, LONG, "5000").await, locks(&nodes.urls, LONG, "1500").await);
    let sale = Uuid::now_v7();
    let inside = enter(&one, sale).await;
    let asked = [nodes.calls(0, "set").await, nodes.calls(1, "set").await];
    let late = tokio::spawn(async move { two.acquire(sale, Owner::fresh()).await.map(|_| ()) });
    // The second question follows the answers to the first.
    eventually("both have said no", async || {
        nodes.calls(0, "set").await > asked[0] + 1 && nodes.calls(1, "set").await > asked[1] + 1
    })
    .await;
    nodes.freeze(0);
    nodes.freeze(1);
    let late = late.await.expect("the late one");
    assert!(matches!(late, Err(Error::Contended(_))), "{late:?}");
    nodes.thaw(0);
    nodes.thaw(1);
    assert_eq!(inside.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nobody_enters_and_nothing_is_left() {
    let mut nodes = Nodes::start().await;
    let locks = locks(&nodes.urls, LONG, "600").await;
    let sale = Uuid::now_v7();
    fastest(&locks, sale).await;
    let refused = async || {
        let started = Instant::now();
        let answer = locks.acquire(sale, Owner::fresh()).await.map(|_| ());
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "after {:?}", started.elapsed());
    };
    let asked = nodes.calls(0, "set").await;
    nodes.freeze(1);
    nodes.freeze(2);
    refused().await;
    assert!(nodes.calls(0, "set").await > asked, "the one that is left was not even asked");
    nodes.nothing_is_left(&[0], sale).await;
    nodes.thaw(1);
    nodes.thaw(2);
    nodes.nothing_is_left(&[0, 1, 2], sale).await;
    fastest(&locks, sale).await;
    nodes.crash(1);
    nodes.crash(2);
    refused().await;
    nodes.nothing_is_left(&[0], sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_forgets_helps_to_a_second_majority() {
    let mut nodes = Nodes::start().await;
    let (one, two) = (locks(&nodes.urls, LONG, "5000").await, locks(&nodes.urls, LONG, "5000").await);
    let sale = Uuid::now_v7();
    nodes.crash(2);
    let first = enter(&one, sale).await;
    nodes.crash(1);
    nodes.revive_empty(1);
    nodes.revive_empty(2);
    let second = enter(&two, sale).await;
    assert!(!first.is_lost() && !second.is_lost(), "both believe to be alone inside");
    assert_ne!(nodes.holder(0, sale).await, nodes.holder(1, sale).await);
    assert_eq!(nodes.holder(1, sale).await, nodes.holder(2, sale).await);
    assert_eq!(second.release().await, Released::Ours);
    assert_eq!(first.release().await, Released::Lost, "one node of three is no majority");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stays_down_for_a_lease_does_not() {
    let mut nodes = Nodes::start().await;
    let (one, two) = (locks(&nodes.urls, "1500", "5000").await, locks(&nodes.urls, "1500", "5000").await);
    let sale = Uuid::now_v7();
    nodes.crash(2);
    let first = enter(&one, sale).await;
    nodes.crash(1);
    nodes.revive_empty(2);
    // Only now, a lease later, the node that forgot may answer again.
    let refused = locks(&nodes.urls, "1500", "100").await.acquire(sale, Owner::fresh()).await;
    assert!(refused.is_err() && !first.is_lost(), "one node of three is no majority");
    eventually("the lease is over for its holder", async || first.is_lost()).await;
    nodes.revive_empty(1);
    let second = enter(&two, sale).await;
    assert!(first.is_lost() && !second.is_lost());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fence_a_second_majority_sells_nothing_twice() {
    let mut nodes = Nodes::start().await;
    let (database, urls) = (fresh_database().await, nodes.urls.join(","));
    let relay = Relay::to(port_of(&database)).await;
    let settings = ["--lab", "--redlock-urls", &urls, "--pool-connections-max", "1", "--sweep-ms", "3600000"];
    let first = TestApp::on(&with_port(&database, relay.port), &settings).await;
    let second = TestApp::on(&database, &settings).await;
    for (strategy, sold) in [("lock_redlock", 2), ("lock_redlock_fenced", 1)] {
        let warm = first.api.open_sale(strategy, 4).await;
        for _ in 0..4 {
            assert!(first.api.buy(warm).await.is_sold());
        }
        let sale = first.api.open_sale(strategy, 1).await;
        nodes.crash(2);
        // Inside with two of three nodes; it has read, and its write is kept back.
        relay.hold(2);
        let api = first.api.clone();
        let one = tokio::spawn(async move { api.buy(sale).await });
        eventually("the first buyer is held", async || relay.is_holding()).await;
        nodes.crash(1);
        nodes.revive_empty(1);
        nodes.revive_empty(2);
        let two = second.api.buy(sale).await;
        assert!(two.is_sold(), "{strategy}: {} {}", two.status, two.text);
        relay.release();
        let one = one.await.expect("the first buyer");
        assert_eq!(one.is_sold(), sold == 2, "{strategy}: {} {}", one.status, one.text);
        assert_eq!(one.problem(), if sold == 2 { "" } else { "contended" });
        assert_eq!(second.api.audit(sale).await.evidence.sold, sold, "{strategy}");
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_longer_than_a_lease_does_not_shorten_the_lease() {
    let nodes = Nodes::start().await;
    let lease = Duration::from_millis(1000);
    let (one, two) = (locks(&nodes.urls, "1000", "20000").await, locks(&nodes.urls, "1000", "20000").await);
    let sale = Uuid::now_v7();
    let first = enter(&one, sale).await;
    let (entered, waiting) = (Instant::now(), tokio::spawn(async move { enter(&two, sale).await }));
    eventually("ten leases have passed", async || {
        assert!(!first.is_lost(), "the holder lives, and its lease was not renewed");
        assert!(!waiting.is_finished(), "two are inside");
        entered.elapsed() > 10 * lease
    })
    .await;
    assert_eq!(first.release().await, Released::Ours);
    let second = waiting.await.expect("the second");
    let left = second.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
    assert!(left.is_some_and(|left| left > Duration::ZERO && left <= lease), "{left:?} of {lease:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_comes_too_late_is_released_too() {
    let nodes = Nodes::start().await;
    let relay = Relay::to(port_of(&nodes.urls[2])).await;
    let mut urls = nodes.urls.clone();
    urls[2] = with_port(&urls[2], relay.port);
    let locks = locks(&urls, LONG, "5000").await;
    let sale = Uuid::now_v7();
    fastest(&locks, sale).await;
    let mut asked = None;
    for _ in 0..20 {
        // Asked and told: as many releases as SETs.
        let quiet = async || nodes.calls(2, "set").await == nodes.calls(2, "eval").await;
        eventually("the third node is quiet", quiet).await;
        let before = nodes.calls(2, "set").await;
        // The ping, and then the SET: kept back until after the release. On a busy machine an attempt may
        // come too late to ask, and then it is another turn.
        relay.hold(2);
        let guard = enter(&locks, sale).await;
        eventually("a turn is kept back", async || relay.is_holding()).await;
        assert_eq!(guard.release().await, Released::Ours);
        if nodes.calls(2, "set").await == before {
            asked = Some(before);
            break;
        }
        relay.release();
    }
    let asked = asked.expect("a SET that is kept back");
    relay.release();
    eventually("the late SET was done", async || nodes.calls(2, "set").await > asked).await;
    nodes.nothing_is_left(&[0, 1, 2], sale).await;
    eventually("its release was sent", async || nodes.calls(2, "eval").await > asked).await;
    // The SET is done, and its answer lost with the wire.
    relay.cut(2);
    let guard = enter(&locks, sale).await;
    eventually("the SET was done", async || nodes.calls(2, "set").await > asked + 1).await;
    assert_eq!(guard.release().await, Released::Ours);
    nodes.nothing_is_left(&[0, 1, 2], sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_not_renewed_back_to_life() {
    let nodes = Nodes::start().await;
    let locks = locks(&nodes.urls, "6000", "5000").await;
    for gone in [&[0, 1, 2][..], &[0, 2][..]] {
        let sale = Uuid::now_v7();
        let (guard, entered) = (enter(&locks, sale).await, Instant::now());
        eventually("all three have it", async || nodes.holder(2, sale).await.is_some()).await;
        for node in gone {
            nodes.delete(*node, sale).await;
        }
        let lost = tokio::time::timeout(Duration::from_secs(20), guard.lost()).await;
        assert!(lost.is_ok(), "nobody said so");
        // After a third of the lease, when it is renewed, and not when its time is up.
        assert!(entered.elapsed() < Duration::from_millis(5000), "after {:?}", entered.elapsed());
        for node in gone {
            assert_eq!(nodes.holder(*node, sale).await, None, "it came back to life");
        }
        assert_eq!(guard.release().await, Released::Lost);
        nodes.nothing_is_left(&[0, 1, 2], sale).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_process_exclude_each_other() {
    let nodes = Nodes::start().await;
    let locks = locks(&nodes.urls, LONG, "400").await;
    let (sale, owner) = (Uuid::now_v7(), Owner::fresh());
    let first = locks.acquire(sale, owner).await.expect("inside");
    let second = locks.acquire(sale, Owner::fresh()).await.map(|_| ());
    assert!(matches!(second, Err(Error::Contended(_))), "{second:?}");
    // Not reentrant; and its refused attempts must not undo the one that is inside.
    let again = locks.again(sale, owner).await.map(|_| ());
    assert!(matches!(again, Err(Error::Contended(_))), "{again:?}");
    assert_eq!(first.release().await, Released::Ours);
    assert_eq!(enter(&locks, sale).await.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_contended_acquisitions_never_overlap() {
    let nodes = Nodes::start().await;
    let (one, two) = (locks(&nodes.urls, LONG, "25000").await, locks(&nodes.urls, LONG, "25000").await);
    let (sale, inside) = (Uuid::now_v7(), Arc::new(AtomicI64::new(0)));
    let buyers = (0..100).map(|at| {
        let (locks, inside) = (if at % 2 == 0 { one.clone() } else { two.clone() }, Arc::clone(&inside));
        tokio::spawn(async move {
            let guard = enter(&locks, sale).await;
            assert_eq!(inside.fetch_add(1, SeqCst), 0, "two are inside");
            // Time in which another one could enter.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert_eq!(inside.fetch_sub(1, SeqCst), 1, "two are inside");
            assert_eq!(guard.release().await, Released::Ours);
        })
    });
    for buyer in buyers.collect::<Vec<_>>() {
        buyer.await.expect("alone inside");
    }
    nodes.nothing_is_left(&[0, 1, 2], sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_that_is_dropped_anywhere_leaves_nothing_locked() {
    let nodes = Nodes::start().await;
    let locks = locks(&nodes.urls, LONG, "5000").await;
    let sale = Uuid::now_v7();
    let (whole, mut dropped) = (fastest(&locks, sale).await, 0);
    for round in 0..200 {
        let random = u32::try_from(RandomState::new().hash_one(round) >> 32).unwrap_or(0);
        let long = whole.mul_f64(1.5 * f64::from(random) / f64::from(u32::MAX));
        match polled_for(locks.acquire(sale, Owner::fresh()), long).await {
            None => dropped += 1,
            // Dropped without a release.
            Some(entered) => drop(entered.expect("inside")),
        }
    }
    assert!(dropped >= 50, "dropped {dropped} of 200: this showed little");
    nodes.nothing_is_left(&[0, 1, 2], sale).await;
    assert_eq!(enter(&locks, sale).await.release().await, Released::Ours);
}
