//! From Redis to the ledger: a script takes units and notes the order down in a stream; here the stream is
//! drained into PostgreSQL in batches, and only then is the buyer told yes.
//!
//! What Redis says is a belief, what PostgreSQL has is the truth; three things keep them together:
//!
//! - **the guard**: a batch is recorded under the stock row of the ledger, which has the last unit and the
//!   last word;
//! - **the epoch**: raised in PostgreSQL before Redis is filled anew, so that whoever drains or takes for
//!   the old one
//!   is refused; written last in Redis, so that nothing is sold from a half-filled one ([`fill`]);
//! - **the numbers of returns**: units come back in Redis only under the next number ([`returns`]).
//!
//! At every moment the ledger's counter is at or above that of Redis, and the difference is in the stream. A
//! Redis that says more has lost something that it had acknowledged ([`watch`]): selling stops, and it is
//! filled anew.

mod batch;
mod buckets;
mod desk;
mod drain;
mod entry;
mod fill;
mod keys;
mod returns;
mod together;
mod watch;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use redis::Script;
use sqlx::postgres::PgPool;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::backends::{Backends, RedisWire, Wired, redis_at_write};
use crate::config::Limits;
use crate::sale::{Error, Order, Outcome, Sale};
use crate::stock;
use buckets::Head;
use desk::{Desk, HungUp};
use fill::Why;
use keys::Scope;
use together::Writers;

/// Every statement of this room, for the test that PREPAREs them and for the cards of the strategies.
pub const STATEMENTS: &[(&str, &str)] = &[
    ("take.lua", TAKE),
    ("take_batch.lua", batch::TAKE_BATCH),
    ("closing.lua", CLOSING),
    ("give.lua", buckets::GIVE),
    ("accept.lua", buckets::ACCEPT),
    ("arrived.lua", buckets::ARRIVED),
    ("drain.sql", together::DRAIN),
    ("drain_many.sql", together::DRAIN_MANY),
    ("outcomes.sql", drain::OUTCOMES),
    ("done.lua", drain::DONE),
    ("returns.sql", returns::RETURNS),
    ("back.lua", returns::BACK),
    ("limits.sql", fill::LIMITS),
    ("counter.sql", fill::COUNTER),
    ("seed_keys.sql", fill::KEYS),
    ("seed_buyers.sql", fill::BUYERS),
    ("publish.lua", fill::PUBLISH),
    ("watched.sql", watch::WATCHED),
];

const TAKE: &str = include_str!("take.lua");
const CLOSING: &str = include_str!("closing.lua");
/// Between two looks whether a key that took before is recorded by now.
const SEEN_POLL: Duration = Duration::from_millis(20);

/// When is the buyer told yes?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// When the ledger has committed the order.
    Recorded,
    /// When Redis has taken it: too early, and here to show what that loses.
    Taken,
}

/// The road from one Redis to the ledger, for the sales of one strategy.
pub struct Pipeline {
    redis: RedisWire,
    pg: PgPool,
    locks: PgPool,
    reads: PgPool,
    limits: Limits,
    strategy: &'static str,
    /// Most buckets of a sale.
    buckets_max: i64,
    take: Script,
    take_batch: Script,
    done: Script,
    back: Script,
    publish: Script,
    give: Script,
    accept: Script,
    arrived: Script,
    /// This process, among those that drain the same streams.
    consumer: String,
    desks: Mutex<HashMap<Uuid, Arc<Desk>>>,
    writers: Writers,
    /// Buyers come on threads that have runtimes of their own; what goes on without them runs here.
    runtime: Handle,
    me: Weak<Pipeline>,
}

/// What the script said.
enum Taken {
    /// Taken now.
    Now,
    /// The key took before, for this order.
    Before(Uuid),
    /// Not enough left.
    SoldOut,
}

impl Pipeline {
    /// Opens it, and starts to look after the sales of this strategy. Call it on the runtime that owns the
    /// connections.
    pub fn start(backends: &Backends, strategy: &'static str) -> Result<Arc<Pipeline>, Error> {
        Pipeline::over(backends, strategy, 1)
    }

    /// The same with the units of each sale in so many buckets, or one for each unit where it has fewer.
    pub fn over(
        backends: &Backends,
        strategy: &'static str,
        buckets_max: i64,
    ) -> Result<Arc<Pipeline>, Error> {
        let redis = backends.redis_wire()?.clone();
        let pipeline = Arc::new_cyclic(|me| Pipeline {
            redis,
            pg: backends.pg.clone(),
            locks: backends.pg_locks.clone(),
            reads: backends.pg_reads.clone(),
            limits: backends.limits.clone(),
            strategy,
            buckets_max,
            take: Script::new(TAKE),
            take_batch: Script::new(batch::TAKE_BATCH),
            done: Script::new(drain::DONE),
            back: Script::new(returns::BACK),
            publish: Script::new(fill::PUBLISH),
            give: Script::new(buckets::GIVE),
            accept: Script::new(buckets::ACCEPT),
            arrived: Script::new(buckets::ARRIVED),
            consumer: Uuid::now_v7().to_string(),
            desks: Mutex::default(),
            writers: together::start(&backends.pg),
            runtime: Handle::current(),
            me: me.clone(),
        });
        let every = Duration::from_millis(pipeline.limits.pipeline_check_ms);
        tokio::spawn(watch::run(Arc::downgrade(&pipeline), every));
        Ok(pipeline)
    }

