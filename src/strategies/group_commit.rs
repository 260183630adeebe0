//! Decide, take and record a whole batch of orders in one statement and one commit.
//!
//! # How
//! Orders queue up in front of a writer. It takes all that wait, up to a limit, and sends them as one
//! statement that decides each as if it had come alone (key, limit, epoch, units), records those that are
//! sold and subtracts their sum. What comes in meanwhile is the next batch. Everybody is answered after the
//! commit.
//!
//! # Guarantee
//! Exact. The stock row is locked for the batch as it is for one order of `atomic_update`, so any number of
//! processes may batch on the same row. An order that makes the statement fail is found by halving the batch
//! and fails alone. Where the word about a commit gets lost the batch is sent again: an order is recorded
//! once, whoever brings it how often.
//!
//! # Fails when
//! Never by interleaving. Who waits in a queue when its process dies was told nothing and asks again.
//!
//! # Cost
//! One round trip and one flush for all orders of a batch: the hot row is locked once per batch and not
//! once per order. A batch is what came in during the one before, so who is alone waits for nobody.
//!
//! # See
//! <https://martinfowler.com/articles/lmax.html>,
//! <https://www.postgresql.org/docs/current/wal-async-commit.html>

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use tokio::runtime::Handle;

use super::{Need, Spec, Strategy};
use crate::backends::Backends;
use crate::batch::{self, Lines, Size};
use crate::config::Limits;
use crate::ledger::{self, at_write};
use crate::patience::Patience;
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "group_commit",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; one hot row is a queue of batches",
    round_trips: RoundTrips { sold: 1, sold_out: 1 },
    remembers_keys: true,
    queues: true,
    gives_back: true,
    carts: true,
    needs: &[Need::Postgres],
    statements: &[&[("group_commit.sql", RECORD)]],
    source: include_str!("group_commit.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(GroupCommit::new(backends))),
};

const RECORD: &str = include_str!("group_commit.sql");
/// Orders of one batch. Larger ones gain little and make the first of it wait.
const BATCH_MAX: usize = 256;

struct GroupCommit {
    pg: PgPool,
    lines: Lines<Order, Outcome>,
}

impl GroupCommit {
    fn new(backends: &Backends) -> GroupCommit {
        let limits = &backends.limits;
        let (waiting_max, wait_max) = (limits.queue_max, limits.queue_wait());
        let size = Size { waiting_max, batch_max: BATCH_MAX, wait_max };
        let writer = Writer { pg: backends.pg.clone(), limits: limits.clone() };
        let lines = Lines::open(&Handle::current(), size, move |batch: Vec<Order>| {
            let writer = writer.clone();
            batch::count(batch.len());
            async move { writer.record(&batch).await }
        });
        GroupCommit { pg: backends.pg.clone(), lines }
    }
}

#[async_trait]
impl Strategy for GroupCommit {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        // Whoever else is in the same batch is decided before or after, never with half of it.
        let outcome = self.lines.of(sale.id).ask(order.clone()).await;
        outcome.inspect(|o| order.trace.decide_and_commit(*o != Outcome::SoldOut, "group_commit.sql"))
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        stock::give_back(lane, sale, back, None).await
    }

    async fn pending(&self, sale: &Sale) -> Result<u64, Error> {
        // Also those of buyers who have hung up, and of other sales in the same line.
        Ok(self.lines.of(sale.id).owed() as u64)
    }

    fn has_line(&self) -> bool {
        true
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}

#[derive(Clone)]
struct Writer {
    pg: PgPool,
    limits: Limits,
}

impl Writer {
    /// Records a batch; or its halves, where one of its orders makes it fail, until that one is alone.
    async fn record(&self, batch: &[Order]) -> Vec<Result<Outcome, Error>> {
        let mut patience = Patience::new(self.limits.wait());
        // Committed, rolled back, or not begun yet: nobody knows, for a wire broke.
        let mut doubt = false;
        loop {
            let why = match self.send(batch).await {
                Ok(words) => {
                    return batch.iter().zip(words).map(|(order, word)| said(order, &word, doubt)).collect();
                }
                Err(Failed::Poisoned(_)) if batch.len() > 1 => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    let first = Box::pin(self.record(first)).await;
                    return [first, Box::pin(self.record(second)).await].concat();
                }
                Err(Failed::Poisoned(e) | Failed::For(e)) => e,
            };
            doubt |= matches!(why, Error::Unknown(_));
            // The same batch again records what is not recorded and says what is: nobody else has these ids.
            if !doubt || patience.pause("the batch").await.is_err() {
                let why = if doubt { Error::Unknown(why.to_string()) } else { why };
                return batch.iter().map(|_| Err(why.clone())).collect();
            }
        }
    }

    /// One statement, one commit; a word for each order.
    async fn send(&self, batch: &[Order]) -> Result<Vec<String>, Failed> {
        let text = |of: fn(&Order) -> &str| batch.iter().map(of).collect::<Vec<_>>();
        let number = |of: fn(&Order) -> i64| batch.iter().map(of).collect::<Vec<_>>();
        let mut pg = ledger::connection(&self.pg).await.map_err(Failed::For)?;
        let words = sqlx::query_scalar(RECORD)
            .bind(text(|o| &o.caller))
            .bind(text(|o| &o.key))
            .bind(batch.iter().map(|o| o.id).collect::<Vec<_>>())
            .bind(batch.iter().map(|o| o.sale_id).collect::<Vec<_>>())
            .bind(text(|o| &o.buyer_id))
            .bind(number(|o| o.quantity))
            .bind(batch.iter().map(|o| &o.fingerprint[..]).collect::<Vec<_>>())
            .bind(batch.iter().map(|o| o.retry_safe).collect::<Vec<_>>())
            .bind(batch.iter().map(|o| o.hold_ms).collect::<Vec<_>>())
            .bind(number(|o| o.epoch))
            .fetch_one(&mut *pg)
            .await;
        words.map_err(|e| match ledger::is_poisoned(&e) {
            true => Failed::Poisoned(at_write(e)),
            false => Failed::For(at_write(e)),
        })
    }
}

/// Why a batch was not recorded.
enum Failed {
    /// For a reason that lies in one of its orders.
    Poisoned(Error),
    /// For any other.
    For(Error),
}

/// What a word means to its buyer. After a doubt only *recorded* is sure: the first sending may be on its way
/// still, and record what the second has just refused.
fn said(order: &Order, word: &str, doubt: bool) -> Result<Outcome, Error> {
    match ledger::outcome(word, order.id) {
        Ok(Outcome::Sold(id)) => Ok(Outcome::Sold(id)),
        _ if doubt => Err(Error::Unknown("the word about the commit was lost".into())),
        said => said,
    }
}
