//! A queue of znodes: the recipe that `lock_zookeeper` and `lock_curator` share, each with names of its own.
//!
//! Not a lock itself. Everybody puts an ephemeral sequential node below the sale's and lists them: the lowest
//! is inside, each other one watches the node before its own and nothing else, and lists again whenever that
//! one goes. It may have gone because a waiter gave up, so only the list says who is inside.
//!
//! The token is the node's czxid plus a base that stands in the parent's data; no data is none. A ZooKeeper
//! set up anew counts from the start, and raising the base takes the tokens above what the fence has seen.
//! The base is kept in memory, and read again whenever the list says that the parent has changed: the list
//! that let us in is younger than the end of everybody before us, so whoever comes later has the greater
//! token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;
use zookeeper_client::{Acls, CreateMode, CreateOptions, Error as ZkError, Stat};

use super::{Released, Wait};
use crate::backends::zookeeper::{Session, is_cut, is_ended, unavailable};
use crate::backends::{Backends, Zookeeper};
use crate::sale::Error;

/// Not a container: that would be reaped when empty, and the base with it.
const PARENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const NODE: CreateOptions<'static> = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
/// What stands before the number by which the nodes are sorted, as in Curator.
const NUMBERED: &str = "lock-";
/// More bases than this, and they are read again.
const REMEMBERED_MAX: usize = 1024;
const HELD: &str = "the lock was held by others for as long as one waits";
const SILENT: &str = "ZooKeeper gave no session for as long as one waits";

/// A queue per sale.
pub(super) struct ZnodeQueue {
    zookeeper: Zookeeper,
    /// Below it each sale has a node.
    root: &'static str,
    /// Before the owner's unique id in the name of a node.
    mark: &'static str,
    limit: Duration,
    bases: Mutex<HashMap<Uuid, Base>>,
}

/// What is added to a czxid, as it was in one session after one change of the parent.
#[derive(Clone, Copy)]
struct Base {
    session: i64,
    mzxid: i64,
    value: i64,
}

/// Why a place in the queue was not kept.
enum Failed {
    /// Nobody waits for it any more, or the server refuses.
    Ended(Error),
    /// The session or the node is gone: queue up once more.
    Again(String),
}

impl From<Error> for Failed {
    fn from(e: Error) -> Failed {
        Failed::Ended(e)
    }
}

impl From<ZkError> for Failed {
    fn from(e: ZkError) -> Failed {
        match is_ended(&e) || e == ZkError::NoNode {
            true => Failed::Again(format!("ZooKeeper: {e}")),
            false => Failed::Ended(unavailable(e)),
        }
    }
}

impl ZnodeQueue {
    pub(super) fn new(
        backends: &Backends,
        root: &'static str,
        mark: &'static str,
    ) -> Result<ZnodeQueue, Error> {
        let (zookeeper, limit) = (backends.zookeeper()?.clone(), backends.limits.wait());
        Ok(ZnodeQueue { zookeeper, root, mark, limit, bases: Mutex::default() })
    }

    /// Makes the sale's node.
    pub(super) async fn open(&self, sale: Uuid) -> Result<(), Error> {
        let parent = self.parent(sale);
        let opening = async {
            loop {
                let session = self.zookeeper.session().await?;
                match make(&session, &parent).await {
                    Ok((data, stat)) => {
                        self.remember(&session, sale, &data, &stat);
                        return Ok(());
                    }
                    Err(e) if is_cut(&e) || is_ended(&e) => tokio::task::yield_now().await,
                    Err(e) => return Err(unavailable(e)),
                }
            }
        };
        limited(self.limit, opening).await
    }

    /// Queues up and waits until nobody is before us. Every way out without a place leaves no node behind.
    pub(super) async fn enter(&self, sale: Uuid, wait: &mut Wait) -> Result<Place, Error> {
        loop {
            let session = wait.for_event(self.zookeeper.session(), SILENT).await??;
            let prefix = format!("{}{}-{NUMBERED}", self.mark, Uuid::now_v7());
            let waiter = Waiter { session, parent: self.parent(sale), prefix };
            match self.queue_up(sale, &waiter, wait).await {
                Ok((node, token)) => {
                    let path = format!("{}/{node}", waiter.parent);
                    return Ok(Place { session: waiter.session, path, token, limit: self.limit });
                }
                Err(failed) => {
                    waiter.withdraw();
                    match failed {
                        Failed::Ended(e) => return Err(e),
                        Failed::Again(why) => wait.pause(&why).await?,
                    }
                }
            }
        }
    }

