//! A run as Markdown, for a README, a pull request or a decision record, with all that a stranger needs to
//! weigh it: the machine, the versions, the date, the seed, and the command.

use super::facts::{self, command, headline};
use super::{CAVEAT, COLUMNS, Marks, cells, one_line, reasons};
use crate::wire::Run;

/// A page that stands alone, the verdicts first. `ending`: how the load test ended, where it says so itself.
pub fn page(run: &Run, ending: Option<&str>) -> String {
    let mut text = format!("# sellout-load {}\n\n**{}**\n\n", plain(&run.id), plain(&headline(run)));
    for warning in warnings(run) {
        text.push_str(&format!("> {}\n\n", plain(&warning)));
    }
    text.push_str(&format!("{}\n\n{}\n{CAVEAT}\n\n", plain(&facts::crowd(&run.parameters)), table(run)));
    for (strategy, reason) in reasons(run) {
        text.push_str(&format!("- `{}`: {}\n", one_line(strategy).replace('`', "'"), plain(reason)));
    }
    if let Some(ending) = ending {
        text.push_str(&format!("\n{}\n", plain(ending)));
    }
    text.push_str(&format!("\nThe same again:\n\n{}", code(&command(run))));
    text.push_str(&list("How", &facts::conditions(run)));
    text.push_str(&list("Where", &facts::machine(&run.environment, &run.started_at)));
    text
}

/// What a README shows of a kept run: crowd, table, caveat, machine.
pub fn section(run: &Run) -> String {
    let (crowd, table) = (plain(&facts::crowd(&run.parameters)), table(run));
    let machine = list("Where", &facts::machine(&run.environment, &run.started_at));
    format!("{crowd}\n\n{table}\n{CAVEAT}\n{machine}")
}

/// What must be read before the numbers.
fn warnings(run: &Run) -> Vec<String> {
    let mut warnings = Vec::new();
    if run.finished_at.is_none() {
        warnings.push("Unfinished: the run was cut off; strategies that are missing were not run.".into());
    }
    if run.cancelled {
        warnings.push("Cancelled: what was sold until then is settled and judged.".into());
    }
    if super::artificial(run).is_some() {
        warnings.push(format!("Artificial window: {}.", facts::window(run)));
    }
    if !run.faults.is_empty() {
        warnings.push(format!("Broken on purpose: {}.", facts::faults(run)));
    }
    warnings
}

fn table(run: &Run) -> String {
    let right = |n: usize| if (2..11).contains(&n) { "---:" } else { "---" };
    let mut text = format!("| {} |\n", COLUMNS.join(" | "));
    let rule: Vec<&str> = (0..COLUMNS.len()).map(right).collect();
    text.push_str(&format!("| {} |\n", rule.join(" | ")));
    for row in &run.results {
        let mut line: Vec<String> = cells(row, Marks::Unicode).iter().map(|c| plain(c)).collect();
        line.resize(COLUMNS.len(), String::new());
        text.push_str(&format!("| {} |\n", line.join(" | ")));
    }
    text
}

fn list(head: &str, rows: &[(&'static str, String)]) -> String {
    let mut text = format!("\n| {head} | |\n| --- | --- |\n");
    for (name, value) in rows {
        text.push_str(&format!("| {name} | {} |\n", plain(value)));
    }
    text
}

/// Text that says nothing to Markdown or HTML: it ends no cell, opens no tag, and links to nowhere.
fn plain(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '<' => said.push_str("&lt;"),
            '&' => said.push_str("&amp;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' => said.extend(['\\', c]),
            c => said.push(c),
        }
    }
    said
}

/// A block of code whose fence is longer than any inside of it.
fn code(line: &str) -> String {
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}sh\n{}\n{fence}\n", one_line(line))
}
