//! The sales that this process sells from: opened, found, looked at again, handed over to another strategy.

use std::sync::Arc;

use uuid::Uuid;

use super::live::Meters;
use super::sold_out::Flag;
use super::{Built, Checkout, OpenSale};
use crate::ledger;
use crate::sale::{Back, Error, Sale};
use crate::strategies::Spec;
use crate::trace::Watch;

impl Checkout {
    /// Opens a sale: its stock first and the sale last, so that a sale that exists can sell.
    pub async fn open(self: &Arc<Self>, sale: Sale) -> Result<Arc<OpenSale>, Error> {
        let (spec, built) = self.strategy(&sale.strategy)?;
        let strategy = built.clone().map_err(Error::Unavailable)?;
        let this = Arc::clone(self);
        self.finish(async move {
            strategy.fits(&sale).await?;
            strategy.open(&sale).await?;
            let sale = ledger::insert_sale(&this.backends.pg, sale).await?;
            let watch = this.recorder.open(sale.id, sale.units);
            Ok(this.remember(sale, spec, built, watch))
        })
        .await
    }

    /// The sale of that id; from memory after the first time, for a sale never changes.
    pub async fn sale(self: &Arc<Self>, id: Uuid) -> Result<Option<Arc<OpenSale>>, Error> {
        if let Some(open) = self.remembered(id) {
            return Ok(Some(open));
        }
        let this = Arc::clone(self);
        self.read(async move {
            let Some(sale) = ledger::sale(&this.backends.pg_reads, id).await? else {
                return Ok(None);
            };
            let (spec, strategy) = this.strategy(&sale.strategy)?;
            Ok(Some(this.remember(sale, spec, strategy, Watch::default())))
        })
        .await
    }

    /// What the sale's strategy believes is left.
    pub async fn left(&self, open: &Arc<OpenSale>) -> Result<Option<i64>, Error> {
        let open = Arc::clone(open);
        self.read(async move { open.strategy()?.left(&open.sale).await }).await
    }

    /// Gives units back by the sale's strategy, or makes an operator's change. Answers by how many units the
    /// stock moved.
    pub async fn give_back(self: &Arc<Self>, open: Arc<OpenSale>, back: Back) -> Result<i64, Error> {
        let this = Arc::clone(self);
        self.finish(async move { this.give_back_once(open, &back).await }).await
    }

    /// The same inside of work that is being finished already.
    pub async fn give_back_once(&self, open: Arc<OpenSale>, back: &Back) -> Result<i64, Error> {
        let mut open = open;
        let mut again = true;
        loop {
            if !open.spec.gives_back {
                return Err(Error::Unsupported("the strategy of this sale takes no units back"));
            }
            match open.strategy()?.give_back(&self.backends.pg_life, &open.sale, back).await {
                Err(Error::Stale) if again => open = self.look_again(&open).await?,
                given => {
                    // Whatever came of it: what was nothing left may be something by now.
                    open.flag.lower();
                    if let Ok(units) = given {
                        open.watch.came_back(units, matches!(back, Back::Orders(..)));
                    }
                    return given;
                }
            }
            again = false;
        }
    }

    /// Hands an open sale over to another strategy: the old one finishes what it has, the epoch ends, so that
    /// whoever decided under it records nothing any more, and the new one begins with what the ledger says is
    /// left. Once more with the same strategy completes what was interrupted.
    pub async fn hand_over(
        self: &Arc<Self>,
        open: Arc<OpenSale>,
        to: &'static Spec,
    ) -> Result<Arc<OpenSale>, Error> {
        let this = Arc::clone(self);
        self.finish(async move {
            let (_, next) = this.strategy(to.id)?;
            let next = next.map_err(Error::Unavailable)?;
            let mut open = this.look_again(&open).await?;
            if open.spec.id != to.id {
                next.fits(&open.sale).await?;
                open.strategy()?.hand_over(&open.sale).await?;
                let pg = &this.backends.pg_life;
                // Another one who hands it over, or fills Redis anew, was faster: nothing was done here.
                let raised = ledger::raise_epoch(pg, &open.sale, Some(to.id), 0).await?;
                raised.ok_or(Error::Stale)?;
                open.strategy()?.forget(&open.sale).await;
                open = this.look_again(&open).await?;
            }
            // Between the two, orders are told to try again: the new strategy's store is not open yet.
            next.open(&open.sale).await?;
            Ok(open)
        })
        .await
    }

