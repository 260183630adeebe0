//! One timed load on sales that are open already, and its verdict.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Run;
use super::memory;
use crate::heard::Heard;
use crate::judge::{self, Judged};
use crate::load::{Load, Plan};
use crate::once;
use crate::outcome::{Client, Kind, Outcome};
use crate::shot::{self, Cell, Ground};
use crate::window::{Edge, Window};

/// Buyers have all begun by then; nothing is timed before.
const RUN_IN: Duration = Duration::from_millis(500);
/// Before a fresh sale is timed.
const WARM: Duration = Duration::from_millis(800);
/// How often the service's memory is looked at.
const SAMPLE: Duration = Duration::from_millis(20);
/// An audit of each of ten thousand sales takes longer than all else; so many of them are judged.
const JUDGED_MAX: usize = 1_000;

/// A load.
#[derive(Clone, Copy)]
pub struct Volley<'a> {
    /// The strategy of its sales.
    pub strategy: &'a str,
    /// Them.
    pub sales: &'a [Uuid],
    /// Connections.
    pub connections: usize,
    /// Orders per second that are offered; none: as many as are answered.
    pub offered: Option<f64>,
    /// Whoever is refused comes back after so long.
    pub back_off: Duration,
}

impl Volley<'_> {
    /// As many orders as are answered, and who is refused asks again at once.
    pub fn new<'a>(strategy: &'a str, sales: &'a [Uuid], connections: usize) -> Volley<'a> {
        Volley { strategy, sales, connections, offered: None, back_off: Duration::ZERO }
    }
}

/// What came of it.
pub struct Fired {
    /// The outcome; its rate stands only where the audit said so.
    pub outcome: Outcome,
    /// The most memory that the service had meanwhile.
    pub memory: u64,
    /// The most orders that were under way at once.
    pub under_way: u64,
}

impl Run {
    /// A load on a fresh sale of its own, warmed up, timed, judged.
    pub async fn fresh(&self, strategy: &str) -> Result<Outcome, String> {
        let window = once::seconds(self.options.seconds())?;
        let ground = Ground {
            host: self.stage.host()?,
            api: Some(self.stage.api()?),
            pids: self.stage.pids(),
            seed: self.options.seed,
            warm: WARM.min(window),
            window,
        };
        Ok(shot::fire(&ground, &cell(strategy, self.options.connections(), 1)).await)
    }

    /// A load on sales that are open and that nobody has bought of yet: the audit knows of no other load.
    pub async fn fire(&self, volley: &Volley<'_>) -> Result<Fired, String> {
        let window = once::seconds(self.options.seconds())?;
        let load = self.start(volley)?;
        let begun = Instant::now();
        while begun.elapsed() < RUN_IN.min(window) {
            tokio::time::sleep(SAMPLE).await;
        }
        if load.is_over() {
            return Err(load.finish().err().unwrap_or_else(|| "the client ended early".into()));
        }
        let from = Edge::now(&self.stage.pids());
        load.phase().start();
        let (begun, mut most) = (Instant::now(), 0);
        while begun.elapsed() < window {
            most = most.max(self.stage.memory()?.now);
            tokio::time::sleep(SAMPLE).await;
        }
        load.phase().stop();
        let window = Window::between(&from, &Edge::now(&self.stage.pids()));
        let heard = load.finish()?;
        let judged = self.judge(volley.sales, &heard).await?;
        let cell = cell(volley.strategy, volley.connections, volley.sales.len());
        let outcome = shot::told(&cell, &heard.timed, &window, judged);
        Ok(Fired { outcome, memory: most, under_way: heard.peak() })
    }

    /// Lets the buyers go.
    pub fn start(&self, volley: &Volley<'_>) -> Result<Load, String> {
        let apart = volley.offered.map_or(0.0, |per_s| volley.connections as f64 / per_s);
        Load::start(Plan {
            host: self.stage.host()?,
            sales: volley.sales.to_vec(),
            connections: volley.connections,
            tag: shot::tag(),
            seed: self.options.seed,
            pace: Duration::try_from_secs_f64(apart).unwrap_or_default(),
            back_off: volley.back_off,
        })
    }

    async fn judge(&self, sales: &[Uuid], heard: &Heard) -> Result<Judged, String> {
        // Spread over all of them, and the same ones with the same number of sales.
        let step = sales.len().div_ceil(JUDGED_MAX);
        let some: Vec<Uuid> = sales.iter().copied().step_by(step).collect();
        let tallies = heard.tallies().into_iter().step_by(step).collect();
        let audits = self.stage.api()?.audits(&some, tallies).await?;
        let judged = judge::together(&audits, heard.peak());
        let orders = audits.iter().map(|audit| audit.evidence.orders.unsigned_abs()).sum();
        let reason = if step > 1 {
            format!("{} of {} sales judged: {}", some.len(), sales.len(), judged.reason)
        } else {
            judged.reason
        };
        Ok(Judged { verdict: judged.verdict, orders, reason })
    }

    /// The service's memory once it has stopped moving, in bytes.
    pub async fn settled(&self) -> Result<u64, String> {
        let pid = self.stage.pids().service.ok_or("the service does not run")?;
        let mut before = memory::of(pid)?.now;
        for _ in 0..20 {
            tokio::time::sleep(5 * SAMPLE).await;
            let now = memory::of(pid)?.now;
            if now.abs_diff(before) < 64 * 1024 {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }
}

fn cell(strategy: &str, concurrency: usize, items: usize) -> Cell {
    Cell { strategy: strategy.into(), client: Client::Raw, kind: Kind::Accepted, concurrency, items }
}
