//! What PostgreSQL can insert at all: a thousand rows per statement, four connections, by its own pgbench,
//! into a table like the ledger's orders in a database of its own. No batch of orders can be faster.

use std::path::Path;
use std::process::{Command, Stdio};

const TABLE: &str = include_str!("insert_limit.table.sql");
const ROWS: &str = include_str!("insert_limit.rows.sql");
/// Rows per statement.
const PER_STATEMENT: f64 = 1_000.0;
const CONNECTIONS: &str = "4";
const SECONDS: &str = "3";
const DATABASE: &str = "insert_limit";

/// Rows per second. The error is a sentence: without PostgreSQL's tools there is no limit to be held against.
pub fn measure(database_url: &str, folder: &Path) -> Result<f64, String> {
    let (server, _) = database_url.rsplit_once('/').ok_or("the address of PostgreSQL names no database")?;
    let own = format!("{server}/{DATABASE}");
    let kept = |name: &str, text: &str| {
        let path = folder.join(format!("{DATABASE}.{}.{name}", std::process::id()));
        std::fs::write(&path, text).map(|()| path).map_err(|e| e.to_string())
    };
    let (table, rows) = (kept("table.sql", TABLE)?, kept("rows.sql", ROWS)?);
    let measured = run(Command::new("createdb")
        .arg(format!("--maintenance-db={database_url}"))
        .arg(DATABASE))
    .and_then(|_| run(Command::new("psql").args(["-qXv", "ON_ERROR_STOP=1", &own, "-f"]).arg(&table)))
    .and_then(|_| {
        let mut pgbench = Command::new("pgbench");
        pgbench.args(["-n", "-M", "prepared", "-c", CONNECTIONS, "-T", SECONDS, "-f"]).arg(&rows).arg(&own);
        run(&mut pgbench)
    });
    for path in [table, rows] {
        let _gone = std::fs::remove_file(path);
    }
    let said = measured?;
    tps(&said).map(|tps| tps * PER_STATEMENT).ok_or_else(|| format!("pgbench said no rate: {said}"))
}

/// `tps = 61.5 (without initial connection time)`.
fn tps(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_pgbench_says() {
        let said =
            "number of failed transactions: 0 (0.000%)\ntps = 61.5 (without initial connection time)\n";
        assert_eq!(tps(said), Some(61.5));
        assert_eq!(tps("pgbench: error"), None);
    }
}
