//! One child process that ends with us: when we drop it, and also when we are killed. A test may also end
//! it the hard way.
//!
//! The kernel is asked to signal the child when its parent goes (`PR_SET_PDEATHSIG`). Its trap: the
//! "parent" is the *thread* that forked. A server started from a test thread or a blocking-pool
//! thread would be shot when that thread ends. So one thread, which lives as long as the process,
//! spawns them all.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::home::lives;

/// How often a state that nobody announces is looked at.
const POLL: Duration = Duration::from_millis(5);
/// How long the children of a killed server may take to notice.
const CHILDREN_LIMIT: Duration = Duration::from_secs(20);

/// A signal to stop with, and how long it may take to work before the next is sent.
pub(super) type Stop = &'static [(Signal, Duration)];

/// A running child. Dropping it stops it and waits until it is gone.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
    stop: Stop,
    /// Has the first stop signal been sent?
    asked: bool,
}

impl Server {
    /// Starts it. Its first stop signal is also what the kernel sends it when we are killed.
    pub(super) fn spawn(
        name: &'static str,
        mut command: Command,
        log: PathBuf,
        stop: Stop,
    ) -> Result<Server> {
        // Its own process group: Ctrl-C in a terminal reaches us alone, and we end our work before
        // we end the servers under it.
        command.process_group(0);
        if let Some(&(signal, _)) = stop.first() {
            die_with_us(&mut command, signal);
        }
        let program = command.get_program().to_owned();
        let child =
            spawn_on_lasting_thread(command).with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Server { name, child, log, stop, asked: false })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it not ended yet?
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends the first stop signal and does not wait: so that several end at the same time.
    pub(super) fn ask_to_end(&mut self) {
        if self.asked || !self.lives() {
            return;
        }
        // A test may have frozen it, and what is frozen takes no other signal but SIGKILL.
        let _ended_meanwhile = kill_process(Pid::from_child(&self.child), Signal::CONT);
        if let Some(&(signal, _)) = self.stop.first() {
            let _ended_meanwhile = kill_process(Pid::from_child(&self.child), signal);
        }
        self.asked = true;
    }

    /// `kill -9`; returns when it and its children (the sessions of a PostgreSQL) are gone.
    pub(super) fn crash(mut self) -> Result<()> {
        let children = children_of(self.pid());
        self.child.kill()?;
        self.child.wait()?;
        let deadline = Instant::now() + CHILDREN_LIMIT;
        while children.iter().any(|&pid| lives(pid)) {
            if Instant::now() >= deadline {
                bail!("{} was killed, and some of its children did not end: {children:?}", self.name);
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Polls until `ready` has an answer, or the child ended by itself (`None`).
    pub(super) fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut(&Server) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + limit;
        loop {
            if self.child.try_wait()?.is_some() {
                return Ok(None);
            }
            if let Some(answer) = ready(self) {
                return Ok(Some(answer));
            }
            if Instant::now() >= deadline {
                bail!("{} was not ready after {limit:?}; its log ends:\n{}", self.name, self.log_tail());
            }
            thread::sleep(POLL);
        }
    }

    /// Waits, within a limit, for a child that ends by itself.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match self.wait_for(limit, |_| None::<()>) {
            Ok(_ended) => Ok(self.child.wait()?),
            Err(error) => Err(error),
        }
    }

    /// The whole log as text, empty if it cannot be read.
    pub(super) fn log(&self) -> String {
        fs::read(&self.log).map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into())
    }

    /// The last lines of its log: what to show when it failed.
    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ask_to_end();
        for (at, &(signal, patience)) in self.stop.iter().enumerate() {
            // Not ended and not waited for, so that the pid is still this child's and no other's.
            if !self.lives() {
                return;
            }
            if at > 0 {
                let _ended_meanwhile = kill_process(Pid::from_child(&self.child), signal);
            }
            let deadline = Instant::now() + patience;
            while Instant::now() < deadline {
                if !self.lives() {
                    return;
                }
                thread::sleep(POLL);
            }
        }
        let _ended_meanwhile = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The children of a process, where the kernel lists them.
fn children_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Asks the kernel to send `signal` to the child when the thread that spawned it ends.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "pre_exec is the only place where a child can ask for this")]
pub(super) fn die_with_us(command: &mut Command, signal: Signal) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let us = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(signal))?;
        // Killed between fork and the line above: then nobody would send that signal any more.
        if getppid() != Some(us) {
            return Err(io::Error::from(rustix::io::Errno::SRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are two bare
    // system calls, and neither they nor the error allocate. It runs after std has changed the user,
    // which would have cleared the request.
    unsafe { command.pre_exec(ask) };
}

/// Elsewhere there is no such request: after `kill -9` the servers stay.
#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_us(_command: &mut Command, _signal: Signal) {}

/// A command to spawn, and where to send what came of it.
type Order = (Command, Sender<io::Result<Child>>);

/// Spawns from the one thread that does not end before the process does.
pub(super) fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, queue) = channel::<Order>();
        let work = move || {
            for (mut command, reply) in queue {
                let _asker_is_gone = reply.send(command.spawn());
            }
        };
        // If it cannot start, the queue is dropped and every order below fails with that.
        let _detached = thread::Builder::new().name("services".into()).spawn(work);
        orders
    });
    let gone = || io::Error::other("the thread that starts servers could not be started");
    let (reply, answer) = channel();
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
