//! Redis is filled from the ledger: when a sale opens, when another strategy hands it over, and when Redis
//! was lost, emptied, rolled back or failed over.
//!
//! The epoch is raised in PostgreSQL first: from that commit on nobody records an order of the old one, so
//! what is read then is all there is. The new epoch's keys and buyers are written under names of their own;
//! the head comes last. Until then the sale is closed (503), and nobody was told anything that is not in the
//! ledger.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use redis::Pipeline as Commands;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use super::drain::GROUP;
use super::keys::{Keys, Scope};
use super::{Pipeline, SEEN_POLL};
use crate::backends::redis_at_write;
use crate::ledger::{self, before_write};
use crate::sale::{Error, Sale};

pub(super) const LIMITS: &str = include_str!("limits.sql");
pub(super) const COUNTER: &str = include_str!("counter.sql");
pub(super) const KEYS: &str = include_str!("seed_keys.sql");
pub(super) const BUYERS: &str = include_str!("seed_buyers.sql");
pub(super) const PUBLISH: &str = include_str!("publish.lua");

/// Fields of one HSET, and of one flush of them.
const FIELDS: usize = 500;
const FLUSH: usize = 10_000;
/// Who fills Redis for a sale holds this lock of PostgreSQL meanwhile: its first half says what for, the
/// second is drawn from the sale's id.
const LOCK: i32 = 0x5e11;

/// What is wrong with Redis.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// It does not know a sale, or is of an earlier epoch.
    Unknown,
    /// It knows a sale, and something else than the ledger.
    BelievesOther,
    /// It has taken an order under this epoch that cannot be recorded: its units are missing there.
    Unrecordable(i64),
}

/// Whose it is, its name and its value.
type Field = (String, String, String);

impl Pipeline {
    /// Fills Redis for this epoch of a sale, if no later one is there. Needs the stock row.
    pub(super) async fn fill(&self, sale: &Sale) -> Result<(), Error> {
        let (scope, sale) = (self.scope(sale), sale.id);
        let mut pg = self.reads.acquire().await.map_err(before_write)?;
        // One snapshot for all of it: a return that is numbered later is applied later.
        let mut tx =
            pg.begin_with("begin isolation level repeatable read read only").await.map_err(before_write)?;
        sqlx::query(LIMITS).execute(&mut *tx).await.map_err(before_write)?;
        let counter = sqlx::query(COUNTER).bind(sale).fetch_one(&mut *tx).await.map_err(before_write)?;
        self.copy(
            &mut tx,
            scope,
            KEYS,
            |keys| &keys.keys,
            |row| {
                let (caller, key): (String, String) = (row.try_get("caller")?, row.try_get("key")?);
                let (id, print): (Uuid, Vec<u8>) = (row.try_get("id")?, row.try_get("fingerprint")?);
                Ok((
                    row.try_get("buyer_id")?,
                    format!("{caller}:{key}"),
                    format!("{} {id}", hex::encode(print)),
                ))
            },
        )
        .await?;
        self.copy(
            &mut tx,
            scope,
            BUYERS,
            |keys| &keys.buyers,
            |row| {
                let buyer: String = row.try_get("buyer_id")?;
                Ok((buyer.clone(), buyer, row.try_get::<i64, _>("units")?.to_string()))
            },
        )
        .await?;
        tx.commit().await.map_err(before_write)?;
        let left: i64 = counter.try_get("units_left").map_err(before_write)?;
        let returns: i64 = counter.try_get("returns").map_err(before_write)?;

        // Whoever begins the first bucket begins them all, so that their shares are of one snapshot. Should
        // it die in between, some are of an earlier epoch, and that is found.
        let begin = |bucket| self.publish(scope, bucket, scope.share(left, bucket), returns);
        if begin(0).await? {
            let others = join_all((1..scope.buckets).map(begin)).await;
            return others.into_iter().try_for_each(|begun| begun.map(drop));
        }
        Ok(())
    }

    /// An epoch begins in one bucket. Says whether it was this call that began it.
    async fn publish(&self, scope: Scope, bucket: usize, left: i64, returns: i64) -> Result<bool, Error> {
        let keys = scope.keys(bucket);
        let mut redis = self.redis().await?;
        let mut publish = self.publish.prepare_invoke();
        publish.key(&keys.head).key(&keys.orders).key(&keys.keys).key(&keys.buyers);
        publish.arg(scope.epoch).arg(left).arg(returns).arg(GROUP);
        let before: i64 = publish.invoke_async(&mut redis).await.map_err(redis_at_write)?;
        if before > 0 {
            let old = Scope { epoch: before, ..scope }.keys(bucket);
            let forget = redis::cmd("UNLINK").arg(old.keys).arg(old.buyers).arg(old.orders).to_owned();
            // What stays behind costs memory and nothing else.
            let _: Result<i64, _> = forget.query_async(&mut redis).await;
        }
        Ok(before >= 0)
    }

