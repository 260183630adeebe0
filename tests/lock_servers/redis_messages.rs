//! The promise of waiting for a message: it wakes, it may get lost, and nothing is left when nobody waits.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::Value;
use redis::aio::MultiplexedConnection;
use sellout::locks::{Released, lock_redisson};
use sellout::services::{Services, Wanted};
use tokio::time::timeout;
use uuid::Uuid;

use crate::redis::{IMPATIENT, ask, backends, enter, key, locks, stays_out, wire};
use crate::support::relay::Relay;
use crate::support::{LIMIT, eventually, port_of, servers, with_port};

/// Nobody's lease ends, or wait is over, within a test.
const LONG: [&str; 4] = ["--lock-lease-ms", "600000", "--wait-limit-ms", "14000"];
/// The poll bound of 100 ms, and a second for a machine that is busy. A waiter that relies on the message
/// waits for the lease, ten minutes, or for its limit, fourteen seconds.
const LOST_COSTS: Duration = Duration::from_millis(1100);

fn channel(sale: Uuid) -> String {
    format!("redisson_lock__channel:{}", key(&lock_redisson::FACTS, sale))
}

/// A Redis whose subscribers a test may kill.
pub async fn private() -> Services {
    let start = || Services::start(Wanted { redis: true, ..Wanted::NONE }).expect("a private Redis");
    tokio::task::spawn_blocking(start).await.expect("a private Redis")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_wakes_the_first_who_waits_and_no_other() {
    let url = &servers().redis_url;
    let messages = backends(url, &[]).await.redis_messages.expect("Redis");
    let (channel, other) = (Uuid::now_v7().to_string(), wire(url).await);
    let (mut one, mut two) = (messages.listen(&channel), messages.listen(&channel));
    for waiter in [&mut one, &mut two] {
        timeout(LIMIT, waiter.next()).await.expect("subscribed");
    }
    let (mut first, mut second) = (Box::pin(one.next()), Box::pin(two.next()));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    let publish = async || ask::<i64>(&other, &["PUBLISH", &channel, "0"]).await;
    assert_eq!(publish().await, 1, "one connection for both");
    timeout(LIMIT, &mut first).await.expect("the first wakes");
    assert!(futures_util::poll!(&mut second).is_pending(), "one message, one waiter");
    // One that is woken and goes away passes it on.
    let mut third = messages.listen(&channel);
    timeout(LIMIT, third.next()).await.expect("subscribed");
    let mut third = Box::pin(third.next());
    assert!(futures_util::poll!(&mut third).is_pending());
    publish().await;
    drop(second);
    timeout(LIMIT, third).await.expect("the next one wakes");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_nobody_waits_any_more() {
    let url = &servers().redis_url;
    let messages = backends(url, &[]).await.redis_messages.expect("Redis");
    assert!(messages.is_quiet(), "connected before anybody waits");
    let other = wire(url).await;
    for _ in 0..2 {
        let channel = Uuid::now_v7().to_string();
        let mut waiter = messages.listen(&channel);
        timeout(LIMIT, waiter.next()).await.expect("subscribed");
        drop(waiter);
        eventually("the task has ended", async || messages.is_quiet()).await;
        eventually("Redis has no subscriber", async || subscribers(&other, &channel).await == 0).await;
    }
}

/// Until somebody waits for the sale's lock and is subscribed.
async fn waits(wire: &MultiplexedConnection, sale: Uuid) {
    eventually("the waiter is subscribed", async || subscribers(wire, &channel(sale)).await == 1).await;
}

async fn subscribers(wire: &MultiplexedConnection, channel: &str) -> i64 {
    ask::<(String, i64)>(wire, &["PUBSUB", "NUMSUB", channel]).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_lost_with_its_connection_costs_at_most_the_poll_bound() {
    let redis = private().await;
    let url = redis.redis_url().expect("a URL");
    let (holders, waiters) =
        (locks(&lock_redisson::FACTS, url, &LONG).await, locks(&lock_redisson::FACTS, url, &LONG).await);
    let admin = wire(url).await;
    for round in 0..5 {
        let sale = Uuid::now_v7();
        let guard = enter(&holders, sale).await;
        let waiter = waiters.clone();
        let waiting = tokio::spawn(async move { enter(&waiter, sale).await });
        waits(&admin, sale).await;
        let killed: i64 = ask(&admin, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert!(killed >= 1, "nobody was subscribed");
        assert_eq!(guard.release().await, Released::Ours);
        let released = Instant::now();
        let next = waiting.await.expect("inside");
        assert!(released.elapsed() < LOST_COSTS, "round {round}: {:?}", released.elapsed());
        next.release().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_before_the_subscription_costs_at_most_the_poll_bound() {
    let url = &servers().redis_url;
    let relay = Relay::to(port_of(url)).await;
    let holders = locks(&lock_redisson::FACTS, url, &LONG).await;
    let waiters = locks(&lock_redisson::FACTS, &with_port(url, relay.port), &LONG).await;
    let sale = Uuid::now_v7();
    enter(&waiters, sale).await.release().await;
    let guard = enter(&holders, sale).await;
    // Ping, the script (refused), and then the subscriber's first word, which comes to nobody.
    relay.hold(3);
    let waiter = waiters.clone();
    let waiting = tokio::spawn(async move { enter(&waiter, sale).await });
    eventually("the subscription is on its way", async || relay.is_holding()).await;
    assert_eq!(guard.release().await, Released::Ours);
    let released = Instant::now();
    let next = waiting.await.expect("inside");
    assert!(released.elapsed() < LOST_COSTS, "{:?}", released.elapsed());
    relay.release();
    assert_eq!(next.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redisson_writes_keeps_us_out_and_what_we_write_keeps_it_out() {
    let url = &servers().redis_url;
    let (ours, theirs) = (locks(&lock_redisson::FACTS, url, &IMPATIENT).await, wire(url).await);
    let sale = Uuid::now_v7();
    let name = key(&lock_redisson::FACTS, sale);
    // An RLock: a field `client:thread` with its depth, and a lease.
    ask::<Value>(&theirs, &["HSET", &name, "8743c9c0-0795-4907-87fd-6c719a6b4586:31", "1"]).await;
    ask::<Value>(&theirs, &["PEXPIRE", &name, "30000"]).await;
    stays_out(&ours, sale).await;
    let waiting = {
        let ours = locks(&lock_redisson::FACTS, url, &LONG).await;
        tokio::spawn(async move { enter(&ours, sale).await })
    };
    waits(&theirs, sale).await;
    // As Redisson leaves: both in one script, or our next look would be in between.
    let leave = "redis.call('DEL', KEYS[1]) return redis.call('PUBLISH', KEYS[2], '0')";
    let heard: i64 = ask(&theirs, &["EVAL", leave, "2", &name, &channel(sale)]).await;
    assert!(heard >= 1, "we listen there");
    let guard = waiting.await.expect("inside");
    // What keeps Redisson out is that the key is there and the field is not its own.
    assert_eq!(ask::<Value>(&theirs, &["EXISTS", &name]).await, Value::Int(1));
    let fields: HashMap<String, String> = ask(&theirs, &["HGETALL", &name]).await;
    let owners: Vec<_> = fields.iter().filter(|(field, _)| field.contains(':')).collect();
    assert!(matches!(&owners[..], [(_, depth)] if *depth == "1"), "{fields:?}");
    let token: i64 = ask(&theirs, &["GET", &format!("redisson_lock_token:{name}")]).await;
    assert_eq!(guard.token(), Some(token));
    // And it hears when we leave.
    let messages = backends(url, &[]).await.redis_messages.expect("Redis");
    let mut listener = messages.listen(&channel(sale));
    timeout(LIMIT, listener.next()).await.expect("subscribed");
    assert_eq!(guard.release().await, Released::Ours);
    timeout(LIMIT, listener.next()).await.expect("our message");
}
