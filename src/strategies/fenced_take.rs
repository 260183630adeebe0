//! The naive take with a fence: read and write, and in between nobody newer.
//!
//! Not a strategy itself; [`super::under_lock`] puts it into a lock. The token is *claimed when reading* and
//! required *equal when writing*. A check on the write alone is not enough: an overtaken holder that writes
//! first still passes it, and so does the one who overtook (Kleppmann's fencing read closely).
//!
//! Claim and write are two transactions on purpose: in one, the claim's row lock would keep others out, and
//! the row would show PostgreSQL's lock instead of the fence.

use sqlx::Row;
use sqlx::postgres::PgPool;

use crate::faults;
use crate::ledger::{self, at_write, before_write};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::stock;

/// Its statements.
pub(super) const STATEMENTS: [(&str, &str); 4] = [
    ("fenced_take.claim.sql", CLAIM),
    ("fenced_take.mint.sql", MINT),
    ("fenced_take.stored.sql", STORED),
    ("fenced_take.write.sql", WRITE),
];

const CLAIM: &str = include_str!("fenced_take.claim.sql");
const MINT: &str = include_str!("fenced_take.mint.sql");
const STORED: &str = include_str!("fenced_take.stored.sql");
const WRITE: &str = include_str!("fenced_take.write.sql");

/// What a bracketed take came to.
pub(super) enum Taken {
    /// Sold, or sold out.
    Answer(Outcome),
    /// The stock row has seen this token or a newer one: nothing was read, nothing was taken.
    Behind,
}

/// Takes under a fence. `token`: the lock's own; `None` has one minted at the stock row.
pub(super) async fn take(
    pg: &PgPool,
    sale: &Sale,
    order: &Order,
    token: Option<i64>,
) -> Result<Taken, Error> {
    let mut pg = ledger::connection(pg).await?;
    let claim = match token {
        Some(token) => sqlx::query(CLAIM).bind(sale.id).bind(token),
        None => sqlx::query(MINT).bind(sale.id),
    };
    let Some(row) = claim.fetch_optional(&mut *pg).await.map_err(before_write)? else {
        metrics::counter!("sellout_fenced_total").increment(1);
        return Ok(Taken::Behind);
    };
    let left: i64 = row.try_get("units_left").map_err(before_write)?;
    let fence: i64 = row.try_get("fence").map_err(before_write)?;
    order.trace.read(left, token.map_or("fenced_take.mint.sql", |_| "fenced_take.claim.sql"));
    order.trace.check(left >= order.quantity);

    if left < order.quantity {
        return Ok(Taken::Answer(Outcome::SoldOut));
    }
    // Should the lock be lost here, whoever enters claims a newer token, and our write finds no row.
    faults::window(sale).await;
    let target = left - order.quantity;
    let written = ledger::bind(WRITE, order).bind(target).bind(fence).fetch_optional(&mut *pg).await;
    match written.map_err(at_write)? {
        Some(_) => {
            order.trace.write(target, "fenced_take.write.sql");
            order.trace.commit();
            Ok(Taken::Answer(Outcome::Sold(order.id)))
        }
        None => Err(overtaken("between read and write")),
    }
}

/// The newest token that the stock row has seen.
pub(super) async fn stored(pg: &PgPool, sale: &Sale) -> Result<i64, Error> {
    let mut pg = ledger::connection(pg).await?;
    let stored = sqlx::query_scalar(STORED).bind(sale.id).fetch_optional(&mut *pg).await;
    stored.map_err(before_write)?.ok_or_else(stock::missing)
}

/// Overtaken: nothing was taken, so the buyer may try again at once.
pub(super) fn overtaken(when: &str) -> Error {
    metrics::counter!("sellout_fenced_total").increment(1);
    Error::Contended(format!("overtaken by a newer holder {when}"))
}
