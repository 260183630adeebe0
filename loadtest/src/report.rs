//! The verdict table for people at a terminal: what `sellout::reports` says of each row, aligned.

use sellout::reports::{CAVEAT, COLUMNS, Marks, cells, reasons};
use sellout::wire::{Parameters, Run};

/// By the locale, as other programs decide it.
pub fn marks_of_this_terminal() -> Marks {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let locale = locale.to_uppercase();
    if locale.contains("UTF-8") || locale.contains("UTF8") { Marks::Unicode } else { Marks::Ascii }
}

/// What must stand beside every number of a run whose race was helped along.
pub fn window(p: &Parameters) -> Option<String> {
    let ms = p.race_window_ms.filter(|ms| *ms > 0)?;
    Some(format!("artificial window of {ms} ms between read and write"))
}

/// The whole table with what belongs under it.
pub fn table(run: &Run, ending: &str, marks: Marks) -> String {
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
    text.push_str(&format!(" {CAVEAT}\n Repeat: {}\n {ending}\n", run.command));
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
    use sellout::reports::markdown;
    use sellout::wire::{RunResult, Verdict};

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
        assert_eq!(cells(&result("a", Verdict::NotExercised), Marks::Unicode)[11], "-");
    }

    #[test]
    fn columns_line_up_whatever_the_letters() {
        let row = |s: &str| vec![s.to_owned(), "✔ HELD".to_owned(), "7".to_owned()];
        let text =
            aligned(&["Strategy".into(), "Verdict".into(), "Oversold".into()], &[row("a"), row("bcd")]);
        let ends: Vec<usize> = text.lines().filter(|l| !l.is_empty()).map(|l| l.chars().count()).collect();
        assert!(ends.iter().all(|n| *n == ends[0]), "{text}");
    }

    #[test]
    fn the_readme_shows_the_newest_committed_run() {
        let home = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
        let files = std::fs::read_dir(home).unwrap().map(|f| f.unwrap().path());
        let newest = files.filter(|f| f.to_string_lossy().ends_with("-rush.json")).max().unwrap();
        let run: Run = serde_json::from_str(&std::fs::read_to_string(&newest).unwrap()).unwrap();
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        let (before, rest) = readme.split_once("<!-- results:start -->").unwrap();
        let (shown, after) = rest.split_once("<!-- results:end -->").unwrap();
        if std::env::var_os("UPDATE_README").is_some() {
            let section = markdown::section(&run);
            let (start, end) = ("<!-- results:start -->", "<!-- results:end -->");
            let page = format!("{before}{start}\n{}\n{end}{after}", section.trim());
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"), page).unwrap();
            return;
        }
        let name = newest.file_name().unwrap().to_string_lossy();
        assert_eq!(shown.trim(), markdown::section(&run).trim(), "run `./run readme`: it shows {name}");
    }
}
