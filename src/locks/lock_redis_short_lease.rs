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

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Entered, Facts, Life, Lock, Owner, Wait, lock_redis};
use crate::backends::Backends;
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts: those of `lock_redis`, and what the short lease makes of them.
pub const FACTS: Facts = Facts {
    id: "lock_redis_short_lease",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::LostUpdate, Hazard::LeaseExpiry],
    oversells_in: Some("a take slower than its lease"),
    fails_when: "the work takes longer than the lease of 1 ms",
    source: include_str!("lock_redis_short_lease.rs"),
    build: |backends| Ok(Arc::new(LockRedisShortLease(shortened(backends)?))),
    ..lock_redis::FACTS
};

/// Shorter than two statements and a commit.
const LEASE: Duration = Duration::from_millis(1);

/// [`lock_redis`], too short.
struct LockRedisShortLease(Arc<dyn Lock>);

fn shortened(backends: &Backends) -> Result<Arc<dyn Lock>, Error> {
    let mut backends = backends.clone();
    backends.limits.lock_lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(1);
    (lock_redis::FACTS.build)(&backends)
}

#[async_trait]
impl Lock for LockRedisShortLease {
    async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
        let entered = self.0.enter(sale, owner, wait).await?;
        // Whoever writes this bug does not look at the clock either.
        Ok(Entered { life: Life::Session, ..entered })
    }
}
