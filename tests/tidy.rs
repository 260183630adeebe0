//! The house rules as a test: sizes, words, who may use whom, and every list equal to what it lists.
//!
//! A rule is a function from files to faults. Before it is held against the tree it must catch a bad
//! example of its own: a test that cannot fail is a defect.

#[path = "tidy/causes.rs"]
mod causes;
#[path = "tidy/exhibit.rs"]
mod exhibit;
#[path = "tidy/readme.rs"]
mod readme;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/statements.rs"]
mod statements;
#[path = "tidy/tree.rs"]
mod tree;

use tree::{File, functions, leading_word, lines_with, tree};

const FILE_LINES_MAX: usize = 400;
const EXHIBIT_LINES_MAX: usize = 200;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 110;
const FOLDERS_DEEP_MAX: usize = 3;

/// Names that say where something was put because nobody knew what it is.
const ROOMS_WITHOUT_A_NOUN: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "manager", "service", "misc"];

/// Put together here, so that this file does not stumble over itself.
const LATER: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[ign", "ore"),
];

/// Holds a rule on the tree, once it has caught each bad example: a file and a word of the fault.
pub fn hold(why: &str, rule: fn(&[File]) -> Vec<String>, bad: &[(&str, &str, &str)]) {
    assert!(!bad.is_empty(), "a rule needs a bad example that it must catch");
    for (path, text, word) in bad {
        let faults = rule(&[File::new(path, text)]);
        let caught = faults.iter().any(|fault| fault.contains(word));
        assert!(caught, "the rule overlooks {word} in {path}:\n{text}\nit says {faults:?}");
    }
    let faults = rule(&tree());
    assert!(faults.is_empty(), "{why}\n\n{}\n", faults.join("\n"));
}

#[test]
fn the_rules_see_the_whole_project() {
    let files = tree();
    let marks = ["src/lib.rs", "src/strategies/naive.rs", "loadtest/src/main.rs", "tests/tidy.rs"];
    for path in marks.iter().chain(&["src/strategies/naive.read.sql", "migrations/0003_ledger.sql"]) {
        assert!(files.iter().any(|f| f.path == *path), "{path} is not among the files that are looked at");
    }
}

