//! The timed window: clocks and CPU time at its two ends.

use std::time::Instant;

use crate::cpu;
use crate::machine::Busy;
use crate::outcome::Cpu;

/// Processes whose CPU time is told apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pids {
    /// The service.
    pub service: Option<u32>,
    /// Was it started by us? Then its time is in ours, and must be taken out of it again.
    pub service_is_ours: bool,
    /// PostgreSQL's first process.
    pub postgres: Option<u32>,
    /// Redis.
    pub redis: Option<u32>,
}

/// One end of a window.
pub struct Edge {
    at: Instant,
    cpu: Cpu,
    machine: Option<Busy>,
}

/// Between two of them.
pub struct Window {
    /// When it began.
    pub from: Instant,
    /// How long it was.
    pub seconds: f64,
    /// CPU time of ours.
    pub cpu: Cpu,
    /// Cores that worked for others.
    pub foreign_cores: Option<f64>,
    /// Cores that the host took.
    pub stolen_cores: Option<f64>,
}

impl Edge {
    /// Now. Reading costs the client some milliseconds of its own, which stand in its figure.
    pub fn now(pids: &Pids) -> Edge {
        let tree = |pid: Option<u32>| cpu::tree_us(pid?);
        let (service, all) = (tree(pids.service), tree(Some(std::process::id())));
        let own =
            if pids.service_is_ours { all.zip(service).map(|(all, service)| all - service) } else { all };
        let cpu = Cpu { service, postgres: tree(pids.postgres), redis: tree(pids.redis), load: own };
        Edge { at: Instant::now(), cpu, machine: Busy::now() }
    }
}

impl Window {
    /// What happened between the two.
    pub fn between(from: &Edge, to: &Edge) -> Window {
        let seconds = to.at.duration_since(from.at).as_secs_f64();
        let cpu = Cpu {
            service: grown(from.cpu.service, to.cpu.service),
            postgres: grown(from.cpu.postgres, to.cpu.postgres),
            redis: grown(from.cpu.redis, to.cpu.redis),
            load: grown(from.cpu.load, to.cpu.load),
        };
        let machine = from.machine.zip(to.machine);
        let cores = |us: f64| us / 1e6 / seconds;
        Window {
            from: from.at,
            seconds,
            cpu,
            foreign_cores: machine.map(|(a, b)| cores((b.worked - a.worked - ours(&cpu)).max(0.0))),
            stolen_cores: machine.map(|(a, b)| cores(b.stolen - a.stolen)),
        }
    }
}

/// Less than before means that a process ended and took its time with it: then nothing is known.
fn grown(from: Option<f64>, to: Option<f64>) -> Option<f64> {
    from.zip(to).map(|(from, to)| to - from).filter(|us| *us >= 0.0)
}

fn ours(cpu: &Cpu) -> f64 {
    [cpu.service, cpu.postgres, cpu.redis, cpu.load].into_iter().flatten().sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn edge(at: Instant, service: Option<f64>, worked: f64, stolen: f64) -> Edge {
        let cpu = Cpu { service, load: Some(1e6), ..Cpu::default() };
        Edge { at, cpu, machine: Some(Busy { worked, stolen }) }
    }

    #[test]
    fn work_that_is_nobodys_of_ours_is_said_in_cores() {
        let now = Instant::now();
        let from = edge(now, Some(5e5), 10e6, 0.0);
        let to = edge(now + Duration::from_secs(2), Some(2.5e6), 13e6, 4e5);
        let window = Window::between(&from, &to);
        assert_eq!((window.seconds, window.cpu.service, window.cpu.load), (2.0, Some(2e6), Some(0.0)));
        assert_eq!((window.foreign_cores, window.stolen_cores), (Some(0.5), Some(0.2)));
        assert_eq!(window.cpu.postgres, None);
    }

    #[test]
    fn a_process_that_came_anew_has_no_time_rather_than_a_wrong_one() {
        let now = Instant::now();
        let (from, to) = (edge(now, Some(5e6), 0.0, 0.0), edge(now, Some(1.0), 0.0, 0.0));
        assert_eq!(Window::between(&from, &to).cpu.service, None);
    }
}