    /// Puts a sale on sale. The ledger's counter first: Redis is filled from it, now and whenever it has lost
    /// what it knew.
    pub async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await?;
        self.fill(sale).await
    }

    /// Takes the units of an order in Redis; with [`Ack::Recorded`] waits until the ledger has it.
    pub async fn take(&self, sale: &Sale, order: &Order, ack: Ack) -> Result<Outcome, Error> {
        let scope = self.scope(sale);
        let desk = self.desk(scope).ok_or(Error::Stale)?;
        // Before the script runs: whoever drains may be faster than its answer.
        let waiting = (ack == Ack::Recorded).then(|| desk.expect(order.id)).transpose()?;
        let mut redis = self.redis().await?;
        desk.follow(order, "take.lua");
        let hung_up = HungUp::guard(&desk, &redis, &self.runtime);
        let taken = self.take_in_redis(&mut redis, scope, sale, order).await;
        if taken.is_ok() {
            hung_up.told();
        }
        let taken = match taken {
            Ok(Taken::SoldOut) if scope.buckets > 1 => self.gather(sale, order).await,
            taken => taken,
        };
        desk.decided(order, &taken);
        match taken? {
            Taken::SoldOut => Ok(Outcome::SoldOut),
            Taken::Before(id) => self.taken_before(sale, id).await,
            Taken::Now => {
                desk.wake_for(scope.home(&order.buyer_id));
                // Should this process die now, the order stands in the stream, and another one records it.
                match waiting {
                    None => Ok(Outcome::Sold(order.id)),
                    Some(waiting) => waiting.outcome(self.limits.order_deadline()).await,
                }
            }
        }
    }

    async fn take_in_redis(
        &self,
        redis: &mut Wired,
        scope: Scope,
        sale: &Sale,
        order: &Order,
    ) -> Result<Taken, Error> {
        let keys = scope.keys(scope.home(&order.buyer_id));
        let mut call = self.take.prepare_invoke();
        call.key(&keys.head).key(&keys.keys).key(&keys.buyers).key(&keys.orders).arg(&asked(sale, order)[..]);
        let (word, id): (String, String) = call.invoke_async(redis).await.map_err(redis_at_write)?;
        self.understand(sale.id, &word, &id)
    }

    /// A word of the scripts that take.
    fn understand(&self, sale: Uuid, word: &str, id: &str) -> Result<Taken, Error> {
        match word {
            "taken" => Ok(Taken::Now),
            "seen" => Ok(Taken::Before(keys::parse_id(id)?)),
            "sold_out" => Ok(Taken::SoldOut),
            "reused" => Err(Error::KeyReused),
            "limit" => Err(Error::BuyerLimit),
            // Handed over, or filled again, perhaps by another process: only the ledger knows. Where it says
            // that nothing has changed the buyer is told to try again.
            "ahead" | "closing" => Err(Error::Stale),
            "closed" | "behind" => {
                self.fill_soon(sale, Why::Unknown);
                Err(Error::Stale)
            }
            other => Err(Error::Unknown(format!("Redis script said {other}"))),
        }
    }

    /// A key that took before: its order may be recorded, refused, or still on its way.
    async fn taken_before(&self, sale: &Sale, id: Uuid) -> Result<Outcome, Error> {
        let gone = || Error::Unavailable("the service ends".into());
        let (me, sale, epoch) = (self.me.upgrade().ok_or_else(gone)?, sale.id, sale.epoch);
        // The ledger is asked where its connections live, not on the thread of a buyer who may hang up.
        let asking = self.runtime.spawn(async move { me.ended(sale, epoch, id).await });
        asking.await.map_err(|_| gone())?
    }

    async fn ended(&self, sale: Uuid, of: i64, id: Uuid) -> Result<Outcome, Error> {
        let until = tokio::time::Instant::now() + self.limits.wait();
        loop {
            let (epoch, words) = self.outcomes(sale, &[id]).await?;
            match words.get(&id) {
                // The ledger has it under this key: what was answered first is answered again.
                Some(word) if word == "recorded" => return Err(Error::KeyUsed),
                Some(word) => return words::outcome(word, id),
                None if epoch != of => return Err(Error::Stale),
                None if tokio::time::Instant::now() > until => return Err(Error::InProgress),
                None => tokio::time::sleep(SEEN_POLL).await,
            }
        }
    }

    /// What Redis believes is left; `None` when it does not know the sale.
    pub async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        let heads = self.heads(self.scope(sale)).await?;
        Ok(heads.iter().map(|head| head.as_ref().map(Head::own)).sum())
    }

    /// Entries of the streams: taken, and not recorded yet. (Orders that were taken together are one.)
    pub async fn pending(&self, sale: &Sale) -> Result<u64, Error> {
        self.waiting_in(self.scope(sale)).await
    }

    async fn waiting_in(&self, scope: Scope) -> Result<u64, Error> {
        let one = scope.all().map(async |keys| {
            let length =
                redis::cmd("XLEN").arg(keys.orders).query_async::<u64>(&mut self.redis().await?).await;
            length.map_err(|e| Error::Unavailable(format!("Redis: {e}")))
        });
        join_all(one).await.into_iter().sum()
    }

    /// Takes no more for this epoch, and waits until what was taken is recorded. Where Redis cannot be asked
    /// there is nothing to wait for: what it still has is refused by the next epoch, and nobody was told
    /// yes.
    pub async fn hand_over(&self, sale: &Sale) -> Result<(), Error> {
        let wait = self.limits.wait();
        let scope = self.scope(sale);
        for keys in scope.all() {
            let Ok(mut redis) = self.redis().await else { return Ok(()) };
            let script = Script::new(CLOSING);
            let mut closing = script.key(keys.head);
            closing.arg(sale.epoch).arg(2 * wait.as_secs().max(1));
            let closed: Result<i64, _> = closing.invoke_async(&mut redis).await;
            if !matches!(closed, Ok(1)) {
                return Ok(());
            }
        }
        let until = tokio::time::Instant::now() + wait;
        while self.pending(sale).await.unwrap_or(0) > 0 {
            if tokio::time::Instant::now() > until {
                return Err(Error::Contended("what Redis has taken is not recorded yet".into()));
            }
            self.desk(scope).ok_or(Error::Stale)?.wake();
            tokio::time::sleep(SEEN_POLL).await;
        }
        Ok(())
    }

    /// Another strategy has taken the sale over: nothing of this epoch is needed any more.
    pub async fn forget(&self, sale: &Sale) {
        for keys in self.scope(sale).all() {
            let Ok(mut redis) = self.redis().await else { return };
            let mut forget = redis::cmd("UNLINK");
            forget.arg(keys.head).arg(keys.keys).arg(keys.buyers).arg(keys.orders);
            // What stays behind costs memory and nothing else: it is of an epoch that is over.
            let _: Result<i64, _> = forget.query_async(&mut redis).await;
        }
    }

    /// A sale as it stands in Redis.
    fn scope(&self, sale: &Sale) -> Scope {
        self.scope_of(sale.id, sale.epoch, sale.units)
    }

    fn scope_of(&self, sale: Uuid, epoch: i64, units: i64) -> Scope {
        let buckets = usize::try_from(units.clamp(1, self.buckets_max)).unwrap_or(1);
        Scope { sale, epoch, buckets }
    }

    /// The desk of a sale in this epoch; `None` when a later one has begun.
    fn desk(&self, scope: Scope) -> Option<Arc<Desk>> {
        let Scope { sale, epoch, .. } = scope;
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        match desks.get(&sale) {
            Some(desk) if desk.scope.epoch == epoch => return (!desk.has_ended()).then(|| Arc::clone(desk)),
            Some(desk) if desk.scope.epoch > epoch => return None,
            Some(old) => old.end(),
            None => {}
        }
        let desk = Arc::new(Desk::new(scope));
        self.runtime.spawn(drain::run(Arc::clone(&desk), self.me.clone()));
        desks.insert(sale, Arc::clone(&desk));
        Some(desk)
    }

    async fn redis(&self) -> Result<Wired, Error> {
        self.redis.connection().await
    }
}

/// What take.lua is told of an order.
fn asked(sale: &Sale, order: &Order) -> [String; 9] {
    [
        sale.epoch.to_string(),
        order.quantity.to_string(),
        format!("{}:{}", order.caller, order.key),
        hex::encode(order.fingerprint),
        order.id.to_string(),
        order.buyer_id.clone(),
        sale.per_buyer_limit.unwrap_or(0).to_string(),
        u8::from(order.retry_safe).to_string(),
        entry::note(order),
    ]
}

impl Drop for Pipeline {
    /// The desks look up, find nobody, and leave.
    fn drop(&mut self) {
        for desk in self.desks.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            desk.wake();
        }
    }
}
