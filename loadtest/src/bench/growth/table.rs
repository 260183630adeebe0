//! The page: what grows, what that costs, and what bends.

use sellout::wire::Latency;

use super::bends::{self, Curve, servers};
use super::orders::{Asked, Step};
use super::overload::{Overload, Waiting};
use super::report::Part;
use super::{rebuild, sales};
use crate::outcome::Outcome;
use crate::table::{Marks, grid, machine, short};

const MIB: f64 = 1_048_576.0;
/// The goodput under overload, of the peak's.
const GOODPUT: f64 = 0.9;
/// The p99 of a refusal, in microseconds.
const REFUSAL_US: u64 = 5_000;

/// A page that stands alone.
pub fn page(part: &Part) -> String {
    format!("# Cost as it grows\n\n{}\n{}", section(part), machine(&part.environment, &part.started_at))
}

/// What a README shows.
pub fn section(part: &Part) -> String {
    let parts = [
        (!part.sales.is_empty(), sales_open(&part.sales)),
        (!part.orders.is_empty(), ledger(&part.orders)),
        (!part.rebuilt.is_empty(), forgotten(&part.rebuilt)),
        (!part.waiting.is_empty(), waiting(&part.waiting)),
        (!part.overload.is_empty(), overload(&part.overload)),
    ];
    let shown = parts.into_iter().filter(|(there, _)| *there).map(|(_, text)| text);
    let conditions = format!(
        "Private durable servers; {} connections, {:.1} s per run, seed {}. No rate without its audit: what \
         was not HELD has its verdict instead.\n\n",
        part.options.connections(),
        part.options.seconds(),
        part.options.seed
    );
    conditions + &shown.collect::<Vec<_>>().join("\n")
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    grid(head, rows, Marks::Markdown)
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".into(), short)
}

fn rate(outcome: &Outcome) -> String {
    let disturbed = if outcome.disturbed() { " ~" } else { "" };
    match (outcome.per_s, outcome.verdict) {
        (Some(rate), _) => short(rate) + disturbed,
        (None, verdict) => format!("{}: {}", verdict.map_or("–", |v| v.word()), outcome.reason),
    }
}

/// p50 / p99 in milliseconds, where the run stands.
fn latency(outcome: &Outcome) -> String {
    outcome.per_s.and(outcome.latency()).map_or("–".into(), ms)
}

fn ms(l: &Latency) -> String {
    format!("{:.1} / {:.1}", l.p50 as f64 / 1e3, l.p99 as f64 / 1e3)
}

fn mib(bytes: u64) -> String {
    short(bytes as f64 / MIB)
}

fn sales_open(steps: &[sales::Step]) -> String {
    let row = |s: &sales::Step| {
        vec![
            s.strategy.clone(),
            s.sales.to_string(),
            short(1e3 * s.open_seconds / s.sales.max(1) as f64),
            number(s.bytes_per_sale().map(|bytes| bytes / 1024.0)),
            format!("{} / {}", mib(s.memory.1), mib(s.memory_loaded)),
            s.stored.map_or("–".into(), mib),
            number(s.cores_alone()),
            rate(&s.load),
            latency(&s.load),
            mib(s
                .sizes
                .iter()
                .filter(|r| r.name.starts_with("sale") || r.name.starts_with("stock"))
                .map(|r| r.bytes)
                .sum()),
        ]
    };
    let head = [
        "Contestant",
        "Sales open",
        "ms to open one",
        "KiB of the service per sale",
        "service MiB, idle / loaded",
        "Redis MiB",
        "cores while nobody buys",
        "Orders/s over all",
        "p50 / p99 ms",
        "MiB on disk, sales and stock",
    ];
    format!(
        "### Sales that are open\n\nEach step begins with a new process that opens so many; with few of \
         them, memory per sale is noise.\n\n{}",
        table(&head, &steps.iter().map(row).collect::<Vec<_>>())
    )
}

