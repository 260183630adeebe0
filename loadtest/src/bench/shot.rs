//! One run of one contestant: warm up, open, load, time, hand in what the buyers were told, be judged.
//!
//! The warm-up sells from a sale of its own. It fills pools and caches, and says how much stock the run
//! needs: plenty must not run out, and mixed must.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sellout::wire::{Answers, Verdict};
use uuid::Uuid;

use crate::api::Api;
use crate::bare::{EVERY_SECOND, REFUSED};
use crate::heard::{Heard, Timed};
use crate::judge::{self, Judged};
use crate::load::{Load, Plan};
use crate::outcome::{Client, Kind, Outcome};
use crate::plan::FLAG;
use crate::window::{Edge, Pids, Window};
use crate::{batch, goose};

/// What the warm-up may sell.
const WARM_UNITS: i64 = 20_000;
/// A batch endpoint sells them by the thousand.
const BATCH_UNITS: i64 = 50_000_000;
/// What is sold out before the window of a rejected run.
const FEW_UNITS: i64 = 64;
/// So many times what the warm-up's pace would sell: stock that does not run out.
const PLENTY: f64 = 8.0;
/// Whatever the warm-up said.
const UNITS_MIN: f64 = 5_000.0;
/// Share of the window in which a mixed run is to sell. Below a half, so that more are refused than sold
/// even where a refusal takes as long as a sale: less is no contention to the judge.
const SELLING: f64 = 0.4;
/// Buyers have all begun by then; nothing is timed before.
const RUN_IN: Duration = Duration::from_millis(250);

/// Which run.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The contestant.
    pub strategy: String,
    /// Who sends.
    pub client: Client,
    /// What is timed.
    pub kind: Kind,
    /// Connections.
    pub concurrency: usize,
    /// Sales.
    pub items: usize,
}

impl Cell {
    /// The strategy of its sales.
    fn sells_with(&self) -> &str {
        if self.strategy == FLAG { "atomic_update" } else { &self.strategy }
    }
}

/// Where it is run.
pub struct Ground {
    /// The service, or the bare server.
    pub host: SocketAddr,
    /// How to ask it for more than orders; none where it is the bare server.
    pub api: Option<Api>,
    /// Whose CPU time is told apart.
    pub pids: Pids,
    /// Of the choice of sales.
    pub seed: u64,
    /// Warm-up.
    pub warm: Duration,
    /// Window.
    pub window: Duration,
}

/// Runs it. What goes wrong stands in the outcome: a run that cannot be judged is one without a rate.
pub async fn fire(ground: &Ground, cell: &Cell) -> Outcome {
    match measured(ground, cell).await {
        Ok(outcome) => outcome,
        Err((verdict, reason)) => Outcome { verdict: Some(verdict), reason, ..blank(cell) },
    }
}

type Failed = (Verdict, String);

async fn measured(ground: &Ground, cell: &Cell) -> Result<Outcome, Failed> {
    let invalid = |reason| (Verdict::Invalid, reason);
    match (cell.client, &ground.api) {
        (Client::Goose, Some(api)) => {
            let pace = pace(ground, api, cell).await?;
            return goose::fire(ground, cell, pace).await.map_err(invalid);
        }
        (Client::Batch, Some(api)) => return batched(ground, api, cell).await,
        _ => {}
    }
    let sales = sales(ground, cell).await?;
    let load = start(ground, cell, sales.clone()).map_err(invalid)?;
    // A rejected run is to be sold out by then, and to have been refused often enough to be remembered.
    let run_in = if cell.kind == Kind::Rejected { ground.warm.max(RUN_IN) } else { RUN_IN };
    if cell.kind != Kind::Mixed {
        tokio::time::sleep(run_in).await;
    }
    let (heard, window) = timed(ground, load).await.map_err(invalid)?;
    let judged = match &ground.api {
        Some(api) => judge::judge(api, &sales, &heard).await.map_err(invalid)?,
        None => Judged { verdict: None, reason: "Sells nothing; the yardstick.".into(), orders: 0 },
    };
    Ok(told(cell, &heard.timed, &window, judged))
}

/// The window itself.
async fn timed(ground: &Ground, load: Load) -> Result<(Heard, Window), String> {
    if load.is_over() {
        return Err(load.finish().err().unwrap_or_else(|| "the client ended early".into()));
    }
    let from = Edge::now(&ground.pids);
    load.phase().start();
    tokio::time::sleep(ground.window).await;
    load.phase().stop();
    let to = Edge::now(&ground.pids);
    Ok((load.finish()?, Window::between(&from, &to)))
}

fn start(ground: &Ground, cell: &Cell, sales: Vec<Uuid>) -> Result<Load, String> {
    Load::start(Plan {
        host: ground.host,
        sales,
        connections: cell.concurrency,
        tag: tag(),
        seed: ground.seed,
        back_off: Duration::ZERO,
        pace: Duration::ZERO,
    })
}

/// Keys must differ from those of every other run, also of other processes against this ledger.
pub fn tag() -> String {
    Uuid::now_v7().simple().to_string().split_off(12)
}

/// The sales of a run, with the stock that it needs.
async fn sales(ground: &Ground, cell: &Cell) -> Result<Vec<Uuid>, Failed> {
    let Some(api) = &ground.api else {
        let sale = match cell.kind {
            Kind::Accepted => Uuid::from_u128(3),
            Kind::Rejected => REFUSED,
            Kind::Mixed => EVERY_SECOND,
        };
        return warm_up(ground, cell, sale).await.map(|_| vec![sale; cell.items]);
    };
    let skipped = |why| (Verdict::Skipped, why);
    let pace = if cell.kind == Kind::Rejected { 0.0 } else { pace(ground, api, cell).await? };
    api.open_many(cell.sells_with(), units(cell, pace, ground.window), cell.items).await.map_err(skipped)
}

