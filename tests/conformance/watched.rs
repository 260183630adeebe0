//! A service with a relay before each of its servers: its turns are counted, held and cut.

use std::time::{Duration, Instant};

use sellout::strategies::Spec;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::Bench;
use crate::support::relay::Relay;
use crate::support::{Answer, TestApp, UNATTENDED, eventually, port_of, servers, with_port};

/// One connection, so that the turns of one order are the turns of the relay.
pub const NARROW: [&str; 7] =
    ["--lab", "--pool-connections-max", "1", "--lock-connections-max", "1", "--redis-connections-max", "1"];
/// So long that no renewal and no heartbeat falls into what is counted.
pub const LONG_LEASE: [&str; 2] = ["--lock-lease-ms", "90000"];
/// Who waits in ZooKeeper or etcd has entered the queue, looked, and watches; who need not wait enters and
/// leaves.
const TURNS_OF_A_WAITER: u64 = 3;

/// The service, its relays, and the name of its sessions in PostgreSQL: others wait there too, and must not
/// be taken for it.
pub struct Watched {
    pub app: TestApp,
    pub pg: Relay,
    pub name: String,
    redis: Vec<Relay>,
    zookeeper: Vec<Relay>,
    etcd: Vec<Relay>,
}

/// The same servers behind relays.
async fn behind(urls: impl IntoIterator<Item = &str>) -> (String, Vec<Relay>) {
    let (mut relayed, mut relays) = (Vec::new(), Vec::new());
    for url in urls.into_iter().filter(|url| !url.is_empty()) {
        let relay = Relay::to(port_of(url)).await;
        relayed.push(with_port(url, relay.port));
        relays.push(relay);
    }
    (relayed.join(","), relays)
}

impl Watched {
    pub async fn start(bench: &Bench, settings: &[&str]) -> Watched {
        let database = &bench.app.database_url;
        let pg = Relay::to(port_of(database)).await;
        let name = format!("watched-{}", Uuid::now_v7());
        let database = format!("{}?application_name={name}", with_port(database, pg.port));
        let (redis_url, mut redis) = behind([servers().redis_url.as_str()]).await;
        let (redlock_urls, redlock) = behind(servers().redlock_urls.iter().map(String::as_str)).await;
        redis.extend(redlock);
        let (hosts, zookeeper) = behind(servers().zookeeper_hosts.split(',')).await;
        let (etcd_urls, etcd) = behind(servers().etcd_urls.iter().map(String::as_str)).await;
        let places =
            ["--redlock-urls", &redlock_urls, "--zookeeper-hosts", &hosts, "--etcd-urls", &etcd_urls];
        let app =
            TestApp::between(&database, Some(&redis_url), &[settings, &places, &UNATTENDED].concat()).await;
        Watched { app, pg, name, redis, zookeeper, etcd }
    }

    /// A fresh sale of one unit that this service has met: looking it up is no turn of an order.
    pub async fn last_unit(&self, bench: &Bench, spec: &Spec) -> Uuid {
        let sale = bench.app.api.open_sale(spec.id, 1).await;
        assert_eq!(self.app.api.get(&format!("/v1/sales/{sale}")).await.body["left"], 1);
        sale
    }

    /// Turns so far, with all servers.
    pub fn turns(&self) -> u64 {
        self.pg.turns() + self.redis.iter().map(Relay::turns).sum::<u64>() + self.turns_of_queues()
    }

    fn turns_of_queues(&self) -> u64 {
        // etcd speaks HTTP/2, where pings and windows make turns of their own.
        let calls = self.etcd.iter().map(Relay::calls).sum::<u64>();
        self.zookeeper.iter().map(Relay::turns).sum::<u64>() + calls
    }

    /// Where it stands with its servers, to see by whether it waits later on.
    pub fn mark(&self) -> (u64, u64) {
        (self.turns(), self.turns_of_queues())
    }

    /// Since then: is it in a server's queue, or has it asked more often than an order does?
    pub fn seems_to_wait(&self, since: (u64, u64), turns_of_an_order: u64) -> bool {
        self.turns() > since.0 + 2 * turns_of_an_order
            || self.turns_of_queues() >= since.1 + TURNS_OF_A_WAITER
    }

    /// Turns since `before`. Where a majority is enough, a slow node's may come after the answer: those are
    /// waited for, as long as there are fewer than declared.
    pub async fn poll_turns_since(&self, before: u64, declared: u64) -> u64 {
        let until = Instant::now() + Duration::from_secs(2);
        while self.turns() - before < declared && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.turns() - before
    }

    /// Waits until no server has had a turn for a while: what came before is over.
    pub async fn poll_until_quiet(&self) {
        let until = Instant::now() + Duration::from_secs(2);
        let mut turns = None;
        while turns != Some(self.turns()) && Instant::now() < until {
            turns = Some(self.turns());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A buyer whose `turn` with PostgreSQL is kept back.
    pub async fn held_buyer(&self, sale: Uuid, turn: u64) -> JoinHandle<Answer> {
        self.pg.hold(turn);
        let api = self.app.api.clone();
        let buyer = tokio::spawn(async move { api.buy(sale).await });
        eventually("the buyer is held", async || self.pg.is_holding()).await;
        buyer
    }

    /// Every connection open, every statement prepared, every script loaded.
    pub async fn warm(&self, spec: &Spec) {
        let sale = self.app.api.open_sale(spec.id, 2).await;
        for _ in 0..4 {
            self.app.api.buy(sale).await;
        }
    }
}
