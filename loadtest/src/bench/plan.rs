//! What a bench runs, in which order, and how long that takes: said before it starts.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::outcome::{Client, Kind};
use crate::shot::Cell;

/// Without `--strategies`: the yardstick, the control, and whoever is worth comparing.
const ALL: [&str; 14] = [
    "bare",
    "noop",
    "atomic_update",
    "group_commit",
    "flush_barrier",
    "ticket",
    "stripes",
    "skip_locked",
    "redis_lua",
    "redis_lua_batched",
    "redis_buckets",
    "row_lock",
    "lock_redis",
    "lock_in_process",
];
const QUICK: [&str; 6] = ["bare", "noop", "atomic_update", "group_commit", "redis_lua", "redis_lua_batched"];
/// The sold-out flag of the service, measured by sales of `atomic_update`; all else is refused without it.
pub const FLAG: &str = "flag";
/// Sells nothing, so it is only refused.
const CONTROL: &str = "noop";
/// Of which one number says enough.
const SLOW: [&str; 3] = ["row_lock", "lock_redis", "lock_in_process"];
/// Measured with goose and in batches too, where the cost of the client is the question.
const BY_GOOSE: [&str; 2] = ["atomic_update", "group_commit"];
const BY_BATCH: &str = "group_commit";
/// Where everybody is measured.
pub const CROWD: usize = 256;
/// Connections and orders per request of the batch endpoint.
pub const BATCHES: (usize, usize) = (8, 1_000);

/// Around a window: warm-up, run-in, tally, audit, a rest. Measured.
const OVERHEAD_S: f64 = 2.4;
/// Opening, telling and auditing a thousand sales.
const OVERHEAD_MANY_S: f64 = 7.0;
/// Fresh servers, a service with and one without the flag, the bare server; and their end.
const STAGE_S: f64 = 8.0;
/// The window, where there is time for it.
const WINDOW_S: f64 = 5.0;
const WINDOW_QUICK_S: f64 = 2.0;
/// Less says nothing.
const WINDOW_MIN_S: f64 = 0.2;

/// What is asked for.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Fewer contestants, shorter windows: five minutes instead of an hour.
    #[arg(long)]
    quick: bool,
    /// Contestants by name, with commas; bare and noop are names too.
    #[arg(long, value_delimiter = ',')]
    strategies: Vec<String>,
    /// Rounds, each with every contestant, on servers of its own.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Length of a timed run [default: 5, or what the time allows].
    #[arg(long)]
    seconds: Option<f64>,
    /// Warm-up before each.
    #[arg(long, default_value_t = 0.8)]
    pub warm_up: f64,
    /// What all of it may take.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Connections, with commas [default: 16,64,256,1024].
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Vec<u16>,
    /// Of the choice of sales.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What will be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Rounds.
    pub rounds: u32,
    /// Timed runs of a round.
    pub runs: usize,
    /// Length of a window.
    pub seconds: f64,
    /// Warm-up before each.
    pub warm_up_seconds: f64,
    /// All of it.
    pub minutes: f64,
    /// Of the choice of sales.
    pub seed: u64,
}

impl Options {
    fn contestants(&self) -> Vec<&str> {
        match (self.strategies.is_empty(), self.quick) {
            (false, _) => self.strategies.iter().map(String::as_str).collect(),
            (true, false) => ALL.to_vec(),
            (true, true) => QUICK.to_vec(),
        }
    }

    fn crowds(&self) -> Vec<usize> {
        match (self.concurrency.is_empty(), self.quick) {
            (false, _) => self.concurrency.iter().map(|c| usize::from(*c)).collect(),
            (true, false) => vec![16, 64, CROWD, 1024],
            (true, true) => vec![64, CROWD],
        }
    }

    /// Who was named and is not to be had.
    pub fn left_out(&self, listed: &[String]) -> Vec<String> {
        let known = |name: &&str| *name == "bare" || listed.iter().any(|id| id == name);
        let absent = self.contestants().into_iter().filter(|name| !known(name));
        absent.map(|name| format!("{name}: the service does not list it; left out.")).collect()
    }

    /// The runs of a round: A B C of one kind before A B C of the next, so that those that are held against
    /// each other are neighbours; each round begins with another, so that nobody is always the first.
    pub fn cells(&self, listed: &[String], round: u32) -> Vec<Cell> {
        let known = |name: &&str| *name == "bare" || listed.iter().any(|id| id == name);
        let mut names: Vec<&str> = self.contestants().into_iter().filter(known).collect();
        if names.contains(&"atomic_update") {
            names.push(FLAG);
        }
        let turn = round.saturating_sub(1) as usize % names.len().max(1);
        names.rotate_left(turn);
        let groups = self.groups();
        groups.iter().flat_map(|group| names.iter().filter_map(|name| cell(group, name))).collect()
    }

