//! A run to take home: Markdown, CSV, JSON with its schema, a zip of all. Pure functions of what the load
//! test wrote down; the page draws the HTML, and whoever asks for the zip brings it along.
//!
//! Whoever gets one was not there. So each says how it was asked for, where it ran and how durable the stores
//! were, what was broken on purpose, and how to do it again; and no name that a run carries (of a strategy, a
//! machine, a scenario) may end its cell, its line or its file.

mod facts;
pub mod markdown;
mod schema;
mod sheets;
mod table;
mod zip;

pub use facts::{command, headline, machine};
pub use schema::schema;
pub use sheets::{rows, series};
pub use table::{CAVEAT, COLUMNS, Marks, cells, ledger_was_read, reasons, sold};
pub use zip::zip;

use crate::wire::Run;

/// Longest part of a file's name that a run may choose.
const PART_MAX: usize = 48;

/// What the files of a run are called, without their endings: the parameters are part of it, so that two of
/// them in one folder are told apart.
pub fn stem(run: &Run) -> String {
    let p = &run.parameters;
    let mut parts = vec!["sellout".to_owned(), safe(&run.id), safe(&p.scenario)];
    if let [only] = &p.strategies[..] {
        parts.push(safe(only));
    }
    parts.push(format!("{}units-{}buyers-{}attempts-seed{}", p.stock, p.buyers, p.attempts, p.seed));
    if let Some(ms) = artificial(run) {
        parts.push(format!("artificial{ms}ms"));
    }
    parts.join("-")
}

/// The window that the lab put between read and write, if any.
fn artificial(run: &Run) -> Option<u64> {
    run.parameters.race_window_ms.filter(|ms| *ms > 0)
}

/// Letters, digits, hyphens and underscores: no path, no header and no shell sees anything in them.
fn safe(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    text.chars().take(PART_MAX).map(plain).collect()
}

/// On one line, and readable in one direction: what would break a line or turn the reading around is a space.
fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
