//! How many orders of a strategy are worked on at once, and how many wait for it. Beyond that a buyer is
//! told at once that nothing was taken: a queue that is longer than its patience serves only buyers who have
//! left.
//!
//! The queue is first come, first served, and all have the same patience, so whoever has waited longest is
//! the first to be sent away. What becomes of orders later on (confirm, release, expire) does not stand in
//! it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::sale::Error;
use crate::strategies;

/// A gate per strategy: a slow one does not keep the buyers of the others waiting.
pub(super) struct Admission {
    gates: HashMap<&'static str, Gate>,
    queue_max: usize,
    patience: Duration,
}

struct Gate {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Counted out when dropped, also by a client who hangs up while he waits.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Admission {
        let gate = || Gate {
            free: Arc::new(Semaphore::new(limits.in_flight_max.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        };
        Admission {
            gates: strategies::ALL.iter().map(|spec| (spec.id, gate())).collect(),
            queue_max: limits.queue_max,
            patience: limits.queue_wait(),
        }
    }

    /// The right to be worked on, until it is dropped; or [`Error::Overloaded`], with nothing taken.
    pub(super) async fn enter(&self, strategy: &str) -> Result<OwnedSemaphorePermit, Error> {
        let gate = self.gates.get(strategy).ok_or(Error::Overloaded)?;
        if let Ok(permit) = Arc::clone(&gate.free).try_acquire_owned() {
            return Ok(permit);
        }
        let before = gate.waiting.fetch_add(1, Relaxed);
        let _queued = Queued(&gate.waiting);
        if before >= self.queue_max {
            return Err(shed("full"));
        }
        match tokio::time::timeout(self.patience, Arc::clone(&gate.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(shed("expired")),
        }
    }
}

fn shed(why: &'static str) -> Error {
    metrics::counter!("sellout_shed_total", "why" => why).increment(1);
    Error::Overloaded
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        limits: Limits,
    }

    fn admission(in_flight: &str, queue: &str, wait_ms: &str) -> Arc<Admission> {
        let names = ["--in-flight-max", in_flight, "--queue-max", queue, "--queue-wait-ms", wait_ms];
        Arc::new(Admission::new(&Settings::parse_from([&["test"][..], &names].concat()).limits))
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_refused_at_once_and_who_waits_enters_in_turn() {
        let admission = admission("1", "1", "60000");
        let inside = admission.enter("naive").await.unwrap();
        let queue = Arc::clone(&admission);
        let waiting = tokio::spawn(async move { queue.enter("naive").await.is_ok() });
        while admission.gates["naive"].waiting.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(admission.enter("naive").await, Err(Error::Overloaded)));
        // Another strategy's buyers are none of its business.
        assert!(admission.enter("noop").await.is_ok());
        drop(inside);
        assert!(waiting.await.unwrap());
        assert_eq!(admission.gates["naive"].waiting.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn who_has_waited_too_long_is_sent_away_and_leaves_his_place() {
        let admission = admission("1", "1", "1");
        let _inside = admission.enter("naive").await.unwrap();
        for _ in 0..3 {
            assert!(matches!(admission.enter("naive").await, Err(Error::Overloaded)));
        }
        assert_eq!(admission.gates["naive"].waiting.load(Relaxed), 0);
    }
}
