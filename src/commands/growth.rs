//! `sellout bench --growth`: cost as the work grows, each part on servers that nobody has used before.
//! `sellout-bench growth` starts and restarts the service itself, because that is part of what it measures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::beside::{only_these_servers, program};
use crate::services::{Companion, Services, Wanted, Which};

/// How often the client is looked at.
const POLL: Duration = Duration::from_millis(50);
const PARTS: [&str; 3] = ["sales", "orders", "overload"];

/// How far everything is grown.
#[derive(Args)]
pub(super) struct Growth {
    /// With --growth: sales that are open at the end [10000; quick: 1000].
    #[arg(long, value_name = "N", requires = "growth")]
    sales_max: Option<String>,
    /// With --growth: orders that are filled into the ledger [10000000; quick: 300000].
    #[arg(long, value_name = "N", requires = "growth")]
    orders_max: Option<String>,
    /// With --growth: connections of a crowd; an overload has ten times as many [256].
    #[arg(long, value_name = "N", requires = "growth")]
    connections: Option<String>,
    /// With --growth: sales, orders, overload, with commas [all].
    #[arg(long, value_name = "LIST", requires = "growth", value_delimiter = ',')]
    parts: Vec<String>,
}

/// What the bench was told besides.
pub(super) struct Told<'a> {
    pub(super) quick: bool,
    pub(super) seconds: Option<&'a str>,
    pub(super) seed: Option<&'a str>,
    /// Where the report goes: `--json` and the like.
    pub(super) report: Vec<(&'static str, &'a Path)>,
}

impl Growth {
    pub(super) fn run(&self, told: &Told<'_>) -> anyhow::Result<u8> {
        let tool = program("sellout-bench", "./run bench")?;
        let folder = tempfile::tempdir()?;
        let mut kept: Vec<PathBuf> = Vec::new();
        for part in PARTS.iter().filter(|part| self.parts.is_empty() || self.parts.iter().any(|p| p == *part))
        {
            let services = Services::start(Wanted { postgres: true, redis: true, ..Wanted::NONE })?;
            if kept.is_empty() {
                services.describe().iter().for_each(|line| eprintln!("{line}"));
            }
            let file = folder.path().join(format!("{part}.json"));
            let code = super::runtime()?.block_on(play(self.part(&tool, part, told, &services, &file)?))?;
            match code {
                0 => kept.push(file),
                // What was measured before is still worth its table.
                130 if !kept.is_empty() => break,
                code => return Ok(code),
            }
        }
        anyhow::ensure!(!kept.is_empty(), "--parts: of sales, orders and overload at least one");
        let mut report = Command::new(&tool);
        report.arg("growth-report").args(&kept).stdin(Stdio::null());
        for (name, path) in &told.report {
            report.arg(name).arg(path);
        }
        let status = report.status().with_context(|| format!("cannot run {}", tool.display()))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(super::ENVIRONMENT))
    }

    fn part(
        &self,
        tool: &Path,
        part: &str,
        told: &Told<'_>,
        services: &Services,
        out: &Path,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(tool);
        command.args(["growth", "--part", part]);
        if told.quick {
            command.arg("--quick");
        }
        let pid = |which| services.pid(which).map(|pid| pid.to_string());
        let (postgres, redis) = (pid(Which::Postgres), pid(Which::Redis));
        let given = [
            ("--sales-max", self.sales_max.as_deref()),
            ("--orders-max", self.orders_max.as_deref()),
            ("--connections", self.connections.as_deref()),
            ("--seconds", told.seconds),
            ("--seed", told.seed),
            ("--postgres-pid", postgres.as_deref()),
            ("--redis-pid", redis.as_deref()),
        ];
        for (name, value) in given {
            command.args(value.into_iter().flat_map(|value| [name, value]));
        }
        command.arg("--sellout").arg(std::env::current_exe()?).arg("--out").arg(out);
        // The service that it starts has its servers from here.
        only_these_servers(&mut command, services);
        command.stdin(Stdio::null());
        Ok(command)
    }
}

/// Until the part is over. Ctrl-C ends it at once, and the service with it.
async fn play(command: Command) -> anyhow::Result<u8> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut client = Companion::spawn("sellout-bench", command)?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(130),
            _ = terminate.recv() => return Ok(130),
            () = tokio::time::sleep(POLL) => {}
        }
        if let Some(status) = client.poll()? {
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(super::ENVIRONMENT));
        }
    }
}
