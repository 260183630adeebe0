//! One run against a running service, for who works on a strategy: one line of JSON.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::api::Api;
use crate::limits;
use crate::outcome::{Client, Kind};
use crate::shot::{self, Cell, Ground};
use crate::window::Pids;

/// What is run.
#[derive(Args)]
pub struct Once {
    /// Where the service is (lab mode), or the bare server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    host: String,
    /// A strategy of the service, or `bare`.
    #[arg(long)]
    strategy: String,
    /// Who sends.
    #[arg(long, value_enum, default_value_t = Client::Raw)]
    client: Client,
    /// What is timed.
    #[arg(long, value_enum, default_value_t = Kind::Accepted)]
    kind: Kind,
    /// Connections, each with one order under way.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Sales that the orders are spread over.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    items: u16,
    /// Length of the window.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Warm-up before it.
    #[arg(long, default_value_t = 0.8)]
    warm_up: f64,
    /// Of the choice of sales.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    pids: PidArgs,
}

/// Processes of this machine whose CPU time is told apart.
#[derive(Args, Clone, Copy, Default)]
pub struct PidArgs {
    /// The service.
    #[arg(long)]
    service_pid: Option<u32>,
    /// PostgreSQL's first process; its children are counted with it.
    #[arg(long)]
    postgres_pid: Option<u32>,
    /// Redis.
    #[arg(long)]
    redis_pid: Option<u32>,
}

impl PidArgs {
    /// PostgreSQL's.
    pub fn postgres(&self) -> Option<u32> {
        self.postgres_pid
    }
}

impl From<PidArgs> for Pids {
    fn from(args: PidArgs) -> Pids {
        Pids {
            service: args.service_pid,
            postgres: args.postgres_pid,
            redis: args.redis_pid,
            ..Pids::default()
        }
    }
}

impl Once {
    /// Runs it.
    pub fn run(self) -> Result<ExitCode, String> {
        limits::room_for(u64::from(self.concurrency))?;
        let bare = self.strategy == "bare";
        let ground = Ground {
            host: address(&self.host)?,
            api: if bare { None } else { Some(Api::new(&self.host)?) },
            pids: self.pids.into(),
            seed: self.seed,
            warm: seconds(self.warm_up)?,
            window: seconds(self.seconds)?,
        };
        let cell = Cell {
            strategy: self.strategy,
            client: self.client,
            kind: self.kind,
            concurrency: self.concurrency.into(),
            items: self.items.into(),
        };
        let outcome = runtime()?.block_on(async {
            if let Some(api) = &ground.api {
                let cards = api.strategies().await?;
                let listed = cards.iter().any(|card| card.id == cell.strategy);
                listed.then_some(()).ok_or_else(|| format!("the service has no {}", cell.strategy))?;
            }
            Ok::<_, String>(shot::fire(&ground, &cell).await)
        })?;
        let line = serde_json::to_string(&outcome).map_err(|e| e.to_string())?;
        writeln!(std::io::stdout(), "{line}").map_err(|e| e.to_string())?;
        Ok(if outcome.stands() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// A length of time that makes sense.
pub fn seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|d| (Duration::from_millis(50)..=Duration::from_secs(600)).contains(d))
        .ok_or_else(|| format!("{seconds} seconds: from 0.05 to 600"))
}

/// `http://127.0.0.1:8080` → where to connect.
pub fn address(host: &str) -> Result<SocketAddr, String> {
    let name = host.strip_prefix("http://").ok_or("--host: give it as http://HOST:PORT")?;
    let mut found = name.trim_end_matches('/').to_socket_addrs().map_err(|e| format!("{host}: {e}"))?;
    found.next().ok_or_else(|| format!("{host}: no address"))
}

/// One thread: the client has its own, and the clock needs none.
pub fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())
}
