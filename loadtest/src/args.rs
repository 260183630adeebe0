//! What one may ask for. The doc comments are the `--help`; [`Args::check`] refuses what cannot be meant.

use std::path::PathBuf;

use clap::Parser;

use crate::crowd::Crowd;
use crate::fault::Fault;
use crate::scenarios::Scenario;

const AFTER_HELP: &str = "\
Exit codes (the worst wins: 130, 5, 1, 3, 4):
  0    every strategy behaved as declared
  1    a surprise: a strategy oversold, lost or stranded units against its declaration
  2    the command line does not make sense
  3    inconclusive: a row is NOT EXERCISED or INVALID (not counted: an unsafe strategy that needs
       a fault to oversell, or that did not oversell in another scenario than rush)
  4    correct, but the p99 of sold orders is above --fail-slower-than-p99-ms
  5    environment: the service cannot be reached, a named strategy was skipped, or nothing ran
  130  interrupted; what was sold is settled and judged, the report is marked unfinished

Examples:
  sellout-load
  sellout-load --strategies atomic_update,naive --buyers 400 --attempts 8000 --stock 250
  sellout-load --strategies safe --scenario retry-storm --seed 7 --json run.json
  sellout-load --strategies safe --fail-slower-than-p99-ms 250 --export-markdown - > verdicts.md";

/// Fires buyers at a running sellout over HTTP and judges every strategy by what was sold.
///
/// The table goes to stdout, everything else to stderr. Use it on a service in lab mode: unsafe
/// strategies open only there, and the tally (what the clients were told) is accepted only there.
#[derive(Clone, Debug, Parser)]
#[command(name = "sellout-load", version, after_help = AFTER_HELP)]
pub struct Args {
    /// Where the service is.
    #[arg(long, env = "SELLOUT_HOST", default_value = "http://127.0.0.1:8080", value_parser = host)]
    pub host: String,

    /// `all`, `safe`, or names separated by commas.
    #[arg(long, default_value = "all", value_delimiter = ',', value_name = "all|safe|a,b")]
    pub strategies: Vec<String>,

    /// Buyers at once, each with at most one request under way.
    #[arg(long, default_value_t = 200, value_parser = at_least_one())]
    pub buyers: u64,

    /// Requests per strategy, in all and exactly.
    #[arg(long, default_value_t = 2000, value_parser = at_least_one())]
    pub attempts: u64,

    /// Units at opening (`plenty` raises it).
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    pub stock: i64,

    /// Units per order.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub quantity: i64,

    /// Kind of crowd.
    #[arg(long, value_enum, default_value_t = Scenario::Rush)]
    pub scenario: Scenario,

    /// Most units per buyer [default: none; 5 in one-buyer-many-clicks].
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub per_buyer_limit: Option<i64>,

    /// Seed of the plan; interleavings stay the operating system's. Random and printed when absent.
    #[arg(long)]
    pub seed: Option<u64>,

    /// Milliseconds between the read and the write of each order, where a strategy has such a gap: an
    /// artificial window, and called so in every report [default: none].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub race_window_ms: Option<u64>,

    /// What goes wrong while it runs, of the service's own doing: pause-holder=MS, drop-reply=N,
    /// slow-store=MS. May be given several times; all is off afterwards.
    #[arg(long, value_name = "NAME=N")]
    pub fault: Vec<Fault>,

    /// Milliseconds after which a request without an answer counts as unknown.
    #[arg(long, default_value_t = 30_000, value_parser = at_least_one())]
    pub timeout_ms: u64,

    /// Write the run as JSON; `-` for stdout, and nothing else there.
    #[arg(long, value_name = "PATH|-")]
    pub json: Option<PathBuf>,

    /// Write the service's one-file report of this run.
    #[arg(long, value_name = "PATH")]
    pub export_html: Option<PathBuf>,

    /// Write the table as Markdown; `-` for stdout, in place of the table.
    #[arg(long, value_name = "PATH|-")]
    pub export_markdown: Option<PathBuf>,

    /// Keep `<run id>/run.json` and `<run id>/history.ndjson` below this directory.
    #[arg(long, value_name = "DIR")]
    pub runs_dir: Option<PathBuf>,

    /// Name of the run: letters, digits and hyphens [default: the time].
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub run_id: Option<String>,

    /// Bearer token, where the service wants one.
    #[arg(long, env = "SELLOUT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// End with 4 if the p99 of sold orders of any strategy is above this.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub fail_slower_than_p99_ms: Option<u64>,

    /// Process of the service, on this machine: its CPU time, and its children's, is measured.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub service_pid: Option<u32>,

    /// Run nothing: print a kept run (a `--json` file) as the Markdown section that the README shows.
    #[arg(long, value_name = "PATH", exclusive = true)]
    pub from: Option<PathBuf>,

    /// No progress on stderr.
    #[arg(long)]
    pub no_progress: bool,
}

impl Args {
    /// Refuses, in one sentence, what is well-formed and still makes no sense.
    pub fn check(&self) -> Result<(), String> {
        if self.buyers > self.attempts {
            return Err(format!(
                "--buyers {} is more than --attempts {}: some buyers would never buy.",
                self.buyers, self.attempts
            ));
        }
        if self.buyers > 50_000 || self.attempts > 10_000_000 {
            return Err("more than 50000 buyers or 10000000 attempts need more than one machine.".into());
        }
        if self.limit().is_some_and(|limit| self.quantity > limit) {
            return Err("--quantity is above the per-buyer limit: nobody could buy.".into());
        }
        if self.opening().is_none() {
            return Err("plenty would need more than 1000000000 units: ask for fewer attempts.".into());
        }
        if self.opening().is_some_and(|units| self.quantity > units) {
            return Err("--quantity is above --stock: nobody could buy.".into());
        }
        if let Some(why) = self.scenario.too_few(self.stock, &self.crowd()) {
            return Err(why);
        }
        self.check_outputs()
    }

