//! A private Redis, with an append-only file and no eviction: the settings under which a stock counter or a
//! lock in Redis may be relied on at all. The independent ones for Redlock are the same.
//!
//! It can be absent (Debian does not install it with anything else): then what needs it is skipped,
//! and says so. A path set by hand that leads nowhere is an error, because somebody meant it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::child::{Server, Stop};
use super::home::{self, Found, Home};
use super::node::{Program, ask};

/// SIGTERM saves and leaves; a script that never returns would keep it from that, hence the limit.
const STOP: Stop = &[(Signal::TERM, Duration::from_secs(5))];

/// How a Redis is started.
#[derive(Debug)]
pub(super) struct Redis {
    program: PathBuf,
    /// Of its files.
    label: String,
    port: u16,
    url: String,
}

/// Looks for `redis-server`. Debian's is a link to `redis-check-rdb`, one program that decides by the name
/// it was called with what it is.
pub(super) fn find() -> Result<Found<PathBuf>> {
    Ok(match home::program("redis-server", "SELLOUT_REDIS_SERVER")? {
        Some(program) => Found::At(program),
        None => Found::Missing(
            "Redis is not installed (sudo apt-get install --no-install-recommends redis-server, \
             or set SELLOUT_REDIS_SERVER or REDIS_URL): what needs it is skipped"
                .to_owned(),
        ),
    })
}

impl Redis {
    pub(super) fn new(program: PathBuf, label: String, port: u16) -> Redis {
        let url = format!("redis://{}:{port}", Ipv4Addr::LOCALHOST);
        Redis { program, label, port, url }
    }
}

impl Program for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    fn address(&self) -> &str {
        &self.url
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.port]
    }

    fn prepare(&self, home: &Home) -> Result<()> {
        home.room(&self.label).map(|_| ())
    }

    fn spawn(&self, home: &Home) -> Result<Server> {
        let log = home.path().join(format!("{}.log", self.label));
        let mut command = home.command(&self.program, &log)?;
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "everysec"])
            .args(["--save", "", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(home.path().join(&self.label));
        Server::spawn("Redis", command, log, STOP)
    }

    /// PONG: it has loaded its data.
    fn answers(&self, pid: u32) -> Option<String> {
        // QUIT makes the server close, so that the end of the answer is the end of the stream.
        let answer = ask(self.port, "PING\r\nINFO server\r\nQUIT\r\n")?;
        let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name));
        let ours = field("process_id:").is_some_and(|id| id.trim() == pid.to_string());
        (ours && answer.starts_with("+PONG")).then(|| field("redis_version:").map(str::to_owned))?
    }

    fn terms(&self, version: &str) -> String {
        format!("Redis {version} private, appendonly=yes, appendfsync=everysec, maxmemory-policy=noeviction")
    }

    fn path(&self) -> &Path {
        &self.program
    }
}
