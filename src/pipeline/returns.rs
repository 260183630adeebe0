//! Units that came back in the ledger come back in Redis too, each number once and in order.

use futures_util::future::join_all;
use redis::ScriptInvocation;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use super::Pipeline;
use super::keys::Scope;
use crate::backends::redis_at_write;
use crate::ledger::before_write;
use crate::sale::{Back, Error, Sale};
use crate::stock;

pub(super) const RETURNS: &str = include_str!("returns.sql");
pub(super) const BACK: &str = include_str!("back.lua");

impl Pipeline {
    /// Gives units back in the ledger, and tells Redis of everything that came back and that it does not know
    /// of.
    pub async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        let units = stock::give_back(lane, sale, back, None).await?;
        // Committed: they are back, under the next number. Should Redis not hear of it now, it will.
        if let Err(e) = self.apply_returns(self.scope(sale)).await {
            tracing::debug!(sale.id = %sale.id, "Redis will be told later: {e}");
        }
        Ok(units)
    }

    pub(super) async fn apply_returns(&self, scope: Scope) -> Result<(), Error> {
        let applied = scope.all().map(async |keys| {
            let mut ask = redis::cmd("HMGET");
            ask.arg(&keys.head).arg("epoch").arg("applied");
            let head = ask.query_async(&mut self.redis().await?).await.map_err(redis_at_write)?;
            Ok::<(Option<i64>, Option<i64>), Error>(head)
        });
        let heads: Vec<_> = join_all(applied).await.into_iter().collect::<Result<_, _>>()?;
        let of = |head: &(Option<i64>, Option<i64>)| head.1.filter(|_| head.0 == Some(scope.epoch));
        let Some(mut applied) = heads.iter().map(of).collect::<Option<Vec<i64>>>() else { return Ok(()) };
        loop {
            let from = applied.iter().min().copied().unwrap_or_default();
            let rows = sqlx::query(RETURNS).bind(scope.sale).bind(from).fetch_all(&self.reads).await;
            let rows = rows.map_err(before_write)?;
            for row in &rows {
                let row = Return::read(row).map_err(before_write)?;
                for (bucket, applied) in applied.iter_mut().enumerate().filter(|(_, last)| **last < row.seq) {
                    let call = self.back_call(scope, bucket, &row);
                    let mut redis = self.redis().await?;
                    let now: i64 = call.invoke_async(&mut redis).await.map_err(redis_at_write)?;
                    // Another process may be at it too, and be faster; its numbers are applied then.
                    if now < *applied {
                        return Ok(());
                    }
                    *applied = now;
                }
            }
            if rows.len() < 1000 {
                return Ok(());
            }
        }
    }

    /// Every bucket goes through every number. The units come to one, by the number; a limit falls where its
    /// buyer is at home; and a key is forgotten where it stands under that order.
    fn back_call(&self, scope: Scope, bucket: usize, row: &Return) -> ScriptInvocation<'_> {
        let keys = scope.keys(bucket);
        let here = row.seq.rem_euclid(scope.buckets.cast_signed() as i64) == bucket.cast_signed() as i64;
        let buyers: Vec<_> = row.buyers.iter().filter(|(buyer, _)| scope.home(buyer) == bucket).collect();
        let mut call = self.back.prepare_invoke();
        call.key(&keys.head).key(&keys.keys).key(&keys.buyers);
        call.arg(scope.epoch).arg(row.seq).arg(if here { row.units } else { 0 }).arg(buyers.len());
        for (buyer, units) in buyers {
            call.arg(buyer).arg(units);
        }
        for mark in &row.forgotten {
            call.arg(mark);
        }
        call
    }
}

/// Units that came back, as the ledger has them.
struct Return {
    seq: i64,
    units: i64,
    buyers: Vec<(String, i64)>,
    forgotten: Vec<String>,
}

impl Return {
    fn read(row: &PgRow) -> Result<Return, sqlx::Error> {
        let (buyers, units): (Vec<String>, Vec<i64>) = (row.try_get("buyers")?, row.try_get("buyer_units")?);
        Ok(Return {
            seq: row.try_get("seq")?,
            units: row.try_get("units")?,
            buyers: buyers.into_iter().zip(units).collect(),
            forgotten: row.try_get("forgotten")?,
        })
    }
}
