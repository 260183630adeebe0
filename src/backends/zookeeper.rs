//! ZooKeeper: one session per process, made anew when it is over.
//!
//! A session lives on the server; the client of it connects again by itself and keeps it alive. When the
//! server has not heard of it for its time-out it ends there, and with it every ephemeral node that it made.
//! Then there is a *new* session, and nothing that the old one made is trusted (CURATOR-604).
//!
//! How long may one believe in it? Until the last proof of its life, taken before asking, plus its time-out.
//! The proof is a `sync`, which the leader answers: a mere read is answered by any server, also by one that
//! has lost its leader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use zookeeper_client::{Client, Error as ZkError};

use crate::config::Limits;
use crate::sale::Error;

/// The one session of this process, and how to get a new one.
#[derive(Clone)]
pub struct Zookeeper {
    /// `host:port`, with commas.
    pub hosts: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// The time-out that is asked for; the server may grant another one.
    lease: Duration,
    wait: Duration,
    current: Mutex<Option<Arc<Session>>>,
    /// Sessions live here and not in the worker of the order that first needed one.
    runtime: Handle,
}

impl Zookeeper {
    /// Connects when it is wanted: a ZooKeeper that is down while we start may come back. Call it inside a
    /// runtime that lasts; the session lives there.
    pub fn open(hosts: Option<&str>, limits: &Limits) -> Result<Zookeeper, String> {
        let hosts = hosts.ok_or("ZOOKEEPER_HOSTS is not set")?.to_owned();
        let runtime = Handle::try_current().map_err(|e| e.to_string())?;
        let (lease, wait, current) = (limits.lock_lease(), limits.wait(), Mutex::default());
        Ok(Zookeeper { hosts, shared: Arc::new(Shared { lease, wait, current, runtime }) })
    }

    /// The session of this process; a new one if there is none, or the last one is over. Waits at most the
    /// wait limit for the server, after whoever asked before.
    pub async fn session(&self) -> Result<Arc<Session>, Error> {
        let shared = &self.shared;
        let mut current = shared.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !session.is_over()) {
            return Ok(Arc::clone(session));
        }
        *current = None;
        let connecting = Session::connect(self.hosts.clone(), shared.lease, shared.wait);
        let connected = shared.runtime.spawn(connecting).await;
        let session = connected.map_err(|e| Error::Unavailable(format!("ZooKeeper: {e}")))??;
        let session = Arc::new(session);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }
}

/// A session. Dropped, it is closed.
pub struct Session {
    client: Client,
    life: watch::Receiver<Instant>,
    keeper: JoinHandle<()>,
    runtime: Handle,
}

impl Session {
    async fn connect(hosts: String, lease: Duration, wait: Duration) -> Result<Session, Error> {
        let asked = Instant::now();
        let connecting = Client::connector().with_session_timeout(lease).connect(&hosts);
        let client = match tokio::time::timeout(wait, connecting).await {
            Ok(connected) => connected.map_err(unavailable)?,
            Err(_) => return Err(Error::Unavailable(format!("ZooKeeper does not answer within {wait:?}"))),
        };
        let granted = client.session_timeout();
        tracing::debug!(session = %client.session_id(), timeout = ?granted, "a new ZooKeeper session");
        let (until, life) = watch::channel(asked + granted);
        let keeper = tokio::spawn(keep(client.clone(), until));
        Ok(Session { client, life, keeper, runtime: Handle::current() })
    }

    /// Asks the server, in this session. A request may wait for the connection to come back; it fails when
    /// the session is over. A request whose future was dropped may be sent all the same.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What an ephemeral node of this session says about its owner.
    pub fn id(&self) -> i64 {
        self.client.session_id().0
    }

    /// Until when one may believe in it. Moved on by each proof of its life, and back when it is over.
    pub fn life(&self) -> watch::Receiver<Instant> {
        self.life.clone()
    }

    /// May nobody believe in it any more? The server may take longer to end it.
    pub fn is_over(&self) -> bool {
        self.client.state().is_terminated() || Instant::now() >= *self.life.borrow()
    }

    /// Does something for this session that nobody waits for.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(task)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Proves the session's life at each third of its time-out, and when a connection is lost or back, until it
/// is over.
async fn keep(client: Client, until: watch::Sender<Instant>) {
    let (timeout, mut states) = (client.session_timeout(), client.state_watcher());
    let third = timeout / 3;
    while !client.state().is_terminated() {
        let asked = Instant::now();
        if let Ok(Ok(())) = tokio::time::timeout(third, client.sync("/")).await {
            until.send_replace(asked + timeout);
        }
        let _changed = tokio::time::timeout_at((asked + third).into(), states.changed()).await;
    }
    // Over: its nodes are gone, and others may be where we were.
    until.send_modify(|until| *until = Instant::now().min(*until));
    tracing::debug!(session = %client.session_id(), state = %client.state(), "a ZooKeeper session is over");
}

/// Was it the connection that failed? Then the session may live, and what was asked may have happened.
pub fn is_cut(e: &ZkError) -> bool {
    matches!(e, ZkError::ConnectionLoss | ZkError::SessionMoved | ZkError::Timeout | ZkError::Custom(_))
}

/// Has the session ended? Whatever was asked in it is void, and so are its nodes.
pub fn is_ended(e: &ZkError) -> bool {
    matches!(e, ZkError::SessionExpired | ZkError::ClientClosed | ZkError::AuthFailed)
}

/// What an error means while asking ZooKeeper for a lock: nobody is inside for it, nothing was taken.
pub fn unavailable(e: ZkError) -> Error {
    Error::Unavailable(format!("ZooKeeper: {e}"))
}
