//! Where the results go: files, stdout, the service. A file that cannot be written is said and does
//! not undo the run.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use sellout::reports::markdown;
use sellout::wire::Run;

use crate::args::{Args, is_dash};
use crate::client::Service;
use crate::report;

/// Everything that was asked for, except the HTML.
pub fn deliver(args: &Args, run: &Run, ending: &str, mut stdout: File) {
    let json = serde_json::to_string_pretty(run).map(|text| text + "\n").unwrap_or_default();
    let page = markdown::page(run, Some(ending));
    let alone = is_dash(args.json.as_ref()) || is_dash(args.export_markdown.as_ref());
    if alone {
        eprintln!("{ending}");
    } else {
        let table = report::table(run, ending, report::marks_of_this_terminal());
        said("the table", stdout.write_all(table.as_bytes()));
    }
    for (path, text) in [(&args.json, json), (&args.export_markdown, page)] {
        match path {
            None => {}
            Some(path) if path.as_os_str() == "-" => said("stdout", stdout.write_all(text.as_bytes())),
            Some(path) => write(path, &text),
        }
    }
}

/// The service draws the page; we only keep it.
pub async fn deliver_html(args: &Args, run: &Run, service: &Service) {
    let Some(path) = &args.export_html else {
        return;
    };
    match service.report_html(&run.id).await {
        Ok(page) => write(path, &page),
        Err(failure) => eprintln!("sellout-load: no report page for {}: {failure}", path.display()),
    }
}

/// Writes a file with the directories that it needs.
pub fn write(path: &Path, text: &str) {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    said(&path.display().to_string(), made.and_then(|()| fs::write(path, text)));
}

fn said(what: &str, written: std::io::Result<()>) {
    if let Err(e) = written {
        eprintln!("sellout-load: {what} could not be written: {e}");
    }
}
