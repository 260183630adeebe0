//! A lock, a token, and a fence that is checked only on the write: broken on purpose.
//!
//! # How
//! Inside `lock_pg_table`: a plain read, then a write that carries the lock's token. The stock row keeps the
//! newest token that wrote and refuses an older one. This is how fencing is usually drawn.
//!
//! # Guarantee
//! None. It keeps a late holder from writing *after* the one who overtook it. It does not keep it from
//! writing *before*: A (token 1) reads and is overtaken, B (token 2) reads the same number, A writes, and 1
//! is not older than anything stored; then B writes. Two orders, one unit. `lock_pg_table_fenced` claims the
//! token when it reads, and there A's write finds B's.
//!
//! # Fails when
//! A holder outlives its lease, and writes between the read and the write of the one who overtook it.
//!
//! # Cost
//! Four round trips, the two of the lock included: as many as with the whole fence.
//!
//! # See
//! M. Kleppmann, How to do distributed locking (2016), "Making the lock safe with fencing"; compare
//! `lock_pg_table_fenced`

use sqlx::postgres::PgPool;

use super::fenced_take;
use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::stock;

/// This file; [`super::under_lock`] has the lock around it, and the typed facts.
pub(super) const SOURCE: &str = include_str!("fence_on_write_only.rs");

/// Its statements.
pub(super) const STATEMENTS: [(&str, &str); 2] =
    [("fence_on_write_only.read.sql", READ), ("fence_on_write_only.write.sql", WRITE)];

const READ: &str = include_str!("fence_on_write_only.read.sql");
const WRITE: &str = include_str!("fence_on_write_only.write.sql");

/// Takes under half a fence. `token`: the lock's own.
pub(super) async fn take(
    pg: &PgPool,
    sale: &Sale,
    order: &Order,
    token: Option<i64>,
) -> Result<Outcome, Error> {
    let token = token.ok_or_else(|| Error::Unavailable("this lock has no token".into()))?;
    let mut pg = ledger::connection(pg).await?;
    let left = sqlx::query_scalar(READ).bind(sale.id).fetch_optional(&mut *pg).await;
    let left: i64 = left.map_err(before_write)?.ok_or_else(stock::missing)?;
    order.trace.read(left, "fence_on_write_only.read.sql");
    order.trace.check(left >= order.quantity);

    if left < order.quantity {
        return Ok(Outcome::SoldOut);
    }
    // Should the lock be lost here, whoever enters reads the same `left`. The row knows our token and theirs
    // only when they are written: if we are first, ours is the newest it has seen, and so is theirs after.
    faults::window(sale).await;
    let write = ledger::bind(WRITE, order).bind(left - order.quantity).bind(token);
    match write.fetch_optional(&mut *pg).await.map_err(at_write)? {
        Some(_) => {
            order.trace.write(left - order.quantity, "fence_on_write_only.write.sql");
            order.trace.commit();
            Ok(Outcome::Sold(order.id))
        }
        None => Err(fenced_take::overtaken("before it wrote")),
    }
}
