//! A trace in words, for people who see such a thing for the first time.

use std::collections::HashMap;

use super::choice::Picked;
use super::step::{Act, Lane, Step, Wrote};
use super::witness::Stand;

/// What is told of.
pub(super) struct Told<'a> {
    /// The orders that are shown, by their numbers.
    pub names: &'a HashMap<u64, &'static str>,
    /// All steps, also those of other orders.
    pub steps: &'a [Step],
    /// How it stood after each of them.
    pub stands: &'a [Stand],
    /// And before the first.
    pub before: Stand,
}

impl Told<'_> {
    pub(super) fn name(&self, order: u64) -> &'static str {
        self.names.get(&order).copied().unwrap_or_default()
    }

    /// How it stood just before a step.
    fn before(&self, place: usize) -> Stand {
        place.checked_sub(1).map_or(self.before, |place| self.stands[place])
    }

    /// Steps of one order before this one, the last one first.
    fn earlier(&self, order: u64, place: usize) -> impl Iterator<Item = Act> {
        let own = move |step: &&Step| step.lane.as_ref().is_some_and(|lane| lane.n == order);
        self.steps[..place].iter().rev().filter(own).map(|step| step.act)
    }

    /// What an order had read by then.
    fn read(&self, order: u64, place: usize) -> Option<i64> {
        self.earlier(order, place)
            .find_map(|act| if let Act::Read { seen } = act { Some(seen) } else { None })
    }

    fn has_committed(&self, order: u64, place: usize) -> bool {
        self.earlier(order, place).any(|act| act == Act::Commit)
    }

    /// Who is shown, was let in by the lock, has not left it, and has not yet written or found too little.
    /// (Of who has, the word that he left may come later than the word that another one was let in.)
    fn inside(&self, place: usize, but: u64) -> Option<&'static str> {
        let inside = |order: &&u64| {
            let within = |act: &Act| !matches!(act, Act::Enter | Act::Leave { .. });
            let mut done = self.earlier(**order, place).take_while(within);
            let busy = !done.any(|act| matches!(act, Act::Write(_) | Act::Commit) || act.refuses());
            let entered = self.earlier(**order, place).find(|act| !within(act)) == Some(Act::Enter);
            **order != but && entered && busy
        };
        self.names.keys().find(inside).map(|order| self.name(*order))
    }
}

/// A step in a sentence or two.
pub(super) fn note(place: usize, told: &Told<'_>, oversold: bool) -> String {
    let step = &told.steps[place];
    let Some(lane) = &step.lane else { return String::new() };
    let (a, wants) = (told.name(lane.n), units(lane.quantity));
    let file = step.statement.unwrap_or("One statement");
    match step.act {
        Act::Arrive | Act::Back { .. } => format!("{a} arrives and wants {wants}."),
        Act::Enter => match told.inside(place, lane.n) {
            None => format!("{a} is let in by the lock."),
            Some(b) => format!("{a} is let in by the lock while {b} is inside: it does not keep them apart."),
        },
        Act::Read { seen } => format!("{a} reads {seen}.{}", by_now(seen, told.stands[place])),
        Act::Check { ok } => check(place, lane, ok, told),
        Act::Write(wrote) => write(place, lane, wrote, told, oversold),
        Act::Commit => commit(place, lane, told),
        Act::Decide { ok: true } => {
            format!("{file} reads, checks and takes {wants} for {a} in one go: nobody comes between.")
        }
        Act::Decide { ok: false } => format!("{file} finds fewer than {wants}: nothing for {a}."),
        Act::Leave { lost } => leave(place, lane, lost, told),
        Act::Retry => format!("Others were in the way of {a}: nothing was taken, and it begins anew."),
        Act::Reply { outcome } => {
            let early = outcome == "sold" && !told.has_committed(lane.n, place);
            let early = if early { " The ledger does not have the order yet." } else { "" };
            format!("{a} is told: {}.{early}", spoken(outcome))
        }
    }
}

/// What is no longer so.
fn by_now(believed: i64, stand: Stand) -> String {
    match stand.counter {
        Some(counter) if counter != believed => format!(" By now the counter says {counter}."),
        _ => String::new(),
    }
}

fn check(place: usize, lane: &Lane, ok: bool, told: &Told<'_>) -> String {
    let (a, wants) = (told.name(lane.n), units(lane.quantity));
    let Some(read) = told.read(lane.n, place) else {
        return format!("{a} checks: {} for {wants}.", if ok { "enough" } else { "too few" });
    };
    let stale = if ok { by_now(read, told.stands[place]) } else { String::new() };
    format!("{a} compares: {read} {} for {wants}.{stale}", if ok { "is enough" } else { "is too few" })
}

fn write(place: usize, lane: &Lane, wrote: Wrote, told: &Told<'_>, oversold: bool) -> String {
    let a = told.name(lane.n);
    let to = match wrote {
        Wrote::By(by) => return format!("{a} takes {by} from whatever is left by now."),
        Wrote::To(to) => to,
    };
    let there = told.before(place).counter.filter(|there| Some(*there) != told.read(lane.n, place));
    match there.filter(|_| oversold) {
        Some(there) => format!("{a} writes {to} over {there}, which it never saw: an update is lost."),
        None => format!("{a} writes {to}."),
    }
}

