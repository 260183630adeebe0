//! Four pictures: by the sales that are open, and by the orders in the ledger.

use super::bends::{p99, servers};
use super::orders::Step;
use super::report::Part;
use crate::plots::chart;

/// What is drawn of a step, where it was measured.
type Value = fn(&Step) -> Option<f64>;
type Series<'a> = Vec<(&'a str, Vec<(usize, f64)>)>;

/// File names and pictures, of what was measured.
pub fn all(part: &Part) -> Vec<(&'static str, String)> {
    let pictures = [
        ("growth-sales.svg", "Orders per second, by sales that are open", by_sales(part)),
        ("growth-orders.svg", "Orders per second, by orders in the ledger", rates(part)),
        (
            "growth-latency.svg",
            "p99 of an accepted order and audits, ms, by orders in the ledger",
            waits(part),
        ),
        ("growth-cpu.svg", "CPU time of the servers per order, µs, by orders in the ledger", cpu(part)),
    ];
    let drawn = pictures.into_iter().filter(|(.., series)| !series.is_empty());
    drawn.map(|(file, title, series)| (file, chart(title, series))).collect()
}

fn by_sales(part: &Part) -> Series<'_> {
    let mut series: Series<'_> = Vec::new();
    for step in &part.sales {
        let Some(rate) = step.load.per_s else { continue };
        match series.iter_mut().find(|(name, _)| *name == step.strategy) {
            Some((_, points)) => points.push((step.sales, rate)),
            None => series.push((&step.strategy, vec![(step.sales, rate)])),
        }
    }
    series
}

fn rates(part: &Part) -> Series<'_> {
    by_orders(
        part,
        &[
            ("batches of 1,000", |s| s.fill.as_ref()?.per_s()),
            ("group_commit", |s| s.group_commit.per_s),
            ("atomic_update", |s| s.atomic_update.per_s),
        ],
    )
}

fn waits(part: &Part) -> Series<'_> {
    by_orders(
        part,
        &[
            ("group_commit", |s| p99(&s.group_commit)),
            ("atomic_update", |s| p99(&s.atomic_update)),
            ("audit, 100 orders", |s| Some(1e3 * s.small_audit.seconds)),
            ("audit, filled sale", |s| s.big_audit.orders.map(|_| 1e3 * s.big_audit.seconds)),
            ("restart", |s| Some(1e3 * s.restart.seconds())),
        ],
    )
}

fn cpu(part: &Part) -> Series<'_> {
    by_orders(
        part,
        &[
            ("batches of 1,000", |s| s.fill.as_ref()?.cpu_per_order()),
            ("group_commit", |s| servers(&s.group_commit)),
            ("atomic_update", |s| servers(&s.atomic_update)),
        ],
    )
}

fn by_orders<'a>(part: &Part, lines: &[(&'a str, Value)]) -> Series<'a> {
    let points = |value: Value| -> Vec<(usize, f64)> {
        let points = part.orders.iter().filter_map(|s| Some((usize::try_from(s.filled).ok()?, value(s)?)));
        points.collect()
    };
    lines.iter().map(|(name, value)| (*name, points(*value))).filter(|(_, p)| !p.is_empty()).collect()
}
