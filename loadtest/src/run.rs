//! The whole run: who is there, which strategies, one after another, and the record of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use sellout::wire::{Current, Environment, Parameters, Run, SCHEMA_VERSION, StrategyCard};

use crate::args::Args;
use crate::choose::{Choice, choose};
use crate::client::{Failure, Service};
use crate::deliver::{deliver, deliver_html, write};
use crate::exit::{Facts, Stop, decide};
use crate::history::History;
use crate::judge_run::{Desk, Outcome, gone, row};
use crate::plan::random_seed;
use crate::progress::Progress;
use crate::scenarios::Scenario;
use crate::verdict::Judged;
use crate::{fault, interrupt, limits, stdout};

/// The record of a run and everybody who is shown it.
struct Book {
    run: Run,
    service: Service,
    file: Option<PathBuf>,
    refused: bool,
}

/// Runs, reports, and returns the exit code.
pub async fn run(args: Args) -> Result<u8, Stop> {
    let stdout = stdout::keep().map_err(|e| Stop::environment(format!("stdout cannot be kept: {e}")))?;
    limits::room_for(args.buyers).map_err(Stop::environment)?;
    let service = Service::new(&args.host, args.token.clone(), Duration::from_millis(args.timeout_ms))
        .map_err(|e| Stop::environment(format!("no HTTP client: {e}")))?;
    let (cards, environment) = look_around(&service).await.map_err(|failure| unusable(&args, &failure))?;
    let Choice { cards, by_name } = choose(&args.strategies, cards).map_err(Stop::usage)?;

    let (desk, mut book) = prepare(&args, service, &cards, environment)?;
    fault::switch_on(&book.service, &args.fault).await?;
    let broken = run_all(&desk, &mut book, &cards).await;
    fault::switch_off(&book.service, &args.fault).await;
    let interrupted = interrupt::asked();
    book.run.cancelled = interrupted;
    let (code, ending) = decide(&Facts {
        rows: &book.run.results,
        cards: &cards,
        by_name,
        rush: args.scenario == Scenario::Rush,
        p99_limit_ms: args.fail_slower_than_p99_ms,
        interrupted,
        broken: broken.as_deref(),
    });
    book.close(code, !interrupted && broken.is_none()).await;
    deliver_html(&args, &book.run, &book.service).await;
    deliver(&args, &book.run, &ending, stdout);
    Ok(code)
}

async fn look_around(service: &Service) -> Result<(Vec<StrategyCard>, Environment), Failure> {
    service.live().await?;
    Ok((service.strategies().await?, service.environment().await?))
}

fn unusable(args: &Args, failure: &Failure) -> Stop {
    let hint = if gone(failure).is_some() { "; is it running?" } else { "" };
    Stop::environment(format!("the service at {} cannot be used ({failure}){hint}", args.host))
}

fn prepare(
    args: &Args,
    service: Service,
    cards: &[StrategyCard],
    environment: Environment,
) -> Result<(Desk, Book), Stop> {
    let seed = args.seed.unwrap_or_else(random_seed);
    let opening = args.opening().unwrap_or(args.stock);
    let ids: Vec<String> = cards.iter().map(|card| card.id.clone()).collect();
    let run = blank(args, seed, opening, ids.clone(), environment);
    let history = Arc::new(open_history(args, &run.id)?);
    if !args.no_progress {
        eprintln!(
            "{}: {} units, seed {seed}; history in {}",
            args.scenario.name(),
            opening,
            history.path().display()
        );
    }
    let desk = Desk {
        service: service.clone(),
        args: args.clone(),
        opening,
        run_id: run.id.clone(),
        seed,
        history,
        progress: Progress::new(!args.no_progress, &ids),
        tally_warned: AtomicBool::new(false),
    };
    let file = args.runs_dir.as_ref().map(|dir| dir.join(&run.id).join("run.json"));
    Ok((desk, Book { run, service, file, refused: false }))
}

fn blank(args: &Args, seed: u64, opening: i64, strategies: Vec<String>, environment: Environment) -> Run {
    let now = Utc::now();
    Run {
        schema_version: SCHEMA_VERSION,
        id: args.run_id.clone().unwrap_or_else(|| now.format("%Y%m%d-%H%M%S").to_string()),
        started_at: now.to_rfc3339_opts(SecondsFormat::Millis, true),
        environment,
        parameters: Parameters {
            scenario: args.scenario.name().to_owned(),
            strategies,
            stock: opening,
            buyers: args.buyers,
            attempts: args.attempts,
            quantity: args.quantity,
            per_buyer_limit: args.limit(),
            seed,
            race_window_ms: args.window(),
        },
        command: args.repeat(seed),
        co_located: Some(args.is_at_home()),
        ..Run::default()
    }
}

fn open_history(args: &Args, run_id: &str) -> Result<History, Stop> {
    let dir = match &args.runs_dir {
        Some(dir) => dir.join(run_id),
        None => std::env::temp_dir().join(format!("sellout-load-{run_id}-{}", std::process::id())),
    };
    fs::create_dir_all(&dir)
        .and_then(|()| History::create(&dir))
        .map_err(|e| Stop::environment(format!("no history in {}: {e}", dir.display())))
}

/// One strategy after another. Returns why the rest could not be run, if so.
async fn run_all(desk: &Desk, book: &mut Book, cards: &[StrategyCard]) -> Option<String> {
    book.show().await;
    for (position, card) in cards.iter().enumerate() {
        if interrupt::asked() {
            break;
        }
        let Outcome { row, broken } = run_one(desk, book, card, position).await;
        desk.progress.finished(position, &row);
        book.run.current = None;
        book.run.traced |= row.trace.is_some();
        book.run.results.push(row);
        book.show().await;
        if broken.is_some() {
            return broken;
        }
    }
    None
}

async fn run_one(desk: &Desk, book: &mut Book, card: &StrategyCard, position: usize) -> Outcome {
    let skipped = |reason: String, broken| Outcome {
        row: row(card, None, Judged::skipped(desk.opening, reason)),
        broken,
    };
    if !card.available {
        let reason = card.unavailable_reason.clone();
        return skipped(reason.unwrap_or_else(|| "The service does not say why.".into()), None);
    }
    if let Some(reason) = desk.args.scenario.beyond(card) {
        return skipped(reason, None);
    }
    let sales: Vec<_> = match desk.open(card).await {
        Ok(sales) => sales.iter().map(|sale| sale.id).collect(),
        Err(failure) => {
            return skipped(format!("Its sale could not be opened ({failure})."), gone(&failure));
        }
    };
    // The page shows one sale at a time: the first of them.
    book.run.current = sales.first().map(|sale| Current { strategy: card.id.clone(), sale_id: *sale });
    book.show().await;
    desk.run(card, &sales, position).await
}

impl Book {
    /// Shows the run as it stands: to the service, which shows it to browsers, and on disk.
    async fn show(&mut self) {
        if let Some(file) = &self.file
            && let Ok(text) = serde_json::to_string_pretty(&self.run)
        {
            write(file, &(text + "\n"));
        }
        if self.refused {
            return;
        }
        if let Err(failure) = self.service.put_run(&self.run).await {
            self.refused = matches!(failure, Failure::Refused(..));
            eprintln!("sellout-load: the service does not show this run ({failure}).");
        }
    }

    /// A run that was cut off stays without an end.
    async fn close(&mut self, code: u8, finished: bool) {
        self.run.exit_code = Some(code);
        self.run.finished_at = finished.then(|| Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
        self.show().await;
    }
}
