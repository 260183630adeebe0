//! Looks after all sales of the strategy, also those that nobody buys from: entries that a dead process left
//! are drained, returns that Redis has missed are brought, and a Redis that believes in more than there is
//! gets filled anew.

use std::sync::Weak;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::Row;

use super::Pipeline;
use super::buckets::Head;
use super::fill::{COUNTER, Why};
use super::keys::Scope;
use crate::ledger::before_write;
use crate::sale::{Error, Sale};

pub(super) const WATCHED: &str = include_str!("watched.sql");

/// Sales that Redis is asked about at once.
const AT_ONCE: usize = 200;

/// What the ledger has of a sale.
struct Watched {
    scope: Scope,
    left: i64,
    returns: i64,
}

/// What Redis believes of a sale, all its buckets together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Belief {
    pub epoch: i64,
    /// `None` while the buckets do not stand at the same number of returns: nothing to be compared.
    pub left: Option<i64>,
    /// The last number of returns that all of them have applied.
    pub applied: i64,
}

impl Belief {
    /// `None` where a bucket is missing or of another epoch than the others. They are read one after the
    /// other; what one gives to another meanwhile is not counted twice, see [`Head::own`].
    pub(super) fn of(heads: &[Option<Head>]) -> Option<Belief> {
        let heads = heads.iter().map(Option::as_ref).collect::<Option<Vec<&Head>>>()?;
        let first = heads.first()?;
        let alike = |what: fn(&Head) -> i64| heads.iter().all(|head| what(head) == what(first));
        alike(|head| head.epoch).then(|| Belief {
            epoch: first.epoch,
            left: alike(|head| head.applied).then(|| heads.iter().map(|head| head.own()).sum()),
            applied: heads.iter().map(|head| head.applied).min().unwrap_or_default(),
        })
    }
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
                scope: self.scope_of(r.try_get("id")?, r.try_get("epoch")?, r.try_get("units")?),
                left: r.try_get("units_left")?,
                returns: r.try_get("returns")?,
            })
        };
        let sales: Vec<Watched> = rows.iter().map(watched).collect::<Result<_, _>>().map_err(before_write)?;
        for some in sales.chunks(AT_ONCE) {
            let believed = some.iter().map(async |sale| {
                Ok::<_, Error>((self.heads(sale.scope).await?, self.waiting_in(sale.scope).await?))
            });
            for (sale, believed) in some.iter().zip(join_all(believed).await) {
                let (heads, waiting) = believed?;
                self.look_after(sale, &heads, waiting).await;
            }
        }
        Ok(())
    }

    async fn look_after(&self, sale: &Watched, heads: &[Option<Head>], waiting: u64) {
        let Scope { sale: id, epoch, .. } = sale.scope;
        // A later one than ours: the answer is newer than what we read of the ledger.
        if heads.iter().flatten().any(|head| head.epoch > epoch) {
            return;
        }
        if !heads.iter().all(|head| head.as_ref().is_some_and(|head| head.epoch == epoch)) {
            return self.fill_soon(id, Why::Unknown);
        }
        if waiting > 0
            && let Some(desk) = self.desk(sale.scope)
        {
            desk.claim();
        }
        // Whoever was giving may have died in the middle of it.
        if let Err(e) = self.deliver_all(sale.scope, heads).await {
            tracing::debug!(sale.id = %id, "units between buckets are not delivered yet: {e}");
        }
        self.compare(sale.scope, (sale.left, sale.returns), Belief::of(heads)).await;
    }

    /// Holds Redis against the ledger, which was read before it: units that Redis has missed are brought,
    /// and if it believes in more than there are it has lost what it had acknowledged.
    pub(super) async fn compare(&self, scope: Scope, ledger: (i64, i64), believed: Option<Belief>) {
        let Some(Belief { left, applied, .. }) = believed.filter(|b| b.epoch == scope.epoch) else { return };
        let (sale, (units_left, returns)) = (scope.sale, ledger);
        if applied < returns {
            if let Err(e) = self.apply_returns(scope).await {
                tracing::debug!(sale.id = %sale, "units could not be brought back to Redis: {e}");
            }
        } else if applied == returns
            && let Some(left) = left.filter(|left| *left > units_left)
        {
            let why = format!("Redis has {left} left and the ledger {units_left}: it has lost orders");
            tracing::warn!(sale.id = %sale, "{why}");
            self.fill_soon(sale, Why::BelievesOther);
        }
    }

    /// Does Redis, asked after the ledger, believe in more than there is, or in less with nothing on its way?
    pub(super) async fn disagrees(&self, sale: &Sale) -> Result<bool, Error> {
        let row = sqlx::query(COUNTER).bind(sale.id).fetch_one(&self.reads).await.map_err(before_write)?;
        let units_left: i64 = row.try_get("units_left").map_err(before_write)?;
        let returns: i64 = row.try_get("returns").map_err(before_write)?;
        let scope = self.scope(sale);
        let before = self.waiting_in(scope).await?;
        let Some(Belief { left, applied, .. }) = Belief::of(&self.heads(scope).await?) else {
            return Ok(true);
        };
        let waiting = before + self.waiting_in(scope).await?;
        let Some(left) = left else { return Ok(applied > returns) };
        // Less in Redis, and nothing on its way, is as wrong as more: units that nobody can sell.
        Ok(applied > returns
            || applied == returns && (left > units_left || left < units_left && waiting == 0))
    }
}