fn ledger(steps: &[Step]) -> String {
    let head = [
        "Orders in the ledger",
        "group_commit/s",
        "p50 / p99 ms",
        "CPU µs",
        "atomic_update/s",
        "p50 / p99 ms",
        "CPU µs",
        "batches/s",
        "CPU µs",
        "audit ms, 100 orders",
        "audit s, filled sale",
        "restart s",
    ];
    let row = |s: &Step| {
        vec![
            s.orders.to_string(),
            rate(&s.group_commit),
            latency(&s.group_commit),
            number(servers(&s.group_commit)),
            rate(&s.atomic_update),
            latency(&s.atomic_update),
            number(servers(&s.atomic_update)),
            number(s.fill.as_ref().and_then(super::fill::Fill::per_s)),
            number(s.fill.as_ref().and_then(super::fill::Fill::cpu_per_order)),
            audit(&s.small_audit, 1e3),
            audit(&s.big_audit, 1.0),
            number(Some(s.restart.seconds())),
        ]
    };
    let rows: Vec<_> = steps.iter().map(row).collect();
    format!(
        "### Orders in the ledger\n\nCPU is that of the service and PostgreSQL per order. Restart: from \
         SIGTERM to the first order sold by the new process. ~: others worked beside it.\n\n\
         {}\n{}\n{}\n{}",
        table(&head, &rows),
        counters(steps),
        room(steps),
        curves(&bends::curves(steps), steps)
    )
}

fn audit(asked: &Asked, unit: f64) -> String {
    match asked.status {
        200 => short(unit * asked.seconds),
        status => format!("{status} after {} s", short(asked.seconds)),
    }
}

/// What PostgreSQL says of itself, of the timed runs and of the batches.
fn counters(steps: &[Step]) -> String {
    let head = [
        "Orders in the ledger",
        "pages read per order, one by one",
        "in batches",
        "full pages logged per order, one by one",
        "in batches",
        "log bytes per order, one by one",
        "in batches",
    ];
    let row = |s: &Step| {
        let (one, many) = (s.counters, s.fill_counters);
        let pair = |a: u64, b: u64| [number(one.per_order(a)), number(many.per_order(b))];
        let pairs = [
            pair(one.pages_read, many.pages_read),
            pair(one.full_pages, many.full_pages),
            pair(one.log_bytes, many.log_bytes),
        ];
        std::iter::once(s.orders.to_string()).chain(pairs.into_iter().flatten()).collect()
    };
    table(&head, &steps.iter().map(row).collect::<Vec<Vec<_>>>())
}

/// Bytes per order at the last step, where they are.
fn room(steps: &[Step]) -> String {
    let Some(last) = steps.last().filter(|s| s.orders > 0) else { return String::new() };
    let of = |r: &&super::servers::Relation| !r.name.starts_with("sale") && !r.name.starts_with("stock");
    let mut rows: Vec<_> = last.sizes.iter().filter(of).collect();
    rows.sort_by_key(|r| std::cmp::Reverse(r.bytes));
    let each = |bytes: u64| short(bytes as f64 / last.orders as f64);
    let all: u64 = rows.iter().map(|r| r.bytes).sum();
    let mut cells: Vec<_> = rows.iter().map(|r| vec![r.name.clone(), each(r.bytes), mib(r.bytes)]).collect();
    cells.push(vec!["all".into(), each(all), mib(all)]);
    table(&["Target", "bytes per order", "MiB"], &cells).replacen("Target", "On disk", 1)
}

/// What bends, with what PostgreSQL did more at the end than at the beginning.
fn curves(curves: &[Curve], steps: &[Step]) -> String {
    let row = |c: &Curve| {
        let word = match c.bent_at {
            Some(orders) if c.disturbed => format!("bends at {orders} orders, or others did it ~"),
            Some(orders) => format!("bends at {orders} orders"),
            None => "straight".into(),
        };
        vec![c.name.to_owned(), short(c.first), short(c.last), short(c.ratio()), word]
    };
    let head = ["Target", "first", "last", "last ÷ first", ""];
    let rows: Vec<_> = curves.iter().map(row).collect();
    let mut text = table(&head, &rows).replacen("Target", "Measure", 1);
    let misses = |s: &Step| s.counters.per_order(s.counters.pages_read);
    let ends = steps.first().and_then(misses).zip(steps.last().and_then(misses));
    if let Some((first, last)) = ends {
        text += &format!(
            "\nAt the first step PostgreSQL read {} pages per order from outside of its own memory (128 MB), \
             at the last {}. The keys of the batches lie anywhere among each other, as those of many clients \
             do, so each order touches another page of the index of keys; ids and sales grow at one end of \
             theirs. The orders that come one by one are few, and their keys lie beside each other.\n",
            short(first),
            short(last)
        );
    }
    for step in steps.iter().filter(|s| s.big_audit.status != 200) {
        let why = step.big_audit.refused.as_deref().unwrap_or_default();
        text += &format!("\nThe audit of {} orders was not answered: {why}\n", step.filled);
    }
    text
}

