//! The second witness: what the clients were told, kept by the clients alone.
//!
//! The operation is the idempotency key, not the request: a key that was told yes once is a yes,
//! whatever its other attempts heard; a key without a yes but with a doubt is unknown; else it is a
//! no. An attempt without any answer (a buyer that died) is a doubt.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use sellout::wire::{Answers, Latency, Tally, ToldYes};
use uuid::Uuid;

use crate::answer::Answer;
use crate::crowd::PlannedOrder;

/// Listens to every buyer of one sale.
#[derive(Default)]
pub struct Witness {
    in_flight: AtomicU64,
    peak: AtomicU64,
    answered: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    keys: HashMap<String, Operation>,
    answers: Answers,
    sold_out_quantity_min: Option<i64>,
    latency: BTreeMap<&'static str, Histogram<u64>>,
    first_sent: Option<Instant>,
    last_answer: Option<Instant>,
    /// When the last key was told yes for the first time: units were left until then.
    last_new_yes: Option<Instant>,
}

/// One key and all that its attempts heard.
struct Operation {
    buyer_id: String,
    quantity: i64,
    sent: u64,
    answered: u64,
    order_ids: Vec<Uuid>,
    doubt: bool,
}

/// The speeds of one strategy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// First request to last answer.
    pub seconds: f64,
    /// Keys sold, per second from the first request to the last new yes.
    pub accepted_per_s: f64,
    /// Sold-out and limit answers, per second of the whole run.
    pub rejected_per_s: f64,
    /// Per class, from just before sending to the body read.
    pub latency_us: BTreeMap<String, Latency>,
}

impl Witness {
    /// An order is about to be sent. Returns when.
    pub fn sending(&self, order: &PlannedOrder) -> Instant {
        let mut notes = self.notes();
        let operation = notes.keys.entry(order.key.clone()).or_insert_with(|| Operation::new(order));
        operation.sent += 1;
        let under_way = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(under_way, Ordering::SeqCst);
        let now = Instant::now();
        notes.first_sent.get_or_insert(now);
        now
    }

    /// Its answer came, or it is clear that none will.
    pub fn heard(&self, order: &PlannedOrder, answer: Answer, took: Duration) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.answered.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut notes = self.notes();
        notes.last_answer = Some(now);
        notes.count(answer, order.quantity);
        notes.time(answer.name(), took);
        let Some(operation) = notes.keys.get_mut(&order.key) else {
            return;
        };
        operation.answered += 1;
        operation.doubt |= answer == Answer::Unknown;
        if let Answer::Sold(id) = answer
            && !operation.order_ids.contains(&id)
        {
            operation.order_ids.push(id);
            if operation.order_ids.len() == 1 {
                notes.last_new_yes = Some(now);
            }
        }
    }

    /// Answers so far, for the eye.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// All of it, in the shape that the service takes and the audit weighs.
    pub fn tally(&self, limit: Option<i64>) -> Tally {
        let notes = self.notes();
        let attempts = notes.keys.values().map(|k| k.sent).sum();
        let mut answers = notes.answers;
        answers.unknown += notes.keys.values().map(|k| k.sent - k.answered).sum::<u64>();
        let mut tally = Tally {
            attempts,
            answers,
            peak_in_flight: self.peak.load(Ordering::SeqCst),
            demand_units: notes.demand(limit),
            sold_out_quantity_min: notes.sold_out_quantity_min,
            told_yes: notes.keys.iter().flat_map(|(key, k)| k.told_yes(key)).collect(),
            unknown_keys: notes
                .keys
                .iter()
                .filter(|(_, k)| k.unknown())
                .map(|(key, _)| key.clone())
                .collect(),
        };
        tally.told_yes.sort_by(|a, b| (&a.key, a.order_id).cmp(&(&b.key, b.order_id)));
        tally.unknown_keys.sort();
        tally
    }

    /// How fast it went.
    pub fn figures(&self) -> Figures {
        let notes = self.notes();
        let since_start = |end: Option<Instant>| match (notes.first_sent, end) {
            (Some(start), Some(end)) => end.duration_since(start).as_secs_f64(),
            _ => 0.0,
        };
        let sold = notes.keys.values().filter(|k| !k.order_ids.is_empty()).count() as u64;
        let seconds = since_start(notes.last_answer);
        Figures {
            seconds,
            accepted_per_s: per_second(sold, since_start(notes.last_new_yes)),
            rejected_per_s: per_second(notes.answers.sold_out + notes.answers.rejected, seconds),
            latency_us: notes.latency.iter().map(|(name, h)| ((*name).to_owned(), latency(h))).collect(),
        }
    }

    /// A buyer that panicked while noting leaves true notes behind, so a poisoned lock is no reason to stop.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn count(&mut self, answer: Answer, quantity: i64) {
        let answers = &mut self.answers;
        match answer {
            Answer::Sold(_) => answers.sold += 1,
            Answer::SoldOut => answers.sold_out += 1,
            Answer::Contended => answers.contended += 1,
            Answer::Rejected => answers.rejected += 1,
            Answer::Error => answers.error += 1,
            Answer::Unknown => answers.unknown += 1,
        }
        if answer == Answer::SoldOut {
            let least = self.sold_out_quantity_min.map_or(quantity, |least| least.min(quantity));
            self.sold_out_quantity_min = Some(least);
        }
    }

    fn time(&mut self, class: &'static str, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(histogram) = self.latency.get_mut(class) {
            histogram.saturating_record(us);
        } else if let Ok(mut histogram) = Histogram::new_with_bounds(1, 600_000_000, 3) {
            histogram.saturating_record(us);
            self.latency.insert(class, histogram);
        }
    }

    /// Units that endless stock would have sold: per key once, per buyer up to the limit.
    fn demand(&self, limit: Option<i64>) -> i64 {
        let mut per_buyer: HashMap<&str, i64> = HashMap::new();
        for operation in self.keys.values() {
            *per_buyer.entry(&operation.buyer_id).or_default() += operation.quantity;
        }
        per_buyer.values().map(|units| limit.map_or(*units, |limit| limit.min(*units))).sum()
    }
}

