//! The promise: every statement that the service sends is one that the real servers accept, so a clean
//! clone builds without a database and nothing breaks later.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sellout::strategies::ALL;
use sellout::{audit, ledger, stock};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{TestApp, servers};

/// Every statement that a room lists: file name and text.
fn listed() -> Vec<(&'static str, &'static str)> {
    let strategies = ALL.iter().flat_map(|s| s.statements());
    let rooms = [
        ledger::STATEMENTS,
        sellout::pipeline::STATEMENTS,
        sellout::life::STATEMENTS,
        audit::STATEMENTS,
        stock::STATEMENTS,
        sellout::backends::STATEMENTS,
    ];
    strategies.chain(rooms.into_iter().flatten().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sql_statement_is_prepared_by_the_real_postgresql() {
    let app = TestApp::start().await;
    let mut pg = PgConnection::connect(&app.database_url).await.expect("PostgreSQL");
    let mut prepared = 0;
    for (name, text) in listed().into_iter().filter(|(name, _)| name.ends_with(".sql")) {
        let statement = AssertSqlSafe(format!("prepare s{prepared} as {text}"));
        if let Err(e) = sqlx::raw_sql(statement).execute(&mut pg).await {
            panic!("{name}: {e}");
        }
        prepared += 1;
    }
    assert!(prepared >= 20, "only {prepared} statements");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lua_script_is_loaded_by_the_real_redis() {
    let client = redis::Client::open(servers().redis_url.as_str()).expect("a URL");
    let mut redis = client.get_multiplexed_async_connection().await.expect("Redis");
    let mut loaded = 0;
    for (name, text) in listed().into_iter().filter(|(name, _)| name.ends_with(".lua")) {
        let answer = redis::cmd("SCRIPT").arg("LOAD").arg(text).query_async::<String>(&mut redis).await;
        assert!(answer.is_ok(), "{name}: {answer:?}");
        loaded += 1;
    }
    assert!(loaded >= 2, "only {loaded} scripts");
}

#[test]
fn no_statement_file_is_left_out_of_the_lists() {
    let listed: BTreeSet<&str> = listed().into_iter().map(|(name, _)| name).collect();
    let mut files = BTreeSet::new();
    walk(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    let missing: Vec<_> = files.iter().filter(|f| !listed.contains(f.as_str())).collect();
    assert!(missing.is_empty(), "in no list, so never checked: {missing:?}");
}

fn walk(folder: &Path, files: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "sql" || e == "lua") {
            files.insert(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
}
