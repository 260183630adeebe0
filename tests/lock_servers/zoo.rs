//! What the tests of both znode locks share: processes with a session of their own, and a look at the nodes
//! from beside.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sellout::backends::{Backends, Flush, Zookeeper};
use sellout::config::Limits;
use sellout::faults::Switches;
use sellout::locks::{Facts, Guard, Locks, Owner};
use sellout::sale::Error;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;
use uuid::Uuid;
use zookeeper_client::Client;

use crate::support::relay::Relay;
use crate::support::{eventually, port_of, servers};

/// Sessions that nobody wants to lose. With it no heartbeat falls into what a relay counts.
pub const LONG: u64 = 30_000;

/// The ZooKeeper of the tests.
pub fn hosts() -> &'static str {
    &servers().zookeeper_hosts
}

/// A relay in front of it.
pub async fn relay() -> (Relay, String) {
    let relay = Relay::to(port_of(hosts())).await;
    let hosts = format!("127.0.0.1:{}", relay.port);
    (relay, hosts)
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    limits: Limits,
}

/// The lock, as a process of its own would have it: with its own session.
pub fn process(facts: &'static Facts, hosts: &str, lease_ms: u64) -> Locks {
    impatient(facts, hosts, lease_ms, 20_000)
}

/// The same, with a wait limit.
pub fn impatient(facts: &'static Facts, hosts: &str, lease_ms: u64, wait_ms: u64) -> Locks {
    let mut limits = Settings::parse_from(["test"]).limits;
    (limits.lock_lease_ms, limits.wait_limit_ms) = (lease_ms, wait_ms);
    // Never connected: neither lock asks PostgreSQL.
    let pg = PgPoolOptions::new().connect_lazy("postgres://nobody@127.0.0.1:1/none").expect("a pool");
    let none = || "not in this test".to_owned();
    let backends = Backends {
        flush: Arc::new(Flush::new(&pg, &limits)),
        pg: pg.clone(),
        pg_locks: pg.clone(),
        pg_unflushed: pg.clone(),
        pg_life: pg.clone(),
        pg_reads: pg,
        redis_wire: Err(none()),
        redis: Err(none()),
        redis_locks: Err(none()),
        redis_messages: Err(none()),
        redlock: Err(none()),
        zookeeper: Zookeeper::open(Some(hosts), &limits),
        etcd: Err(none()),
        faults: Switches::default(),
        limits,
    };
    Locks::new(facts, &backends).expect("the lock")
}

/// Starts to queue up.
pub fn queue(locks: &Locks, sale: Uuid) -> JoinHandle<Result<Guard, Error>> {
    let locks = locks.clone();
    tokio::spawn(async move { locks.acquire(sale, Owner::fresh()).await })
}

/// Is inside at once, or fails.
pub async fn inside(locks: &Locks, sale: Uuid) -> Guard {
    locks.acquire(sale, Owner::fresh()).await.unwrap_or_else(|e| panic!("not inside: {e}"))
}

/// Somebody beside the locks, who looks at the nodes of one sale.
#[derive(Clone)]
pub struct Witness {
    pub client: Arc<Client>,
    pub parent: String,
}

impl Witness {
    pub async fn of(facts: &Facts, sale: Uuid) -> Witness {
        let folder = if facts.id == "lock_curator" { "curator" } else { "locks" };
        Witness::at(hosts(), format!("/sellout/{folder}/{sale}")).await
    }

    pub async fn at(hosts: &str, parent: String) -> Witness {
        let connector = Client::connector().with_session_timeout(Duration::from_millis(LONG));
        let client = Arc::new(connector.connect(hosts).await.expect("the tests' ZooKeeper"));
        Witness { client, parent }
    }

    /// The nodes of the queue, first to last.
    pub async fn queue(&self) -> Vec<String> {
        let mut nodes = self.client.list_children(&self.parent).await.unwrap_or_default();
        let number = |node: &str| node.rsplit_once("lock-").map(|(_, number)| number.to_owned());
        nodes.sort_by_key(|node| number(node));
        nodes
    }

    /// Waits until so many are in the queue.
    pub async fn sees(&self, nodes: usize) -> Vec<String> {
        let what = format!("{nodes} nodes in the queue");
        eventually(&what, async || self.queue().await.len() == nodes).await;
        self.queue().await
    }

    /// The session that made the node, and its czxid.
    pub async fn made(&self, node: &str) -> (i64, i64) {
        let stat = self.client.check_stat(&format!("{}/{node}", self.parent)).await.expect("an answer");
        let stat = stat.expect("the node is there");
        (stat.ephemeral_owner, stat.czxid)
    }

    pub async fn delete(&self, node: &str) {
        self.client.delete(&format!("{}/{node}", self.parent), None).await.expect("deleted");
    }
}
