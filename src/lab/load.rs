//! The load test as a child process: started without a shell, told to end, ended, and never left behind.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Asked, Setup};
use crate::services::Companion;

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Lines of its complaints that are kept.
const LINES_MAX: usize = 12;
/// Letters of each of them.
const CHARS_MAX: usize = 400;
/// Its last words come before it ends; who waits longer waits for nobody.
const WORDS_MAX: Duration = Duration::from_secs(1);
/// Settings of this process that it may see: where programs are, and what is said beside the numbers. No
/// address of a store and no token.
const INHERITED: [&str; 5] = ["PATH", "TMPDIR", "RUST_BACKTRACE", "SELLOUT_COMMIT", "SELLOUT_RUSTC"];

/// A load test that runs. Dropped, it is killed.
pub(super) struct Load {
    child: Companion,
    said: Option<JoinHandle<VecDeque<String>>>,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code; `None`: by a signal.
    pub(super) code: Option<i32>,
    /// Had it to be killed?
    killed: bool,
    said: VecDeque<String>,
}

impl Load {
    /// Starts it against this service.
    pub(super) fn start(
        program: &Path,
        host: &str,
        id: &str,
        asked: &Asked,
        setup: &Setup,
    ) -> anyhow::Result<Load> {
        let mut command = Command::new(program);
        command.args(["--host", host, "--run-id", id, "--no-progress"]);
        command.args(["--service-pid", &std::process::id().to_string()]);
        command.arg("--runs-dir").arg(&setup.runs_dir).args(asked.arguments());
        command.env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        // Never on the command line, which everybody on this machine can read.
        command.envs(setup.token.iter().map(|token| ("SELLOUT_TOKEN", token)));
        Load::spawn(command)
    }

    fn spawn(mut command: Command) -> anyhow::Result<Load> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Companion::spawn("the load test", command)?;
        let said = child.stderr().map(|stderr| tokio::spawn(last_lines(stderr)));
        Ok(Load { child, said })
    }

    /// Waits until it has ended. `told`: it shall end, within so long; then it is killed.
    pub(super) async fn attend(mut self, mut told: watch::Receiver<Option<Duration>>) -> Ended {
        let (mut kill_at, mut killed) = (None::<Instant>, false);
        let code = loop {
            match self.child.poll() {
                Ok(None) => {}
                Ok(Some(status)) => break status.code(),
                Err(_) => break None,
            }
            if kill_at.is_some_and(|at| Instant::now() >= at) && !killed {
                killed = true;
                self.child.kill();
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                Ok(()) = told.changed() => {
                    let patience = *told.borrow_and_update();
                    let at = patience.map(|long| Instant::now() + long);
                    // Interrupted once: the second time it would go at once, with nothing judged.
                    if kill_at.is_none() {
                        self.child.interrupt();
                    }
                    kill_at = at.into_iter().chain(kill_at).min();
                }
            }
        };
        let said = match self.said.take() {
            Some(said) => tokio::time::timeout(WORDS_MAX, said).await.ok().and_then(Result::ok),
            None => None,
        };
        Ended { code, killed, said: said.unwrap_or_default() }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.child.kill();
    }
}

impl Ended {
    /// What went wrong, in words. `whole`: it has kept a run that says how it ended. `cancelled`: it was told
    /// to end, and what there is of it is listed.
    pub(super) fn why(&self, whole: bool, cancelled: bool) -> Option<String> {
        const ENVIRONMENT: i32 = 5;
        if whole && self.code != Some(ENVIRONMENT) {
            return None;
        }
        if self.killed {
            return Some(
                "It did not end in time and was killed: what it sold is in the ledger, not judged.".into(),
            );
        }
        if cancelled {
            return None;
        }
        let said = self.sentence().unwrap_or_else(|| "It said nothing.".into());
        Some(match self.code {
            Some(2) => said,
            Some(code) => format!("The load test ended with {code}: {said}"),
            None => format!("The load test was ended by a signal. {said}"),
        })
    }

    /// Its complaint, without the usage that follows; else its last lines.
    fn sentence(&self) -> Option<String> {
        let marked = |line: &String| {
            let line = line.strip_prefix("error: ").or_else(|| line.strip_prefix("sellout-load: "));
            line.map(str::to_owned)
        };
        let last = || Some(self.said.iter().cloned().collect::<Vec<_>>().join("\n"));
        self.said.iter().rev().find_map(marked).or_else(last).filter(|said| !said.is_empty())
    }
}

async fn last_lines(stderr: ChildStderr) -> VecDeque<String> {
    let mut kept = VecDeque::new();
    let Ok(stderr) = tokio::process::ChildStderr::from_std(stderr) else { return kept };
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.trim().is_empty() {
            continue;
        }
        if kept.len() == LINES_MAX {
            kept.pop_front();
        }
        kept.push_back(line.chars().take(CHARS_MAX).collect());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Load {
        // Where SIGINT is ignored when a shell begins (whoever runs these in the background), no trap is set.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,TERM", "sh", "-c", script]);
        Load::spawn(command).unwrap()
    }

    /// The same, once it has set its traps; it stays until it is ended.
    async fn poll_until_it_stands(traps: &str) -> Load {
        let room = tempfile::tempdir().unwrap();
        let ready = room.path().join("ready");
        let load = shell(&format!("{traps}; : > {}; while :; do sleep 0.01; done", ready.display()));
        while !ready.exists() {
            tokio::time::sleep(POLL / 10).await;
        }
        load
    }

    #[tokio::test]
    async fn its_complaint_is_kept_and_the_usage_after_it_is_not() {
        let (_tell, told) = watch::channel(None);
        let complaint = "--buyers 3 is more than --attempts 2";
        let script = format!("echo 'error: {complaint}' >&2; echo >&2; echo Usage >&2; exit 2");
        let ended = shell(&script).attend(told).await;
        assert_eq!(ended.code, Some(2));
        assert_eq!(ended.why(false, false).as_deref(), Some(complaint));
    }

    #[tokio::test]
    async fn who_is_told_to_end_ends_his_own_way() {
        let (tell, told) = watch::channel(None);
        let load = poll_until_it_stands("trap 'exit 130' INT").await;
        tell.send_replace(Some(Duration::from_secs(60)));
        let ended = load.attend(told).await;
        assert_eq!((ended.code, ended.killed), (Some(130), false), "{ended:?}");
    }

    #[tokio::test]
    async fn who_does_not_end_in_time_is_killed() {
        let (tell, told) = watch::channel(None);
        let load = poll_until_it_stands("trap '' INT TERM").await;
        tell.send_replace(Some(Duration::from_millis(200)));
        let ended = load.attend(told).await;
        assert_eq!((ended.code, ended.killed), (None, true), "{ended:?}");
        assert!(ended.why(false, true).is_some_and(|why| why.contains("killed")));
    }

    #[tokio::test]
    async fn who_is_forgotten_does_not_stay() {
        let load = poll_until_it_stands("trap '' INT TERM").await;
        let pid = load.child.pid();
        drop(load);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