fn commit(place: usize, lane: &Lane, told: &Told<'_>) -> String {
    let (a, Stand { sold, for_sale, .. }) = (told.name(lane.n), told.stands[place]);
    let answered = told.earlier(lane.n, place).any(|act| matches!(act, Act::Reply { .. }));
    let only_now = if answered { "Only now the" } else { "The" };
    let too_many = match sold - for_sale {
        1.. => format!(" That is {} too many.", sold - for_sale),
        _ => String::new(),
    };
    format!("{only_now} order of {a} is in the ledger: {sold} sold of {for_sale}.{too_many}")
}

fn leave(place: usize, lane: &Lane, lost: bool, told: &Told<'_>) -> String {
    let a = told.name(lane.n);
    let mut within = told.earlier(lane.n, place).take_while(|act| *act != Act::Enter);
    let last = within.find(|act| matches!(act, Act::Write(_) | Act::Commit));
    match (lost, last) {
        (true, _) => format!("{a} lets the lock go, and it was not its own any more."),
        (_, Some(Act::Write(_))) => {
            format!("{a} lets the lock go before its commit: whoever enters now does not see what it wrote.")
        }
        _ => format!("{a} lets the lock go."),
    }
}

/// What other orders did since the step that was shown before.
pub(super) fn meanwhile(previous: Option<usize>, place: usize, told: &Told<'_>) -> String {
    let Some(previous) = previous else { return String::new() };
    let (then, now) = (told.stands[previous], told.before(place));
    let number = |counter: Option<i64>| counter.map_or("a number not known".to_owned(), |n| n.to_string());
    let moved = (then.counter != now.counter)
        .then(|| format!("the counter went from {} to {}", number(then.counter), number(now.counter)));
    let sold = match now.sold - then.sold {
        0 => None,
        some @ 1.. => Some(format!("{} went to other orders", units(some))),
        back => Some(format!("{} came back", units(-back))),
    };
    let parts: Vec<String> = [sold, moved].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!("(Meanwhile {}.) ", parts.join(", and ")) }
}

/// All of it in one sentence. `chosen`: the orders that are shown, in their sequence.
pub(super) fn sentence(picked: Picked, chosen: &[u64], told: &Told<'_>) -> String {
    let names = list(chosen, told);
    let others = |but: u64| {
        let others: Vec<u64> = chosen.iter().copied().filter(|order| *order != but).collect();
        list(&others, told)
    };
    match picked {
        Picked::Alike { beyond, read } => {
            let both = if chosen.len() == 2 { "both" } else { "all" };
            format!("{names} {both} read {read} and acted on it; {}", beyond_stock(beyond, told))
        }
        Picked::Unaware { beyond, read } => {
            let (b, a) = (told.name(beyond), others(beyond));
            format!("{b} read {read} and did not know what {a} took; {}", beyond_stock(beyond, told))
        }
        Picked::Inflated { beyond, others: [one, two], read } => format!(
            "{} both read {read} and acted on it, so the counter lost one and says too much since; {}",
            list(&[one, two], told),
            beyond_stock(beyond, told)
        ),
        Picked::Unexplained { beyond } => {
            format!("What went wrong is not among the kept steps; {}", beyond_stock(beyond, told))
        }
        Picked::Refused { sold, refused } => {
            let (a, b, said) = (told.name(sold), told.name(refused), outcome(refused, told));
            let how = format!("{a} was first, {b} found too little and was told: {said}");
            format!("{names} were there at the same time: {how}.")
        }
        Picked::Retried { sold, retried } => {
            let (a, b, said) = (told.name(sold), told.name(retried), outcome(retried, told));
            format!(
                "{names} were there at the same time: {a} was first, {b} began anew and was told: {said}."
            )
        }
        Picked::Both => format!("{names} were there at the same time and did not hinder each other."),
        Picked::Apart if chosen.len() == 1 => format!("{names} was there alone: nobody could come between."),
        Picked::Apart => format!("{names} came one after the other: nobody could come between."),
    }
}

/// The order that was one too many.
fn beyond_stock(beyond: u64, told: &Told<'_>) -> String {
    let own = |step: &Step| step.act == Act::Commit && step.lane.as_ref().is_some_and(|l| l.n == beyond);
    let place = told.steps.iter().position(own).unwrap_or_default();
    let Stand { counter, sold, for_sale } = told.stands[place];
    let says = counter.map_or(String::new(), |counter| format!(", and the counter says {counter}"));
    format!("the order of {} made it {sold} sold of {for_sale}{says}.", told.name(beyond))
}

/// What an order was told in the end.
fn outcome(order: u64, told: &Told<'_>) -> String {
    let reply = told.earlier(order, told.steps.len()).find_map(|act| match act {
        Act::Reply { outcome } => Some(spoken(outcome)),
        _ => None,
    });
    reply.unwrap_or_else(|| "nothing yet".into())
}

/// The outcome of a metric label as one says it.
fn spoken(outcome: &str) -> String {
    match outcome {
        "replayed" => "sold, by an order that it had sent before".into(),
        "contended" => "try again, nothing was taken".into(),
        "unknown" => "nobody knows whether it was sold".into(),
        plain => plain.replace('_', " "),
    }
}

fn list(orders: &[u64], told: &Told<'_>) -> String {
    let mut names: Vec<&str> = orders.iter().map(|order| told.name(*order)).collect();
    names.sort_unstable();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "other orders".into(),
    }
}

fn units(n: i64) -> String {
    if n == 1 { "1 unit".into() } else { format!("{n} units") }
}
