//! What a hostile run may put into its reports, and what every report must say.

use std::io::{Cursor, Read};

use super::*;
use crate::wire::{
    Answers, Clients, Environment, Evidence, FaultEvent, Guarantee, Latency, Parameters, RunResult,
    SCHEMA_VERSION, SeriesPoint, Trace, TraceKind, Verdict,
};

/// What somebody might call a strategy who wants to break out of a report.
const HOSTILE: &str =
    "=cmd|' /C calc'!A0\r\n| x |</script><img src=x onerror=alert(1)>`*[a](http://b)\\|\u{202e}\"";

fn result(strategy: &str, verdict: Verdict) -> RunResult {
    let sold = Latency { count: 100, p50: 4_100, p90: 9_000, p99: 21_000, max: 30_000 };
    RunResult {
        strategy: strategy.into(),
        declared: Guarantee::Exact,
        verdict,
        reason: "because".into(),
        as_declared: true,
        sale_id: None,
        evidence: Evidence {
            opened: 100,
            sold: 100,
            left: Some(-14),
            clients: Some(Clients::default()),
            ..Evidence::default()
        },
        attempts: 2000,
        answers: Answers::default(),
        seconds: 1.5,
        accepted_per_s: 1033.4,
        rejected_per_s: 0.0,
        latency_us: [("sold".to_owned(), sold)].into(),
        peak_in_flight: 200,
        service_cpu_us_per_attempt: None,
        series: vec![SeriesPoint { ms: 5, sold: 1 }, SeriesPoint { ms: 9, sold: 100 }],
        trace: None,
    }
}

fn trace() -> Trace {
    Trace {
        kind: TraceKind::ClosestCall,
        sentence: "s".into(),
        counter: "c".into(),
        opened: 100,
        lanes: vec![],
        steps: vec![],
        recorded: 2,
        truncated: false,
    }
}

fn run(results: Vec<RunResult>) -> Run {
    Run {
        schema_version: SCHEMA_VERSION,
        id: "20261123-080512".into(),
        started_at: "2026-11-23T08:05:12Z".into(),
        finished_at: Some("2026-11-23T08:06:12Z".into()),
        exit_code: Some(0),
        environment: Environment {
            cpu: "a CPU".into(),
            commit: "cafe".into(),
            postgres: "PostgreSQL 15, fsync on".into(),
            ..Environment::default()
        },
        parameters: Parameters {
            scenario: "rush".into(),
            strategies: vec!["row_lock".into(), "lua".into()],
            stock: 100,
            buyers: 200,
            attempts: 2000,
            quantity: 1,
            seed: 7,
            ..Parameters::default()
        },
        results,
        ..Run::default()
    }
}

fn hostile() -> Run {
    let mut run = run(vec![RunResult { reason: HOSTILE.into(), ..result(HOSTILE, Verdict::Oversold) }]);
    run.parameters.scenario = HOSTILE.into();
    run.parameters.strategies = vec![HOSTILE.into()];
    run.environment.os = HOSTILE.into();
    run.faults = vec![FaultEvent {
        at: HOSTILE.into(),
        at_ms: 12,
        fault: HOSTILE.into(),
        argument: Some(3),
        strategy: Some(HOSTILE.into()),
    }];
    run
}

/// Records of a sheet, as any reader of RFC 4180 sees them.
fn records(sheet: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(sheet);
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn every_row_has_as_many_cells_as_the_head() {
    for run in [run(vec![result("row_lock", Verdict::Held), result("lua", Verdict::Skipped)]), hostile()] {
        let page = markdown::page(&run, None);
        // Two of every backslash are one that is meant; what is left escapes the bar after it.
        let bars = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        let table: Vec<usize> = page.lines().filter(|l| l.starts_with('|')).map(bars).collect();
        let rows = 2 + run.results.len();
        assert!(table[..rows].iter().all(|n| *n == 13), "{page}");
        assert!(table[rows..].iter().all(|n| *n == 3), "{page}");
    }
}

#[test]
fn the_page_has_the_verdicts_first_then_the_reasons_the_machine_and_the_command() {
    let page =
        markdown::page(&run(vec![result("row_lock", Verdict::Held), result("lua", Verdict::Skipped)]), None);
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part} is missing in\n{page}"));
    let parts = [
        "**The only strategy did not oversell. Nothing against what they declare.**",
        "| row_lock | ✔ HELD |",
        CAVEAT,
        "- `lua`: because",
        "sellout-load --strategies row_lock,lua --scenario rush --buyers 200 --attempts 2000 --stock 100 \
         --quantity 1 --seed 7",
        "| Load and service | not known whether on one machine |",
        "| Date | 2026-11-23",
        "cafe",
        "a CPU",
        "PostgreSQL 15, fsync on",
    ];
    assert!(parts.map(at).is_sorted(), "{page}");
    assert!(!page.contains("Unfinished") && !page.contains('>'), "{page}");
}

#[test]
fn what_is_not_as_in_life_is_said_before_the_numbers() {
    let mut run = run(vec![result("naive", Verdict::Oversold)]);
    run.finished_at = None;
    run.cancelled = true;
    run.parameters.race_window_ms = Some(5);
    run.co_located = Some(true);
    run.faults = hostile().faults;
    let page = markdown::page(&run, None);
    let head = page.split("| Strategy |").next().unwrap();
    for part in ["> Unfinished", "> Cancelled", "> Artificial window: 5 ms", "> Broken on purpose: "] {
        assert!(head.contains(part), "{part} is missing in\n{head}");
    }
    assert!(page.contains("| Load and service | on one machine"), "{page}");
    assert!(stem(&run).contains("artificial5ms"));
}

/// What stands behind the name.
fn reason_of(line: &str) -> &str {
    line.rsplit_once("`: ").map_or(line, |(_, reason)| reason)
}

