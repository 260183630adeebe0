//! The service as a process of its own, to be killed and started again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Api, eventually, servers};

pub struct Process {
    pub api: Api,
    child: Child,
    _runs: tempfile::TempDir,
}

impl Process {
    /// `sellout serve --lab` on this database.
    pub fn start(database_url: &str) -> Process {
        Process::with(database_url, &[])
    }

    /// The same with these settings. The database may be named by a relay.
    pub fn with(database_url: &str, settings: &[&str]) -> Process {
        Process::between(database_url, &servers().redis_url, settings)
    }

    /// The same on this Redis.
    pub fn between(database_url: &str, redis_url: &str, settings: &[&str]) -> Process {
        let runs = tempfile::tempdir().expect("temporary directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sellout"))
            .args(["serve", "--lab", "--bind", "127.0.0.1:0", "--runs-dir"])
            .arg(runs.path())
            .args(settings)
            .env("DATABASE_URL", database_url)
            .envs(servers().environment())
            .env("REDIS_URL", redis_url)
            .stdout(Stdio::piped())
            .spawn()
            .expect("sellout serve");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its stdout");
        BufReader::new(stdout).read_line(&mut line).expect("its address");
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
        Process { api: Api::at(url.to_owned()), child, _runs: runs }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGSTOP, until it stands: it does nothing, and does not know.
    pub async fn stop(&self) {
        self.signal(Signal::STOP);
        stands(self.child.id()).await;
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal to our own child");
    }

    /// Waits until it has ended by itself; says whether with 0.
    pub async fn ends(&mut self) -> bool {
        let mut has_ended = || std::future::ready(self.child.try_wait().expect("its status").is_some());
        eventually("the service ends", &mut has_ended).await;
        self.child.wait().is_ok_and(|status| status.success())
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("reap");
    }
}

/// Waits until a process that was told to stop stands.
pub async fn stands(pid: u32) {
    eventually("the process stands", async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its state");
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    })
    .await;
}

/// The children of a process.
pub fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let of =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks
        .flat_map(|t| {
            of(t.expect("a thread")).split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
