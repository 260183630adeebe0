//! One round: every contestant once, on servers that nobody has used before, kept as a file of raw runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use sellout::wire::Environment;
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::insert_limit;
use crate::limits;
use crate::once::{self, PidArgs};
use crate::outcome::{Client, Kind, Outcome};
use crate::plan::{FLAG, Options, Plan};
use crate::shot::{self, Cell, Ground};
use crate::window::Pids;

/// Longest wait for PostgreSQL to be idle between two runs.
const REST_LIMIT: Duration = Duration::from_secs(3);
/// How long it must have been.
const REST_STEP: Duration = Duration::from_millis(200);
/// Less than this share of a core is idle.
const IDLE: f64 = 0.1;

/// What a round is told.
#[derive(Args)]
pub struct Round {
    #[command(flatten)]
    options: Options,
    /// Which round, from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    round: u32,
    /// The service.
    #[arg(long)]
    host: String,
    /// One without the sold-out flag, on the same servers.
    #[arg(long)]
    no_flag_host: Option<String>,
    /// Its process.
    #[arg(long)]
    no_flag_pid: Option<u32>,
    /// The bare server.
    #[arg(long)]
    bare_host: Option<String>,
    /// Its process.
    #[arg(long)]
    bare_pid: Option<u32>,
    #[command(flatten)]
    pids: PidArgs,
    /// PostgreSQL, to measure what it can insert at all; only the batch endpoint is held against it.
    #[arg(long)]
    database_url: Option<String>,
    /// Where to keep the runs.
    #[arg(long)]
    out: PathBuf,
}

/// A round as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// When it began.
    pub started_at: String,
    /// Where.
    pub environment: Environment,
    /// What was meant to be run.
    pub plan: Plan,
    /// Who was not, and why.
    pub left_out: Vec<String>,
    /// Rows per second, a thousand per statement, no order around them.
    pub insert_limit: Option<f64>,
    /// What was.
    pub outcomes: Vec<Outcome>,
}

impl Round {
    /// Runs it.
    pub fn run(self) -> Result<ExitCode, String> {
        once::runtime()?.block_on(self.all()).map(|()| ExitCode::SUCCESS)
    }

    async fn all(&self) -> Result<(), String> {
        let api = Api::new(&self.host)?;
        let listed: Vec<String> = api.strategies().await?.into_iter().map(|card| card.id).collect();
        let cells: Vec<Cell> =
            self.options.cells(&listed, self.round).into_iter().filter(|cell| self.has(cell)).collect();
        let plan = self.options.plan(&listed)?;
        limits::room_for(cells.iter().map(|cell| cell.concurrency as u64).max().unwrap_or(0))?;
        let mut left_out = self.options.left_out(&listed);
        let batches = cells.iter().any(|cell| cell.client == Client::Batch);
        let insert_limit = if batches { self.insert_limit(&mut left_out) } else { None };
        self.announce(&plan, &left_out);
        let mut kept = Kept {
            started_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            environment: api.environment().await?,
            plan,
            left_out,
            insert_limit,
            outcomes: Vec::new(),
        };
        let begun = Instant::now();
        for (at, cell) in cells.iter().enumerate() {
            self.rest().await;
            let ground = self.ground(cell, &kept.plan)?;
            let outcome = Outcome { round: self.round, ..shot::fire(&ground, cell).await };
            self.progress(at + 1, cells.len(), &outcome, begun);
            kept.outcomes.push(outcome);
            // After each run, so that what was measured is there whatever ends us.
            self.keep(&kept)?;
        }
        Ok(())
    }

    fn insert_limit(&self, left_out: &mut Vec<String>) -> Option<f64> {
        let folder = self.out.parent().unwrap_or(Path::new("."));
        match insert_limit::measure(self.database_url.as_deref()?, folder) {
            Ok(rows) => Some(rows),
            Err(why) => {
                left_out.push(format!("the limit of bare inserts: {why}"));
                None
            }
        }
    }

    /// Is there a server for it?
    fn has(&self, cell: &Cell) -> bool {
        match (cell.strategy.as_str(), cell.kind) {
            ("bare", _) => self.bare_host.is_some(),
            (FLAG, _) => true,
            (_, Kind::Rejected) => self.no_flag_host.is_some(),
            _ => true,
        }
    }

    fn ground(&self, cell: &Cell, plan: &Plan) -> Result<Ground, String> {
        let servers: Pids = self.pids.into();
        let (host, pids) = match (cell.strategy.as_str(), cell.kind) {
            ("bare", _) => (&self.bare_host, Pids { service: self.bare_pid, ..Pids::default() }),
            (name, Kind::Rejected) if name != FLAG => {
                (&self.no_flag_host, Pids { service: self.no_flag_pid, ..servers })
            }
            _ => (&None, servers),
        };
        let host = host.as_deref().unwrap_or(&self.host);
        Ok(Ground {
            host: once::address(host)?,
            api: if cell.strategy == "bare" { None } else { Some(Api::new(host)?) },
            pids,
            seed: plan.seed,
            warm: once::seconds(plan.warm_up_seconds)?,
            window: once::seconds(plan.seconds)?,
        })
    }

    /// What the run before has left PostgreSQL to do (a checkpoint, a vacuum) is not the next one's cost.
    async fn rest(&self) {
        let Some(pid) = self.pids.postgres() else { return };
        let until = Instant::now() + REST_LIMIT;
        let mut before = crate::cpu::tree_us(pid);
        while Instant::now() < until {
            tokio::time::sleep(REST_STEP).await;
            let now = crate::cpu::tree_us(pid);
            let worked = before.zip(now).map_or(0.0, |(before, now)| now - before);
            if worked < IDLE * REST_STEP.as_micros() as f64 {
                return;
            }
            before = now;
        }
    }

    fn announce(&self, plan: &Plan, left_out: &[String]) {
        if self.round > 1 {
            return;
        }
        left_out.iter().for_each(|line| eprintln!("{line}"));
        eprintln!(
            "{} rounds of {} runs, {:.1} s each after {:.1} s of warm-up: about {:.0} minutes, seed {}",
            plan.rounds, plan.runs, plan.seconds, plan.warm_up_seconds, plan.minutes, plan.seed
        );
    }

    fn progress(&self, done: usize, runs: usize, outcome: &Outcome, begun: Instant) {
        let each = begun.elapsed().as_secs_f64() / done as f64;
        let rounds = self.options.rounds.saturating_sub(self.round) as usize;
        let left = each * ((runs - done) + rounds * runs) as f64 / 60.0;
        let said = match (outcome.per_s, outcome.verdict) {
            (Some(rate), _) => format!("{rate:.0}/s"),
            (None, Some(verdict)) => format!("{}: {}", verdict.word(), outcome.reason),
            (None, None) => "no answer".into(),
        };
        let Outcome { strategy, kind, client, concurrency, items, .. } = outcome;
        eprintln!(
            "round {}/{}, {done}/{runs}: {strategy} {kind} {client} {concurrency}×{items}: {said}; \
             {left:.0} min left",
            self.round,
            self.options.rounds,
            kind = kind.name(),
            client = client.name(),
        );
    }

    fn keep(&self, kept: &Kept) -> Result<(), String> {
        let text = serde_json::to_string(kept).map_err(|e| e.to_string())?;
        std::fs::write(&self.out, text).map_err(|e| format!("{}: {e}", self.out.display()))
    }
}
