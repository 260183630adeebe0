//! A process of our own beside the servers: the service and the load test of the demo. Ends with us, like
//! they do, but is waited for and interrupted rather than polled for readiness.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::child::{die_with_us, spawn_on_lasting_thread};

/// How long it may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that stands beside this one: one `cargo build --workspace` makes all of them.
///
/// # Errors
/// It is not there; the sentence says how to make it.
pub fn program(name: &str, run: &str) -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name(name);
    if !beside.exists() {
        bail!("{} is missing: build it with `cargo build --workspace`, or use `{run}`", beside.display());
    }
    Ok(beside)
}

/// A child that is dropped gently.
#[derive(Debug)]
pub struct Companion {
    child: Child,
}

impl Companion {
    /// Starts it, in a process group of its own: Ctrl-C reaches us first, and we decide who ends when.
    pub fn spawn(name: &str, mut command: Command) -> Result<Companion> {
        command.process_group(0);
        die_with_us(&mut command, Signal::TERM);
        let child = spawn_on_lasting_thread(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Companion { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, once, where that is a pipe.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, once, where that is a pipe.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Asks it to end its own way.
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// Ends it the hard way: it does nothing any more.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Has it ended?
    pub fn poll(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    fn signal(&mut self, signal: Signal) {
        // Not waited for yet, so the pid is still this child's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ended_meanwhile = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                self.signal(Signal::KILL);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _reaped = self.child.wait();
    }
}
