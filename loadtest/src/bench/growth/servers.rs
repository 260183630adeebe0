//! What PostgreSQL and Redis keep and do, asked by PostgreSQL's own `psql` and in Redis's plainest words: no
//! driver stands between a witness and the servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stage::Servers;

const SIZES: &str = include_str!("servers.sizes.sql");
const COUNTERS: &str = include_str!("servers.counters.sql");
/// Ten million orders are counted and a million keys are thrown away in a few seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// A table or an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// On disk, with what belongs to it.
    pub bytes: u64,
}

/// What PostgreSQL has counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Orders in the ledger.
    pub orders: u64,
    /// Pages that were not in its own memory.
    pub pages_read: u64,
    /// Pages that were.
    pub pages_hit: u64,
    /// Whole pages in the write-ahead log: the first change of each after a checkpoint.
    pub full_pages: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
}

impl Counters {
    /// What was counted since.
    pub fn since(self, before: Counters) -> Counters {
        Counters {
            orders: self.orders.saturating_sub(before.orders),
            pages_read: self.pages_read.saturating_sub(before.pages_read),
            pages_hit: self.pages_hit.saturating_sub(before.pages_hit),
            full_pages: self.full_pages.saturating_sub(before.full_pages),
            log_bytes: self.log_bytes.saturating_sub(before.log_bytes),
        }
    }

    /// For each order.
    pub fn per_order(self, what: u64) -> Option<f64> {
        (self.orders > 0).then(|| what as f64 / self.orders as f64)
    }
}

impl Servers {
    /// The tables and indexes of orders, and of sales.
    pub async fn sizes(&self) -> Result<Vec<Relation>, String> {
        let said = self.psql(SIZES).await?;
        let relation = |line: &str| {
            let (name, bytes) = line.split_once('|')?;
            Some(Relation { name: name.into(), bytes: bytes.parse().ok()? })
        };
        said.lines().map(relation).collect::<Option<_>>().ok_or_else(|| format!("psql said {said}"))
    }

    /// What was counted until now.
    pub async fn counters(&self) -> Result<Counters, String> {
        let said = self.psql(COUNTERS).await?;
        counters(&said).ok_or_else(|| format!("psql said {said}"))
    }

    async fn psql(&self, statement: &str) -> Result<String, String> {
        let mut psql = tokio::process::Command::new("psql");
        psql.args(["-qXAtv", "ON_ERROR_STOP=1", &self.database_url, "-c", statement]);
        let said = psql.stdin(Stdio::null()).kill_on_drop(true).output();
        let said = tokio::time::timeout(LIMIT, said).await.map_err(|_| "psql does not end")?;
        let said = said.map_err(|e| format!("psql: {e}"))?;
        if !said.status.success() {
            return Err(format!("psql: {}", String::from_utf8_lossy(&said.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// Memory that Redis uses, in bytes; none where there is no Redis.
    pub fn stored(&self) -> Result<Option<u64>, String> {
        let said = self.tell("info memory")?;
        Ok(said.and_then(|said| {
            said.lines().find_map(|line| line.strip_prefix("used_memory:"))?.trim().parse().ok()
        }))
    }

    /// Redis forgets all that it knew.
    pub fn forget_all(&self) -> Result<(), String> {
        match self.tell("flushall sync")?.as_deref() {
            Some(said) if said.starts_with("+OK") => Ok(()),
            said => Err(format!("Redis: {said:?}")),
        }
    }

    /// A command of one line, and all of its answer.
    fn tell(&self, command: &str) -> Result<Option<String>, String> {
        let Some(url) = &self.redis_url else { return Ok(None) };
        let host = url.strip_prefix("redis://").unwrap_or(url).trim_end_matches('/');
        let failed = |e: std::io::Error| format!("Redis: {e}");
        let mut stream = TcpStream::connect(host).map_err(failed)?;
        stream.set_read_timeout(Some(LIMIT)).map_err(failed)?;
        // QUIT, so that the end of the answer is the end of the stream.
        stream.write_all(format!("{command}\r\nquit\r\n").as_bytes()).map_err(failed)?;
        let mut said = String::new();
        stream.read_to_string(&mut said).map_err(failed)?;
        Ok(Some(said))
    }
}

fn counters(said: &str) -> Option<Counters> {
    let all: Vec<u64> = said.split('|').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    let [orders, pages_read, pages_hit, full_pages, log_bytes] = all[..] else { return None };
    Some(Counters { orders, pages_read, pages_hit, full_pages, log_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_in_their_sequence_and_what_is_between_two_of_them_is_per_order() {
        let before = counters("10|1|2|3|4").unwrap();
        let after = counters("20|21|2|8|104").unwrap();
        let between = after.since(before);
        assert_eq!((between.orders, between.pages_read, between.full_pages), (10, 20, 5));
        assert_eq!(between.per_order(between.log_bytes), Some(10.0));
        assert_eq!(before.since(after).per_order(7), None, "nothing was sold");
        assert_eq!(counters("1|2"), None);
    }
}
