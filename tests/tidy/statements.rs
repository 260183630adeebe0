//! SQL and Lua are files beside their only user, named by their first line.

use std::collections::HashMap;

use crate::hold;
use crate::tree::File;

const STATEMENT_LINES_MAX: usize = 60;

/// Not statements of the house: a ping has no table, no parameter and no row to be checked.
const SPOKEN_IN_RUST: &[&str] = &["select 1"];

#[test]
fn there_is_one_writer_of_orders() {
    let twice = "insert into orders (id)\nvalues ($1);\nINSERT  INTO\n    orders values (1)";
    hold(
        "A function of migrations/ is the only writer of orders, so that no strategy sells past the ledger: \
         these words stand nowhere else, and once in a migration that writes that function anew.",
        writers_of_orders,
        &[
            ("migrations/1.sql", twice, "2 times"),
            ("src/x.rs", "//! Nobody writes.", "0 times"),
            ("src/x.sql", "insert into orders (id) values ($1)", "src/x.sql"),
        ],
    );
}

#[test]
fn sql_is_a_file_and_not_a_string() {
    hold(
        "A statement is a file beside its only user: PREPAREd by a test, shown on the card, found by its \
         name in the server's log. In a Rust string it is none of these.",
        spoken,
        &[
            ("src/x.rs", "const Q: &str = \"SELECT id from orders\";", "src/x.rs:1"),
            ("src/x.rs", "f(r#\"\n    update stock set units_left = 0\"#)", "src/x.rs:1"),
            ("loadtest/src/x.rs", "\n\"with a as (select 1) select 2\"", "x.rs:2"),
            ("src/x.rs", "\"delete from stock\"", "src/x.rs:1"),
            ("src/x.rs", "format!(\"insert into {table}\")", "src/x.rs:1"),
            ("src/x.rs", "\"select 1 from orders\"", "src/x.rs:1"),
        ],
    );
    let innocent = "f(\"select 1\", \"with care\", \"update it\", \"delete the folder\")";
    assert!(spoken(&[File::new("src/x.rs", innocent)]).is_empty(), "prose is no SQL");
}

#[test]
fn every_statement_has_exactly_one_user() {
    hold(
        "A .sql or .lua file is included once: two users of one statement are two reasons to change it, and \
         a file without a user is dead and looks alive.",
        users,
        &[
            ("src/ledger/dead.sql", "select 1", "0 times"),
            ("migrations/0009_dead.sql", "select 1", "0 times"),
            ("src/x.rs", "include_str!(\"gone.sql\")", "src/gone.sql: no such file"),
            ("src/a/x.rs", "include_str!(\"../gone.sql\")", "src/gone.sql: no such file"),
        ],
    );
    let twice = "include_str!(\"x.sql\") include_str!(\"../a/x.sql\")";
    let files = [File::new("src/a/x.sql", ""), File::new("src/a/x.rs", twice)];
    assert_eq!(users(&files), ["src/a/x.sql: included 2 times"]);
}

#[test]
fn a_statement_begins_with_its_own_name() {
    hold(
        "The first line of a statement is its path, for that is what pg_stat_activity, the slow log and \
         MONITOR show of it.",
        |files| {
            let named = |f: &File| {
                let path = f.path.trim_start_matches("src/");
                f.text
                    .strip_prefix("-- ")
                    .and_then(|t| t.strip_prefix(path))
                    .is_some_and(|t| t.starts_with(':'))
            };
            let nameless = files.iter().filter(|f| f.is_statement() && !named(f));
            nameless.map(|f| format!("{}: begins otherwise", f.path)).collect()
        },
        &[
            ("src/strategies/x.sql", "-- strategies/y.sql: copied\nselect 1", "strategies/x.sql"),
            ("src/strategies/x.lua", "return 1", "x.lua"),
        ],
    );
}

#[test]
fn a_statement_fits_on_a_screen() {
    let long = "x\n".repeat(STATEMENT_LINES_MAX + 1);
    hold(
        "A statement has at most 60 lines: what is longer is a program, and belongs where it can be tested \
         in parts. (The schema in migrations/ is a story of several and may be longer.)",
        |files| {
            let long = |f: &&File| f.is_statement() && f.text.lines().count() > STATEMENT_LINES_MAX;
            files
                .iter()
                .filter(long)
                .map(|f| format!("{}: {} lines", f.path, f.text.lines().count()))
                .collect()
        },
        &[("src/x.sql", &long, "61 lines"), ("src/x.lua", &long, "61 lines")],
    );
}

