//! The rounds that are made without being asked: audits of the open sales one after the other, and a look at
//! servers, holds and backlogs for whoever scrapes the metrics.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::Oversight;

/// The gauges are never older.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// After an audit there is rest for so many times as long as it took: it has a connection that reads, and at
/// most a quarter of its time.
const REST: u32 = 3;

/// Makes both rounds so often, until nobody watches any more. Call it on the runtime that owns the
/// connections.
pub fn start(oversight: &Arc<Oversight>, every: Duration) {
    tokio::spawn(audit(Arc::downgrade(oversight), every));
    tokio::spawn(look(Arc::downgrade(oversight), every.min(LOOK_EVERY)));
}

async fn look(oversight: Weak<Oversight>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(oversight) = oversight.upgrade() else { return };
        oversight.view().await;
    }
}

async fn audit(oversight: Weak<Oversight>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(oversight) = oversight.upgrade() else { return };
        round(&oversight, every).await;
    }
}

async fn round(oversight: &Oversight, every: Duration) {
    for open in oversight.known_sales().await {
        if !oversight.is_due(&open) {
            continue;
        }
        let judged = oversight.judged(open.sale.id);
        if judged.is_some_and(|judged| judged.at.elapsed() < every / 2) {
            continue; // Somebody asked for it just now.
        }
        let started = Instant::now();
        let result = match oversight.audit(&open).await {
            Ok(_) => "read",
            Err(e) => {
                tracing::warn!(sale.id = %open.sale.id, "could not be audited: {e}");
                "failed"
            }
        };
        metrics::counter!("sellout_audits_total", "result" => result).increment(1);
        tokio::time::sleep(started.elapsed() * REST).await;
    }
}
