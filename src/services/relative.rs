//! Killing a private server on purpose, and surely nothing else: a number that a server gives as its process
//! id may mean any process of this machine.

use std::fs;

/// `kill -9` of a server that whoever started us has started, or we have ourselves. `program`: how its
/// process is called.
///
/// # Errors
/// In words: it is somebody else's, or gone.
#[cfg(target_os = "linux")]
pub fn kill_relative(pid: u32, program: &str) -> Result<(), String> {
    use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, pidfd_send_signal};
    let gone = |e: rustix::io::Errno| format!("process {pid} cannot be had: {e}");
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("its process id is none")?;
    // Held from here on: what is looked at below is what is killed, also when the number is used again.
    let process = pidfd_open(raw, PidfdFlags::empty()).map_err(gone)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if !name.trim_end().contains(program) {
        return Err(format!("process {pid} is {:?} and no {program} of this machine", name.trim_end()));
    }
    let parent = parent_of(pid).and_then(|parent| Pid::from_raw(parent.cast_signed()));
    if parent.is_none() || ![Some(getpid()), getppid()].contains(&parent) {
        return Err(format!("process {pid} was not started with this service"));
    }
    pidfd_send_signal(process, Signal::KILL).map_err(gone)
}

/// Elsewhere nobody says whose child a process is.
#[cfg(not(target_os = "linux"))]
pub fn kill_relative(_pid: u32, _program: &str) -> Result<(), String> {
    Err("on this system nobody says whose process it is".into())
}

/// The fourth word of `stat`; the second one, the name, is in brackets and may have any letters.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    after.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A process has its name a moment after it was started.
    fn poll_until_it_is_sleep(pid: u32) {
        while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() != "sleep" {
            std::thread::yield_now();
        }
    }

    #[test]
    fn only_a_relative_of_that_name_is_killed() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        poll_until_it_is_sleep(child.id());
        assert!(kill_relative(child.id(), "redis").unwrap_err().contains("no redis"));
        assert_eq!(child.try_wait().unwrap(), None);
        kill_relative(child.id(), "sleep").unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(kill_relative(child.id(), "sleep").unwrap_err().contains("cannot be had"));
        assert!(kill_relative(0, "sleep").is_err());
    }

    #[test]
    fn somebody_else_s_process_is_left_alone() {
        // A grandchild: its parent is neither us nor whoever started us.
        let script = "sleep 60 & echo $!; wait";
        let mut shell = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        poll_until_it_is_sleep(pid);
        let refused = kill_relative(pid, "sleep").unwrap_err();
        let ours = Command::new("kill").arg(pid.to_string()).status().unwrap();
        shell.wait().unwrap();
        assert!(refused.contains("was not started with this service"), "{refused}");
        assert!(ours.success());
    }
}