#[test]
fn no_constraint_saves_the_unsafe_strategies() {
    hold(
        "No check on the stock: it would turn the oversell of an unguarded decrement into an error and hide \
         it, and it never sees a lost update.",
        |files| {
            let saved =
                |f: &&File| f.path.starts_with("migrations/") && words(f).contains("check (units_left");
            files.iter().filter(saved).map(|f| f.path.clone()).collect()
        },
        &[
            ("migrations/9.sql", "units_left bigint\n    CHECK  ( units_left >= 0)", "9.sql"),
            ("migrations/9.sql", "units_left bigint check(units_left > -1)", "9.sql"),
        ],
    );
    let comment = File::new("migrations/9.sql", "-- no check (units_left >= 0) here");
    assert!(!words(&comment).contains("check"), "a comment that explains its absence is no constraint");
}

fn writers_of_orders(files: &[File]) -> Vec<String> {
    let program = files.iter().filter(|f| !f.path.starts_with("tests/"));
    let written = program.map(|f| (&f.path, words(f).matches("insert into orders ").count()));
    let written: Vec<_> = written.filter(|(_, count)| *count > 0).collect();
    let fine = |(path, count): &&(&String, usize)| path.starts_with("migrations/") && *count == 1;
    let other = written.iter().filter(|place| !fine(place));
    let mut faults: Vec<_> = other.map(|(path, count)| format!("{path}: {count} times")).collect();
    if written.is_empty() {
        faults.push("0 times: who writes them?".into());
    }
    faults
}

/// Lower case, one space between words and before a parenthesis, no SQL comments.
fn words(file: &File) -> String {
    let line = |line: &str| line.split("--").next().unwrap_or_default().to_lowercase().replace('(', " ( ");
    let text: Vec<_> = file.text.lines().map(line).collect();
    let words: Vec<_> = text.iter().flat_map(|line| line.split_whitespace()).collect();
    words.join(" ").replace("( ", "(")
}

fn spoken(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.is_program()) {
        for (line, text) in file.lex().strings {
            if line < file.foot() && is_sql(&text) {
                faults.push(format!("{}:{line}: {}", file.path, text.trim()));
            }
        }
    }
    faults
}

/// Prose begins with the same verbs; a statement has its second keyword too.
fn is_sql(text: &str) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let both = |verb: &str, second: &str| text.starts_with(verb) && format!("{text} ").contains(second);
    let select = text.starts_with("select ") && !SPOKEN_IN_RUST.contains(&text.as_str());
    let others = [
        ("insert ", " into "),
        ("update ", " set "),
        ("delete ", " from "),
        ("with ", " as "),
        ("create ", " table "),
        ("alter ", " table "),
        ("truncate ", " "),
    ];
    select || others.iter().any(|(verb, second)| both(verb, second))
}

fn users(files: &[File]) -> Vec<String> {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for file in files.iter().filter(|f| f.is_program()) {
        for (_, rest) in
            file.text.match_indices("include_str!(\"").map(|(at, mark)| (at, &file.text[at + mark.len()..]))
        {
            let target = rest.split('"').next().unwrap_or_default();
            *uses.entry(resolve(&file.path, target)).or_default() += 1;
        }
    }
    let is_statement = |path: &str| path.ends_with(".sql") || path.ends_with(".lua");
    let gone = uses.keys().filter(|path| is_statement(path) && !files.iter().any(|f| f.path == **path));
    let mut faults: Vec<_> = gone.map(|path| format!("{path}: no such file")).collect();
    for file in files.iter().filter(|f| is_statement(&f.path) && !f.path.starts_with("tests/")) {
        let count = uses.get(&file.path).copied().unwrap_or_default();
        if count != 1 {
            faults.push(format!("{}: included {count} times", file.path));
        }
    }
    faults
}

/// `src/a/x.rs` and `../b.sql` → `src/b.sql`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
