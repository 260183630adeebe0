//! The Redis lock released by a plain `DEL`: broken on purpose.
//!
//! # How
//! Exactly `lock_redis`, but the release does not ask whose the lock is.
//!
//! # Guarantee
//! None. A holder that outlives its lease finds the next one inside, as with any lease. Its `DEL` then frees
//! the lock of that next one, so a third enters beside it, whose lock the second will free: one pause, and
//! from there on nobody is alone.
//!
//! # Fails when
//! A holder is paused beyond its lease, once.
//!
//! # Cost
//! Five round trips, as `lock_redis`. What is saved is a comparison.
//!
//! # See
//! <https://redis.io/docs/latest/commands/set/#patterns>; compare `lock_redis`

use super::{Facts, lock_redis};
use crate::wire::{Guarantee, Hazard};

/// The typed facts: those of `lock_redis`, and what its release makes of them.
pub const FACTS: Facts = Facts {
    id: "lock_redis_del",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder stopped beyond its lease"),
    fails_when: "a holder outlives its lease, and frees the next one's lock",
    statements: &[("lock_redis_del.release.lua", RELEASE)],
    source: include_str!("lock_redis_del.rs"),
    build: |backends| lock_redis::released_by(backends, RELEASE),
    ..lock_redis::FACTS
};

const RELEASE: &str = include_str!("lock_redis_del.release.lua");
