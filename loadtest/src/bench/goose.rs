//! The same crowd with goose, by its own program: what a load test that behaves like users costs beside a
//! lean client. Its rate is its own; no ratio is taken from it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use sellout::wire::{Run, Verdict};

use crate::outcome::{Client, Cpu, Outcome};
use crate::shot::{self, Cell, Ground};
use crate::window::{Edge, Window};

/// Far more than it takes: a limit against hanging.
const LIMIT: Duration = Duration::from_secs(120);
/// Share of what the lean client sold in the same time: goose is slower.
const SHARE: f64 = 0.6;
/// At least, so that the crowd is there at once.
const ATTEMPTS_MIN: f64 = 1_024.0;

/// Runs it. `pace`: what the lean client's warm-up sold per second.
pub async fn fire(ground: &Ground, cell: &Cell, pace: f64) -> Result<Outcome, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("sellout-load");
    let folder = std::env::temp_dir().join(format!("sellout-bench-{}.json", std::process::id()));
    let attempts = (pace * ground.window.as_secs_f64() * SHARE).max(ATTEMPTS_MIN).round();
    let mut load = tokio::process::Command::new(&program);
    load.arg("--host").arg(format!("http://{}", ground.host)).args(["--strategies", &cell.strategy]);
    load.args(["--scenario", "plenty", "--no-progress", "--buyers", &cell.concurrency.to_string()]);
    load.args(["--attempts", &attempts.to_string(), "--seed", &ground.seed.to_string()]);
    load.arg("--json").arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let from = Edge::now(&ground.pids);
    let begun = Instant::now();
    let status = tokio::time::timeout(LIMIT, load.status()).await;
    status.map_err(|_| "sellout-load did not end")?.map_err(|e| format!("{}: {e}", program.display()))?;
    let to = Edge::now(&ground.pids);
    let text = std::fs::read_to_string(&folder).map_err(|e| format!("sellout-load left no run: {e}"));
    let _gone = std::fs::remove_file(&folder);
    let run: Run = serde_json::from_str(&text?).map_err(|e| e.to_string())?;
    told(cell, &run, &Window::between(&from, &to), begun.elapsed())
}

fn told(cell: &Cell, run: &Run, window: &Window, took: Duration) -> Result<Outcome, String> {
    let row = run.results.first().ok_or("sellout-load ran nothing")?;
    let seconds = if row.seconds > 0.0 { row.seconds } else { took.as_secs_f64() };
    let outcome = Outcome {
        client: Client::Goose,
        seconds,
        answers: row.answers,
        latency_us: row.latency_us.clone(),
        // From its start to its end: judging is in it, so it is the load's and the servers' alone.
        cpu_us: Cpu { ..window.cpu },
        foreign_cores: window.foreign_cores,
        stolen_cores: window.stolen_cores,
        ledger_orders: row.evidence.orders.unsigned_abs(),
        verdict: Some(if run.finished_at.is_some() { row.verdict } else { Verdict::Invalid }),
        reason: row.reason.clone(),
        ..shot::blank(cell)
    };
    Ok(outcome.rated(seconds))
}
