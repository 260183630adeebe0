//! The promise: `./run bench --growth` says what more sales, orders and buyers cost, and where that
//! bends. What it costs is not asked here: this machine may be busy.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn a_small_growth_grows_everything_and_has_the_promised_shape() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_sellout"));
    bench.args(["bench", "--growth", "--sales-max", "2", "--orders-max", "2000", "--seconds", "0.2"]);
    bench.args(["--connections", "16", "--seed", "7"]);
    for (name, file) in [("--json", "growth.json"), ("--markdown", "growth.md"), ("--plots", "plots")] {
        bench.arg(name).arg(folder.path().join(file));
    }
    let output = bench.stdin(Stdio::null()).output().expect("sellout bench --growth");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("min left"), "{said}");
    let read = |file: &str| {
        std::fs::read_to_string(folder.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    };

    let report: Value = serde_json::from_str(&read("growth.json")).expect("JSON");
    assert_eq!(report["options"]["seed"], 7);
    assert!(report["environment"]["postgres"].as_str().is_some_and(|p| p.contains("fsync on")), "{report}");
    let rows = |part: &str| report[part].as_array().cloned().unwrap_or_default();
    let sales: Vec<_> = rows("sales").iter().map(|s| (s["strategy"].clone(), s["sales"].clone())).collect();
    let two = |strategy: &str| [1, 2].map(|n| (Value::from(strategy), Value::from(n)));
    assert_eq!(sales, [two("group_commit"), two("redis_lua")].concat());
    rows("sales").iter().for_each(|step| held(&step["load"]));
    let orders = rows("orders");
    assert_eq!(orders.iter().map(|o| o["filled"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(2_000)]);
    for step in &orders {
        held(&step["group_commit"]);
        held(&step["atomic_update"]);
        assert_eq!(
            (&step["big_audit"]["status"], &step["big_audit"]["refused"]),
            (&200.into(), &Value::Null)
        );
        assert!(step["restart"]["big"].as_f64().is_some_and(|s| s > 0.0), "{step}");
    }
    // Its audit found what was filled in, and the one order with which it came back after the first restart.
    assert_eq!(orders[1]["big_audit"]["orders"], 2_001);
    assert_eq!(
        rows("rebuilt").iter().map(|r| r["orders"].as_u64()).collect::<Vec<_>>(),
        [Some(1_000), Some(2_000)]
    );
    assert_eq!(rows("waiting").len(), 2);
    for row in rows("overload") {
        held(&row["peak"]);
        held(&row["crush"]);
        assert!(row["crush"]["answers"]["contended"].as_u64().is_some_and(|n| n > 0), "{row}");
    }
    for part in ["### Sales that are open", "### Orders in the ledger", "### Overload", "| all |"] {
        assert!(read("growth.md").contains(part), "{part}");
    }
    assert!(read("plots/growth-orders.svg").contains(">atomic_update</text>"));
}

fn held(run: &Value) {
    assert_eq!(run["verdict"], "HELD", "{run}");
    assert!(run["per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{run}");
}