    async fn queue_up(&self, sale: Uuid, own: &Waiter, wait: &mut Wait) -> Result<(String, i64), Failed> {
        let (node, stat) = own.join(wait).await?;
        // The node of a session that is over goes with it; it would be a place in nobody's name.
        if stat.ephemeral_owner != own.session.id() {
            return Err(Failed::Again("the node was made by a session that is over".into()));
        }
        loop {
            let list = || own.session.client().get_children(&own.parent);
            let (mut nodes, parent) = own.ask(wait, list).await?;
            nodes.sort_by(|a, b| number(a).cmp(number(b)));
            // The list shows our own node too: it is there, by the word of its own session.
            let Some(place) = nodes.iter().position(|other| *other == node) else {
                return Err(Failed::Again("the node in the queue was deleted by somebody else".into()));
            };
            if place == 0 {
                match self.base(sale, own, &parent, wait).await? {
                    Some(base) => return Ok((node, stat.czxid.saturating_add(base))),
                    None => continue,
                }
            }
            let before = format!("{}/{}", own.parent, nodes[place - 1]);
            // Just now the one before us may have gone: then there is nothing to watch. Data and not
            // existence is watched, because that leaves no watch behind at a node that is gone.
            match own.ask(wait, || own.session.client().get_and_watch_data(&before)).await {
                Ok((.., gone)) => _ = wait.for_event(gone.changed(), HELD).await?,
                Err(Failed::Again(_)) => continue,
                Err(failed) => return Err(failed),
            }
        }
    }

    /// The base as of this state of the parent; `None` if it has changed just now.
    async fn base(
        &self,
        sale: Uuid,
        own: &Waiter,
        parent: &Stat,
        wait: &mut Wait,
    ) -> Result<Option<i64>, Failed> {
        let known = self.bases().get(&sale).copied();
        let valid = |base: &Base| base.session == own.session.id() && base.mzxid == parent.mzxid;
        if let Some(base) = known.filter(valid) {
            return Ok(Some(base.value));
        }
        let (data, stat) = own.ask(wait, || own.session.client().get_data(&own.parent)).await?;
        Ok((stat.mzxid == parent.mzxid).then(|| self.remember(&own.session, sale, &data, &stat)))
    }

    /// Makes every later token greater than `above`.
    pub(super) async fn raise(&self, sale: Uuid, above: i64) -> Result<(), Error> {
        let parent = self.parent(sale);
        let raising = async {
            loop {
                let session = self.zookeeper.session().await?;
                match raise_once(&session, &parent, above).await {
                    Ok((data, stat)) => {
                        self.remember(&session, sale, &data, &stat);
                        return Ok(());
                    }
                    Err(ZkError::NoNode) => self.open(sale).await?,
                    // Somebody else has raised it; or who knows: look again.
                    Err(e) if is_cut(&e) || is_ended(&e) || e == ZkError::BadVersion => {
                        tokio::task::yield_now().await;
                    }
                    Err(e) => return Err(unavailable(e)),
                }
            }
        };
        limited(self.limit, raising).await
    }

    fn parent(&self, sale: Uuid) -> String {
        format!("{}/{sale}", self.root)
    }

    fn remember(&self, session: &Session, sale: Uuid, data: &[u8], stat: &Stat) -> i64 {
        let mut bases = self.bases();
        if bases.len() >= REMEMBERED_MAX {
            bases.clear();
        }
        let base = Base { session: session.id(), mzxid: stat.mzxid, value: parse(data) };
        bases.insert(sale, base);
        base.value
    }

