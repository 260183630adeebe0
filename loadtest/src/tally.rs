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
use sellout::wire::{Answers, Latency, SeriesPoint, Tally};

use crate::answer::Answer;
use crate::crowd::PlannedOrder;
use crate::curve::Curve;
use crate::ending::Ended;
use crate::operation::Operation;

/// Listens to every buyer of one sale.
#[derive(Default)]
pub struct Witness {
    in_flight: AtomicU64,
    peak: AtomicU64,
    answered: AtomicU64,
    ended: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    keys: HashMap<String, Operation>,
    answers: Answers,
    sold_out_quantity_min: Option<i64>,
    latency: BTreeMap<&'static str, Histogram<u64>>,
    first_sent: Option<Instant>,
    /// From the first request to the last answer, without the rests.
    busy: Duration,
    /// From the first request to where the last key was told yes for the first time: units were left then.
    busy_selling: Duration,
    curve: Curve,
    last_answer: Option<Instant>,
    rested: Duration,
    resting: bool,
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
    /// Units told sold since the first request.
    pub series: Vec<SeriesPoint>,
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
        if std::mem::take(&mut notes.resting)
            && let Some(since) = notes.last_answer
        {
            notes.rested += now.duration_since(since);
        }
        now
    }

    /// Its answer came, or it is clear that none will.
    pub fn heard(&self, order: &PlannedOrder, answer: Answer, took: Duration) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.answered.fetch_add(1, Ordering::Relaxed);
        let mut notes = self.notes();
        notes.count(answer, order.quantity);
        notes.time(answer.name(), took);
        let new_yes = notes.keys.get_mut(&order.key).is_some_and(|operation| operation.heard(answer));
        notes.goes_on(new_yes.then_some(order.quantity));
    }

    /// A held order is about to be confirmed or released. Returns when.
    pub fn ending(&self, order: &PlannedOrder) -> Instant {
        if let Some(operation) = self.notes().keys.get_mut(&order.key) {
            operation.ending();
        }
        Instant::now()
    }

    /// And so it was. No attempt of its own; but where it went wrong, the order went wrong with it.
    pub fn ended(&self, order: &PlannedOrder, ended: Ended, took: Duration) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        let mut notes = self.notes();
        if let Some(verb) = order.hold.and_then(|hold| hold.then.verb()) {
            notes.time(verb, took);
        }
        let Some(operation) = notes.keys.get_mut(&order.key) else {
            return;
        };
        let new_yes = operation.ended(ended);
        if matches!(ended, Ended::Error | Ended::Unknown) && operation.fails() {
            notes.answers.sold -= 1;
            match ended {
                Ended::Error => notes.answers.error += 1,
                _ => notes.answers.unknown += 1,
            }
        }
        notes.goes_on(new_yes.then_some(order.quantity));
    }

    /// Units may have come back since somebody was refused, and no request is under way. Who was told sold
    /// out before was told the truth, and says nothing about what is left at the end.
    pub fn units_came_back(&self) {
        let mut notes = self.notes();
        notes.sold_out_quantity_min = None;
        notes.resting = true;
    }

    /// Changes with every answer, of whatever kind.
    pub fn signs_of_life(&self) -> u64 {
        self.answered() + self.ended.load(Ordering::Relaxed)
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
        let sold = notes.keys.values().filter(|k| k.is_yes()).count() as u64;
        let seconds = notes.busy.as_secs_f64();
        Figures {
            seconds,
            accepted_per_s: per_second(sold, notes.busy_selling.as_secs_f64()),
            rejected_per_s: per_second(notes.answers.sold_out + notes.answers.rejected, seconds),
            series: notes.curve.points(notes.elapsed()),
            latency_us: notes.latency.iter().map(|(name, h)| ((*name).to_owned(), latency(h))).collect(),
        }
    }

    /// A buyer that panicked while noting leaves true notes behind, so a poisoned lock is no reason to stop.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// An answer is there; perhaps so many units were told sold by it.
    fn goes_on(&mut self, told_sold: Option<i64>) {
        self.last_answer = Some(Instant::now());
        let since_start = self.elapsed();
        self.busy = since_start.saturating_sub(self.rested);
        if let Some(units) = told_sold {
            self.busy_selling = self.busy;
            self.curve.sold(since_start, units);
        }
    }

    /// From the first request to the last answer, rests included.
    fn elapsed(&self) -> Duration {
        let both = self.first_sent.zip(self.last_answer);
        both.map_or(Duration::ZERO, |(first, last)| last.duration_since(first))
    }

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

    /// Units that endless stock would have sold in the end: per key once, per buyer up to the limit.
    fn demand(&self, limit: Option<i64>) -> i64 {
        let mut per_buyer: HashMap<&str, i64> = HashMap::new();
        for operation in self.keys.values() {
            *per_buyer.entry(&operation.buyer_id).or_default() += operation.wanted();
        }
        per_buyer.values().map(|units| limit.map_or(*units, |limit| limit.min(*units))).sum()
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
    use uuid::Uuid;

    use super::*;
    use crate::crowd::{Hold, Then};

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

    #[test]
    fn a_hold_is_one_attempt_whatever_becomes_of_it_and_its_end_has_a_latency_of_its_own() {
        let witness = Witness::default();
        for (n, ended) in [(1, Ended::Done), (2, Ended::TooLate), (3, Ended::Unknown), (4, Ended::Error)] {
            let hold = Some(Hold { seconds: 1, then: Then::Confirm });
            let order = PlannedOrder { hold, ..PlannedOrder::new(n, 1) };
            witness.sending(&order);
            witness.heard(&order, yes(n.into()), Duration::from_millis(3));
            for _ in 0..2 {
                witness.ending(&order);
                witness.ended(&order, ended, Duration::from_millis(1));
            }
        }
        let tally = witness.tally(None);
        assert_eq!((tally.attempts, tally.answers.total()), (4, 4));
        assert_eq!((tally.answers.sold, tally.answers.unknown, tally.answers.error), (2, 1, 1));
        assert_eq!(tally.told_yes.iter().map(|t| t.key.as_str()).collect::<Vec<_>>(), ["k1"]);
        assert_eq!(tally.unknown_keys, ["k3"]);
        let latency = witness.figures().latency_us;
        assert_eq!(
            latency.iter().map(|(k, l)| (k.as_str(), l.count)).collect::<Vec<_>>(),
            [("confirm", 8), ("sold", 4)]
        );
    }

    #[test]
    fn only_who_was_refused_after_the_last_units_came_back_bears_witness_against_what_is_left() {
        let witness = Witness::default();
        hear(&witness, 1, Answer::SoldOut);
        witness.units_came_back();
        assert_eq!(witness.tally(None).sold_out_quantity_min, None);
        assert_eq!(witness.tally(None).answers.sold_out, 1);
        hear(&witness, 2, Answer::SoldOut);
        assert_eq!(witness.tally(None).sold_out_quantity_min, Some(2));
    }

    #[test]
    fn a_rest_between_two_waves_makes_nobody_slower() {
        let witness = Witness::default();
        hear(&witness, 1, yes(1));
        let a_minute_ago = Instant::now().checked_sub(Duration::from_secs(60));
        (witness.notes().first_sent, witness.notes().last_answer) = (a_minute_ago, a_minute_ago);
        witness.units_came_back();
        hear(&witness, 2, yes(2));
        let (seconds, accepted) = (witness.figures().seconds, witness.figures().accepted_per_s);
        assert!(seconds < 1.0 && accepted > 2.0, "{seconds} s, {accepted}/s");
    }
}
