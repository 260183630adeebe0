//! One strategy: open its sales, let the buyers go, wait until it is quiet, hand in what they heard,
//! read, and have it judged. Whatever goes wrong on the way becomes a row that says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sellout::audit;
use sellout::wire::{NewSale, RunResult, SaleView, StrategyCard, Tally, Trace};
use uuid::Uuid;

use crate::args::Args;
use crate::attack::{Ground, attack};
use crate::client::{Failure, Service};
use crate::cpu;
use crate::crowd::Errand;
use crate::hall::{Hall, Stall};
use crate::history::History;
use crate::interrupt;
use crate::plan::plan;
use crate::progress::Progress;
use crate::settle;
use crate::tally::Figures;
use crate::together::together;
use crate::verdict::{Case, Judged};

/// The ledger and the audit are two calls; something may happen between them once, not again and again.
const READ_TIMES: u32 = 3;

/// What all strategies of a run share.
pub struct Desk {
    /// The service.
    pub service: Service,
    /// What was asked for.
    pub args: Args,
    /// Units at opening.
    pub opening: i64,
    /// The run's name, in keys.
    pub run_id: String,
    /// The run's seed.
    pub seed: u64,
    /// The run's history.
    pub history: Arc<History>,
    /// The eye's part.
    pub progress: Progress,
    /// Was it said already that tallies are refused?
    pub tally_warned: AtomicBool,
}

/// A judged row, and why no other strategy can be run, if so.
pub struct Outcome {
    /// The row.
    pub row: RunResult,
    /// In words.
    pub broken: Option<String>,
}

impl Desk {
    /// Opens the sales of a strategy.
    pub async fn open(&self, card: &StrategyCard) -> Result<Vec<SaleView>, Failure> {
        let (scenario, mut opened) = (self.args.scenario, Vec::new());
        for n in 1..=scenario.sales() {
            let which = if scenario.sales() > 1 { format!(", sale {n}") } else { String::new() };
            let sale = NewSale {
                name: format!("{}: {}{which}", scenario.name(), card.id),
                units: self.opening,
                strategy: card.id.clone(),
                per_buyer_limit: self.args.limit(),
                race_window_ms: self.args.window(),
                ..NewSale::default()
            };
            opened.push(self.service.open_sale(&sale).await?);
        }
        Ok(opened)
    }

    /// Attacks open sales and judges them. `position` counts strategies from 0.
    pub async fn run(&self, card: &StrategyCard, sales: &[Uuid], position: usize) -> Outcome {
        let hall = Arc::new(Hall::new(sales));
        let waves = self.waves(position);
        let planned = waves.iter().map(Vec::len).sum();
        let cpu_before = self.args.service_pid.and_then(cpu::tree_us);
        let bar = self.progress.watch(&hall.witness, planned, position, &card.id);
        let fought = self.fight(&hall, waves, position).await;
        bar.stop();
        let cpu_after = self.args.service_pid.and_then(cpu::tree_us);

        let (sale, judged, broken) = self.judge_all(card, &hall, fought).await;
        let mut row = row(card, sale, judged);
        row.trace = self.trace(sale, broken.is_some()).await;
        let tally = hall.witness.tally(self.args.limit());
        add_figures(&mut row, &tally, hall.witness.figures());
        row.service_cpu_us_per_attempt = cpu_before
            .zip(cpu_after)
            .filter(|_| tally.attempts > 0)
            .map(|(before, after)| (after - before) / tally.attempts as f64);
        Outcome { row, broken }
    }

    /// How it was decided, where the service has recorded that; it is no evidence, so a refusal is no fault.
    async fn trace(&self, sale: Option<Uuid>, broken: bool) -> Option<Trace> {
        match sale {
            Some(sale) if !broken => self.service.trace(sale).await.ok(),
            _ => None,
        }
    }

    /// Each sale by itself, and all of them together.
    async fn judge_all(
        &self,
        card: &StrategyCard,
        hall: &Hall,
        fought: Result<Result<(), Failure>, String>,
    ) -> (Option<Uuid>, Judged, Option<String>) {
        let (mut all, mut broken) = (Vec::new(), None);
        for Stall { sale, witness } in &hall.stalls {
            let tally = witness.tally(self.args.limit());
            let (judged, why) = match &fought {
                Ok(settled) => self.judge(card, *sale, &tally, settled).await,
                Err(why) => {
                    let unread = format!("The attack broke off: {why}.");
                    (self.case(card, &tally, false).unread(unread), Some(why.clone()))
                }
            };
            broken = broken.or(why);
            all.push((*sale, judged));
        }
        match together(all) {
            Some((sale, judged)) => (Some(sale), judged, broken),
            None => (None, Judged::skipped(self.opening, "It had no sale.".into()), broken),
        }
    }

    fn waves(&self, position: usize) -> Vec<Vec<Errand>> {
        let prefix = format!("{}-{position}-", self.run_id);
        plan(self.args.scenario, &self.args.crowd(), self.seed, &prefix)
    }