    /// The sale as the ledger has it now.
    pub async fn refresh(self: &Arc<Self>, open: Arc<OpenSale>) -> Result<Arc<OpenSale>, Error> {
        let this = Arc::clone(self);
        self.read(async move { this.look_again(&open).await }).await
    }

    /// How much of what the strategy has taken is not in the ledger yet.
    pub async fn pending(&self, open: &Arc<OpenSale>) -> Result<u64, Error> {
        let open = Arc::clone(open);
        self.read(async move { open.strategy()?.pending(&open.sale).await }).await
    }

    /// The sale as the ledger has it now, remembered from here on.
    pub(super) async fn look_again(&self, open: &OpenSale) -> Result<Arc<OpenSale>, Error> {
        let gone = || Error::Unavailable("the sale is gone".into());
        let sale = ledger::sale(&self.backends.pg_reads, open.sale.id).await?.ok_or_else(gone)?;
        let sale = Sale { race_window: open.sale.race_window, ..sale };
        let (spec, strategy) = self.strategy(&sale.strategy)?;
        let mut sales = self.sales.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = sales.get(&sale.id);
        // Somebody may have looked after us and been faster.
        if let Some(newer) = known.filter(|known| known.sale.epoch >= sale.epoch) {
            return Ok(Arc::clone(newer));
        }
        let moved = Arc::new(OpenSale {
            sale,
            spec,
            strategy,
            counters: Arc::clone(&open.counters),
            meters: self.meters(spec),
            flag: Flag::default(),
            watch: self.goes_on(open, spec),
        });
        sales.insert(moved.sale.id, Arc::clone(&moved));
        Ok(moved)
    }

    /// The record of a sale that moves on; it ends where another strategy takes over.
    fn goes_on(&self, open: &OpenSale, spec: &Spec) -> Watch {
        if open.spec.id == spec.id {
            return open.watch.clone();
        }
        self.recorder.forget(open.sale.id);
        Watch::default()
    }

    fn strategy(&self, id: &str) -> Result<(&'static Spec, Built), Error> {
        let unknown = || Error::Unavailable(format!("this version has no strategy {id}"));
        let spec = Spec::find(id).ok_or_else(unknown)?;
        let (built, _) = self.strategies.get(id).ok_or_else(unknown)?;
        Ok((spec, built.clone()))
    }

    fn meters(&self, spec: &Spec) -> Arc<Meters> {
        let known = self.strategies.get(spec.id).map(|(_, meters)| Arc::clone(meters));
        known.unwrap_or_else(|| Arc::new(Meters::new(spec.id)))
    }

    /// Every sale that this process has met, whatever became of it.
    pub fn met(&self) -> Vec<Arc<OpenSale>> {
        let sales = self.sales.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        sales.values().cloned().collect()
    }

    pub(super) fn all_remembered(&self) -> Vec<Arc<OpenSale>> {
        let sales = self.sales.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        sales.values().filter(|open| open.spec.remembers_keys).cloned().collect()
    }

    pub(super) fn remembered(&self, id: Uuid) -> Option<Arc<OpenSale>> {
        let sales = self.sales.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        sales.get(&id).cloned()
    }

    fn remember(&self, sale: Sale, spec: &'static Spec, strategy: Built, watch: Watch) -> Arc<OpenSale> {
        let mut sales = self.sales.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Two requests may meet an unknown sale at once: the first to come here makes the one that counts.
        let open = sales.entry(sale.id).or_insert_with(|| {
            let (counters, meters) = (Arc::default(), self.meters(spec));
            Arc::new(OpenSale { sale, spec, strategy, counters, meters, flag: Flag::default(), watch })
        });
        Arc::clone(open)
    }
}
