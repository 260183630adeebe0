//! Kept parts, put together and shown: JSON, Markdown, plots, and the page on the terminal.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::report::Part;
use super::{pictures, table};
use crate::show::{kept, write};

/// What is shown where.
#[derive(Args)]
pub struct Show {
    /// Files of `sellout-bench growth`, or of `--json`.
    #[arg(required = true)]
    parts: Vec<PathBuf>,
    /// Write all of it as JSON.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write the page as Markdown.
    #[arg(long, value_name = "PATH")]
    markdown: Option<PathBuf>,
    /// Write the plots as SVG files there.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Print what a README shows instead of the page.
    #[arg(long)]
    readme: bool,
}

impl Show {
    /// Shows it.
    pub fn run(self) -> Result<ExitCode, String> {
        let parts = self.parts.iter().map(|path| kept(path)).collect::<Result<Vec<Part>, _>>()?;
        let all = Part::together(parts)?;
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&all).map_err(|e| e.to_string())?;
            write(path, &(text + "\n"))?;
        }
        if let Some(path) = &self.markdown {
            write(path, &table::page(&all))?;
        }
        if let Some(folder) = &self.plots {
            for (name, text) in pictures::all(&all) {
                write(&folder.join(name), &text)?;
            }
        }
        let text = if self.readme { table::section(&all) } else { table::page(&all) };
        // A reader who left (`| head`) is no error.
        let _left = std::io::stdout().write_all(text.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}
