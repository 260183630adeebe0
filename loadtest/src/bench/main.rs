//! `sellout-bench`: how fast, at the same safety. It loads a running sellout with the leanest client
//! that still remembers what each buyer was told, and prints no rate of a run that was not judged HELD.
//!
//! Road of a bench: [`plan`] → [`round`], of many runs → [`report`] → [`table`], [`targets`], [`plots`].
//! Road of a run: [`once`] → [`shot`] (→ [`load`] → [`connection`] → [`request`], [`response`]; [`heard`] is
//! the second witness; [`window`] reads the clocks and the CPU time; [`judge`] asks for the verdict) →
//! [`outcome`]. [`bare`] is what every rate is held against: a server that parses the same
//! order and answers at once. [`growth`] asks what becomes of all this as the work grows.

#[path = "../answer.rs"]
mod answer;
mod api;
mod bare;
mod batch;
mod connection;
#[path = "../cpu.rs"]
mod cpu;
mod goose;
mod growth;
mod heard;
mod insert_limit;
mod judge;
#[path = "../limits.rs"]
mod limits;
mod load;
mod machine;
mod once;
mod outcome;
mod plan;
mod plots;
mod report;
mod request;
mod response;
mod round;
mod shot;
mod show;
#[path = "../sum.rs"]
mod sum;
mod svg;
mod table;
mod targets;
mod window;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Ended with an environment that cannot be used.
const ENVIRONMENT: u8 = 5;

/// Measures strategies of a running sellout. `./run bench` does all of it on private servers.
#[derive(Parser)]
#[command(name = "sellout-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One run of one contestant against a running service; prints one line of JSON.
    Once(once::Once),
    /// One round of all contestants, kept as a file.
    Round(Box<round::Round>),
    /// Tables, targets and plots of kept rounds, or of a kept report.
    Report(show::Show),
    /// How cost grows with sales, orders and buyers: one part of it, on servers of its own.
    Growth(Box<growth::Growth>),
    /// Tables and plots of what `growth` has kept.
    GrowthReport(growth::Show),
    /// The yardstick: a server that parses an order and answers 201 without selling.
    Bare(bare::Bare),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Once(once) => once.run(),
        Command::Round(round) => round.run(),
        Command::Report(show) => show.run(),
        Command::Growth(growth) => growth.run(),
        Command::GrowthReport(show) => show.run(),
        Command::Bare(bare) => bare.run(),
    };
    done.unwrap_or_else(|sentence| {
        eprintln!("sellout-bench: {sentence}");
        ExitCode::from(ENVIRONMENT)
    })
}
