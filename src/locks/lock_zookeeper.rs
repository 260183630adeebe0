//! The naive take inside ZooKeeper's lock recipe: a queue of nodes, each with a watch on the one before.
//!
//! # How
//! Below `/sellout/locks/<sale>` everybody makes an ephemeral sequential node and lists them. The lowest is
//! inside; each other one watches only the node before its own, and lists again when that one goes: a waiter
//! that died in the middle must not let in the next. Release deletes the node; a session that ends deletes
//! all of its nodes. The node's name has an id of its own, so that one whose answer got lost is found again.
//!
//! # Guarantee
//! Conditional. One holder at a time as long as every holder notices in time that its session is over. By
//! its own clock it does: it believes in the session until its last proof of life plus the time-out. Stopped
//! for longer, it still writes. `lock_zookeeper_fenced` claims the node's czxid, which only grows, when it
//! reads and requires it when it writes: exact, also when ZooKeeper is set up anew (see `raise`).
//!
//! # Fails when
//! The holder is stopped beyond its session's time-out. (The node's sequence number would be no token: it
//! starts again when the parent is made again.)
//!
//! # Cost
//! Five round trips: create and list, the two of the naive take, delete. Each write to ZooKeeper waits for a
//! disk. Waiting is silent and fair: one watch per waiter, and nobody wakes but the next.
//!
//! # See
//! <https://zookeeper.apache.org/doc/current/recipes.html#sc_recipes_Locks>; CURATOR-604, CURATOR-678

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::znode_queue::{Place, ZnodeQueue};
use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_zookeeper",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::SessionLost],
    oversells_in: Some("a holder stopped beyond its session"),
    fails_when: "a holder is stopped beyond its session",
    // Create and list; delete. The session's heartbeat is beside the order.
    trips: Trips { acquire: 2, release: 1 },
    needs: &[Need::Postgres, Need::Zookeeper],
    statements: &[],
    source: include_str!("lock_zookeeper.rs"),
    queues: true,
    waits_by: "watching the one before",
    fair: true,
    reentrant: false,
    renews: true,
    has_token: true,
    build: |backends| Ok(Arc::new(LockZookeeper(ZnodeQueue::new(backends, ROOT, "")?))),
};

const ROOT: &str = "/sellout/locks";

/// A queue of znodes per sale.
struct LockZookeeper(ZnodeQueue);

/// Inside: the lowest node.
struct Held(Place);

#[async_trait]
impl Lock for LockZookeeper {
    async fn open(&self, sale: Uuid) -> Result<(), Error> {
        self.0.open(sale).await
    }

    async fn enter(&self, sale: Uuid, _owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let place = self.0.enter(sale, wait).await?;
        let (token, life) = (Some(place.token), Life::Kept(place.life()));
        Ok(Entered { inside: Arc::new(Held(place)), token, depth: 1, life })
    }

    async fn raise(&self, sale: Uuid, above: i64) -> Result<(), Error> {
        self.0.raise(sale, above).await
    }
}

#[async_trait]
impl Inside for Held {
    async fn leave(&self) -> Released {
        self.0.leave().await
    }
}
