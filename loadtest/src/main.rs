//! `sellout-load`: the second witness. It fires buyers at a running sellout, writes down what each
//! of them was told, reads the ledger like any stranger could, and judges without asking the service.
//!
//! Road of a run: [`args`] → [`run`] → per strategy [`judge_run`] (→ [`attack`] → [`tally`] → [`verdict`]) →
//! [`report`] and [`exit`]. [`plan`] and [`scenarios`] decide beforehand who sends what; [`client`]
//! and [`answer`] are the only rooms that know HTTP; nothing here knows how a strategy works.

mod answer;
mod args;
mod attack;
mod buyer;
mod cart_answer;
mod choose;
mod client;
mod cpu;
mod crowd;
mod curve;
mod deliver;
mod ending;
mod exit;
mod fault;
mod hall;
mod history;
mod interrupt;
mod judge_run;
mod limits;
mod operation;
mod plan;
mod progress;
mod report;
mod run;
mod scenarios;
mod settle;
mod stdout;
mod sum;
mod tally;
mod together;
mod verdict;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

fn main() -> ExitCode {
    let args = args::Args::parse();
    if let Err(sentence) = args.check() {
        // clap prints it with the usage and ends with 2, as for its own complaints.
        args::Args::command().error(ErrorKind::ValueValidation, sentence).exit();
    }
    if let Some(path) = &args.from {
        return show(path);
    }
    let ended = tokio::runtime::Runtime::new()
        .map_err(|e| exit::Stop::environment(format!("the asynchronous runtime did not start: {e}")))
        .and_then(|runtime| runtime.block_on(run::run(args)));
    let code = ended.unwrap_or_else(|stop| {
        eprintln!("sellout-load: {}", stop.sentence);
        stop.code
    });
    ExitCode::from(code)
}

/// A kept run, for the README.
fn show(path: &std::path::Path) -> ExitCode {
    let read = std::fs::read_to_string(path).map_err(|e| e.to_string());
    match read.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string())) {
        Ok(run) => {
            print!("{}", sellout::reports::markdown::section(&run));
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("sellout-load: {} is no kept run: {e}", path.display());
            ExitCode::from(exit::ENVIRONMENT)
        }
    }
}
