//! The service as a process of ours on private servers: started, asked, stopped, started again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::memory::{self, Memory};
use crate::api::Api;
use crate::once;
use crate::window::Pids;

/// Longest wait for the service to listen, or to end.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

/// What there is already. Their addresses reach the service through the environment.
#[derive(Args, Clone)]
pub struct Servers {
    /// The program `sellout`.
    #[arg(long, value_name = "PATH")]
    sellout: PathBuf,
    /// PostgreSQL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Redis; without it, what needs it is left out.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    #[command(flatten)]
    pids: once::PidArgs,
}

/// The service on them.
pub struct Stage {
    /// What it stands on.
    pub servers: Servers,
    service: Option<(Child, SocketAddr)>,
}

impl Stage {
    /// Nothing runs yet.
    pub fn new(servers: Servers) -> Result<Stage, String> {
        let program = &servers.sellout;
        program.exists().then_some(()).ok_or_else(|| format!("{} is missing", program.display()))?;
        Ok(Stage { servers, service: None })
    }

    /// Starts the service anew, with settings of its own; says how long it took until it listens.
    pub async fn start(&mut self, settings: &[&str]) -> Result<Duration, String> {
        self.stop().await?;
        let begun = Instant::now();
        let mut serve = Command::new(&self.servers.sellout);
        serve.args(["serve", "--lab", "--private-servers", "--bind", "127.0.0.1:0"]);
        serve.args(["--trace", "false"]).args(settings);
        serve
            // Redis that forgets and orders that are refused meanwhile are what is measured, and no news.
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = serve.spawn().map_err(|e| format!("the service: {e}"))?;
        let stdout = child.stdout.take();
        let address = tokio::task::spawn_blocking(move || listening(stdout)).await;
        match address.map_err(|e| e.to_string()).flatten() {
            Ok(address) => {
                self.service = Some((child, address));
                Ok(begun.elapsed())
            }
            Err(why) => {
                end(&mut child, Signal::KILL);
                Err(why)
            }
        }
    }

    /// Asks the service to end, and waits for it.
    pub async fn stop(&mut self) -> Result<Duration, String> {
        let Some((mut child, _)) = self.service.take() else { return Ok(Duration::ZERO) };
        let begun = Instant::now();
        end(&mut child, Signal::TERM);
        while begun.elapsed() < LIMIT {
            if child.try_wait().map_err(|e| e.to_string())?.is_some() {
                return Ok(begun.elapsed());
            }
            tokio::time::sleep(POLL).await;
        }
        end(&mut child, Signal::KILL);
        Err(format!("the service did not end within {} s", LIMIT.as_secs()))
    }

    /// Where it listens.
    pub fn host(&self) -> Result<SocketAddr, String> {
        self.service.as_ref().map(|(_, host)| *host).ok_or_else(|| "the service does not run".into())
    }

    /// How to ask it for more than orders.
    pub fn api(&self) -> Result<Api, String> {
        Api::new(&format!("http://{}", self.host()?))
    }

    /// Whose CPU time is told apart.
    pub fn pids(&self) -> Pids {
        let service = self.service.as_ref().map(|(child, _)| child.id());
        Pids { service, service_is_ours: true, ..self.servers.pids.into() }
    }

    /// Of the service.
    pub fn memory(&self) -> Result<Memory, String> {
        memory::of(self.pids().service.ok_or("the service does not run")?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let Some((mut child, _)) = self.service.take() else { return };
        end(&mut child, Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < LIMIT && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
        end(&mut child, Signal::KILL);
    }
}

/// Sends a signal to a child that has not been waited for, so that its pid is its own still.
fn end(child: &mut Child, signal: Signal) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ended_meanwhile = kill_process(Pid::from_child(child), signal);
        if signal == Signal::KILL {
            let _reaped = child.wait();
        }
    }
}

/// The one line that `serve` prints.
fn listening(stdout: Option<std::process::ChildStdout>) -> Result<SocketAddr, String> {
    let stdout = stdout.ok_or("the service has no stdout")?;
    let (send, line) = mpsc::channel();
    std::thread::spawn(move || {
        let mut first = String::new();
        if BufReader::new(stdout).read_line(&mut first).is_ok() {
            let _nobody_waits = send.send(first);
        }
    });
    let line = line.recv_timeout(LIMIT).map_err(|_| "the service did not start; its reason stands above")?;
    let address = line.trim().strip_prefix("listening on http://").and_then(|host| host.parse().ok());
    address.ok_or_else(|| format!("the service did not start: {line:?}"))
}