    /// Copies rows into a hash of their buyers' buckets, without holding more of them than one flush.
    async fn copy(
        &self,
        pg: &mut PgConnection,
        scope: Scope,
        sql: &'static str,
        hash: fn(&Keys) -> &str,
        field: fn(&PgRow) -> Result<Field, sqlx::Error>,
    ) -> Result<(), Error> {
        let mut redis = self.redis().await?;
        let mut rows = sqlx::query(sql).bind(scope.sale).fetch(pg);
        let mut fields = vec![Vec::new(); scope.buckets];
        let mut held = 0;
        loop {
            let row = rows.try_next().await.map_err(before_write)?;
            let last = row.is_none();
            if let Some(row) = row {
                let (buyer, name, value) = field(&row).map_err(before_write)?;
                fields[scope.home(&buyer)].push((name, value));
                held += 1;
            }
            if held == FLUSH || last && held > 0 {
                let mut commands = Commands::new();
                for (bucket, fields) in fields.iter_mut().enumerate() {
                    for some in fields.chunks(FIELDS) {
                        commands.hset_multiple(hash(&scope.keys(bucket)), some).ignore();
                    }
                    fields.clear();
                }
                commands.query_async::<()>(&mut redis).await.map_err(redis_at_write)?;
                held = 0;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// It is filled beside whoever was told to wait.
    pub(super) fn fill_soon(&self, sale: Uuid, why: Why) {
        let Some(pipeline) = self.me.upgrade() else { return };
        self.runtime.spawn(async move {
            match pipeline.fill_alone(sale, why).await {
                Ok(true) => tracing::warn!(sale.id = %sale, "Redis was filled anew from the ledger"),
                Ok(false) => {}
                Err(e) => tracing::warn!(sale.id = %sale, "Redis could not be filled: {e}"),
            }
        });
    }

    /// Under a lock that ends with its holder: one process fills, the others wait for what it writes. Says
    /// whether it was this one.
    async fn fill_alone(&self, id: Uuid, why: Why) -> Result<bool, Error> {
        let connection = self.locks.acquire().await.map_err(before_write)?;
        // Out of the pool: closing it is what frees the lock, however this ends.
        let mut connection = connection.detach();
        let second =
            i32::from_be_bytes([id.as_bytes()[12], id.as_bytes()[13], id.as_bytes()[14], id.as_bytes()[15]]);
        let lock = sqlx::postgres::PgAdvisoryLock::with_key(sqlx::postgres::PgAdvisoryLockKey::IntPair(
            LOCK, second,
        ));
        let held = if matches!(why, Why::Unrecordable(_)) {
            // Whoever fills just now does not know what is wrong here, and may find all well.
            lock.acquire(&mut connection).await.map_err(before_write)?
        } else {
            match lock.try_acquire(&mut connection).await.map_err(before_write)? {
                sqlx::Either::Left(held) => held,
                sqlx::Either::Right(_) => return Ok(false),
            }
        };
        let filled = self.fill_locked(id, why).await;
        drop(held);
        let _ = connection.close().await;
        filled
    }

    async fn fill_locked(&self, id: Uuid, why: Why) -> Result<bool, Error> {
        let Some(sale) = ledger::sale(&self.reads, id).await?.filter(|s| s.strategy == self.strategy) else {
            // Handed over meanwhile: whoever sells from here finds out by the epoch.
            return Ok(false);
        };
        let (mut redis_epoch, mut whole) = self.redis_epoch(&sale).await?;
        if !whole && self.scope(&sale).buckets > 1 {
            // Perhaps somebody opens it just now and has begun some of the buckets.
            tokio::time::sleep(SEEN_POLL).await;
            (redis_epoch, whole) = self.redis_epoch(&sale).await?;
        }
        // Another process may have been here just before.
        if redis_epoch == Some(sale.epoch) && whole {
            let wrong = match why {
                Why::Unknown => false,
                Why::BelievesOther => self.disagrees(&sale).await?,
                Why::Unrecordable(epoch) => epoch == sale.epoch,
            };
            if !wrong {
                return Ok(false);
            }
        }
        let least = redis_epoch.map_or(0, |epoch| epoch + 1);
        let Some(epoch) = ledger::raise_epoch(&self.pg, &sale, None, least).await? else { return Ok(false) };
        metrics::counter!("sellout_redis_filled_total").increment(1);
        self.fill(&Sale { epoch, ..sale }).await?;
        Ok(true)
    }

    /// The epoch that Redis is of, and whether everything is there that an epoch begins with.
    async fn redis_epoch(&self, sale: &Sale) -> Result<(Option<i64>, bool), Error> {
        let scope = self.scope(sale);
        let each = scope.all().map(async |keys| {
            let mut redis = self.redis().await?;
            let mut ask = redis::pipe();
            ask.cmd("HGET").arg(keys.head).arg("epoch");
            ask.cmd("EXISTS").arg(keys.keys).arg(keys.buyers).arg(keys.orders);
            ask.query_async::<(Option<i64>, i64)>(&mut redis).await.map_err(redis_at_write)
        });
        let each: Vec<(Option<i64>, i64)> = join_all(each).await.into_iter().collect::<Result<_, _>>()?;
        let newest = each.iter().filter_map(|(epoch, _)| *epoch).max();
        Ok((newest, each.iter().all(|(epoch, there)| *epoch == newest && *there == 3)))
    }
}
