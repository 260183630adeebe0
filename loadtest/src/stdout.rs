//! Stdout belongs to the table, or to the JSON, alone. Goose prints a line there in every attack,
//! whatever it is told (`200 users launched.`), and its log goes there too: so we keep the real
//! stdout under another number and let number 1 lead nowhere.

use std::fs::{File, OpenOptions};
use std::io;

/// The real stdout. From here on `println!`, ours or anybody's, is not heard.
pub fn keep() -> io::Result<File> {
    let real = rustix::io::dup(io::stdout())?;
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    Ok(File::from(real))
}
