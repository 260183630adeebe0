//! The promise: private servers come up by themselves, belong to this run alone, keep what they
//! acknowledge, and are gone when we are, however we ended.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sellout::services::{Services, Wanted};

const BOTH: Wanted = Wanted { postgres: true, redis: true };
const REDIS: [&str; 2] = ["--only", "redis"];

#[test]
fn two_sets_run_side_by_side_and_leave_nothing_behind() -> Result<()> {
    // Started by a thread that ends at once: the servers must outlive it.
    let start = || thread::spawn(|| Services::start(BOTH));
    let (one, two) = (start(), start());
    let join = |started: thread::JoinHandle<Result<Services>>| match started.join() {
        Ok(services) => services,
        Err(_) => bail!("the starting thread panicked"),
    };
    let (one, two) = (join(one)?, join(two)?);
    assert_ne!(one.database_url(), two.database_url());
    assert_ne!(one.redis_url(), two.redis_url());
    answers(&one)?;
    let pids = pids(&one)?;
    drop(one);
    // Drop has waited for them, so there is nothing to wait for here.
    assert!(!pids.iter().any(|&pid| alive(pid)), "{pids:?} outlived us");
    answers(&two).context("ending one set must not touch the other")?;
    Ok(())
}

#[test]
fn what_a_number_stands_on_is_said_beside_it() -> Result<()> {
    let services = Services::start(BOTH)?;
    let text = services.describe().join("\n");
    for fact in ["PostgreSQL 1", "fsync=on", "synchronous_commit=on", "appendonly=yes", "noeviction"] {
        assert!(text.contains(fact), "{fact} is missing in:\n{text}");
    }
    Ok(())
}

#[test]
#[cfg(target_os = "linux")] // elsewhere nobody tells a child that its parent was killed
fn the_servers_end_when_we_are_killed_or_interrupted() -> Result<()> {
    for signal in [Signal::KILL, Signal::INT] {
        let place = public_tempdir()?;
        let (mut parent, told) = start_in_child(place.path(), &[], &[])?;
        let pids = pids_told(&told);
        assert_eq!(pids.len(), 2, "{told:?}");
        assert!(pids.iter().all(|&pid| alive(pid)));
        kill_process(Pid::from_child(&parent), signal)?;
        parent.wait()?;
        poll_until_gone(&pids, Duration::from_secs(20)).context("after the parent ended")?;
    }
    Ok(())
}

#[test]
fn what_a_killed_run_left_is_removed_and_nothing_else() -> Result<()> {
    let place = public_tempdir()?;
    let in_place = |name: &str| place.path().join(name);
    let mut gone = Command::new("true").spawn()?;
    gone.wait()?; // reaped: no process has this pid now
    let stale = in_place(&format!("sellout-{}-abc", gone.id()));
    let living = in_place(&format!("sellout-{}-abc", std::process::id()));
    let other = in_place("sellout-notes-abc");
    for dir in [&stale, &living, &other] {
        fs::create_dir(dir)?;
        fs::write(dir.join("file"), "")?;
    }
    let link = in_place(&format!("sellout-{}-link", gone.id()));
    std::os::unix::fs::symlink(&other, &link)?;

    let (mut parent, told) = start_in_child(place.path(), &REDIS, &[])?;
    parent.kill()?;
    parent.wait()?;
    assert_eq!(pids_told(&told).len(), 1, "{told:?}");
    assert!(!stale.exists(), "the directory of a dead run is still there");
    assert!(living.exists(), "removed the directory of a living process");
    assert!(other.join("file").exists() && link.is_symlink());
    Ok(())
}

#[test]
fn a_missing_redis_is_said_and_a_wrong_path_is_an_error() -> Result<()> {
    let place = public_tempdir()?;
    let empty = place.path().join("empty");
    fs::create_dir(&empty)?;
    let path = empty.to_str().context("temporary path")?;
    let (mut parent, told) = start_in_child(place.path(), &REDIS, &[("PATH", path)])?;
    parent.kill()?;
    parent.wait()?;
    assert!(told.concat().contains("apt-get install"), "{told:?}");

    let wrong = [("SELLOUT_REDIS_SERVER", "/no/such/program")];
    let (mut parent, told) = start_in_child(place.path(), &REDIS, &wrong)?;
    parent.wait()?;
    assert!(told.concat().contains("/no/such/program"), "{told:?}");
    Ok(())
}

/// Runs `sellout services` in a process of its own and returns what it printed until it was ready, or why
/// it is not.
fn start_in_child(
    place: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<(Child, Vec<String>)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sellout"))
        .arg("services")
        .args(arguments)
        .env("TMPDIR", place)
        .env_remove("SELLOUT_REDIS_SERVER")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut told = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no stdout")?).lines() {
        let line = line?;
        if line.starts_with("# ready") {
            return Ok((child, told));
        }
        told.push(line);
    }
    let mut why = String::new();
    child.stderr.take().context("no stderr")?.read_to_string(&mut why)?;
    told.push(why);
    Ok((child, told))
}

/// The pids that `sellout services` names.
fn pids_told(told: &[String]) -> Vec<u32> {
    told.iter().filter_map(|line| line.strip_prefix("# pid of ")?.split(": ").nth(1)?.parse().ok()).collect()
}

/// A temporary directory that the servers' user can pass when the tests run as root.
fn public_tempdir() -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}

fn pids(services: &Services) -> Result<[u32; 2]> {
    let postgres = services.postgres_pid().context("no PostgreSQL")?;
    Ok([postgres, services.redis_pid().context("no Redis")?])
}

/// Both servers speak their own protocol at the addresses handed out.
fn answers(services: &Services) -> Result<()> {
    let database = services.database_url().context("no PostgreSQL")?;
    // "Do you speak TLS?" is the one question that needs no start-up packet; "N" is a full answer.
    let answer = ask(database, &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f], 1)?;
    ensure!(answer == b"N", "{database} answered {answer:?}");
    let redis = services.redis_url().context("no Redis")?;
    let answer = ask(redis, b"PING\r\n", 7)?;
    ensure!(answer == b"+PONG\r\n", "{redis} answered {answer:?}");
    Ok(())
}

fn ask(url: &str, question: &[u8], length: usize) -> Result<Vec<u8>> {
    let (_, rest) = url.split_once("127.0.0.1:").context("no loopback address")?;
    let port = rest.split('/').next().context("no port")?.parse()?;
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(question)?;
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer)?;
    Ok(answer)
}

fn alive(pid: u32) -> bool {
    // Ended and not yet reaped, which in a container may last: gone, for all that we promise.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ended = state.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']));
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // "Not permitted" means that there is one.
    !ended && pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

fn poll_until_gone(pids: &[u32], limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while pids.iter().any(|&pid| alive(pid)) {
        ensure!(Instant::now() < deadline, "still there: {pids:?}");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
