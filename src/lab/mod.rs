//! What only a lab may do: a run of the load test that a page asks for, and things that go wrong on purpose.
//!
//! The load test stays a witness from outside: it runs as a process of its own, is told where this service
//! listens, and hands its run in over HTTP like any other. What is known here of a run is only whether its
//! process is still there. One at a time, for two would measure each other.
//!
//! [`crate::faults`] has the switches; here is who may turn them, and the record of it ([`Journal`]) that
//! every kept run carries. Whatever a run was given is off when it has ended, however it ended.

mod asked;
mod journal;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::faults::{self, Switches};
use crate::runs::Runs;
use crate::services::{self, OUTAGE};
use crate::wire::{FaultEvent, Faults, LabRun, LabState, Run};

pub use asked::Asked;
use journal::Journal;
use load::{Ended, Load};

/// How long a run that was told to end may take to settle and judge: buyers wait for the answers that they
/// have asked for, at most an order's deadline.
const CANCEL_MAX: Duration = Duration::from_secs(20);
/// The same where the whole service goes down.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
/// How long a load test may take until it shows its run; then it is believed to be on its way.
const BEGIN_MAX: Duration = Duration::from_secs(5);
/// How often that is looked at.
const POLL: Duration = Duration::from_millis(20);
/// A run that was started elsewhere and has not ended counts as under way for so long after it was heard of.
const HEARD_MAX: Duration = Duration::from_secs(120);
/// What a load test ends with when its command line makes no sense.
const USAGE: i32 = 2;

/// Why a run does not begin, or cannot be ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// This one is under way.
    Active(String),
    /// It makes no sense; in a sentence.
    Senseless(String),
    /// Its program cannot be started; in a sentence.
    Program(String),
    /// There is no such run under way.
    NoSuchRun,
}

/// How this service's own load test is called.
pub struct Setup {
    /// Is it a lab at all?
    pub on: bool,
    /// Where runs are kept.
    pub runs_dir: PathBuf,
    /// What opens this service to it, where that takes a token.
    pub token: Option<String>,
}

/// The lab, or its absence.
pub struct Lab {
    setup: Setup,
    switches: Switches,
    journal: Journal,
    runs: Arc<Runs>,
    address: OnceLock<SocketAddr>,
    slot: Mutex<Option<Slot>>,
    runtime: Handle,
}

/// The last run that was asked for.
struct Slot {
    run: LabRun,
    /// Was its command line refused?
    senseless: bool,
    /// Told to end, within so long.
    tell: watch::Sender<Option<Duration>>,
    /// Closed when its process has ended and all is written down.
    ended: watch::Receiver<()>,
}

impl Slot {
    fn is_active(&self) -> bool {
        matches!(self.run.state, LabState::Running | LabState::Cancelling)
    }
}

impl Lab {
    /// Call it on the runtime that outlives the requests.
    pub fn new(setup: Setup, switches: Switches, runs: Arc<Runs>) -> Arc<Lab> {
        let (address, slot) = (OnceLock::new(), Mutex::default());
        let (journal, runtime) = (Journal::default(), Handle::current());
        Arc::new(Lab { setup, switches, journal, runs, address, slot, runtime })
    }

    /// Is this a lab?
    pub fn is_on(&self) -> bool {
        self.setup.on
    }

    /// Where the service really listens, once it does.
    pub fn listens_at(&self, address: SocketAddr) {
        let _set_once = self.address.set(address);
    }

    /// The run that a page asked for last.
    pub fn current(&self) -> Option<LabRun> {
        self.slot().as_ref().map(|slot| slot.run.clone())
    }