#[test]
fn no_name_breaks_out_of_markdown() {
    let page = markdown::page(&hostile(), Some(HOSTILE));
    let code: Vec<&str> = page.split("```").collect();
    assert_eq!(code.len(), 3, "one block of code: {page}");
    assert_eq!(code[1].lines().count(), 2, "of one line: {}", code[1]);
    let quoted = code[1].contains(r"'\''");
    assert!(quoted, "what a shell would run is one word: {}", code[1]);
    for outside in [code[0], code[2]] {
        // In the line of reasons the name is code, where nothing is a tag or a link.
        let text: String =
            outside.lines().map(|l| if l.starts_with("- `") { reason_of(l) } else { l }).collect();
        assert!(!text.replace(r"\[", "").contains('['), "no link: {text}");
        assert!(!text.contains("<img") && !text.contains("</script"), "no tag: {text}");
    }
    assert!(!page.contains('\u{202e}') && !page.contains('\r'));
}

#[test]
fn no_name_is_a_formula_in_a_sheet_and_every_line_has_all_columns() {
    for sheet in [rows(&hostile()).unwrap(), series(&hostile()).unwrap()] {
        let text = String::from_utf8(sheet.clone()).unwrap();
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "RFC 4180 ends lines with CRLF");
        let records = records(&sheet);
        assert!(records.len() > 1 && records.iter().all(|r| r.len() == records[0].len()), "{text}");
        for cell in records.iter().flatten() {
            let number = cell.parse::<f64>().is_ok();
            assert!(number || !cell.starts_with(['=', '+', '-', '@']), "a formula: {cell}");
        }
    }
    for formula in ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "＝1"] {
        let run = run(vec![result(formula, Verdict::Held)]);
        let strategy = &records(&rows(&run).unwrap())[1][3];
        assert!(strategy.starts_with('\''), "{strategy:?}");
    }
}

#[test]
fn a_sheet_says_of_each_strategy_what_was_counted_and_leaves_open_what_is_not_known() {
    let skipped = RunResult { evidence: Evidence::default(), ..result("lua", Verdict::Skipped) };
    let records = records(&rows(&run(vec![result("row_lock", Verdict::Held), skipped])).unwrap());
    let cell = |line: usize, name: &str| {
        let at = records[0].iter().position(|n| n == name).unwrap_or_else(|| panic!("no column {name}"));
        records[line][at].as_str()
    };
    let want = [
        ("run", "20261123-080512"),
        ("strategy", "row_lock"),
        ("verdict", "HELD"),
        ("declared", "exact"),
        ("sold", "100"),
        ("left", "-14"),
        ("sold_p99_us", "21000"),
        ("seed", "7"),
        ("commit", "cafe"),
        ("co_located", ""),
        ("artificial_window_ms", ""),
    ];
    for (name, value) in want {
        assert_eq!(cell(1, name), value, "{name}");
    }
    assert_eq!([cell(2, "verdict"), cell(2, "sold"), cell(2, "oversold")], ["SKIPPED", "", ""]);
}

#[test]
fn the_zip_has_every_report_below_one_folder_and_is_the_same_twice() {
    let mut run = hostile();
    run.results.push(RunResult { trace: Some(trace()), ..result("../../../etc/x", Verdict::Held) });
    run.results.push(RunResult { trace: Some(trace()), ..result("..-..-..-etc/x", Verdict::Held) });
    let bytes = zip(&run, "<p>page</p>").unwrap();
    assert_eq!(bytes, zip(&run, "<p>page</p>").unwrap(), "no clock is in it");
    let mut archive = ::zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let folder = format!("{}/", stem(&run));
    assert_eq!(names.len(), 7, "two traces whose names are alike are two files: {names:?}");
    for name in names {
        // Nothing that leads out of the folder, or that a shell or a file system reads otherwise.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        assert!(name.starts_with(&folder) && name.chars().all(plain), "{name}");
        assert!(!name.contains("..") && !name.contains("//"), "{name}");
        let mut text = String::new();
        archive.by_name(&name).unwrap().read_to_string(&mut text).unwrap();
        assert!(!text.is_empty(), "{name}");
    }
}

#[test]
fn a_file_is_named_after_the_parameters_and_nothing_but_letters() {
    let name = stem(&run(vec![]));
    assert_eq!(name, "sellout-20261123-080512-rush-100units-200buyers-2000attempts-seed7");
    let name = stem(&hostile());
    assert!(
        name.len() < 240 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
        "{name}"
    );
}

#[test]
fn the_headline_names_the_worst_and_every_surprise() {
    let bad = |name: &str, oversold: i64| {
        let mut row = result(name, Verdict::Oversold);
        row.evidence.sold = 100 + oversold;
        row.evidence.oversold = oversold;
        row
    };
    let lost = RunResult { as_declared: false, ..result("lossy", Verdict::Lost) };
    let rows = vec![bad("a", 3), bad("b", 37), lost, result("noop", Verdict::Control)];
    let said = headline(&run(rows));
    assert_eq!(said, "2 of 3 strategies OVERSOLD: b sold 137 of 100. Not as declared: lossy.");
    assert_eq!(headline(&run(vec![result("x", Verdict::Skipped)])), "No strategy was judged.");
}

#[test]
fn the_schema_points_only_at_shapes_that_it_has() {
    let schema = schema();
    let text = schema.to_string();
    assert!(!text.contains("#/components"), "{text}");
    for target in text.split("\"$ref\":\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(schema["$defs"].get(target).is_some(), "{target} is missing");
    }
    let required = schema["$defs"]["Run"]["required"].to_string();
    assert!(required.contains("\"results\"") && !required.contains("\"command\""), "{required}");
}
