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
use sellout::services::{Data, Services, Wanted, Which};

const BOTH: Wanted = Wanted { postgres: true, redis: true, ..Wanted::NONE };
const REDIS: [&str; 2] = ["--only", "redis"];
/// Everything that a strategy may need: this many processes.
const ALL: usize = 7;

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
fn what_a_number_stands_on_is_said_beside_it_and_the_addresses_to_whoever_needs_them() -> Result<()> {
    let services = Services::start(Wanted::ALL)?;
    let text = services.describe().join("\n");
    let facts = ["PostgreSQL 1", "fsync=on", "synchronous_commit=on", "appendonly=yes", "noeviction"];
    for fact in facts.iter().chain(&["3 × Redis", "ZooKeeper 3.", "forceSync=yes", "etcd 3.", "fsync on"]) {
        assert!(text.contains(fact), "{fact} is missing in:\n{text}");
    }
    assert!(services.missing().is_empty());
    let told = services.environment();
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["DATABASE_URL", "REDIS_URL", "REDLOCK_URLS", "ZOOKEEPER_HOSTS", "ETCD_URLS"]);
    let addresses: Vec<&str> = told.iter().flat_map(|(_, address)| address.split(',')).collect();
    let mut different = addresses.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!((addresses.len(), different.len()), (ALL, ALL), "{addresses:?}");
    assert_eq!(services.pids().len(), ALL);
    Ok(())
}

#[test]
fn a_crashed_server_is_gone_and_comes_back_at_its_address_with_what_it_had_or_with_nothing() -> Result<()> {
    let mut services = Services::start(Wanted::ALL)?;
    let before = services.environment();
    for which in [Which::Redis, Which::Redlock(1), Which::Zookeeper(0), Which::Etcd(0), Which::Postgres] {
        write(&services, which)?;
        for data in [Data::Kept, Data::Empty] {
            let pid = services.pid(which).context("it runs")?;
            assert!(services.revive(which, data).is_err(), "{which} runs, so there is nothing to revive");
            services.crash(which)?;
            assert!(!alive(pid) && services.pid(which).is_none(), "{which} is still there");
            assert!(written(&services, which).is_err(), "somebody answers for {which}");
            services.revive(which, data)?;
            assert_ne!(services.pid(which), Some(pid));
            let kept = written(&services, which).with_context(|| format!("{which} with {data:?}"))?;
            assert_eq!(kept, data == Data::Kept, "{which} came back with {data:?}");
        }
    }
    assert_eq!(services.environment(), before);
    assert!(services.crash(Which::Redlock(3)).is_err(), "there are three, counted from 0");
    Ok(())
}

#[test]
fn an_ensemble_elects_and_goes_on_without_one_of_its_members() -> Result<()> {
    let mut services = Services::start(Wanted { zookeeper: 3, etcd: 3, ..Wanted::NONE })?;
    let hosts = services.zookeeper_hosts().context("ZooKeeper")?;
    assert_eq!((hosts.split(',').count(), services.etcd_urls().len()), (3, 3));
    let modes = |services: &Services| -> Result<Vec<String>> {
        let hosts = services.zookeeper_hosts().context("ZooKeeper")?;
        let mode = |host: &str| -> Result<String> {
            let answer = ask(host, b"srvr")?;
            Ok(answer.lines().find_map(|l| l.strip_prefix("Mode: ")).unwrap_or("none").to_owned())
        };
        let mut modes: Vec<_> = hosts.split(',').map(mode).filter_map(Result::ok).collect();
        modes.sort();
        Ok(modes)
    };
    assert_eq!(modes(&services)?, ["follower", "follower", "leader"]);
    let leader = hosts.split(',').position(|host| ask(host, b"srvr").is_ok_and(|a| a.contains("leader")));
    let leader = leader.context("a leader")?;
    services.crash(Which::Zookeeper(leader))?;
    poll("the others elect", || Ok(modes(&services)? == ["follower", "leader"]))?;
    services.revive(Which::Zookeeper(leader), Data::Empty)?;
    poll("it follows", || Ok(modes(&services)?.len() == 3))?;

    write(&services, Which::Etcd(0))?;
    services.crash(Which::Etcd(0))?;
    poll("the others answer", || written(&services, Which::Etcd(1)))?;
    assert!(services.revive(Which::Etcd(0), Data::Empty).is_err(), "that would be a new member");
    services.revive(Which::Etcd(0), Data::Kept)?;
    poll("it has what the others have", || written(&services, Which::Etcd(0)))
}

