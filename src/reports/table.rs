//! The verdict table: its columns, and the cells of a row. A verdict is a word; the mark beside it is for the
//! eye.

use crate::wire::{Evidence, Latency, Run, RunResult, Verdict};

/// Said under every table, wherever it goes.
pub const CAVEAT: &str = "HELD means 0 oversold in this run; it is evidence, not proof.";

/// The columns.
pub const COLUMNS: [&str; 12] = [
    "Strategy",
    "Verdict",
    "Oversold",
    "Sold/Stock",
    "Told yes",
    "Left",
    "Lost",
    "Stranded",
    "p50 ms",
    "p99 ms",
    "Accepted/s",
    "As declared",
];

/// Marks in the letters that the reader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// ✔ ✖ ▲
    Unicode,
    /// v x !
    Ascii,
}

impl Marks {
    fn of(self, verdict: Verdict) -> &'static str {
        let (unicode, ascii) = match verdict {
            Verdict::Held => ("✔", "v"),
            Verdict::Oversold | Verdict::Lost => ("✖", "x"),
            Verdict::Inconsistent | Verdict::Stranded => ("▲", "^"),
            Verdict::Invalid => ("!", "!"),
            Verdict::NotExercised => ("?", "?"),
            Verdict::Skipped | Verdict::Control => ("-", "-"),
        };
        if self == Marks::Unicode { unicode } else { ascii }
    }
}

/// The cells of one row, in the order of [`COLUMNS`]. What is not known is `-`, never 0.
pub fn cells(row: &RunResult, marks: Marks) -> Vec<String> {
    let verdict = format!("{} {}", marks.of(row.verdict), row.verdict.word());
    if row.verdict == Verdict::Skipped {
        return vec![row.strategy.clone(), verdict];
    }
    let e = &row.evidence;
    let ms = |pick: fn(&Latency) -> u64| {
        row.latency_us.get("sold").map_or("-".into(), |l| format!("{:.1}", pick(l) as f64 / 1000.0))
    };
    // A control keeps no ledger on purpose: what it "lost" is no finding.
    let judged = row.verdict != Verdict::Control;
    let read = ledger_was_read(e);
    vec![
        row.strategy.clone(),
        verdict,
        if read { oversold(e.oversold) } else { "-".into() },
        sold(e),
        known(e.told_yes),
        known(e.left),
        known(e.lost.filter(|_| judged)),
        known((judged && read).then_some(e.stranded)),
        ms(|l| l.p50),
        ms(|l| l.p99),
        format!("{:.0}", row.accepted_per_s),
        note(row).into(),
    ]
}

/// Was the ledger read? Then the buyers' side stands beside it.
pub fn ledger_was_read(evidence: &Evidence) -> bool {
    evidence.clients.is_some()
}

/// Sold of stock; a ledger that was not read is no zero.
pub fn sold(e: &Evidence) -> String {
    if ledger_was_read(e) { format!("{}/{}", e.sold, e.opened) } else { format!("-/{}", e.opened) }
}

fn oversold(units: i64) -> String {
    if units > 0 { format!("+{units}") } else { "0".into() }
}

fn known(n: Option<i64>) -> String {
    n.map_or("-".into(), |n| n.to_string())
}

fn note(row: &RunResult) -> &'static str {
    match row.verdict {
        _ if !row.as_declared => "SURPRISE",
        Verdict::Invalid | Verdict::NotExercised | Verdict::Skipped | Verdict::Control => "-",
        _ => "expected",
    }
}

/// Rows that need a sentence, with it.
pub fn reasons(run: &Run) -> impl Iterator<Item = (&str, &str)> {
    let speaks = |row: &&RunResult| !matches!(row.verdict, Verdict::Held | Verdict::Control);
    run.results.iter().filter(speaks).map(|row| (row.strategy.as_str(), row.reason.as_str()))
}
