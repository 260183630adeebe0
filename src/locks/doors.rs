//! A queue per sale in this process: first come, first served. `lock_in_process` is nothing else; in front of
//! a lock on a server it makes a process one waiter there instead of two hundred.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

/// More sales than this, and those that nobody waits for are forgotten.
const REMEMBERED_MAX: usize = 1024;

type Door = tokio::sync::Mutex<()>;

/// A door per sale.
#[derive(Default)]
pub(super) struct Doors {
    doors: Mutex<HashMap<Uuid, Weak<Door>>>,
}

impl Doors {
    /// Waits until nobody of this process is in the door.
    pub(super) async fn enter(&self, sale: Uuid) -> OwnedMutexGuard<()> {
        self.door(sale).lock_owned().await
    }

    fn door(&self, sale: Uuid) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = doors.get(&sale).and_then(Weak::upgrade) {
            return door;
        }
        if doors.len() >= REMEMBERED_MAX {
            doors.retain(|_, door| door.strong_count() > 0);
        }
        // Nobody holds or awaits the old one, so nobody can be inside by it.
        let door = Arc::default();
        doors.insert(sale, Arc::downgrade(&door));
        door
    }
}
