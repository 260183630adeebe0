//! The promise: a run can be taken home in whatever shape is needed, each under a name that says which run it
//! is, and none of them is fooled by the names that a run carries.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use sellout::wire::{Run, SeriesPoint, StepKind, Trace, TraceKind, TraceLane, TraceStep};

use crate::support::TestApp;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/run.schema.json");
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/results");
const HOSTILE: &str = "=1+1|\r\n</script><script>alert(1)</script>";

/// A run that was committed, with what later versions write besides.
fn committed(id: &str) -> Run {
    let text = std::fs::read_to_string(format!("{RESULTS}/20261124c-rush.json")).expect("a committed run");
    let mut run: Run = serde_json::from_str(&text).expect("a run");
    run.id = id.into();
    run.co_located = Some(true);
    run.parameters.race_window_ms = Some(5);
    run.results.truncate(3);
    run.results[0].series = vec![SeriesPoint { ms: 4, sold: 1 }, SeriesPoint { ms: 90, sold: 137 }];
    run.results[0].trace = Some(trace());
    run.results[1].reason = HOSTILE.into();
    run
}

fn trace() -> Trace {
    let lane =
        |id: &str| TraceLane { id: id.into(), buyer_id: "b".into(), key: id.into(), outcome: "sold".into() };
    let step = TraceStep {
        n: 1,
        t_us: 0,
        lane: "A".into(),
        kind: StepKind::Read,
        seen: Some(1),
        wrote: None,
        ok: None,
        statement: Some("naive.read.sql".into()),
        counter: Some(1),
        ledger: 99,
        believes: vec![],
        note: "A reads.".into(),
    };
    Trace {
        kind: TraceKind::Oversold,
        sentence: "Both read 1.".into(),
        counter: "the stock row".into(),
        opened: 100,
        lanes: vec![lane("A"), lane("B")],
        steps: vec![step],
        recorded: 2,
        truncated: false,
    }
}

struct Download {
    name: String,
    kind: String,
    bytes: Vec<u8>,
}

async fn download(app: &TestApp, path: &str) -> Download {
    let answer = reqwest::get(format!("{}{path}", app.api.url)).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    let (disposition, kind) = (header("content-disposition"), header("content-type"));
    let name = disposition.split('"').nth(1).expect("a quoted name").to_owned();
    Download { name, kind, bytes: answer.bytes().await.expect("its bytes").to_vec() }
}

