//! One sale in one process: who waits for an order to be recorded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::batch::{Asked, Word};
use super::keys::Scope;
use super::{Taken, words};
use crate::backends::Wired;
use crate::batch::Line;
use crate::sale::{Error, Order, Outcome};
use crate::trace::Track;

/// Orders whose steps are recorded, and whose end was not heard of yet.
const FOLLOWED_MAX: usize = 4_096;

/// Where the buyers of one sale wait.
pub(super) struct Desk {
    pub scope: Scope,
    /// Who waits to be taken in Redis together with others.
    pub line: OnceLock<Line<Asked, Word>>,
    waiting: Mutex<Room>,
    wake: Notify,
    /// Buckets in which something was taken, a bit each.
    taken_from: AtomicU64,
    /// Has a process that died left something over?
    left_over: AtomicBool,
}

#[derive(Default)]
struct Room {
    waiters: HashMap<Uuid, Waiter>,
    followed: HashMap<Uuid, Followed>,
    /// The epoch is over: nobody is let in any more.
    ended: bool,
}

struct Waiter {
    since: Instant,
    word: oneshot::Sender<String>,
}

/// An order whose steps are recorded: also when its buyer is answered before the ledger has it.
struct Followed {
    track: Track,
    script: &'static str,
    decided: bool,
}

impl Followed {
    fn decide(&mut self) {
        if !std::mem::replace(&mut self.decided, true) {
            self.track.decide(true, self.script);
        }
    }
}

/// A place at the desk; given up when dropped.
pub(super) struct Waiting {
    desk: Arc<Desk>,
    order: Uuid,
    word: oneshot::Receiver<String>,
}

impl Desk {
    pub(super) fn new(scope: Scope) -> Desk {
        Desk {
            scope,
            taken_from: AtomicU64::new(0),
            line: OnceLock::new(),
            waiting: Mutex::default(),
            wake: Notify::new(),
            left_over: AtomicBool::new(false),
        }
    }

    /// There is something to drain, or to look at.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Something was taken in this bucket.
    pub(super) fn wake_for(&self, bucket: usize) {
        self.taken_from.fetch_or(1 << bucket, Relaxed);
        self.wake();
    }

    /// In which buckets was something taken? Asking takes it on. All, where nobody said which.
    pub(super) fn taken_from(&self) -> Vec<usize> {
        let bits = self.taken_from.swap(0, Relaxed);
        let all = 0..self.scope.buckets;
        all.filter(|bucket| bits == 0 || bits & (1 << bucket) != 0).collect()
    }

    /// There is something left over by a process that died.
    pub(super) fn claim(&self) {
        self.left_over.store(true, Relaxed);
        self.wake();
    }

    /// Was something left over? Asking takes it on.
    pub(super) fn takes_on(&self) -> bool {
        self.left_over.swap(false, Relaxed)
    }

    /// Its epoch is over: nothing that was taken for it is recorded any more.
    pub(super) fn end(&self) {
        self.room().ended = true;
        self.wake();
    }

    /// Is its epoch over?
    pub(super) fn has_ended(&self) -> bool {
        self.room().ended
    }

    /// A place for whoever is about to take.
    pub(super) fn expect(self: &Arc<Self>, order: Uuid) -> Result<Waiting, Error> {
        let (word, receiver) = oneshot::channel();
        let mut room = self.room();
        if room.ended {
            return Err(Error::Stale);
        }
        room.waiters.insert(order, Waiter { since: Instant::now(), word });
        Ok(Waiting { desk: Arc::clone(self), order, word: receiver })
    }

    /// Tells whoever waits for this order. Says whether somebody did.
    pub(super) fn tell(&self, order: Uuid, word: &str) -> bool {
        let mut room = self.room();
        if !room.followed.is_empty()
            && let Some(mut followed) = room.followed.remove(&order)
            && word == words::RECORDED
        {
            // The drainer may be faster than the script's answer.
            followed.decide();
            followed.track.commit();
        }
        let waiter = room.waiters.remove(&order);
        waiter.is_some_and(|waiter| waiter.word.send(word.to_owned()).is_ok())
    }

    /// An order is about to be taken by this script; its steps are recorded, where they are.
    pub(super) fn follow(&self, order: &Order, script: &'static str) {
        if order.trace.is_on() {
            let mut room = self.room();
            if room.followed.len() < FOLLOWED_MAX {
                let track = order.trace.clone();
                room.followed.insert(order.id, Followed { track, script, decided: false });
            }
        }
    }

    /// What the script said of it.
    pub(super) fn decided(&self, order: &Order, taken: &Result<Taken, Error>) {
        if !order.trace.is_on() {
            return;
        }
        let mut room = self.room();
        match taken {
            Ok(Taken::Now) => {
                if let Some(followed) = room.followed.get_mut(&order.id) {
                    followed.decide();
                }
            }
            // It may have taken, and then it will be drained.
            Err(Error::Unknown(_)) => {}
            refused => {
                if let Some(Followed { track, script, .. }) = room.followed.remove(&order.id)
                    && matches!(refused, Ok(Taken::SoldOut))
                {
                    track.decide(false, script);
                }
            }
        }
    }

    /// Does anybody wait?
    pub(super) fn has_waiters(&self) -> bool {
        !self.room().waiters.is_empty()
    }

    /// Until somebody wakes it, at most so long. Says whether somebody did.
    pub(super) async fn sleep(&self, long: Duration) -> bool {
        tokio::time::timeout(long, self.wake.notified()).await.is_ok()
    }

    /// Who has been waiting for at least so long.
    pub(super) fn waiting_for(&self, long: Duration) -> Vec<Uuid> {
        let room = self.room();
        room.waiters.iter().filter(|(_, w)| w.since.elapsed() >= long).map(|(order, _)| *order).collect()
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For whoever hangs up while his script runs: it may take, and nobody else knows.
pub(super) struct HungUp<'a>(Option<(&'a Arc<Desk>, Wired, &'a Handle)>);

impl<'a> HungUp<'a> {
    /// Looks after it unless it is [`HungUp::told`].
    pub(super) fn guard(desk: &'a Arc<Desk>, redis: &Wired, runtime: &'a Handle) -> HungUp<'a> {
        HungUp(Some((desk, redis.clone(), runtime)))
    }

    /// The script has answered.
    pub(super) fn told(mut self) {
        self.0 = None;
    }
}

impl Drop for HungUp<'_> {
    fn drop(&mut self) {
        let Some((desk, mut redis, runtime)) = self.0.take() else { return };
        let desk = Arc::clone(desk);
        runtime.spawn(async move {
            // Redis answers on a wire in the sequence in which it was asked: after this the script has run,
            // or the wire is broken and the watch finds what there is.
            let _: Result<(), _> = redis::cmd("PING").exec_async(&mut redis).await;
            desk.taken_from.store(u64::MAX, Relaxed);
            desk.wake();
        });
    }
}

impl Waiting {
    /// How it ended; *unknown* if nobody said within `limit`: it stands in the stream and may be recorded
    /// yet.
    pub(super) async fn outcome(mut self, limit: Duration) -> Result<Outcome, Error> {
        match tokio::time::timeout(limit, &mut self.word).await {
            Ok(Ok(word)) => words::outcome(&word, self.order),
            _ => Err(Error::Unknown("taken in Redis, not yet recorded".into())),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.desk.room().waiters.remove(&self.order);
    }
}
