//! What was taken in Redis for several sales is recorded in one statement, as long as nothing is odd about
//! any of it: a thousand quiet sales share their commits as the orders of a hot one do.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::entry::Entry;
use crate::batch::{self, Lines, Size};
use crate::ledger::{self, RECORDED, at_write, before_write};
use crate::sale::Error;

pub(super) const DRAIN: &str = include_str!("drain.sql");
pub(super) const DRAIN_MANY: &str = include_str!("drain_many.sql");

/// A statement with so many orders gets no further ones; a bundle may hold the orders of a whole batch.
pub(super) const ORDERS_ENOUGH: usize = 256;
/// Bundles that wait for one writer. A sale has one under way at most.
const WAITING_MAX: usize = 65_536;

/// Orders of one sale, taken under one epoch.
pub(super) struct Bundle {
    pub sale: Uuid,
    pub epoch: i64,
    pub entries: Vec<Entry>,
}

/// What became of a bundle.
pub(super) enum Said {
    /// A word for each order, and the counter of the sale after it: units left, returns.
    Words(Vec<String>, (i64, i64)),
    /// Nothing was changed, for a reason that lies in one of its orders.
    Poisoned(String, Vec<Entry>),
}

/// The writers of one pipeline: a bundle is recorded with whatever others wait, and committed when it is
/// answered.
pub(super) type Writers = Lines<Bundle, Said>;

pub(super) fn start(pg: &PgPool) -> Writers {
    // Nothing expires here: buyers have limits of their own, and what was taken has to be recorded anyhow.
    let size = Size { waiting_max: WAITING_MAX, batch_max: ORDERS_ENOUGH, wait_max: Duration::MAX };
    let pg = pg.clone();
    Lines::open(&Handle::current(), size, move |bundles| record(pg.clone(), bundles))
}

async fn record(pg: PgPool, bundles: Vec<Bundle>) -> Vec<Result<Said, Error>> {
    let mut said = Vec::with_capacity(bundles.len());
    let (mut shared, mut orders) = (Vec::new(), 0);
    for bundle in bundles {
        orders += bundle.entries.len();
        shared.push(bundle);
        if orders >= ORDERS_ENOUGH {
            said.extend(commit(&pg, std::mem::take(&mut shared)).await);
            orders = 0;
        }
    }
    if !shared.is_empty() {
        said.extend(commit(&pg, shared).await);
    }
    said
}

/// One statement; where it cannot be one, each by itself, so that what is odd about one sale is not paid by
/// the others.
async fn commit(pg: &PgPool, bundles: Vec<Bundle>) -> Vec<Result<Said, Error>> {
    batch::count(bundles.iter().map(|bundle| bundle.entries.len()).sum());
    if bundles.len() > 1 {
        match all_at_once(pg, &bundles).await {
            Ok(counters) => {
                if let Some(said) = bundles.iter().map(|bundle| all_recorded(bundle, &counters)).collect() {
                    return said;
                }
            }
            Err(e) => tracing::debug!("orders of {} sales are recorded sale by sale: {e}", bundles.len()),
        }
    }
    // Perhaps it was committed and the wire broke after it: an order is recorded once, whoever brings it how
    // often.
    join_all(bundles.into_iter().map(|bundle| alone(pg, bundle))).await
}

fn all_recorded(bundle: &Bundle, counters: &HashMap<Uuid, (i64, i64)>) -> Option<Result<Said, Error>> {
    let counter = counters.get(&bundle.sale)?;
    Some(Ok(Said::Words(vec![RECORDED.to_owned(); bundle.entries.len()], *counter)))
}

async fn all_at_once(pg: &PgPool, bundles: &[Bundle]) -> Result<HashMap<Uuid, (i64, i64)>, Error> {
    let of_each = || bundles.iter().flat_map(|bundle| bundle.entries.iter().map(move |_| bundle));
    let many = sqlx::query(DRAIN_MANY)
        .bind(of_each().map(|bundle| bundle.sale).collect::<Vec<_>>())
        .bind(of_each().map(|bundle| bundle.epoch).collect::<Vec<_>>());
    let entries: Vec<_> = bundles.iter().flat_map(|bundle| &bundle.entries).collect();
    let mut pg = ledger::connection(pg).await?;
    let rows = bind(many, &entries).fetch_all(&mut *pg).await.map_err(at_write)?;
    let counter = |row: &PgRow| -> Result<_, sqlx::Error> {
        Ok((row.try_get("sale_id")?, (row.try_get("units_left")?, row.try_get("returns")?)))
    };
    rows.iter().map(counter).collect::<Result<_, _>>().map_err(before_write)
}

async fn alone(pg: &PgPool, Bundle { sale, epoch, entries }: Bundle) -> Result<Said, Error> {
    let one = sqlx::query(DRAIN).bind(sale).bind(epoch);
    let mut pg = ledger::connection(pg).await?;
    let row = bind(one, &entries.iter().collect::<Vec<_>>()).fetch_one(&mut *pg).await;
    let row = match row {
        Err(e) if ledger::is_poisoned(&e) => return Ok(Said::Poisoned(e.to_string(), entries)),
        row => row.map_err(at_write)?,
    };
    let read = || -> Result<_, sqlx::Error> {
        Ok(Said::Words(row.try_get("words")?, (row.try_get("units_left")?, row.try_get("returns")?)))
    };
    read().map_err(before_write)
}

/// Binds `$3` to `$10`, the same of both statements.
fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    entries: &[&'q Entry],
) -> Query<'q, Postgres, PgArguments> {
    let all = |text: fn(&Entry) -> &str| entries.iter().map(|e| text(e)).collect::<Vec<_>>();
    query
        .bind(all(|e| &e.caller))
        .bind(all(|e| &e.key))
        .bind(entries.iter().map(|e| e.order).collect::<Vec<_>>())
        .bind(all(|e| &e.buyer))
        .bind(entries.iter().map(|e| e.quantity).collect::<Vec<_>>())
        .bind(entries.iter().map(|e| &e.fingerprint[..]).collect::<Vec<_>>())
        .bind(entries.iter().map(|e| e.retry_safe).collect::<Vec<_>>())
        .bind(entries.iter().map(|e| e.hold_ms).collect::<Vec<_>>())
}