/// What the warm-up sells per second.
async fn pace(ground: &Ground, api: &Api, cell: &Cell) -> Result<f64, Failed> {
    let sale = api.open(cell.sells_with(), WARM_UNITS).await.map_err(|why| (Verdict::Skipped, why))?;
    warm_up(ground, cell, sale).await
}

/// Orders by the thousand. Their warm-up is the first part of the same stream.
async fn batched(ground: &Ground, api: &Api, cell: &Cell) -> Result<Outcome, Failed> {
    let skipped = |why| (Verdict::Skipped, why);
    if !api.has_batches().await.map_err(skipped)? {
        return Err(skipped("the service takes no batches of orders".into()));
    }
    let sale = api.open(&cell.strategy, BATCH_UNITS).await.map_err(skipped)?;
    let tag = tag();
    let timed_from = Instant::now() + ground.warm;
    let until = timed_from + ground.window;
    let sending = tokio::spawn({
        let (host, tag) = (ground.host, tag.clone());
        async move { batch::send(host, sale, &tag, timed_from, until).await }
    });
    tokio::time::sleep(ground.warm).await;
    let from = Edge::now(&ground.pids);
    tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    let window = Window::between(&from, &Edge::now(&ground.pids));
    let told = sending.await.map_err(|e| (Verdict::Invalid, e.to_string()))?;
    let audits = api.audits(&[sale], vec![told.tally()]).await.map_err(|e| (Verdict::Invalid, e))?;
    let audit = audits.first().ok_or((Verdict::Invalid, "no audit".to_owned()))?;
    let outcome = Outcome {
        seconds: window.seconds,
        answers: told.timed,
        latency_us: told.latency().map(|latency| ("sold".to_owned(), latency)).into_iter().collect(),
        cpu_us: window.cpu,
        foreign_cores: window.foreign_cores,
        stolen_cores: window.stolen_cores,
        ledger_orders: audit.evidence.orders.unsigned_abs(),
        verdict: Some(audit.verdict),
        reason: audit.reason.clone(),
        ..blank(cell)
    };
    Ok(outcome.rated(window.seconds))
}

/// Units of each sale.
fn units(cell: &Cell, pace: f64, window: Duration) -> i64 {
    let sold = pace * window.as_secs_f64();
    let all = match cell.kind {
        Kind::Accepted => (sold * PLENTY).max(UNITS_MIN),
        Kind::Mixed => (sold * SELLING).max(1.0),
        Kind::Rejected => return FEW_UNITS,
    };
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^53, and whole units are meant")]
    let each = (all / cell.items as f64).ceil() as i64;
    // Some sales are chosen more often than others.
    if cell.items > 1 { 2 * each + 64 } else { each }
}

/// Orders per second that were sold. Untimed, unjudged.
async fn warm_up(ground: &Ground, cell: &Cell, sale: Uuid) -> Result<f64, Failed> {
    let warm = Ground { api: None, window: ground.warm, ..*ground };
    let load = start(&warm, cell, vec![sale]).map_err(|e| (Verdict::Invalid, e))?;
    let (heard, window) = timed(&warm, load).await.map_err(|e| (Verdict::Invalid, e))?;
    Ok(heard.timed.answers.sold as f64 / selling(&heard.timed, &window))
}

/// From the beginning of the window to its last yes; all of it where nobody was refused.
fn selling(timed: &Timed, window: &Window) -> f64 {
    let last = timed.last_sold.map(|last| last.saturating_duration_since(window.from).as_secs_f64());
    match last {
        Some(last) if timed.answers.sold_out > 0 => last.min(window.seconds),
        _ => window.seconds,
    }
}

/// What was measured, as it is kept.
pub fn told(cell: &Cell, timed: &Timed, window: &Window, judged: Judged) -> Outcome {
    let outcome = Outcome {
        seconds: window.seconds,
        answers: timed.answers,
        latency_us: timed.latency_us(),
        cpu_us: window.cpu,
        foreign_cores: window.foreign_cores,
        stolen_cores: window.stolen_cores,
        ledger_orders: judged.orders,
        verdict: judged.verdict,
        reason: judged.reason,
        ..blank(cell)
    };
    outcome.rated(selling(timed, window))
}

/// A run of which nothing is known yet.
pub fn blank(cell: &Cell) -> Outcome {
    Outcome {
        round: 0,
        strategy: cell.strategy.clone(),
        kind: cell.kind,
        client: cell.client,
        concurrency: cell.concurrency,
        items: cell.items,
        seconds: 0.0,
        answers: Answers::default(),
        per_s: None,
        accepted_per_s: None,
        rejected_per_s: None,
        latency_us: BTreeMap::new(),
        cpu_us: crate::outcome::Cpu::default(),
        foreign_cores: None,
        stolen_cores: None,
        ledger_orders: 0,
        verdict: Some(Verdict::Invalid),
        reason: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(kind: Kind, items: usize) -> Cell {
        Cell { strategy: "x".into(), client: Client::Raw, kind, concurrency: 256, items }
    }

    #[test]
    fn plenty_does_not_run_out_and_mixed_does_before_half_of_the_time() {
        let five = Duration::from_secs(5);
        assert_eq!(units(&cell(Kind::Accepted, 1), 1_000.0, five), 40_000);
        assert_eq!(units(&cell(Kind::Accepted, 1), 0.0, five), 5_000);
        assert_eq!(units(&cell(Kind::Mixed, 1), 1_000.0, five), 2_000);
        assert_eq!(units(&cell(Kind::Rejected, 1), 0.0, five), 64);
        assert_eq!(units(&cell(Kind::Accepted, 1_000), 1_000.0, five), 2 * 40 + 64);
    }
}
