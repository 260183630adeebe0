//! The second witness: which key was told what. One thread sends and listens, so there is nothing to lock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use sellout::wire::{Answers, Latency, Tally, ToldYes};
use uuid::Uuid;

use crate::answer::Answer;
use crate::request;

/// What one run was told.
pub struct Heard {
    /// Begins all its keys and buyers.
    pub tag: String,
    items: Vec<Item>,
    yes: Vec<(u64, usize, Uuid)>,
    unknown: Vec<(u64, usize)>,
    /// Per connection the order that it waits for.
    waiting: Vec<Option<(u64, usize)>>,
    under_way: u64,
    peak: u64,
    /// Within the timed window.
    pub timed: Timed,
}

/// What happened within the timed window.
#[derive(Default)]
pub struct Timed {
    /// Answers.
    pub answers: Answers,
    /// By class: request sent to answer read, in microseconds.
    latency: BTreeMap<&'static str, Histogram<u64>>,
    /// The last yes.
    pub last_sold: Option<Instant>,
}

/// One sale of the run.
#[derive(Clone, Copy, Default)]
struct Item {
    attempts: u64,
    answers: Answers,
    under_way: u64,
    peak: u64,
}

impl Heard {
    /// Nothing yet.
    pub fn new(tag: String, items: usize, connections: usize) -> Heard {
        Heard {
            tag,
            items: vec![Item::default(); items],
            yes: Vec::new(),
            unknown: Vec::new(),
            waiting: vec![None; connections],
            under_way: 0,
            peak: 0,
            timed: Timed::default(),
        }
    }

    /// Connection `at` is about to send order `n` for a sale.
    pub fn sending(&mut self, at: usize, n: u64, item: usize) {
        let of = &mut self.items[item];
        of.attempts += 1;
        of.under_way += 1;
        of.peak = of.peak.max(of.under_way);
        self.under_way += 1;
        self.peak = self.peak.max(self.under_way);
        self.waiting[at] = Some((n, item));
    }

    /// Its answer came, or it is clear that none will. `timed`: within the window.
    pub fn heard(&mut self, at: usize, answer: Answer, took: Duration, timed: bool) {
        let Some((n, item)) = self.waiting[at].take() else { return };
        self.under_way -= 1;
        self.items[item].under_way -= 1;
        count(&mut self.items[item].answers, answer);
        match answer {
            Answer::Sold(id) => self.yes.push((n, item, id)),
            Answer::Unknown => self.unknown.push((n, item)),
            _ => {}
        }
        if timed {
            self.timed.note(answer, took);
        }
    }

    /// Nobody listens any more: what was not answered may have happened.
    pub fn close(&mut self) {
        for at in 0..self.waiting.len() {
            self.heard(at, Answer::Unknown, Duration::ZERO, false);
        }
    }

    /// The most orders that were under way at once, over all sales.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Per sale, in the shape that the service takes.
    pub fn tallies(&self) -> Vec<Tally> {
        let mut tallies: Vec<Tally> = self.items.iter().map(Item::tally).collect();
        for (n, item, order_id) in &self.yes {
            tallies[*item].told_yes.push(ToldYes {
                key: request::key(&self.tag, *n),
                order_id: *order_id,
                buyer_id: request::buyer(&self.tag, *n),
                quantity: 1,
            });
        }
        for (n, item) in &self.unknown {
            tallies[*item].unknown_keys.push(request::key(&self.tag, *n));
        }
        tallies
    }
}

impl Item {
    fn tally(&self) -> Tally {
        Tally {
            attempts: self.attempts,
            answers: self.answers,
            peak_in_flight: self.peak,
            // Every key is sent once, by a buyer of its own, for one unit.
            demand_units: i64::try_from(self.attempts).unwrap_or(i64::MAX),
            sold_out_quantity_min: (self.answers.sold_out > 0).then_some(1),
            ..Tally::default()
        }
    }
}

impl Timed {
    fn note(&mut self, answer: Answer, took: Duration) {
        count(&mut self.answers, answer);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(histogram) = self.latency.get_mut(answer.name()) {
            histogram.saturating_record(us);
        } else if let Ok(mut histogram) = Histogram::new_with_bounds(1, 600_000_000, 3) {
            histogram.saturating_record(us);
            self.latency.insert(answer.name(), histogram);
        }
        if matches!(answer, Answer::Sold(_)) {
            self.last_sold = Some(Instant::now());
        }
    }

    /// Latency by class, of those that occurred.
    pub fn latency_us(&self) -> BTreeMap<String, Latency> {
        self.latency.iter().map(|(name, h)| ((*name).to_owned(), latency(h))).collect()
    }
}

fn count(answers: &mut Answers, answer: Answer) {
    match answer {
        Answer::Sold(_) => answers.sold += 1,
        Answer::SoldOut => answers.sold_out += 1,
        Answer::Contended => answers.contended += 1,
        Answer::Rejected => answers.rejected += 1,
        Answer::Error => answers.error += 1,
        Answer::Unknown => answers.unknown += 1,
    }
}

/// The percentiles that are reported.
pub fn latency(h: &Histogram<u64>) -> Latency {
    Latency {
        count: h.len(),
        p50: h.value_at_quantile(0.50),
        p90: h.value_at_quantile(0.90),
        p99: h.value_at_quantile(0.99),
        max: h.max(),
    }
}
