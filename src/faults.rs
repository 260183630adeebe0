//! What goes wrong on purpose, in the lab. Nothing here imitates a failure: a holder really stops, a store is
//! really waited for, an answer is really not sent. All of it is off unless somebody switched it on, and
//! costs one look then.
//!
//! - *Pause the holder of a lock*: every [`HOLDERS`]th that enters stops between its read and its write, with
//!   the lock in its hand. Is the pause longer than the lease of a lock that expires, others enter meanwhile:
//!   without a fence the holder then writes over what they did, with a fence its write is refused. A lock
//!   that is begun anew in the background is *not* lost so, because only this holder stops and not its
//!   process: there it takes a stopped process (`kill -STOP`), as `tests/locks/` and `tests/conformance/` do
//!   it.
//! - *Drop replies*: each so-many-th order is sold, committed, and then its connection is closed without an
//!   answer ([`crate::http`] has the connection). Its buyer does not know; the ledger does.
//! - *Slow store*: whoever takes a connection to PostgreSQL or Redis out of a pool waits that much longer.
//!   The connections that only read beside the road are left alone: the judge is not slowed down with the
//!   accused.
//! - *Race window*: a pause between the read and the write of every order of a sale, where its strategy has
//!   such a gap. It belongs to the sale, not to the process, and must be called artificial wherever it is
//!   shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::sale::Sale;
use crate::wire::Faults;

/// One of so many holders stops. Were it each, nothing would be sold under the locks that last.
const HOLDERS: u64 = 25;
/// The first of them: early, while there are units to fight for.
const FIRST: u64 = 4;
/// Longest pause of a holder: below an order's deadline (15 s), or nobody would hear what came of it.
pub const PAUSE_MS_MAX: u64 = 14_000;
/// Longest wait for a connection on top of the real one: far below the wait limit (5 s).
pub const SLOW_MS_MAX: u64 = 1_000;
/// More orders between two dropped replies mean none.
pub const DROP_EVERY_MAX: u64 = 1_000_000;

/// The switches of one process.
#[derive(Clone, Default)]
pub struct Switches(Arc<State>);

/// 0 is off.
#[derive(Default)]
struct State {
    pause_ms: AtomicU64,
    drop_every: AtomicU64,
    slow_ms: AtomicU64,
    /// Holders that entered while pauses were on.
    holders: AtomicU64,
    /// Orders sold while replies were dropped.
    sold: AtomicU64,
}

impl Switches {
    /// How they stand.
    pub fn now(&self) -> Faults {
        let on = |switch: &AtomicU64| Some(switch.load(Relaxed)).filter(|n| *n > 0);
        Faults {
            pause_holder_ms: on(&self.0.pause_ms),
            drop_reply_every: on(&self.0.drop_every),
            slow_store_ms: on(&self.0.slow_ms),
        }
    }

    /// Sets all of them. Counting begins anew for what is switched on.
    pub fn set(&self, faults: &Faults) {
        let before = self.now();
        if before.pause_holder_ms.is_none() {
            self.0.holders.store(0, Relaxed);
        }
        if before.drop_reply_every.is_none() {
            self.0.sold.store(0, Relaxed);
        }
        self.0.pause_ms.store(faults.pause_holder_ms.unwrap_or(0), Relaxed);
        self.0.drop_every.store(faults.drop_reply_every.unwrap_or(0), Relaxed);
        self.0.slow_ms.store(faults.slow_store_ms.unwrap_or(0), Relaxed);
    }

    /// For whoever has just entered a lock: the sale as it looks to one who shall stop with it, which is with
    /// a window of his own. `None`: he goes on.
    pub fn holder(&self, sale: &Sale) -> Option<Sale> {
        let ms = self.0.pause_ms.load(Relaxed);
        if ms == 0 || self.0.holders.fetch_add(1, Relaxed) % HOLDERS != FIRST {
            return None;
        }
        metrics::counter!("sellout_lab_holders_paused_total").increment(1);
        Some(Sale { race_window: Some(Duration::from_millis(ms)), ..sale.clone() })
    }

    /// An order was sold: is its buyer the one who hears nothing of it?
    pub fn drops_reply(&self) -> bool {
        let every = self.0.drop_every.load(Relaxed);
        let drops = every > 0 && (self.0.sold.fetch_add(1, Relaxed) + 1).is_multiple_of(every);
        if drops {
            metrics::counter!("sellout_lab_replies_dropped_total").increment(1);
        }
        drops
    }

    /// What a connection that is taken out of a pool takes longer.
    pub async fn slow(&self) {
        let ms = self.0.slow_ms.load(Relaxed);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

/// Between the read and the write of an order. Off, it is one look at the sale.
pub async fn window(sale: &Sale) {
    if let Some(long) = sale.race_window {
        tokio::time::sleep(long).await;
    }
}

/// Refuses, in one sentence, what cannot be switched on.
pub fn check(faults: &Faults) -> Result<(), String> {
    for (name, asked, most) in [
        ("pause_holder_ms", faults.pause_holder_ms, PAUSE_MS_MAX),
        ("drop_reply_every", faults.drop_reply_every, DROP_EVERY_MAX),
        ("slow_store_ms", faults.slow_store_ms, SLOW_MS_MAX),
    ] {
        if asked.is_some_and(|n| n == 0 || n > most) {
            return Err(format!("{name}: must be 1 to {most}, or null for off."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NewSale;

    const ALL: Faults =
        Faults { pause_holder_ms: Some(700), drop_reply_every: Some(3), slow_store_ms: Some(5) };

    fn sale() -> Sale {
        let new = NewSale { name: "s".into(), units: 1, strategy: "naive".into(), ..NewSale::default() };
        Sale::parse(new).unwrap()
    }

    #[test]
    fn what_is_off_does_nothing_and_what_was_switched_off_is_off() {
        let switches = Switches::default();
        for _ in 0..2 {
            assert_eq!(switches.now(), Faults::default());
            assert!((0..100).all(|_| switches.holder(&sale()).is_none() && !switches.drops_reply()));
            switches.set(&ALL);
            assert_eq!(switches.now(), ALL);
            switches.set(&Faults::default());
        }
    }

    #[test]
    fn one_of_many_holders_stops_and_each_third_reply_is_dropped() {
        let switches = Switches::default();
        switches.set(&ALL);
        let stopped: Vec<u64> = (0..60).filter(|_| switches.holder(&sale()).is_some()).collect();
        assert_eq!(stopped, [4, 29, 54]);
        let dropped: Vec<u64> = (1..=9).filter(|_| switches.drops_reply()).collect();
        assert_eq!(dropped, [3, 6, 9]);
        // Another number in the middle does not begin anew; off and on again does.
        switches.set(&Faults { pause_holder_ms: Some(9), ..ALL });
        assert!((0..19).all(|_| switches.holder(&sale()).is_none()));
        let one = switches.holder(&sale()).unwrap();
        assert_eq!(one.race_window, Some(Duration::from_millis(9)));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_its_name() {
        assert_eq!(check(&Faults::default()), Ok(()));
        assert_eq!(check(&ALL), Ok(()));
        for (faults, name) in [
            (Faults { pause_holder_ms: Some(0), ..ALL }, "pause_holder_ms"),
            (Faults { pause_holder_ms: Some(PAUSE_MS_MAX + 1), ..ALL }, "pause_holder_ms"),
            (Faults { drop_reply_every: Some(0), ..ALL }, "drop_reply_every"),
            (Faults { slow_store_ms: Some(SLOW_MS_MAX + 1), ..ALL }, "slow_store_ms"),
        ] {
            assert!(check(&faults).unwrap_err().contains(name));
        }
    }
}
