//! The committed table of what each lock was observed to do, and the cells that other tests fill.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sellout::backends::Need;
use sellout::locks::requirements::{Cell, Cells};
use sellout::locks::{ALL, Facts};
use sellout::{http, strategies};

use crate::Requirement;

/// A cell that another test program fills, for every lock on that server. There once its test is.
struct Elsewhere {
    need: Need,
    requirement: &'static str,
    value: &'static str,
    file: &'static str,
    function: &'static str,
}

/// A Redis that fails over to its replica needs two, and something in between that leads to the other one.
const ELSEWHERE: &[Elsewhere] = &[Elsewhere {
    need: Need::Redis,
    requirement: "its_server_fails_over_and_keeps_it",
    value: "no",
    file: "tests/lock_servers/redis_failover.rs",
    function: "a_redis_that_forgets_lets_two_inside",
}];

/// What stands in the file, and what was observed in this run.
pub struct Table {
    stands: Cells,
    observed: Mutex<Cells>,
}

impl Table {
    /// The file as it is.
    pub fn read() -> Table {
        let text = std::fs::read_to_string(path()).unwrap_or_else(|_| "{}".to_owned());
        let stands = serde_json::from_str(&text).expect("src/locks/requirements.json");
        Table { stands, observed: Mutex::default() }
    }

    /// Notes what was observed; an error if the table says something else and is not to be written.
    pub fn hold(&self, lock: &str, requirement: &Requirement, value: String) -> Result<(), String> {
        let stands = self.stands.get(lock).and_then(|cells| cells.get(requirement.name));
        let observed = Cell { value, test: requirement.file.to_owned() };
        let differs = stands != Some(&observed);
        let said = format!("the table says {stands:?}, observed is {observed:?}; ./run readme writes it");
        let mut seen = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(lock.to_owned()).or_default().insert(requirement.name.to_owned(), observed);
        if differs && !updating() { Err(said) } else { Ok(()) }
    }

    /// Writes what was observed over what stood there, if asked to; one line a cell, so that two who add a
    /// lock each do not meet in one line.
    pub fn write(&self, requirements: &[Requirement]) {
        if !updating() {
            return;
        }
        let mut cells = self.stands.clone();
        for (lock, observed) in self.observed.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            cells.entry(lock.clone()).or_default().extend(observed.clone());
        }
        // A lock that this build leaves out (a feature) keeps its cells as long as its file is there.
        cells.retain(|lock, _| has(&format!("src/locks/{lock}.rs"), ""));
        for facts in ALL {
            let row = cells.entry(facts.id.to_owned()).or_default();
            row.retain(|name, _| requirements.iter().any(|r| r.name == name && (r.concerns)(facts)));
            row.extend(elsewhere(facts));
        }
        std::fs::write(path(), print(&cells)).expect("src/locks/requirements.json");
    }

    /// Where the table and the tests do not belong together.
    pub fn faults(&self, requirements: &[Requirement]) -> Vec<String> {
        if updating() {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for facts in ALL {
            let empty = BTreeMap::new();
            let row = self.stands.get(facts.id).unwrap_or(&empty);
            let ours = requirements.iter().filter(|r| (r.concerns)(facts));
            let wanted: BTreeMap<_, _> = ours.map(|r| (r.name.to_owned(), r.file.to_owned())).collect();
            let others = elsewhere(facts);
            let missing = wanted.keys().chain(others.keys()).filter(|name| !row.contains_key(*name));
            faults.extend(missing.map(|name| format!("{}: no cell for {name}", facts.id)));
            for (name, cell) in row {
                let ours = wanted.get(name) == Some(&cell.test) && has(&cell.test, &format!("fn {name}("));
                if !ours && others.get(name) != Some(cell) {
                    faults.push(format!("{}: nobody tests {name}, {cell:?}", facts.id));
                }
            }
        }
        let gone = self.stands.keys().filter(|lock| !has(&format!("src/locks/{lock}.rs"), ""));
        faults.extend(gone.map(|lock| format!("{lock} is no lock")));
        // The program has the file built in, and shows it on the cards.
        for card in strategies::ALL.iter().map(|spec| http::card(spec, None)) {
            let Some(lock) = card.lock else { continue };
            let shown = lock.requirements.into_iter();
            let shown = shown.map(|r| (r.requirement, Cell { value: r.value, test: r.test })).collect();
            if self.stands.get(&lock.id) != Some(&shown) {
                faults.push(format!("the card of {} shows something else: build again", card.id));
            }
        }
        faults
    }
}

/// The cells of a lock that other test programs fill.
fn elsewhere(facts: &Facts) -> BTreeMap<String, Cell> {
    let fills = |e: &&Elsewhere| facts.needs.contains(&e.need) && has(e.file, &format!("fn {}(", e.function));
    let cell = |e: &Elsewhere| Cell { value: e.value.to_owned(), test: e.file.to_owned() };
    ELSEWHERE.iter().filter(fills).map(|e| (e.requirement.to_owned(), cell(e))).collect()
}

/// Is the file there, with this in it?
fn has(file: &str, text: &str) -> bool {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).is_ok_and(|there| there.contains(text))
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/locks/requirements.json")
}

fn updating() -> bool {
    std::env::var_os("UPDATE_README").is_some()
}

fn print(cells: &Cells) -> String {
    let row = |(name, cell): (&String, &Cell)| {
        let cell = serde_json::to_string(cell).expect("JSON");
        format!("    \"{name}\": {cell}")
    };
    let lock = |(lock, row_cells): (&String, &BTreeMap<String, Cell>)| {
        let rows: Vec<_> = row_cells.iter().map(row).collect();
        format!("  \"{lock}\": {{\n{}\n  }}", rows.join(",\n"))
    };
    let locks: Vec<_> = cells.iter().map(lock).collect();
    format!("{{\n{}\n}}\n", locks.join(",\n"))
}
