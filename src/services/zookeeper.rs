//! A private ZooKeeper from the jars of the distribution: one server, or three that elect. Ticks are short,
//! so that sessions may be as short as a test wants them; every change is on disk before it is answered,
//! which is its default.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::child::{Server, Stop};
use super::home::{self, Found, Home};
use super::node::{Ports, Program, ask};

const STOP: Stop = &[(Signal::TERM, Duration::from_secs(5))];
const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
/// Where Debian keeps jars.
const DEBIAN: &str = "/usr/share/java";
/// The server's, whose manifest names its neighbours (in Debian 12 and 13), and what prints its log.
const JARS: &[&str] = &["zookeeper.jar", "slf4j-simple.jar"];

/// Java, and what it must load.
#[derive(Debug, Clone)]
pub(super) struct Jars {
    java: PathBuf,
    class_path: OsString,
}

/// How a server is started.
#[derive(Debug)]
pub(super) struct Zookeeper {
    jars: Jars,
    label: String,
    /// 1 and up.
    id: usize,
    port: u16,
    address: String,
    /// For each server of an ensemble the ports for its followers and for the election; empty when alone.
    peers: Vec<(u16, u16)>,
    data: PathBuf,
}

/// Looks for `java` and for ZooKeeper's jars.
pub(super) fn find() -> Result<Found<Jars>> {
    let named = std::env::var_os("SELLOUT_ZOOKEEPER_JARS").filter(|path| !path.is_empty());
    let class_path = match named {
        Some(path) => {
            for jar in std::env::split_paths(&path).filter(|jar| !jar.ends_with("*")) {
                ensure!(jar.exists(), "SELLOUT_ZOOKEEPER_JARS names {}, which does not exist", jar.display());
            }
            Some(path)
        }
        None if Path::new(DEBIAN).join("zookeeper.jar").exists() => {
            let jars = JARS.iter().map(|jar| Path::new(DEBIAN).join(jar)).filter(|jar| jar.exists());
            Some(std::env::join_paths(jars)?)
        }
        None => None,
    };
    let (missing, package) = match (class_path, home::in_path("java")) {
        (Some(class_path), Some(java)) => return Ok(Found::At(Jars { java, class_path })),
        (Some(_), None) => ("Java", "default-jre-headless"),
        (None, _) => ("ZooKeeper", "zookeeper"),
    };
    Ok(Found::Missing(format!(
        "{missing} is not installed (sudo apt-get install --no-install-recommends {package}, \
         or set SELLOUT_ZOOKEEPER_JARS or ZOOKEEPER_HOSTS): what needs it is skipped"
    )))
}

/// As many servers as asked for, on ports of their own.
pub(super) fn plan(
    home: &Path,
    jars: &Jars,
    servers: usize,
    ports: Ports<'_>,
) -> Result<Vec<Box<dyn Program>>> {
    let mut client_ports = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..servers {
        client_ports.push(ports()?);
        if servers > 1 {
            peers.push((ports()?, ports()?));
        }
    }
    let server = |(at, port): (usize, u16)| -> Box<dyn Program> {
        let label = format!("zookeeper-{at}");
        Box::new(Zookeeper {
            jars: jars.clone(),
            data: home.join(&label),
            label,
            id: at + 1,
            port,
            address: format!("127.0.0.1:{port}"),
            peers: peers.clone(),
        })
    };
    Ok(client_ports.into_iter().enumerate().map(server).collect())
}

impl Zookeeper {
    /// Its configuration is a properties file of Java, in which a backslash quotes.
    fn config(&self) -> String {
        let data = self.data.display().to_string().replace('\\', "\\\\");
        let port = self.port;
        let mut text = format!(
            "dataDir={data}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             tickTime=200\nminSessionTimeout=400\nmaxSessionTimeout=60000\nmaxClientCnxns=1000\n\
             admin.enableServer=false\n4lw.commands.whitelist=ruok,srvr,conf\n\
             autopurge.purgeInterval=1\ninitLimit=100\nsyncLimit=25\n"
        );
        for (at, (follow, elect)) in self.peers.iter().enumerate() {
            text += &format!("server.{}=127.0.0.1:{follow}:{elect}\n", at + 1);
        }
        text
    }
}

impl Program for Zookeeper {
    fn name(&self) -> &'static str {
        "ZooKeeper"
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn ports(&self) -> Vec<u16> {
        let (follow, elect) = self.peers.get(self.id - 1).copied().unzip();
        [Some(self.port), follow, elect].into_iter().flatten().collect()
    }

    fn prepare(&self, home: &Home) -> Result<()> {
        let room = home.room(&self.label)?;
        fs::write(room.join("myid"), self.id.to_string())?;
        fs::write(home.path().join(format!("{}.cfg", self.label)), self.config())?;
        Ok(())
    }

    fn spawn(&self, home: &Home) -> Result<Server> {
        let log = home.path().join(format!("{}.log", self.label));
        let mut command = home.command(&self.jars.java, &log)?;
        command
            // Small and quick to start; no file of its own in the temporary directory of the system.
            .args(["-Xms16m", "-Xmx128m", "-XX:MaxMetaspaceSize=96m", "-XX:+UseSerialGC"])
            .args(["-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            // In KiB; 64 MiB by default, written anew for each snapshot.
            .arg("-Dzookeeper.preAllocSize=4096")
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(&self.jars.class_path)
            .arg(MAIN)
            .arg(home.path().join(format!("{}.cfg", self.label)));
        Server::spawn("ZooKeeper", command, log, STOP)
    }

    /// "imok" comes before it serves; its statistics come when it does. Its data directory is ours alone.
    fn answers(&self, _pid: u32) -> Option<String> {
        let statistics = ask(self.port, "srvr")?;
        let rest = statistics.strip_prefix("Zookeeper version: ")?;
        let version = rest.split(['-', ',']).next()?.to_owned();
        let ours = ask(self.port, "conf")?.contains(&format!("dataDir={}", self.data.display()));
        ours.then_some(version)
    }

    fn terms(&self, version: &str) -> String {
        format!("ZooKeeper {version} private, forceSync=yes, tickTime=200 ms")
    }

    fn path(&self) -> &Path {
        &self.jars.java
    }
}
