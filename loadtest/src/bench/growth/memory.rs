//! What a process has in memory, from `/proc`.

use std::fs;

/// In bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Resident now.
    pub now: u64,
    /// The most that it ever was.
    pub peak: u64,
}

/// Of a process of this machine.
pub fn of(pid: u32) -> Result<Memory, String> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    parse(&text).ok_or_else(|| format!("{path} says nothing of its memory"))
}

fn parse(status: &str) -> Option<Memory> {
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Memory { now: of("VmRSS:")?, peak: of("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_are_read_as_bytes_and_our_own_are_there() {
        let status = "Name:\tsellout\nVmPeak:\t  900 kB\nVmHWM:\t  30 kB\nVmRSS:\t   20 kB\n";
        assert_eq!(parse(status), Some(Memory { now: 20_480, peak: 30_720 }));
        assert_eq!(parse("Name:\tkthreadd\n"), None);
        assert!(of(std::process::id()).is_ok_and(|memory| memory.peak >= memory.now && memory.now > 0));
    }
}
