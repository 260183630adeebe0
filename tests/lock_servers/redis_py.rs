//! The promise of `lock_redis` to others: it and redis-py's `Lock` are one lock on one key.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use sellout::locks::{Released, lock_redis};
use uuid::Uuid;

use crate::redis::{IMPATIENT, ask, enter, key, locks, stays_out, wire};
use crate::support::servers;

/// A Python with redis-py.
fn python() -> PathBuf {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
    std::env::var_os("SELLOUT_PYTHON").map_or_else(|| here.into(), PathBuf::from)
}

/// redis-py's `Lock` in a process of its own.
struct RedisPy {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl RedisPy {
    fn start(key: &str) -> RedisPy {
        let mut child = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lock_servers/redis_py.py"))
            .args([&servers().redis_url, key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; ./run test installs it", python().display()));
        let answers = BufReader::new(child.stdout.take().expect("its stdout"));
        RedisPy { child, answers }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("its stdin"), "{line}").expect("it reads");
    }

    fn said(&mut self) -> bool {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("its answer");
        match line.trim() {
            "True" => true,
            "False" => false,
            other => panic!("redis-py said {other:?}; is the package redis installed beside it?"),
        }
    }

    fn does(&mut self, line: &str) -> bool {
        self.tell(line);
        self.said()
    }
}

impl Drop for RedisPy {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_py_and_lock_redis_exclude_each_other_and_wait_for_each_other() {
    let ours = locks(&lock_redis::FACTS, &servers().redis_url, &IMPATIENT).await;
    let patient = locks(&lock_redis::FACTS, &servers().redis_url, &["--wait-limit-ms", "14000"]).await;
    let sale = Uuid::now_v7();
    let mut theirs = RedisPy::start(&key(&lock_redis::FACTS, sale));
    let guard = enter(&ours, sale).await;
    assert!(!theirs.does("acquire 0"), "redis-py entered beside us");
    // It waits, and has it when we leave.
    theirs.tell("acquire 20");
    assert_eq!(guard.release().await, Released::Ours);
    assert!(theirs.said(), "redis-py did not enter after us");
    stays_out(&ours, sale).await;
    // The other way round.
    let waiting = tokio::spawn(async move { enter(&patient, sale).await });
    assert!(theirs.does("release"), "it was redis-py's");
    let guard = waiting.await.expect("inside");
    assert!(!theirs.does("acquire 0"));
    assert_eq!(guard.release().await, Released::Ours);
    assert!(theirs.does("acquire 0") && theirs.does("release"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_py_and_lock_redis_leave_each_others_lock_alone() {
    let ours = locks(&lock_redis::FACTS, &servers().redis_url, &IMPATIENT).await;
    let (sale, admin) = (Uuid::now_v7(), wire(&servers().redis_url).await);
    let key = key(&lock_redis::FACTS, sale);
    let mut theirs = RedisPy::start(&key);
    // Ours runs out, and redis-py enters: our release is not for its lock.
    let late = enter(&ours, sale).await;
    ask::<i64>(&admin, &["PEXPIRE", &key, "1"]).await;
    assert!(theirs.does("acquire 20"));
    assert_eq!(late.release().await, Released::Lost);
    assert!(theirs.does("owned"), "our release freed redis-py's lock");
    stays_out(&ours, sale).await;
    // redis-py's runs out, and we enter.
    ask::<i64>(&admin, &["PEXPIRE", &key, "1"]).await;
    let guard = enter(&ours, sale).await;
    assert!(!theirs.does("release"), "redis-py believes that it released");
    stays_out(&ours, sale).await;
    assert_eq!(guard.release().await, Released::Ours);
}
