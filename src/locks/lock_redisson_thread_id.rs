//! Redisson's lock with the worker thread as owner: broken on purpose.
//!
//! # How
//! Exactly `lock_redisson`, but the owner is the thread that asks. That is right where a thread serves one
//! buyer until it is done. Here a few worker threads serve all buyers in turns, and go on with the next one
//! whenever one waits for a server.
//!
//! # Guarantee
//! None. A buyer whose thread is inside for another buyer "enters again", into that one's critical section.
//! The lock does what it promises: it keeps other threads out.
//!
//! # Fails when
//! Two buyers are served by one worker thread, which in a rush is always.
//!
//! # Cost
//! Five round trips, as `lock_redisson`.
//!
//! # See
//! redisson issues 1824, 2224, 3580; compare `lock_redisson`

use uuid::Uuid;

use super::{Facts, Owner, lock_redisson};
use crate::wire::{Guarantee, Hazard};

/// The typed facts: those of `lock_redisson`, and what its owner makes of them.
pub const FACTS: Facts = Facts {
    id: "lock_redisson_thread_id",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::LostUpdate],
    oversells_in: Some("rush"),
    fails_when: "two buyers are served by one worker thread",
    source: include_str!("lock_redisson_thread_id.rs"),
    // A take hops between threads at every await; it is the thread that asks that counts.
    build: |backends| lock_redisson::owned_by(backends, |_acquisition| THREAD.with(|thread| Owner(*thread))),
    ..lock_redisson::FACTS
};

thread_local! {
    /// The thread's id.
    static THREAD: Uuid = Uuid::now_v7();
}