async fn kept(app: &TestApp, run: &Run) -> String {
    let path = format!("/v1/runs/{}", run.id);
    let answer = app.api.put(&path, &serde_json::to_value(run).expect("JSON")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_is_named_after_its_run_and_says_what_was_measured_where() {
    let app = TestApp::start().await;
    let run = committed("20261124-212201");
    let path = kept(&app, &run).await;
    let stem = "sellout-20261124-212201-rush-100units-200buyers-2000attempts-seed20261124-artificial5ms";
    let files = [
        ("", ".json", "application/json"),
        ("/report.html", ".html", "text/html; charset=utf-8"),
        ("/report.md", ".md", "text/markdown; charset=utf-8"),
        ("/report.csv", ".csv", "text/csv; charset=utf-8; header=present"),
        ("/series.csv", "-series.csv", "text/csv; charset=utf-8; header=present"),
        ("/run.zip", ".zip", "application/zip"),
    ];
    for (file, ending, kind) in files {
        let got = download(&app, &format!("{path}{file}")).await;
        assert_eq!((got.name, got.kind.as_str()), (format!("{stem}{ending}"), kind), "{file}");
    }
    for file in ["/report.md", "/report.csv"] {
        let text = String::from_utf8(download(&app, &format!("{path}{file}")).await.bytes).expect("UTF-8");
        let facts = ["fsync on", "appendonly on", "20261124", "cee2bd4d3f2c", "AMD EPYC", "sellout-load "];
        for fact in facts {
            assert!(text.contains(fact), "{file} does not say {fact}:\n{text}");
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zip_holds_what_is_downloaded_one_by_one_and_the_traces() {
    let app = TestApp::start().await;
    let run = committed("20261124-212201");
    let path = kept(&app, &run).await;
    let zip = download(&app, &format!("{path}/run.zip")).await;
    let folder = zip.name.trim_end_matches(".zip").to_owned();
    let mut zip = zip::ZipArchive::new(Cursor::new(zip.bytes)).expect("a zip");
    let mut inside = |name: &str| {
        let mut bytes = Vec::new();
        let mut file = zip.by_name(&format!("{folder}/{name}")).unwrap_or_else(|e| panic!("{name}: {e}"));
        file.read_to_end(&mut bytes).expect("its bytes");
        bytes
    };
    for file in ["report.html", "report.md", "report.csv", "series.csv"] {
        assert_eq!(inside(file), download(&app, &format!("{path}/{file}")).await.bytes, "{file}");
    }
    // The service has added what it knows of faults: here the artificial window.
    let stored = serde_json::from_slice::<Run>(&inside("run.json")).expect("a run");
    assert_eq!(Run { faults: run.faults.clone(), ..stored }, run);
    let traced: Trace = serde_json::from_slice(&inside("traces/01-naive.json")).expect("a trace");
    assert_eq!(traced, trace());
    assert_eq!(zip.len(), 6);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_hostile_words_breaks_out_of_no_report() {
    let app = TestApp::start().await;
    let mut run = committed("hostile");
    run.parameters.scenario = HOSTILE.into();
    run.parameters.strategies = vec![HOSTILE.into()];
    run.environment.cpu = HOSTILE.into();
    run.command = HOSTILE.into();
    let path = kept(&app, &run).await;
    for file in ["", "/report.html", "/report.md", "/report.csv", "/series.csv", "/run.zip"] {
        let got = download(&app, &format!("{path}{file}")).await;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(got.name.chars().all(plain), "{}", got.name);
    }
    let html = String::from_utf8(download(&app, &format!("{path}/report.html")).await.bytes).expect("UTF-8");
    assert!(!html.contains("</script><script>alert"), "the page would run it");
    let md = String::from_utf8(download(&app, &format!("{path}/report.md")).await.bytes).expect("UTF-8");
    let rows = md.lines().skip_while(|line| !line.starts_with("| Strategy")).take(5);
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(rows.clone().count() == 5 && rows.map(bars).all(|n| n == 13), "{md}");
    let csv = download(&app, &format!("{path}/report.csv")).await.bytes;
    let mut sheet = csv::Reader::from_reader(&csv[..]);
    for record in sheet.records() {
        let record = record.expect("as many cells as the head");
        assert!(record.iter().all(|cell| !cell.starts_with('=')), "{record:?}");
    }
    for file in ["report.md", "report.csv", "series.csv", "run.zip"] {
        assert_eq!(app.api.get(&format!("/v1/runs/none/{file}")).await.problem(), "not-found", "{file}");
    }
    app.stop().await;
}

#[test]
fn the_committed_schema_is_that_of_the_shapes() {
    let schema = serde_json::to_string_pretty(&sellout::reports::schema()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(SCHEMA, schema).expect("the schema is written");
        return;
    }
    let committed = std::fs::read_to_string(SCHEMA).unwrap_or_default();
    let again = "UPDATE_README=1 cargo test --test it committed_schema";
    assert!(committed == schema, "{SCHEMA} is not that of the shapes: {again}");
}

/// A Python with check-jsonschema, as `./run test` installs it.
fn python() -> PathBuf {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
    std::env::var_os("SELLOUT_PYTHON").map_or_else(|| here.into(), PathBuf::from)
}

/// Does each file keep to the schema? What the checker says, if not.
pub fn keeps_to(schema: &Path, files: &[PathBuf]) -> Result<(), String> {
    let mut check = Command::new(python());
    check.args(["-m", "check_jsonschema", "--schemafile"]).arg(schema).args(files);
    let output =
        check.output().unwrap_or_else(|e| panic!("{}: {e}; ./run test installs it", python().display()));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn every_committed_run_and_one_with_all_that_is_new_keeps_to_the_schema() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let run = committed("20261124-212201");
    let newest = write("newest.json", serde_json::to_string(&run).expect("JSON"));
    let results = std::fs::read_dir(RESULTS).expect("the committed runs").map(|f| f.expect("a file").path());
    let mut runs: Vec<PathBuf> = results.filter(|p| p.to_string_lossy().ends_with("-rush.json")).collect();
    assert!(runs.len() >= 4, "{runs:?}");
    runs.push(newest);
    keeps_to(Path::new(SCHEMA), &runs).unwrap_or_else(|said| panic!("{said}"));

    // And it is a schema that refuses something.
    let mut wrong = serde_json::to_value(&run).expect("JSON");
    wrong["results"][0]["verdict"] = "FINE".into();
    let wrong = write("wrong.json", wrong.to_string());
    let said = keeps_to(Path::new(SCHEMA), &[wrong]).expect_err("a verdict that there is not");
    assert!(said.contains("FINE"), "{said}");
}