    /// Starts a run, and returns when its load test has shown it or has refused.
    pub async fn start(self: &Arc<Self>, asked: &Asked) -> Result<LabRun, Refused> {
        let id = Utc::now().format("%Y%m%d-%H%M%S-%3f").to_string();
        self.begin(&id, asked)?;
        let until = Instant::now() + BEGIN_MAX;
        loop {
            if let Some(begun) = self.has_begun(&id, Instant::now() > until) {
                return begun;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What there is to answer to whoever asked for this run, if there is something by now.
    fn has_begun(&self, id: &str, late: bool) -> Option<Result<LabRun, Refused>> {
        let shown = self.runs.newest().filter(|run| run.id == id);
        let mut slot = self.slot();
        let Some(ours) = slot.as_mut().filter(|slot| slot.run.id == id) else {
            return Some(Err(Refused::NoSuchRun));
        };
        if ours.senseless {
            let why = ours.run.error.take().unwrap_or_default();
            *slot = None;
            return Some(Err(Refused::Senseless(why)));
        }
        let begun = shown.is_some() || late || !ours.is_active();
        if let Some(Run { command, .. }) = shown {
            // Its own words for what it was asked.
            ours.run.command = command;
        }
        begun.then(|| Ok(ours.run.clone()))
    }

    fn begin(self: &Arc<Self>, id: &str, asked: &Asked) -> Result<(), Refused> {
        let elsewhere = self.runs.under_way(HEARD_MAX);
        let mut slot = self.slot();
        if let Some(active) = slot.as_ref().filter(|slot| slot.is_active()) {
            return Err(Refused::Active(active.run.id.clone()));
        }
        // The last one of ours may have been killed in the middle.
        let ours = slot.as_ref().map(|slot| slot.run.id.clone());
        if let Some(other) = elsewhere.filter(|other| Some(other) != ours.as_ref()) {
            return Err(Refused::Active(other));
        }
        let down = || Refused::Program("the service does not listen yet".into());
        let host = format!("http://{}", self.address.get().ok_or_else(down)?);
        let program = services::program("sellout-load", "./run demo");
        let program = program.map_err(|why| Refused::Program(format!("{why:#}")))?;
        let _on_the_lasting_runtime = self.runtime.enter();
        let load = Load::start(&program, &host, id, asked, &self.setup);
        let load = load.map_err(|why| Refused::Program(format!("{why:#}")))?;
        let (tell, told) = watch::channel(None);
        let (end, ended) = watch::channel(());
        let command = asked.command(&host);
        let run = LabRun { id: id.to_owned(), state: LabState::Running, command, error: None };
        *slot = Some(Slot { run, senseless: false, tell, ended });
        let (this, id) = (Arc::clone(self), id.to_owned());
        self.runtime.spawn(async move {
            let ended = load.attend(told).await;
            this.close(&id, ended).await;
            drop(end);
        });
        Ok(())
    }

    /// Tells the run to end: what was sold is settled and judged, the report says that it was cut off.
    pub fn cancel(&self, id: &str) -> Result<LabRun, Refused> {
        let mut slot = self.slot();
        let ours = slot.as_mut().filter(|slot| slot.run.id == id && slot.is_active());
        let ours = ours.ok_or(Refused::NoSuchRun)?;
        ours.run.state = LabState::Cancelling;
        ours.tell.send_replace(Some(CANCEL_MAX));
        Ok(ours.run.clone())
    }

    /// Ends whatever is under way, with the service.
    pub async fn end(&self) {
        let ended = {
            let mut slot = self.slot();
            let Some(ours) = slot.as_mut().filter(|slot| slot.is_active()) else { return };
            ours.run.state = LabState::Cancelling;
            ours.tell.send_replace(Some(FAREWELL_MAX));
            ours.ended.clone()
        };
        let mut ended = ended;
        while ended.changed().await.is_ok() {}
        self.calm();
    }

    /// Its process has ended.
    async fn close(&self, id: &str, ended: Ended) {
        self.calm();
        let cancelled = self.slot().as_ref().is_some_and(|slot| slot.run.state == LabState::Cancelling);
        let kept = self.runs.read(id).await.ok();
        let (shown, whole) = (kept.is_some(), kept.as_ref().is_some_and(|run| run.exit_code.is_some()));
        // Killed, or told to end before it could notice: it cannot say so itself any more.
        if let Some(run) = kept.filter(|_| !whole)
            && let Err(why) = self.runs.keep(Run { cancelled, current: None, ..run }).await
        {
            tracing::warn!("run {id}: {why}");
        }
        let mut slot = self.slot();
        if let Some(ours) = slot.as_mut().filter(|slot| slot.run.id == id) {
            ours.senseless = ended.code == Some(USAGE) && !whole;
            ours.run.state = if whole || cancelled && shown { LabState::Ended } else { LabState::Failed };
            ours.run.error = ended.why(whole, cancelled && shown);
        }
    }

    /// What is switched on.
    pub fn faults(&self) -> Faults {
        self.switches.now()
    }

    /// Switches faults on and off; the error is a sentence.
    pub fn set_faults(&self, faults: Faults) -> Result<(), String> {
        faults::check(&faults)?;
        self.switch(faults);
        Ok(())
    }

    fn switch(&self, faults: Faults) {
        let (before, strategy) = (self.switches.now(), self.loaded());
        self.switches.set(&faults);
        self.journal.switched(&before, &faults, strategy.as_deref());
    }

    /// Kills a private Redis; whoever started it starts it again after what is answered. The error is a
    /// sentence.
    pub fn kill_redis(&self, process: u32) -> Result<Duration, String> {
        services::kill_relative(process, "redis")?;
        let ms = u64::try_from(OUTAGE.as_millis()).ok();
        self.journal.note("kill_redis", ms, self.loaded().as_deref());
        Ok(OUTAGE)
    }

    /// An order was sold: is its buyer the one who shall hear nothing of it?
    pub fn drops_reply(&self) -> bool {
        self.switches.drops_reply()
    }

    /// What went wrong on purpose while a run lasted.
    pub fn faults_of(&self, run: &Run) -> Vec<FaultEvent> {
        self.journal.within(run)
    }

    /// A run has ended, and with it all that went wrong on purpose.
    pub fn calm(&self) {
        self.switch(Faults::default());
    }

    /// Is that run under way, wherever it was started?
    pub fn is_active(&self, id: &str) -> bool {
        match self.slot().as_ref().filter(|slot| slot.run.id == id) {
            Some(ours) => ours.is_active(),
            None => self.runs.under_way(HEARD_MAX).as_deref() == Some(id),
        }
    }

    /// The strategy that is being loaded just now.
    fn loaded(&self) -> Option<String> {
        self.runs.newest().and_then(|run| run.current).map(|current| current.strategy)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Slot>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
