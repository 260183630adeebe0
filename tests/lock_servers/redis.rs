//! The promise of the Redis locks: who is inside, who renews, who may release, and what is left behind.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use sellout::backends::Backends;
use sellout::locks::{Facts, Guard, Locks, Owner, Released};
use sellout::locks::{lock_redis, lock_redis_del, lock_redisson, lock_redisson_thread_id};
use sellout::sale::Error;
use uuid::Uuid;

use crate::support::relay::Relay;
use crate::support::{LIMIT, config, eventually, fresh_database, polled_for, port_of, servers, with_port};

/// So short a wait is over before any lease here ends.
pub const IMPATIENT: [&str; 4] = ["--wait-limit-ms", "300", "--lock-lease-ms", "60000"];

/// As one more process would open them.
pub async fn backends(redis_url: &str, settings: &[&str]) -> Backends {
    let config = config(&fresh_database().await, Some(redis_url), settings);
    Backends::open(&config.servers, config.limits).await.expect("the servers")
}

pub async fn locks(facts: &'static Facts, redis_url: &str, settings: &[&str]) -> Locks {
    Locks::new(facts, &backends(redis_url, settings).await).expect("the lock")
}

/// A connection beside the locks, for what only a test may look at.
pub async fn wire(redis_url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(redis_url).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("Redis")
}

/// The key of a sale's lock.
pub fn key(facts: &Facts, sale: Uuid) -> String {
    let what = if facts.id.starts_with("lock_redisson") { "rlock" } else { "lock" };
    format!("sellout:{{{sale}}}:{what}")
}

