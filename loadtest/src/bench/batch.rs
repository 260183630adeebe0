//! Orders by the thousand: `POST /v1/sales/{sale}/orders:batch`, where the service has it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use sellout::wire::{Answers, Latency, Tally, ToldYes};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::connection::Connection;
use crate::plan::BATCHES;
use crate::request;

/// What is sent: orders as they would be sent one by one.
#[derive(Serialize)]
struct Batch {
    orders: Vec<Order>,
}

#[derive(Serialize)]
struct Order {
    key: String,
    buyer_id: String,
    quantity: i64,
}

/// What comes back, in the order asked.
#[derive(Deserialize)]
struct Answered {
    results: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    status: u16,
    order: Option<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: Uuid,
}

/// What all connections were told.
#[derive(Default)]
pub struct Told {
    tally: Tally,
    /// Answers within the window.
    pub timed: Answers,
    latency: Option<Histogram<u64>>,
}

impl Told {
    /// Request sent to answer read, a whole batch.
    pub fn latency(&self) -> Option<Latency> {
        self.latency.as_ref().map(crate::heard::latency)
    }

    /// In the shape that the service takes.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn note(&mut self, batch: &Batch, results: Option<Vec<One>>, took: Duration, timed: bool) {
        let known = results.filter(|results| results.len() == batch.orders.len());
        let sent = batch.orders.len() as u64;
        self.tally.attempts += sent;
        self.tally.demand_units += i64::try_from(sent).unwrap_or(i64::MAX);
        let mut answers = Answers::default();
        for (at, order) in batch.orders.iter().enumerate() {
            let one = known.as_ref().and_then(|known| known.get(at));
            match one.map(|one| (one.status, &one.order)) {
                Some((201, Some(sold))) => {
                    answers.sold += 1;
                    self.tally.told_yes.push(ToldYes {
                        key: order.key.clone(),
                        order_id: sold.id,
                        buyer_id: order.buyer_id.clone(),
                        quantity: order.quantity,
                    });
                }
                Some((409, _)) => answers.sold_out += 1,
                Some((503, _)) => answers.contended += 1,
                Some((422, _)) => answers.rejected += 1,
                // Whatever else was said or not said, it may have been sold.
                _ => {
                    answers.unknown += 1;
                    self.tally.unknown_keys.push(order.key.clone());
                }
            }
        }
        add(&mut self.tally.answers, answers);
        if timed {
            add(&mut self.timed, answers);
            let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let fresh = || Histogram::new_with_bounds(1, 600_000_000, 3).ok();
            if let Some(histogram) = self.latency.take().or_else(fresh) {
                let mut histogram = histogram;
                histogram.saturating_record(us);
                self.latency = Some(histogram);
            }
        }
    }
}

fn add(to: &mut Answers, from: Answers) {
    to.sold += from.sold;
    to.sold_out += from.sold_out;
    to.contended += from.contended;
    to.rejected += from.rejected;
    to.unknown += from.unknown;
}

/// Sends batches until `until`; what is answered from `timed_from` on counts.
pub async fn send(host: SocketAddr, sale: Uuid, tag: &str, timed_from: Instant, until: Instant) -> Told {
    let (connections, size) = BATCHES;
    let told = Arc::new(Mutex::new(Told::default()));
    let next = Arc::new(AtomicU64::new(0));
    let mut all = Vec::new();
    for _ in 0..connections {
        let (told, next, tag) = (Arc::clone(&told), Arc::clone(&next), tag.to_owned());
        all.push(tokio::spawn(async move {
            let Ok(mut connection) = Connection::open(host).await else { return };
            while Instant::now() < until {
                let first = next.fetch_add(size as u64, Relaxed);
                let batch = batch(&tag, first, size);
                let bytes = bytes(host, sale, &batch);
                let sent = Instant::now();
                let results = connection.ask(&bytes).await.ok().and_then(|answered| {
                    let body: Option<Answered> = serde_json::from_slice(answered.body).ok();
                    body.filter(|_| answered.status == 200).map(|body| body.results)
                });
                let lost = results.is_none();
                let timed = Instant::now() >= timed_from && Instant::now() < until;
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.note(&batch, results, sent.elapsed(), timed);
                if lost {
                    return;
                }
            }
        }));
    }
    for one in all {
        let _ended = one.await;
    }
    let mut told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    // Every order of a batch is under way until the batch is answered.
    told.tally.peak_in_flight = (connections * size) as u64;
    told.tally.sold_out_quantity_min = (told.tally.answers.sold_out > 0).then_some(1);
    told
}

/// One batch, of which only the counts are kept: millions of keys would fill the client. `None`: no answer.
pub async fn counted(
    connection: &mut Connection,
    (host, sale): (SocketAddr, Uuid),
    tag: &str,
    numbers: impl Iterator<Item = u64>,
) -> Option<Answers> {
    let bytes = bytes(host, sale, &numbered(tag, numbers));
    let answered = connection.ask(&bytes).await.ok().filter(|answered| answered.status == 200)?;
    let body: Answered = serde_json::from_slice(answered.body).ok()?;
    let mut answers = Answers::default();
    for one in body.results {
        match one.status {
            201 => answers.sold += 1,
            409 => answers.sold_out += 1,
            503 => answers.contended += 1,
            _ => answers.unknown += 1,
        }
    }
    Some(answers)
}

fn batch(tag: &str, first: u64, size: usize) -> Batch {
    numbered(tag, first..first + size as u64)
}

fn numbered(tag: &str, numbers: impl Iterator<Item = u64>) -> Batch {
    let order = |n| Order { key: request::key(tag, n), buyer_id: request::buyer(tag, n), quantity: 1 };
    Batch { orders: numbers.map(order).collect() }
}

fn bytes(host: SocketAddr, sale: Uuid, batch: &Batch) -> Vec<u8> {
    let body = serde_json::to_string(batch).unwrap_or_default();
    let head = format!(
        "POST /v1/sales/{sale}/orders:batch HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_of_a_batch_has_its_own_answer_and_none_is_a_doubt() {
        let mut told = Told::default();
        let sent = batch("t", 7, 3);
        let one = |status, order| One { status, order };
        let results = vec![one(201, Some(Id { id: Uuid::max() })), one(409, None), one(201, None)];
        told.note(&sent, Some(results), Duration::from_millis(1), true);
        told.note(&batch("t", 10, 2), None, Duration::from_millis(1), false);
        let tally = told.tally();
        assert_eq!((tally.attempts, tally.answers.total()), (5, 5));
        assert_eq!(
            tally.told_yes.iter().map(|yes| yes.key.clone()).collect::<Vec<_>>(),
            [request::key("t", 7)]
        );
        assert_eq!(tally.unknown_keys, [9, 10, 11].map(|n| request::key("t", n)));
        assert_eq!((told.timed.sold, told.timed.sold_out), (1, 1));
    }
}
