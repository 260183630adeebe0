//! `place(order)`: find the sale, ask its strategy, time it, answer. The one door in front of all strategies.
//!
//! What a strategy need not think about stands here: the same key twice, the buyer who hangs up, the
//! deadline, the counts. Three rules:
//!
//! - A critical section that has started is finished. It runs in a task of its own, on the runtime that the
//!   connections belong to; a client that hangs up cancels its wait, not the sale.
//! - *Sold out* is said only after the ledger has been asked for the key: a retry of a sold order gets its
//!   order, also when there is nothing left.
//! - A deadline cuts the wait for the answer, and then the answer is *unknown*.

mod admission;
mod finish;
mod in_flight;
mod live;
mod sales;
mod sold_out;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::backends::{Backends, Need};
use crate::ledger;
use crate::sale::{Error, Order, Outcome, Sale};
use crate::strategies::{self, Spec, Strategy};
use crate::trace::{Recorder, Watch};
use crate::wire::{Live, OrderView, Trace};

use admission::Admission;
pub use in_flight::Alone;
use in_flight::InFlight;
use live::{Counters, Entered, Meters};
use sold_out::Flag;

/// How often the end of the work under way is looked at.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// A sale that this process sells from.
pub struct OpenSale {
    /// What is offered.
    pub sale: Sale,
    /// The facts of its strategy.
    pub spec: &'static Spec,
    strategy: Built,
    /// Shared by all epochs of the sale.
    counters: Arc<Counters>,
    meters: Arc<Meters>,
    flag: Flag,
    watch: Watch,
}

/// A strategy, or which server it lacks.
type Built = Result<Arc<dyn Strategy>, String>;

impl OpenSale {
    /// What this process has answered so far.
    pub fn live(&self) -> Live {
        self.counters.read()
    }

    /// The orders that tell how it was decided, where steps were recorded.
    pub fn trace(&self) -> Option<Trace> {
        self.watch.witness(self.strategy().map_or("the stock", Strategy::counter))
    }

    /// An order reaches the strategy: from here on its steps are recorded, where those of its sale are.
    pub fn follow(&self, order: &mut Order) {
        order.trace = self.watch.follow(&order.buyer_id, &order.key, order.quantity);
    }

    /// Orders that this process has sold, replays not counted.
    pub fn orders_sold(&self) -> u64 {
        self.counters.sold_orders()
    }

    fn strategy(&self) -> Result<&dyn Strategy, Error> {
        self.strategy.as_deref().map_err(|why| Error::Unavailable(why.clone()))
    }
}

/// How an order was answered, where there is an answer.
#[derive(Clone, Debug)]
pub enum Placed {
    /// Sold now, or sold before under the same key.
    Sold {
        /// The order as the ledger has it.
        order: OrderView,
        /// Was it sold by an earlier request?
        replayed: bool,
    },
    /// Not enough units left; nothing was taken.
    SoldOut,
}

/// The one door.
pub struct Checkout {
    backends: Backends,
    runtime: Handle,
    strategies: HashMap<&'static str, (Built, Arc<Meters>)>,
    sales: RwLock<HashMap<Uuid, Arc<OpenSale>>>,
    in_flight: InFlight,
    admission: Admission,
    recorder: Recorder,
    /// Held by all work that was started; how often, says how much there is.
    under_way: Arc<()>,
}

