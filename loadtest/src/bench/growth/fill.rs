//! Many orders for one sale by the batch endpoint: what the ledger is filled with, timed as it goes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sellout::wire::Answers;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Run;
use crate::batch;
use crate::connection::Connection;
use crate::outcome::Cpu;
use crate::plan::BATCHES;
use crate::shot;
use crate::window::{Edge, Window};

/// Between two lines that say how far it is.
const SAID: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// A sale that takes nothing any more for so many batches is not to be filled.
const REFUSED_MAX: u64 = 50;

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// Orders that were sold.
    pub orders: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU time meanwhile.
    pub cpu_us: Cpu,
}

impl Fill {
    /// Orders per second.
    pub fn per_s(&self) -> Option<f64> {
        (self.seconds > 0.0 && self.orders > 0).then(|| self.orders as f64 / self.seconds)
    }

    /// CPU time per order, of all who have a part in it.
    pub fn cpu_per_order(&self) -> Option<f64> {
        let cpu = &self.cpu_us;
        let all = cpu.service? + cpu.postgres? + cpu.redis.unwrap_or(0.0);
        (self.orders > 0).then(|| all / self.orders as f64)
    }
}

impl Run {
    /// Sells so many orders of a sale.
    pub async fn fill(&self, sale: Uuid, orders: u64) -> Result<Fill, String> {
        let filling = Arc::new(Filling::new(orders));
        let to = (self.stage.host()?, sale);
        let from = Edge::now(&self.stage.pids());
        let tag = shot::tag();
        let all: Vec<_> =
            (0..BATCHES.0).map(|_| tokio::spawn(send(Arc::clone(&filling), to, tag.clone()))).collect();
        let mut said = Instant::now();
        while !all.iter().all(tokio::task::JoinHandle::is_finished) {
            tokio::time::sleep(POLL).await;
            if said.elapsed() > SAID {
                said = Instant::now();
                eprintln!("  {} of {orders} orders filled in", filling.sold.load(Relaxed));
            }
        }
        let window = Window::between(&from, &Edge::now(&self.stage.pids()));
        for one in all {
            one.await.map_err(|e| e.to_string())?;
        }
        if let Some(why) = filling.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(why);
        }
        let orders = filling.sold.load(Relaxed);
        Ok(Fill { orders, seconds: window.seconds, cpu_us: window.cpu })
    }
}

/// Shared by the connections.
struct Filling {
    wanted: u64,
    sold: AtomicU64,
    /// Orders that may be sent still: what was refused may be sent again, under another key.
    owed: AtomicU64,
    next: AtomicU64,
    refused: AtomicU64,
    failed: Mutex<Option<String>>,
}

impl Filling {
    fn new(wanted: u64) -> Filling {
        Filling {
            wanted,
            sold: AtomicU64::new(0),
            owed: AtomicU64::new(wanted),
            next: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: Mutex::new(None),
        }
    }

    /// How many the next batch has; none: there is enough.
    fn batch(&self) -> Option<usize> {
        let take = |owed: u64| (owed > 0).then(|| owed - owed.min(BATCHES.1 as u64));
        let before = self.owed.fetch_update(Relaxed, Relaxed, take).ok()?;
        usize::try_from(before.min(BATCHES.1 as u64)).ok()
    }

    fn answered(&self, size: usize, answers: Answers) -> Result<(), String> {
        self.sold.fetch_add(answers.sold, Relaxed);
        self.owed.fetch_add(size as u64 - answers.sold, Relaxed);
        if answers.unknown > 0 || answers.sold_out > 0 {
            return Err(format!("the sale could not be filled: {answers:?}"));
        }
        let refused = if answers.sold == 0 { self.refused.fetch_add(1, Relaxed) } else { 0 };
        let sold = self.sold.load(Relaxed);
        let why = || format!("the sale takes no more: {sold} of {} orders", self.wanted);
        (refused < REFUSED_MAX).then_some(()).ok_or_else(why)
    }

    fn fail(&self, why: String) {
        self.owed.store(0, Relaxed);
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }
}

/// Numbers of ten digits, each once and none near the one before: the keys of many clients.
fn scatter(n: u64) -> u64 {
    const DIGITS: u128 = 10_000_000_000;
    // Has no divisor in common with ten.
    const FACTOR: u128 = 7_654_321_003;
    u64::try_from(u128::from(n) * FACTOR % DIGITS).unwrap_or(n)
}

async fn send(filling: Arc<Filling>, to: (std::net::SocketAddr, Uuid), tag: String) {
    let mut connection = match Connection::open(to.0).await {
        Ok(connection) => connection,
        Err(e) => return filling.fail(format!("{}: {e}", to.0)),
    };
    while let Some(size) = filling.batch() {
        let first = filling.next.fetch_add(size as u64, Relaxed);
        let answers =
            batch::counted(&mut connection, to, &tag, (first..first + size as u64).map(scatter)).await;
        let answers = answers.ok_or_else(|| "a batch was not answered".to_owned());
        if let Err(why) = answers.and_then(|answers| filling.answered(size, answers)) {
            return filling.fail(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_sent_again_and_nothing_is_sold_beyond_what_was_asked() {
        let filling = Filling::new(2_500);
        let sizes: Vec<_> = std::iter::from_fn(|| filling.batch()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        filling.answered(1_000, Answers { sold: 900, contended: 100, ..Answers::default() }).unwrap();
        filling.answered(1_500, Answers { sold: 1_500, ..Answers::default() }).unwrap();
        assert_eq!((filling.batch(), filling.batch()), (Some(100), None));
        assert!(filling.answered(1, Answers { unknown: 1, ..Answers::default() }).is_err());
    }

    #[test]
    fn keys_are_scattered_and_none_comes_twice() {
        let all: std::collections::BTreeSet<_> = (0..100_000).map(scatter).collect();
        assert_eq!(all.len(), 100_000);
        assert!(all.iter().all(|n| *n < 10_000_000_000));
        let near = (1..10_000).filter(|n| scatter(*n).abs_diff(scatter(n - 1)) < 1_000_000_000).count();
        assert_eq!(near, 0);
    }

    #[test]
    fn the_clients_own_time_is_no_cost_of_an_order() {
        let cpu_us = Cpu { service: Some(10.0), postgres: Some(20.0), redis: None, load: Some(1e6) };
        let fill = Fill { orders: 10, seconds: 2.0, cpu_us };
        assert_eq!((fill.per_s(), fill.cpu_per_order()), (Some(5.0), Some(3.0)));
        assert_eq!(Fill::default().per_s(), None);
    }
}
