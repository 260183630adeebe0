//! What Redis announces, for whoever waits for it: one subscriber connection per process, opened when
//! somebody waits and closed when nobody has for a while.
//!
//! Redis keeps no message for who is away, so some get lost: a connection breaks, or the message comes before
//! the subscription. Whoever waits here must therefore ask again after a while, woken or not. What this room
//! owes: subscribed again after a break, everybody woken then, and one waiter woken per message, the first.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use redis::{Client, Value};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// More channels than this are not listened to; who waits for one more finds out by asking.
const CHANNELS_MAX: usize = 1024;
/// A channel that nobody listens to is given up between once and twice this later. Not at once: in a rush
/// the next waiter is there already.
const SWEEP: Duration = Duration::from_secs(1);
/// Longest wait for Redis to take a connection, and for its answer to a command.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// The messages of one Redis.
#[derive(Clone)]
pub struct RedisMessages(Arc<Shared>);

struct Shared {
    client: Client,
    state: Mutex<State>,
    /// A channel has come.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    channels: HashMap<String, Channel>,
    /// Owns the connection; none while nobody waits.
    task: Option<JoinHandle<()>>,
}

/// What is known of a channel. A `Notify` is a first-in-first-out queue of its waiters, keeps one message
/// that comes while its listener asks, and passes on what a waiter got that has gone.
#[derive(Default)]
struct Channel {
    heard: Arc<Notify>,
    subscribed: watch::Sender<bool>,
    listeners: usize,
    /// Had no listener at the last sweep.
    idle: bool,
}

impl RedisMessages {
    /// Connects when somebody listens: a Redis that is down while we start may come back.
    pub(super) fn open(url: &str) -> Result<RedisMessages, String> {
        let client = Client::open(url).map_err(|e| format!("REDIS_URL: {e}"))?;
        Ok(RedisMessages(Arc::new(Shared { client, state: Mutex::default(), wanted: Notify::new() })))
    }

    /// Listens to a channel until dropped.
    pub fn listen(&self, name: &str) -> Listening {
        let shared = &self.0;
        let mut state = shared.state();
        if state.channels.len() >= CHANNELS_MAX && !state.channels.contains_key(name) {
            let (heard, subscribed) = (Arc::default(), watch::Sender::new(false));
            return Listening { of: None, heard, subscribed, fresh: true };
        }
        let channel = state.channels.entry(name.to_owned()).or_default();
        channel.listeners += 1;
        let (heard, subscribed) = (Arc::clone(&channel.heard), channel.subscribed.clone());
        // A runtime that ended took its task with it.
        if state.task.as_ref().is_none_or(JoinHandle::is_finished) {
            state.task = Some(tokio::spawn(Arc::clone(shared).run()));
        }
        shared.wanted.notify_one();
        let of = Some((Arc::clone(shared), name.to_owned()));
        Listening { of, heard, subscribed, fresh: true }
    }

    /// Is nobody listened for any more, and the connection closed?
    pub fn is_quiet(&self) -> bool {
        self.0.state().task.is_none()
    }
}

/// One who listens to a channel.
pub struct Listening {
    of: Option<(Arc<Shared>, String)>,
    heard: Arc<Notify>,
    subscribed: watch::Sender<bool>,
    /// Not known to be subscribed yet.
    fresh: bool,
}

impl Listening {
    /// Returns when it is worth looking again at what the channel is about: when Redis has confirmed the
    /// subscription, for a message before that went to nobody; then for each message that is this listener's,
    /// and when some may have got lost.
    pub async fn next(&mut self) {
        if self.fresh {
            let mut subscribed = self.subscribed.subscribe();
            let _never_closed = subscribed.wait_for(|subscribed| *subscribed).await;
            self.fresh = false;
        } else {
            self.heard.notified().await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let Some((shared, name)) = &self.of else { return };
        if let Some(channel) = shared.state().channels.get_mut(name) {
            channel.listeners -= 1;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects, and again after every break, as long as somebody listens.
    async fn run(self: Arc<Self>) {
        while self.sweep() {
            if let Ok(Ok(wire)) = timeout(ANSWER_MAX, self.client.get_async_pubsub()).await
                && self.converse(wire).await.is_some()
            {
                return;
            }
            // What is announced now nobody hears.
            for channel in self.state().channels.values_mut() {
                channel.subscribed.send_replace(false);
                channel.heard.notify_waiters();
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Subscribes to what is wanted and passes on what is announced. `None`: the connection is broken;
    /// otherwise nobody listens any more.
    async fn converse(&self, wire: PubSub) -> Option<()> {
        let (mut sink, mut messages) = wire.split();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscribed = HashSet::new();
        loop {
            tokio::select! {
                message = messages.next() => {
                    self.announce(message?.get_channel_name());
                    continue;
                }
                () = self.wanted.notified() => {}
                _ = sweep.tick() => {
                    if !self.sweep() {
                        return Some(());
                    }
                    // A wire that is cut without a word would stay silent for ever.
                    timeout(ANSWER_MAX, sink.ping::<Value>()).await.ok()?.ok()?;
                }
            }
            let (come, gone) = self.changes(&subscribed);
            if !come.is_empty() {
                timeout(ANSWER_MAX, sink.subscribe(&come)).await.ok()?.ok()?;
                self.confirm(&come);
                subscribed.extend(come);
            }
            if !gone.is_empty() {
                timeout(ANSWER_MAX, sink.unsubscribe(&gone)).await.ok()?.ok()?;
                subscribed.retain(|name| !gone.contains(name));
            }
        }
    }

    /// Channels to subscribe to, and to leave.
    fn changes(&self, subscribed: &HashSet<String>) -> (Vec<String>, Vec<String>) {
        let channels = &self.state().channels;
        let come = channels.keys().filter(|name| !subscribed.contains(*name)).cloned();
        let gone = subscribed.iter().filter(|name| !channels.contains_key(*name)).cloned();
        (come.collect(), gone.collect())
    }

    /// Whoever waited through a break may have missed the message.
    fn confirm(&self, names: &[String]) {
        let state = self.state();
        for channel in names.iter().filter_map(|name| state.channels.get(name)) {
            channel.heard.notify_waiters();
            channel.subscribed.send_replace(true);
        }
    }

    /// Wakes one: a lock that is free lets one enter.
    fn announce(&self, name: &str) {
        if let Some(channel) = self.state().channels.get(name).filter(|channel| channel.listeners > 0) {
            channel.heard.notify_one();
        }
    }

    /// Forgets what nobody listened to since the last sweep. False: nothing is left, and the task must end.
    fn sweep(&self) -> bool {
        let mut state = self.state();
        state.channels.retain(|_, channel| {
            let wanted = channel.listeners > 0 || !channel.idle;
            channel.idle = channel.listeners == 0;
            wanted
        });
        let wanted = !state.channels.is_empty();
        if !wanted {
            state.task = None;
        }
        wanted
    }
}
