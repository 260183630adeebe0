//! Units that came back in the ledger come back in Redis too, each number once and in order.

use redis::ScriptInvocation;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Pipeline;
use super::keys::Keys;
use crate::backends::redis_at_write;
use crate::ledger::before_write;
use crate::sale::{Error, Sale};

pub(super) const RETURNS: &str = include_str!("returns.sql");
pub(super) const BACK: &str = include_str!("back.lua");

impl Pipeline {
    /// Tells Redis of everything that came back and that it does not know of. Should it fail, the watch does
    /// it.
    pub async fn bring_back(&self, sale: &Sale) -> Result<(), Error> {
        self.apply_returns(sale.id, sale.epoch).await
    }

    pub(super) async fn apply_returns(&self, sale: Uuid, epoch: i64) -> Result<(), Error> {
        let keys = Keys::of(sale, epoch);
        let mut redis = self.redis().await?;
        let mut ask = redis::cmd("HMGET");
        ask.arg(&keys.head).arg("epoch").arg("applied");
        let head: (Option<i64>, Option<i64>) = ask.query_async(&mut redis).await.map_err(redis_at_write)?;
        let (Some(at), Some(mut applied)) = head else { return Ok(()) };
        if at != epoch {
            return Ok(());
        }
        loop {
            let rows = sqlx::query(RETURNS).bind(sale).bind(applied).fetch_all(&self.reads).await;
            let rows = rows.map_err(before_write)?;
            for row in &rows {
                let call = self.back_call(&keys, epoch, row).map_err(before_write)?;
                let now: i64 = call.invoke_async(&mut redis).await.map_err(redis_at_write)?;
                // Another process may be at it too, and be faster; its numbers are applied then.
                if now < applied {
                    return Ok(());
                }
                applied = now;
            }
            if rows.len() < 1000 {
                return Ok(());
            }
        }
    }

    fn back_call(&self, keys: &Keys, epoch: i64, row: &PgRow) -> Result<ScriptInvocation<'_>, sqlx::Error> {
        let (buyers, units): (Vec<String>, Vec<i64>) = (row.try_get("buyers")?, row.try_get("buyer_units")?);
        let forgotten: Vec<String> = row.try_get("forgotten")?;
        let mut call = self.back.prepare_invoke();
        call.key(&keys.head).key(&keys.keys).key(&keys.buyers);
        call.arg(epoch)
            .arg(row.try_get::<i64, _>("seq")?)
            .arg(row.try_get::<i64, _>("units")?)
            .arg(buyers.len());
        for (buyer, units) in buyers.iter().zip(units) {
            call.arg(buyer).arg(units);
        }
        for mark in &forgotten {
            call.arg(mark);
        }
        Ok(call)
    }
}
