//! The naive take inside Curator's InterProcessMutex, spoken by our own hand: Java and we exclude each other.
//!
//! # How
//! The znodes of `InterProcessMutex` at the path `/sellout/curator/<sale>`: ephemeral sequential children
//! `_c_<uuid>-lock-<number>`, sorted by the number; the lowest is inside, each other one watches the one
//! before. A Java program with a Curator on that path queues up with us. An owner that is inside enters again
//! by a counter in memory, as there, and leaves with the last of as many releases.
//!
//! # Guarantee
//! Conditional, as `lock_zookeeper`. Curator tells nobody a token; each node has one all the same, its czxid,
//! and `lock_curator_fenced` claims it: exact.
//!
//! # Fails when
//! The holder is stopped beyond its session's time-out. Curator's owner is a Java thread; where requests
//! share threads that lets two of them in, so here it is the acquisition.
//!
//! # Cost
//! Five round trips: create and list, the two of the naive take, delete. Entering again costs none.
//!
//! # See
//! <https://curator.apache.org/docs/recipes-shared-reentrant-lock>; CURATOR-604, CURATOR-678

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use uuid::Uuid;

use super::znode_queue::{Place, ZnodeQueue};
use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_curator",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::SessionLost],
    oversells_in: Some("a holder stopped beyond its session"),
    fails_when: "a holder is stopped beyond its session",
    trips: Trips { acquire: 2, release: 1 },
    needs: &[Need::Postgres, Need::Zookeeper],
    statements: &[],
    source: include_str!("lock_curator.rs"),
    queues: true,
    waits_by: "watching the one before",
    fair: true,
    reentrant: true,
    renews: true,
    has_token: true,
    build: |backends| {
        let (queue, inside) = (ZnodeQueue::new(backends, ROOT, PROTECTED)?, Arc::default());
        Ok(Arc::new(LockCurator { queue, inside }))
    },
};

const ROOT: &str = "/sellout/curator";
/// What Curator's `withProtection` puts before its id.
const PROTECTED: &str = "_c_";

/// A queue of znodes per sale, shared with Java.
struct LockCurator {
    queue: ZnodeQueue,
    inside: Arc<Mutex<Insiders>>,
}

/// Who of this process is inside.
type Insiders = HashMap<(Uuid, Owner), Insider>;

#[derive(Clone)]
struct Insider {
    place: Arc<Place>,
    depth: u32,
}

/// One entry of an owner.
struct Held {
    inside: Arc<Mutex<Insiders>>,
    key: (Uuid, Owner),
    place: Arc<Place>,
    /// Has it been left? One entry counts once, however often its release is sent.
    left: AtomicBool,
}

#[async_trait]
impl Lock for LockCurator {
    async fn open(&self, sale: Uuid) -> Result<(), Error> {
        self.queue.open(sale).await
    }

    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let key = (sale, owner);
        if let Some(insider) = self.again(key) {
            return Ok(self.entered(key, insider));
        }
        let place = Arc::new(self.queue.enter(sale, wait).await?);
        let insider = Insider { place, depth: 1 };
        insiders(&self.inside).insert(key, insider.clone());
        Ok(self.entered(key, insider))
    }

    async fn raise(&self, sale: Uuid, above: i64) -> Result<(), Error> {
        self.queue.raise(sale, above).await
    }
}

impl LockCurator {
    /// Counts one more entry of who is inside. Whose session is over is outside, and queues up.
    fn again(&self, key: (Uuid, Owner)) -> Option<Insider> {
        let mut insiders = insiders(&self.inside);
        let insider = insiders.get_mut(&key).filter(|insider| !insider.place.is_over())?;
        insider.depth += 1;
        Some(insider.clone())
    }

    fn entered(&self, key: (Uuid, Owner), Insider { place, depth }: Insider) -> Entered {
        let (token, life) = (Some(place.token), Life::Kept(place.life()));
        let held = Held { inside: Arc::clone(&self.inside), key, place, left: AtomicBool::new(false) };
        Entered { inside: Arc::new(held), token, depth, life }
    }
}

impl Held {
    /// Counts one entry less; how many are left.
    fn count_down(&self) -> u32 {
        let mut insiders = insiders(&self.inside);
        // After the end of its session an owner may have queued up anew: that is another place.
        let own = insiders.get_mut(&self.key).filter(|insider| Arc::ptr_eq(&insider.place, &self.place));
        let Some(insider) = own else { return 0 };
        if !self.left.swap(true, SeqCst) {
            insider.depth -= 1;
        }
        let depth = insider.depth;
        if depth == 0 {
            insiders.remove(&self.key);
        }
        depth
    }
}

#[async_trait]
impl Inside for Held {
    async fn leave(&self) -> Released {
        match self.count_down() {
            0 => self.place.leave().await,
            _ if self.place.is_over() => Released::Lost,
            depth => Released::StillInside(depth),
        }
    }
}

fn insiders(inside: &Mutex<Insiders>) -> MutexGuard<'_, Insiders> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}