#[test]
#[cfg(target_os = "linux")] // elsewhere nobody tells a child that its parent was killed
fn the_servers_end_when_we_are_killed_or_interrupted() -> Result<()> {
    for signal in [Signal::KILL, Signal::INT] {
        let place = public_tempdir()?;
        let (mut parent, told) = start_in_child(place.path(), &[], &[])?;
        let pids = pids_told(&told);
        assert_eq!(pids.len(), ALL, "{told:?}");
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
fn a_missing_server_is_a_sentence_and_a_wrong_path_is_an_error() -> Result<()> {
    let place = public_tempdir()?;
    let empty = place.path().join("empty");
    fs::create_dir(&empty)?;
    let path = empty.to_str().context("temporary path")?;
    let only = ["--only", "redis,redlock,zookeeper,etcd"];
    let (mut parent, told) = start_in_child(place.path(), &only, &[("PATH", path)])?;
    parent.kill()?;
    parent.wait()?;
    let told = told.concat();
    for name in ["Redis is", "Java is", "etcd is"] {
        let sentence = format!("{name} not installed (sudo apt-get install");
        assert_eq!(told.matches(&sentence).count(), 1, "{sentence}: {told}");
    }
    for (server, setting) in [
        ("redis", "SELLOUT_REDIS_SERVER"),
        ("redlock", "SELLOUT_REDIS_SERVER"),
        ("zookeeper", "SELLOUT_ZOOKEEPER_JARS"),
        ("etcd", "SELLOUT_ETCD"),
    ] {
        let wrong = [(setting, "/no/such/program")];
        let (mut parent, told) = start_in_child(place.path(), &["--only", server], &wrong)?;
        parent.wait()?;
        assert!(told.concat().contains("/no/such/program"), "{server}: {told:?}");
    }
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
        .env_remove("SELLOUT_ZOOKEEPER_JARS")
        .env_remove("SELLOUT_ETCD")
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
    let postgres = services.pid(Which::Postgres).context("no PostgreSQL")?;
    Ok([postgres, services.pid(Which::Redis).context("no Redis")?])
}

/// Both servers speak their own protocol at the addresses handed out.
fn answers(services: &Services) -> Result<()> {
    let database = services.database_url().context("no PostgreSQL")?;
    // "Do you speak TLS?" is the one question that needs no start-up packet; "N" is a full answer.
    let answer = ask(database, &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])?;
    ensure!(answer == "N", "{database} answered {answer:?}");
    let redis = services.redis_url().context("no Redis")?;
    let answer = ask(redis, b"PING\r\nQUIT\r\n")?;
    ensure!(answer.starts_with("+PONG\r\n"), "{redis} answered {answer:?}");
    Ok(())
}

/// Leaves a trace that only its data holds.
fn write(services: &Services, which: Which) -> Result<()> {
    match which {
        Which::Postgres => postgres(services, "create table trace ()").map(|_| ()),
        Which::Redis | Which::Redlock(_) => {
            let answer = ask(&address(services, which)?, b"SET trace 1\r\nQUIT\r\n")?;
            ensure!(answer.starts_with("+OK"), "{answer}");
            Ok(())
        }
        Which::Zookeeper(_) => zookeeper_session(&address(services, which)?).map(|_| ()),
        Which::Etcd(_) => {
            let answer = etcd(services, which, "put", r#"{"key":"dHJhY2U=","value":"MQ=="}"#)?;
            ensure!(answer.contains("revision"), "{answer}");
            Ok(())
        }
    }
}

/// Is the trace there? An error if nobody answers.
fn written(services: &Services, which: Which) -> Result<bool> {
    Ok(match which {
        Which::Postgres => postgres(services, "select from trace")?,
        Which::Redis | Which::Redlock(_) => {
            let answer = ask(&address(services, which)?, b"EXISTS trace\r\nQUIT\r\n")?;
            ensure!(answer.starts_with(':'), "{answer:?}");
            answer.starts_with(":1")
        }
        // The session that was opened is a transaction; an empty server has seen none.
        Which::Zookeeper(_) => {
            let answer = ask(&address(services, which)?, b"srvr")?;
            let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: ")).context("no zxid")?;
            zxid != "0x0"
        }
        Which::Etcd(_) => etcd(services, which, "range", r#"{"key":"dHJhY2U="}"#)?.contains("MQ=="),
    })
}

fn address(services: &Services, which: Which) -> Result<String> {
    let all = match which {
        Which::Postgres => vec![services.database_url().unwrap_or_default().to_owned()],
        Which::Redis => vec![services.redis_url().unwrap_or_default().to_owned()],
        Which::Redlock(_) => services.redlock_urls(),
        Which::Zookeeper(_) => {
            services.zookeeper_hosts().unwrap_or_default().split(',').map(str::to_owned).collect()
        }
        Which::Etcd(_) => services.etcd_urls(),
    };
    let at = match which {
        Which::Redlock(at) | Which::Zookeeper(at) | Which::Etcd(at) => at,
        _ => 0,
    };
    all.get(at).cloned().with_context(|| format!("no {which}"))
}

/// Did the statement succeed? An error if there is no connection.
fn postgres(services: &Services, statement: &'static str) -> Result<bool> {
    use sqlx::Connection;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(services.database_url().context("a URL")?).await?;
        Ok(sqlx::query(statement).execute(&mut connection).await.is_ok())
    })
}

/// A request to etcd's JSON door, at any version of it.
fn etcd(services: &Services, which: Which, verb: &str, body: &str) -> Result<String> {
    let head = format!("POST /v3/kv/{verb} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    ask(&address(services, which)?, format!("{head}{body}").as_bytes())
}

/// Opens a session, which the server writes down: ConnectRequest of version 0, nothing seen, 30 s, no
/// session before, an empty password.
fn zookeeper_session(host: &str) -> Result<String> {
    let mut request = Vec::new();
    for part in [&44u32.to_be_bytes()[..], &[0; 4], &[0; 8], &30_000u32.to_be_bytes(), &[0; 8]] {
        request.extend_from_slice(part);
    }
    request.extend_from_slice(&16u32.to_be_bytes());
    request.extend_from_slice(&[0; 16]);
    let (mut connection, mut answer) = (connect(host)?, [0; 40]);
    connection.write_all(&request)?;
    connection.read_exact(&mut answer)?;
    Ok(format!("{answer:?}"))
}

fn connect(url: &str) -> Result<TcpStream> {
    let (_, rest) = url.split_once("127.0.0.1:").context("no loopback address")?;
    let port = rest.split('/').next().context("no port")?.parse()?;
    let connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(connection)
}

/// What it says until it closes the connection or has said a byte and no more.
fn ask(url: &str, question: &[u8]) -> Result<String> {
    let mut connection = connect(url)?;
    connection.write_all(question)?;
    let mut answer = vec![0; 1];
    connection.read_exact(&mut answer)?;
    if answer != b"N" {
        connection.read_to_end(&mut answer)?;
    }
    Ok(String::from_utf8(answer)?)
}

fn poll(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready().unwrap_or(false) {
        ensure!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
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
