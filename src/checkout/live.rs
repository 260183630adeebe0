//! What this process has answered: gauges for the page and Prometheus, never evidence.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::Placed;
use crate::sale::Error;
use crate::wire::Live;

/// Counts of one sale.
#[derive(Default)]
pub(super) struct Counters {
    in_flight: AtomicU64,
    answered: AtomicU64,
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

/// The outcome as a metric label.
fn outcome(placed: &Result<Placed, Error>) -> &'static str {
    match placed {
        Ok(Placed::Sold { replayed: false, .. }) => "sold",
        Ok(Placed::Sold { .. }) => "replayed",
        Ok(Placed::SoldOut) => "sold_out",
        Err(Error::Contended(_)) => "contended",
        Err(Error::Unavailable(_)) => "unavailable",
        Err(Error::Unknown(_)) => "unknown",
        Err(Error::InProgress) => "in_progress",
        Err(Error::BuyerLimit) => "buyer_limit",
        Err(Error::KeyUsed | Error::KeyReused) => "key_reused",
        Err(Error::Overloaded) => "shed",
        Err(Error::Stale) => "stale",
        Err(Error::NotOpen | Error::Ended) => "closed",
        Err(Error::Unsupported(_) | Error::HoldExpired | Error::WrongState(_) | Error::BelowSold) => {
            "refused"
        }
    }
}

/// Tells Prometheus.
pub(super) fn measure(strategy: &'static str, placed: &Result<Placed, Error>, took: Duration) {
    let labels = [("strategy", strategy), ("outcome", outcome(placed))];
    metrics::counter!("sellout_orders_total", &labels).increment(1);
    metrics::histogram!("sellout_order_duration_seconds", &labels).record(took.as_secs_f64());
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
