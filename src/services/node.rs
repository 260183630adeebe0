//! What all servers have in common: they are started together, on another port if one was taken meanwhile,
//! known by their own answer to be ready, and may be killed and brought back on the same port.

use std::collections::hash_map::RandomState;
use std::fmt::Debug;
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::child::Server;
use super::home::Home;

/// A limit against hanging, not a measure.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long a port that another process took meanwhile may keep a server from coming back.
const PORT_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Below the ports that Linux gives to outgoing connections (32768 on): one of those may take the port of a
/// server that is down just now, or, trying to reach it, even connect to itself.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// How one server is started and known to answer.
pub(super) trait Program: Debug + Send + Sync {
    /// Its name for people.
    fn name(&self) -> &'static str;

    /// Where it is reached.
    fn address(&self) -> &str;

    /// The ports that it binds on loopback, the one of its address first.
    fn ports(&self) -> Vec<u16>;

    /// Makes its files, anew and empty.
    fn prepare(&self, home: &Home) -> Result<()>;

    /// Starts the process.
    fn spawn(&self, home: &Home) -> Result<Server>;

    /// Its version, once it answers; and only if it is this process that does, not another one that was
    /// quicker to take the port.
    fn answers(&self, pid: u32) -> Option<String>;

    /// What its answers stand on: version and durability.
    fn terms(&self, version: &str) -> String;

    /// The program.
    fn path(&self) -> &Path;

    /// Why it must not come back with empty files, if so.
    fn needs_its_data(&self) -> Option<&'static str> {
        None
    }
}

/// One server: how it is started, and its process while it runs.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) program: Box<dyn Program>,
    version: String,
    server: Option<Server>,
}

/// Hands out loopback ports to try.
pub(super) type Ports<'a> = &'a mut dyn FnMut() -> io::Result<u16>;

/// Which servers to start together (an ensemble knows its members' ports), for the ports handed out.
type Plan = Box<dyn Fn(Ports<'_>) -> Result<Vec<Box<dyn Program>>>>;

/// Servers on their way: begun one after the other, waited for together.
pub(super) struct Starting {
    plan: Plan,
    nodes: Vec<Node>,
}

impl Starting {
    /// Spawns them and does not wait.
    pub(super) fn begin(home: &Home, ports: Ports<'_>, plan: Plan) -> Result<Starting> {
        let nodes = spawn_all(home, ports, &plan)?;
        Ok(Starting { plan, nodes })
    }

    /// Waits until all of them answer.
    pub(super) fn finish(mut self, home: &Home, ports: Ports<'_>) -> Result<Vec<Node>> {
        for _ in 0..5 {
            if all_answer(&mut self.nodes)? {
                return Ok(self.nodes);
            }
            // Ended before their files are made anew.
            self.nodes.clear();
            self.nodes = spawn_all(home, ports, &self.plan)?;
        }
        let name = self.nodes.first().map_or("a server", |node| node.program.name());
        bail!("{name} found each of five free ports taken when it came to bind it")
    }
}

fn spawn_all(home: &Home, ports: Ports<'_>, plan: &Plan) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for program in plan(ports)? {
        program.prepare(home)?;
        let server = Some(program.spawn(home)?);
        nodes.push(Node { program, version: String::new(), server });
    }
    Ok(nodes)
}

fn all_answer(nodes: &mut [Node]) -> Result<bool> {
    for node in nodes {
        if !node.wait()? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Node {
    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid)
    }

    /// What to print beside a measured number.
    pub(super) fn terms(&self) -> String {
        self.program.terms(&self.version)
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        let port = self.program.ports().first().copied().unwrap_or_default();
        let pid = self.pid().map_or("not running".to_owned(), |pid| format!("pid {pid}"));
        format!("  127.0.0.1:{port}, {pid}, {}", self.program.path().display())
    }

    /// Sends the first stop signal and does not wait.
    pub(super) fn ask_to_end(&mut self) {
        if let Some(server) = &mut self.server {
            server.ask_to_end();
        }
    }

    /// `kill -9`, until it is gone.
    pub(super) fn crash(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), Server::crash)
    }

    /// Starts it again on its ports. Does not wait for an answer that cannot come yet.
    pub(super) fn revive(&mut self, home: &Home, empty: bool, wait: bool) -> Result<()> {
        let name = self.program.name();
        ensure!(!self.lives(), "{name} is running: crash it first");
        self.crash()?;
        if empty {
            if let Some(why) = self.program.needs_its_data() {
                bail!("{why}");
            }
            self.program.prepare(home)?;
        }
        let deadline = Instant::now() + PORT_LIMIT;
        loop {
            self.server = Some(self.program.spawn(home)?);
            if !wait || self.wait()? {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{name}: another process keeps its port");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Does its process run?
    pub(super) fn lives(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::lives)
    }

    /// Waits until it answers; `false` if it ended because another process has its port.
    fn wait(&mut self) -> Result<bool> {
        let Some(server) = &mut self.server else { return Ok(false) };
        let program = &self.program;
        if let Some(version) = server.wait_for(READY_LIMIT, |server| program.answers(server.pid()))? {
            self.version = version;
            return Ok(true);
        }
        // PostgreSQL, Redis, Java and Go use the same words, after their own fashion of capitals.
        let said = server.log().contains("ddress already in use");
        if said || program.ports().into_iter().any(is_taken) {
            return Ok(false);
        }
        bail!("{} did not start; its log ends:\n{}", program.name(), server.log_tail())
    }
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

/// A port that is free just now. Another process may take it before the server binds it, hence the retries
/// above; only a server told to pick its own port could do better, and PostgreSQL cannot.
pub(super) fn free_port() -> io::Result<u16> {
    let span = u64::from(PORTS.end - PORTS.start);
    for _ in 0..100 {
        // Keys of a new hasher are the randomness of the standard library.
        let offset = RandomState::new().hash_one(std::process::id()) % span;
        let port = PORTS.start + u16::try_from(offset).unwrap_or_default();
        if !is_taken(port) {
            return Ok(port);
        }
    }
    // Crowded: whatever the kernel has.
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Asks by hand, without a client library: what the server says until it closes the connection.
pub(super) fn ask(port: u16, question: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut connection = TcpStream::connect_timeout(&address, ANSWER_LIMIT).ok()?;
    connection.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    connection.write_all(question.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.take(64 * 1024).read_to_string(&mut answer).ok()?;
    Some(answer)
}
