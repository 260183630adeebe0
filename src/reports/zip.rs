//! All files of a run in one, below a folder of their own. The same run makes the same bytes: no clock is
//! asked.

use std::io::{self, Cursor, Write};

use ::zip::write::{SimpleFileOptions, ZipWriter};
use serde::Serialize;

use super::{markdown, rows, safe, series, stem};
use crate::wire::Run;

/// The zip. `page`: the run as HTML, which the page draws.
pub fn zip(run: &Run, page: &str) -> io::Result<Vec<u8>> {
    let mut files = vec![
        ("report.html".to_owned(), page.as_bytes().to_vec()),
        ("report.md".to_owned(), markdown::page(run, None).into_bytes()),
        ("report.csv".to_owned(), rows(run)?),
        ("series.csv".to_owned(), series(run)?),
        ("run.json".to_owned(), json(run)?),
    ];
    let traces = run.results.iter().enumerate().filter_map(|(n, row)| Some((n, row, row.trace.as_ref()?)));
    for (n, row, trace) in traces {
        // By their place in the run, for two names may become one when they are made safe.
        files.push((format!("traces/{:02}-{}.json", n + 1, safe(&row.strategy)), json(trace)?));
    }
    let folder = stem(run);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(format!("{folder}/{name}"), SimpleFileOptions::default())?;
        zip.write_all(&bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    bytes.push(b'\n');
    Ok(bytes)
}
