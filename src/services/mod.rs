//! Private, throw-away servers: a real PostgreSQL and a real Redis of our own, started as child
//! processes in one temporary directory and ended with us.
//!
//! Why: the demo and the tests must run on a clean machine with one command, and they must run
//! against the real thing, because what oversells (or does not) is the interleaving of real
//! transactions and scripts. An imitation in memory would prove something about the imitation.
//! Nothing of the machine's own clusters is read or touched, and durability stays on: a number
//! measured with `fsync` off would flatter every strategy that commits often.
//!
//! Who does what: `home` the directory, the user that the servers run as, what dead runs left
//! behind · `child` one process: dies with us, is waited for, is stopped by its pid · `postgres`
//! and `redis` how each of them is found, started and known to be ready.

mod child;
mod companion;
mod home;
mod postgres;
mod redis;

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

pub use companion::Companion;
use home::Home;
use postgres::Postgres;
use redis::{Found, Redis};

/// Which servers to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// A PostgreSQL; an error if its programs are not installed.
    pub postgres: bool,
    /// A Redis; [`Services::redis_missing`] if it is not installed.
    pub redis: bool,
}

/// The running servers. Dropping it stops them and removes their directory.
///
/// After `kill -9` of this process the kernel stops the servers (Linux); the directory is removed
/// by the next start.
#[derive(Debug)]
pub struct Services {
    // Dropped in this order: no server outlives the directory that its files are in.
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    redis_missing: Option<String>,
    home: Home,
}

impl Services {
    /// Starts what is wanted and returns when it answers (about 1.2 seconds, most of it `initdb`).
    ///
    /// Blocks: call it before the async runtime, or through `spawn_blocking`.
    ///
    /// # Errors
    /// PostgreSQL is not installed, a path set by hand is wrong, or a server did not come up (the
    /// error then holds the end of its log). What had been started is stopped.
    pub fn start(wanted: Wanted) -> Result<Services> {
        Self::start_on(wanted, &mut free_port)
    }

    /// The ports are an argument so that a test can hand out one that is taken.
    fn start_on(wanted: Wanted, ports: Ports<'_>) -> Result<Services> {
        home::remove_stale();
        let home = Home::create()?;
        let mut services = Services { postgres: None, redis: None, redis_missing: None, home };
        if wanted.redis {
            match redis::find()? {
                Found::At(program) => {
                    services.redis = Some(Redis::start(&services.home, &program, ports)?);
                }
                Found::Missing(sentence) => services.redis_missing = Some(sentence),
            }
        }
        if wanted.postgres {
            services.postgres = Some(Postgres::start(&services.home, ports)?);
        }
        Ok(services)
    }

    /// Where the PostgreSQL is: user `postgres`, no password (whoever has an account on this machine
    /// can connect while it runs), loopback TCP, so that a test can put a relay in between. `None`
    /// if it was not wanted.
    pub fn database_url(&self) -> Option<&str> {
        self.postgres.as_ref().map(|p| p.url.as_str())
    }

    /// Where the Redis is. `None` if it was not wanted or is missing.
    pub fn redis_url(&self) -> Option<&str> {
        self.redis.as_ref().map(|r| r.url.as_str())
    }

    /// The pid of the postmaster; its backends are its children (for CPU accounting, and for tests
    /// that stop or kill it).
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres.as_ref().map(|p| p.server.pid())
    }

    /// The pid of the Redis server.
    pub fn redis_pid(&self) -> Option<u32> {
        self.redis.as_ref().map(|r| r.server.pid())
    }

    /// If a Redis was wanted and is not installed: the sentence that says what to install.
    pub fn redis_missing(&self) -> Option<&str> {
        self.redis_missing.as_deref()
    }

    /// Lines to print beside every number measured on these servers: versions, durability, places.
    pub fn describe(&self) -> Vec<String> {
        let postgres = self.postgres.iter().flat_map(|p| p.describe());
        let redis = self.redis.iter().flat_map(|r| r.describe());
        let missing = self.redis_missing.iter().cloned();
        let place = format!("  in {}, ended and removed with us", self.home.path().display());
        postgres.chain(redis).chain(missing).chain([place]).collect()
    }
}

/// Hands out loopback ports to try.
type Ports<'a> = &'a mut dyn FnMut() -> std::io::Result<u16>;

/// A port that is free just now. Another process may take it before the server binds it, so
/// [`on_a_free_port`] tries again; only a server told to pick its own port could do better, and
/// PostgreSQL cannot.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// How one attempt to start a server on a port ended.
enum Attempt<T> {
    Ready(T),
    PortTaken,
}

/// Starts a server, on another port if the first was taken meanwhile.
fn on_a_free_port<T>(
    name: &str,
    ports: Ports<'_>,
    mut attempt: impl FnMut(u16) -> Result<Attempt<T>>,
) -> Result<T> {
    for _ in 0..5 {
        if let Attempt::Ready(server) = attempt(ports()?)? {
            return Ok(server);
        }
    }
    bail!("{name} found each of five free ports taken when it came to bind it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_taken_by_another_at_the_last_moment_costs_only_a_retry() -> Result<()> {
        let squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let taken = squatter.local_addr()?.port();
        let mut calls = 0;
        let mut ports = || {
            calls += 1;
            if calls % 2 == 1 { Ok(taken) } else { free_port() }
        };
        let wanted = Wanted { postgres: true, redis: true };
        let services = Services::start_on(wanted, &mut ports)?;
        assert!(services.postgres_pid().is_some() && services.redis_pid().is_some());
        drop(services);
        assert_eq!(calls, 4, "each server should have met the taken port once");
        Ok(())
    }
}
