//! etcd: one connection and one lease per process, kept alive by one task.
//!
//! A key that is put under the lease vanishes with it. The lease belongs to the whole process, so nothing
//! that was put and not deleted runs out by itself: what could not be deleted is remembered, for later.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, Error as Refusal, EventType, LeaseKeepAliveStream, LeaseKeeper};
use etcd_client::{KeyValue, Txn, TxnOpResponse, TxnResponse, WatchFilterType, WatchOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use crate::config::Limits;
use crate::sale::Error;

/// How often a deletion that may have overtaken its own put is answered before it is believed.
const ANSWERS: u8 = 2;

/// Before asking again after a watch that could not be opened.
const PAUSE: Duration = Duration::from_millis(50);

/// etcd, connected when it is wanted.
#[derive(Clone)]
pub struct Etcd(Arc<Shared>);

struct Shared {
    urls: Vec<String>,
    /// etcd counts in whole seconds.
    seconds: i64,
    /// No call takes longer.
    limit: Duration,
    current: tokio::sync::Mutex<Option<Arc<Lease>>>,
}

/// This process, as etcd knows it. Dropped, it is no longer kept alive.
pub struct Lease {
    client: Client,
    id: i64,
    limit: Duration,
    third: Duration,
    until: Arc<watch::Sender<Instant>>,
    leftovers: Arc<Leftovers>,
    names: AtomicU64,
    keeping: JoinHandle<()>,
}

/// What a transaction met.
pub struct Seen {
    /// Did its condition hold?
    pub held: bool,
    /// The store's revision, after it if it wrote.
    pub revision: i64,
    /// The first key of each range that it read.
    first: Vec<Option<KeyValue>>,
}

impl Seen {
    /// The first key of its `nth` range, from 0.
    pub fn key(&self, nth: usize) -> Option<&[u8]> {
        self.first(nth).map(KeyValue::key)
    }

    /// At which revision that key was created.
    pub fn created(&self, nth: usize) -> Option<i64> {
        self.first(nth).map(KeyValue::create_revision)
    }

    /// At which revision it was last written; 0 if there is none.
    pub fn modified(&self, nth: usize) -> i64 {
        self.first(nth).map_or(0, KeyValue::mod_revision)
    }

    /// The integer that stands there as text; 0 if there is none.
    pub fn number(&self, nth: usize) -> i64 {
        self.first(nth).and_then(|key| key.value_str().ok()?.parse().ok()).unwrap_or(0)
    }

    fn first(&self, nth: usize) -> Option<&KeyValue> {
        self.first.get(nth)?.as_ref()
    }
}

/// Keys that may still be there, and how many answers each still needs. As many as calls fail within one
/// lease: who cannot reach etcd for longer has none.
#[derive(Default)]
struct Leftovers(Mutex<Vec<(String, u8)>>);

impl Etcd {
    /// Connects when it is wanted: an etcd that is down while we start may come back. A call may take half
    /// the wait limit, because a wait begins and ends with one.
    pub fn open(urls: &[String], limits: &Limits) -> Result<Etcd, String> {
        if urls.is_empty() {
            return Err("ETCD_URLS is not set".to_owned());
        }
        let seconds = limits.lock_lease_ms.div_ceil(1000).max(1);
        Ok(Etcd(Arc::new(Shared {
            urls: urls.to_vec(),
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            limit: limits.wait() / 2,
            current: tokio::sync::Mutex::default(),
        })))
    }

    /// Where it is, each `http://host:port`.
    pub fn urls(&self) -> &[String] {
        &self.0.urls
    }

    /// The lease of this process; a new one, on a new connection, if the last is over.
    pub async fn lease(&self) -> Result<Arc<Lease>, Error> {
        let found = async {
            let mut current = self.0.current.lock().await;
            if let Some(lease) = current.as_ref().filter(|lease| !lease.is_over()) {
                return Ok(Arc::clone(lease));
            }
            // Should this be cut short, a lease that was granted runs out: nobody keeps it alive.
            let granted = Arc::new(self.0.grant().await?);
            *current = Some(Arc::clone(&granted));
            Ok(granted)
        };
        answer(self.0.limit, found).await.map_err(unavailable)
    }
}

impl Shared {
    async fn grant(&self) -> Result<Lease, Refusal> {
        let options = ConnectOptions::new().with_connect_timeout(self.limit);
        let mut client = Client::connect(&self.urls, Some(options)).await?;
        let asked = Instant::now();
        let granted = client.lease_grant(self.seconds, None).await?;
        // What etcd granted, which may be more than was asked for.
        let life = seconds(granted.ttl());
        let (until, leftovers) = (Arc::new(watch::Sender::new(asked + life)), Arc::default());
        let (id, limit, third) = (granted.id(), self.limit, life / 3);
        let keeper = Keeper {
            client: client.clone(),
            id,
            limit,
            third,
            until: Arc::clone(&until),
            leftovers: Arc::clone(&leftovers),
            stream: None,
        };
        let (keeping, names) = (tokio::spawn(keeper.keep()), AtomicU64::new(0));
        Ok(Lease { client, id, limit, third, until, leftovers, names, keeping })
    }
}

impl Lease {
    /// Its number in etcd.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// A name for a key under it that no other has: `<lease in hex>-<number>`.
    pub fn fresh_name(&self) -> String {
        format!("{:x}-{}", self.id, self.names.fetch_add(1, Relaxed))
    }

    /// Until when it lasts by the local clock: moved on by each renewal, moved back when etcd says that it is
    /// over, and never moved on again once it is past.
    pub fn until(&self) -> watch::Receiver<Instant> {
        self.until.subscribe()
    }

    /// Is it over, by the local clock or by etcd's word?
    pub fn is_over(&self) -> bool {
        is_past(&self.until)
    }

    /// How long to rely on an announcement: a third of its life.
    pub fn third(&self) -> Duration {
        self.third
    }

    /// One transaction. An error leaves open whether it happened.
    pub async fn txn(&self, txn: Txn) -> Result<Seen, Error> {
        let answered = answer(self.limit, self.client.kv_client().txn(txn)).await;
        answered.map(|answer| seen(&answer)).map_err(|e| {
            // etcd says so when a key is put under a lease that it does not know.
            if matches!(&e, Refusal::GRpcStatus(status) if status.message().contains("lease not found")) {
                end(&self.until);
            }
            unavailable(e)
        })
    }

    /// Returns when one of the keys has been deleted since `revision`, or when that can no longer be told:
    /// the history has been compacted, or the connection was lost.
    pub async fn deleted(&self, keys: [&[u8]; 2], revision: i64) {
        if self.watch(keys, revision).await.is_err() {
            tokio::time::sleep(self.third.min(PAUSE)).await;
        }
    }

    async fn watch(&self, keys: [&[u8]; 2], revision: i64) -> Result<(), Refusal> {
        let from = || {
            let deletes = WatchOptions::new().with_filters([WatchFilterType::NoPut]);
            Some(deletes.with_start_revision(revision))
        };
        let mut client = self.client.watch_client();
        let mut stream = answer(self.limit, client.watch(keys[0], from())).await?;
        stream.watch(keys[1], from()).await?;
        while let Some(said) = stream.message().await? {
            if said.canceled() || said.events().iter().any(|e| e.event_type() == EventType::Delete) {
                return Ok(());
            }
        }
        Err(Refusal::Internal("the watch ended".into()))
    }

    /// Has a key deleted as soon as etcd answers again. If its put had no answer either, the deletion may
    /// overtake it, so it is done twice.
    pub fn delete_later(&self, key: &str) {
        self.leftovers.lock().push((key.to_owned(), ANSWERS));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

impl Leftovers {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(String, u8)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that keeps a lease alive.
struct Keeper {
    client: Client,
    id: i64,
    limit: Duration,
    third: Duration,
    until: Arc<watch::Sender<Instant>>,
    leftovers: Arc<Leftovers>,
    stream: Option<(LeaseKeeper, LeaseKeepAliveStream)>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut next = Instant::now() + self.third;
        loop {
            sleep_until(next.into()).await;
            let asked = Instant::now();
            if is_past(&self.until) {
                break;
            }
            // Late answers are never taken: the stream on which they would come is gone.
            match timeout(self.third, self.beat()).await {
                Ok(Ok(ttl)) if ttl > 0 => {
                    let renewed = asked + seconds(ttl);
                    self.until.send_if_modified(|until| {
                        let lives = *until > Instant::now();
                        *until = if lives { renewed } else { *until };
                        lives
                    });
                    self.clear().await;
                    next = asked + self.third;
                }
                // A dead lease is no error: its time to live is 0.
                Ok(Ok(_)) => {
                    metrics::counter!("sellout_lock_renewals_refused_total").increment(1);
                    end(&self.until);
                    return;
                }
                // Nobody answered. The deadline stands where it stood.
                Ok(Err(_)) | Err(_) => next = asked + self.third / 4,
            }
        }
        // Nobody believes in it any more; should it live on in etcd, it must not block the queues.
        let _best_effort = timeout(self.limit, self.client.lease_revoke(self.id)).await;
    }

    /// Renews it once and says how many seconds it has now. Whatever goes wrong ends the stream.
    async fn beat(&mut self) -> Result<i64, Refusal> {
        let (mut keeper, mut answers) = match self.stream.take() {
            Some(open) => open,
            None => match self.client.lease_keep_alive(self.id).await {
                Ok(open) => open,
                // That may mean a dead lease, or a stream that could not be opened.
                Err(Refusal::LeaseKeepAliveError(_)) => {
                    let asked = self.client.lease_time_to_live(self.id, None).await?;
                    return match asked.ttl() {
                        ..=0 => Ok(0),
                        _ => Err(Refusal::LeaseKeepAliveError("it lives, and was not renewed".into())),
                    };
                }
                Err(e) => return Err(e),
            },
        };
        keeper.keep_alive().await?;
        let said = answers.message().await?.ok_or_else(|| Refusal::Internal("the stream ended".into()))?;
        self.stream = Some((keeper, answers));
        Ok(said.ttl())
    }

    /// Deletes what could not be deleted when it should have been. The first that fails ends it until the
    /// next renewal, which must not be late for it.
    async fn clear(&mut self) {
        let keys = std::mem::take(&mut *self.leftovers.lock());
        let mut answers = true;
        for (key, needed) in keys {
            answers = answers && answer(self.limit, self.client.delete(&*key, None)).await.is_ok();
            let needed = needed - u8::from(answers);
            if needed > 0 {
                self.leftovers.lock().push((key, needed));
            }
        }
    }
}

fn is_past(until: &watch::Sender<Instant>) -> bool {
    *until.borrow() <= Instant::now()
}

/// From now on, unless it was over before.
fn end(until: &watch::Sender<Instant>) {
    until.send_modify(|until| *until = (*until).min(Instant::now()));
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

fn seen(answer: &TxnResponse) -> Seen {
    let first = answer.op_responses().into_iter().filter_map(|answer| match answer {
        TxnOpResponse::Get(mut range) => Some(range.take_kvs().into_iter().next()),
        _ => None,
    });
    let (held, first) = (answer.succeeded(), first.collect());
    Seen { held, revision: answer.header().map_or(0, |header| header.revision()), first }
}

async fn answer<T>(limit: Duration, call: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    match timeout(limit, call).await {
        Ok(answered) => answered,
        Err(_) => Err(Refusal::Internal(format!("no answer within {limit:?}"))),
    }
}

fn unavailable(e: Refusal) -> Error {
    Error::Unavailable(format!("etcd: {e}"))
}
