//! What this process has answered: gauges for the page and Prometheus, never evidence.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::Placed;
use crate::sale::Error;
use crate::wire::Live;

/// Counts of one sale.
#[derive(Default)]
pub(super) struct Counters {
    in_flight: AtomicU64,
    answered: AtomicU64,
    sold_orders: AtomicU64,
    sold_units: AtomicU64,
    sold_out: AtomicU64,
    contended: AtomicU64,
    rejected: AtomicU64,
    unknown: AtomicU64,
}

/// An order under way; counted down when dropped, also by a panic.
pub(super) struct Entered<'a>(&'a Counters);

impl Counters {
    pub(super) fn enter(&self) -> Entered<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        Entered(self)
    }

    pub(super) fn sold_orders(&self) -> u64 {
        self.sold_orders.load(Relaxed)
    }

    pub(super) fn read(&self) -> Live {
        Live {
            in_flight: self.in_flight.load(Relaxed),
            answered: self.answered.load(Relaxed),
            sold_units: self.sold_units.load(Relaxed),
            sold_out: self.sold_out.load(Relaxed),
            contended: self.contended.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
        }
    }
}

impl Entered<'_> {
    pub(super) fn answered(&self, placed: &Result<Placed, Error>, quantity: i64) {
        let c = self.0;
        match placed {
            Ok(Placed::Sold { replayed: false, .. }) => {
                bump(&c.sold_orders);
                c.sold_units.fetch_add(quantity.unsigned_abs(), Relaxed);
            }
            Ok(Placed::Sold { .. }) => {}
            Ok(Placed::SoldOut) => bump(&c.sold_out),
            Err(Error::Unknown(_)) => bump(&c.unknown),
            Err(
                Error::KeyReused
                | Error::KeyUsed
                | Error::BuyerLimit
                | Error::NotOpen
                | Error::Ended
                | Error::Unsupported(_),
            ) => bump(&c.rejected),
            Err(_) => bump(&c.contended),
        }
        c.answered.fetch_add(1, Relaxed);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// What Prometheus is told of one strategy, by outcome: each looked up once, for a registry of names costs a
/// lock and a hash.
pub(super) struct Meters {
    strategy: &'static str,
    of: [OnceLock<(Counter, Histogram)>; OUTCOMES.len()],
}

impl Meters {
    pub(super) fn new(strategy: &'static str) -> Meters {
        Meters { strategy, of: Default::default() }
    }

    /// Answers which outcome it is.
    pub(super) fn measure(&self, placed: &Result<Placed, Error>, took: Duration) -> &'static str {
        let outcome = outcome(placed);
        let (count, seconds) = self.of[outcome].get_or_init(|| {
            let labels = [("strategy", self.strategy), ("outcome", OUTCOMES[outcome])];
            let count = metrics::counter!("sellout_orders_total", &labels);
            (count, metrics::histogram!("sellout_order_duration_seconds", &labels))
        });
        count.increment(1);
        seconds.record(took.as_secs_f64());
        OUTCOMES[outcome]
    }
}

/// The outcomes as metric labels.
const OUTCOMES: [&str; 13] = [
    "sold",
    "replayed",
    "sold_out",
    "contended",
    "unavailable",
    "unknown",
    "in_progress",
    "buyer_limit",
    "key_reused",
    "shed",
    "stale",
    "closed",
    "refused",
];

/// Which of them it is.
fn outcome(placed: &Result<Placed, Error>) -> usize {
    match placed {
        Ok(Placed::Sold { replayed: false, .. }) => 0,
        Ok(Placed::Sold { .. }) => 1,
        Ok(Placed::SoldOut) => 2,
        Err(Error::Contended(_)) => 3,
        Err(Error::Unavailable(_)) => 4,
        Err(Error::Unknown(_)) => 5,
        Err(Error::InProgress) => 6,
        Err(Error::BuyerLimit) => 7,
        Err(Error::KeyUsed | Error::KeyReused) => 8,
        Err(Error::Overloaded) => 9,
        Err(Error::Stale) => 10,
        Err(Error::NotOpen | Error::Ended) => 11,
        Err(Error::Unsupported(_) | Error::HoldExpired | Error::WrongState(_) | Error::BelowSold) => 12,
    }
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
