//! What every lock owes its callers, once for all of them: waiting that ends, a guard that knows when it is
//! lost, renewal that ends before the release, and nothing left locked by a future that was dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::doors::Doors;
use super::{Entered, Facts, Inside, Life, Lock, Owner, Released};
use crate::backends::Backends;
use crate::patience::Patience;
use crate::sale::Error;

/// A lock, ready to be held.
#[derive(Clone)]
pub struct Locks(Arc<Shared>);

struct Shared {
    facts: &'static Facts,
    lock: Arc<dyn Lock>,
    doors: Doors,
    wait: Duration,
    lease: Duration,
    /// No order's work lasts longer, so nothing is renewed for longer: a holder that hangs is not kept
    /// inside for ever.
    hold_max: Duration,
}

impl Locks {
    /// Takes part in this lock; an error says which server is missing.
    pub fn new(facts: &'static Facts, backends: &Backends) -> Result<Locks, Error> {
        let (lock, limits) = ((facts.build)(backends)?, &backends.limits);
        let (wait, lease, hold_max) = (limits.wait(), limits.lock_lease(), limits.order_deadline());
        Ok(Locks(Arc::new(Shared { facts, lock, doors: Doors::default(), wait, lease, hold_max })))
    }

    /// Makes what is to be locked, where the lock needs that.
    pub async fn open(&self, sale: Uuid) -> Result<(), Error> {
        self.0.lock.open(sale).await
    }

    /// Waits, at most the wait limit, until nobody else is inside. Dropping the future gives up the wait, or
    /// the lock if it comes all the same.
    pub async fn acquire(&self, sale: Uuid, owner: Owner) -> Result<Guard, Error> {
        self.enter(sale, owner, self.0.facts.queues).await
    }

    /// Enters once more, for an owner that is inside: past the queue, whose first waits for this very owner.
    /// A lock that is not reentrant refuses it like anybody else, after the wait limit.
    pub async fn again(&self, sale: Uuid, owner: Owner) -> Result<Guard, Error> {
        self.enter(sale, owner, false).await
    }

    /// Makes every later token greater than `above`: the counter behind it has restarted.
    pub async fn raise(&self, sale: Uuid, above: i64) -> Result<(), Error> {
        self.0.lock.raise(sale, above).await
    }

    /// In a task of its own: a command that was sent is not taken back by whoever stops waiting for it. If
    /// the asker has gone by the time it is inside, the guard is dropped, and that releases it.
    async fn enter(&self, sale: Uuid, owner: Owner, queue: bool) -> Result<Guard, Error> {
        let shared = Arc::clone(&self.0);
        let (_asker, gone) = watch::channel(());
        let asked = Instant::now();
        let entering = tokio::spawn(async move {
            let mut wait =
                Wait { until: Instant::now() + shared.wait, patience: Patience::new(shared.wait), gone };
            let busy = "the queue for the lock was full for as long as one waits";
            let _first = match queue {
                true => Some(wait.for_event(shared.doors.enter(sale), busy).await?),
                false => None,
            };
            let entered = shared.lock.enter(sale, owner, &mut wait).await?;
            let guard = Guard::new(entered, &shared);
            metrics::histogram!("sellout_lock_wait_seconds", "lock" => shared.facts.id)
                .record(asked.elapsed());
            if guard.is_lost() {
                // Slow servers: what was given has run out on its way here.
                guard.release().await;
                return Err(Error::Contended("the lock's lease ended before it could be used".into()));
            }
            Ok(guard)
        });
        entering.await.unwrap_or_else(|e| Err(Error::Unavailable(format!("the lock was not entered: {e}"))))
    }
}

/// The wait for a lock: it ends when the time is up, and when nobody waits any more.
pub struct Wait {
    until: Instant,
    patience: Patience,
    /// Closed when the asker has gone.
    gone: watch::Receiver<()>,
}

impl Wait {
    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Pauses before asking again, a little longer each time and never equally long; or ends the wait.
    pub async fn pause(&mut self, why: &str) -> Result<(), Error> {
        tokio::select! {
            _ = self.gone.changed() => Err(abandoned()),
            paused = self.patience.pause(why) => paused,
        }
    }

    /// Waits for something that happens within the wait, or ends it.
    pub async fn for_event<T>(&mut self, event: impl Future<Output = T>, why: &str) -> Result<T, Error> {
        let left = self.left();
        tokio::select! {
            biased;
            happened = event => Ok(happened),
            _ = self.gone.changed() => Err(abandoned()),
            () = tokio::time::sleep(left) => Err(Error::Contended(why.into())),
        }
    }

