//! Processes beside this one: programs that are built with it, and the service, which says where it listens.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

pub(super) use crate::services::program;
use crate::services::{Companion, Services};

/// Longest wait for the service to listen.
const START_MAX: Duration = Duration::from_secs(60);

/// Waits for the one line that `serve` prints.
pub(super) fn listening(service: &mut Companion) -> anyhow::Result<String> {
    let stdout = service.stdout().context("the service has no stdout")?;
    let (send, line) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut first = String::new();
        if BufReader::new(stdout).read_line(&mut first).is_ok() {
            let _ = send.send(first);
        }
    });
    let line = line.recv_timeout(START_MAX).context("the service did not start; its reason stands above")?;
    let address = line.trim().strip_prefix("listening on http://");
    Ok(address.with_context(|| format!("the service did not start: {line:?}"))?.to_owned())
}

/// Gives a process the addresses of private servers, and takes away every setting that would change what is
/// measured. The commit and the compiler are said beside the numbers, so they stay.
pub(super) fn only_these_servers(command: &mut Command, services: &Services) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SELLOUT_")) {
        if name != "SELLOUT_COMMIT" && name != "SELLOUT_RUSTC" {
            command.env_remove(name);
        }
    }
    for name in ["DATABASE_URL", "REDIS_URL", "REDLOCK_URLS", "ZOOKEEPER_HOSTS", "ETCD_URLS"] {
        command.env_remove(name);
    }
    command.envs(services.environment());
}
