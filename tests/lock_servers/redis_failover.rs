//! The promise about a Redis that forgets: its locks let two inside, and with a fence nothing is oversold.

use sellout::locks::{Facts, Released, lock_redis, lock_redisson};
use sellout::services::{Services, Which};
use sellout::wire::Verdict;
use tokio::time::timeout;
use uuid::Uuid;

use crate::redis::{ask, enter, key, locks, wire};
use crate::redis_messages::private;
use crate::support::relay::Relay;
use crate::support::{Answer, LIMIT, TestApp, eventually, fresh_database, port_of, with_port};

/// One connection, so that the turns of one order are the turns of the relay.
const NARROW: [&str; 7] =
    ["--lab", "--pool-connections-max", "1", "--redis-connections-max", "1", "--sweep-ms", "3600000"];

/// How a Redis comes to forget what it had acknowledged.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Killed, and started again without its files.
    RestartedEmpty,
    /// Killed, and a replica that had never seen the lock takes its place.
    FailedOver,
}

const LOSSES: [Loss; 2] = [Loss::RestartedEmpty, Loss::FailedOver];

/// A Redis behind an address that stays, and the one that will answer there later.
struct Forgetful {
    relay: Relay,
    url: String,
    now: Services,
    later: Services,
    loss: Loss,
}

impl Forgetful {
    async fn start(loss: Loss) -> Forgetful {
        let (now, later) = (private().await, private().await);
        let port = port_of(now.redis_url().expect("a URL"));
        let relay = Relay::to(port).await;
        let url = with_port(now.redis_url().expect("a URL"), relay.port);
        let redis = Forgetful { relay, url, now, later, loss };
        if let Loss::FailedOver = loss {
            redis.replicate(port).await;
        }
        redis
    }

    fn url(services: &Services) -> &str {
        services.redis_url().expect("a URL")
    }

    /// The later one follows, and has all that there is.
    async fn replicate(&self, port: u16) {
        let (master, replica) = (wire(&self.url).await, wire(Forgetful::url(&self.later)).await);
        ask::<()>(&master, &["SET", "seen", "1"]).await;
        ask::<()>(&replica, &["REPLICAOF", "127.0.0.1", &port.to_string()]).await;
        eventually("the replica has what there is", async || {
            ask::<i64>(&replica, &["EXISTS", "seen"]).await == 1
        })
        .await;
        // Cut off; what comes from here on it will not see.
        ask::<()>(&replica, &["REPLICAOF", "127.0.0.1", "1"]).await;
    }

