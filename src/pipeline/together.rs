//! What was taken in Redis for several sales is recorded in one statement, as long as nothing is odd about
//! any of it: a thousand quiet sales share their commits as the orders of a hot one do.

use std::collections::HashMap;

use futures_util::future::join_all;
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::entry::Entry;
use crate::batch::{self, Line, Size};
use crate::config::Limits;
use crate::ledger::{self, RECORDED, at_write, before_write};
use crate::sale::Error;

pub(super) const DRAIN: &str = include_str!("drain.sql");
pub(super) const DRAIN_MANY: &str = include_str!("drain_many.sql");

/// A statement with so many orders gets no further ones; a bundle may hold the orders of a whole batch.
pub(super) const ORDERS_ENOUGH: usize = 256;
/// Sales are dealt to so many writers: a hot one has all of one.
const WRITERS: u128 = 4;
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

/// The writers of one pipeline.
pub(super) struct Writers(Vec<Line<Bundle, Said>>);

impl Writers {
    pub(super) fn start(pg: &PgPool, limits: &Limits) -> Writers {
        let size = Size { waiting_max: WAITING_MAX, batch_max: ORDERS_ENOUGH, wait_max: limits.wait() };
        let line = |_| {
            let pg = pg.clone();
            Line::open(&Handle::current(), size, move |bundles| record(pg.clone(), bundles))
        };
        Writers((0..WRITERS).map(line).collect())
    }

    /// Records a bundle, with whatever others wait. Committed when this returns.
    pub(super) async fn record(&self, bundle: Bundle) -> Result<Said, Error> {
        // The last bits of an id are drawn by lot. Always below the number of lines.
        let line = usize::try_from(bundle.sale.as_u128() % WRITERS).unwrap_or(0);
        self.0[line].ask(bundle).await
    }
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
    said.extend(commit(&pg, shared).await);
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
    let entries = || bundles.iter().flat_map(|bundle| &bundle.entries);
    let of_each = || bundles.iter().flat_map(|bundle| bundle.entries.iter().map(move |_| bundle));
    let all = |text: fn(&Entry) -> &str| entries().map(text).collect::<Vec<_>>();
    let mut pg = ledger::connection(pg).await?;
    let rows = sqlx::query(DRAIN_MANY)
        .bind(all(|e| &e.caller))
        .bind(all(|e| &e.key))
        .bind(entries().map(|e| e.order).collect::<Vec<_>>())
        .bind(of_each().map(|b| b.sale).collect::<Vec<_>>())
        .bind(all(|e| &e.buyer))
        .bind(entries().map(|e| e.quantity).collect::<Vec<_>>())
        .bind(entries().map(|e| &e.fingerprint[..]).collect::<Vec<_>>())
        .bind(entries().map(|e| e.retry_safe).collect::<Vec<_>>())
        .bind(entries().map(|e| e.hold_ms).collect::<Vec<_>>())
        .bind(of_each().map(|b| b.epoch).collect::<Vec<_>>())
        .fetch_all(&mut *pg)
        .await
        .map_err(at_write)?;
    let counter = |row: &sqlx::postgres::PgRow| -> Result<_, sqlx::Error> {
        Ok((row.try_get("sale_id")?, (row.try_get("units_left")?, row.try_get("returns")?)))
    };
    rows.iter().map(counter).collect::<Result<_, _>>().map_err(before_write)
}

async fn alone(pg: &PgPool, Bundle { sale, epoch, entries }: Bundle) -> Result<Said, Error> {
    let all = |text: fn(&Entry) -> &str| entries.iter().map(text).collect::<Vec<_>>();
    let mut pg = ledger::connection(pg).await?;
    let row = sqlx::query(DRAIN)
        .bind(sale)
        .bind(epoch)
        .bind(all(|e| &e.caller))
        .bind(all(|e| &e.key))
        .bind(entries.iter().map(|e| e.order).collect::<Vec<_>>())
        .bind(all(|e| &e.buyer))
        .bind(entries.iter().map(|e| e.quantity).collect::<Vec<_>>())
        .bind(entries.iter().map(|e| &e.fingerprint[..]).collect::<Vec<_>>())
        .bind(entries.iter().map(|e| e.retry_safe).collect::<Vec<_>>())
        .bind(entries.iter().map(|e| e.hold_ms).collect::<Vec<_>>())
        .fetch_one(&mut *pg)
        .await;
    let row = match row {
        Err(e) if ledger::is_poisoned(&e) => return Ok(Said::Poisoned(e.to_string(), entries)),
        row => row.map_err(at_write)?,
    };
    let read = || -> Result<_, sqlx::Error> {
        Ok(Said::Words(row.try_get("words")?, (row.try_get("units_left")?, row.try_get("returns")?)))
    };
    read().map_err(before_write)
}
