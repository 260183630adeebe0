//! The naive take inside Redlock: a majority of Redis that know nothing of each other.
//!
//! # How
//! `SET key attempt NX PX lease` goes to all three, five or seven nodes at once; none is waited for longer
//! than 50 ms. Inside is who hears yes from a majority before the lease is over, less an allowance for
//! clocks. Who does not deletes what it set, on all nodes, and asks again after a random pause.
//!
//! # Guarantee
//! Conditional. A minority may die. A holder paused beyond its lease still writes. It has no token;
//! `lock_redlock_fenced` mints one at the stock row when it reads, and its write fails if anybody newer has
//! looked since: exact.
//!
//! # Fails when
//! A holder is paused beyond its lease, a clock jumps, or a node restarts without its keys while they
//! count: then it helps to a second majority. It has to stay down for a lease before it may answer again.
//!
//! # Cost
//! Eleven exchanges with three nodes; an order waits for five, as they run side by side. Unfair polling.
//!
//! # See
//! <https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>; compare `lock_redis`

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool_redis::{Connection, Pool};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::majority::{self, Votes};
use super::{Entered, Facts, Inside, Life, Lock, Need, Owner, Released, Trips, Wait};
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_redlock",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder stopped beyond its lease"),
    fails_when: "a holder is slower than its lease, or a node restarts without its keys",
    // Three nodes: a ping and SET each; the script each.
    trips: Trips { acquire: 6, release: 3 },
    needs: &[Need::Postgres, Need::Redlock],
    statements: &[("lock_redlock.release.lua", RELEASE), ("lock_redlock.renew.lua", RENEW)],
    source: include_str!("lock_redlock.rs"),
    queues: true,
    waits_by: "asking again",
    fair: false,
    reentrant: false,
    renews: true,
    has_token: false,
    build: |backends| {
        Ok(Arc::new(LockRedlock { pools: backends.redlock()?.to_vec(), lease: backends.limits.lock_lease() }))
    },
};

const RELEASE: &str = include_str!("lock_redlock.release.lua");
const RENEW: &str = include_str!("lock_redlock.renew.lua");
/// No node is waited for longer, nor longer than a fifth of the lease: a dead one must not eat it up.
const NODE_MAX: Duration = Duration::from_millis(50);

/// A lock per sale in several Redis.
struct LockRedlock {
    pools: Vec<Pool>,
    lease: Duration,
}

#[derive(Clone, Copy)]
enum Question {
    Enter,
    Stay,
    Leave,
}

/// One node in one attempt. Its questions go one after the other and on one connection, so that a release
/// never overtakes the SET that it undoes, however late that is.
struct Node {
    pool: Pool,
    connection: Option<Connection>,
    asked: bool,
    key: String,
    /// New for every attempt: the late release of one must not undo the next, of whichever owner.
    attempt: String,
    lease: u64,
}

/// One attempt; the right to be inside, where a majority said yes.
struct Held {
    nodes: Vec<Arc<Mutex<Node>>>,
    lease: Duration,
}

#[async_trait]
impl Lock for LockRedlock {
    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let mut heard = false;
        loop {
            // Of this attempt: one that had to ask for longer than a lease has all of a lease all the same.
            let deadline = Instant::now() + validity(self.lease);
            let held = Arc::new(self.attempt(sale, owner));
            let votes = held.ask(Question::Enter).await;
            if votes.won() && Instant::now() < deadline {
                return Ok(Entered { inside: held, token: None, depth: 1, life: Life::Until(deadline) });
            }
            // All nodes, also who said no or nothing: its yes may be on its way.
            held.ask(Question::Leave).await;
            // In any attempt: one slow answer beside a dead node does not mean that the servers are away.
            heard |= !votes.unheard();
            let paused = wait.pause("the lock was held by others on too many nodes").await;
            paused.map_err(|e| if heard { e } else { unanswered() })?;
        }
    }
}

impl LockRedlock {
    fn attempt(&self, sale: Uuid, owner: Owner) -> Held {
        let attempt = format!("{} {}", owner.0, Uuid::now_v7());
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        let node = |pool: &Pool| {
            let (pool, attempt) = (pool.clone(), attempt.clone());
            let key = format!("sellout:{{{sale}}}:redlock");
            Arc::new(Mutex::new(Node { pool, connection: None, asked: false, key, attempt, lease }))
        };
        Held { nodes: self.pools.iter().map(node).collect(), lease: self.lease }
    }
}

impl Held {
    async fn ask(&self, question: Question) -> Votes {
        let until = Instant::now() + NODE_MAX.min(self.lease / 5);
        let put = move |mut node: OwnedMutexGuard<Node>| async move { node.put(question, until).await };
        majority::ask(&self.nodes, until, put).await
    }
}

impl Node {
    /// Yes or no; `None`: no answer, or no time left to ask.
    async fn put(&mut self, question: Question, until: Instant) -> Option<bool> {
        match question {
            Question::Enter => {
                let connection = self.pool.get().await.ok()?;
                // Too late to count: the connection is there for the next attempt, and nothing was asked.
                (Instant::now() < until).then_some(())?;
                self.asked = true;
                let mut set = redis::cmd("SET");
                set.arg(&self.key).arg(&self.attempt).arg("NX").arg("PX").arg(self.lease);
                let set = set.query_async::<Option<String>>(self.connection.insert(connection)).await;
                set.ok().map(|entered| entered.is_some())
            }
            // Nothing was sent, so there is nothing to keep or to undo.
            _ if !self.asked => Some(false),
            Question::Stay if Instant::now() >= until => None,
            Question::Stay => self.run(RENEW).await,
            Question::Leave => self.run(RELEASE).await,
        }
    }

    /// On the SET's connection, or another where that is broken. Whole: who is just back knows no hash.
    async fn run(&mut self, script: &str) -> Option<bool> {
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(1).arg(&self.key).arg(&self.attempt).arg(self.lease);
        for _ in 0..2 {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                none => none.insert(self.pool.get().await.ok()?),
            };
            match eval.query_async::<i64>(connection).await {
                Ok(done) => return Some(done == 1),
                Err(_) => self.connection = None,
            }
        }
        None
    }
}

#[async_trait]
impl Inside for Held {
    async fn renew(&self) -> Result<Option<Instant>, Error> {
        let deadline = Instant::now() + validity(self.lease);
        let votes = self.ask(Question::Stay).await;
        if votes.undecided() { Err(unanswered()) } else { Ok(votes.won().then_some(deadline)) }
    }

    async fn leave(&self) -> Released {
        let votes = self.ask(Question::Leave).await;
        let known = if votes.won() { Released::Ours } else { Released::Lost };
        if votes.undecided() { Released::Unknown } else { known }
    }
}

/// The lease, less what two clocks may drift apart in it and 2 ms for Redis' own granularity.
fn validity(lease: Duration) -> Duration {
    lease.saturating_sub(lease / 100 + Duration::from_millis(2))
}

fn unanswered() -> Error {
    Error::Unavailable("Redlock: fewer than a majority of the Redis answered".into())
}
