//! Open files: every buyer needs a connection (or two: one that was begun
//! while another fell free is kept), and a shell often allows only 1024 of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open besides the buyers' connections.
const OTHERS: u64 = 64;

/// Raises our own limit as far as we may. The error is a sentence.
pub fn room_for(buyers: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let needed = 2 * buyers + OTHERS;
    if limit.current.is_none_or(|n| n >= needed) {
        return Ok(());
    }
    let wanted = Rlimit { current: Some(limit.maximum.map_or(needed, |n| n.min(needed))), ..limit };
    if limit.maximum.is_some_and(|n| n < needed) || setrlimit(Resource::Nofile, wanted).is_err() {
        return Err(format!(
            "{buyers} buyers need {needed} open files, more than this machine allows (ulimit -n)"
        ));
    }
    Ok(())
}
