//! One flush of PostgreSQL's log for all who wait for it.
//!
//! No pause to collect more of them: while one flush is under way the next ones gather behind it, and the
//! slower the disk is, the more do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{Connection, Executor};
use tokio::sync::Mutex;

use crate::config::Limits;
use crate::sale::Error;

/// No wire is open.
const NONE: u64 = 0;

/// A wire to PostgreSQL that flushes.
pub struct Flush {
    options: Arc<PgConnectOptions>,
    /// Longest wait for a wire.
    wait: Duration,
    /// Longest flush; then nobody knows.
    deadline: Duration,
    /// The number of the open wire, or [`NONE`]. No two wires have the same.
    open: AtomicU64,
    /// How many flushes have begun.
    begun: AtomicU64,
    line: Mutex<Line>,
}

/// What one waiter has at a time.
#[derive(Default)]
struct Line {
    wire: Option<PgConnection>,
    wires: u64,
    /// Flushes that began, the last one included, and all of them succeeded on the open wire.
    flushed: u64,
}

/// The wire that was open before a commit.
#[derive(Clone, Copy)]
pub struct Wire(u64);

impl Flush {
    /// To the server of this pool, by a wire of its own.
    pub fn new(pool: &PgPool, limits: &Limits) -> Flush {
        Flush {
            options: pool.connect_options(),
            wait: limits.wait(),
            deadline: limits.order_deadline(),
            open: AtomicU64::new(NONE),
            begun: AtomicU64::new(0),
            line: Mutex::default(),
        }
    }

    /// The wire, opened if need be. To be asked for before anything is written that shall be flushed.
    pub async fn wire(&self) -> Result<Wire, Error> {
        match self.open.load(SeqCst) {
            NONE => {}
            number => return Ok(Wire(number)),
        }
        let mut line = self.line.lock().await;
        if line.wire.is_none() {
            let opened = tokio::time::timeout(self.wait, PgConnection::connect_with(&self.options)).await;
            let late = || Error::Unavailable(format!("PostgreSQL: no connection within {:?}", self.wait));
            let opened = opened.map_err(|_| late())?;
            line.wire = Some(opened.map_err(|e| Error::Unavailable(format!("PostgreSQL: {e}")))?);
            line.wires += 1;
            self.open.store(line.wires, SeqCst);
        }
        Ok(Wire(line.wires))
    }

    /// Waits for a flush that begins after this call, on the wire that was open before the commit: a server
    /// that lost the commit in a crash has cut that wire. An error means that nobody knows.
    /// `sql`: commits something.
    pub async fn passed(&self, wire: Wire, sql: &'static str) -> Result<(), Error> {
        // What has begun by now does not count: it may have been written before the commit was.
        let before = self.begun.load(SeqCst);
        let mut line = self.line.lock().await;
        let cut = || Error::Unknown("PostgreSQL: the wire broke before the commit was flushed".into());
        if self.open.load(SeqCst) != wire.0 {
            return Err(cut());
        }
        // Somebody who waited before us has flushed for us too.
        if line.flushed > before {
            return Ok(());
        }
        // Taken out, so that a wire with half an answer on it is never used again.
        let Some(mut open) = line.wire.take() else {
            self.open.store(NONE, SeqCst);
            return Err(cut());
        };
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        match tokio::time::timeout(self.deadline, open.execute(sql)).await {
            Ok(Ok(_)) => {
                line.wire = Some(open);
                line.flushed = number;
                Ok(())
            }
            Ok(Err(e)) => {
                self.open.store(NONE, SeqCst);
                Err(Error::Unknown(format!("PostgreSQL: {e}")))
            }
            Err(_) => {
                self.open.store(NONE, SeqCst);
                Err(cut())
            }
        }
    }
}
