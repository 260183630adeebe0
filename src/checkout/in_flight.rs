//! One at a time per idempotency key, in this process: twins wait for the first instead of each holding a
//! connection while the database makes them wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::sale::{Error, Order};

type Key = (String, String);
type Keys = Arc<Mutex<HashMap<Key, watch::Receiver<()>>>>;

/// The keys that are being worked on.
#[derive(Default)]
pub(super) struct InFlight {
    keys: Keys,
}

/// The right to work on a key; given up when dropped.
pub struct Alone {
    keys: Keys,
    key: Option<Key>,
    /// Closing it wakes the twins.
    _done: watch::Sender<()>,
}

impl InFlight {
    /// Waits until no twin is under way, at most `wait`. A minted key has no twin.
    pub(super) async fn enter(&self, order: &Order, wait: Duration) -> Result<Alone, Error> {
        let (done, receiver) = watch::channel(());
        if !order.retry_safe {
            return Ok(Alone { keys: Keys::default(), key: None, _done: done });
        }
        let key = (order.caller.clone(), order.key.clone());
        let until = tokio::time::Instant::now() + wait;
        loop {
            let twin = {
                let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
                match keys.get(&key) {
                    Some(twin) => twin.clone(),
                    None => {
                        keys.insert(key.clone(), receiver);
                        return Ok(Alone { keys: Arc::clone(&self.keys), key: Some(key), _done: done });
                    }
                }
            };
            let mut twin = twin;
            // An error is the closed channel: the twin is done.
            if tokio::time::timeout_at(until, twin.changed()).await.is_err() {
                return Err(Error::InProgress);
            }
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }
}
