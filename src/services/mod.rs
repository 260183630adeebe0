//! Private, throw-away servers: a real PostgreSQL, Redis, ZooKeeper and etcd of our own, started as child
//! processes in one temporary directory and ended with us.
//!
//! Why: the demo and the tests must run on a clean machine with one command, and they must run
//! against the real thing, because what oversells (or does not) is the interleaving of real
//! transactions, scripts and sessions. An imitation in memory would prove something about the imitation.
//! Nothing of the machine's own clusters is read or touched, and durability stays on: a number
//! measured with `fsync` off would flatter every strategy that commits often.
//!
//! Who does what: `home` the directory, the user that the servers run as, what dead runs left behind ·
//! `child` one process: dies with us, is waited for, is stopped by its pid · `node` one server: its ports,
//! its start, its crash and its return · `keeper` brings a Redis that was killed back · `postgres`, `redis`,
//! `zookeeper` and `etcd` how each of them is found, started and known to be ready.

mod child;
mod companion;
mod etcd;
mod home;
mod keeper;
mod node;
mod postgres;
mod redis;
mod relative;
mod wanted;
mod zookeeper;

use anyhow::{Context, Result};

pub use companion::{Companion, program};
pub use keeper::{Kept, OUTAGE};
pub use relative::kill_relative;
pub use wanted::{Data, Wanted, Which};

use home::{Found, Home};
use node::{Node, Ports, Program, Starting, free_port};
use postgres::{Installed, Postgres};
use redis::Redis;

/// The running servers. Dropping it stops them and removes their directory.
///
/// After `kill -9` of this process the kernel stops the servers (Linux); the directory is removed
/// by the next start.
#[derive(Debug)]
pub struct Services {
    // Dropped in this order: no server outlives the directory that its files are in.
    postgres: Vec<Node>,
    redis: Vec<Node>,
    redlock: Vec<Node>,
    zookeeper: Vec<Node>,
    etcd: Vec<Node>,
    missing: Vec<String>,
    home: Home,
}

impl Services {
    /// Starts what is wanted and returns when all of it answers (about 1.5 seconds, most of it `initdb`).
    ///
    /// Blocks: call it before the async runtime, or through `spawn_blocking`.
    ///
    /// # Errors
    /// PostgreSQL is not installed, a path set by hand is wrong, or a server did not come up (the
    /// error then holds the end of its log). What had been started is stopped. Any other server that is
    /// not installed is no error but a sentence of [`Services::missing`].
    pub fn start(wanted: Wanted) -> Result<Services> {
        Self::start_on(wanted, &mut distinct_ports())
    }

    /// The ports are an argument so that a test can hand out one that is taken.
    fn start_on(wanted: Wanted, ports: Ports<'_>) -> Result<Services> {
        wanted.check()?;
        home::remove_stale();
        let home = Home::create()?;
        let mut missing = Vec::new();
        // Begun one after the other, slowest first, and waited for together.
        let zookeeper = begin_zookeeper(wanted.zookeeper, &home, &mut missing, ports)?;
        let etcd = begin_etcd(wanted.etcd, &home, &mut missing, ports)?;
        let [redis, redlock] = begin_redis(wanted, &home, &mut missing, ports)?;
        let postgres = if wanted.postgres { Some(begin_postgres(&home, ports)?) } else { None };
        let mut finish = |starting: Option<Starting>| {
            starting.map_or(Ok(Vec::new()), |starting| starting.finish(&home, ports))
        };
        let (postgres, redis) = (finish(postgres)?, finish(redis)?);
        let (redlock, zookeeper, etcd) = (finish(redlock)?, finish(zookeeper)?, finish(etcd)?);
        Ok(Services { postgres, redis, redlock, zookeeper, etcd, missing, home })
    }

    /// Where the PostgreSQL is: user `postgres`, no password (whoever has an account on this machine
    /// can connect while it runs), loopback TCP, so that a test can put a relay in between. `None`
    /// if it was not wanted.
    pub fn database_url(&self) -> Option<&str> {
        self.postgres.first().map(|node| node.program.address())
    }

    /// Where the Redis is. `None` if it was not wanted or is missing.
    pub fn redis_url(&self) -> Option<&str> {
        self.redis.first().map(|node| node.program.address())
    }

    /// Where the independent Redis for Redlock are; empty if not wanted or missing.
    pub fn redlock_urls(&self) -> Vec<String> {
        addresses(&self.redlock)
    }

    /// Where ZooKeeper is: `host:port`, with commas between the servers of an ensemble.
    pub fn zookeeper_hosts(&self) -> Option<String> {
        (!self.zookeeper.is_empty()).then(|| addresses(&self.zookeeper).join(","))
    }

