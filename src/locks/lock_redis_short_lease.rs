//! The Redis lock with a lease shorter than the work: broken on purpose.
//!
//! # How
//! Exactly `lock_redis`, with a lease of one millisecond. The take needs longer, so the lock is often gone
//! before its holder has written.
//!
//! # Guarantee
//! None. The owner-checked release is right and does not help: it notices that the lock was lost, after the
//! order is written.
//!
//! # Fails when
//! The work takes longer than the lease: a slow query, a full CPU, a collected heap. Any lease is short for
//! some pause; this one makes it easy to see.
//!
//! # Cost
//! Five round trips, as `lock_redis`.
//!
//! # See
//! Kleppmann, How to do distributed locking (2016), "Protecting a resource with a lock"

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::Lock;
use super::lock_redis::{Held, LockRedis};
use crate::backends::Backends;
use crate::sale::Error;

/// Its own source, for the card.
pub const SOURCE: &str = include_str!("lock_redis_short_lease.rs");

/// Shorter than two statements and a commit.
const LEASE: Duration = Duration::from_millis(1);

/// [`LockRedis`], too short.
pub struct LockRedisShortLease(LockRedis);

#[async_trait]
impl Lock for LockRedisShortLease {
    type Guard = Held;

    fn new(backends: &Backends) -> Result<LockRedisShortLease, Error> {
        LockRedis::with_lease(backends, LEASE).map(LockRedisShortLease)
    }

    async fn acquire(&self, sale: Uuid) -> Result<Held, Error> {
        self.0.acquire(sale).await
    }
}
