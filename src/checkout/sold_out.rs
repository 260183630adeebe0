//! Sold out, remembered: once a sale has nothing left, buyers are refused without asking any store.
//!
//! The flag is raised by the ledger's own word alone: no unit left, together with every key that was sold,
//! read in one snapshot. For a strategy whose orders and units commit together no order that is still under
//! way can sell after that snapshot, so whoever is not among its keys has not been sold to, and a retry of a
//! sold order goes the long way and gets its order. It falls when units come back or the epoch ends: at once
//! if it happened here, within one refresh if elsewhere, and also when the ledger cannot be asked.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Checkout, OpenSale};
use crate::ledger::{self, Exhausted};
use crate::sale::Order;
use crate::strategies::Spec;
use crate::wire::Guarantee;

/// Buyers refused by the store before it is asked whether that will last.
const REFUSED_MIN: u32 = 16;

/// The flag of one sale.
#[derive(Default)]
pub(super) struct Flag {
    refused: AtomicU32,
    /// Is somebody asking just now?
    asking: AtomicBool,
    raised: RwLock<Option<Exhausted>>,
}

/// May this strategy's sales be flagged? Not those that sell, or might, what the counter does not have.
fn can_be_trusted(spec: &Spec) -> bool {
    matches!(spec.guarantee, Guarantee::Exact | Guarantee::NeverOver)
}

/// What stands in [`Exhausted::keys`] for a key; the same is computed in `ledger/exhausted.sql`. Two keys
/// that share it cost one a question to the store, nothing else.
fn mark(order: &Order) -> [u8; 8] {
    let hash =
        Sha256::new().chain_update(&order.caller).chain_update(":").chain_update(&order.key).finalize();
    let mut mark = [0; 8];
    mark.copy_from_slice(&hash[..8]);
    mark
}

impl Flag {
    /// Is this order surely refused?
    pub(super) fn refuses(&self, order: &Order) -> bool {
        let raised = self.raised.read().unwrap_or_else(PoisonError::into_inner);
        let unsold = |exhausted: &Exhausted| exhausted.keys.binary_search(&mark(order)).is_err();
        raised.as_ref().is_some_and(|exhausted| !order.retry_safe || unsold(exhausted))
    }

    /// Units came back, or may have.
    pub(super) fn lower(&self) {
        self.refused.store(0, Relaxed);
        *self.raised.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The epoch and the number of returns at which it was raised.
    fn raised_at(&self) -> Option<(i64, i64)> {
        let raised = self.raised.read().unwrap_or_else(PoisonError::into_inner);
        raised.as_ref().map(|exhausted| (exhausted.epoch, exhausted.returns))
    }
}

impl Checkout {
    /// The store has refused a buyer. After some of them it is asked whether that will last.
    pub(super) fn refused(self: &Arc<Self>, open: &Arc<OpenSale>) {
        let flag = &open.flag;
        let remembered = self.backends.limits.sold_out_flag && can_be_trusted(open.spec);
        if !remembered || flag.refused.fetch_add(1, Relaxed) + 1 < REFUSED_MIN {
            return;
        }
        if flag.raised_at().is_some() || flag.asking.swap(true, Relaxed) {
            return;
        }
        let (open, this) = (Arc::clone(open), Arc::clone(self));
        let refresh = Duration::from_millis(self.backends.limits.sold_out_refresh_ms);
        self.runtime.spawn(async move {
            let exhausted = ledger::exhausted(&this.backends.pg_reads, open.sale.id).await;
            // A sale that was handed over meanwhile has another epoch than the one that refused.
            let lasts = exhausted.ok().flatten().filter(|exhausted| exhausted.epoch == open.sale.epoch);
            let raised = lasts.is_some();
            *open.flag.raised.write().unwrap_or_else(PoisonError::into_inner) = lasts;
            open.flag.refused.store(0, Relaxed);
            open.flag.asking.store(false, Relaxed);
            if raised {
                let checkout = Arc::downgrade(&this);
                drop(this);
                look(open, checkout, refresh).await;
            }
        });
    }
}

/// Looks again and again whether units have come back, as long as the flag is up.
async fn look(open: Arc<OpenSale>, checkout: Weak<Checkout>, refresh: Duration) {
    loop {
        tokio::time::sleep(refresh).await;
        let Some(raised_at) = open.flag.raised_at() else { return };
        let Some(checkout) = checkout.upgrade() else { return };
        let pool = &checkout.backends.pg_reads;
        let now = tokio::time::timeout(refresh, ledger::returns(pool, open.sale.id)).await;
        if !matches!(now, Ok(Ok(Some(now))) if now == raised_at) {
            open.flag.lower();
            return;
        }
    }
}
