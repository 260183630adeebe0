//! `sellout serve`: the service, until it is asked to stop.

use std::io::IsTerminal;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::Running;
use crate::config::{Config, LogFormat};

/// Runs until Ctrl-C or SIGTERM; then drains.
pub(super) fn run(config: Config) -> anyhow::Result<u8> {
    log(config.log_format);
    room_for_a_crowd();
    super::runtime()?.block_on(async {
        let lab = config.lab;
        let running = Running::start(config).await?;
        let address = running.address;
        for (_, risk) in running.unfit() {
            tracing::warn!(
                "{risk}: {}",
                if lab { "the lab sells all the same" } else { "no sale will open" }
            );
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // The demo and scripts wait for this line; it is the only one on stdout.
        super::say(&format!("listening on http://{address}"))?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("draining: finishing what is under way");
        running.stop().await;
        Ok(0)
    })
}

/// A shell often allows 1024 open files, fewer than a crowd has connections: as many as we may have.
fn room_for_a_crowd() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err() {
        tracing::debug!("the limit of open files stays as it is");
    }
}

/// PostgreSQL remarks on the ROLLBACK that the driver sends after a failed COMMIT: harmless, and often.
const QUIET: &str = "warn,sellout=info,sqlx::postgres::notice=error";

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Pretty => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
