//! What pages listen to: one sampler, at most four times a second and only while somebody looks, reads
//! counters that the road keeps anyway. It asks no store, so looking does not disturb the sale.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::watch;

use crate::checkout::Checkout;
use crate::lab::Lab;
use crate::runs::Runs;
use crate::wire::{SaleView, Snapshot};

/// Most pages at once.
const VIEWERS_MAX: u64 = 32;
/// Time between two snapshots.
const TICK: Duration = Duration::from_millis(250);
/// A snapshot though nothing moved, in ticks: a page calls itself stale after five seconds of silence.
const REPEAT: u32 = 8;
/// A line for proxies and dead sockets when nothing moves.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The feed.
pub struct Feed {
    newest: watch::Sender<Arc<str>>,
    viewers: Arc<AtomicU64>,
    /// Most of them at once, since somebody asked.
    most: AtomicU64,
}

/// Counted while it lives.
struct Viewer(Arc<AtomicU64>);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Feed {
    /// Starts the sampler; it ends with the feed.
    pub fn start(
        lab: Arc<Lab>,
        checkout: Arc<Checkout>,
        runs: Arc<Runs>,
        glance: fn(&crate::checkout::OpenSale) -> SaleView,
    ) -> Arc<Feed> {
        let (viewers, most) = (Arc::default(), AtomicU64::new(0));
        let feed = Arc::new(Feed { newest: watch::Sender::new("".into()), viewers, most });
        tokio::spawn(sample(Arc::downgrade(&feed), lab, checkout, runs, glance));
        feed
    }

    /// The stream of one page; `None` when enough are looking. A slow page misses snapshots, never holds
    /// them up: only the newest is kept.
    pub fn subscribe(&self) -> Option<impl Stream<Item = String> + use<>> {
        let admit = |n| (n < VIEWERS_MAX).then_some(n + 1);
        let before = self.viewers.fetch_update(Relaxed, Relaxed, admit).ok()?;
        self.most.fetch_max(before + 1, Relaxed);
        let viewer = Viewer(Arc::clone(&self.viewers));
        let mut newest = self.newest.subscribe();
        newest.mark_changed();
        let first = Some("retry: 2000\n\n".to_owned());
        Some(futures_util::stream::unfold((viewer, newest, first), |(viewer, mut newest, first)| async {
            if let Some(first) = first {
                return Some((first, (viewer, newest, None)));
            }
            let event = match tokio::time::timeout(HEARTBEAT, newest.changed()).await {
                Err(_) => ": still here\n\n".to_owned(),
                Ok(Err(_)) => return None,
                Ok(Ok(())) => match &*newest.borrow_and_update().clone() {
                    "" => ": starting\n\n".to_owned(),
                    "closed" => "event: closed\ndata: {}\n\n".to_owned(),
                    snapshot => format!("event: snapshot\ndata: {snapshot}\n\n"),
                },
            };
            Some((event, (viewer, newest, None)))
        }))
    }

    /// Most pages at once since this was asked the last time, or `before` if that is more. `None`: they are
    /// counted from now on.
    pub fn viewers_since(&self, before: Option<u64>) -> u64 {
        let now = self.viewers.load(Relaxed);
        let most = self.most.swap(now, Relaxed);
        before.map_or(now, |before| before.max(most))
    }

    /// Tells every page that the service goes down.
    pub fn close(&self) {
        self.newest.send_replace("closed".into());
    }
}

async fn sample(
    feed: Weak<Feed>,
    lab: Arc<Lab>,
    checkout: Arc<Checkout>,
    runs: Arc<Runs>,
    glance: fn(&crate::checkout::OpenSale) -> SaleView,
) {
    let mut ticks = tokio::time::interval(TICK);
    let (mut last, mut silent) = (None, 0);
    loop {
        ticks.tick().await;
        let Some(feed) = feed.upgrade() else { return };
        let viewers = feed.viewers.load(Relaxed);
        if viewers == 0 {
            last = None;
            continue;
        }
        // A page asks for a run's curves and traces once per strategy, not four times a second.
        let run = runs.glance();
        let sale = run.as_ref().and_then(|r| r.current.as_ref()).map(|c| c.sale_id);
        let open = match sale {
            Some(id) => checkout.sale(id).await.ok().flatten(),
            None => None,
        };
        let seq = last.as_ref().map_or(1, |s: &Snapshot| s.seq);
        let current = open.map(|o| glance(&o));
        let (lab_run, faults) = (lab.current(), lab.is_on().then(|| lab.faults()));
        let snapshot = Snapshot { seq, lab: lab.is_on(), run, current, viewers, lab_run, faults };
        silent += 1;
        if last.as_ref() != Some(&snapshot) || silent >= REPEAT {
            silent = 0;
            let snapshot = Snapshot { seq: seq + 1, ..snapshot };
            if let Ok(json) = serde_json::to_string(&snapshot) {
                feed.newest.send_replace(json.into());
            }
            last = Some(snapshot);
        }
    }
}