    fn bases(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Base>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who queues: its session, and how its node is known.
struct Waiter {
    session: Arc<Session>,
    parent: String,
    /// Nobody else's: a node that was made while its answer got lost is found by it.
    prefix: String,
}

impl Waiter {
    /// Makes the node, and says how it is called.
    async fn join(&self, wait: &mut Wait) -> Result<(String, Stat), Failed> {
        let (client, path) = (self.session.client(), format!("{}/{}", self.parent, self.prefix));
        loop {
            match wait.for_event(client.create(&path, b"", &NODE), HELD).await? {
                Ok((stat, number)) => return Ok((format!("{}{number}", self.prefix), stat)),
                // The first one here, or the first after Curator had made the parent and it was reaped.
                Err(ZkError::NoNode) => self.ask(wait, || client.mkdir(&self.parent, &PARENT)).await?,
                // Made or not? A second node of ours would be before us and never leave.
                Err(e) if is_cut(&e) => {
                    if let Some(found) = self.find(wait).await? {
                        return Ok(found);
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn find(&self, wait: &mut Wait) -> Result<Option<(String, Stat)>, Failed> {
        let nodes = match self.ask(wait, || self.session.client().list_children(&self.parent)).await {
            // The parent is not there yet.
            Err(Failed::Again(_)) => return Ok(None),
            nodes => nodes?,
        };
        let Some(node) = nodes.into_iter().find(|node| node.starts_with(&self.prefix)) else {
            return Ok(None);
        };
        let path = format!("{}/{node}", self.parent);
        let stat = self.ask(wait, || self.session.client().check_stat(&path)).await?;
        Ok(stat.map(|stat| (node, stat)))
    }

    /// Asks for as long as one waits: a lost connection is no lost session.
    async fn ask<T, F: Future<Output = Result<T, ZkError>>>(
        &self,
        wait: &mut Wait,
        question: impl Fn() -> F,
    ) -> Result<T, Failed> {
        loop {
            match wait.for_event(question(), HELD).await? {
                Err(e) if is_cut(&e) => wait.pause("the connection to ZooKeeper was lost").await?,
                answered => return Ok(answered?),
            }
        }
    }

    /// Deletes the node in the background, however long the connection is away: it blocks everybody until
    /// its session is over.
    fn withdraw(self) {
        let session = Arc::clone(&self.session);
        session.spawn(async move {
            // Requests keep their order, so the list comes after whatever was sent before. Only what was
            // under way on a wire that is cut may come later, hence a second look.
            for _look in 0..2 {
                while let Err(e) = self.delete_own().await {
                    if !is_cut(&e) {
                        return;
                    }
                }
                tokio::time::sleep(self.session.client().session_timeout() / 3).await;
            }
        });
    }

    async fn delete_own(&self) -> Result<(), ZkError> {
        let client = self.session.client();
        for node in client.list_children(&self.parent).await? {
            if node.starts_with(&self.prefix) {
                match client.delete(&format!("{}/{node}", self.parent), None).await {
                    Ok(()) | Err(ZkError::NoNode) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

/// The first place of a queue.
pub(super) struct Place {
    session: Arc<Session>,
    path: String,
    /// Greater than that of everybody before.
    pub(super) token: i64,
    limit: Duration,
}

impl Place {
    /// Until when it is ours.
    pub(super) fn life(&self) -> watch::Receiver<Instant> {
        self.session.life()
    }

    /// May it no longer be ours?
    pub(super) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Deletes the node. Who does not hear of it in time is told so, but it goes on until it is done or the
    /// session is over (CURATOR-678).
    pub(super) async fn leave(&self) -> Released {
        let deleting = self.session.spawn(delete(Arc::clone(&self.session), self.path.clone()));
        match tokio::time::timeout(self.limit, deleting).await {
            Ok(Ok(released)) => released,
            Ok(Err(_)) | Err(_) => Released::Unknown,
        }
    }
}

async fn delete(session: Arc<Session>, path: String) -> Released {
    let mut asked_before = false;
    loop {
        match session.client().delete(&path, None).await {
            Ok(()) => return Released::Ours,
            // The session lives, so it was our own first request that deleted it.
            Err(ZkError::NoNode) if asked_before => return Released::Ours,
            Err(e) if e == ZkError::NoNode || is_ended(&e) => return Released::Lost,
            // The next request waits for the connection, or for the end of the session.
            Err(e) if is_cut(&e) => asked_before = true,
            Err(_) => return Released::Unknown,
        }
    }
}

/// Makes a sale's node and what is above it, and reads it.
async fn make(session: &Session, parent: &str) -> Result<(Vec<u8>, Stat), ZkError> {
    session.client().mkdir(parent, &PARENT).await?;
    session.client().get_data(parent).await
}

/// Raises the base so that base + zxid > above for every zxid to come; what it is afterwards.
async fn raise_once(session: &Session, parent: &str, above: i64) -> Result<(Vec<u8>, Stat), ZkError> {
    let (data, stat) = session.client().get_data(parent).await?;
    // Each node of the queue changed the parent's children, so a counter that is fine is left alone.
    let newest = stat.pzxid.max(stat.mzxid);
    if parse(&data).saturating_add(newest) >= above {
        return Ok((data, stat));
    }
    let raised = (above - newest).to_string().into_bytes();
    let stat = session.client().set_data(parent, &raised, Some(stat.version)).await?;
    metrics::counter!("sellout_lock_tokens_raised_total").increment(1);
    Ok((raised, stat))
}

async fn limited<T>(limit: Duration, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Unavailable(format!("ZooKeeper does not answer within {limit:?}"));
    tokio::time::timeout(limit, asking).await.map_err(late)?
}

/// Absent or not a number: none.
fn parse(data: &[u8]) -> i64 {
    std::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What follows the last `lock-`: ten digits, so that text sorts as numbers do. The id before it must not
/// count, or the order would be that of the ids.
fn number(node: &str) -> &str {
    node.rsplit_once(NUMBERED).map_or(node, |(_, number)| number)
}
