//! What the trials are made of: a process's worth of a lock, with or without relays before its servers.

use std::time::{Duration, Instant};

use sellout::backends::{Backends, Need};
use sellout::config::{Limits, Servers};
use sellout::locks::{Facts, Guard, Locks, Owner};
use sellout::sale::Error;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::relay::Relay;
use crate::support::{self, fresh_database, port_of, with_port};

/// Within this everything happens that needs no lease to end.
pub const SOON: Duration = Duration::from_secs(1);

/// A database for all trials; each has a sale of its own.
pub struct Bench {
    pub servers: Servers,
}

/// What one process has: servers opened by itself, and the lock on them.
pub struct Party {
    pub backends: Backends,
    pub locks: Locks,
    relays: Vec<(Relay, Speaks)>,
}

/// What of a conversation can be counted.
#[derive(Clone, Copy)]
pub enum Speaks {
    /// One asks, the other answers.
    InTurns,
    /// HTTP/2: calls, beside windows and pings that are none.
    InCalls,
}

impl Bench {
    pub async fn start() -> Bench {
        Bench { servers: servers_with(&fresh_database().await) }
    }

    /// The same with a database of its own.
    pub async fn apart(&self) -> Bench {
        Bench::start().await
    }

    /// Another process's worth.
    pub async fn party(&self, facts: &'static Facts, limits: Limits) -> Party {
        open(&self.servers, facts, limits, Vec::new()).await
    }

    /// One whose turns can be counted: one connection each, and a relay before every server.
    pub async fn watched(&self, facts: &'static Facts, limits: Limits) -> Party {
        let mut relays = Vec::new();
        let mut through = async |url: &str, speaks: Speaks| {
            let relay = Relay::to(port_of(url)).await;
            let url = with_port(url, relay.port);
            relays.push((relay, speaks));
            url
        };
        let mut servers = Servers {
            database_url: through(&self.servers.database_url, Speaks::InTurns).await,
            redis_url: None,
            redlock_urls: Vec::new(),
            zookeeper_hosts: None,
            etcd_urls: Vec::new(),
        };
        if let Some(url) = self.servers.redis() {
            servers.redis_url = Some(through(url, Speaks::InTurns).await);
        }
        for url in self.servers.redlock() {
            servers.redlock_urls.push(through(&url, Speaks::InTurns).await);
        }
        if let Some(hosts) = self.servers.zookeeper() {
            let mut relayed = Vec::new();
            for host in hosts.split(',') {
                relayed.push(through(host, Speaks::InTurns).await);
            }
            servers.zookeeper_hosts = Some(relayed.join(","));
        }
        for url in self.servers.etcd() {
            servers.etcd_urls.push(through(&url, Speaks::InCalls).await);
        }
        let limits = Limits { lock_connections_max: 1, redis_connections_max: 1, ..limits };
        open(&servers, facts, limits, relays).await
    }

    /// A connection beside the locks, for what only a test may look at.
    pub async fn sql(&self) -> PgPool {
        PgPool::connect(&self.servers.database_url).await.expect("the tests' PostgreSQL")
    }
}

/// A process's worth on these servers.
pub async fn open(
    servers: &Servers,
    facts: &'static Facts,
    limits: Limits,
    relays: Vec<(Relay, Speaks)>,
) -> Party {
    let backends = Backends::open(servers, limits).await.expect("the servers open");
    let locks = Locks::new(facts, &backends).expect("the lock's servers");
    Party { backends, locks, relays }
}

impl Party {
    /// A fresh sale that can be locked.
    pub async fn sale(&self) -> Uuid {
        let sale = Uuid::now_v7();
        self.locks.open(sale).await.expect("the lock is made");
        sale
    }

    /// A new owner goes in, or is refused: any other answer ends the trial.
    pub async fn enter(&self, sale: Uuid) -> Option<Guard> {
        match self.locks.acquire(sale, Owner::fresh()).await {
            Ok(guard) => Some(guard),
            Err(Error::Contended(_)) => None,
            Err(e) => panic!("neither inside nor refused: {e}"),
        }
    }

    /// Connections open, statements prepared, scripts loaded.
    pub async fn warm(&self) {
        let sale = self.sale().await;
        for _ in 0..3 {
            self.enter(sale).await.expect("an empty lock is entered").release().await;
        }
    }

    /// Turns so far, through all relays.
    pub fn turns(&self) -> u64 {
        let count = |(relay, speaks): &(Relay, Speaks)| match speaks {
            Speaks::InTurns => relay.turns(),
            Speaks::InCalls => relay.calls(),
        };
        self.relays.iter().map(count).sum()
    }

    /// Until it has asked its server something and says no more for a while, or asks again and again.
    pub async fn poll_until_it_waits(&self, since: u64) {
        let (began, mut seen, mut changed) = (Instant::now(), since, Instant::now());
        while began.elapsed() < Duration::from_millis(200) {
            let now = self.turns();
            if now != seen {
                (seen, changed) = (now, Instant::now());
            }
            if seen > since && changed.elapsed() > Duration::from_millis(70) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

/// Limits with this lease and wait; small pools, for there are many parties.
pub fn limits(facts: &Facts, lease_ms: u64, wait_ms: u64) -> Limits {
    let limits = support::config("postgres://not-asked", None, &[]).limits;
    Limits {
        pool_connections_max: 2,
        lock_connections_max: 4,
        read_connections_max: 1,
        redis_connections_max: 4,
        wait_limit_ms: wait_ms,
        lock_lease_ms: lease(facts, lease_ms),
        ..limits
    }
}

/// The shortest lease from this on that its server can keep: etcd counts whole seconds, ZooKeeper's
/// sessions last two of its ticks.
pub fn lease(facts: &Facts, at_least_ms: u64) -> u64 {
    match facts.needs {
        needs if needs.contains(&Need::Etcd) => at_least_ms.div_ceil(1_000).max(1) * 1_000,
        needs if needs.contains(&Need::Zookeeper) => at_least_ms.max(400),
        _ => at_least_ms,
    }
}

/// The servers of the tests, with this database.
pub fn servers_with(database_url: &str) -> Servers {
    support::config(database_url, Some(&support::servers().redis_url), &[]).servers
}

/// Which of its servers is not there; never inside `./run test`, where a lock that was not tried is a fault.
/// A program that was built without etcd has none to try.
pub fn missing(bench: &Bench, facts: &Facts) -> Option<&'static str> {
    if facts.needs.contains(&Need::Etcd) && !cfg!(feature = "etcd") {
        return Some("built without etcd");
    }
    let there = |need: &&Need| match need {
        Need::Postgres => true,
        Need::Redis => bench.servers.redis().is_some(),
        Need::Redlock => !bench.servers.redlock().is_empty(),
        Need::Zookeeper => bench.servers.zookeeper().is_some(),
        Need::Etcd => !bench.servers.etcd().is_empty(),
    };
    let missing = facts.needs.iter().find(|need| !there(need)).map(|need| need.id());
    assert!(missing.is_none() || std::env::var_os("DATABASE_URL").is_none(), "no {missing:?} in ./run test");
    missing
}
