//! The naive take, bracketed by a lock and nothing else; and the same with a fence.
//!
//! Not a strategy itself: each lock of [`crate::locks`] becomes one here, or two. The card shows the lock's
//! file, because that is where the difference is. The write is inside the lock and committed before the
//! release: a lock that is let go before the commit protects nothing.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::naive::{self, Naive};
use super::{Bracket, Hazard, Spec, Strategy, fence_on_write_only, fenced_take};
use crate::backends::Backends;
use crate::faults::Switches;
use crate::locks::{self, Facts, Guard, Locks, Owner, Released};
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

pub const LOCK_IN_PROCESS: Spec = plain(&locks::lock_in_process::FACTS);
pub const LOCK_IN_PROCESS_FENCED: Spec = fenced("lock_in_process_fenced", &locks::lock_in_process::FACTS);
pub const LOCK_PG_ROW: Spec = plain(&locks::lock_pg_row::FACTS);
pub const LOCK_PG_ROW_FENCED: Spec = fenced("lock_pg_row_fenced", &locks::lock_pg_row::FACTS);
pub const LOCK_PG_ADVISORY: Spec = plain(&locks::lock_pg_advisory::FACTS);
pub const LOCK_PG_ADVISORY_FENCED: Spec = fenced("lock_pg_advisory_fenced", &locks::lock_pg_advisory::FACTS);
pub const LOCK_PG_TABLE: Spec = plain(&locks::lock_pg_table::FACTS);
pub const LOCK_PG_TABLE_FENCED: Spec = fenced("lock_pg_table_fenced", &locks::lock_pg_table::FACTS);
pub const LOCK_PG_UNIQUE: Spec = plain(&locks::lock_pg_unique::FACTS);
pub const LOCK_REDIS: Spec = plain(&locks::lock_redis::FACTS);
pub const LOCK_REDIS_FENCED: Spec = fenced("lock_redis_fenced", &locks::lock_redis::FACTS);
pub const LOCK_ZOOKEEPER: Spec = plain(&locks::lock_zookeeper::FACTS);
pub const LOCK_ZOOKEEPER_FENCED: Spec = fenced("lock_zookeeper_fenced", &locks::lock_zookeeper::FACTS);
pub const LOCK_CURATOR: Spec = plain(&locks::lock_curator::FACTS);
pub const LOCK_CURATOR_FENCED: Spec = fenced("lock_curator_fenced", &locks::lock_curator::FACTS);
pub const LOCK_REDIS_SHORT_LEASE: Spec = plain(&locks::lock_redis_short_lease::FACTS);
pub const LOCK_ETCD: Spec = plain(&locks::lock_etcd::FACTS);
pub const LOCK_ETCD_FENCED: Spec = fenced("lock_etcd_fenced", &locks::lock_etcd::FACTS);
pub const LOCK_REDLOCK: Spec = plain(&locks::lock_redlock::FACTS);
pub const LOCK_REDLOCK_FENCED: Spec = fenced("lock_redlock_fenced", &locks::lock_redlock::FACTS);

/// The lock is whole here and the fence is not, so the card shows the file of the take.
pub const FENCE_ON_WRITE_ONLY: Spec = Spec {
    id: "fence_on_write_only",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::LeaseExpiry, Hazard::LostUpdate],
    oversells_in: Some("a holder stopped beyond its lease"),
    gives_back: false,
    fails_when: "a holder outlives its lease and writes before the one who overtook it",
    statements: &[&fence_on_write_only::STATEMENTS],
    source: fence_on_write_only::SOURCE,
    build: |backends, spec| UnderLock::build(backends, spec, Take::FencedOnWrite),
    ..plain(&locks::lock_pg_table::FACTS)
};
pub const LOCK_REDIS_DEL: Spec = plain(&locks::lock_redis_del::FACTS);
pub const LOCK_REDISSON: Spec = plain(&locks::lock_redisson::FACTS);
pub const LOCK_REDISSON_FENCED: Spec = fenced("lock_redisson_fenced", &locks::lock_redisson::FACTS);
pub const LOCK_REDISSON_THREAD_ID: Spec = plain(&locks::lock_redisson_thread_id::FACTS);

/// The lock's two trips and those of the take inside, which are as many with a fence as without.
const TAKE_TRIPS: u32 = 2;