    fn check_outputs(&self) -> Result<(), String> {
        if is_dash(self.json.as_ref()) && is_dash(self.export_markdown.as_ref()) {
            return Err("--json - and --export-markdown - cannot share stdout.".into());
        }
        if is_dash(self.export_html.as_ref()) {
            return Err("--export-html needs a path: it is written only once the run has ended.".into());
        }
        let lone = |word: &str| self.strategies.len() > 1 && self.strategies.iter().any(|s| s == word);
        if lone("all") || lone("safe") {
            return Err("--strategies takes `all`, `safe` or names, not a mixture.".into());
        }
        if self.strategies.iter().any(|s| s.trim().is_empty()) {
            return Err("--strategies has an empty name.".into());
        }
        Ok(())
    }

    /// Units at opening in this scenario; `None` when there is no such number.
    pub fn opening(&self) -> Option<i64> {
        self.scenario.opening(self.stock, &self.crowd())
    }

    /// The per-buyer limit in this scenario.
    pub fn limit(&self) -> Option<i64> {
        self.scenario.limit(self.per_buyer_limit)
    }

    /// The artificial window, if there is one.
    pub fn window(&self) -> Option<u64> {
        self.race_window_ms.filter(|ms| *ms > 0)
    }

    /// Is the service on this machine?
    pub fn is_at_home(&self) -> bool {
        let host = reqwest::Url::parse(&self.host).ok().and_then(|url| url.host_str().map(str::to_owned));
        let name = host.unwrap_or_default();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The crowd, for the plan.
    pub fn crowd(&self) -> Crowd {
        Crowd { buyers: self.buyers, attempts: self.attempts, quantity: self.quantity }
    }

    /// The command that asks for the same run. Never with the token: it would end in reports.
    pub fn repeat(&self, seed: u64) -> String {
        let mut said = format!(
            "sellout-load --host {} --strategies {} --scenario {} --buyers {} --attempts {} --stock {} \
             --quantity {}",
            self.host,
            self.strategies.join(","),
            self.scenario.name(),
            self.buyers,
            self.attempts,
            self.stock,
            self.quantity
        );
        if let Some(limit) = self.per_buyer_limit {
            said.push_str(&format!(" --per-buyer-limit {limit}"));
        }
        if self.timeout_ms != 30_000 {
            said.push_str(&format!(" --timeout-ms {}", self.timeout_ms));
        }
        if let Some(ms) = self.window() {
            said.push_str(&format!(" --race-window-ms {ms}"));
        }
        said.push_str(&format!(" --seed {seed}"));
        for fault in &self.fault {
            said.push_str(&format!(" --fault {fault}"));
        }
        said
    }
}

/// Is this output meant for stdout?
pub fn is_dash(path: Option<&PathBuf>) -> bool {
    path.is_some_and(|p| p.as_os_str() == "-")
}

fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// What can be a folder's name, here and at the service.
fn run_id(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if text.is_empty() || text.len() > 64 || !plain {
        return Err("give it 1 to 64 letters, digits and hyphens".into());
    }
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|e| e.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("give it as http://HOST:PORT".into());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> bool {
        Args::try_parse_from(line.split(' ')).map_or(true, |args| args.check().is_err())
    }

    #[test]
    fn the_bare_command_makes_sense() {
        assert!(!refused("sellout-load"));
    }

    #[test]
    fn nonsense_is_refused() {
        for flags in [
            "--buyers 0",
            "--attempts 0",
            "--stock 0",
            "--quantity 0",
            "--timeout-ms 0",
            "--buyers 300 --attempts 200",
            "--quantity 101",
            "--quantity 6 --scenario one-buyer-many-clicks",
            "--strategies all,naive",
            "--strategies naive,,x",
            "--json - --export-markdown -",
            "--host 127.0.0.1:8080",
            "--scenario stampede",
            "--run-id ../x",
            "--race-window-ms 1001",
            "--fault flood=1",
            "--scenario holds --attempts 399",
            "--scenario carts --attempts 599",
            "--scenario plenty --attempts 1000000 --quantity 1000000",
        ] {
            assert!(refused(&format!("sellout-load {flags}")), "{flags}");
        }
    }

    #[test]
    fn the_repeat_line_asks_for_the_same_and_hides_the_token() {
        let line = "sellout-load --token secret --per-buyer-limit 3 --scenario retry-storm \
                    --race-window-ms 5 --fault slow-store=2";
        let again = Args::try_parse_from(line.split(' ')).map(|args| args.repeat(7)).unwrap_or_default();
        assert!(!again.contains("secret"));
        let parsed = Args::try_parse_from(again.split(' '));
        assert_eq!(parsed.map(|args| args.repeat(7)).unwrap_or_default(), again);
        let end = "--per-buyer-limit 3 --race-window-ms 5 --seed 7 --fault slow-store=2";
        assert!(again.ends_with(end), "{again}");
    }

    #[test]
    fn a_service_on_loopback_shares_this_machine() {
        let at =
            |host: &str| Args::try_parse_from(["sellout-load", "--host", host]).is_ok_and(|a| a.is_at_home());
        for here in ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080"] {
            assert!(at(here), "{here}");
        }
        assert!(!at("http://shop.example:8080") && !at("http://192.0.2.1"));
    }
}
