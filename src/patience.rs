//! How long a loser of a race tries again: full jitter, and never beyond its limit.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::sale::Error;

/// First pause at most this long; each one doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
/// No pause longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// Bounded retries with full jitter.
pub struct Patience {
    until: Instant,
    attempts: u32,
}

impl Patience {
    /// Patience for `limit` from now.
    pub fn new(limit: Duration) -> Patience {
        Patience { until: Instant::now() + limit, attempts: 0 }
    }

    /// Pauses, or gives up: nothing was taken, and `why` says what was met.
    ///
    /// The pause is random between nothing and its bound: losers that paused equally long would meet again.
    /// Source: M. Brooker, Exponential Backoff And Jitter (2015).
    pub async fn pause(&mut self, why: &str) -> Result<(), Error> {
        self.attempts += 1;
        let bound = PAUSE_MAX.min(PAUSE_FIRST * 2u32.pow(self.attempts.min(10) - 1));
        let pause = bound.mul_f64(random());
        if Instant::now() + pause >= self.until {
            return Err(Error::Contended(format!("{why} ({} attempts)", self.attempts)));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// 0 to 1. The standard library seeds each `RandomState` differently; good enough to part losers, and not
/// worth a dependency.
pub fn random() -> f64 {
    let bits = RandomState::new().hash_one(Instant::now());
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