const fn plain(lock: &'static Facts) -> Spec {
    let trips = lock.trips.acquire + TAKE_TRIPS + lock.trips.release;
    Spec {
        id: lock.id,
        variant: "",
        guarantee: lock.guarantee,
        breaks: lock.breaks,
        oversells_in: lock.oversells_in,
        fails_when: lock.fails_when,
        round_trips: RoundTrips { sold: trips, sold_out: trips },
        remembers_keys: false,
        queues: false,
        gives_back: !matches!(lock.guarantee, Guarantee::Oversells),
        carts: false,
        needs: lock.needs,
        statements: &[&naive::STATEMENTS],
        source: lock.source,
        lock: Some(Bracket { facts: lock, fenced: false }),
        build: |backends, spec| UnderLock::build(backends, spec, Take::Naive),
    }
}

const fn fenced(id: &'static str, lock: &'static Facts) -> Spec {
    Spec {
        id,
        variant: ", fenced",
        guarantee: Guarantee::Exact,
        breaks: &[],
        oversells_in: None,
        fails_when: "never by interleaving; who was overtaken tries again",
        statements: &[&fenced_take::STATEMENTS],
        lock: Some(Bracket { facts: lock, fenced: true }),
        build: |backends, spec| UnderLock::build(backends, spec, Take::Fenced),
        ..plain(lock)
    }
}

/// What is done inside.
enum Take {
    Naive,
    Fenced,
    FencedOnWrite,
}

struct UnderLock {
    lock: Locks,
    naive: Naive,
    pg: PgPool,
    take: Take,
    faults: Switches,
}

impl UnderLock {
    fn build(backends: &Backends, spec: &'static Spec, take: Take) -> Result<Arc<dyn Strategy>, Error> {
        let bracket = spec.lock.as_ref().ok_or_else(|| Error::Unavailable("it has no lock".into()))?;
        let lock = Locks::new(bracket.facts, backends)?;
        let (naive, pg, faults) = (Naive::new(backends), backends.pg.clone(), backends.faults.clone());
        Ok(Arc::new(UnderLock { lock, naive, pg, take, faults }))
    }

    /// One bracket. Behind: the fence had seen a newer token than ours.
    async fn bracket(&self, sale: &Sale, order: &Order) -> Result<fenced_take::Taken, Error> {
        let guard = self.lock.acquire(sale.id, Owner::fresh()).await?;
        order.trace.enter();
        let stopped = self.faults.holder(sale);
        let sale = stopped.as_ref().unwrap_or(sale);
        // Alone inside, as long as the lock lasts. Should it end while this process is stopped here, another
        // buyer enters and both go on. Without a fence nothing at the stock row asks who holds the lock.
        let (pg, token) = (&self.pg, guard.token());
        let taken = match self.take {
            Take::Naive => self.naive.take(sale, order).await.map(fenced_take::Taken::Answer),
            Take::Fenced => fenced_take::take(pg, sale, order, token).await,
            Take::FencedOnWrite => {
                fence_on_write_only::take(pg, sale, order, token).await.map(fenced_take::Taken::Answer)
            }
        };
        order.trace.leave(release(guard, sale).await);
        taken
    }
}

/// Lets it go. Says whether it was lost before.
async fn release(guard: Guard, sale: &Sale) -> bool {
    let late = guard.is_lost();
    let lost = guard.release().await == Released::Lost || late;
    if lost {
        metrics::counter!("sellout_locks_lost_total").increment(1);
        tracing::debug!(sale.id = %sale.id, "the lock ended before its holder");
    }
    lost
}

#[async_trait]
impl Strategy for UnderLock {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        self.lock.open(sale.id).await?;
        self.naive.open(sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        use fenced_take::Taken::{Answer, Behind};
        if let Answer(outcome) = self.bracket(sale, order).await? {
            return Ok(outcome);
        }
        // Either somebody entered after us and has looked already, or the lock's counter has restarted (its
        // server came back empty) and would be refused for ever. Raising a counter that is fine changes
        // nothing.
        order.trace.retry();
        let stored = fenced_take::stored(&self.pg, sale).await?;
        self.lock.raise(sale.id, stored).await?;
        match self.bracket(sale, order).await? {
            Answer(outcome) => Ok(outcome),
            Behind => Err(fenced_take::overtaken("before it read")),
        }
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        // Outside the lock a holder who has read would write over what came back. With a fence its late write
        // finds our token, as it would find any later holder's.
        let guard = self.lock.acquire(sale.id, Owner::fresh()).await?;
        let given = stock::give_back(lane, sale, back, guard.token()).await;
        release(guard, sale).await;
        given
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        self.naive.left(sale).await
    }
}
