//! The list of real failures in tests/README.md: every one of them walked, every test that it names there.

use crate::hold;
use crate::tree::{File, functions, read, tree};

/// Root causes that were collected from other shops' histories.
const CAUSES: usize = 39;

#[test]
fn every_known_cause_has_its_test_or_a_reason() {
    let faults = missing(&read("tests/README.md").expect("tests/README.md"));
    assert!(faults.is_empty(), "tests/README.md:\n{}", faults.join("\n"));
    let row = |n: usize, tests: &str| format!("| {n} | cause | {tests} |\n");
    let all: String = (1..=CAUSES).map(|n| row(n, "`every_known_cause_has_its_test_or_a_reason`")).collect();
    assert!(missing(&all).is_empty(), "{:?}", missing(&all));
    let gone = all.replace(&row(7, "`every_known_cause_has_its_test_or_a_reason`"), "");
    assert_eq!(missing(&gone), ["7: no row"]);
    let stray =
        all.replace(&row(8, "`every_known_cause_has_its_test_or_a_reason`"), &row(8, "`no_such_test`"));
    assert_eq!(missing(&stray), ["8: no test no_such_test"]);
    let silent = all.replace(&row(9, "`every_known_cause_has_its_test_or_a_reason`"), &row(9, "well"));
    assert_eq!(missing(&silent), ["9: neither a test nor a reason"]);
}

#[test]
fn no_sentence_is_the_name_of_two_tests() {
    hold(
        "A test is found by its sentence, so within one file no two have the same.",
        |files| {
            let mut faults = Vec::new();
            for file in files.iter().filter(|f| f.path.starts_with("tests/") && f.is("rs")) {
                let names: Vec<String> = functions(&file.lex().code).into_iter().map(|f| f.name).collect();
                let twice = names.iter().enumerate().filter(|(at, name)| names[..*at].contains(name));
                let twice = twice.filter(|(_, name)| name.matches('_').count() > 3);
                faults.extend(twice.map(|(_, name)| format!("{}: {name}", file.path)));
            }
            faults
        },
        &[("tests/x.rs", "fn a_b_c_d_e() {\n}\nfn a_b_c_d_e() {\n}\n", "a_b_c_d_e")],
    );
}

fn missing(readme: &str) -> Vec<String> {
    let is_test = |f: &&File| f.path.starts_with("tests/") || f.path.contains("src/");
    let files = tree();
    let tests: Vec<String> = files
        .iter()
        .filter(is_test)
        .filter(|f| f.is("rs"))
        .flat_map(|f| functions(&f.lex().code).into_iter().map(|f| f.name))
        .collect();
    let mut faults = Vec::new();
    for number in 1..=CAUSES {
        let start = format!("| {number} |");
        let Some(row) = readme.lines().find(|line| line.starts_with(&start)) else {
            faults.push(format!("{number}: no row"));
            continue;
        };
        let cell = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let reason = cell.contains("Does not apply:");
        if names.is_empty() && !reason {
            faults.push(format!("{number}: neither a test nor a reason"));
        }
        let is_there = |name: &&&str| tests.iter().any(|test| test == **name);
        faults.extend(names.iter().filter(|n| !is_there(n)).map(|n| format!("{number}: no test {n}")));
    }
    faults
}
