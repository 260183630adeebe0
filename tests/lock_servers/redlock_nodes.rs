//! The nodes of Redlock for its tests: killed, frozen and looked into.

use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Signal, kill_process};
use sellout::services::{Data, Services, Wanted, Which};
use uuid::Uuid;

use crate::support::eventually;

/// Three Redis that know nothing of each other.
pub struct Nodes {
    services: Services,
    pub urls: Vec<String>,
    frozen: Vec<usize>,
}

impl Nodes {
    pub async fn start() -> Nodes {
        let wanted = Wanted { redlock: 3, ..Wanted::NONE };
        let started = tokio::task::spawn_blocking(move || Services::start(wanted)).await;
        let services = started.expect("a thread").expect("three Redis");
        let urls = services.redlock_urls();
        assert_eq!(urls.len(), 3, "apt-get install redis-server");
        Nodes { services, urls, frozen: Vec::new() }
    }

    /// `kill -9`.
    pub fn crash(&mut self, node: usize) {
        tokio::task::block_in_place(|| self.services.crash(Which::Redlock(node))).expect("kill -9");
    }

    /// Back, and all forgotten.
    pub fn revive_empty(&mut self, node: usize) {
        let revived = tokio::task::block_in_place(|| self.services.revive(Which::Redlock(node), Data::Empty));
        revived.expect("a restart");
    }

    pub fn freeze(&mut self, node: usize) {
        self.signal(node, Signal::STOP);
        self.frozen.push(node);
    }

    pub fn thaw(&mut self, node: usize) {
        self.frozen.retain(|frozen| *frozen != node);
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: usize, signal: Signal) {
        let pid = self.services.pid(Which::Redlock(node)).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).expect("a running node");
        kill_process(pid, signal).expect("a signal");
    }

    pub async fn redis(&self, node: usize) -> MultiplexedConnection {
        let client = redis::Client::open(self.urls[node].as_str()).expect("a URL");
        client.get_multiplexed_async_connection().await.expect("a node")
    }

    /// Whoever is inside as this node sees it.
    pub async fn holder(&self, node: usize, sale: Uuid) -> Option<String> {
        let get = redis::cmd("GET").arg(key(sale)).query_async(&mut self.redis(node).await).await;
        get.expect("GET")
    }

    /// What an administrator does who should not.
    pub async fn delete(&self, node: usize, sale: Uuid) {
        let deleted = redis::cmd("DEL").arg(key(sale)).query_async(&mut self.redis(node).await).await;
        assert_eq!(deleted, Ok(1), "there was nothing to delete");
    }

    /// How often a node has run a command.
    pub async fn calls(&self, node: usize, command: &str) -> u64 {
        let ask = redis::cmd("INFO").arg("commandstats").query_async(&mut self.redis(node).await).await;
        let stats: String = ask.expect("INFO");
        let line = stats.lines().find_map(|l| l.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|l| l.split(',').next()).map_or(0, |n| n.parse().expect("a number"))
    }

    pub async fn nothing_is_left(&self, nodes: &[usize], sale: Uuid) {
        eventually("no key is left on any node", async || {
            let mut holders = Vec::new();
            for node in nodes {
                holders.extend(self.holder(*node, sale).await);
            }
            holders.is_empty()
        })
        .await;
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in std::mem::take(&mut self.frozen) {
            self.signal(node, Signal::CONT);
        }
    }
}

fn key(sale: Uuid) -> String {
    format!("sellout:{{{sale}}}:redlock")
}
