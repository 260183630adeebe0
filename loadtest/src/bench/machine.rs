//! What the whole machine did: the CPU time of `/proc/stat`, so that work of others beside a run is seen.

use std::fs;

/// CPU time since the start of the machine, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Busy {
    /// Of all processes and interrupts.
    pub worked: f64,
    /// That the host gave to other machines.
    pub stolen: f64,
}

impl Busy {
    /// Now, where it can be read.
    pub fn now() -> Option<Busy> {
        parse(&fs::read_to_string("/proc/stat").ok()?, rustix::param::clock_ticks_per_second())
    }
}

/// user nice system idle iowait irq softirq steal; guests are in user already.
fn parse(text: &str, ticks_per_second: u64) -> Option<Busy> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<f64> = line.split_whitespace().filter_map(|f| f.parse().ok()).collect();
    let us = 1e6 / ticks_per_second as f64;
    let at = |n: usize| fields.get(n).copied();
    let worked = at(0)? + at(1)? + at(2)? + at(5)? + at(6)?;
    Some(Busy { worked: worked * us, stolen: at(7)? * us })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_nobodys_and_a_guest_is_counted_once() {
        let text = "cpu  100 10 30 9000 500 2 8 40 50 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(parse(text, 100), Some(Busy { worked: 1.5e6, stolen: 4e5 }));
        assert_eq!(parse("cpu  1 2 3", 100), None);
    }
}
