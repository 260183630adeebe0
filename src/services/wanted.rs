//! Which servers, and how many of each.

use std::fmt;

use anyhow::{Result, ensure};

/// Which servers to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// A PostgreSQL; an error if its programs are not installed.
    pub postgres: bool,
    /// A Redis.
    pub redis: bool,
    /// So many independent Redis, for Redlock: 0, 3 or 5.
    pub redlock: usize,
    /// So many ZooKeeper servers: 0, 1, or 3 that elect.
    pub zookeeper: usize,
    /// So many members of etcd: 0, 1, or 3 that elect.
    pub etcd: usize,
}

impl Wanted {
    /// None.
    pub const NONE: Wanted = Wanted { postgres: false, redis: false, redlock: 0, zookeeper: 0, etcd: 0 };
    /// Everything that a strategy may need.
    pub const ALL: Wanted = Wanted { postgres: true, redis: true, redlock: 3, zookeeper: 1, etcd: 1 };

    pub(super) fn check(self) -> Result<()> {
        ensure!([0, 3, 5].contains(&self.redlock), "Redlock takes 0, 3 or 5 Redis, not {}", self.redlock);
        for (name, n) in [("ZooKeeper", self.zookeeper), ("etcd", self.etcd)] {
            ensure!([0, 1, 3].contains(&n), "an ensemble of {name} has 0, 1 or 3 members, not {n}");
        }
        Ok(())
    }
}

/// One of the servers, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The PostgreSQL.
    Postgres,
    /// The Redis.
    Redis,
    /// One of the independent Redis.
    Redlock(usize),
    /// One of the ZooKeeper servers.
    Zookeeper(usize),
    /// One of the members of etcd.
    Etcd(usize),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Postgres => f.write_str("postgres"),
            Which::Redis => f.write_str("redis"),
            Which::Redlock(at) => write!(f, "redlock-{at}"),
            Which::Zookeeper(at) => write!(f, "zookeeper-{at}"),
            Which::Etcd(at) => write!(f, "etcd-{at}"),
        }
    }
}

/// What a server finds when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// What was on its disk.
    Kept,
    /// Nothing, as after the loss of a disk, or of a server that keeps all in memory.
    Empty,
}
