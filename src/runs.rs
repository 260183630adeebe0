//! Kept runs: `runs/<id>/run.json` and `report.html`, written whole or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::dashboard;
use crate::wire::{Parameters, Run, RunSummary};

/// Runs in the list.
const LISTED_MAX: usize = 100;

/// The folder of runs, and the newest one of this process.
pub struct Runs {
    folder: PathBuf,
    newest: RwLock<Option<Run>>,
    /// When this process was last told of a run.
    heard: Mutex<Option<Instant>>,
}

/// Why a run cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No such run.
    #[error("no such run")]
    NoSuchRun,
    /// The id is not one that can be a folder's name.
    #[error("not an id")]
    Id,
    /// The folder cannot be used.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Runs {
    /// Runs below this folder; it is made when the first run is kept.
    pub fn new(folder: PathBuf) -> Runs {
        Runs { folder, newest: RwLock::default(), heard: Mutex::default() }
    }

    /// The newest run that this process was told of, running or ended.
    pub fn newest(&self) -> Option<Run> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same at a glance: without curves and traces, which are large and stay as they came.
    pub fn glance(&self) -> Option<Run> {
        let mut run = self.newest()?;
        for result in &mut run.results {
            (result.series, result.trace) = (Vec::new(), None);
        }
        Some(run)
    }

    /// Keeps a run as far as it has come.
    pub async fn keep(&self, run: Run) -> Result<(), Refused> {
        let folder = self.folder_of(&run.id)?;
        tokio::fs::create_dir_all(&folder).await?;
        let json = serde_json::to_vec_pretty(&run).map_err(io::Error::other)?;
        write_whole(&folder.join("run.json"), &json).await?;
        if run.finished_at.is_some() {
            write_whole(&folder.join("report.html"), dashboard::report(&run).as_bytes()).await?;
        }
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(run);
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    /// The run that has not ended, if one was heard of that lately: whoever is cut off says nothing.
    pub fn under_way(&self, lately: Duration) -> Option<String> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest().filter(|run| run.exit_code.is_none() && !run.cancelled)?;
        heard.is_some_and(|heard| heard.elapsed() < lately).then_some(newest.id)
    }

    /// Forgets a run, with all that was written about it.
    pub async fn forget(&self, id: &str) -> Result<(), Refused> {
        let folder = self.folder_of(id).map_err(|_| Refused::NoSuchRun)?;
        if !tokio::fs::try_exists(folder.join("run.json")).await? {
            return Err(Refused::NoSuchRun);
        }
        tokio::fs::remove_dir_all(&folder).await?;
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_some_and(|run| run.id == id) {
            *newest = None;
        }
        Ok(())
    }

    /// One run.
    pub async fn read(&self, id: &str) -> Result<Run, Refused> {
        let path = self.folder_of(id).map_err(|_| Refused::NoSuchRun)?.join("run.json");
        match tokio::fs::read(&path).await {
            Ok(json) => serde_json::from_slice(&json).map_err(|e| Refused::Disk(io::Error::other(e))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Refused::NoSuchRun),
            Err(e) => Err(e.into()),
        }
    }

    /// The newest runs; one that was cut off is listed as unfinished, one that cannot be read is left out.
    pub async fn list(&self) -> Result<Vec<RunSummary>, Refused> {
        let mut ids = Vec::new();
        match tokio::fs::read_dir(&self.folder).await {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
            Ok(mut entries) => {
                while let Some(entry) = entries.next_entry().await? {
                    ids.extend(entry.file_name().into_string());
                }
            }
        }
        // Ids are times, so names sort like time.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let mut runs = Vec::new();
        for id in ids.iter().take(LISTED_MAX) {
            runs.extend(self.read(id).await.ok().map(|run| summary(&run)));
        }
        Ok(runs)
    }

    fn folder_of(&self, id: &str) -> Result<PathBuf, Refused> {
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if id.is_empty() || id.len() > 64 || !plain {
            return Err(Refused::Id);
        }
        Ok(self.folder.join(id))
    }
}

/// A reader sees the old file or the new one, never half of one.
async fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    tokio::fs::write(&part, bytes).await?;
    tokio::fs::rename(&part, path).await
}

fn summary(run: &Run) -> RunSummary {
    let mut verdicts = std::collections::BTreeMap::new();
    for result in &run.results {
        *verdicts.entry(result.verdict.word().to_owned()).or_insert(0) += 1;
    }
    RunSummary {
        id: run.id.clone(),
        started_at: run.started_at.clone(),
        finished: run.finished_at.is_some(),
        cancelled: run.cancelled,
        exit_code: run.exit_code,
        parameters: in_words(&run.parameters),
        verdicts,
    }
}

fn in_words(p: &Parameters) -> String {
    let (scenario, stock, attempts, buyers) = (&p.scenario, p.stock, p.attempts, p.buyers);
    format!("{scenario}: {stock} units, {attempts} attempts by {buyers} buyers at once, seed {}", p.seed)
}
