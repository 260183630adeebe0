//! What Prometheus is told: the names of all meters of this program, and the gauges of what is watched.
//!
//! By strategy and by server, never by sale, order or buyer: those are without number.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Oversight;
use crate::wire::LiveView;

/// What was found of a sale that is over is shown for so long: an alert must not end with the sale.
const AFTER_END: Duration = Duration::from_secs(3600);

/// What kind of meter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts per bucket.
    Histogram,
}

use Meter::{Counter, Gauge, Histogram};

/// Every meter of this program: its name, and what it says.
pub const METRICS: &[(Meter, &str, &str)] = &[
    (Counter, "sellout_orders_total", "Orders answered, by strategy and outcome"),
    (Histogram, "sellout_order_duration_seconds", "From admission to answer, by strategy and outcome"),
    (Counter, "sellout_shed_total", "Orders refused at the door: the queue was full, or the wait too long"),
    (Counter, "sellout_expired_units_total", "Units of holds that ran out and came back"),
    (Gauge, "sellout_open_sales", "Open sales that are watched"),
    (Gauge, "sellout_orders_in_flight", "Orders being worked on, by strategy"),
    (Gauge, "sellout_held_units", "Units on hold, by strategy"),
    (Gauge, "sellout_expiring_units", "Units whose hold ends within a minute, by strategy"),
    (Gauge, "sellout_backlog_orders", "Orders taken that are not yet in the ledger, by strategy"),
    (Gauge, "sellout_backlog_unknown_sales", "Sales whose backlog cannot be asked for, by strategy"),
    (Gauge, "sellout_server_up", "Does the server answer? 1 or 0"),
    (Counter, "sellout_audits_total", "Audits made without being asked: read or failed"),
    (Gauge, "sellout_audit_age_seconds", "Since the oldest last audit of an open sale, by strategy"),
    (Gauge, "sellout_audit_oversold_units", "Units sold beyond the stock, as audited last"),
    (Gauge, "sellout_audit_lost_orders", "Orders told yes that the ledger does not have"),
    (Gauge, "sellout_audit_stranded_units", "Units neither sold nor for sale though wanted"),
    (Gauge, "sellout_audit_drift_units", "Units by which counters differ from the truth, signs dropped"),
    (Gauge, "sellout_audit_inconsistencies", "Phantom, duplicate, over the limit, or unbalanced"),
    (Histogram, "sellout_batch_orders", "Orders written together"),
    (Counter, "sellout_batch_writers_restarted_total", "Writers of batches that died and were started again"),
    (Counter, "sellout_redis_filled_total", "How often Redis was filled anew from the ledger"),
    (Counter, "sellout_fenced_total", "Writes refused because a fencing token was no longer the newest"),
    (Histogram, "sellout_lock_wait_seconds", "Wait for a lock, by lock"),
    (Histogram, "sellout_lock_hold_seconds", "How long a lock was held, by lock"),
    (Counter, "sellout_locks_lost_total", "Locks that ended before their holder did"),
    (Counter, "sellout_locks_dropped_total", "Locks let go by a holder who was cut off"),
    (Counter, "sellout_lock_renewals_refused_total", "Renewals of a lease that came too late"),
    (Counter, "sellout_lock_tokens_raised_total", "Fencing tokens raised past those of a server set up anew"),
    (Counter, "sellout_lab_holders_paused_total", "Holders of locks that were stopped on purpose"),
    (Counter, "sellout_lab_replies_dropped_total", "Answers withheld on purpose, after the commit"),
];

/// Says what each of them means, once a recorder is there.
pub fn describe() {
    for (kind, name, help) in METRICS {
        match kind {
            Counter => metrics::describe_counter!(*name, *help),
            Gauge => metrics::describe_gauge!(*name, *help),
            Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

/// What a look has seen.
pub(super) fn publish(view: &LiveView) {
    for server in &view.servers {
        let name = server.name.to_lowercase();
        metrics::gauge!("sellout_server_up", "server" => name).set(if server.up { 1.0 } else { 0.0 });
    }
    metrics::gauge!("sellout_open_sales").set(view.sales.len() as f64);
    let mut sums: BTreeMap<&str, [f64; 5]> = BTreeMap::new();
    for sale in &view.sales {
        let sum = sums.entry(&sale.strategy).or_default();
        let unknown = f64::from(u8::from(sale.backlog.is_none()));
        let backlog = sale.backlog.unwrap_or(0) as f64;
        let seen = [sale.in_flight as f64, sale.held as f64, sale.expiring as f64, backlog, unknown];
        sum.iter_mut().zip(seen).for_each(|(sum, seen)| *sum += seen);
    }
    let names = [
        "sellout_orders_in_flight",
        "sellout_held_units",
        "sellout_expiring_units",
        "sellout_backlog_orders",
        "sellout_backlog_unknown_sales",
    ];
    by_strategy(&names, &sums);
}

impl Oversight {
    /// What the audits said, and how long ago: for a scrape, which asks no store.
    pub fn publish_audits(&self) {
        let mut sums: BTreeMap<&str, [f64; 6]> = BTreeMap::new();
        let met = self.checkout.met();
        for open in &met {
            let judged = self.judged(open.sale.id);
            let is_open = open.sale.hours.check().is_ok();
            let lately = judged.as_ref().is_some_and(|judged| judged.at.elapsed() < AFTER_END);
            if !is_open && !lately {
                continue;
            }
            let sum = sums.entry(&open.sale.strategy).or_default();
            if is_open {
                sum[0] = sum[0].max(self.audit_age(judged.as_ref()).as_secs_f64());
            }
            let Some(e) = judged.map(|judged| judged.evidence) else { continue };
            let inconsistent = e.phantom.unwrap_or(0) + e.duplicates + e.over_limit + e.unbalanced.abs();
            let drift = e.drift.unwrap_or(0).abs();
            let seen = [e.oversold, e.lost.unwrap_or(0), e.stranded, drift, inconsistent];
            sum[1..].iter_mut().zip(seen).for_each(|(sum, seen)| *sum += seen as f64);
        }
        let names = [
            "sellout_audit_age_seconds",
            "sellout_audit_oversold_units",
            "sellout_audit_lost_orders",
            "sellout_audit_stranded_units",
            "sellout_audit_drift_units",
            "sellout_audit_inconsistencies",
        ];
        by_strategy(&names, &sums);
        // A rate needs the zero before the one.
        for strategy in sums.keys() {
            let labels = [("strategy", (*strategy).to_owned()), ("outcome", "unknown".to_owned())];
            metrics::counter!("sellout_orders_total", &labels).increment(0);
        }
    }
}

/// Sets the gauges of every strategy that there is: one that has no open sale any more has nothing to show.
fn by_strategy<const N: usize>(names: &[&'static str; N], sums: &BTreeMap<&str, [f64; N]>) {
    for spec in crate::strategies::ALL {
        let sums = sums.get(spec.id).copied().unwrap_or([0.0; N]);
        for (name, sum) in names.iter().zip(sums) {
            metrics::gauge!(*name, "strategy" => spec.id).set(sum);
        }
    }
}
