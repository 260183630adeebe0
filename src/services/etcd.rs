//! A private etcd: one member, or three that elect. It writes every change to disk before it answers, which
//! is its default; the election is quick because all members are on this machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::child::{Server, Stop};
use super::home::{self, Found, Home};
use super::node::{Ports, Program, ask};

const STOP: Stop = &[(Signal::TERM, Duration::from_secs(5))];

/// How a member is started.
#[derive(Debug)]
pub(super) struct Etcd {
    program: PathBuf,
    label: String,
    port: u16,
    peer_port: u16,
    url: String,
    /// All of them: `name=http://127.0.0.1:port`, with commas.
    cluster: String,
    alone: bool,
}

/// Looks for `etcd`.
pub(super) fn find() -> Result<Found<PathBuf>> {
    Ok(match home::program("etcd", "SELLOUT_ETCD")? {
        Some(program) => Found::At(program),
        None => Found::Missing(
            "etcd is not installed (sudo apt-get install --no-install-recommends etcd-server, \
             or set SELLOUT_ETCD or ETCD_URLS): what needs it is skipped"
                .to_owned(),
        ),
    })
}

/// As many members as asked for, on ports of their own.
pub(super) fn plan(program: &Path, members: usize, ports: Ports<'_>) -> Result<Vec<Box<dyn Program>>> {
    let mut places = Vec::new();
    for member in 0..members {
        places.push((format!("etcd-{member}"), ports()?, ports()?));
    }
    let peers = places.iter().map(|(label, _, peer)| format!("{label}=http://127.0.0.1:{peer}"));
    let cluster = peers.collect::<Vec<_>>().join(",");
    let member = |(label, port, peer_port): (String, u16, u16)| -> Box<dyn Program> {
        Box::new(Etcd {
            program: program.to_owned(),
            label,
            port,
            peer_port,
            url: format!("http://{}:{port}", Ipv4Addr::LOCALHOST),
            cluster: cluster.clone(),
            alone: members == 1,
        })
    };
    Ok(places.into_iter().map(member).collect())
}

impl Etcd {
    /// Tells it from every other etcd of this machine.
    fn token(&self) -> String {
        format!("sellout-{}-{}", std::process::id(), self.cluster)
    }

    fn http(&self, request: &str) -> Option<String> {
        let answer = ask(self.port, request)?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }
}

impl Program for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn address(&self) -> &str {
        &self.url
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.port, self.peer_port]
    }

    fn prepare(&self, home: &Home) -> Result<()> {
        home.room(&self.label).map(|_| ())
    }

    fn spawn(&self, home: &Home) -> Result<Server> {
        let log = home.path().join(format!("{}.log", self.label));
        let mut command = home.command(&self.program, &log)?;
        // It reads each of its settings from the environment too, and ends when both are given.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        command.args(["--name", &self.label, "--data-dir"]).arg(home.path().join(&self.label));
        command
            .args(["--listen-client-urls", &self.url, "--advertise-client-urls", &self.url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &self.cluster, "--initial-cluster-token", &self.token()])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(["--logger", "zap", "--log-level", "error"]);
        Server::spawn("etcd", command, log, STOP)
    }

    /// Healthy (there is a leader), and the member that listens at our peer port as well.
    fn answers(&self, _pid: u32) -> Option<String> {
        let health = self.http("GET /health HTTP/1.0\r\n\r\n")?;
        let list = "POST /v3/cluster/member/list HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}";
        let ours = self.http(list)?.contains(&format!("127.0.0.1:{}\"", self.peer_port));
        let version = self.http("GET /version HTTP/1.0\r\n\r\n")?;
        let version = version.split_once("\"etcdserver\":\"")?.1.split('"').next()?.to_owned();
        (health.contains("\"true\"") && ours).then_some(version)
    }

    fn terms(&self, version: &str) -> String {
        format!("etcd {version} private, fsync on, heartbeat 50 ms, election timeout 500 ms")
    }

    fn path(&self) -> &Path {
        &self.program
    }

    fn needs_its_data(&self) -> Option<&'static str> {
        let why =
            "a member of an etcd ensemble that lost its data is a new member: revive it with what it kept";
        (!self.alone).then_some(why)
    }
}