impl Operation {
    fn new(order: &PlannedOrder) -> Self {
        Operation {
            buyer_id: order.buyer_id.clone(),
            quantity: order.quantity,
            sent: 0,
            answered: 0,
            order_ids: Vec::new(),
            doubt: false,
        }
    }

    fn told_yes(&self, key: &str) -> Vec<ToldYes> {
        let told = |order_id: &Uuid| ToldYes {
            key: key.to_owned(),
            order_id: *order_id,
            buyer_id: self.buyer_id.clone(),
            quantity: self.quantity,
        };
        self.order_ids.iter().map(told).collect()
    }

    fn unknown(&self) -> bool {
        self.order_ids.is_empty() && (self.doubt || self.sent > self.answered)
    }
}

fn per_second(n: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { n as f64 / seconds } else { 0.0 }
}

fn latency(h: &Histogram<u64>) -> Latency {
    Latency {
        count: h.len(),
        p50: h.value_at_quantile(0.50),
        p90: h.value_at_quantile(0.90),
        p99: h.value_at_quantile(0.99),
        max: h.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(witness: &Witness, n: u64, answer: Answer) {
        let order = PlannedOrder::new(n, 2);
        witness.sending(&order);
        witness.heard(&order, answer, Duration::from_millis(3));
    }

    fn yes(n: u128) -> Answer {
        Answer::Sold(Uuid::from_u128(n))
    }

    #[test]
    fn one_yes_among_the_attempts_of_a_key_is_a_yes_once() {
        let witness = Witness::default();
        for answer in [Answer::Unknown, yes(1), Answer::Contended, yes(1), Answer::SoldOut] {
            hear(&witness, 1, answer);
        }
        let tally = witness.tally(None);
        assert_eq!((tally.attempts, tally.answers.total()), (5, 5));
        assert_eq!(tally.answers.sold, 2);
        assert_eq!(tally.told_yes.len(), 1);
        assert!(tally.unknown_keys.is_empty());
        assert_eq!((tally.demand_units, tally.sold_out_quantity_min), (2, Some(2)));
    }

    #[test]
    fn two_order_ids_for_one_key_are_both_told() {
        let witness = Witness::default();
        hear(&witness, 1, yes(1));
        hear(&witness, 1, yes(2));
        assert_eq!(witness.tally(None).told_yes.len(), 2);
    }

    #[test]
    fn a_doubt_without_a_yes_is_unknown_and_a_refusal_is_a_no() {
        let witness = Witness::default();
        hear(&witness, 1, Answer::Unknown);
        hear(&witness, 1, Answer::SoldOut);
        hear(&witness, 2, Answer::SoldOut);
        assert_eq!(witness.tally(None).unknown_keys, ["k1"]);
    }

    #[test]
    fn an_attempt_that_was_never_answered_is_a_doubt_and_still_adds_up() {
        let witness = Witness::default();
        witness.sending(&PlannedOrder::new(1, 1));
        let tally = witness.tally(None);
        assert_eq!((tally.attempts, tally.answers.unknown), (1, 1));
        assert_eq!(tally.unknown_keys, ["k1"]);
    }

    #[test]
    fn demand_stops_at_the_limit_of_each_buyer() {
        let witness = Witness::default();
        for n in 0..4 {
            let order = PlannedOrder { buyer_id: "one".into(), ..PlannedOrder::new(n, 2) };
            witness.sending(&order);
        }
        hear(&witness, 9, yes(9));
        assert_eq!(witness.tally(Some(5)).demand_units, 5 + 2);
        assert_eq!(witness.tally(None).demand_units, 8 + 2);
        assert_eq!(witness.tally(None).peak_in_flight, 5);
    }

    #[test]
    fn only_classes_that_occurred_have_a_latency() {
        let witness = Witness::default();
        hear(&witness, 1, yes(1));
        let figures = witness.figures();
        assert_eq!(figures.latency_us.keys().collect::<Vec<_>>(), ["sold"]);
        assert!((2_990..=3_010).contains(&figures.latency_us["sold"].p99));
    }
}