impl Checkout {
    /// Builds every strategy whose servers are there. Must be called on the runtime that the connections
    /// shall live on.
    pub fn new(backends: Backends, recorder: Recorder) -> Checkout {
        let build = |spec: &&'static Spec| {
            let built = (spec.build)(&backends, spec).map_err(|e| e.to_string());
            (spec.id, (built, Arc::new(Meters::new(spec.id))))
        };
        Checkout {
            strategies: strategies::ALL.iter().map(build).collect(),
            runtime: Handle::current(),
            sales: RwLock::default(),
            in_flight: InFlight::default(),
            admission: Admission::new(&backends.limits),
            recorder,
            under_way: Arc::default(),
            backends,
        }
    }

    /// Which servers do not answer now, and why.
    pub async fn down(&self) -> Vec<(Need, String)> {
        let backends = self.backends.clone();
        let answers = self.read(async move { Ok(backends.ping().await) }).await;
        let down = |(need, answer): (Need, Result<(), String>)| Some((need, answer.err()?));
        answers.unwrap_or_default().into_iter().filter_map(down).collect()
    }

    /// Why sales cannot be opened with this strategy, given which servers are [`Checkout::down`]; `None` when
    /// they can.
    pub fn unavailable(&self, spec: &Spec, down: &[(Need, String)]) -> Option<String> {
        let lacks = self.strategies.get(spec.id)?.0.as_ref().err().cloned();
        lacks.or_else(|| down.iter().find(|(need, _)| spec.needs.contains(need)).map(|(_, why)| why.clone()))
    }

    /// Settings of the strategy's servers with which they cannot keep its promise.
    pub async fn unfit(&self, spec: &Spec) -> Vec<String> {
        let backends = self.backends.clone();
        let facts = self.read(async move { Ok(backends.facts().await) }).await;
        let unfit = facts.map_or_else(|e| vec![(Need::Postgres, e.to_string())], |facts| facts.unfit);
        unfit.into_iter().filter(|(need, _)| spec.needs.contains(need)).map(|(_, why)| why).collect()
    }

    /// The servers, for whoever only reads.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Waits, at most the deadline, for all work: also of who hung up, and what is not in the ledger yet.
    pub async fn drained(&self) {
        let until = Instant::now() + self.backends.limits.order_deadline();
        while Arc::strong_count(&self.under_way) > 1 && Instant::now() < until {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        for open in self.all_remembered() {
            let Ok(strategy) = open.strategy() else { continue };
            // Where its store cannot be asked there is nothing to wait for: another process, or the next
            // start, finds what is left there.
            while Instant::now() < until && strategy.pending(&open.sale).await.is_ok_and(|left| left > 0) {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        }
    }

    /// Places an order.
    pub async fn place(self: &Arc<Self>, open: Arc<OpenSale>, mut order: Order) -> Result<Placed, Error> {
        let started = Instant::now();
        if open.flag.refuses(&order) {
            return self.unasked(&open, &order, started, Ok(Placed::SoldOut));
        }
        let in_line = open.spec.queues && order.hold_ms.is_none();
        if in_line && open.strategy().is_ok_and(Strategy::has_line) {
            open.follow(&mut order);
            return self.place_in_line(open, order, None).await;
        }
        // Whoever hangs up while he waits here leaves the queue; from then on the order is finished without
        // him.
        let admitted = match self.admission.enter(open.spec.id).await {
            Ok(permit) => permit,
            Err(e) => return self.unasked(&open, &order, Instant::now(), Err(e)),
        };
        open.follow(&mut order);
        if in_line {
            return self.place_in_line(open, order, Some(admitted)).await;
        }
        let (this, sale) = (Arc::clone(self), Arc::clone(&open));
        // The deadline cuts the wait; a retry with the same key will learn how the order ended.
        let place = self.finish(async move {
            let started = Instant::now();
            let mine = sale.counters.enter();
            let placed = match this.place_once(&sale, &order).await {
                // Nothing was taken.
                Err(Error::Stale) => this.place_again(&sale, &order).await,
                placed => placed,
            };
            this.answered(&sale, &mine, &placed, &order, started);
            drop(admitted);
            placed
        });
        Box::pin(place).await
    }

    /// The same where the strategy takes in a task of its own: whoever hangs up takes nothing along but his
    /// wait, so an order needs no other task and changes no thread before its answer is there.
    async fn place_in_line(
        self: &Arc<Self>,
        open: Arc<OpenSale>,
        order: Order,
        admitted: Option<OwnedSemaphorePermit>,
    ) -> Result<Placed, Error> {
        let (started, deadline) = (Instant::now(), self.backends.limits.order_deadline());
        let mine = open.counters.enter();
        let taken = match (open.sale.hours.check(), open.strategy()) {
            (Ok(()), Ok(strategy)) => {
                let taken = tokio::time::timeout(deadline, strategy.take(&open.sale, &order)).await;
                taken.unwrap_or_else(|_| Err(Error::Unknown("no answer within the deadline".into())))
            }
            (Err(e), _) | (_, Err(e)) => Err(e),
        };
        let placed = match taken {
            Ok(Outcome::Sold(id)) => Ok(Placed::Sold { order: fresh(&order, id), replayed: false }),
            Ok(Outcome::SoldOut) if accounts_for(&open, &order) => Ok(Placed::SoldOut),
            Err(full @ Error::Overloaded) => Err(full),
            // The rest asks servers, and is finished like all that does.
            taken => {
                let (this, sale, order) = (Arc::clone(self), Arc::clone(&open), order.clone());
                let settled = self.finish(async move {
                    match this.settle(&sale, &order, taken).await {
                        Err(Error::Stale) => this.place_again(&sale, &order).await,
                        placed => placed,
                    }
                });
                Box::pin(settled).await
            }
        };
        self.answered(&open, &mine, &placed, &order, started);
        drop(admitted);
        placed
    }

    /// Counts the answer to an order for which no strategy was asked.
    fn unasked(
        &self,
        open: &OpenSale,
        order: &Order,
        since: Instant,
        placed: Result<Placed, Error>,
    ) -> Result<Placed, Error> {
        open.counters.enter().answered(&placed, order.quantity);
        open.meters.measure(&placed, since.elapsed());
        placed
    }

    /// Counts an answer.
    fn answered(
        self: &Arc<Self>,
        open: &Arc<OpenSale>,
        mine: &Entered<'_>,
        placed: &Result<Placed, Error>,
        order: &Order,
        started: Instant,
    ) {
        mine.answered(placed, order.quantity);
        order.trace.reply(open.meters.measure(placed, started.elapsed()));
        if matches!(placed, Ok(Placed::SoldOut)) {
            self.refused(open);
        }
    }

    /// The right to work on the key of an order. Waits for a twin that is under way.
    pub async fn alone(&self, order: &Order) -> Result<Alone, Error> {
        self.in_flight.enter(order, self.backends.limits.wait()).await
    }

    async fn place_once(&self, open: &OpenSale, order: &Order) -> Result<Placed, Error> {
        if order.hold_ms.is_some() && !open.spec.gives_back {
            return Err(Error::Unsupported(
                "the strategy of this sale takes no units back, so it holds none",
            ));
        }
        // Twins of one key go one after the other here; across processes the ledger's primary key decides.
        let _alone = self.alone(order).await?;
        let taken = match (open.sale.hours.check(), open.strategy()) {
            (Ok(()), Ok(strategy)) => strategy.take(&open.sale, order).await,
            (Err(e), _) | (_, Err(e)) => Err(e),
        };
        self.settle(open, order, taken).await
    }

    /// What the strategy's answer means, where the ledger has a word in it.
    async fn settle(
        &self,
        open: &OpenSale,
        order: &Order,
        taken: Result<Outcome, Error>,
    ) -> Result<Placed, Error> {
        match taken {
            // When a hold ends, the clock of the database has said and only the ledger knows.
            Ok(Outcome::Sold(_)) if order.hold_ms.is_some() => match self.earlier(open, order).await {
                Ok(Some(Placed::Sold { order, .. })) => Ok(Placed::Sold { order, replayed: false }),
                _ => Err(Error::Unknown("held, and the order cannot be read".into())),
            },
            Ok(Outcome::Sold(id)) => Ok(Placed::Sold { order: fresh(order, id), replayed: false }),
            Ok(Outcome::SoldOut) if accounts_for(open, order) => Ok(Placed::SoldOut),
            // A twin may have taken the last unit between our look at the stock and now: then it has
            // committed its order too, and this finds it.
            Ok(Outcome::SoldOut) => Ok(self.earlier(open, order).await?.unwrap_or(Placed::SoldOut)),
            Err(Error::KeyUsed) => match self.earlier(open, order).await? {
                Some(placed) => Ok(placed),
                None => Err(Error::Unknown("the key is used, its order cannot be read".into())),
            },
            // A server beside the ledger may be gone, or the sale over: what was sold to this key before is
            // in the ledger still, and must not be answered with "nothing was taken".
            Err(gone @ (Error::Unavailable(_) | Error::NotOpen | Error::Ended)) => {
                self.unless_sold_before(open, order, gone).await
            }
            // Outside of the ledger a limit may be all that is remembered of the order that is asked for
            // again.
            Err(limit @ Error::BuyerLimit) if open.spec.remembers_keys => {
                self.unless_sold_before(open, order, limit).await
            }
            Err(e) => Err(e),
        }
    }

    /// The sale was handed over, or filled anew, since this process looked; or it is in the middle of that.
    async fn place_again(&self, open: &OpenSale, order: &Order) -> Result<Placed, Error> {
        order.trace.retry();
        let moved = self.look_again(open).await?;
        if moved.sale.epoch != open.sale.epoch {
            let order = Order { epoch: moved.sale.epoch, ..order.clone() };
            match self.place_once(&moved, &order).await {
                Err(Error::Stale) => {} // begun in the ledger, and its store is not filled yet
                placed => return placed,
            }
        }
        let moving = Error::Unavailable("the sale's stock is being moved".into());
        self.unless_sold_before(open, order, moving).await
    }

    async fn unless_sold_before(
        &self,
        open: &OpenSale,
        order: &Order,
        refused: Error,
    ) -> Result<Placed, Error> {
        if !order.retry_safe {
            return Err(refused);
        }
        match self.earlier(open, order).await {
            Ok(Some(placed)) => Ok(placed),
            // Found, and a crash may take it back.
            Err(known @ (Error::KeyReused | Error::Unknown(_))) => Err(known),
            _ => Err(refused),
        }
    }

    /// What was answered to this key before, if anything was sold to it.
    async fn earlier(&self, open: &OpenSale, order: &Order) -> Result<Option<Placed>, Error> {
        let flush = open.strategy().ok().and_then(Strategy::flush);
        let found = ledger::find(&self.backends.pg, &order.caller, &order.key, flush).await?;
        match found {
            None => Ok(None),
            Some((_, fingerprint)) if fingerprint != order.fingerprint => Err(Error::KeyReused),
            Some((order, _)) => Ok(Some(Placed::Sold { order, replayed: true })),
        }
    }
}

/// Does *sold out* need no question to the ledger, whether this key was sold before?
fn accounts_for(open: &OpenSale, order: &Order) -> bool {
    open.spec.remembers_keys || !order.retry_safe
}

/// The order as the ledger has it just after it was sold.
fn fresh(order: &Order, id: Uuid) -> OrderView {
    OrderView {
        id,
        sale_id: order.sale_id,
        key: order.key.clone(),
        buyer_id: order.buyer_id.clone(),
        quantity: order.quantity,
        state: "confirmed".into(),
        expires_at: None,
        recorded_at: None,
        retry_safe: order.retry_safe,
    }
}
