//! The evidence of two sales as one.

use sellout::wire::{Answers, Clients, Evidence};

/// What is not known of one sale is not known of all.
pub fn sum(a: Evidence, b: Evidence) -> Evidence {
    let known = |a: Option<i64>, b: Option<i64>| a.zip(b).map(|(a, b)| a + b);
    Evidence {
        opened: a.opened + b.opened,
        changed: a.changed + b.changed,
        sold: a.sold + b.sold,
        orders: a.orders + b.orders,
        left: known(a.left, b.left),
        oversold: a.oversold + b.oversold,
        told_yes: known(a.told_yes, b.told_yes),
        lost: known(a.lost, b.lost),
        phantom: known(a.phantom, b.phantom),
        unknown: known(a.unknown, b.unknown),
        stranded: a.stranded + b.stranded,
        duplicates: a.duplicates + b.duplicates,
        over_limit: a.over_limit + b.over_limit,
        // One that is too high and one that is too low are two faults, not none.
        drift: a.drift.zip(b.drift).map(|(a, b)| if a.signum() * b.signum() < 0 { a.max(b) } else { a + b }),
        unbalanced: a.unbalanced.abs() + b.unbalanced.abs(),
        in_flight: a.in_flight + b.in_flight,
        clients: a.clients.zip(b.clients).map(|(a, b)| Clients {
            attempts: a.attempts + b.attempts,
            answers: answers(a.answers, b.answers),
            // At one moment: a sum would count one cart several times.
            peak_in_flight: a.peak_in_flight.max(b.peak_in_flight),
            demand_units: a.demand_units + b.demand_units,
        }),
    }
}

fn answers(a: Answers, b: Answers) -> Answers {
    Answers {
        sold: a.sold + b.sold,
        sold_out: a.sold_out + b.sold_out,
        contended: a.contended + b.contended,
        rejected: a.rejected + b.rejected,
        error: a.error + b.error,
        unknown: a.unknown + b.unknown,
    }
}
