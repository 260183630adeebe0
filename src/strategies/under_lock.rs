//! The naive take, bracketed by a lock and nothing else; and the same with a fence.
//!
//! Not a strategy itself: each lock of [`crate::locks`] becomes one here, or two. The card shows the lock's
//! file, because that is where the difference is. The write is inside the lock and committed before the
//! release: a lock that is let go before the commit protects nothing.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::naive::{self, Naive};
use super::{Hazard, Need, Spec, Strategy, fenced_take};
use crate::backends::Backends;
use crate::locks::lock_in_process::{self, LockInProcess};
use crate::locks::lock_pg_advisory::{self, LockPgAdvisory};
use crate::locks::lock_pg_row::{self, LockPgRow};
use crate::locks::lock_pg_table::{self, LockPgTable};
use crate::locks::lock_pg_unique::{self, LockPgUnique};
use crate::locks::lock_redis::{self, LockRedis};
use crate::locks::lock_redis_short_lease::{self, LockRedisShortLease};
use crate::locks::{Guard, Lock, Released};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

const PG: &[Need] = &[Need::Postgres];
const PG_REDIS: &[Need] = &[Need::Postgres, Need::Redis];

/// A mutex of this process.
pub const LOCK_IN_PROCESS: Spec = Spec {
    id: "lock_in_process",
    breaks: &[Hazard::SecondProcess],
    oversells_in: Some("a second process"),
    fails_when: "a second process sells the same stock",
    round_trips: RoundTrips { sold: 2, sold_out: 2 },
    statements: &[&naive::STATEMENTS],
    ..Bracket::<LockInProcess>::plain(PG, lock_in_process::SOURCE)
};
/// The same, fenced.
pub const LOCK_IN_PROCESS_FENCED: Spec = Spec {
    id: "lock_in_process_fenced",
    round_trips: RoundTrips { sold: 2, sold_out: 2 },
    statements: &[&fenced_take::STATEMENTS],
    ..Bracket::<LockInProcess>::fenced(PG, lock_in_process::SOURCE)
};

/// A row that is there to be locked.
pub const LOCK_PG_ROW: Spec = Spec {
    id: "lock_pg_row",
    breaks: &[Hazard::SessionLost],
    oversells_in: Some("the lock's session cut while its holder works"),
    fails_when: "the lock's session ends before the work does",
    round_trips: RoundTrips { sold: 5, sold_out: 5 },
    statements: &[&naive::STATEMENTS, &lock_pg_row::STATEMENTS],
    ..Bracket::<LockPgRow>::plain(PG, lock_pg_row::SOURCE)
};
/// The same, fenced.
pub const LOCK_PG_ROW_FENCED: Spec = Spec {
    id: "lock_pg_row_fenced",
    round_trips: RoundTrips { sold: 5, sold_out: 5 },
    statements: &[&fenced_take::STATEMENTS, &lock_pg_row::STATEMENTS],
    ..Bracket::<LockPgRow>::fenced(PG, lock_pg_row::SOURCE)
};

/// A session-level advisory lock.
pub const LOCK_PG_ADVISORY: Spec = Spec {
    id: "lock_pg_advisory",
    breaks: &[Hazard::SessionLost],
    oversells_in: Some("the lock's session cut while its holder works"),
    fails_when: "the lock's session ends before the work does",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    statements: &[&naive::STATEMENTS, &lock_pg_advisory::STATEMENTS],
    ..Bracket::<LockPgAdvisory>::plain(PG, lock_pg_advisory::SOURCE)
};
/// The same, fenced.
pub const LOCK_PG_ADVISORY_FENCED: Spec = Spec {
    id: "lock_pg_advisory_fenced",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    statements: &[&fenced_take::STATEMENTS, &lock_pg_advisory::STATEMENTS],
    ..Bracket::<LockPgAdvisory>::fenced(PG, lock_pg_advisory::SOURCE)
};

/// A lease in a table.
pub const LOCK_PG_TABLE: Spec = Spec {
    id: "lock_pg_table",
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder paused beyond its lease"),
    fails_when: "a holder is paused beyond its lease",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    statements: &[&naive::STATEMENTS, &lock_pg_table::STATEMENTS],
    ..Bracket::<LockPgTable>::plain(PG, lock_pg_table::SOURCE)
};
/// The same, fenced by the lease's own token.
pub const LOCK_PG_TABLE_FENCED: Spec = Spec {
    id: "lock_pg_table_fenced",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    statements: &[&fenced_take::STATEMENTS, &lock_pg_table::STATEMENTS],
    ..Bracket::<LockPgTable>::fenced(PG, lock_pg_table::SOURCE)
};

