//! Kept rounds, put together and shown: table, targets, JSON, Markdown, plots.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::plots;
use crate::report::Report;
use crate::table;

/// What is shown where.
#[derive(Args)]
pub struct Show {
    /// Files of `sellout-bench round`.
    #[arg(required_unless_present = "from")]
    rounds: Vec<PathBuf>,
    /// A report that was kept by --json, instead of rounds.
    #[arg(long, conflicts_with = "rounds")]
    from: Option<PathBuf>,
    /// Write all of it as JSON.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write the tables as Markdown.
    #[arg(long, value_name = "PATH")]
    markdown: Option<PathBuf>,
    /// Print what the README shows instead of the tables.
    #[arg(long)]
    readme: bool,
    /// Write the plots as SVG files there.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

impl Show {
    /// Shows it.
    pub fn run(self) -> Result<ExitCode, String> {
        let report = match &self.from {
            Some(path) => kept(path)?,
            None => Report::new(&self.rounds.iter().map(|path| kept(path)).collect::<Result<Vec<_>, _>>()?)?,
        };
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
            write(path, &(text + "\n"))?;
        }
        if let Some(path) = &self.markdown {
            write(path, &table::page(&report))?;
        }
        if let Some(folder) = &self.plots {
            for (name, text) in plots::all(&report) {
                write(&folder.join(name), &text)?;
            }
        }
        let text = if self.readme { table::section(&report) } else { table::text(&report) };
        // A reader who left (`| head`) is no error.
        let _left = std::io::stdout().write_all(text.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

/// A file of JSON.
pub fn kept<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// A file and the folder that it stands in.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text)).map_err(|e| format!("{}: {e}", path.display()))
}
