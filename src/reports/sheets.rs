//! A run as CSV (RFC 4180): one line per strategy with all that belongs to it, and the curves.
//!
//! A sheet is read by programs that take a cell for a formula when it begins like one, so text that does gets
//! an apostrophe in front. Numbers are left alone: -14 units left is what was counted. What is not known is
//! empty.

use std::io;

use super::{artificial, command, facts, ledger_was_read, one_line};
use crate::wire::{Latency, Run, RunResult};

type Column = (&'static str, fn(&Run, &RunResult) -> String);

/// What was counted, then how it was run and where, so that a line says everything alone.
const COLUMNS: &[Column] = &[
    ("run", |run, _| text(&run.id)),
    ("started_at", |run, _| text(&run.started_at)),
    ("scenario", |run, _| text(&run.parameters.scenario)),
    ("strategy", |_, row| text(&row.strategy)),
    ("declared", |_, row| word(&row.declared)),
    ("verdict", |_, row| word(&row.verdict)),
    ("as_declared", |_, row| row.as_declared.to_string()),
    ("reason", |_, row| text(&row.reason)),
    ("opened", |_, row| row.evidence.opened.to_string()),
    ("changed", |_, row| row.evidence.changed.to_string()),
    ("sold", |_, row| counted(row, row.evidence.sold)),
    ("orders", |_, row| counted(row, row.evidence.orders)),
    ("left", |_, row| known(row.evidence.left)),
    ("oversold", |_, row| counted(row, row.evidence.oversold)),
    ("told_yes", |_, row| known(row.evidence.told_yes)),
    ("lost", |_, row| known(row.evidence.lost)),
    ("phantom", |_, row| known(row.evidence.phantom)),
    ("unknown", |_, row| known(row.evidence.unknown)),
    ("stranded", |_, row| counted(row, row.evidence.stranded)),
    ("duplicates", |_, row| counted(row, row.evidence.duplicates)),
    ("over_limit", |_, row| counted(row, row.evidence.over_limit)),
    ("drift", |_, row| known(row.evidence.drift)),
    ("unbalanced", |_, row| counted(row, row.evidence.unbalanced)),
    ("attempts", |_, row| row.attempts.to_string()),
    ("answers_sold", |_, row| row.answers.sold.to_string()),
    ("answers_sold_out", |_, row| row.answers.sold_out.to_string()),
    ("answers_contended", |_, row| row.answers.contended.to_string()),
    ("answers_rejected", |_, row| row.answers.rejected.to_string()),
    ("answers_error", |_, row| row.answers.error.to_string()),
    ("answers_unknown", |_, row| row.answers.unknown.to_string()),
    ("seconds", |_, row| row.seconds.to_string()),
    ("accepted_per_s", |_, row| row.accepted_per_s.to_string()),
    ("rejected_per_s", |_, row| row.rejected_per_s.to_string()),
    ("sold_p50_us", |_, row| latency(row, "sold", |l| l.p50)),
    ("sold_p90_us", |_, row| latency(row, "sold", |l| l.p90)),
    ("sold_p99_us", |_, row| latency(row, "sold", |l| l.p99)),
    ("sold_max_us", |_, row| latency(row, "sold", |l| l.max)),
    ("sold_out_p50_us", |_, row| latency(row, "sold_out", |l| l.p50)),
    ("sold_out_p99_us", |_, row| latency(row, "sold_out", |l| l.p99)),
    ("peak_in_flight", |_, row| row.peak_in_flight.to_string()),
    ("service_cpu_us_per_attempt", |_, row| known(row.service_cpu_us_per_attempt)),
    ("asked_stock", |run, _| run.parameters.stock.to_string()),
    ("asked_buyers", |run, _| run.parameters.buyers.to_string()),
    ("asked_attempts", |run, _| run.parameters.attempts.to_string()),
    ("asked_quantity", |run, _| run.parameters.quantity.to_string()),
    ("asked_per_buyer_limit", |run, _| known(run.parameters.per_buyer_limit)),
    ("seed", |run, _| run.parameters.seed.to_string()),
    ("artificial_window_ms", |run, _| known(artificial(run))),
    ("broken_on_purpose", |run, _| text(&facts::faults(run))),
    ("finished", |run, _| run.finished_at.is_some().to_string()),
    ("cancelled", |run, _| run.cancelled.to_string()),
    ("exit_code", |run, _| known(run.exit_code)),
    ("co_located", |run, _| known(run.co_located)),
    ("traced", |run, _| run.traced.to_string()),
    ("viewers_max", |run, _| run.viewers_max.to_string()),
    ("sellout", |run, _| text(&run.environment.sellout)),
    ("commit", |run, _| text(&run.environment.commit)),
    ("build", |run, _| text(&run.environment.build)),
    ("cpu", |run, _| text(&run.environment.cpu)),
    ("cores", |run, _| run.environment.cores.to_string()),
    ("memory_mib", |run, _| run.environment.memory_mib.to_string()),
    ("os", |run, _| text(&run.environment.os)),
    ("postgres", |run, _| text(&run.environment.postgres)),
    ("redis", |run, _| maybe(run.environment.redis.as_deref())),
    ("redlock", |run, _| maybe(run.environment.redlock.as_deref())),
    ("zookeeper", |run, _| maybe(run.environment.zookeeper.as_deref())),
    ("etcd", |run, _| maybe(run.environment.etcd.as_deref())),
    ("private_servers", |run, _| run.environment.private_servers.to_string()),
    ("command", |run, _| text(&command(run))),
];

/// One line per strategy.
pub fn rows(run: &Run) -> io::Result<Vec<u8>> {
    let lines = run.results.iter().map(|row| COLUMNS.iter().map(|(_, cell)| cell(run, row)).collect());
    sheet(COLUMNS.iter().map(|(name, _)| *name).collect(), lines)
}

/// One line per point of a strategy's curve: units told sold until then.
pub fn series(run: &Run) -> io::Result<Vec<u8>> {
    let head = vec!["run", "strategy", "opened", "artificial_window_ms", "ms", "sold"];
    let points = run.results.iter().flat_map(|row| row.series.iter().map(move |point| (row, point)));
    let lines = points.map(|(row, point)| {
        let opened = row.evidence.opened.to_string();
        let (id, strategy, window) = (text(&run.id), text(&row.strategy), known(artificial(run)));
        vec![id, strategy, opened, window, point.ms.to_string(), point.sold.to_string()]
    });
    sheet(head, lines)
}

fn sheet(head: Vec<&str>, lines: impl Iterator<Item = Vec<String>>) -> io::Result<Vec<u8>> {
    let mut sheet = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    sheet.write_record(head)?;
    for line in lines {
        sheet.write_record(line)?;
    }
    sheet.into_inner().map_err(|e| io::Error::other(e.to_string()))
}

/// Text that no spreadsheet takes for a formula.
fn text(text: &str) -> String {
    let text = one_line(text);
    // The wide forms are signs too, where East Asian text is entered.
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula { format!("'{text}") } else { text }
}

fn maybe(line: Option<&str>) -> String {
    line.map(text).unwrap_or_default()
}

fn known(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A ledger that was not read is no zero.
fn counted(row: &RunResult, n: i64) -> String {
    known(ledger_was_read(&row.evidence).then_some(n))
}

fn latency(row: &RunResult, outcome: &str, pick: fn(&Latency) -> u64) -> String {
    known(row.latency_us.get(outcome).map(pick))
}

/// As in JSON.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