#[test]
fn every_rust_file_begins_by_saying_what_it_is_for() {
    hold(
        "Every .rs file begins with `//!`: a file that cannot say in a sentence what it is for is two files.",
        |files| {
            let silent = |f: &&File| f.is("rs") && !f.text.starts_with("//! ");
            files.iter().filter(silent).map(|f| f.path.clone()).collect()
        },
        &[("src/x.rs", "use std::fs;\n//! Too late.\n", "src/x.rs")],
    );
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_sitting() {
    let long = |lines: usize| "x\n".repeat(lines);
    hold(
        "A file stops at 400 lines, a strategy or lock with its head at 200: split by noun, not by size.",
        |files| {
            let limit = |f: &File| if f.is_exhibit() { EXHIBIT_LINES_MAX } else { FILE_LINES_MAX };
            let lines = |f: &File| f.text.lines().count();
            let long = files.iter().filter(|f| lines(f) > limit(f));
            long.map(|f| format!("{}: {} lines, at most {}", f.path, lines(f), limit(f))).collect()
        },
        &[
            ("src/dashboard/x.js", &long(401), "401 lines"),
            ("src/strategies/x.rs", &long(201), "at most 200"),
            ("src/locks/lock_x.rs", &long(201), "at most 200"),
        ],
    );
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let long =
        format!("impl X {{\n    pub async fn long(\n    ) {{\n{}    }}\n}}\n", "        x();\n".repeat(70));
    hold(
        "A function has at most 70 lines: what does not fit on a screen is not checked by eye.",
        |files| {
            let mut faults = Vec::new();
            for file in files.iter().filter(|f| f.is("rs")) {
                let long = functions(&file.lex().code).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
                faults.extend(
                    long.map(|f| format!("{}:{}: {}, {} lines", file.path, f.first, f.name, f.lines)),
                );
            }
            faults
        },
        &[("src/x.rs", &long, "src/x.rs:2: long, 73 lines")],
    );
}

#[test]
fn no_line_is_wider_than_the_formatter_makes_it() {
    hold(
        "A line has at most 110 columns, also where rustfmt does not look (comments, strings, SQL); only an \
         address or a row of a table may be longer, since it cannot be broken.",
        |files| {
            let mut faults = Vec::new();
            for file in files.iter().filter(|f| f.is("rs") || f.is("sql") || f.is("lua")) {
                let whole = |l: &str| l.contains("://") || l.trim_start().starts_with("//! |");
                let wide = |l: &(usize, &str)| l.1.chars().count() > COLUMNS_MAX && !whole(l.1);
                let wide = file.text.lines().enumerate().filter(wide);
                faults.extend(wide.map(|(at, l)| format!("{}:{}: {}", file.path, at + 1, l.chars().count())));
            }
            faults
        },
        &[("src/x.sql", &"x".repeat(111), "src/x.sql:1: 111")],
    );
}

#[test]
fn every_file_has_a_room_named_by_a_noun() {
    hold(
        "No file is called util, helper, common, manager or service, and folders are at most three deep: a \
         file without a noun has no room, and one that lies deeper is not found.",
        |files| {
            let deep = |f: &File| f.path.strip_prefix("src/").map_or(0, |p| p.matches('/').count());
            let lost = |f: &&File| deep(f) > FOLDERS_DEEP_MAX || ROOMS_WITHOUT_A_NOUN.contains(&f.stem());
            files.iter().filter(lost).map(|f| f.path.clone()).collect()
        },
        &[
            ("src/a/b/c/d/e.rs", "", "e.rs"),
            ("src/http/helpers.rs", "", "helpers"),
            ("src/util.rs", "", "util"),
        ],
    );
}

#[test]
fn nothing_is_left_for_later() {
    let bad: Vec<_> = LATER.iter().map(|word| ("tests/x.rs", *word, "tests/x.rs:1")).collect();
    hold(
        "What is not done is said in an issue or not at all; a test that is skipped proves nothing.",
        |files| {
            let mut faults = Vec::new();
            for file in files {
                for word in LATER {
                    let lines = lines_with(&file.text, word);
                    faults.extend(lines.iter().map(|line| format!("{}:{line}: {word}", file.path)));
                }
            }
            faults
        },
        &bad,
    );
}

#[test]
fn no_test_sleeps_and_hopes() {
    hold(
        "A test waits for a fact, with a limit (`poll…`, `eventually`): a sleep is too short on a slow \
         machine and too long on every other.",
        |files| {
            let mut faults = Vec::new();
            for file in files.iter().filter(|f| f.is("rs") && !f.stem().contains("poll")) {
                let code = file.lex().code;
                let functions = functions(&code);
                for line in calls_of_sleep(&code).into_iter().filter(|line| *line >= file.foot()) {
                    let inside = functions.iter().rfind(|f| (f.first..f.first + f.lines).contains(&line));
                    let waits = |name: &str| name.starts_with("poll") || name.starts_with("eventually");
                    if !inside.is_some_and(|f| waits(&f.name)) {
                        faults.push(format!("{}:{line}", file.path));
                    }
                }
            }
            faults
        },
        &[
            ("tests/it/x.rs", "fn wait() {\n    thread::sleep(LONG);\n}\n", "x.rs:2"),
            (
                "src/x.rs",
                "#[cfg(test)]\nmod tests {\n    async fn a() {\n        sleep(LONG).await;\n",
                "x.rs:4",
            ),
            ("tests/it/x.rs", "fn poll_a() {\n}\nfn b() {\n    sleep_until(THEN);\n}\n", "x.rs:4"),
        ],
    );
}

/// Lines on which something called sleep, or sleep_until, is called.
fn calls_of_sleep(code: &str) -> Vec<usize> {
    let called = |line: &str| {
        line.match_indices("sleep").any(|(at, _)| {
            let fresh = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            fresh && line[at + leading_word(&line[at..]).len()..].starts_with('(')
        })
    };
    code.lines().enumerate().filter(|(_, line)| called(line)).map(|(at, _)| at + 1).collect()
}

#[test]
fn one_thing_has_one_word() {
    hold(
        "What is fought over is `stock`, in types as in tables: no type is called Inventory, Shelf or Sku.",
        |files| {
            let mut faults = Vec::new();
            for file in files.iter().filter(|f| f.is("rs")) {
                let code = file.lex().code;
                for kind in ["struct ", "enum ", "trait ", "type "] {
                    let names =
                        code.match_indices(kind).map(|(at, _)| leading_word(&code[at + kind.len()..]));
                    let other =
                        |name: &String| ["Inventory", "Shelf", "Sku"].iter().any(|w| name.contains(w));
                    faults.extend(names.filter(other).map(|name| format!("{}: {name}", file.path)));
                }
            }
            faults
        },
        &[
            ("src/x.rs", "pub struct InventoryItem;\n", "InventoryItem"),
            ("src/x.rs", "enum Shelf {}", "Shelf"),
        ],
    );
}

#[test]
fn the_scanners_read_rust_and_not_what_looks_like_it() {
    let text = r##"fn a<'a>() { let _ = ('"', '\'', "}\"", r#"fn b() {""#); } // fn c() {
/* fn d() { /* nested */ } */
fn e(
) -> [u8; 2] {
    call("
}
");
}
trait T { fn inside(); }
    fn signature(&self);
"##;
    let lexed = tree::lex(text);
    assert_eq!(lexed.code.lines().count(), text.lines().count());
    assert_eq!(lexed.code.chars().count(), text.chars().count());
    let strings: Vec<_> = lexed.strings.iter().map(|(line, s)| (*line, s.as_str())).collect();
    assert_eq!(strings, [(1, "}\\\""), (1, "fn b() {\""), (5, "\n}\n")]);
    let found: Vec<_> = functions(&lexed.code).into_iter().map(|f| (f.name, f.first, f.lines)).collect();
    assert_eq!(found, [("a".to_owned(), 1, 1), ("e".to_owned(), 3, 6)]);
    let code = "use crate::{a, b::{c, d}, e::*};\nlet x = crate::f::G;\nxcrate::h;\nx::crate::i;";
    assert_eq!(tree::named_after(code, "crate::"), ["a", "b", "e", "f"]);
}
