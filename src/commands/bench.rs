//! `sellout bench`: round after round, each on private servers that nobody has used before, with a service,
//! one without the sold-out flag, a bare server and the client as processes of their own, so that their CPU
//! time is told apart. `sellout-bench` measures and reports; this only builds the stage and clears it away.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::beside::{listening, only_these_servers, program};
use super::growth::{Growth, Told};
use crate::services::{Companion, Services, Wanted, Which};

/// How often the client is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Rounds, unless told otherwise.
const ROUNDS: u32 = 5;
const ROUNDS_QUICK: u32 = 3;
/// Minutes, unless told otherwise.
const MINUTES_QUICK: &str = "5";

#[derive(Args)]
pub(super) struct Bench {
    /// Fewer contestants, shorter windows: five minutes instead of an hour.
    #[arg(long)]
    quick: bool,
    /// Cost as the work grows instead: with the sales that are open, the orders in the ledger, the buyers who
    /// wait; 25 minutes, --quick: 5.
    #[arg(long, conflicts_with_all = ["strategies", "rounds", "warm_up", "concurrency", "minutes"])]
    growth: bool,
    #[command(flatten)]
    grown: Growth,
    /// Contestants, with commas; `bare` and `noop` are names too.
    #[arg(long, value_name = "LIST")]
    strategies: Option<String>,
    /// Rounds, each with every contestant [5; quick: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Seconds of a timed run [5, or what the time allows].
    #[arg(long, value_name = "S")]
    seconds: Option<String>,
    /// Seconds of warm-up before each [0.8].
    #[arg(long, value_name = "S")]
    warm_up: Option<String>,
    /// Connections, with commas [16,64,256,1024].
    #[arg(long, value_name = "LIST")]
    concurrency: Option<String>,
    /// What all of it may take [60; quick: 5].
    #[arg(long, value_name = "N")]
    minutes: Option<String>,
    /// Seed of the choice of items [1].
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// Write everything that was measured as JSON.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write the tables as Markdown.
    #[arg(long, value_name = "PATH")]
    markdown: Option<PathBuf>,
    /// Write the plots as SVG files there.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

/// What one round is played on. Dropped in this order: no server goes before those who use it.
struct Stage {
    bare: (Companion, String),
    no_flag: (Companion, String),
    service: (Companion, String),
    services: Services,
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        if self.growth {
            return self.grown.run(&self.told());
        }
        let tool = program("sellout-bench", "./run bench")?;
        let folder = tempfile::tempdir()?;
        let mut kept = Vec::new();
        let rounds = self.rounds.unwrap_or(if self.quick { ROUNDS_QUICK } else { ROUNDS });
        for round in 1..=rounds {
            let stage = Stage::set(&tool, round == 1)?;
            let file = folder.path().join(format!("round-{round}.json"));
            let command = self.round(&tool, &stage, (round, rounds), &file);
            let code = super::runtime()?.block_on(stage.play(command))?;
            match code {
                0 => kept.push(file),
                // What was measured before is still worth its table.
                130 if !kept.is_empty() => break,
                code => return Ok(code),
            }
        }
        self.report(&tool, &kept)
    }

    fn round(&self, tool: &Path, stage: &Stage, (round, rounds): (u32, u32), out: &Path) -> Command {
        let mut command = Command::new(tool);
        command.arg("round").args(["--round", &round.to_string(), "--rounds", &rounds.to_string()]);
        if self.quick {
            command.arg("--quick");
        }
        let minutes = self.minutes.as_deref().or(self.quick.then_some(MINUTES_QUICK));
        let given = [
            ("--strategies", self.strategies.as_deref()),
            ("--seconds", self.seconds.as_deref()),
            ("--warm-up", self.warm_up.as_deref()),
            ("--concurrency", self.concurrency.as_deref()),
            ("--minutes", minutes),
            ("--seed", self.seed.as_deref()),
        ];
        for (name, value) in given {
            command.args(value.into_iter().flat_map(|value| [name, value]));
        }
        stage.describe(&mut command);
        command.arg("--out").arg(out).stdin(Stdio::null());
        command
    }