/// A row whose insert wins. Nobody else enters early, so a fence would have nothing to do.
pub const LOCK_PG_UNIQUE: Spec = Spec {
    id: "lock_pg_unique",
    guarantee: Guarantee::NeverOver,
    breaks: &[Hazard::LockLeft],
    fails_when: "a holder dies inside: nobody sells any more",
    round_trips: RoundTrips { sold: 4, sold_out: 4 },
    statements: &[&naive::STATEMENTS, &lock_pg_unique::STATEMENTS],
    ..Bracket::<LockPgUnique>::plain(PG, lock_pg_unique::SOURCE)
};

/// `SET NX PX` with an owner-checked release.
pub const LOCK_REDIS: Spec = Spec {
    id: "lock_redis",
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder paused beyond its lease"),
    fails_when: "a holder is paused beyond its lease, or Redis fails over",
    round_trips: RoundTrips { sold: 5, sold_out: 5 },
    statements: &[&naive::STATEMENTS, &lock_redis::STATEMENTS],
    ..Bracket::<LockRedis>::plain(PG_REDIS, lock_redis::SOURCE)
};
/// The same, fenced.
pub const LOCK_REDIS_FENCED: Spec = Spec {
    id: "lock_redis_fenced",
    round_trips: RoundTrips { sold: 5, sold_out: 5 },
    statements: &[&fenced_take::STATEMENTS, &lock_redis::STATEMENTS],
    ..Bracket::<LockRedis>::fenced(PG_REDIS, lock_redis::SOURCE)
};

/// The same with a lease shorter than the work: broken on purpose.
pub const LOCK_REDIS_SHORT_LEASE: Spec = Spec {
    id: "lock_redis_short_lease",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::LostUpdate, Hazard::LeaseExpiry],
    oversells_in: Some("a take slower than its lease"),
    fails_when: "the work takes longer than the lease of 1 ms",
    round_trips: RoundTrips { sold: 5, sold_out: 5 },
    statements: &[&naive::STATEMENTS, &lock_redis::STATEMENTS],
    ..Bracket::<LockRedisShortLease>::plain(PG_REDIS, lock_redis_short_lease::SOURCE)
};

/// What all brackets of one lock share.
struct Bracket<L>(PhantomData<L>);

impl<L: Lock> Bracket<L> {
    const fn plain(needs: &'static [Need], source: &'static str) -> Spec {
        Spec {
            id: "",
            variant: "",
            guarantee: Guarantee::Conditional,
            breaks: &[],
            oversells_in: None,
            fails_when: "",
            round_trips: RoundTrips { sold: 0, sold_out: 0 },
            remembers_keys: false,
            needs,
            statements: &[],
            source,
            build: |backends| UnderLock::<L>::build(backends, false),
        }
    }

    const fn fenced(needs: &'static [Need], source: &'static str) -> Spec {
        Spec {
            variant: ", fenced",
            guarantee: Guarantee::Exact,
            fails_when: "never by interleaving; who was overtaken tries again",
            build: |backends| UnderLock::<L>::build(backends, true),
            ..Bracket::<L>::plain(needs, source)
        }
    }
}

struct UnderLock<L> {
    lock: L,
    naive: Naive,
    pg: PgPool,
    fenced: bool,
}

impl<L: Lock> UnderLock<L> {
    fn build(backends: &Backends, fenced: bool) -> Result<Arc<dyn Strategy>, Error> {
        let (lock, naive, pg) = (L::new(backends)?, Naive::new(backends), backends.pg.clone());
        Ok(Arc::new(UnderLock { lock, naive, pg, fenced }))
    }
}

#[async_trait]
impl<L: Lock> Strategy for UnderLock<L> {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        self.lock.open(sale.id).await?;
        self.naive.open(sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let guard = self.lock.acquire(sale.id).await?;
        // Alone inside, as long as the lock lasts. Should it end while this process is stopped here, another
        // buyer enters and both go on. Without a fence nothing at the stock row asks who holds the lock.
        let (deadline, token) = (guard.deadline(), guard.token());
        let outcome = match self.fenced {
            true => fenced_take::take(&self.pg, sale, order, token).await,
            false => self.naive.take(sale, order).await,
        };
        let late = deadline.is_some_and(|deadline| Instant::now() > deadline);
        if guard.release().await == Released::Lost || late {
            metrics::counter!("sellout_locks_lost_total").increment(1);
            tracing::debug!(sale.id = %sale.id, order.id = %order.id, "the lock ended before its holder");
        }
        outcome
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        self.naive.left(sale).await
    }
}
