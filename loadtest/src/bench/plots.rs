//! Four pictures: throughput by connections, growth with items, latency, and where the CPU time went.

use std::collections::BTreeSet;

use crate::outcome::{Client, Kind};
use crate::plan::CROWD;
use crate::report::{Report, Row};
use crate::svg::{Svg, WIDTH, colour};

const LEFT: f64 = 180.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 50.0;
const BAR: f64 = 22.0;
const PLOT: f64 = 320.0;
/// Names to the right of the lines.
const NAMES: f64 = 190.0;
const AXIS: f64 = 70.0;

/// File names and pictures.
pub fn all(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        (
            "bench-throughput.svg",
            lines(report, "Orders per second, accepted, by connections", |row| {
                (row.items == 1).then_some(row.concurrency)
            }),
        ),
        (
            "bench-items.svg",
            lines(report, "Orders per second, accepted, 256 connections, by items", |row| {
                (row.concurrency == CROWD).then_some(row.items)
            }),
        ),
        ("bench-latency.svg", latency(report)),
        ("bench-cpu.svg", cpu(report)),
    ]
}

fn accepted(report: &Report) -> impl Iterator<Item = &Row> {
    let shown = |row: &&Row| row.client == Client::Raw && row.kind == Kind::Accepted && row.per_s.is_some();
    report.contestants.iter().filter(shown)
}

/// Accepted orders by what `x_of` says of a row.
fn lines(report: &Report, title: &str, x_of: fn(&Row) -> Option<usize>) -> String {
    let mut series: Vec<(&str, Vec<(usize, f64)>)> = Vec::new();
    for row in accepted(report) {
        let (Some(x), Some(rate)) = (x_of(row), row.per_s) else { continue };
        match series.iter_mut().find(|(name, _)| *name == row.strategy) {
            Some((_, points)) => points.push((x, rate)),
            None => series.push((&row.strategy, vec![(x, rate)])),
        }
    }
    chart(title, series)
}

/// Lines by step, steps equally far from each other. Values span decades, so the scale is logarithmic.
pub fn chart(title: &str, series: Vec<(&str, Vec<(usize, f64)>)>) -> String {
    let points = || series.iter().flat_map(|(_, points)| points);
    let steps: BTreeSet<usize> = points().map(|(x, _)| *x).collect();
    let (lowest, highest) = decades(points().map(|(_, value)| *value));
    let mut svg = Svg::new(title, TOP + PLOT + 50.0);
    let right = WIDTH - NAMES;
    let y = |value: f64| TOP + PLOT * (1.0 - (value.log10() - lowest) / (highest - lowest));
    let x = |step: usize| {
        let at = steps.iter().position(|s| *s == step).unwrap_or(0) as f64;
        AXIS + 20.0 + (right - AXIS - 40.0) * at / (steps.len().max(2) - 1) as f64
    };
    let mut decade = lowest;
    while decade <= highest {
        let value = 10f64.powf(decade);
        svg.rule((AXIS, y(value)), (right, y(value)));
        svg.text(AXIS - 8.0, y(value) + 4.0, "e", &value.to_string());
        decade += 1.0;
    }
    for step in &steps {
        svg.text(x(*step), TOP + PLOT + 22.0, "m", &step.to_string());
    }
    let mut ends: Vec<(f64, &str, usize)> = Vec::new();
    for (at, (name, mut points)) in series.into_iter().enumerate() {
        points.retain(|(_, value)| *value > 0.0);
        points.sort_by_key(|(step, _)| *step);
        let points: Vec<_> = points.into_iter().map(|(step, value)| (x(step), y(value))).collect();
        svg.line(&points, colour(at));
        ends.extend(points.last().map(|(_, y)| (*y, name, at)));
    }
    label(&mut svg, ends, right);
    svg.finish()
}

/// Names beside the ends of their lines, pushed apart where they would lie on each other.
fn label(svg: &mut Svg, mut ends: Vec<(f64, &str, usize)>, right: f64) {
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f64::MIN;
    for (y, name, at) in ends {
        let y = y.max(lowest + 17.0);
        lowest = y;
        svg.bar(right + 4.0, y - 5.0, 10.0, 10.0, colour(at));
        svg.text(right + 20.0, y + 4.0, "", name);
    }
}

/// The decades that hold all of them.
fn decades(rates: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let logs = rates.filter(|rate| *rate > 0.0).map(f64::log10);
    let lowest = logs.clone().fold(f64::MAX, f64::min).floor();
    let highest = logs.fold(f64::MIN, f64::max).ceil();
    if lowest < highest { (lowest, highest) } else { (0.0, 1.0) }
}

fn at_crowd(report: &Report) -> Vec<&Row> {
    accepted(report).filter(|row| row.concurrency == CROWD && row.items == 1).collect()
}

fn latency(report: &Report) -> String {
    let mut bars: Vec<(&str, Vec<(f64, &str)>)> = Vec::new();
    for row in at_crowd(report) {
        let p50 = row.p50_us.unwrap_or(0.0) / 1_000.0;
        let p99 = row.p99_us.unwrap_or(0.0) / 1_000.0;
        bars.push((&row.strategy, vec![(p50, "p50"), ((p99 - p50).max(0.0), "up to p99")]));
    }
    stacked("Latency of an accepted order, 256 connections, ms: p50, and up to p99", "ms", bars)
}

fn cpu(report: &Report) -> String {
    let mut bars: Vec<(&str, Vec<(f64, &str)>)> = Vec::new();
    for row in at_crowd(report) {
        let cpu = &row.cpu_us_per_order;
        let parts = [
            (cpu.service, "service"),
            (cpu.postgres, "PostgreSQL"),
            (cpu.redis, "Redis"),
            (cpu.load, "client"),
        ];
        bars.push((&row.strategy, parts.map(|(us, name)| (us.unwrap_or(0.0), name)).to_vec()));
    }
    stacked("CPU time per accepted order, 256 connections, µs", "µs", bars)
}

/// The longest first would hide the order of the table, so they stand as they were run.
fn stacked(title: &str, unit: &str, bars: Vec<(&str, Vec<(f64, &str)>)>) -> String {
    let sum = |parts: &[(f64, &str)]| parts.iter().map(|(value, _)| value).sum::<f64>();
    let longest = bars.iter().map(|(_, parts)| sum(parts)).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = Svg::new(title, TOP + 24.0 + bars.len() as f64 * (BAR + 8.0) + 16.0);
    if let Some((_, parts)) = bars.first() {
        for (at, (_, name)) in parts.iter().enumerate() {
            let x = LEFT + at as f64 * 120.0;
            svg.bar(x, TOP - 8.0, 12.0, 12.0, colour(at));
            svg.text(x + 18.0, TOP + 3.0, "", name);
        }
    }
    for (at, (name, parts)) in bars.iter().enumerate() {
        let y = TOP + 20.0 + at as f64 * (BAR + 8.0);
        svg.text(LEFT - 10.0, y + 15.0, "e", name);
        let mut x = LEFT;
        for (part, (value, _)) in parts.iter().enumerate() {
            let width = (WIDTH - LEFT - RIGHT) * value / longest;
            svg.bar(x, y, width, BAR, colour(part));
            x += width;
        }
        svg.text(x + 8.0, y + 15.0, "", &format!("{:.1} {unit}", sum(parts)));
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_the_smallest_and_the_largest() {
        assert_eq!(decades([650.0, 28_000.0].into_iter()), (2.0, 5.0));
        assert_eq!(decades([].into_iter()), (0.0, 1.0));
    }
}
