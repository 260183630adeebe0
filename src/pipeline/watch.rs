//! Looks after all sales of the strategy, also those that nobody buys from: entries that a dead process left
//! are drained, returns that Redis has missed are brought, and a Redis that believes in more than there is
//! gets filled anew.

use std::sync::Weak;
use std::time::Duration;

use sqlx::Row;
use uuid::Uuid;

use super::Pipeline;
use super::fill::COUNTER;
use super::keys::Keys;
use crate::backends::redis_at_write;
use crate::ledger::before_write;
use crate::sale::{Error, Sale};

pub(super) const WATCHED: &str = include_str!("watched.sql");

/// Sales that Redis is asked about at once.
const AT_ONCE: usize = 200;

/// What Redis has of a sale: epoch, units left, returns applied.
type Head = (Option<i64>, Option<i64>, Option<i64>);

/// What the ledger has of a sale.
struct Watched {
    id: Uuid,
    epoch: i64,
    left: i64,
    returns: i64,
}

/// Until the pipeline is gone.
pub(super) async fn run(pipeline: Weak<Pipeline>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pipeline) = pipeline.upgrade() else { return };
        if let Err(e) = pipeline.look_after_all().await {
            tracing::debug!("Redis and the ledger could not be compared: {e}");
        }
    }
}

impl Pipeline {
    async fn look_after_all(&self) -> Result<(), Error> {
        // The ledger first and Redis after it: only so does "more in Redis" mean that Redis is wrong.
        let rows = sqlx::query(WATCHED).bind(self.strategy).fetch_all(&self.reads).await;
        let rows = rows.map_err(before_write)?;
        let watched = |r: &sqlx::postgres::PgRow| -> Result<Watched, sqlx::Error> {
            Ok(Watched {
                id: r.try_get("id")?,
                epoch: r.try_get("epoch")?,
                left: r.try_get("units_left")?,
                returns: r.try_get("returns")?,
            })
        };
        let sales: Vec<Watched> = rows.iter().map(watched).collect::<Result<_, _>>().map_err(before_write)?;
        for some in sales.chunks(AT_ONCE) {
            let mut ask = redis::pipe();
            for sale in some {
                let keys = Keys::of(sale.id, sale.epoch);
                ask.cmd("HMGET").arg(keys.head).arg("epoch").arg("left").arg("applied");
                ask.cmd("XLEN").arg(keys.orders);
            }
            let mut redis = self.redis().await?;
            let answers: Vec<redis::Value> = ask.query_async(&mut redis).await.map_err(redis_at_write)?;
            drop(redis);
            let mut answers = answers.into_iter();
            for sale in some {
                let (Some(head), Some(waiting)) = (answers.next(), answers.next()) else { break };
                let head: Head = redis::from_redis_value(head).unwrap_or_default();
                let waiting: u64 = redis::from_redis_value(waiting).unwrap_or_default();
                self.look_after(sale, head, waiting).await;
            }
        }
        Ok(())
    }

    async fn look_after(&self, sale: &Watched, head: Head, waiting: u64) {
        match head.0 {
            Some(epoch) if epoch == sale.epoch => {}
            // A later one than ours: the answer is newer than what we read of the ledger.
            Some(epoch) if epoch > sale.epoch => return,
            _ => return self.fill_soon(sale.id),
        }
        if waiting > 0
            && let Some(desk) = self.desk(sale.id, sale.epoch)
        {
            desk.claim();
        }
        self.compare(sale.id, sale.epoch, (sale.left, sale.returns), head).await;
    }

    /// Holds Redis against the ledger, which was read before it: units that Redis has missed are brought,
    /// and if it believes in more than there are it has lost what it had acknowledged.
    pub(super) async fn compare(&self, sale: Uuid, epoch: i64, ledger: (i64, i64), head: Head) {
        let (Some(at), Some(left), Some(applied)) = head else { return };
        let (units_left, returns) = ledger;
        if at != epoch {
            return;
        }
        if applied < returns {
            if let Err(e) = self.apply_returns(sale, epoch).await {
                tracing::debug!(sale.id = %sale, "units could not be brought back to Redis: {e}");
            }
        } else if applied == returns && left > units_left {
            let why = format!("Redis has {left} left and the ledger {units_left}: it has lost orders");
            tracing::warn!(sale.id = %sale, "{why}");
            self.fill_anew_soon(sale);
        }
    }

    /// Does Redis, asked after the ledger, believe in more than there is? Or has it an order that cannot be
    /// recorded?
    pub(super) async fn disagrees(&self, sale: &Sale) -> Result<bool, Error> {
        let row = sqlx::query(COUNTER).bind(sale.id).fetch_one(&self.reads).await.map_err(before_write)?;
        let units_left: i64 = row.try_get("units_left").map_err(before_write)?;
        let returns: i64 = row.try_get("returns").map_err(before_write)?;
        let keys = Keys::of(sale.id, sale.epoch);
        let mut redis = self.redis().await?;
        let mut ask = redis::pipe();
        ask.cmd("HMGET").arg(keys.head).arg("left").arg("applied").cmd("XLEN").arg(keys.orders);
        let ((left, applied), waiting): ((Option<i64>, Option<i64>), u64) =
            ask.query_async(&mut redis).await.map_err(redis_at_write)?;
        let (Some(left), Some(applied)) = (left, applied) else { return Ok(true) };
        // Less in Redis, and nothing on its way, is as wrong as more: units that nobody can sell.
        Ok(applied > returns
            || applied == returns && (left > units_left || left < units_left && waiting == 0))
    }
}
