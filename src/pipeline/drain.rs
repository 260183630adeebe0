//! A batch: read from the stream, recorded in one statement, told to the buyers, and only then done in Redis.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::streams::{StreamId, StreamReadReply};
use sqlx::Row;
use uuid::Uuid;

use super::desk::Desk;
use super::entry::{self, Entry};
use super::fill::Why;
use super::keys::{Keys, Scope};
use super::together::{Bundle, ORDERS_ENOUGH, Said};
use super::watch::Belief;
use super::{Pipeline, words};
use crate::backends::redis_at_write;
use crate::ledger::before_write;
use crate::sale::Error;

pub(super) const OUTCOMES: &str = include_str!("outcomes.sql");
pub(super) const DONE: &str = include_str!("done.lua");

/// What is said of an order that makes every statement fail.
const POISONED: &str = "poisoned";
/// The consumer group: all who drain.
pub(super) const GROUP: &str = "ledger";
/// Entries that are read at once.
const BATCH_MAX: usize = 256;
/// What nobody has finished for so long is left over by a process that died. A live one that is so slow loses
/// nothing: an order is recorded once, whoever brings it.
const IDLE_MS: u64 = 5_000;
/// Between two looks at what others have drained, while somebody waits.
const LOOK: Duration = Duration::from_millis(100);
/// The same while other processes do drain.
const LOOK_OFTEN: Duration = Duration::from_millis(10);
/// They do, as long as they were seen within this.
const OTHERS_SEEN: Duration = Duration::from_secs(10);
/// With nobody waiting, only a wake wakes.
const SLEEP: Duration = Duration::from_secs(3600);

/// What one statement records: entries of the streams, each with its bucket, and the orders in them.
#[derive(Default)]
struct Portion {
    ids: Vec<(usize, String)>,
    entries: Vec<Entry>,
}

fn portions(batch: impl Iterator<Item = (usize, StreamId)>) -> Vec<Portion> {
    let mut portions: Vec<Portion> = Vec::new();
    for (bucket, entry) in batch {
        if portions.last().is_none_or(|portion| portion.entries.len() >= ORDERS_ENOUGH) {
            portions.push(Portion::default());
        }
        if let Some(portion) = portions.last_mut() {
            portion.ids.push((bucket, entry.id.clone()));
            portion.entries.extend(entry::all_of(entry));
        }
    }
    portions
}

impl Pipeline {
    /// Drains until nothing is left that was there when it began. Says whether orders of other processes
    /// were among it. `again`: this process has read a batch before and failed to record it.
    pub(super) async fn drain(&self, desk: &Desk, again: bool) -> Result<bool, Error> {
        let mut own = again;
        let mut buckets = desk.taken_from();
        if desk.takes_on() {
            join_all(desk.scope.all().map(|keys| self.take_over(keys)))
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?;
            own = true;
        }
        if own {
            buckets = (0..desk.scope.buckets).collect();
        }
        let mut strangers = false;
        loop {
            let read =
                buckets.iter().map(|bucket| self.read(desk.scope.keys(*bucket), if own { "0" } else { ">" }));
            let batches: Result<Vec<_>, Error> = join_all(read).await.into_iter().collect();
            let batches = match batches {
                // No stream, no group: Redis has lost them.
                Err(Error::Unavailable(why)) if why.contains("NOGROUP") => {
                    self.fill_soon(desk.scope.sale, Why::Unknown);
                    return Ok(strangers);
                }
                batches => batches?,
            };
            let full = batches.iter().any(|batch| batch.len() == BATCH_MAX);
            let each = buckets.iter().zip(batches);
            let entries = each.flat_map(|(bucket, batch)| batch.into_iter().map(|entry| (*bucket, entry)));
            for portion in portions(entries) {
                strangers |= self.record(desk, portion).await?;
            }
            match (own, full) {
                (true, false) => own = false,
                (false, false) => return Ok(strangers),
                _ => {}
            }
        }
    }

    /// Makes our own what a process that died has left unfinished.
    async fn take_over(&self, keys: Keys) -> Result<(), Error> {
        let mut redis = self.redis().await?;
        let mut claim = redis::cmd("XAUTOCLAIM");
        claim.arg(&keys.orders).arg(GROUP).arg(&self.consumer).arg(IDLE_MS).arg("0");
        claim.arg("COUNT").arg(BATCH_MAX).arg("JUSTID");
        claim.query_async::<redis::Value>(&mut redis).await.map_err(redis_at_write).map(drop)
    }

    async fn read(&self, keys: Keys, from: &str) -> Result<Vec<StreamId>, Error> {
        let mut redis = self.redis().await?;
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(BATCH_MAX);
        read.arg("STREAMS").arg(&keys.orders).arg(from);
        let reply: Option<StreamReadReply> = read.query_async(&mut redis).await.map_err(redis_at_write)?;
        Ok(reply.and_then(|reply| reply.keys.into_iter().next()).map(|key| key.ids).unwrap_or_default())
    }

    async fn record(&self, desk: &Desk, portion: Portion) -> Result<bool, Error> {
        let Portion { ids, entries } = portion;
        let orders: Vec<_> = entries.iter().map(|entry| entry.order).collect();
        let mut words = Vec::new();
        // Committed when this returns. Should this process die after it, somebody brings the batch again, and
        // the ledger answers as before.
        let counter = self.record_entries(desk, entries, &mut words).await?;
        let mut strangers = false;
        for (order, word) in orders.into_iter().zip(&words) {
            strangers |= !desk.tell(order, word);
        }
        let belief = self.finish(desk.scope, &ids).await?;
        if words.iter().any(|word| word == POISONED) {
            // Its units are taken in Redis and nowhere else; a new epoch begins with the ledger's word. Not
            // before the others of the batch are recorded under this one.
            self.fill_soon(desk.scope.sale, Why::Unrecordable(desk.scope.epoch));
        } else if let Some(counter) = counter {
            self.compare(desk.scope, counter, belief).await;
        }
        Ok(strangers)
    }

