//! The one directory that everything private lives in, and the user that may write there.
//!
//! PostgreSQL refuses to run as root. So, started as root, the servers run as `postgres` or else
//! `nobody`, in rooms that belong to that user, below a directory that it can walk through.
//! After `kill -9` nobody removes the directory: the next start does, if its owner is surely gone.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// Held locked by the owner of a directory; the kernel lets go of it however the owner ends.
const LOCK: &str = "owner.lock";

/// A temporary directory of our own.
#[derive(Debug)]
pub(super) struct Home {
    dir: TempDir,
    user: Option<User>,
    _lock: File,
}

/// Whom the servers run as when we are root.
#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Home {
    /// Makes `sellout-<pid>-XXXXXX` in the temporary directory of the system.
    pub(super) fn create() -> Result<Home> {
        let user = match rustix::process::geteuid().is_root() {
            true => Some(unprivileged_user()?),
            false => None,
        };
        let base = std::env::temp_dir();
        let base = base.canonicalize().with_context(|| format!("no such directory: {base:?}"))?;
        if let Some(user) = user {
            walkable(&base, user)?;
        }
        let dir = tempfile::Builder::new()
            .prefix(&format!("sellout-{}-", std::process::id()))
            .tempdir_in(&base)
            .with_context(|| format!("cannot make a temporary directory in {}", base.display()))?;
        if user.is_some() {
            // Made for us alone; the servers' user has to pass. Its own rooms stay closed to others.
            fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        }
        let lock = File::create(dir.path().join(LOCK))?;
        lock.lock().context("cannot lock our own temporary directory")?;
        Ok(Home { dir, user, _lock: lock })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A subdirectory that only the servers' user can open, made anew: what was there is gone.
    pub(super) fn room(&self, name: &str) -> Result<PathBuf> {
        let room = self.dir.path().join(name);
        match fs::remove_dir_all(&room) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", room.display()));
            }
            _ => {}
        }
        fs::create_dir(&room)?;
        fs::set_permissions(&room, Permissions::from_mode(0o700))?;
        if let Some(user) = self.user {
            chown(&room, Some(user.uid), Some(user.gid))
                .with_context(|| format!("cannot give {} to uid {}", room.display(), user.uid))?;
        }
        Ok(room)
    }

    /// A command that runs as the servers' user, in a directory that this user can enter, with all
    /// its output in `log`: a pipe that nobody reads would block the server once it is full.
    pub(super) fn command(&self, program: &Path, log: &Path) -> Result<Command> {
        let out = File::create(log)?;
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("LC_ALL", "C") // the messages that we look for are the English ones
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        if let Some(user) = self.user {
            // With a uid set and the caller root, std also empties the supplementary groups.
            command.uid(user.uid).gid(user.gid);
        }
        Ok(command)
    }
}

/// Finds `postgres`, else `nobody`. Read from the file: a system account is not in a directory
/// service, and asking the C library would need unsafe code.
fn unprivileged_user() -> Result<User> {
    let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |name: &str| {
        let mut fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.find(|fields| fields.len() >= 4 && fields[0] == name)?;
        Some(User { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()? })
    };
    let user = find("postgres").or_else(|| find("nobody")).filter(|user| user.uid != 0);
    user.context("running as root, and there is neither a user postgres nor nobody to run servers as")
}

/// Says early, and in words, what would otherwise be a bare "Permission denied" from a child.
fn walkable(base: &Path, user: User) -> Result<()> {
    for dir in base.ancestors() {
        let meta = fs::metadata(dir)?;
        let bit = match (meta.uid() == user.uid, meta.gid() == user.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        if meta.mode() & bit == 0 {
            bail!(
                "{} is closed to uid {}, which the servers run as: \
                 set TMPDIR to a directory open to all, such as /tmp",
                dir.display(),
                user.uid
            );
        }
    }
    Ok(())
}

/// Removes the directories of runs that were killed. Whatever looks wrong is left alone: this is
/// tidying, and it must neither fail a start nor remove what someone still uses.
pub(super) fn remove_stale() {
    // Elsewhere there is no /proc to ask, so that nothing would look alive.
    if cfg!(target_os = "linux") && Path::new("/proc/self").exists() {
        let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
        for entry in entries {
            if is_stale(&entry).unwrap_or(false) {
                let _best_effort = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Ours by name and by owner, a real directory, its process gone, and its lock free: in a container
/// that shares this directory the pid means another process, but a lock is the same lock.
fn is_stale(entry: &fs::DirEntry) -> io::Result<bool> {
    let name = entry.file_name();
    let pid = name.to_str().and_then(|name| name.strip_prefix("sellout-")?.split_once('-'));
    let Some(pid) = pid.and_then(|(pid, _)| pid.parse::<u32>().ok()) else {
        return Ok(false);
    };
    // Of the entry itself, so that a link to a directory is no directory.
    let meta = entry.metadata()?;
    let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw();
    if !ours || lives(pid) {
        return Ok(false);
    }
    match File::open(entry.path().join(LOCK)) {
        Ok(lock) => Ok(lock.try_lock().is_ok()),
        // Killed before it had a lock.
        Err(error) => Ok(error.kind() == io::ErrorKind::NotFound),
    }
}

/// Whether there is such a process. One that ended and that nobody has reaped (usual where process 1
/// of a container is no init) still has an entry, but no life.
pub(super) fn lives(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // "123 (name) S …", and the name may hold anything.
        Ok(stat) => {
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
            !state.is_some_and(|state| state.starts_with(['Z', 'X']))
        }
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// A program, or the sentence that says what to install.
pub(super) enum Found<T> {
    At(T),
    Missing(String),
}

/// A program named by an environment variable, or else the first of that name in `PATH`. Links are not
/// followed: some programs decide by the name that they were called with what they are.
pub(super) fn program(name: &str, variable: &str) -> Result<Option<PathBuf>> {
    if let Some(program) = named_by(variable)? {
        ensure!(program.is_file(), "{variable}={} is no file", program.display());
        return Ok(Some(program));
    }
    Ok(in_path(name))
}

/// The first program of that name in `PATH`.
pub(super) fn in_path(name: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// The path of a program named by an environment variable, if it is set: then it must be there.
pub(super) fn named_by(variable: &str) -> Result<Option<PathBuf>> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    ensure!(path.exists(), "{variable} names {}, which does not exist", path.display());
    Ok(Some(std::path::absolute(path)?))
}

/// The directories of `PATH`.
pub(super) fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect()
}
