//! Sums from PostgreSQL: the ledger's side by `evidence.sql`, and where the clients' side is kept.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use uuid::Uuid;

use super::{Sums, Told};
use crate::wire::{Answers, Clients, Offender, Tally};

const LIMITS: &str = include_str!("limits.sql");
const EVIDENCE: &str = include_str!("evidence.sql");
const OFFENDERS: &str = include_str!("offenders.sql");
const TALLY: &str = include_str!("tally.sql");
const TALLY_CLEAR: &str = include_str!("tally_clear.sql");
const TALLY_ORDERS: &str = include_str!("tally_orders.sql");

/// Reads, and of one moment.
const SNAPSHOT: &str = "begin isolation level repeatable read read only";

/// Every statement of this room, for the test that PREPAREs them.
pub const STATEMENTS: &[(&str, &str)] = &[
    ("limits.sql", LIMITS),
    ("evidence.sql", EVIDENCE),
    ("offenders.sql", OFFENDERS),
    ("tally.sql", TALLY),
    ("tally_clear.sql", TALLY_CLEAR),
    ("tally_orders.sql", TALLY_ORDERS),
];

/// The ledger could not be read; nothing is judged.
#[derive(Debug, thiserror::Error)]
#[error("the ledger cannot be read: {0}")]
pub struct Unreadable(#[from] sqlx::Error);

/// Sums of one sale, and the orders to look at where there are any; `None` when there is no such sale. Both
/// are of one moment. PostgreSQL gives up after `limit`.
pub async fn read(
    pool: &PgPool,
    sale: Uuid,
    limit: Duration,
) -> Result<Option<(Sums, Vec<Offender>)>, Unreadable> {
    // One snapshot: else orders that come between the two would be offenders that no sum accounts for.
    let mut tx = pool.begin_with(SNAPSHOT).await?;
    sqlx::query(LIMITS).bind(limit.as_millis().to_string()).execute(&mut *tx).await?;
    let row = sqlx::query(EVIDENCE).bind(sale).fetch_optional(&mut *tx).await?;
    let Some(sums) = row.as_ref().map(sums).transpose()? else { return Ok(None) };
    // To point at orders costs more than to count them, and there are none to point at as a rule.
    let offenders = if sums.has_offenders() { offenders(&mut tx, sale).await? } else { Vec::new() };
    tx.rollback().await?;
    Ok(Some((sums, offenders)))
}

async fn offenders(pg: &mut PgConnection, sale: Uuid) -> Result<Vec<Offender>, sqlx::Error> {
    let rows = sqlx::query(OFFENDERS).bind(sale).fetch_all(pg).await?;
    let offender = |r: &PgRow| -> Result<Offender, sqlx::Error> {
        Ok(Offender {
            kind: r.try_get("kind")?,
            key: r.try_get("key")?,
            order_id: r.try_get("id")?,
            buyer_id: r.try_get("buyer_id")?,
            quantity: r.try_get("quantity")?,
        })
    };
    rows.iter().map(offender).collect()
}

/// Keeps what the clients were told; a second tally of the same sale replaces the first.
pub async fn store_tally(pool: &PgPool, sale: Uuid, t: &Tally) -> Result<(), Unreadable> {
    let mut tx = pool.begin().await?;
    sqlx::query(TALLY_CLEAR).bind(sale).execute(&mut *tx).await?;
    let a = &t.answers;
    let counts =
        [t.attempts, a.sold, a.sold_out, a.contended, a.rejected, a.error, a.unknown, t.peak_in_flight];
    let mut insert = sqlx::query(TALLY).bind(sale);
    for n in counts {
        insert = insert.bind(i64::try_from(n).unwrap_or(i64::MAX));
    }
    insert.bind(t.demand_units).bind(t.sold_out_quantity_min).execute(&mut *tx).await?;

    let yes = t.told_yes.iter();
    let mut keys: Vec<&str> = yes.clone().map(|y| y.key.as_str()).collect();
    let mut ids: Vec<Option<Uuid>> = yes.clone().map(|y| Some(y.order_id)).collect();
    let mut buyers: Vec<&str> = yes.clone().map(|y| y.buyer_id.as_str()).collect();
    let mut quantities: Vec<i64> = yes.map(|y| y.quantity).collect();
    for key in &t.unknown_keys {
        keys.push(key);
        ids.push(None);
        buyers.push("");
        quantities.push(0);
    }
    let orders = sqlx::query(TALLY_ORDERS).bind(sale).bind(keys).bind(ids).bind(buyers).bind(quantities);
    orders.execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

fn sums(r: &PgRow) -> Result<Sums, sqlx::Error> {
    let tallied: Option<i64> = r.try_get("attempts")?;
    Ok(Sums {
        opened: r.try_get("opened")?,
        changed: r.try_get("changed")?,
        sold: r.try_get("sold")?,
        orders: r.try_get("orders")?,
        duplicates: r.try_get("duplicates")?,
        over_limit: r.try_get("over_limit")?,
        unbalanced: r.try_get("unbalanced")?,
        told: tallied.map(|_| told(r)).transpose()?,
    })
}

fn told(r: &PgRow) -> Result<Told, sqlx::Error> {
    let n = |column: &str| r.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let answers = Answers {
        sold: n("answers_sold")?,
        sold_out: n("sold_out")?,
        contended: n("contended")?,
        rejected: n("rejected")?,
        error: n("error")?,
        unknown: n("unknown")?,
    };
    Ok(Told {
        yes: r.try_get("told_yes")?,
        lost: r.try_get("lost")?,
        phantom: r.try_get("phantom")?,
        unknown: r.try_get("unknown_keys")?,
        duplicates: r.try_get("told_duplicates")?,
        sold_out_quantity_min: r.try_get("sold_out_quantity_min")?,
        clients: Clients {
            attempts: n("attempts")?,
            answers,
            peak_in_flight: n("peak_in_flight")?,
            demand_units: r.try_get("demand_units")?,
        },
    })
}
