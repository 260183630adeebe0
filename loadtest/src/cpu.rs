//! CPU time of the service and of all its children (its private servers), from `/proc`.
//!
//! Only on the same machine, only when told which process. What cannot be read is no zero but
//! nothing: a figure that is missing is better than one that flatters.

use std::collections::HashMap;
use std::fs;

/// What one line of `/proc/<pid>/stat` says.
struct Stat {
    parent: u32,
    /// User and system time of the process and of the children that it has already buried.
    ticks: u64,
}

/// CPU time of a process and everything below it, in microseconds.
pub fn tree_us(root: u32) -> Option<f64> {
    let all = processes()?;
    all.get(&root)?;
    let below = |pid: &u32| climbs_to(*pid, root, &all);
    let ticks: u64 = all.iter().filter(|(pid, _)| below(pid)).map(|(_, stat)| stat.ticks).sum();
    Some(ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64)
}

fn processes() -> Option<HashMap<u32, Stat>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    Some(
        pids.filter_map(|pid| Some((pid, stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
            .collect(),
    )
}

fn climbs_to(pid: u32, root: u32, all: &HashMap<u32, Stat>) -> bool {
    let mut at = pid;
    // Bounded: the table was not read in one moment and might hold a circle.
    for _ in 0..all.len() {
        if at == root {
            return true;
        }
        let Some(stat) = all.get(&at) else {
            return false;
        };
        at = stat.parent;
    }
    false
}

/// Fields are counted from behind the last `)`: a process may have spaces and brackets in its name.
fn stat(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|f| f.parse::<u64>().unwrap_or(0)).sum();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "42 (post) gres (1) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0";
        let read = stat(line).map(|s| (s.parent, s.ticks));
        assert_eq!(read, Some((7, 100)));
    }

    #[test]
    fn our_own_tree_has_a_time_and_a_dead_process_has_none() {
        assert!(tree_us(std::process::id()).is_some_and(|us| us >= 0.0));
        assert!(tree_us(u32::MAX).is_none());
    }
}