    /// Where etcd is; empty if not wanted or missing.
    pub fn etcd_urls(&self) -> Vec<String> {
        addresses(&self.etcd)
    }

    /// The variables that tell a service where all of that is; none for what was not started.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let some = |urls: Vec<String>| (!urls.is_empty()).then(|| urls.join(","));
        let all = [
            ("DATABASE_URL", self.database_url().map(str::to_owned)),
            ("REDIS_URL", self.redis_url().map(str::to_owned)),
            ("REDLOCK_URLS", some(self.redlock_urls())),
            ("ZOOKEEPER_HOSTS", self.zookeeper_hosts()),
            ("ETCD_URLS", some(self.etcd_urls())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The pid of a server, while it runs. A PostgreSQL's backends are children of that process (for CPU
    /// accounting, and for tests that freeze or kill it).
    pub fn pid(&self, which: Which) -> Option<u32> {
        let (nodes, at) = self.place(which);
        nodes.get(at)?.pid()
    }

    /// Every server that was started, with its pid while it runs.
    pub fn pids(&self) -> Vec<(Which, u32)> {
        let all = |which: fn(usize) -> Which, nodes: &[Node]| {
            let which = (0..nodes.len()).map(which);
            which.filter_map(|which| Some((which, self.pid(which)?))).collect::<Vec<_>>()
        };
        let one = [all(|_| Which::Postgres, &self.postgres), all(|_| Which::Redis, &self.redis)];
        let many = [
            all(Which::Redlock, &self.redlock),
            all(Which::Zookeeper, &self.zookeeper),
            all(Which::Etcd, &self.etcd),
        ];
        one.into_iter().chain(many).flatten().collect()
    }

    /// For each server that was wanted and is not installed: the sentence that says what to install.
    pub fn missing(&self) -> Vec<&str> {
        self.missing.iter().map(String::as_str).collect()
    }

    /// Lines to print beside every number measured on these servers: versions, durability, places.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for nodes in [&self.postgres, &self.redis, &self.redlock, &self.zookeeper, &self.etcd] {
            let several = if nodes.len() > 1 { format!("{} × ", nodes.len()) } else { String::new() };
            lines.extend(nodes.first().map(|node| format!("{several}{}", node.terms())));
            lines.extend(nodes.iter().map(Node::place));
        }
        lines.extend(self.missing.iter().cloned());
        lines.push(format!("  in {}, ended and removed with us", self.home.path().display()));
        lines
    }

    /// `kill -9`; returns when the server is gone. Its address stays its own.
    ///
    /// # Errors
    /// There is no such server, or it does not end.
    pub fn crash(&mut self, which: Which) -> Result<()> {
        let (nodes, at) = self.place_mut(which);
        nodes.get_mut(at).with_context(|| format!("there is no {which}"))?.crash()
    }

    /// Starts a crashed server again, at the same address; returns when it answers. In an ensemble of which
    /// too few run to answer, it returns at once.
    ///
    /// # Errors
    /// It runs, it cannot be started again, or its port has been taken.
    pub fn revive(&mut self, which: Which, data: Data) -> Result<()> {
        let independent = matches!(which, Which::Redlock(_));
        let (nodes, at) = self.place_mut(which);
        let others = nodes.iter_mut().filter_map(|node| node.lives().then_some(())).count();
        let majority = independent || 2 * (others + 1) > nodes.len();
        // Taken out, because the files are of the same struct.
        let mut nodes = std::mem::take(nodes);
        let node = nodes.get_mut(at).with_context(|| format!("there is no {which}"));
        let revived = node.and_then(|node| node.revive(&self.home, data == Data::Empty, majority));
        *self.place_mut(which).0 = nodes;
        revived
    }

    /// Has this server, which was started, ended without being told to?
    fn has_died(&mut self, which: Which) -> bool {
        let (nodes, at) = self.place_mut(which);
        nodes.get_mut(at).is_some_and(|node| !node.lives())
    }

    fn place(&self, which: Which) -> (&Vec<Node>, usize) {
        match which {
            Which::Postgres => (&self.postgres, 0),
            Which::Redis => (&self.redis, 0),
            Which::Redlock(at) => (&self.redlock, at),
            Which::Zookeeper(at) => (&self.zookeeper, at),
            Which::Etcd(at) => (&self.etcd, at),
        }
    }

    fn place_mut(&mut self, which: Which) -> (&mut Vec<Node>, usize) {
        match which {
            Which::Postgres => (&mut self.postgres, 0),
            Which::Redis => (&mut self.redis, 0),
            Which::Redlock(at) => (&mut self.redlock, at),
            Which::Zookeeper(at) => (&mut self.zookeeper, at),
            Which::Etcd(at) => (&mut self.etcd, at),
        }
    }
}

