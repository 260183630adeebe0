//! The verdict table, for people at a terminal. A verdict is a word; the mark beside it is for the eye.

use sellout::wire::{Evidence, Latency, Parameters, Run, RunResult, Verdict};

use crate::verdict::ledger_was_read;

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

/// Marks in the letters that the reader's terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// ✔ ✖ ▲
    Unicode,
    /// v x !
    Ascii,
}

impl Marks {
    /// By the locale, as other programs decide it.
    pub fn of_this_terminal() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_uppercase();
        if locale.contains("UTF-8") || locale.contains("UTF8") { Marks::Unicode } else { Marks::Ascii }
    }

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

/// What must stand beside every number of a run whose race was helped along.
pub fn window(p: &Parameters) -> Option<String> {
    let ms = p.race_window_ms.filter(|ms| *ms > 0)?;
    Some(format!("artificial window of {ms} ms between read and write"))
}

/// The whole table with what belongs under it.
pub fn table(run: &Run, repeat: &str, ending: &str, marks: Marks) -> String {
    let head: Vec<String> = COLUMNS.iter().map(|c| (*c).to_owned()).collect();
    let rows: Vec<Vec<String>> = run.results.iter().map(|row| cells(row, marks)).collect();
    let mut text = aligned(&head, &rows);
    let said: String = reasons(run).map(|(strategy, reason)| format!(" {strategy}: {reason}\n")).collect();
    if !said.is_empty() {
        text.push_str(&format!("{said}\n"));
    }
    if let Some(window) = window(&run.parameters) {
        text.push_str(&format!(" With an {window}.\n"));
    }
    text.push_str(&format!(" {CAVEAT}\n Repeat: {repeat}\n {ending}\n"));
    text
}

/// Words to the left, numbers to the right.
fn aligned(head: &[String], rows: &[Vec<String>]) -> String {
    let all = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let width = |n: usize| all().filter_map(|row| row.get(n)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String]| {
        let pad = |(n, cell): (usize, &String)| {
            if (2..11).contains(&n) {
                format!("{cell:>w$}", w = widths[n])
            } else {
                format!("{cell:<w$}", w = widths[n])
            }
        };
        let cells: Vec<String> = row.iter().enumerate().map(pad).collect();
        format!(" {}\n", cells.join("  ").trim_end())
    };
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    let mut text = line(head) + &line(&rule);
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text.push('\n');
    text
}

#[cfg(test)]
pub mod samples {
    //! Rows for tests.
    use sellout::wire::{
        Clients, Evidence, Guarantee, Latency, RoundTrips, RunResult, StrategyCard, Verdict,
    };

    /// A strategy's card.
    pub fn card(id: &str, oversells_in: Option<&str>) -> StrategyCard {
        StrategyCard {
            id: id.into(),
            title: String::new(),
            guarantee: Guarantee::Exact,
            safe: oversells_in.is_none(),
            breaks: vec![],
            oversells_in: oversells_in.map(str::to_owned),
            fails_when: String::new(),
            round_trips: RoundTrips { sold: 1, sold_out: 1 },
            needs: vec![],
            available: true,
            unavailable_reason: None,
            doc: String::new(),
            holds: true,
            carts: true,
            statements: vec![],
            source: String::new(),
            lock: None,
        }
    }

    /// A row that sold 100 of 100 with a p99 of 21 ms.
    pub fn result(id: &str, verdict: Verdict) -> RunResult {
        let judged = crate::verdict::Judged::skipped(100, "because".into());
        let sold = Latency { count: 100, p50: 4_100, p90: 9_000, p99: 21_000, max: 30_000 };
        let evidence = Evidence {
            opened: 100,
            sold: 100,
            told_yes: Some(100),
            clients: Some(Clients::default()),
            ..Evidence::default()
        };
        RunResult {
            verdict,
            as_declared: true,
            declared: Guarantee::Exact,
            evidence,
            latency_us: [("sold".to_owned(), sold)].into(),
            accepted_per_s: 1033.4,
            ..crate::judge_run::row(&card(id, None), None, judged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::result;
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash_and_never_a_zero() {
        let cells = cells(&result("row_lock", Verdict::Held), Marks::Ascii);
        let want =
            ["row_lock", "v HELD", "0", "100/100", "100", "-", "-", "0", "4.1", "21.0", "1033", "expected"];
        assert_eq!(cells, want);
    }

    #[test]
    fn a_broken_promise_is_called_a_surprise() {
        let row = RunResult { as_declared: false, ..result("a", Verdict::Lost) };
        assert_eq!(cells(&row, Marks::Unicode)[11], "SURPRISE");
        assert_eq!(note(&result("a", Verdict::NotExercised)), "-");
    }

    #[test]
    fn columns_line_up_whatever_the_letters() {
        let row = |s: &str| vec![s.to_owned(), "✔ HELD".to_owned(), "7".to_owned()];
        let text =
            aligned(&["Strategy".into(), "Verdict".into(), "Oversold".into()], &[row("a"), row("bcd")]);
        let ends: Vec<usize> = text.lines().filter(|l| !l.is_empty()).map(|l| l.chars().count()).collect();
        assert!(ends.iter().all(|n| *n == ends[0]), "{text}");
    }
}
