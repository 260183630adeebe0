//! The report as text: for the terminal, and as Markdown from the same cells.

use sellout::wire::Environment;

use crate::outcome::{Client, Kind};
use crate::plan::CROWD;
use crate::report::{DISTURBED_CORES, Report, Row};
use crate::targets::Target;

const COLUMNS: [&str; 10] = [
    "Contestant",
    "Kind",
    "Connections",
    "Items",
    "Orders/s",
    "÷ bare",
    "÷ atomic_update",
    "p50 / p99 ms",
    "CPU µs per order (service + PostgreSQL + Redis + client)",
    "Verdict",
];
const TARGETS: [&str; 5] = ["Target", "At least", "Aim", "Measured", ""];
/// Columns of words; all others are numbers.
const WORDS: [&str; 6] = ["Contestant", "Kind", "Verdict", "Target", "Where", ""];

/// How the lines of a table are drawn.
#[derive(Clone, Copy, PartialEq)]
pub enum Marks {
    /// Columns of equal width.
    Terminal,
    /// Cells between bars.
    Markdown,
}

/// For the terminal.
pub fn text(report: &Report) -> String {
    let rows: Vec<_> = report.contestants.iter().map(cells).collect();
    let mut text = grid(&COLUMNS, &rows, Marks::Terminal);
    text += "\n";
    text += &grid(&TARGETS, &targets(&report.targets), Marks::Terminal);
    text += &format!("\n{}\n", words(report).join("\n"));
    text
}

/// A page that stands alone.
pub fn page(report: &Report) -> String {
    let rows: Vec<_> = report.contestants.iter().map(cells).collect();
    format!("# How fast\n\n{}\n{}", grid(&COLUMNS, &rows, Marks::Markdown), rest(report))
}

/// What a README shows: everybody at one concurrency, accepted and refused.
pub fn section(report: &Report) -> String {
    let shown = |row: &&Row| {
        let raw = row.client == Client::Raw && row.concurrency == CROWD && row.items == 1;
        (raw && row.kind != Kind::Mixed) || row.client == Client::Batch
    };
    let mut rows: Vec<&Row> = report.contestants.iter().filter(shown).collect();
    let rank = |row: &Row| (row.kind, std::cmp::Reverse(row.per_s.unwrap_or(0.0).to_bits()));
    rows.sort_by_key(|row| rank(row));
    let rows: Vec<_> = rows.into_iter().map(cells).collect();
    format!("{}\n{}", grid(&COLUMNS, &rows, Marks::Markdown), rest(report))
}

fn rest(report: &Report) -> String {
    let lines: String = words(report).iter().map(|line| format!("- {line}\n")).collect();
    format!(
        "{}\n{lines}\n{}",
        grid(&TARGETS, &targets(&report.targets), Marks::Markdown),
        machine(&report.environment, &report.started_at)
    )
}

fn cells(row: &Row) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("–".into(), short);
    let ms = |us: Option<f64>| us.map_or("–".into(), |us| format!("{:.1}", us / 1_000.0));
    let cpu = &row.cpu_us_per_order;
    let parts = [cpu.service, cpu.postgres, cpu.redis, cpu.load].map(|part| part.map_or("–".into(), short));
    let verdict = match (row.verdict, row.per_s) {
        (None, _) => "–".into(),
        (Some(verdict), Some(_)) => verdict.word().to_owned(),
        (Some(verdict), None) => format!("{}: {}", verdict.word(), row.reason),
    };
    let beside = if row.disturbed > 0 { " ~" } else { "" };
    let client = if row.client == Client::Raw { String::new() } else { format!(", {}", row.client.name()) };
    vec![
        row.strategy.clone(),
        format!("{}{client}", row.kind.name()),
        row.concurrency.to_string(),
        row.items.to_string(),
        format!("{}{beside}", row.per_s.map_or("–".into(), |rate| format!("{rate:.0}"))),
        number(row.ratio_to_bare),
        number(row.ratio_to_atomic_update),
        format!("{} / {}", ms(row.p50_us), ms(row.p99_us)),
        format!("{} = {}", number(cpu.total), parts.join(" + ")),
        verdict,
    ]
}