impl Drop for Services {
    /// All are asked first, so that they end at the same time; each is waited for when its field goes.
    fn drop(&mut self) {
        for nodes in
            [&mut self.postgres, &mut self.redis, &mut self.redlock, &mut self.zookeeper, &mut self.etcd]
        {
            nodes.iter_mut().for_each(Node::ask_to_end);
        }
    }
}

fn addresses(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|node| node.program.address().to_owned()).collect()
}

/// Free ports, each handed out once: two servers of one ensemble must not be told the same.
fn distinct_ports() -> impl FnMut() -> std::io::Result<u16> {
    let mut used = std::collections::BTreeSet::new();
    move || {
        loop {
            let port = free_port()?;
            if used.insert(port) {
                return Ok(port);
            }
        }
    }
}

/// What was found, or nothing and one more sentence.
fn found<T>(found: Found<T>, missing: &mut Vec<String>) -> Option<T> {
    match found {
        Found::At(program) => Some(program),
        Found::Missing(sentence) => {
            missing.push(sentence);
            None
        }
    }
}

fn begin_zookeeper(
    servers: usize,
    home: &Home,
    missing: &mut Vec<String>,
    ports: Ports<'_>,
) -> Result<Option<Starting>> {
    if servers == 0 {
        return Ok(None);
    }
    let Some(jars) = found(zookeeper::find()?, missing) else { return Ok(None) };
    let path = home.path().to_owned();
    let plan = Box::new(move |ports: Ports<'_>| zookeeper::plan(&path, &jars, servers, ports));
    Starting::begin(home, ports, plan).map(Some)
}

fn begin_etcd(
    members: usize,
    home: &Home,
    missing: &mut Vec<String>,
    ports: Ports<'_>,
) -> Result<Option<Starting>> {
    if members == 0 {
        return Ok(None);
    }
    let Some(program) = found(etcd::find()?, missing) else { return Ok(None) };
    let plan = Box::new(move |ports: Ports<'_>| etcd::plan(&program, members, ports));
    Starting::begin(home, ports, plan).map(Some)
}

/// The one of the stock, and the independent ones.
fn begin_redis(
    wanted: Wanted,
    home: &Home,
    missing: &mut Vec<String>,
    ports: Ports<'_>,
) -> Result<[Option<Starting>; 2]> {
    if !wanted.redis && wanted.redlock == 0 {
        return Ok([None, None]);
    }
    let Some(program) = found(redis::find()?, missing) else { return Ok([None, None]) };
    let mut begin = |labels: Vec<String>| {
        if labels.is_empty() {
            return Ok(None);
        }
        let program = program.clone();
        let plan = move |ports: Ports<'_>| {
            let one = |label: &String| -> Result<Box<dyn Program>> {
                Ok(Box::new(Redis::new(program.clone(), label.clone(), ports()?)))
            };
            labels.iter().map(one).collect()
        };
        Starting::begin(home, ports, Box::new(plan)).map(Some)
    };
    let main = if wanted.redis { vec!["redis".to_owned()] } else { Vec::new() };
    Ok([begin(main)?, begin((0..wanted.redlock).map(|at| format!("redlock-{at}")).collect())?])
}

fn begin_postgres(home: &Home, ports: Ports<'_>) -> Result<Starting> {
    let (installed, path) = (Installed::find(home)?, home.path().to_owned());
    let plan = move |ports: Ports<'_>| -> Result<Vec<Box<dyn Program>>> {
        Ok(vec![Box::new(Postgres::new(&path, &installed, ports()?))])
    };
    Starting::begin(home, ports, Box::new(plan))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_port_taken_by_another_at_the_last_moment_costs_only_a_retry() -> Result<()> {
        let squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let taken = squatter.local_addr()?.port();
        for wanted in [
            Wanted { postgres: true, ..Wanted::NONE },
            Wanted { redis: true, ..Wanted::NONE },
            Wanted { zookeeper: 1, ..Wanted::NONE },
            Wanted { etcd: 1, ..Wanted::NONE },
        ] {
            let (mut calls, mut free) = (0, distinct_ports());
            let mut ports = || {
                calls += 1;
                if calls == 1 { Ok(taken) } else { free() }
            };
            let services = Services::start_on(wanted, &mut ports)?;
            assert_eq!(services.pids().len(), 1, "{wanted:?}");
            drop(services);
            assert!(calls > 1, "{wanted:?} should have met the taken port");
        }
        Ok(())
    }
}
