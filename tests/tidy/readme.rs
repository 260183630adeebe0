//! The tables of the README are printed by the program, not kept by hand.

use std::process::Command;

use clap::Args;
use sellout::config::Config;

use crate::tree::read;

#[test]
fn the_strategies_of_the_readme_are_those_of_the_program() -> anyhow::Result<()> {
    let table = printed(&["strategies", "--markdown"])?;
    same("strategies", &table, "Print it again with: cargo run --locked -- strategies --markdown")
}

#[test]
fn the_locks_of_the_readme_are_those_of_the_program() -> anyhow::Result<()> {
    // That the program's are those that the tests observe is held by tests/locks.rs.
    let table = printed(&["strategies", "--locks", "--markdown"])?;
    for path in table.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        anyhow::ensure!(read(path).is_some(), "a cell links to {path}, which is not there");
    }
    same("locks", &table, "Print it again with: cargo run --locked -- strategies --locks --markdown")
}

fn printed(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_sellout")).args(arguments).output()?;
    anyhow::ensure!(output.status.success(), "sellout {arguments:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_settings_of_the_readme_are_those_of_the_program() -> anyhow::Result<()> {
    let table = settings();
    anyhow::ensure!(
        table.contains("| `DATABASE_URL` | required |"),
        "a setting that must be given:\n{table}"
    );
    anyhow::ensure!(table.contains("| `SELLOUT_BIND` | `127.0.0.1:8080` |"), "its default:\n{table}");
    same("settings", &table, &format!("It should be:\n{table}"))
}

#[test]
fn a_table_that_was_edited_or_is_missing_is_seen() {
    let page = "# x\n<!-- a:start -->\n| 1 |\n<!-- a:end -->\n";
    assert_eq!(between(page, "a"), Some("| 1 |"));
    assert_eq!(between(page, "b"), None);
    assert_eq!(between("<!-- a:end --><!-- a:start -->", "a"), None);
    assert_ne!(between(&page.replace('1', "2"), "a"), between(page, "a"));
}

fn same(name: &str, table: &str, again: &str) -> anyhow::Result<()> {
    let page = read("README.md").unwrap_or_default();
    let Some(printed) = between(&page, name) else {
        anyhow::bail!(
            "README.md has no <!-- {name}:start --> … <!-- {name}:end --> around its {name} table. {again}"
        );
    };
    // `./run readme` says so: then the table is put right instead of being complained of.
    if std::env::var_os("UPDATE_README").is_some() {
        let (start, end) = (format!("<!-- {name}:start -->"), format!("<!-- {name}:end -->"));
        let (before, rest) = page.split_once(&start).unwrap_or_default();
        let (_, after) = rest.split_once(&end).unwrap_or_default();
        std::fs::write("README.md", format!("{before}{start}\n{}\n{end}{after}", table.trim()))?;
        return Ok(());
    }
    // Compared as lines, so that the first one that differs is the one shown.
    let (printed, table): (Vec<_>, Vec<_>) = (printed.lines().collect(), table.trim().lines().collect());
    let wrong = printed.iter().zip(&table).find(|(printed, line)| printed != line);
    anyhow::ensure!(
        printed == table,
        "The README is what people believe, so its {name} are those of the program. {again}\n\n\
         {} lines instead of {}; first difference (README, program): {wrong:?}",
        printed.len(),
        table.len()
    );
    Ok(())
}

fn between<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = page.split_once(&format!("<!-- {name}:start -->"))?;
    let (table, _) = after.split_once(&format!("<!-- {name}:end -->"))?;
    Some(table.trim())
}

/// `sellout serve`'s settings, in the order of `--help`.
fn settings() -> String {
    let command = Config::augment_args(clap::Command::new("serve"));
    let mut table = "| variable | default | meaning |\n|---|---|---|".to_owned();
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(variable) = arg.get_env() else { continue };
        let default = arg.get_default_values().first().map(|value| format!("`{}`", value.to_string_lossy()));
        let flag = matches!(arg.get_action(), clap::ArgAction::SetTrue);
        let absent = match default {
            _ if flag => "off".to_owned(),
            Some(default) => default,
            None if arg.is_required_set() => "required".to_owned(),
            None => "none".to_owned(),
        };
        let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        table += &format!("\n| `{}` | {absent} | {meaning} |", variable.to_string_lossy());
    }
    table
}
