//! What goes wrong with orders, in the log: each one, until there are crowds of them; then so many a second,
//! and with the next line how many there were besides.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A store that is away meets every buyer of a rush. So many lines a second say it as well as all would, and
/// leave the disk to the orders.
const PER_S: NonZeroU32 = NonZeroU32::new(20).expect("not zero");

/// One kind of line.
pub(super) struct Spoken {
    limit: DefaultDirectRateLimiter,
    unsaid: AtomicU64,
}

impl Spoken {
    pub(super) fn new() -> Spoken {
        Spoken { limit: RateLimiter::direct(Quota::per_second(PER_S)), unsaid: AtomicU64::new(0) }
    }

    /// Is this one to be said? Then with how many that were not, since the last one that was.
    pub(super) fn turn(&self) -> Option<u64> {
        if self.limit.check().is_err() {
            self.unsaid.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.unsaid.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_crowd_some_are_said_and_the_rest_is_counted_with_the_next() {
        let spoken = Spoken::new();
        let turns: Vec<_> = (0..1_000).map(|_| spoken.turn()).collect();
        let said = turns.iter().flatten().count();
        assert_eq!(turns[..20], [Some(0); 20]);
        // However slow this machine is, a thousand turns do not last for seconds.
        assert!((20..500).contains(&said), "{said}");
        let (counted, waiting) = (turns.iter().flatten().sum::<u64>(), spoken.unsaid.load(Relaxed));
        assert_eq!(counted + waiting + said as u64, 1_000);
    }
}
