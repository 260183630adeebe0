//! What the eye sees while it waits: a line on stderr that moves on a terminal, and one line per
//! finished strategy elsewhere. Nothing here is evidence.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::time::Duration;

use sellout::reports::sold;
use sellout::wire::RunResult;
use tokio::task::JoinHandle;

use crate::tally::Witness;

const STEP: Duration = Duration::from_millis(200);
const WIDTH: usize = 20;

/// How much to show.
pub struct Progress {
    wanted: bool,
    terminal: bool,
    strategies: usize,
    name_width: usize,
}

/// A moving line.
pub struct Bar(Option<JoinHandle<()>>);

impl Bar {
    /// Stops moving.
    pub fn stop(self) {
        if let Some(task) = self.0 {
            task.abort();
        }
    }
}

impl Progress {
    /// For a run of these strategies.
    pub fn new(wanted: bool, ids: &[String]) -> Self {
        let name_width = ids.iter().map(String::len).max().unwrap_or(0);
        Progress { wanted, terminal: stderr().is_terminal(), strategies: ids.len(), name_width }
    }

    /// Follows an attack, on a terminal.
    pub fn watch(&self, witness: &Arc<Witness>, planned: usize, position: usize, id: &str) -> Bar {
        if !self.wanted || !self.terminal {
            return Bar(None);
        }
        let (witness, label) = (Arc::clone(witness), self.label(position, id));
        Bar(Some(tokio::spawn(async move {
            loop {
                let done = usize::try_from(witness.answered()).unwrap_or(usize::MAX);
                let _ = write!(stderr(), "\r\x1b[K{label}  {}", bar(done, planned));
                tokio::time::sleep(STEP).await;
            }
        })))
    }

    /// Says how a strategy ended.
    pub fn finished(&self, position: usize, row: &RunResult) {
        if !self.wanted {
            return;
        }
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let label = self.label(position, &row.strategy);
        let told = match row.sale_id {
            None => row.reason.clone(),
            Some(_) => {
                format!("{} attempts  sold {}  {:.1} s", row.attempts, sold(&row.evidence), row.seconds)
            }
        };
        let _ = writeln!(stderr(), "{start}{label}  {:<13}  {told}", row.verdict.word());
    }

    fn label(&self, position: usize, id: &str) -> String {
        format!("[{}/{}] {id:<width$}", position + 1, self.strategies, width = self.name_width)
    }
}

fn bar(done: usize, of: usize) -> String {
    let filled = (WIDTH * done.min(of)).checked_div(of).unwrap_or(WIDTH);
    format!("{}{}  {done}/{of}", "#".repeat(filled), "-".repeat(WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_never_overflows() {
        assert_eq!(bar(0, 2000), "--------------------  0/2000");
        assert_eq!(bar(1204, 2000), "############--------  1204/2000");
        assert_eq!(bar(9, 3), "####################  9/3");
        assert_eq!(bar(0, 0), "####################  0/0");
    }
}