pub async fn ask<T: redis::FromRedisValue>(wire: &MultiplexedConnection, command: &[&str]) -> T {
    let (mut wire, mut cmd) = (wire.clone(), redis::cmd(command[0]));
    cmd.arg(&command[1..]);
    cmd.query_async(&mut wire).await.unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

pub async fn enter(locks: &Locks, sale: Uuid) -> Guard {
    locks.acquire(sale, Owner::fresh()).await.expect("inside")
}

pub async fn stays_out(locks: &Locks, sale: Uuid) {
    let refused = locks.acquire(sale, Owner::fresh()).await;
    assert!(matches!(refused, Err(Error::Contended(_))), "two are inside, or it broke: {:?}", refused.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_again_keeps_the_token_and_needs_as_many_releases() {
    let locks = locks(&lock_redisson::FACTS, &servers().redis_url, &IMPATIENT).await;
    let (sale, owner) = (Uuid::now_v7(), Owner::fresh());
    let outer = locks.acquire(sale, owner).await.expect("inside");
    let middle = locks.again(sale, owner).await.expect("inside again");
    let inner = locks.again(sale, owner).await.expect("inside once more");
    let depths = [&outer, &middle, &inner].map(Guard::depth);
    let tokens = [&outer, &middle, &inner].map(Guard::token);
    assert_eq!((depths, tokens), ([1, 2, 3], [outer.token(); 3]));
    assert_eq!(inner.release().await, Released::StillInside(2));
    stays_out(&locks, sale).await;
    assert_eq!(middle.release().await, Released::StillInside(1));
    stays_out(&locks, sale).await;
    let token = outer.token();
    assert_eq!(outer.release().await, Released::Ours);
    let next = enter(&locks, sale).await;
    assert_eq!((next.depth(), next.token()), (1, token.map(|t| t + 1)), "a new holder has a new token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_on_one_thread_is_released_on_another() {
    for facts in [&lock_redis::FACTS, &lock_redisson::FACTS] {
        let locks = locks(facts, &servers().redis_url, &IMPATIENT).await;
        let sale = Uuid::now_v7();
        let guard = enter(&locks, sale).await;
        let (runtime, here) = (tokio::runtime::Handle::current(), std::thread::current().id());
        let released = tokio::task::spawn_blocking(move || {
            assert_ne!(std::thread::current().id(), here);
            runtime.block_on(guard.release())
        });
        assert_eq!(released.await.expect("no panic"), Released::Ours, "{}", facts.id);
        enter(&locks, sale).await;
    }
}

#[tokio::test]
async fn two_acquisitions_on_one_thread_exclude_each_other_unless_the_thread_is_the_owner() {
    for facts in [&lock_redis::FACTS, &lock_redisson::FACTS] {
        let locks = locks(facts, &servers().redis_url, &IMPATIENT).await;
        let sale = Uuid::now_v7();
        let _inside = enter(&locks, sale).await;
        stays_out(&locks, sale).await;
    }
    let broken = locks(&lock_redisson_thread_id::FACTS, &servers().redis_url, &IMPATIENT).await;
    let sale = Uuid::now_v7();
    let (one, two) = (enter(&broken, sale).await, enter(&broken, sale).await);
    assert_eq!((one.depth(), two.depth()), (1, 2), "two buyers of one thread are one owner");
    assert_eq!(one.token(), two.token());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_owner_any_more_releases_nothing() {
    let url = &servers().redis_url;
    let admin = wire(url).await;
    for facts in [&lock_redis::FACTS, &lock_redisson::FACTS, &lock_redis_del::FACTS] {
        let locks = locks(facts, url, &IMPATIENT).await;
        let (sale, owner) = (Uuid::now_v7(), Owner::fresh());
        let late = enter(&locks, sale).await;
        ask::<i64>(&admin, &["PEXPIRE", &key(facts, sale), "1"]).await;
        let next = locks.acquire(sale, owner).await.expect("the lease is over");
        if facts.id == lock_redis_del::FACTS.id {
            assert_eq!(late.release().await, Released::Ours, "it does not know better");
            // The next one is inside still, and somebody else enters.
            let third = enter(&locks, sale).await;
            assert!(!next.is_lost() && !third.is_lost(), "two are inside");
            continue;
        }
        assert_eq!(late.release().await, Released::Lost, "{}", facts.id);
        stays_out(&locks, sale).await;
        assert_eq!(next.release().await, Released::Ours, "{}", facts.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_by_an_old_guard_of_the_same_owner_is_refused_by_its_token() {
    let url = &servers().redis_url;
    let admin = wire(url).await;
    let locks = locks(&lock_redisson::FACTS, url, &IMPATIENT).await;
    let (sale, owner) = (Uuid::now_v7(), Owner::fresh());
    let old = locks.acquire(sale, owner).await.expect("inside");
    ask::<i64>(&admin, &["DEL", &key(&lock_redisson::FACTS, sale)]).await;
    let new = locks.acquire(sale, owner).await.expect("inside anew");
    assert_eq!(old.release().await, Released::Lost);
    stays_out(&locks, sale).await;
    assert_eq!(new.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_answer_got_lost_is_asked_again_and_counted_once() {
    let url = &servers().redis_url;
    let relay = Relay::to(port_of(url)).await;
    let locks = locks(&lock_redisson::FACTS, &with_port(url, relay.port), &IMPATIENT).await;
    let (sale, owner) = (Uuid::now_v7(), Owner::fresh());
    // Scripts loaded: what is cut below is the release itself and not the word that Redis does not know it.
    enter(&locks, sale).await.release().await;
    let outer = locks.acquire(sale, owner).await.expect("inside");
    let inner = locks.again(sale, owner).await.expect("inside again");
    relay.cut(1);
    assert_eq!(inner.release().await, Released::StillInside(1), "counted twice, or taken for a stranger's");
    stays_out(&locks, sale).await;
    relay.cut(1);
    assert_eq!(outer.release().await, Released::Ours);
    // The same for an entry: ping, then the script.
    relay.cut(2);
    let guard = enter(&locks, sale).await;
    assert_eq!(guard.depth(), 1, "one entry, counted twice");
    assert_eq!(guard.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_keeps_the_lock_over_ten_leases() {
    const LEASE: Duration = Duration::from_millis(250);
    let url = &servers().redis_url;
    let locks = locks(&lock_redisson::FACTS, url, &["--lock-lease-ms", "250"]).await;
    let (sale, admin) = (Uuid::now_v7(), wire(url).await);
    let guard = enter(&locks, sale).await;
    let entered = Instant::now();
    let key = key(&lock_redisson::FACTS, sale);
    eventually("ten leases are over", async || {
        assert!(!guard.is_lost(), "lost after {:?}", entered.elapsed());
        entered.elapsed() > 10 * LEASE
    })
    .await;
    assert!(ask::<i64>(&admin, &["PTTL", &key]).await > 0);
    assert_eq!(guard.release().await, Released::Ours);
    assert_eq!(ask::<i64>(&admin, &["EXISTS", &key]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_renewal_outlives_its_release() {
    let url = &servers().redis_url;
    let (sale, admin) = (Uuid::now_v7(), wire(url).await);
    let locks = locks(&lock_redisson::FACTS, url, &["--lock-lease-ms", "30"]).await;
    enter(&locks, sale).await.release().await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (before, mut entered) = (alive(), 0);
    for round in 0..2_000 {
        if round % 200 == 0 {
            eventually("every renewal has ended", async || alive() <= before).await;
        }
        // Where the machine stood still for a lease the lock may be lost; none may be left.
        if let Ok(guard) = locks.acquire(sale, Owner::fresh()).await {
            entered += 1;
            assert!(matches!(guard.release().await, Released::Ours | Released::Lost));
        }
    }
    assert!(entered > 1_000, "entered {entered} times: this showed little");
    eventually("every renewal has ended", async || alive() <= before).await;
    eventually("only the counter is left", async || {
        let keys: Vec<String> = ask(&admin, &["KEYS", &format!("*{sale}*")]).await;
        keys == [format!("redisson_lock_token:{}", key(&lock_redisson::FACTS, sale))]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_away_is_known_to_be_lost_and_the_next_one_is_renewed() {
    const LEASE: Duration = Duration::from_millis(900);
    let url = &servers().redis_url;
    let (admin, facts) = (wire(url).await, &lock_redisson::FACTS);
    // Without a refusal it would be renewed for longer than this test waits.
    let settings = ["--lock-lease-ms", "900", "--order-deadline-ms", "600000"];
    let locks = locks(facts, url, &settings).await;
    let sale = Uuid::now_v7();
    let key = key(facts, sale);
    for command in [&["DEL", &key][..], &["PEXPIRE", &key, "1"]] {
        let guard = enter(&locks, sale).await;
        ask::<i64>(&admin, command).await;
        let said = tokio::time::timeout(LIMIT, guard.lost());
        said.await.expect("a renewal is refused");
        assert!(guard.is_lost());
        assert_eq!(guard.release().await, Released::Lost);
        assert_eq!(ask::<i64>(&admin, &["EXISTS", &key]).await, 0, "a renewal or release brought it back");
    }
    let guard = enter(&locks, sale).await;
    let entered = Instant::now();
    eventually("three leases are over", async || entered.elapsed() > 3 * LEASE).await;
    assert!(!guard.is_lost() && ask::<i64>(&admin, &["PTTL", &key]).await > 0, "nobody renewed it");
    assert_eq!(guard.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_that_is_dropped_leaves_no_lock_behind() {
    let url = &servers().redis_url;
    let admin = wire(url).await;
    for facts in [&lock_redis::FACTS, &lock_redisson::FACTS] {
        let locks = locks(facts, url, &["--lock-lease-ms", "600000"]).await;
        let sale = Uuid::now_v7();
        let key = key(facts, sale);
        let mut given_up = 0;
        for round in 0..200 {
            // Every second round waits for somebody; the drop moves through the acquisition, step by step.
            let held = if round % 2 == 0 { Some(enter(&locks, sale).await) } else { None };
            let asked = locks.acquire(sale, Owner::fresh());
            let waiter = polled_for(asked, Duration::from_micros(10 * round)).await;
            given_up += u32::from(waiter.is_none());
            drop((waiter, held));
        }
        assert!(given_up > 100, "{given_up} gave up: this showed little");
        eventually("the lock is free", async || ask::<i64>(&admin, &["EXISTS", &key]).await == 0).await;
        assert_eq!(enter(&locks, sale).await.release().await, Released::Ours, "{}", facts.id);
    }
}
