//! `sellout services`: private servers for whatever needs them, a test run for instance.

use std::process::{Command, Stdio};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::services::{Services, Wanted};

#[derive(Args)]
pub(super) struct PrivateServers {
    /// Start only this one.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// A command to run with DATABASE_URL and REDIS_URL set; the servers end with it, and its exit code is
    /// ours. Without one they stay until Ctrl-C.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    Postgres,
    Redis,
}

impl PrivateServers {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let wanted =
            Wanted { postgres: self.only != Some(Only::Redis), redis: self.only != Some(Only::Postgres) };
        let services = Services::start(wanted)?;
        match self.command.split_first() {
            Some((program, arguments)) => with(&services, program, arguments),
            None => until_interrupted(&services),
        }
    }
}

fn addresses(services: &Services) -> Vec<(&'static str, String)> {
    let url = |name, url: Option<&str>| url.map(|u| (name, u.to_owned()));
    let both = [url("DATABASE_URL", services.database_url()), url("REDIS_URL", services.redis_url())];
    both.into_iter().flatten().collect()
}

fn with(services: &Services, program: &str, arguments: &[String]) -> anyhow::Result<u8> {
    services.describe().iter().for_each(|line| eprintln!("{line}"));
    let mut command = Command::new(program);
    command.args(arguments).envs(addresses(services)).stdin(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(super::ENVIRONMENT))
}

/// Prints what a shell can `eval`, and for people the rest as comments.
fn until_interrupted(services: &Services) -> anyhow::Result<u8> {
    super::runtime()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        for line in services.describe() {
            super::say(&format!("# {line}"))?;
        }
        for (name, pid) in [("postgres", services.postgres_pid()), ("redis", services.redis_pid())] {
            pid.map_or(Ok(()), |pid| super::say(&format!("# pid of {name}: {pid}")))?;
        }
        for (name, url) in addresses(services) {
            super::say(&format!("export {name}='{url}'"))?;
        }
        super::say("# ready, until Ctrl-C")?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(0)
    })
}