    fn groups(&self) -> Vec<(Client, Kind, usize, usize)> {
        let mut groups: Vec<_> =
            self.crowds().into_iter().map(|c| (Client::Raw, Kind::Accepted, c, 1)).collect();
        groups.push((Client::Raw, Kind::Rejected, CROWD, 1));
        if !self.quick {
            groups.push((Client::Raw, Kind::Mixed, CROWD, 1));
            groups.push((Client::Raw, Kind::Accepted, CROWD, 10));
            groups.push((Client::Raw, Kind::Accepted, CROWD, 1_000));
            groups.push((Client::Goose, Kind::Accepted, CROWD, 1));
        }
        groups.push((Client::Batch, Kind::Accepted, BATCHES.0, 1));
        groups
    }

    /// How long the windows can be, so that all of it fits into its time.
    pub fn plan(&self, listed: &[String]) -> Result<Plan, String> {
        let cells = self.cells(listed, 1);
        if cells.is_empty() {
            return Err("nothing to run: the service lists none of the contestants".into());
        }
        let rounds = f64::from(self.rounds);
        let around: f64 =
            cells.iter().map(overhead).sum::<f64>() + STAGE_S + cells.len() as f64 * self.warm_up;
        let room = (self.minutes * 60.0 - rounds * around) / (rounds * cells.len() as f64);
        let usual = if self.quick { WINDOW_QUICK_S } else { WINDOW_S };
        let seconds = self.seconds.unwrap_or_else(|| usual.min(room));
        if seconds < WINDOW_MIN_S {
            return Err(format!("{} runs do not fit into {} minutes", cells.len(), self.minutes));
        }
        Ok(Plan {
            rounds: self.rounds,
            runs: cells.len(),
            seconds,
            warm_up_seconds: self.warm_up,
            minutes: rounds * (around + cells.len() as f64 * seconds) / 60.0,
            seed: self.seed,
        })
    }
}

fn overhead(cell: &Cell) -> f64 {
    if cell.items > 100 { OVERHEAD_MANY_S } else { OVERHEAD_S }
}

/// Does this contestant take part in that group?
fn cell(&(client, kind, concurrency, items): &(Client, Kind, usize, usize), name: &str) -> Option<Cell> {
    let takes_part = match client {
        Client::Goose => BY_GOOSE.contains(&name),
        Client::Batch => name == BY_BATCH,
        Client::Raw if name == CONTROL || name == FLAG => kind == Kind::Rejected,
        Client::Raw if SLOW.contains(&name) => kind == Kind::Accepted && concurrency == CROWD && items == 1,
        Client::Raw => true,
    };
    takes_part.then(|| Cell { strategy: name.to_owned(), client, kind, concurrency, items })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        Line::try_parse_from(line.split(' ')).unwrap().options
    }

    fn all() -> Vec<String> {
        ALL.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_whole_bench_fits_into_an_hour_and_the_quick_one_into_five_minutes() {
        let plan = options("bench").plan(&all()).unwrap();
        assert!(plan.minutes <= 60.0 && plan.seconds >= 3.5 && plan.rounds == 5, "{plan:?}");
        let quick = options("bench --quick --rounds 3 --minutes 5").plan(&all()).unwrap();
        assert!(quick.minutes <= 5.0 && quick.seconds >= 1.5, "{quick:?}");
        assert!(options("bench --minutes 1").plan(&all()).is_err());
    }

    #[test]
    fn those_that_are_compared_are_neighbours_and_each_is_the_first_once() {
        let options = options("bench --strategies bare,atomic_update,row_lock");
        let first = |round| options.cells(&all(), round)[0].strategy.clone();
        assert_eq!((first(1), first(2)), ("bare".into(), "atomic_update".into()));
        let cells = options.cells(&all(), 1);
        let group = |c: &&Cell| c.kind == Kind::Accepted && c.concurrency == CROWD && c.items == 1;
        let raw = cells.iter().filter(group).filter(|c| c.client == Client::Raw);
        assert_eq!(
            raw.map(|c| c.strategy.as_str()).collect::<Vec<_>>(),
            ["bare", "atomic_update", "row_lock"]
        );
        let refused: Vec<_> = cells.iter().filter(|c| c.kind == Kind::Rejected).collect();
        assert_eq!(refused.len(), 3, "bare, atomic_update without and with the flag: {refused:?}");
    }

    #[test]
    fn a_contestant_that_the_service_does_not_have_is_left_out_in_words() {
        let options = options("bench --strategies bare,atomic_update,ticket");
        let listed = ["atomic_update".to_owned()];
        assert_eq!(options.left_out(&listed), ["ticket: the service does not list it; left out."]);
        assert!(options.cells(&listed, 1).iter().all(|cell| cell.strategy != "ticket"));
    }
}
