//! The audit: the one truth on overselling, with four readers (API, dashboard, load test, tests).
//!
//! It counts orders against the opening stock and knows no strategy: *the judge does not know the
//! accused*. What a strategy believes is left comes in as a number and is only compared, so a lost
//! update, which leaves a healthy counter behind, is seen.
//!
//! Two roads lead to the same [`Evidence`]: [`collect`] sums inside PostgreSQL (`evidence.sql`), and
//! [`from_history`] sums what anybody can download over HTTP. The load test walks the second and holds
//! it against the first: a service that lies in its audit is found out.

mod collect;
mod judge;

use std::collections::{HashMap, HashSet};

use crate::wire::{Clients, Evidence, LedgerRow, Tally};

pub use collect::{STATEMENTS, Unreadable, read, store_tally};
pub use judge::{DEMAND_MIN_TIMES, ERRORS_MAX_PERCENT, IN_FLIGHT_MIN, as_declared, judge};

/// Raw sums, before they are weighed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Units at opening.
    pub opened: i64,
    /// Units that an operator put on sale since, less those taken off.
    pub changed: i64,
    /// Units of held and confirmed orders.
    pub sold: i64,
    /// Those orders.
    pub orders: i64,
    /// Orders beyond the first of a key, in the ledger.
    pub duplicates: i64,
    /// Units beyond the per-buyer limit.
    pub over_limit: i64,
    /// Units by which movements differ from orders.
    pub unbalanced: i64,
    /// The clients' side, where there is one.
    pub told: Option<Told>,
}

impl Sums {
    /// Is there an order to point at?
    fn has_offenders(&self) -> bool {
        let told = self.told.as_ref().is_some_and(|told| told.lost > 0 || told.phantom > 0);
        told || self.sold > self.opened + self.changed || self.duplicates > 0 || self.over_limit > 0
    }
}

/// What the clients were told, held against the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Units told yes, per key once.
    pub yes: i64,
    /// Orders told yes that the ledger does not have so.
    pub lost: i64,
    /// Orders in the ledger that no client was told of.
    pub phantom: i64,
    /// Keys neither yes nor no.
    pub unknown: i64,
    /// Order ids beyond the first that one key was given.
    pub duplicates: i64,
    /// The smallest quantity told sold out.
    pub sold_out_quantity_min: Option<i64>,
    /// Sums of the answers.
    pub clients: Clients,
}

/// Does an order in this state have its units?
pub fn counts_as_sold(state: &str) -> bool {
    matches!(state, "held" | "confirmed")
}

/// Weighs sums against what the strategy believes is left and what is still under way.
pub fn weigh(s: Sums, left: Option<i64>, in_flight: u64) -> Evidence {
    let told = s.told.as_ref();
    let supply = s.opened + s.changed;
    let unsold = (supply - s.sold).max(0);
    // Leaked: gone from the counter without an order. A negative counter sells nothing either.
    let leaked = left.map_or(0, |left| (unsold - left.max(0)).max(0));
    // Undersold: somebody was refused a quantity that is still there. Stock only falls while a sale
    // runs, so what is unsold at the end was unsold at the refusal.
    let refused = told.and_then(|t| t.sold_out_quantity_min);
    let undersold = refused.filter(|q| *q <= unsold).map_or(0, |_| unsold);
    Evidence {
        opened: s.opened,
        changed: s.changed,
        sold: s.sold,
        orders: s.orders,
        left,
        oversold: (s.sold - supply).max(0),
        told_yes: told.map(|t| t.yes),
        lost: told.map(|t| t.lost),
        phantom: told.map(|t| t.phantom),
        unknown: told.map(|t| t.unknown),
        stranded: leaked.max(undersold),
        duplicates: s.duplicates.max(told.map_or(0, |t| t.duplicates)),
        over_limit: s.over_limit,
        drift: left.map(|left| left - (supply - s.sold)),
        unbalanced: s.unbalanced,
        in_flight,
        clients: told.map(|t| t.clients),
    }
}

/// The same sums as `evidence.sql`, from what a stranger can see: the downloaded ledger and a tally.
pub fn from_history(opened: i64, limit: Option<i64>, rows: &[LedgerRow], tally: &Tally) -> Sums {
    let sold_rows: Vec<&LedgerRow> = rows.iter().filter(|r| counts_as_sold(&r.state)).collect();
    let mut per_buyer: HashMap<&str, i64> = HashMap::new();
    for row in &sold_rows {
        *per_buyer.entry(&row.buyer_id).or_default() += row.quantity;
    }
    let keys: HashSet<&str> = rows.iter().map(|r| r.key.as_str()).collect();
    Sums {
        opened,
        changed: 0,
        sold: sold_rows.iter().map(|r| r.quantity).sum(),
        orders: count(sold_rows.len()),
        duplicates: count(rows.len() - keys.len()),
        over_limit: limit.map_or(0, |l| per_buyer.values().map(|u| (u - l).max(0)).sum()),
        unbalanced: 0,
        told: Some(told(&sold_rows, tally)),
    }
}

fn told(sold_rows: &[&LedgerRow], tally: &Tally) -> Told {
    let in_ledger: HashSet<_> =
        sold_rows.iter().map(|r| (r.key.as_str(), r.order_id, r.buyer_id.as_str(), r.quantity)).collect();
    let yes: HashMap<&str, i64> = tally.told_yes.iter().map(|t| (t.key.as_str(), t.quantity)).collect();
    let unknown: HashSet<&str> = tally.unknown_keys.iter().map(String::as_str).collect();
    let lost = tally
        .told_yes
        .iter()
        .filter(|t| !in_ledger.contains(&(t.key.as_str(), t.order_id, t.buyer_id.as_str(), t.quantity)));
    let phantom =
        sold_rows.iter().filter(|r| !yes.contains_key(r.key.as_str()) && !unknown.contains(r.key.as_str()));
    Told {
        yes: yes.values().sum(),
        lost: count(lost.count()),
        phantom: count(phantom.count()),
        unknown: count(unknown.len()),
        duplicates: count(tally.told_yes.len() - yes.len()),
        sold_out_quantity_min: tally.sold_out_quantity_min,
        clients: Clients {
            attempts: tally.attempts,
            answers: tally.answers,
            peak_in_flight: tally.peak_in_flight,
            demand_units: tally.demand_units,
        },
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
