//! What a page asks for, held against the bounds of a page, and as arguments of the load test.

use crate::faults;
use crate::sale::{QUANTITY_MAX, UNITS_MAX, WINDOW_MS_MAX};
use crate::wire::NewLabRun;

/// Most buyers at once: each is a connection, at both ends, in a machine that the service shares.
const BUYERS_MAX: u64 = 5_000;
/// Most orders per strategy: some minutes.
const ATTEMPTS_MAX: u64 = 1_000_000;
/// Longest name of a scenario.
const SCENARIO_CHARS_MAX: usize = 40;

/// A run that may be asked for. Whether it makes sense as a whole the load test says.
#[derive(Debug)]
pub struct Asked(Vec<String>);

impl Asked {
    /// From what a page sends; the error is a sentence. `known`: is there such a strategy?
    pub fn parse(new: &NewLabRun, known: impl Fn(&str) -> bool) -> Result<Asked, String> {
        for name in &new.strategies {
            let all = matches!(name.as_str(), "all" | "safe") && new.strategies.len() == 1;
            if !all && !known(name) {
                return Err(format!(
                    "strategies: there is no strategy {name:?}; `all` and `safe` stand alone."
                ));
            }
        }
        let whole = |n: Option<i64>| n.map(|n| u64::try_from(n).unwrap_or(0));
        let (units, quantity) = (UNITS_MAX.unsigned_abs(), QUANTITY_MAX.unsigned_abs());
        for (name, asked, least, most) in [
            ("buyers", new.buyers, 1, BUYERS_MAX),
            ("attempts", new.attempts, 1, ATTEMPTS_MAX),
            ("stock", whole(new.stock), 1, units),
            ("quantity", whole(new.quantity), 1, quantity),
            ("per_buyer_limit", whole(new.per_buyer_limit), 1, units),
            ("race_window_ms", new.race_window_ms, 0, WINDOW_MS_MAX),
        ] {
            if asked.is_some_and(|n| n < least || n > most) {
                return Err(format!("{name}: must be {least} to {most}."));
            }
        }
        let scenario = new.scenario.as_deref().unwrap_or("rush");
        let plain = scenario.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if !plain || scenario.is_empty() || scenario.len() > SCENARIO_CHARS_MAX {
            return Err("scenario: must be the name of a scenario.".into());
        }
        faults::check(&new.faults)?;
        Ok(Asked(arguments(new, scenario)))
    }

    /// What the load test is told, besides what it is told of this service.
    pub(super) fn arguments(&self) -> &[String] {
        &self.0
    }

    /// The command that asks for the same.
    pub(super) fn command(&self, host: &str) -> String {
        format!("sellout-load --host {host} {}", self.0.join(" "))
    }
}

fn arguments(new: &NewLabRun, scenario: &str) -> Vec<String> {
    let strategies = match new.strategies.join(",") {
        all if all.is_empty() => "all".to_owned(),
        named => named,
    };
    let mut said = vec!["--strategies".to_owned(), strategies, "--scenario".to_owned(), scenario.to_owned()];
    let number = |n: Option<i64>| n.map(|n| n.to_string());
    let size = |n: Option<u64>| n.map(|n| n.to_string());
    for (option, value) in [
        ("--buyers", size(new.buyers)),
        ("--attempts", size(new.attempts)),
        ("--stock", number(new.stock)),
        ("--quantity", number(new.quantity)),
        ("--per-buyer-limit", number(new.per_buyer_limit)),
        ("--race-window-ms", size(new.race_window_ms.filter(|ms| *ms > 0))),
        ("--seed", size(new.seed)),
    ] {
        said.extend(value.into_iter().flat_map(|value| [option.to_owned(), value]));
    }
    for (fault, value) in [
        ("pause-holder", new.faults.pause_holder_ms),
        ("drop-reply", new.faults.drop_reply_every),
        ("slow-store", new.faults.slow_store_ms),
    ] {
        said.extend(value.into_iter().flat_map(|n| ["--fault".to_owned(), format!("{fault}={n}")]));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Faults;

    fn asked(new: &NewLabRun) -> Result<String, String> {
        Asked::parse(new, |name| ["naive", "row_lock"].contains(&name)).map(|asked| asked.command("h"))
    }

    #[test]
    fn what_is_left_out_is_as_the_load_test_has_it() {
        let said = asked(&NewLabRun::default());
        assert_eq!(said.as_deref(), Ok("sellout-load --host h --strategies all --scenario rush"));
        let new = NewLabRun {
            strategies: vec!["naive".into(), "row_lock".into()],
            buyers: Some(40),
            race_window_ms: Some(20),
            seed: Some(7),
            faults: Faults { slow_store_ms: Some(5), ..Faults::default() },
            ..NewLabRun::default()
        };
        let want = "sellout-load --host h --strategies naive,row_lock --scenario rush --buyers 40 \
                    --race-window-ms 20 --seed 7 --fault slow-store=5";
        assert_eq!(asked(&new).as_deref(), Ok(want));
    }

    #[test]
    fn what_a_page_may_not_ask_for_is_refused_by_its_name() {
        let all = NewLabRun::default;
        for (new, name) in [
            (NewLabRun { strategies: vec!["--host".into()], ..all() }, "strategies"),
            (NewLabRun { strategies: vec!["all".into(), "naive".into()], ..all() }, "strategies"),
            (NewLabRun { buyers: Some(0), ..all() }, "buyers"),
            (NewLabRun { buyers: Some(BUYERS_MAX + 1), ..all() }, "buyers"),
            (NewLabRun { attempts: Some(ATTEMPTS_MAX + 1), ..all() }, "attempts"),
            (NewLabRun { stock: Some(-1), ..all() }, "stock"),
            (NewLabRun { quantity: Some(0), ..all() }, "quantity"),
            (NewLabRun { per_buyer_limit: Some(-7), ..all() }, "per_buyer_limit"),
            (NewLabRun { race_window_ms: Some(1_001), ..all() }, "race_window_ms"),
            (NewLabRun { scenario: Some("rush --token x".into()), ..all() }, "scenario"),
            (NewLabRun { scenario: Some(String::new()), ..all() }, "scenario"),
            (
                NewLabRun { faults: Faults { slow_store_ms: Some(0), ..Faults::default() }, ..all() },
                "slow_store",
            ),
        ] {
            assert!(asked(&new).is_err_and(|why| why.starts_with(name)), "{name}");
        }
    }
}