    /// One wave after another, each until all is quiet. An error is a sentence: an attack broke off.
    async fn fight(
        &self,
        hall: &Arc<Hall>,
        waves: Vec<Vec<Errand>>,
        position: usize,
    ) -> Result<Result<(), Failure>, String> {
        let mut op = position as u64 * self.args.attempts;
        for wave in waves {
            if interrupt::asked() {
                break;
            }
            let (first_op, holds) = (op, wave.iter().any(Errand::holds));
            op += wave.len() as u64;
            let buyers = usize::try_from(self.args.buyers).unwrap_or(usize::MAX);
            let (service, history) = (self.service.clone(), Arc::clone(&self.history));
            let ground = Ground::new(service, Arc::clone(hall), wave, buyers, history, first_op);
            attack(&Arc::new(ground), &self.args).await?;
            if let Err(failure) = self.settle(hall, holds).await {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// Waits until no order is under way, nor any hold left to run out.
    async fn settle(&self, hall: &Hall, holds: bool) -> Result<(), Failure> {
        for Stall { sale, witness } in &hall.stalls {
            settle::quiet(&self.service, *sale).await?;
            if holds {
                settle::no_hold_is_left(&self.service, *sale, self.opening).await?;
                witness.units_came_back();
            }
        }
        Ok(())
    }

    async fn judge(
        &self,
        card: &StrategyCard,
        sale: Uuid,
        tally: &Tally,
        settled: &Result<(), Failure>,
    ) -> (Judged, Option<String>) {
        let unread = |failure: &Failure| {
            (self.case(card, tally, false).unread(unreadable("sale", failure)), gone(failure))
        };
        if let Err(failure) = settled {
            return unread(failure);
        }
        match self.hand_in(sale, tally).await {
            Ok(taken) => self.read(sale, &self.case(card, tally, taken)).await,
            Err(failure) => unread(&failure),
        }
    }

    async fn read(&self, sale: Uuid, case: &Case<'_>) -> (Judged, Option<String>) {
        let mut tried = 0;
        loop {
            tried += 1;
            let ledger = match self.service.ledger(sale).await {
                Ok(ledger) => ledger,
                Err(failure) => {
                    return (case.unread(unreadable("ledger", &failure)), gone(&failure));
                }
            };
            let judged = match self.service.audit(sale).await {
                Ok(audit) => case.judge(&ledger, &audit),
                Err(failure) => return (case.judge_alone(&ledger, &failure), gone(&failure)),
            };
            if !judged.disputed || tried == READ_TIMES {
                return (judged, None);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    fn case<'a>(&self, card: &'a StrategyCard, tally: &'a Tally, taken: bool) -> Case<'a> {
        let oversells_in = card.oversells_in.as_deref();
        let (declared, limit) = (card.guarantee, self.args.limit());
        Case { declared, oversells_in, opening: self.opening, limit, tally, taken }
    }

    /// Gives the service what the buyers heard. `false`: it takes none (lab mode is off).
    async fn hand_in(&self, sale: Uuid, tally: &Tally) -> Result<bool, Failure> {
        match self.service.put_tally(sale, tally).await {
            Ok(()) => Ok(true),
            Err(Failure::Refused(status, said)) => {
                if !self.tally_warned.swap(true, Ordering::Relaxed) {
                    eprintln!(
                        "sellout-load: no tally is taken ({status}: {said}): our own count judges alone."
                    );
                }
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Is nobody there any more? Then in words.
pub fn gone(failure: &Failure) -> Option<String> {
    matches!(failure, Failure::Unreachable(_)).then(|| "the service stopped answering".into())
}

fn unreadable(what: &str, failure: &Failure) -> String {
    format!("The {what} could not be read after the run ({failure}).")
}

/// The row of a judged or skipped strategy; figures are added where there are some.
pub fn row(card: &StrategyCard, sale_id: Option<Uuid>, judged: Judged) -> RunResult {
    RunResult {
        strategy: card.id.clone(),
        declared: card.guarantee,
        verdict: judged.verdict,
        reason: judged.reason,
        as_declared: audit::as_declared(card.guarantee, judged.verdict),
        sale_id,
        evidence: judged.evidence,
        attempts: 0,
        answers: Default::default(),
        seconds: 0.0,
        accepted_per_s: 0.0,
        rejected_per_s: 0.0,
        latency_us: Default::default(),
        peak_in_flight: 0,
        service_cpu_us_per_attempt: None,
        series: Vec::new(),
        trace: None,
    }
}

fn add_figures(row: &mut RunResult, tally: &Tally, figures: Figures) {
    row.attempts = tally.attempts;
    row.answers = tally.answers;
    row.peak_in_flight = tally.peak_in_flight;
    row.seconds = figures.seconds;
    row.accepted_per_s = figures.accepted_per_s;
    row.rejected_per_s = figures.rejected_per_s;
    row.latency_us = figures.latency_us;
    row.series = figures.series;
}
