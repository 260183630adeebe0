//! Unlock, then commit: broken on purpose.
//!
//! # How
//! A transaction takes an advisory lock, reads, checks and writes. Then it unlocks, and then it commits. The
//! lock is right and the order of the last two lines is not.
//!
//! # Guarantee
//! None. Between unlock and commit the next buyer enters and reads what was committed before: the same
//! number. Frameworks write this bug for you when the lock is inside the method and the transaction around
//! it.
//!
//! # Fails when
//! Anybody waits for the lock, which in a rush is always.
//!
//! # Cost
//! Six round trips.
//!
//! # See
//! <https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>; compare `lock_pg_advisory`

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use sqlx::{Connection, PgConnection};

use super::{Hazard, Need, Spec, Strategy};
use crate::backends::Backends;
use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "lock_released_before_commit",
    variant: "",
    guarantee: Guarantee::Oversells,
    breaks: &[Hazard::StaleRead, Hazard::LostUpdate],
    oversells_in: Some("rush"),
    fails_when: "anybody waits for the lock",
    round_trips: RoundTrips { sold: 6, sold_out: 6 },
    remembers_keys: false,
    queues: false,
    gives_back: false,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[
        ("lock_released_before_commit.lock.sql", LOCK),
        ("lock_released_before_commit.read.sql", READ),
        ("lock_released_before_commit.write.sql", WRITE),
        ("lock_released_before_commit.unlock.sql", UNLOCK),
    ]],
    source: include_str!("lock_released_before_commit.rs"),
    lock: None,
    build: |backends: &Backends, _| Ok(Arc::new(LockReleasedBeforeCommit { pg: backends.pg.clone() })),
};

const LOCK: &str = include_str!("lock_released_before_commit.lock.sql");
const READ: &str = include_str!("lock_released_before_commit.read.sql");
const WRITE: &str = include_str!("lock_released_before_commit.write.sql");
const UNLOCK: &str = include_str!("lock_released_before_commit.unlock.sql");

struct LockReleasedBeforeCommit {
    pg: PgPool,
}

async fn take_on(pg: &mut PgConnection, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
    let key = i64::from_be_bytes(sale.id.as_u64_pair().1.to_be_bytes());
    let mut tx = pg.begin().await.map_err(before_write)?;
    sqlx::query(LOCK).bind(key).execute(&mut *tx).await.map_err(before_write)?;
    order.trace.enter();
    let left = sqlx::query_scalar(READ).bind(sale.id).fetch_optional(&mut *tx).await;
    let left: i64 = left.map_err(before_write)?.ok_or_else(stock::missing)?;

    let sold = left >= order.quantity;
    order.trace.read(left, "lock_released_before_commit.read.sql");
    order.trace.check(sold);
    if sold {
        let write = ledger::bind(WRITE, order).bind(left - order.quantity);
        write.fetch_one(&mut *tx).await.map_err(at_write)?;
        order.trace.write(left - order.quantity, "lock_released_before_commit.write.sql");
    }
    sqlx::query(UNLOCK).bind(key).execute(&mut *tx).await.map_err(at_write)?;
    order.trace.leave(false);
    // The next buyer is inside already, and what it reads does not have our write: that is not committed.
    if !sold {
        tx.rollback().await.map_err(before_write)?;
        return Ok(Outcome::SoldOut);
    }
    faults::window(sale).await;
    tx.commit().await.map_err(at_write)?;
    order.trace.commit();
    Ok(Outcome::Sold(order.id))
}

#[async_trait]
impl Strategy for LockReleasedBeforeCommit {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::open(&self.pg, sale).await
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        let outcome = take_on(&mut pg, sale, order).await;
        if outcome.is_err() {
            // It may hold the lock still, and the pool would lend it to somebody else with it.
            pg.close_on_drop();
        }
        outcome
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left(&self.pg, sale).await.map(Some)
    }
}