    /// The same for something that is announced. An announcement may get lost, so nobody relies on it for
    /// longer than `at_most`: then `None`, and it is time to ask again.
    pub async fn event_or<T>(
        &mut self,
        event: impl Future<Output = T>,
        at_most: Duration,
        why: &str,
    ) -> Result<Option<T>, Error> {
        let limited = async { tokio::time::timeout(at_most, event).await.ok() };
        self.for_event(limited, why).await
    }
}

fn abandoned() -> Error {
    Error::Contended("nobody waits for this lock any more".into())
}

/// The right to be inside. Dropped without a release it is released in the background.
pub struct Guard {
    inside: Option<Arc<dyn Inside>>,
    token: Option<i64>,
    depth: u32,
    life: Life,
    renewal: Option<JoinHandle<()>>,
    lock: &'static str,
    since: Instant,
    runtime: Handle,
}

impl Guard {
    fn new(entered: Entered, shared: &Shared) -> Guard {
        let Entered { inside, token, depth, life } = entered;
        let (life, renewal) = match life {
            Life::Until(deadline) if shared.facts.renews => {
                let (until, life) = watch::channel(deadline);
                let renewing = renew(Arc::clone(&inside), until, shared.lease, shared.hold_max);
                (Life::Kept(life), Some(tokio::spawn(renewing)))
            }
            life => (life, None),
        };
        let (lock, since, runtime) = (shared.facts.id, Instant::now(), Handle::current());
        Guard { inside: Some(inside), token, depth, life, renewal, lock, since, runtime }
    }

    /// A number that grows from holder to holder, the same for every entry of one owner. `None`: the lock has
    /// none, and whoever wants a fence mints it at the stock row.
    pub fn token(&self) -> Option<i64> {
        self.token
    }

    /// How often its owner was inside when this was acquired, this time included.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// From this moment on others may be inside too, whether or not anybody said so. `None`: it lasts as
    /// long as its session or process.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.life {
            Life::Session => None,
            Life::Until(deadline) => Some(*deadline),
            Life::Kept(deadline) => Some(*deadline.borrow()),
        }
    }

    /// Is the deadline past?
    pub fn is_lost(&self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Returns when it is lost: at its deadline, or as soon as its server says so. Of a session's end nobody
    /// hears, so there it never returns.
    pub async fn lost(&self) {
        let mut life = match &self.life {
            Life::Session => return std::future::pending().await,
            Life::Until(deadline) => return tokio::time::sleep_until((*deadline).into()).await,
            Life::Kept(life) => life.clone(),
        };
        loop {
            let deadline = *life.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => return,
                moved = life.changed() => if moved.is_err() {
                    return tokio::time::sleep_until(deadline.into()).await;
                },
            }
        }
    }

    /// Leaves, and says what that met. No renewal is under way any more when the release is sent.
    pub async fn release(mut self) -> Released {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
            let _ended = renewal.await;
        }
        // Taken only now: dropped before, `drop` asks the server. From here on a task of its own does, and
        // asks once: an owner that entered twice must not leave twice by one guard.
        let Some(inside) = self.inside.take() else { return Released::Unknown };
        let leaving = self.runtime.spawn(async move { inside.leave().await });
        let released = leaving.await.unwrap_or(Released::Unknown);
        metrics::histogram!("sellout_lock_hold_seconds", "lock" => self.lock).record(self.since.elapsed());
        released
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
        if let Some(inside) = self.inside.take() {
            metrics::counter!("sellout_locks_dropped_total").increment(1);
            self.runtime.spawn(async move { inside.leave().await });
        }
    }
}

/// Begins the lease anew at each third of it, until it is over or `hold_max` is.
async fn renew(inside: Arc<dyn Inside>, until: watch::Sender<Instant>, lease: Duration, hold_max: Duration) {
    let (entered, third) = (Instant::now(), lease / 3);
    while entered.elapsed() < hold_max {
        tokio::time::sleep(third).await;
        match inside.renew().await {
            Ok(Some(deadline)) => until.send_replace(deadline),
            Ok(None) => {
                // Somebody else may be inside since before we asked.
                metrics::counter!("sellout_lock_renewals_refused_total").increment(1);
                until.send_replace(Instant::now());
                return;
            }
            // Nobody answered. The deadline stands where it stood, and the next third asks again.
            Err(_) => continue,
        };
    }
}
