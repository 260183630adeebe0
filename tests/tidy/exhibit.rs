//! Strategies and locks: one file each, all of the same shape, and none outside the registry.

use sellout::strategies::{ALL, Spec};

use crate::hold;
use crate::tree::{File, tree};

const HEADINGS: [&str; 5] = ["How", "Guarantee", "Fails when", "Cost", "See"];

#[test]
fn every_strategy_and_lock_has_the_five_headings() {
    let full = "//! A title.\n//!\n//! # How\n//! # Guarantee\n//! # Fails when\n//! # Cost\n//! # See\n";
    assert!(headless(&[File::new("src/strategies/x.rs", full)]).is_empty(), "a whole head is no fault");
    hold(
        "The head of a strategy or lock is its card on the dashboard: How, Guarantee, Fails when, Cost, See, \
         in this order, so that one glance finds each of them.",
        headless,
        &[
            ("src/strategies/x.rs", &full.replace("# Cost\n//! # See", "# See\n//! # Cost"), "See, Cost"),
            ("src/locks/lock_x.rs", &full.replace("//! # Guarantee\n", ""), "How, Fails when"),
            ("src/strategies/x.rs", &full.replace("//! # See\n", "\n//! # See\n"), "Cost"),
        ],
    );
}

#[test]
fn file_and_id_are_one_name_and_no_file_is_forgotten() {
    hold(
        "File stem = id = JSON value = metric label = test name, and every file is in the registry: what is \
         not listed has no card, no test and no row.",
        unregistered,
        &[
            ("src/strategies/stray.rs", "//! Nobody lists it.", "stray.rs: not in"),
            ("src/locks/lock_stray.rs", "//! Nobody lists it.", "lock_stray.rs: not in"),
            ("src/x.rs", "//! No strategy at all.", "naive: no file"),
        ],
    );
}

#[test]
fn a_card_shows_the_code_that_runs() {
    hold(
        "`source` and `statements` of a SPEC are the files of the same names, beside the strategy: a reader \
         of the dashboard must see the code that runs, not its neighbour's.",
        misquoted,
        &[
            ("src/strategies/naive.rs", "//! Not what is registered.", "naive.rs is not its source"),
            ("src/strategies/naive.read.sql", "select 2", "naive.read.sql is not"),
            ("src/x.rs", "//! No statement at all.", "naive.write.sql is not"),
        ],
    );
}

#[test]
fn the_registry_names_everything_once() {
    for (at, spec) in ALL.iter().enumerate() {
        assert!(!ALL[..at].iter().any(|other| other.id == spec.id), "{} is registered twice", spec.id);
        assert!(!ALL[..at].iter().any(|other| other.title() == spec.title()), "two are {:?}", spec.title());
    }
}

fn headless(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.is_exhibit()) {
        let head = file.text.lines().take_while(|line| line.starts_with("//!"));
        let headings: Vec<_> = head.filter_map(|line| line.strip_prefix("//! # ")).collect();
        if headings != HEADINGS {
            faults.push(format!("{}: {}", file.path, headings.join(", ")));
        }
    }
    faults
}

/// The file of a strategy. A lock with a fence stands in the file of the lock.
fn stem(spec: &Spec) -> &'static str {
    spec.id.strip_suffix("_fenced").unwrap_or(spec.id)
}

fn unregistered(files: &[File]) -> Vec<String> {
    let exhibit: Vec<_> = files.iter().filter(|f| f.is_exhibit()).collect();
    let stray = exhibit.iter().filter(|f| !ALL.iter().any(|spec| stem(spec) == f.stem()));
    let missing = ALL.iter().filter(|spec| !exhibit.iter().any(|f| f.stem() == stem(spec)));
    let stray = stray.map(|f| format!("{}: not in strategies::ALL under the name of its file", f.path));
    stray
        .chain(missing.map(|spec| format!("{}: no file strategies/{0}.rs or locks/{0}.rs", spec.id)))
        .collect()
}

fn misquoted(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for spec in ALL {
        let beside = |name: &str| {
            let rooms = ["strategies", "locks", "pipeline"];
            let paths = rooms.map(|room| format!("src/{room}/{name}"));
            files.iter().find(|f| paths.contains(&f.path)).map(|f| f.text.as_str())
        };
        let source = format!("{}.rs", stem(spec));
        if beside(&source) != Some(spec.source) {
            faults.push(format!("{}: {source} is not its source", spec.id));
        }
        let other = spec.statements().filter(|(name, text)| beside(name) != Some(*text));
        faults
            .extend(other.map(|(name, _)| format!("{}: {name} is not the statement of that name", spec.id)));
        // A statement that lies beside a strategy and is not on its card is one that nobody PREPAREs.
        let own = |f: &&File| f.is_statement() && f.stem() == stem(spec);
        let unlisted = |f: &&File| !spec.statements().any(|(_, text)| text == f.text);
        faults.extend(
            files.iter().filter(own).filter(unlisted).map(|f| format!("{}: not on its card", f.path)),
        );
    }
    faults
}

#[test]
fn every_statement_beside_a_strategy_is_on_its_card() {
    let mut files = tree();
    files.push(File::new("src/strategies/naive.more.sql", "select 3"));
    assert_eq!(misquoted(&files), ["src/strategies/naive.more.sql: not on its card"]);
}