    /// What it was told that growth must know too.
    fn told(&self) -> Told<'_> {
        let (seconds, seed) = (self.seconds.as_deref(), self.seed.as_deref());
        Told { quick: self.quick, seconds, seed, report: self.shown() }
    }

    /// Where the report goes.
    fn shown(&self) -> Vec<(&'static str, &Path)> {
        let all = [("--json", &self.json), ("--markdown", &self.markdown), ("--plots", &self.plots)];
        all.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?))).collect()
    }

    fn report(&self, tool: &Path, kept: &[PathBuf]) -> anyhow::Result<u8> {
        let mut command = Command::new(tool);
        command.arg("report").args(kept).stdin(Stdio::null());
        for (name, path) in self.shown() {
            command.arg(name).arg(path);
        }
        let status = command.status().with_context(|| format!("cannot run {}", tool.display()))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(super::ENVIRONMENT))
    }
}

impl Stage {
    /// Fresh servers with durability on, and the processes on them.
    fn set(tool: &Path, first: bool) -> anyhow::Result<Stage> {
        let services = Services::start(Wanted { postgres: true, redis: true, ..Wanted::NONE })?;
        if first {
            services.describe().iter().for_each(|line| eprintln!("{line}"));
        }
        let service = serve(&services, "true")?;
        let no_flag = serve(&services, "false")?;
        let mut bare = Command::new(tool);
        bare.arg("bare").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut bare = Companion::spawn("the bare server", bare)?;
        let address = listening(&mut bare)?;
        Ok(Stage { bare: (bare, address), no_flag, service, services })
    }

    /// Where everything is, and whose CPU time is whose.
    fn describe(&self, command: &mut Command) {
        let pid = |which| self.services.pid(which).map(|pid| pid.to_string());
        let all = [
            ("--host", Some(format!("http://{}", self.service.1))),
            ("--service-pid", Some(self.service.0.pid().to_string())),
            ("--no-flag-host", Some(format!("http://{}", self.no_flag.1))),
            ("--no-flag-pid", Some(self.no_flag.0.pid().to_string())),
            ("--bare-host", Some(format!("http://{}", self.bare.1))),
            ("--bare-pid", Some(self.bare.0.pid().to_string())),
            ("--postgres-pid", pid(Which::Postgres)),
            ("--redis-pid", pid(Which::Redis)),
            ("--database-url", self.services.database_url().map(str::to_owned)),
        ];
        for (name, value) in all {
            command.args(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        }
    }

    /// Until the round is over. Ctrl-C ends it at once: a round that was cut off is not counted.
    async fn play(mut self, command: Command) -> anyhow::Result<u8> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut client = Companion::spawn("sellout-bench", command)?;
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(130),
                _ = terminate.recv() => return Ok(130),
                () = tokio::time::sleep(POLL) => {}
            }
            if let Some(status) = client.poll()? {
                return Ok(status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(super::ENVIRONMENT));
            }
            for (name, (process, _)) in [
                ("the service", &mut self.service),
                ("the service without the flag", &mut self.no_flag),
                ("the bare server", &mut self.bare),
            ] {
                if let Some(status) = process.poll()? {
                    bail!("{name} ended under the bench: {status}");
                }
            }
        }
    }
}

/// Our own `serve` on the private servers, limits as they are by default.
fn serve(services: &Services, sold_out_flag: &str) -> anyhow::Result<(Companion, String)> {
    let mut serve = Command::new(std::env::current_exe()?);
    only_these_servers(&mut serve, services);
    serve.args(["serve", "--lab", "--private-servers", "--bind", "127.0.0.1:0"]);
    serve.args(["--sold-out-flag", sold_out_flag, "--trace", "false"]);
    // That it drains at the end of each round is no news.
    serve.env("RUST_LOG", "warn,sqlx::postgres::notice=error");
    serve.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut service = Companion::spawn("the service", serve)?;
    let address = listening(&mut service)?;
    Ok((service, address))
}
