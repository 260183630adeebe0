//! Holds that ran out give their units back. Any number of sweepers, in any number of processes: each claims
//! what no other is at, and a claim ends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use sqlx::Row;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::checkout::Checkout;
use crate::ledger::{at_write, connection};
use crate::sale::{Back, Ending, Error};

pub(super) const DUE: &str = include_str!("due.sql");

/// Holds of one round.
const ROUND_MAX: i64 = 500;
/// Sales that get their units back at the same time: one whose lock is busy must not keep the others waiting.
const SALES_AT_ONCE: usize = 4;

/// Looks every so often, until the checkout is gone. Call it on the runtime that owns the connections.
pub fn start(checkout: &Arc<Checkout>, every: Duration) {
    tokio::spawn(run(Arc::downgrade(checkout), every));
}

async fn run(checkout: Weak<Checkout>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and whoever starts has other things to do then.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        loop {
            let Some(checkout) = checkout.upgrade() else { return };
            match sweep(&checkout).await {
                // There may be more.
                Ok(claimed) if claimed >= ROUND_MAX => {}
                Ok(_) => break,
                Err(e) => {
                    tracing::debug!("holds could not be looked at: {e}");
                    break;
                }
            }
        }
    }
}

/// One round. Answers how many holds were claimed.
async fn sweep(checkout: &Arc<Checkout>) -> Result<i64, Error> {
    let mut pg = connection(&checkout.backends().pg_life).await?;
    let rows = sqlx::query(DUE).bind(ROUND_MAX).fetch_all(&mut *pg).await.map_err(at_write)?;
    drop(pg);
    let mut due: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for row in &rows {
        let (order, sale) =
            (row.try_get("order_id").map_err(at_write)?, row.try_get("sale_id").map_err(at_write)?);
        due.entry(sale).or_default().push(order);
    }
    let expire = due.into_iter().map(|(sale, orders)| expire(checkout, sale, orders));
    stream::iter(expire).buffer_unordered(SALES_AT_ONCE).for_each(async |()| {}).await;
    Ok(i64::try_from(rows.len()).unwrap_or(ROUND_MAX))
}

/// All of one sale in one statement, by the sale's own strategy. What fails is claimed again later.
async fn expire(checkout: &Arc<Checkout>, sale: Uuid, orders: Vec<Uuid>) {
    let expired = async {
        let gone = || Error::Unavailable("the sale is gone".into());
        let open = checkout.sale(sale).await?.ok_or_else(gone)?;
        checkout.give_back(open, Back::Orders(orders, Ending::Expired)).await
    };
    match expired.await {
        Ok(units) => {
            metrics::counter!("sellout_expired_units_total").increment(units.unsigned_abs());
        }
        Err(e) => tracing::debug!(sale.id = %sale, "holds could not be ended: {e}"),
    }
}