fn forgotten(steps: &[rebuild::Step]) -> String {
    let row = |s: &rebuild::Step| {
        vec![
            s.orders.to_string(),
            number(s.fill.per_s()),
            number(s.fill.cpu_per_order()),
            s.stored.map_or("–".into(), mib),
            number(s.stored.map(|bytes| bytes as f64 / s.orders.max(1) as f64)),
            short(s.seconds),
        ]
    };
    let head = [
        "Orders of the sale",
        "batches/s",
        "CPU µs",
        "Redis MiB",
        "bytes per order",
        "s until it sells again",
    ];
    format!(
        "### Redis forgets everything (redis_lua)\n\n{}",
        table(&head, &steps.iter().map(row).collect::<Vec<_>>())
    )
}

fn waiting(steps: &[Waiting]) -> String {
    let row =
        |w: &Waiting| vec![w.connections.to_string(), w.under_way.to_string(), mib(w.idle), mib(w.busy)];
    let head = ["Connections", "orders under way", "service MiB, idle", "service MiB, all waiting"];
    let mut text =
        format!("### Buyers who wait\n\n{}", table(&head, &steps.iter().map(row).collect::<Vec<_>>()));
    if let [few, .., many] = steps {
        let more = (many.connections - few.connections).max(1) as f64;
        let each = |from: u64, to: u64| short((to as f64 - from as f64) / more / 1024.0);
        text += &format!(
            "\nOne more connection costs {} KiB while it is idle, and {} KiB with an order that waits.\n",
            each(few.busy, many.idle),
            each(few.busy, many.busy)
        );
    }
    text
}

fn overload(rows: &[Overload]) -> String {
    let mark = |fine: Option<bool>| match fine {
        Some(true) => " ✓",
        Some(false) => " ✗",
        None => "",
    };
    let row = |o: &Overload| {
        let refused = o.crush.latency_us.get("contended");
        let few = o.refused_beside_us.as_ref();
        vec![
            o.strategy.clone(),
            format!("{} at {}", rate(&o.peak), o.peak.concurrency),
            format!("{} at {}", rate(&o.patient), o.patient.concurrency),
            number(o.goodput()) + mark(o.goodput().map(|share| share >= GOODPUT)),
            rate(&o.crush),
            number(o.goodput_in_the_crush()),
            number(o.refused_per_s()),
            refused.map_or("–".into(), ms),
            few.map_or("–".into(), ms) + mark(few.map(|l| l.p99 < REFUSAL_US)),
            number(o.us_per_refusal()),
            format!("{} / {}", number(o.refusal_cores()), number(o.client_cores())),
            format!("{} / {}", mib(o.memory_at_peak), mib(o.memory)),
        ]
    };
    let head = [
        "Contestant",
        "Peak/s",
        "Ten times the buyers/s",
        "share of the peak",
        "Ten times the rate/s",
        "share",
        "refused/s",
        "refusal p50 / p99 ms, in the crowd",
        "beside it",
        "service CPU µs per refusal",
        "cores: refusals / client",
        "service MiB, peak / most",
    ];
    let mut text = format!(
        "### Overload\n\nThe service works on as many orders as there are connections at the peak and lets \
         twice as many wait; all others are refused (503, nothing taken, Retry-After: 1). Ten times the \
         buyers heed that. Ten times the rate does not: as many connections ask again and again, at ten \
         times the peak's rate or as fast as the client can: it shares the cores with the service, so what \
         it burns nobody sells. A refusal is timed by the crowd, where most of the time is the client's \
         own, and by a few buyers beside it on a thread of their own.\n\n{}",
        table(&head, &rows.iter().map(row).collect::<Vec<_>>())
    );
    for o in rows.iter().filter(|o| o.goodput_in_the_crush().is_some_and(|share| share < GOODPUT)) {
        text += &format!(
            "\n{} keeps {} of its peak under ten times the rate: refusing took {} cores and the \
             client {}, which those who are served would have had. A client on a machine of its own takes \
             none.\n",
            o.strategy,
            number(o.goodput_in_the_crush()),
            number(o.refusal_cores()),
            number(o.client_cores())
        );
    }
    text
}

#[cfg(test)]
#[path = "table_tests.rs"]
pub mod tests;
