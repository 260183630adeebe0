//! A private PostgreSQL: found, initialised, started, known to be ready without a client.
//!
//! Durability is PostgreSQL's default and stated all the same: these are the settings that the
//! measured numbers stand on, and they must not depend on the installed configuration sample.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::child::{Server, Stop};
use super::home::{self, Home};
use super::node::Program;

/// SIGINT ends sessions and writes a checkpoint; SIGQUIT writes nothing; then SIGKILL. Never
/// SIGTERM: it waits for clients to leave.
const STOP: Stop = &[(Signal::INT, Duration::from_secs(10)), (Signal::QUIT, Duration::from_secs(5))];
/// `initdb` removes what it made so far.
const STOP_TOOL: Stop = &[(Signal::TERM, Duration::from_secs(5))];
/// Far beyond the second that `initdb` takes: a limit against hanging, not a measure.
const INITDB_LIMIT: Duration = Duration::from_secs(120);
/// Of its files.
const ROOM: &str = "postgres";
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "shared_buffers=128MB",
    "logging_collector=off",
    "log_destination=stderr",
];
/// What a unix socket address can hold, with its ending zero.
const SOCKET_PATH_MAX: usize = 108;

/// How a PostgreSQL is started.
#[derive(Debug)]
pub(super) struct Postgres {
    bin: PathBuf,
    version: String,
    room: PathBuf,
    port: u16,
    url: String,
}

impl Postgres {
    pub(super) fn new(home: &Path, installed: &Installed, port: u16) -> Postgres {
        let url = format!("postgres://postgres@{}:{port}/postgres", Ipv4Addr::LOCALHOST);
        let Installed { bin, version } = installed.clone();
        Postgres { bin, version, room: home.join(ROOM), port, url }
    }

    fn data(&self) -> PathBuf {
        self.room.join("data")
    }
}

impl Program for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn address(&self) -> &str {
        &self.url
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.port]
    }

    fn prepare(&self, home: &Home) -> Result<()> {
        home.room(ROOM)?;
        initdb(home, &self.bin, &self.data())
    }

    fn spawn(&self, home: &Home) -> Result<Server> {
        let log = home.path().join("postgres.log");
        let mut command = home.command(&self.bin.join("postgres"), &log)?;
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let sockets = sockets(&self.room, self.port);
        command.args(["-c", &format!("unix_socket_directories={sockets}")]);
        Server::spawn("PostgreSQL", command, log, STOP)
    }

    fn answers(&self, pid: u32) -> Option<String> {
        says_ready(&self.data(), pid).then(|| self.version.clone())
    }

    fn terms(&self, version: &str) -> String {
        format!("PostgreSQL {version} private, fsync=on, synchronous_commit=on")
    }

    fn path(&self) -> &Path {
        &self.bin
    }
}

/// The programs that were found.
#[derive(Debug, Clone)]
pub(super) struct Installed {
    bin: PathBuf,
    version: String,
}

impl Installed {
    /// Looks for them, and asks the server its version.
    pub(super) fn find(home: &Home) -> Result<Installed> {
        let bin = find()?;
        let version = version(home, &bin)?;
        Ok(Installed { bin, version })
    }
}

/// The directory with both `initdb` and `postgres` in it: named by hand, reached from `PATH`, or
/// where Debian keeps them. `PATH` may hold links to some of the tools only, of any version, so a
/// link is followed and the two are taken from one place.
fn find() -> Result<PathBuf> {
    let complete = |dir: &Path| ["initdb", "postgres"].iter().all(|tool| dir.join(tool).is_file());
    if let Some(dir) = home::named_by("SELLOUT_PG_BIN")? {
        ensure!(complete(&dir), "SELLOUT_PG_BIN={} lacks initdb or postgres", dir.display());
        return Ok(dir);
    }
    let linked = |dir: PathBuf| Some(dir.join("initdb").canonicalize().ok()?.parent()?.to_owned());
    if let Some(dir) = home::search_path().into_iter().filter_map(linked).find(|dir| complete(dir)) {
        return Ok(dir);
    }
    let mut installed: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|dir| Some((dir.file_name().to_str()?.parse().ok()?, dir.path().join("bin"))))
        .filter(|(_, bin)| complete(bin))
        .collect();
    installed.sort();
    installed.pop().map(|(_, bin)| bin).context(
        "no PostgreSQL server programs (initdb and postgres) in PATH or /usr/lib/postgresql:\n  \
         sudo apt-get install --no-install-recommends postgresql\n\
         or set SELLOUT_PG_BIN to their directory, or DATABASE_URL to a server of your own",
    )
}

/// Makes the cluster.
fn initdb(home: &Home, bin: &Path, data: &Path) -> Result<()> {
    let log = home.path().join("initdb.log");
    let mut command = home.command(&bin.join("initdb"), &log)?;
    command
        .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"])
        // It is thrown away after a crash of the machine: syncing the template would buy nothing.
        .args(["--no-sync", "--no-instructions", "-D"])
        .arg(data);
    let mut initdb = Server::spawn("initdb", command, log, STOP_TOOL)?;
    let status = initdb.wait(INITDB_LIMIT)?;
    if !status.success() {
        bail!("initdb failed ({status}):\n{}", initdb.log_tail());
    }
    Ok(())
}

/// The number in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version(home: &Home, bin: &Path) -> Result<String> {
    let log = home.path().join("version.log");
    let mut command = home.command(&bin.join("postgres"), &log)?;
    command.arg("--version");
    let mut asked = Server::spawn("postgres --version", command, log, STOP_TOOL)?;
    asked.wait(INITDB_LIMIT)?;
    let log = asked.log();
    let version = log.split_once("(PostgreSQL) ").and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(version.unwrap_or("of unknown version").to_owned())
}

/// The directory for the unix socket, or none where its path would be too long (a deep `TMPDIR`):
/// the socket is a convenience for `psql`, the URL uses TCP. The same where the path would need
/// quoting in a list.
fn sockets(room: &Path, port: u16) -> String {
    let room = room.to_str().unwrap_or_default();
    let plain = !room.contains([',', '"', ' ']);
    let fits = format!("{room}/.s.PGSQL.{port}").len() < SOCKET_PATH_MAX;
    if plain && fits { room.to_owned() } else { String::new() }
}

/// Line 1 of `postmaster.pid` is the pid, line 8 the state, padded with spaces. The pid tells this
/// start's file from one that an earlier attempt left behind.
fn says_ready(data: &Path, pid: u32) -> bool {
    let file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = file.lines();
    let ours = lines.next().is_some_and(|line| line.trim() == pid.to_string());
    ours && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}
