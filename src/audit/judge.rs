//! The judgement: a pure function of what was counted. No clock, no database, no strategy.

use crate::wire::{Clients, Evidence, Guarantee, Verdict};

/// More than this share of errors and unknowns, and the run says nothing (in percent).
pub const ERRORS_MAX_PERCENT: u64 = 5;
/// Fewer attempts than this at one moment is no contention.
pub const IN_FLIGHT_MIN: u64 = 8;
/// Scarce stock is contended when buyers want at least this many times of it.
pub const DEMAND_MIN_TIMES: i64 = 2;

/// Judges a sale. First match wins, in the order of the lines below: what harms a buyer comes first.
/// `oversells_in`: `rush`, or the fault that an unsafe strategy needs; it changes the sentence, never the
/// word.
pub fn judge(declared: Guarantee, oversells_in: Option<&str>, e: &Evidence) -> (Verdict, String) {
    if declared == Guarantee::Control {
        return (Verdict::Control, "A control: sells nothing and is never judged.".into());
    }
    None.or_else(|| oversold(e))
        .or_else(|| lost(e))
        .or_else(|| invalid(e))
        .or_else(|| inconsistent(e))
        .or_else(|| stranded(e))
        .or_else(|| not_exercised(declared, oversells_in, e))
        .unwrap_or_else(|| held(e))
}

/// Is this verdict what the strategy's declaration lets one expect? If not, the load test ends with 1.
///
/// A strategy declared unsafe may oversell, and with it lose count of its units; a safe one must hold.
/// What proves nothing (not exercised, invalid, skipped) surprises nobody.
pub fn as_declared(declared: Guarantee, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Held | Verdict::NotExercised | Verdict::Invalid => true,
        Verdict::Skipped | Verdict::Control => true,
        Verdict::Oversold | Verdict::Inconsistent => declared == Guarantee::Oversells,
        Verdict::Lost | Verdict::Stranded => false,
    }
}

type Found = Option<(Verdict, String)>;

fn oversold(e: &Evidence) -> Found {
    let (n, unit) = (e.oversold, units(e.oversold));
    (n > 0).then(|| {
        let counter = match e.left {
            Some(left) if left >= 0 => format!(" The counter reads {left}, as if all were well."),
            Some(left) => format!(" The counter reads {left}."),
            None => String::new(),
        };
        let said =
            format!("Sold {} of {} units: {n} {unit} too many.{counter}", e.sold, e.opened + e.changed);
        (Verdict::Oversold, said)
    })
}

fn lost(e: &Evidence) -> Found {
    let n = e.lost.filter(|n| *n > 0)?;
    let said = format!("{n} {} told yes, and the ledger does not have {}.", were(n), them(n));
    Some((Verdict::Lost, said))
}

fn invalid(e: &Evidence) -> Found {
    let said = if e.in_flight > 0 {
        format!("{} orders are still under way: ask again when they are answered.", e.in_flight)
    } else {
        let c = e.clients.as_ref()?;
        let bad = c.answers.error + c.answers.unknown;
        if c.answers.total() != c.attempts {
            format!("The answers add up to {}, not to {} attempts.", c.answers.total(), c.attempts)
        } else if bad * 100 > c.attempts * ERRORS_MAX_PERCENT {
            format!("{bad} of {} attempts ended in errors or unknown.", c.attempts)
        } else {
            return None;
        }
    };
    Some((Verdict::Invalid, said))
}

fn inconsistent(e: &Evidence) -> Found {
    let phantom = e.phantom.unwrap_or(0);
    // A counter below the truth hides units (stranded); one above it will sell them twice.
    let above = e.drift.unwrap_or(0).max(0);
    let said = if phantom > 0 {
        format!("{phantom} orders are in the ledger whose clients were not told yes.")
    } else if e.duplicates > 0 {
        format!("{} keys have more than one order.", e.duplicates)
    } else if e.over_limit > 0 {
        format!("{} {} went beyond the per-buyer limit.", e.over_limit, units(e.over_limit))
    } else if e.unbalanced != 0 {
        format!("Orders and movements of the ledger differ by {} units.", e.unbalanced)
    } else if above > 0 {
        format!("The counter believes in {above} more {} than there are.", units(above))
    } else {
        return None;
    };
    Some((Verdict::Inconsistent, said))
}

fn stranded(e: &Evidence) -> Found {
    let n = e.stranded;
    (n > 0).then(|| {
        let said = format!(
            "{n} {} neither sold nor for sale though wanted.",
            if n == 1 { "unit is" } else { "units are" }
        );
        (Verdict::Stranded, said)
    })
}

fn not_exercised(declared: Guarantee, oversells_in: Option<&str>, e: &Evidence) -> Found {
    let said = match e.clients.as_ref() {
        None => "No tally of the clients' side: the ledger alone does not show contention.".into(),
        Some(c) => too_quiet(c, e.opened + e.changed).or_else(|| {
            let fault = oversells_in.filter(|place| *place != "rush");
            let said = fault.map_or_else(
                || "It can oversell and did not this time: luck is no promise.".to_owned(),
                |fault| format!("It oversells under a fault that no rush makes: {fault}."),
            );
            (declared == Guarantee::Oversells).then_some(said)
        })?,
    };
    Some((Verdict::NotExercised, said))
}

fn too_quiet(c: &Clients, opened: i64) -> Option<String> {
    if c.peak_in_flight < IN_FLIGHT_MIN {
        return Some(format!("At most {} orders were under way at once.", c.peak_in_flight));
    }
    let scarce = c.demand_units > opened;
    if scarce && c.demand_units < DEMAND_MIN_TIMES * opened {
        return Some(format!("Buyers wanted {} units of {opened}: too few to fight.", c.demand_units));
    }
    if scarce && c.answers.sold_out == 0 {
        return Some("Nobody was told sold out.".into());
    }
    None
}

fn held(e: &Evidence) -> (Verdict, String) {
    let (attempts, peak) = e.clients.as_ref().map_or((0, 0), |c| (c.attempts, c.peak_in_flight));
    let said = format!(
        "Sold {} of {} units in {attempts} attempts, {peak} at once. Evidence, not proof.",
        e.sold,
        e.opened + e.changed
    );
    (Verdict::Held, said)
}

fn units(n: i64) -> &'static str {
    if n == 1 { "unit" } else { "units" }
}

fn were(n: i64) -> &'static str {
    if n == 1 { "order was" } else { "orders were" }
}

fn them(n: i64) -> &'static str {
    if n == 1 { "it" } else { "them" }
}