fn targets(targets: &[Target]) -> Vec<Vec<String>> {
    let row = |target: &Target| {
        let sign = if target.at_most { "≤ " } else { "" };
        let mark = match target.reached {
            Some(true) => "✓",
            Some(false) => "✗ missed",
            None => "not measured",
        };
        vec![
            target.measure.clone(),
            format!("{sign}{}", short(target.at_least)),
            format!("{sign}{}", short(target.aim)),
            target.value.map_or("–".into(), |value| apart(value, target)),
            mark.to_owned(),
        ]
    };
    targets.iter().map(row).collect()
}

/// A value that misses by a hair is not rounded to what it misses.
fn apart(value: f64, target: &Target) -> String {
    match short(value) {
        rounded if target.reached == Some(false) && rounded == short(target.at_least) => {
            format!("{value:.3}")
        }
        rounded => rounded,
    }
}

/// What one must know of the numbers.
fn words(report: &Report) -> Vec<String> {
    let plan = &report.plan;
    let mut lines = vec![format!(
        "Medians of {} rounds of {} runs, {:.1} s each after {:.1} s of warm-up, seed {}; ratios are taken \
         within each round. Every round has fresh servers with fsync and synchronous_commit on.",
        report.rounds, plan.runs, plan.seconds, plan.warm_up_seconds, plan.seed
    )];
    let orders: Vec<String> = report.ledger_orders.iter().map(u64::to_string).collect();
    lines.push(format!("The ledger grew within a round, from empty to {} judged orders.", orders.join(", ")));
    for round in &report.disturbed {
        lines.push(format!(
            "Round {}: other work took {:.2} cores, the host {:.2}; {} of {} runs had more than \
             {DISTURBED_CORES} (~).",
            round.round, round.foreign_cores, round.stolen_cores, round.runs, round.of
        ));
    }
    if let Some(limit) = report.insert_limit {
        lines.push(format!("Bare inserts, a thousand rows per statement: {limit:.0} rows/s."));
    }
    lines.extend(report.left_out.iter().cloned());
    lines
}

/// Where it was measured, and when.
pub fn machine(e: &Environment, started_at: &str) -> String {
    let rows = sellout::reports::machine(e, started_at).into_iter();
    let rows: Vec<_> = rows.map(|(name, value)| vec![name.to_owned(), value]).collect();
    grid(&["Where", ""], &rows, Marks::Markdown)
}

/// Three digits are all that such a measurement knows.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A table.
pub fn grid(head: &[&str], rows: &[Vec<String>], marks: Marks) -> String {
    let clean = |cell: &str| cell.replace('|', "\\|").replace('\n', " ");
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([head[at].chars().count()]).max().unwrap_or(0)
    };
    let line = |cells: Vec<String>| match marks {
        Marks::Markdown => format!("| {} |\n", cells.join(" | ")),
        Marks::Terminal => {
            let padded = cells.iter().enumerate().map(|(at, cell)| pad(cell, width(at), head[at]));
            format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
        }
    };
    let mut text = line(head.iter().map(|name| (*name).to_owned()).collect());
    if marks == Marks::Markdown {
        let rule = |name: &&str| if WORDS.contains(name) { "---" } else { "---:" }.to_owned();
        text += &line(head.iter().map(rule).collect());
    }
    for row in rows {
        text += &line(row.iter().map(|cell| clean(cell)).collect());
    }
    text
}

fn pad(cell: &str, width: usize, column: &str) -> String {
    let blank = " ".repeat(width.saturating_sub(cell.chars().count()));
    if WORDS.contains(&column) { format!("{cell}{blank}") } else { format!("{blank}{cell}") }
}

#[cfg(test)]
#[path = "table_tests.rs"]
pub mod tests;
