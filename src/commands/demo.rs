//! `sellout demo`: private servers, a lab service and the load test, each its own process so that their
//! CPU time is told apart; the table, and the page until Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::beside::{listening, program};
use crate::services::{Companion, Services, Wanted};

/// How often the load test is looked at.
const POLL: Duration = Duration::from_millis(50);

#[derive(Args)]
#[command(
    after_help = "Each of these addresses points the demo at servers of your own; the rest is private."
)]
pub(super) struct Demo {
    /// End after the table, with the load test's exit code, instead of staying up until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Address of the service and its page.
    #[arg(long, default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// Folder in which runs are kept.
    #[arg(long, env = "SELLOUT_RUNS_DIR", default_value = "runs")]
    runs_dir: PathBuf,
    /// PostgreSQL to use instead of a private one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Redis to use instead of a private one.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// Independent Redis for lock_redlock to use instead of private ones.
    #[arg(long, env = "REDLOCK_URLS", hide_env_values = true)]
    redlock_urls: Option<String>,
    /// ZooKeeper to use instead of a private one.
    #[arg(long, env = "ZOOKEEPER_HOSTS")]
    zookeeper_hosts: Option<String>,
    /// etcd to use instead of a private one.
    #[arg(long, env = "ETCD_URLS")]
    etcd_urls: Option<String>,
    /// What the load test is told.
    #[command(flatten)]
    load: LoadOptions,
}

/// The load test's own options, handed on as they are: it checks them and says what is wrong.
#[derive(Args)]
struct LoadOptions {
    /// Strategies to run: all, safe, or names with commas.
    #[arg(long, value_name = "LIST")]
    strategies: Option<String>,
    /// Units at opening [100].
    #[arg(long, value_name = "N")]
    stock: Option<String>,
    /// Buyers at once [200].
    #[arg(long, value_name = "N")]
    buyers: Option<String>,
    /// Orders sent in all, exactly [2000].
    #[arg(long, value_name = "N")]
    attempts: Option<String>,
    /// Units per order [1].
    #[arg(long, value_name = "N")]
    quantity: Option<String>,
    /// rush, plenty, retry-storm, one-buyer-many-clicks, holds or carts.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Seed of the choices.
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// Write the run as JSON (- for stdout).
    #[arg(long, value_name = "PATH|-")]
    json: Option<String>,
    /// Write the table as Markdown (- for stdout).
    #[arg(long, value_name = "PATH|-")]
    export_markdown: Option<String>,
    /// Write the run as one self-contained page.
    #[arg(long, value_name = "PATH")]
    export_html: Option<String>,
    /// Any other option of the load test, after `--`.
    #[arg(last = true)]
    more: Vec<String>,
}

impl LoadOptions {
    fn arguments(&self) -> Vec<&str> {
        let named = [
            ("--strategies", &self.strategies),
            ("--stock", &self.stock),
            ("--buyers", &self.buyers),
            ("--attempts", &self.attempts),
            ("--quantity", &self.quantity),
            ("--scenario", &self.scenario),
            ("--seed", &self.seed),
            ("--json", &self.json),
            ("--export-markdown", &self.export_markdown),
            ("--export-html", &self.export_html),
        ];
        let given = named.iter().filter_map(|(name, value)| value.as_deref().map(|v| [*name, v]));
        given.flatten().chain(self.more.iter().map(String::as_str)).collect()
    }
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let load = program("sellout-load", "./run demo")?;
        let services = self.services()?;
        let (service, address) = self.serve(&services)?;
        // Dropped the other way round: the service ends before its servers.
        let (_kept, mut service) = (services.keep(), service);
        eprintln!("service and dashboard: http://{address}");
        let load = self.load(load, &address, service.pid())?;
        super::runtime()?.block_on(self.watch(&mut service, load, address))
    }

    /// The addresses by the names that the service knows them by; empty is the same as not given.
    fn given(&self) -> [(&'static str, Option<&str>); 5] {
        let given = [
            ("DATABASE_URL", &self.database_url),
            ("REDIS_URL", &self.redis_url),
            ("REDLOCK_URLS", &self.redlock_urls),
            ("ZOOKEEPER_HOSTS", &self.zookeeper_hosts),
            ("ETCD_URLS", &self.etcd_urls),
        ];
        given.map(|(name, address)| (name, address.as_deref().filter(|text| !text.trim().is_empty())))
    }

    /// Private servers for whatever was not given, as far as they are installed and of use.
    fn services(&self) -> anyhow::Result<Services> {
        let private = self.given().map(|(_, address)| address.is_none());
        let [postgres, redis, redlock, zookeeper, etcd] = private;
        let many = |wanted: bool, many: usize| if wanted { many } else { 0 };
        let services = Services::start(Wanted {
            postgres,
            redis,
            redlock: many(redlock, Wanted::ALL.redlock),
            zookeeper: many(zookeeper, Wanted::ALL.zookeeper),
            etcd: many(etcd && cfg!(feature = "etcd"), Wanted::ALL.etcd),
        })?;
        services.describe().iter().for_each(|line| eprintln!("{line}"));
        Ok(services)
    }

    /// Our own `serve`, in a process of its own.
    fn serve(&self, services: &Services) -> anyhow::Result<(Companion, String)> {
        let mut serve = Command::new(std::env::current_exe()?);
        serve.arg("serve").arg("--lab").arg("--bind").arg(self.bind.to_string());
        serve.arg("--runs-dir").arg(&self.runs_dir);
        let mut shared = false;
        for (name, address) in self.given() {
            serve.env_remove(name);
            if let Some(address) = address {
                serve.env(name, address);
                shared = true;
            }
        }
        serve.envs(services.environment());
        if !shared {
            serve.arg("--private-servers");
        }
        serve.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut service = Companion::spawn("the service", serve)?;
        let address = listening(&mut service)?;
        Ok((service, address))
    }

    fn load(&self, program: PathBuf, address: &str, service: u32) -> anyhow::Result<Companion> {
        let mut load = Command::new(program);
        load.arg("--host").arg(format!("http://{address}")).arg("--service-pid").arg(service.to_string());
        load.arg("--runs-dir").arg(&self.runs_dir).args(self.load.arguments()).stdin(Stdio::null());
        Companion::spawn("the load test", load)
    }

    /// Until the load test is done, and then (without `--once`) until Ctrl-C.
    async fn watch(
        &self,
        service: &mut Companion,
        mut load: Companion,
        address: String,
    ) -> anyhow::Result<u8> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let code = loop {
            tokio::select! {
                // The load test ends its own way: it settles, judges what was sold, and writes its report.
                _ = interrupt.recv() => load.interrupt(),
                _ = terminate.recv() => load.interrupt(),
                () = tokio::time::sleep(POLL) => {}
            }
            if let Some(status) = load.poll()? {
                break status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(super::ENVIRONMENT);
            }
            if let Some(status) = service.poll()? {
                bail!("the service ended under the load test: {status}");
            }
        };
        if self.once || code == 130 || code == 2 {
            return Ok(code);
        }
        eprintln!("\nThe page stays at http://{address} until Ctrl-C.");
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(code)
    }
}