    /// The streams forget these entries. Answers with what Redis believes, to be held against the ledger,
    /// which was read before.
    async fn finish(&self, scope: Scope, ids: &[(usize, String)]) -> Result<Option<Belief>, Error> {
        let one = async |bucket: usize| {
            let keys = scope.keys(bucket);
            let mut redis = self.redis().await?;
            let mut done = self.done.prepare_invoke();
            done.key(&keys.head).key(&keys.orders).arg(GROUP);
            ids.iter().filter(|(of, _)| *of == bucket).for_each(|(_, id)| _ = done.arg(id));
            let head: (Option<i64>, Option<i64>, Option<i64>) =
                done.invoke_async(&mut redis).await.map_err(redis_at_write)?;
            Ok::<_, Error>(head)
        };
        let buckets: BTreeSet<usize> = ids.iter().map(|(bucket, _)| *bucket).collect();
        let heads: Vec<_> =
            join_all(buckets.into_iter().map(one)).await.into_iter().collect::<Result<_, _>>()?;
        match heads[..] {
            [(Some(epoch), Some(left), Some(applied))] if scope.buckets == 1 => {
                Ok(Some(Belief { epoch, left: Some(left), applied }))
            }
            _ if scope.buckets == 1 => Ok(None),
            _ => Ok(Belief::of(&self.heads(scope).await?)),
        }
    }

    /// One statement, one commit. Where a single order makes it fail, the others must not fail with it: the
    /// batch is halved until that order is alone, and that one is refused by leaving it to the next epoch.
    async fn record_entries(
        &self,
        desk: &Desk,
        entries: Vec<Entry>,
        words: &mut Vec<String>,
    ) -> Result<Option<(i64, i64)>, Error> {
        if entries.is_empty() {
            return Ok(None);
        }
        let Scope { sale, epoch, .. } = desk.scope;
        match self.writers.of(sale).ask(Bundle { sale, epoch, entries }).await? {
            Said::Words(said, counter) => {
                words.extend(said);
                Ok(Some(counter))
            }
            Said::Poisoned(why, entries) if entries.len() == 1 => {
                tracing::error!(sale.id = %sale, order.id = %entries[0].order, "cannot be recorded: {why}");
                words.push(POISONED.into());
                Ok(None)
            }
            Said::Poisoned(_, mut first) => {
                let second = first.split_off(first.len() / 2);
                Box::pin(self.record_entries(desk, first, words)).await?;
                Box::pin(self.record_entries(desk, second, words)).await
            }
        }
    }

    /// What has become of orders, whoever drained them, and the epoch of the sale in the same snapshot.
    pub(super) async fn outcomes(
        &self,
        sale: Uuid,
        orders: &[Uuid],
    ) -> Result<(i64, HashMap<Uuid, String>), Error> {
        let rows = sqlx::query(OUTCOMES).bind(sale).bind(orders).fetch_all(&self.reads).await;
        let rows = rows.map_err(before_write)?;
        let first = rows.first().ok_or_else(|| Error::Unavailable("the sale is gone".into()))?;
        let epoch = first.try_get("epoch").map_err(before_write)?;
        let mut words = HashMap::new();
        for row in &rows {
            let (id, word) =
                (row.try_get("id").map_err(before_write)?, row.try_get("word").map_err(before_write)?);
            if let (Some(id), Some(word)) = (id, word) {
                words.insert(id, word);
            }
        }
        Ok((epoch, words))
    }
}

/// Drains when woken, and looks what others have drained while somebody waits. Ends with its epoch, or with
/// the pipeline.
pub(super) async fn run(desk: Arc<Desk>, pipeline: Weak<Pipeline>) {
    let mut others_seen: Option<Instant> = None;
    let mut failed = false;
    loop {
        let look =
            if others_seen.is_some_and(|seen| seen.elapsed() < OTHERS_SEEN) { LOOK_OFTEN } else { LOOK };
        let someone_waits = failed || desk.has_waiters();
        let pause = if someone_waits { look } else { SLEEP };
        let woken = desk.sleep(pause).await;
        let Some(pipeline) = pipeline.upgrade() else { return };
        if woken || failed {
            match pipeline.drain(&desk, failed).await {
                Ok(strangers) => {
                    failed = false;
                    others_seen = if strangers { Some(Instant::now()) } else { others_seen };
                }
                Err(Error::Stale) => desk.end(),
                Err(e) => {
                    tracing::debug!(sale.id = %desk.scope.sale, "not drained: {e}");
                    failed = true;
                    tokio::time::sleep(look).await;
                }
            }
        }
        let ended = desk.has_ended();
        let waiting = desk.waiting_for(if ended { Duration::ZERO } else { look });
        if !waiting.is_empty()
            && let Ok((epoch, words)) = pipeline.outcomes(desk.scope.sale, &waiting).await
        {
            for order in waiting {
                match words.get(&order) {
                    Some(word) => _ = desk.tell(order, word),
                    // Read in one snapshot with the epoch: no row, and there never will be one.
                    None if epoch != desk.scope.epoch => _ = desk.tell(order, words::STALE),
                    None => {}
                }
            }
        }
        if ended && !desk.has_waiters() {
            return;
        }
    }
}
