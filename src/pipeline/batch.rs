//! Orders that wait together are taken in Redis by one script call.

use std::sync::{Arc, Weak};

use super::desk::Desk;
use super::entry::Entry;
use super::keys::{Scope, hex};
use super::line::Bounds;
use super::{Pipeline, Taken};
use crate::backends::redis_at_write;
use crate::sale::{Error, Order, Outcome, Sale};

pub(super) const TAKE_BATCH: &str = include_str!("take_batch.lua");

/// Orders of one call: Lua's unpack takes some thousands, and for as long as the script runs everybody waits.
const BATCH_MAX: usize = 128;
/// Script calls under way at once.
const CALLS_MAX: usize = 1;
/// Orders that wait for a call.
const WAITING_MAX: usize = 4_096;

/// What the script is told of an order.
pub(super) struct Asked {
    quantity: i64,
    mark: String,
    value: String,
    buyer: String,
    own_key: bool,
    note: String,
}

/// What the script says of an order.
pub(super) type Word = String;

impl Pipeline {
    /// Takes the units of an order in Redis, with whatever other orders wait, and waits until the ledger has
    /// it.
    pub async fn take_batched(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let desk = self.desk(self.scope(sale)).ok_or(Error::Stale)?;
        // Before the script runs: whoever drains may be faster than its answer.
        let waiting = desk.expect(order.id)?;
        match self.take_with_others(&desk, sale, order).await? {
            Taken::SoldOut => Ok(Outcome::SoldOut),
            Taken::Before(id) => self.taken_before(sale, id).await,
            // Should this process die now, the batch stands in the stream, and another one records it.
            Taken::Now => waiting.outcome(self.limits.order_deadline()).await,
        }
    }

    async fn take_with_others(&self, desk: &Arc<Desk>, sale: &Sale, order: &Order) -> Result<Taken, Error> {
        let bounds =
            Bounds { batch: BATCH_MAX, calls: CALLS_MAX, waiting: WAITING_MAX, wait: self.limits.wait() };
        let asked = Asked {
            quantity: order.quantity,
            mark: format!("{}:{}", order.caller, order.key),
            value: format!("{} {}", hex(&order.fingerprint), order.id),
            buyer: order.buyer_id.clone(),
            own_key: order.retry_safe,
            note: Entry::note(order),
        };
        let (me, limit) = (Weak::clone(&self.me), sale.per_buyer_limit.unwrap_or(0));
        let of = Arc::clone(desk);
        let send = move |asked| take_all(Weak::clone(&me), Arc::clone(&of), limit, asked);
        let said = desk.line.enter(&self.runtime, bounds, asked, send).await?;
        let (word, id) = said.split_once(' ').unwrap_or((&said, ""));
        self.understand(sale.id, word, id)
    }

    async fn take_batch(&self, scope: Scope, limit: i64, batch: &[Asked]) -> Result<Vec<Word>, Error> {
        let mut redis = self.redis().await?;
        let (keys, epoch) = (scope.keys(0), scope.epoch);
        let mut call = self.take_batch.prepare_invoke();
        call.key(&keys.head).key(&keys.keys).key(&keys.buyers).key(&keys.orders).arg(epoch).arg(limit);
        for asked in batch {
            call.arg(asked.quantity).arg(&asked.mark).arg(&asked.value).arg(&asked.buyer);
            call.arg(u8::from(asked.own_key)).arg(&asked.note);
        }
        // A broken wire leaves all of them unknown: they may stand in the stream. Who asks again with the
        // same key learns it.
        call.invoke_async(&mut redis).await.map_err(redis_at_write)
    }
}

/// One call, and then whoever drains is woken once for all of it.
async fn take_all(
    pipeline: Weak<Pipeline>,
    desk: Arc<Desk>,
    limit: i64,
    batch: Vec<Asked>,
) -> Result<Vec<Word>, Error> {
    let gone = || Error::Unavailable("the service ends".into());
    let pipeline = pipeline.upgrade().ok_or_else(gone)?;
    let words = pipeline.take_batch(desk.scope, limit, &batch).await?;
    if words.iter().any(|word| word == "taken") {
        desk.wake();
    }
    Ok(words)
}
