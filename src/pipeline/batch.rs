//! Orders that wait together are taken in Redis by one script call.

use std::sync::{Arc, Weak};

use super::desk::Desk;
use super::entry;
use super::keys::Scope;
use super::{Pipeline, Taken};
use crate::backends::redis_at_write;
use crate::batch::{self, Line, Size};
use crate::sale::{Error, Order, Outcome, Sale};

pub(super) const TAKE_BATCH: &str = include_str!("take_batch.lua");

/// Orders of one call: Lua's unpack takes some thousands, and for as long as the script runs everybody waits.
const BATCH_MAX: usize = 128;

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
        desk.follow(order, "take_batch.lua");
        let taken = self.take_with_others(&desk, sale, order).await;
        desk.decided(order, &taken);
        match taken? {
            Taken::SoldOut => Ok(Outcome::SoldOut),
            Taken::Before(id) => self.taken_before(sale, id).await,
            // Should this process die now, the batch stands in the stream, and another one records it.
            Taken::Now => waiting.outcome(self.limits.order_deadline()).await,
        }
    }

    async fn take_with_others(&self, desk: &Arc<Desk>, sale: &Sale, order: &Order) -> Result<Taken, Error> {
        let asked = Asked {
            quantity: order.quantity,
            mark: format!("{}:{}", order.caller, order.key),
            value: format!("{} {}", hex::encode(order.fingerprint), order.id),
            buyer: order.buyer_id.clone(),
            own_key: order.retry_safe,
            note: entry::note(order),
        };
        let said = desk.line.get_or_init(|| self.line(desk, sale)).ask(asked).await?;
        let (word, id) = said.split_once(' ').unwrap_or((&said, ""));
        self.understand(sale.id, word, id)
    }

    /// The line of a sale in this epoch.
    fn line(&self, desk: &Arc<Desk>, sale: &Sale) -> Line<Asked, Word> {
        let size = Size {
            waiting_max: self.limits.queue_max,
            batch_max: BATCH_MAX,
            wait_max: self.limits.queue_wait(),
        };
        // Weak: the desk has the line.
        let (me, desk, limit) =
            (Weak::clone(&self.me), Arc::downgrade(desk), sale.per_buyer_limit.unwrap_or(0));
        Line::open(&self.runtime, size, move |batch| take_all(me.clone(), desk.clone(), limit, batch))
    }

    async fn take_batch(&self, scope: Scope, limit: i64, asked: &[Asked]) -> Result<Vec<Word>, Error> {
        batch::count(asked.len());
        let mut redis = self.redis().await?;
        let (keys, epoch) = (scope.keys(0), scope.epoch);
        let mut call = self.take_batch.prepare_invoke();
        call.key(&keys.head).key(&keys.keys).key(&keys.buyers).key(&keys.orders).arg(epoch).arg(limit);
        for one in asked {
            call.arg(one.quantity).arg(&one.mark).arg(&one.value).arg(&one.buyer);
            call.arg(u8::from(one.own_key)).arg(&one.note);
        }
        // A broken wire leaves all of them unknown: they may stand in the stream. Who asks again with the
        // same key learns it.
        call.invoke_async(&mut redis).await.map_err(redis_at_write)
    }
}

/// One call, and then whoever drains is woken once for all of it.
async fn take_all(
    pipeline: Weak<Pipeline>,
    desk: Weak<Desk>,
    limit: i64,
    batch: Vec<Asked>,
) -> Vec<Result<Word, Error>> {
    let taken = match (pipeline.upgrade(), desk.upgrade()) {
        (Some(pipeline), Some(desk)) => {
            let words = pipeline.take_batch(desk.scope, limit, &batch).await;
            if words.iter().flatten().any(|word| word == "taken") {
                desk.wake();
            }
            words
        }
        _ => Err(Error::Unavailable("the service ends".into())),
    };
    match taken {
        Ok(words) => words.into_iter().map(Ok).collect(),
        Err(e) => batch.iter().map(|_| Err(e.clone())).collect(),
    }
}
