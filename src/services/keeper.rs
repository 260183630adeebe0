//! Whoever owns private servers and stays: a Redis that was killed (the lab does that on purpose) comes back
//! after a while, at its address and with its data.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Data, Services, Which};

/// How long it stays away: long enough to see what a sale does without it.
pub const OUTAGE: Duration = Duration::from_secs(2);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Servers that are looked after. Dropping it ends them, as it does [`Services`].
#[derive(Debug)]
pub struct Kept {
    /// Dropped first: then the thread ends.
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Services {
    /// Looks after them from now on, on a thread of its own.
    pub fn keep(self) -> Kept {
        let (stop, stopped) = channel();
        let keep = move || {
            let (mut services, mut since) = (self, None);
            while matches!(stopped.recv_timeout(POLL), Err(RecvTimeoutError::Timeout)) {
                if !services.has_died(Which::Redis) {
                    since = None;
                    continue;
                }
                let since = since.get_or_insert_with(Instant::now);
                if since.elapsed() >= OUTAGE
                    && let Err(why) = services.revive(Which::Redis, Data::Kept)
                {
                    eprintln!("sellout: the private Redis does not come back: {why:#}");
                    // Not at once again: what keeps it down may pass.
                    *since = Instant::now();
                }
            }
        };
        let keeper = thread::Builder::new().name("keeper".into()).spawn(keep);
        Kept { stop: Some(stop), keeper: keeper.ok() }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _its_servers_have_ended = keeper.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::services::Wanted;
    use crate::services::node::ask;

    /// The process that answers at this port.
    fn process(port: u16) -> Option<String> {
        let said = ask(port, "INFO server\r\nQUIT\r\n")?;
        said.lines().find_map(|line| line.strip_prefix("process_id:")).map(|id| id.trim().to_owned())
    }

    fn poll_until_another_answers(port: u16, than: u32) {
        let until = Instant::now() + Duration::from_secs(30);
        while process(port).is_none_or(|id| id == than.to_string()) {
            assert!(Instant::now() < until, "it did not come back");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_redis_that_is_killed_comes_back_at_its_address_and_none_outlives_its_keeper() {
        let services = Services::start(Wanted { redis: true, ..Wanted::NONE }).unwrap();
        let Some(pid) = services.pid(Which::Redis) else { return };
        let port = services.redis[0].program.ports()[0];
        let kept = services.keep();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
        poll_until_another_answers(port, pid);
        drop(kept);
        assert_eq!(process(port), None, "it ends with its keeper");
    }
}