    /// The one that answers now is killed, and the other one takes its place.
    async fn forget(&self) {
        let pid = self.now.pid(Which::Redis).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
        let later = wire(Forgetful::url(&self.later)).await;
        if let Loss::FailedOver = self.loss {
            ask::<()>(&later, &["REPLICAOF", "NO", "ONE"]).await;
            assert_eq!(ask::<i64>(&later, &["EXISTS", "seen"]).await, 1, "it was no replica");
        }
        self.relay.redirect(port_of(Forgetful::url(&self.later)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_lets_two_inside() {
    for loss in LOSSES {
        for facts in [&lock_redis::FACTS, &lock_redisson::FACTS] {
            overlap(loss, facts).await;
        }
    }
}

async fn overlap(loss: Loss, facts: &'static Facts) {
    let redis = Forgetful::start(loss).await;
    // Long enough for the slowest machine to see both inside.
    let long = ["--lock-lease-ms", "9000"];
    let (one, two) = (locks(facts, &redis.url, &long).await, locks(facts, &redis.url, &long).await);
    let sale = Uuid::now_v7();
    let first = enter(&one, sale).await;
    redis.forget().await;
    let second = enter(&two, sale).await;
    assert!(!first.is_lost() && !second.is_lost(), "{loss:?}, {}: nobody was inside twice", facts.id);
    if facts.renews {
        timeout(LIMIT, first.lost()).await.expect("its renewal is refused");
    }
    let released = first.release().await;
    assert!(matches!(released, Released::Lost | Released::Unknown), "{loss:?}, {}: {released:?}", facts.id);
    let wire = wire(Forgetful::url(&redis.later)).await;
    assert_eq!(ask::<i64>(&wire, &["EXISTS", &key(facts, sale)]).await, 1, "{}: the other's lock", facts.id);
    assert_eq!(second.release().await, Released::Ours, "{loss:?}, {}", facts.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_oversells_without_a_fence_and_not_with_one() {
    for loss in LOSSES {
        for lock in ["lock_redis", "lock_redisson"] {
            let (late, next, oversold) = sell_last_unit_twice(loss, lock).await;
            assert!(late.is_sold() && next.is_sold(), "{loss:?}, {lock}: {} {}", late.text, next.text);
            assert_eq!(oversold, 1, "{loss:?}, {lock}");
            let fenced = format!("{lock}_fenced");
            let (late, next, oversold) = sell_last_unit_twice(loss, &fenced).await;
            assert_eq!(late.problem(), "contended", "{loss:?}, {fenced}: {}", late.text);
            assert!(next.is_sold(), "{loss:?}, {fenced}: {}", next.text);
            assert_eq!(oversold, 0, "{loss:?}, {fenced}");
        }
    }
}

/// The holder has read and is held before its write; Redis forgets; another one buys; the holder writes.
async fn sell_last_unit_twice(loss: Loss, strategy: &str) -> (Answer, Answer, i64) {
    let (redis, database) = (Forgetful::start(loss).await, fresh_database().await);
    let pg = Relay::to(port_of(&database)).await;
    let first = TestApp::between(&with_port(&database, pg.port), Some(&redis.url), &NARROW).await;
    let second = TestApp::between(&database, Some(&redis.url), &["--lab"]).await;
    let warm = first.api.open_sale(strategy, 3).await;
    for _ in 0..3 {
        assert!(first.api.buy(warm).await.is_sold());
    }
    let sale = first.api.open_sale(strategy, 1).await;
    for app in [&first, &second] {
        assert_eq!(app.api.get(&format!("/v1/sales/{sale}")).await.body["left"], 1);
    }
    pg.hold(2);
    let api = first.api.clone();
    let late = tokio::spawn(async move { api.buy(sale).await });
    eventually("the holder has read", async || pg.is_holding()).await;
    redis.forget().await;
    let next = second.api.buy(sale).await;
    pg.release();
    let late = late.await.expect("the late holder");
    let audit = second.api.audit(sale).await;
    let told = i64::from(late.is_sold()) + i64::from(next.is_sold());
    assert_eq!(audit.evidence.sold, told, "what was told and what is recorded differ");
    assert_eq!(audit.verdict == Verdict::Oversold, audit.evidence.oversold > 0);
    (late, next, audit.evidence.oversold)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counter_that_restarted_is_raised_and_selling_goes_on() {
    let redis = private().await;
    let database = fresh_database().await;
    let url = redis.redis_url().expect("a URL");
    let pg = Relay::to(port_of(&database)).await;
    let first = TestApp::between(&with_port(&database, pg.port), Some(url), &NARROW).await;
    let second = TestApp::between(&database, Some(url), &["--lab"]).await;
    let sale = first.api.open_sale("lock_redisson_fenced", 20).await;
    for _ in 0..8 {
        assert!(first.api.buy(sale).await.is_sold());
    }
    // A holder from before, with a token that the new counter will reach again.
    pg.hold(2);
    let api = first.api.clone();
    let before = tokio::spawn(async move { api.buy(sale).await });
    eventually("the holder has read", async || pg.is_holding()).await;
    let admin = wire(url).await;
    ask::<()>(&admin, &["FLUSHALL"]).await;
    let after = second.api.buy(sale).await;
    assert!(after.is_sold(), "selling does not go on: {}", after.text);
    pg.release();
    let before = before.await.expect("the holder from before");
    assert_eq!(before.problem(), "contended", "{}", before.text);
    // The counter is above what the stock row has seen; who comes now is not refused even once.
    let counter = format!("redisson_lock_token:{}", key(&lock_redisson::FACTS, sale));
    assert_eq!(ask::<i64>(&admin, &["GET", &counter]).await, 10, "nine before, raised to it, and one");
    for _ in 0..11 {
        assert!(second.api.buy(sale).await.is_sold());
    }
    assert_eq!(second.api.buy(sale).await.problem(), "sold-out");
    let e = second.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.oversold, e.drift), (20, 0, Some(0)), "{e:?}");
}
