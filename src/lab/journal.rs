//! What was switched and when: every run that is kept says what was broken on purpose while it ran.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::wire::{FaultEvent, Faults, Run};

/// Older entries are forgotten: a run has a handful of them.
const ENTRIES_MAX: usize = 1_000;

/// One switch that was turned.
#[derive(Clone)]
struct Entry {
    at: DateTime<Utc>,
    fault: &'static str,
    argument: Option<u64>,
    strategy: Option<String>,
}

/// The record of this process.
#[derive(Default)]
pub(super) struct Journal(Mutex<VecDeque<Entry>>);

impl Journal {
    /// Notes what differs.
    pub(super) fn switched(&self, before: &Faults, after: &Faults, strategy: Option<&str>) {
        for (fault, before, after) in [
            ("pause_holder", before.pause_holder_ms, after.pause_holder_ms),
            ("drop_reply", before.drop_reply_every, after.drop_reply_every),
            ("slow_store", before.slow_store_ms, after.slow_store_ms),
        ] {
            if before != after {
                self.note(fault, after, strategy);
            }
        }
    }

    /// Notes one thing that was done.
    pub(super) fn note(&self, fault: &'static str, argument: Option<u64>, strategy: Option<&str>) {
        let mut entries = self.entries();
        if entries.len() == ENTRIES_MAX {
            entries.pop_front();
        }
        let strategy = strategy.map(str::to_owned);
        entries.push_back(Entry { at: Utc::now(), fault, argument, strategy });
    }

    /// What lies within a run, and what was on when it began.
    pub(super) fn within(&self, run: &Run) -> Vec<FaultEvent> {
        let time = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc());
        let Some(start) = time(&run.started_at) else { return Vec::new() };
        // Written down to the millisecond: what was switched in its last one belongs to it.
        let end = run.finished_at.as_deref().and_then(time).map(|end| end + TimeDelta::milliseconds(1));
        let window = run.parameters.race_window_ms.filter(|ms| *ms > 0);
        let window = window.map(|ms| event(start, start, "race_window", Some(ms), None));
        let entries = self.entries();
        let mut standing: Vec<&Entry> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.at < start) {
            standing.retain(|other| other.fault != entry.fault);
            // What was killed comes back by itself.
            if entry.argument.is_some() && entry.fault != "kill_redis" {
                standing.push(entry);
            }
        }
        let meanwhile =
            entries.iter().filter(|entry| entry.at >= start && end.is_none_or(|end| entry.at <= end));
        let entries = standing.into_iter().chain(meanwhile);
        let told = entries.map(|e| event(start, e.at, e.fault, e.argument, e.strategy.clone()));
        window.into_iter().chain(told).collect()
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(
    start: DateTime<Utc>,
    at: DateTime<Utc>,
    fault: &str,
    argument: Option<u64>,
    strategy: Option<String>,
) -> FaultEvent {
    FaultEvent {
        at: at.to_rfc3339_opts(SecondsFormat::Millis, true),
        at_ms: u64::try_from((at - start).num_milliseconds()).unwrap_or(0),
        fault: fault.to_owned(),
        argument,
        strategy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Faults = Faults { pause_holder_ms: None, drop_reply_every: None, slow_store_ms: None };

    fn told(
        journal: &Journal,
        begun: DateTime<Utc>,
        finished_at: Option<String>,
    ) -> Vec<(String, Option<u64>)> {
        let started_at = begun.to_rfc3339();
        let run = Run { started_at, finished_at, ..Run::default() };
        journal.within(&run).into_iter().map(|event| (event.fault, event.argument)).collect()
    }

    #[test]
    fn a_run_has_what_lies_within_it_and_what_was_on_when_it_began() {
        let journal = Journal::default();
        let (slow, fast) =
            (Faults { slow_store_ms: Some(5), ..OFF }, Faults { drop_reply_every: Some(2), ..OFF });
        journal.switched(&OFF, &slow, None);
        journal.note("kill_redis", Some(9), Some("redis_lua"));
        let begun = Utc::now() + TimeDelta::milliseconds(1);
        while Utc::now() < begun {
            std::thread::yield_now();
        }
        assert_eq!(told(&journal, begun, None), [("slow_store".to_owned(), Some(5))]);
        journal.switched(&slow, &fast, Some("naive"));
        let now = [("slow_store", Some(5)), ("drop_reply", Some(2)), ("slow_store", None)];
        assert_eq!(told(&journal, begun, None), now.map(|(fault, n)| (fault.to_owned(), n)));
        let before = (begun - TimeDelta::seconds(9)).to_rfc3339();
        let long_ago = told(&journal, begun - TimeDelta::seconds(10), Some(before));
        assert!(long_ago.is_empty(), "{long_ago:?}");
    }

    #[test]
    fn an_artificial_window_is_part_of_it_and_the_record_stays_small() {
        let journal = Journal::default();
        (0..ENTRIES_MAX + 5).for_each(|_| journal.note("kill_redis", None, None));
        assert_eq!(journal.entries().len(), ENTRIES_MAX);
        let mut run = Run { started_at: "2026-11-24T08:00:00.000Z".into(), ..Run::default() };
        run.finished_at = Some("2026-11-24T08:00:09Z".into());
        run.parameters.race_window_ms = Some(20);
        let event = &journal.within(&run)[..];
        assert_eq!((event.len(), event[0].fault.as_str(), event[0].argument), (1, "race_window", Some(20)));
    }
}
