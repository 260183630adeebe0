//! Cost as the work grows: with the sales that are open, with the orders in the ledger, with the buyers who
//! wait. `./run bench --growth` runs each part on private servers that nobody has used before.
//!
//! Road: [`options`] → a part ([`sales`], [`orders`] → [`rebuild`], [`overload`]) → [`report`] → [`table`],
//! [`pictures`], with [`bends`] for what grew by more than half. A part starts and restarts the service on a
//! [`stage`]; what it loads with is a [`volley`] or a [`fill`]; [`servers`] asks PostgreSQL and Redis what
//! they keep, and [`memory`] the kernel what the service has.

mod bends;
mod fill;
mod memory;
mod options;
mod orders;
mod overload;
mod pictures;
mod rebuild;
mod report;
mod sales;
mod servers;
mod show;
mod stage;
mod table;
mod volley;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::once;
use options::Options;
use report::Part;
pub use show::Show;
use stage::Stage;

/// What is run where.
#[derive(Args)]
pub struct Growth {
    /// What grows.
    #[arg(long, value_enum)]
    part: Grows,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    servers: stage::Servers,
    /// Where to keep it.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// What grows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Grows {
    /// The sales that are open.
    Sales,
    /// The orders in the ledger.
    Orders,
    /// The buyers who wait, and those for whom there is no room.
    Overload,
}

/// A part that is being run.
pub struct Run {
    stage: Stage,
    options: Options,
    part: Part,
    out: PathBuf,
    begun: Instant,
    /// Of the work, in seconds that were expected for it: all, and what is done.
    work: (f64, f64),
}

impl Growth {
    /// Runs it. A signal ends the service with us.
    pub fn run(self) -> Result<ExitCode, String> {
        once::runtime()?.block_on(async {
            let heard = |kind| signal(kind).map_err(|e| e.to_string());
            let (mut interrupt, mut terminate) =
                (heard(SignalKind::interrupt())?, heard(SignalKind::terminate())?);
            tokio::select! {
                done = self.all() => done.map(|()| ExitCode::SUCCESS),
                _ = interrupt.recv() => Ok(ExitCode::from(130)),
                _ = terminate.recv() => Ok(ExitCode::from(130)),
            }
        })
    }

    async fn all(self) -> Result<(), String> {
        self.options.room()?;
        let mut stage = Stage::new(self.servers)?;
        stage.start(&[]).await?;
        let part = Part {
            started_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            environment: stage.api()?.environment().await?,
            schema_version: report::SCHEMA_VERSION,
            options: self.options.clone(),
            ..Part::default()
        };
        let work = (self.options.work(self.part), 0.0);
        let (options, out, begun) = (self.options, self.out, Instant::now());
        let mut run = Run { stage, options, part, out, begun, work };
        match self.part {
            Grows::Sales => sales::grow(&mut run).await,
            Grows::Orders => orders::grow(&mut run).await,
            Grows::Overload => overload::grow(&mut run).await,
        }
    }
}

impl Run {
    /// Says how far it is, and keeps what there is, so that it is there whatever ends us.
    fn step(&mut self, work: f64, words: &str) -> Result<(), String> {
        self.work.1 += work;
        let left = self.begun.elapsed().as_secs_f64() / self.work.1 * (self.work.0 - self.work.1).max(0.0);
        eprintln!("{words}; {:.1} min left of this part", left / 60.0);
        let text = serde_json::to_string(&self.part).map_err(|e| e.to_string())?;
        std::fs::write(&self.out, text).map_err(|e| format!("{}: {e}", self.out.display()))
    }
}
