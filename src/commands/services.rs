//! `sellout services`: private servers for whatever needs them, a test run for instance.

use std::process::{Command, Stdio};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::services::{Services, Wanted};

#[derive(Args)]
pub(super) struct PrivateServers {
    /// Start only these, with commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Only>,
    /// A command to run with their addresses in its environment (DATABASE_URL, REDIS_URL, REDLOCK_URLS,
    /// ZOOKEEPER_HOSTS, ETCD_URLS); the servers end with it, and its exit code is ours. Without one they
    /// stay until Ctrl-C.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    Postgres,
    Redis,
    Redlock,
    Zookeeper,
    Etcd,
}

impl PrivateServers {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let services = Services::start(self.wanted())?;
        match self.command.split_first() {
            Some((program, arguments)) => with(services, program, arguments),
            None => until_interrupted(services),
        }
    }

    fn wanted(&self) -> Wanted {
        let asked = |one: Only| self.only.is_empty() || self.only.contains(&one);
        let as_many = |one: Only, many: usize| if asked(one) { many } else { 0 };
        Wanted {
            postgres: asked(Only::Postgres),
            redis: asked(Only::Redis),
            redlock: as_many(Only::Redlock, Wanted::ALL.redlock),
            zookeeper: as_many(Only::Zookeeper, Wanted::ALL.zookeeper),
            etcd: as_many(Only::Etcd, Wanted::ALL.etcd),
        }
    }
}

fn with(services: Services, program: &str, arguments: &[String]) -> anyhow::Result<u8> {
    services.describe().iter().for_each(|line| eprintln!("{line}"));
    let mut command = Command::new(program);
    command.args(arguments).envs(services.environment()).stdin(Stdio::null());
    let _kept = services.keep();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(super::ENVIRONMENT))
}

/// Prints what a shell can `eval`, and for people the rest as comments.
fn until_interrupted(services: Services) -> anyhow::Result<u8> {
    super::runtime()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        for line in services.describe() {
            super::say(&format!("# {line}"))?;
        }
        for (which, pid) in services.pids() {
            super::say(&format!("# pid of {which}: {pid}"))?;
        }
        for (name, url) in services.environment() {
            super::say(&format!("export {name}='{url}'"))?;
        }
        super::say("# ready, until Ctrl-C")?;
        let _kept = services.keep();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(0)
    })
}
