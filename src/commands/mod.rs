//! The subcommands, one file each. stdout is for data, stderr for messages.

mod audit;
mod bench;
mod beside;
mod demo;
mod doctor;
mod growth;
mod healthcheck;
mod locks;
mod serve;
mod services;
mod strategies;

use clap::{CommandFactory, Parser, Subcommand};

/// Sells out, never oversells, and proves it.
#[derive(Parser)]
#[command(name = "sellout", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 as it should be · 1 an audit found a fault · 2 usage · 5 a server or \
    port cannot be had.\n`sellout demo` ends with the load test's code: 0 as declared · \
    1 correctness surprise · 2 usage · 3 inconclusive · 4 too slow · 5 environment · 130 interrupted.";

#[derive(Subcommand)]
enum Command {
    /// Run the service: the HTTP API and the dashboard.
    Serve(Box<crate::config::Config>),
    /// Private servers, a lab service, and the load test against every strategy.
    Demo(Box<demo::Demo>),
    /// How fast: private servers, every contestant in turn, ratios to a bare server.
    Bench(Box<bench::Bench>),
    /// List the strategies: what they claim, need and cost.
    Strategies(strategies::Strategies),
    /// Audit sales straight from the ledger; exit 1 if one is not as it should be.
    Audit(audit::Audit),
    /// Check servers and settings, and say how to put them right.
    Doctor(doctor::Doctor),
    /// Start private servers, for a command or until Ctrl-C.
    Services(services::PrivateServers),
    /// Ask a running service whether it is ready (for container health checks).
    Healthcheck(healthcheck::Healthcheck),
    /// Print the OpenAPI description of the HTTP API.
    Openapi,
}

/// Environment trouble: a server, a port, a file.
const ENVIRONMENT: u8 = 5;

/// Runs the chosen subcommand; the exit code says how it went.
pub fn run() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(config) => match config.check() {
            // Well-formed, and still not to be meant: usage, like clap's own complaints.
            Err(e) => Cli::command().error(clap::error::ErrorKind::ArgumentConflict, e).exit(),
            Ok(()) => serve::run(*config),
        },
        Command::Demo(demo) => demo.run(),
        Command::Bench(bench) => bench.run(),
        Command::Strategies(strategies) => strategies.run(),
        Command::Audit(audit) => audit.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Services(services) => services.run(),
        Command::Healthcheck(healthcheck) => healthcheck.run(),
        Command::Openapi => say(&crate::http::document()).map(|()| 0),
    };
    outcome
        .unwrap_or_else(|e| {
            eprintln!("sellout: {e:#}");
            ENVIRONMENT
        })
        .into()
}

/// Prints to stdout; a reader who left (`| head`) is no error.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// The runtime that owns the connections.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
