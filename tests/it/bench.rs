//! The promise: `./run bench` is a benchmark that anyone can repeat, and it prints no rate without a verdict.
//! What is fast is not asked here: this machine may be busy.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// `sellout bench`, as short as can be.
fn bench(folder: &Path, strategies: &str) -> Output {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_sellout"));
    bench.args(["bench", "--quick", "--rounds", "1", "--seconds", "0.4", "--warm-up", "0.2"]);
    bench.args(["--concurrency", "32", "--strategies", strategies]);
    for (name, file) in [("--json", "bench.json"), ("--markdown", "bench.md"), ("--plots", "plots")] {
        bench.arg(name).arg(folder.join(file));
    }
    bench.stdin(Stdio::null()).output().expect("sellout bench")
}

fn read(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
fn a_short_bench_is_held_and_has_the_promised_shape() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let output = bench(folder.path(), "bare,noop,atomic_update,redis_lua,no_such_strategy");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("no_such_strategy: the service does not list it"), "{said}");

    let report: Value = serde_json::from_str(&read(folder.path(), "bench.json")).expect("JSON");
    assert_eq!((&report["rounds"], &report["plan"]["seed"]), (&1.into(), &1.into()));
    assert!(report["environment"]["postgres"].as_str().is_some_and(|p| p.contains("fsync on")), "{report}");
    assert!(report["targets"].as_array().is_some_and(|targets| targets.len() > 10));
    let rows = report["contestants"].as_array().expect("contestants");
    let kinds = |name: &str| {
        let mine = rows.iter().filter(|row| row["strategy"] == name);
        mine.filter_map(|row| row["kind"].as_str()).collect::<Vec<_>>()
    };
    assert_eq!((kinds("bare"), kinds("noop")), (vec!["accepted", "rejected"], vec!["rejected"]));
    assert_eq!((kinds("redis_lua"), kinds("flag")), (vec!["accepted", "rejected"], vec!["rejected"]));
    rows.iter().for_each(whole);

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("HELD") && text.contains("not measured"), "{text}");
    assert!(read(folder.path(), "bench.md").contains("| atomic_update | accepted |"));
    assert!(read(folder.path(), "plots/bench-throughput.svg").contains(">atomic_update</text>"));
}

/// A row with all that was promised of it.
fn whole(row: &Value) {
    let verdict = match row["strategy"].as_str() {
        Some("bare") => Value::Null,
        Some("noop") => "CONTROL".into(),
        _ => "HELD".into(),
    };
    assert_eq!(row["verdict"], verdict, "{row}");
    for field in ["per_s", "ratio_to_bare", "p50_us", "p99_us"] {
        assert!(row[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {row}");
    }
    let cpu = &row["cpu_us_per_order"];
    let part = |name: &str| cpu[name].as_f64();
    assert!(part("service").is_some() && part("load").is_some(), "{row}");
    assert_eq!(part("postgres").is_some(), row["strategy"] != "bare", "{row}");
    for field in ["concurrency", "items", "client", "ratio_to_atomic_update", "disturbed", "runs"] {
        assert!(!row[field].is_null(), "{field}: {row}");
    }
}

#[test]
fn what_is_not_held_has_its_verdict_and_no_rate() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let output = bench(folder.path(), "bare,naive");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&read(folder.path(), "bench.json")).expect("JSON");
    let rows = report["contestants"].as_array().expect("contestants");
    let naive: Vec<_> = rows.iter().filter(|row| row["strategy"] == "naive").collect();
    assert_eq!(naive.len(), 2);
    for row in naive {
        let (run, verdict) = (&row["runs"][0], row["verdict"].as_str());
        assert!(verdict.is_some_and(|verdict| verdict != "HELD"), "{row}");
        assert!(row["per_s"].is_null() && run["per_s"].is_null() && row["ratio_to_bare"].is_null(), "{row}");
    }
}
