//! A private Redis, with an append-only file and no eviction: the settings under which a stock
//! counter in Redis may be relied on at all.
//!
//! It can be absent (Debian does not install it with anything else): then what needs it is skipped,
//! and says so. A path set by hand that leads nowhere is an error, because somebody meant it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rustix::process::Signal;

use super::child::{Server, Stop};
use super::home::{self, Home};
use super::{Attempt, Ports, on_a_free_port};

/// SIGTERM saves and leaves; a script that never returns would keep it from that, hence the limit.
const STOP: Stop = &[(Signal::TERM, Duration::from_secs(5))];
const READY_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A running Redis.
#[derive(Debug)]
pub(super) struct Redis {
    pub(super) server: Server,
    pub(super) url: String,
    version: String,
    program: PathBuf,
    port: u16,
}

/// Where `redis-server` is, or the sentence that says what to install.
pub(super) enum Found {
    At(PathBuf),
    Missing(String),
}

/// Looks for `redis-server`. Links are not followed: Debian's is a link to `redis-check-rdb`, one
/// program that decides by the name it was called with what it is.
pub(super) fn find() -> Result<Found> {
    if let Some(program) = home::named_by("SELLOUT_REDIS_SERVER")? {
        ensure!(program.is_file(), "SELLOUT_REDIS_SERVER={} is no file", program.display());
        return Ok(Found::At(program));
    }
    let candidates = home::search_path().into_iter().map(|dir| dir.join("redis-server"));
    Ok(match candidates.into_iter().find(|program| program.is_file()) {
        Some(program) => Found::At(program),
        None => Found::Missing(
            "Redis is not installed (sudo apt-get install --no-install-recommends redis-server, \
             or set SELLOUT_REDIS_SERVER or REDIS_URL): what needs it is skipped"
                .to_owned(),
        ),
    })
}

impl Redis {
    /// Starts it in a room of `home`.
    pub(super) fn start(home: &Home, program: &Path, ports: Ports<'_>) -> Result<Redis> {
        let room = home.room("redis")?;
        on_a_free_port("Redis", ports, |port| attempt(home, program, &room, port))
    }

    /// What to print beside a measured number.
    pub(super) fn describe(&self) -> [String; 2] {
        let Redis { version, program, port, .. } = self;
        [
            format!(
                "Redis {version} private, appendonly=yes, appendfsync=everysec, maxmemory-policy=noeviction"
            ),
            format!("  127.0.0.1:{port}, pid {}, {}", self.server.pid(), program.display()),
        ]
    }
}

/// One start on one port.
fn attempt(home: &Home, program: &Path, room: &Path, port: u16) -> Result<Attempt<Redis>> {
    let log = home.path().join("redis.log");
    let mut command = home.command(program, &log)?;
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--appendonly", "yes", "--appendfsync", "everysec"])
        .args(["--save", "", "--maxmemory-policy", "noeviction"])
        .arg("--dir")
        .arg(room);
    let mut server = Server::spawn("Redis", command, log, STOP)?;
    let ready = server.wait_for(READY_LIMIT, |server| version_if_ready(port, server.pid()))?;
    match ready {
        Some(version) => {
            let url = format!("redis://{}:{port}", Ipv4Addr::LOCALHOST);
            let program = program.to_owned();
            Ok(Attempt::Ready(Redis { server, url, version, program, port }))
        }
        None if server.log().contains("Address already in use") => Ok(Attempt::PortTaken),
        None => bail!("Redis did not start; its log ends:\n{}", server.log_tail()),
    }
}

/// Asks by hand, without a client library: PONG (it has loaded its data), and that the answering
/// process is the one that we started and not another Redis that was quicker to take the port.
fn version_if_ready(port: u16, pid: u32) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut connection = TcpStream::connect_timeout(&address, ANSWER_LIMIT).ok()?;
    connection.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    connection.write_all(b"PING\r\nINFO server\r\nQUIT\r\n").ok()?;
    let mut answer = String::new();
    // QUIT makes the server close, so that the end of the answer is the end of the stream.
    connection.take(64 * 1024).read_to_string(&mut answer).ok()?;
    let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name));
    let ours = field("process_id:").is_some_and(|id| id.trim() == pid.to_string());
    (ours && answer.starts_with("+PONG")).then(|| field("redis_version:").map(str::to_owned))?
}
