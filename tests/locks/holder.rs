//! A holder in another process, to be killed and stopped: this test program again. It goes inside, says so,
//! and does what it is told, line by line. It ends with its stdin, so that nobody is left behind.

use std::process::Stdio;

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use sellout::backends::Backends;
use sellout::config::{Limits, Servers};
use sellout::locks::{ALL, Facts, Guard, Locks, Owner};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use uuid::Uuid;

use crate::support::LIMIT;
use crate::support::process::stands;

/// Names what this process is to hold; then it is no test program.
const ASKED: &str = "SELLOUT_TEST_LOCK_HOLDER";

#[derive(Parser)]
struct Asked {
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    limits: Limits,
    #[arg(long)]
    lock: String,
    #[arg(long)]
    sale: Uuid,
}

/// Was this process started to hold a lock?
pub fn is_asked_for() -> bool {
    std::env::var_os(ASKED).is_some()
}

/// The other process: goes inside, and obeys.
pub async fn hold() {
    let line = std::env::var(ASKED).expect("what to hold");
    let asked = Asked::parse_from(line.split('\n'));
    let facts = *ALL.iter().find(|facts| facts.id == asked.lock).expect("a lock of that name");
    let backends = Backends::open(&asked.servers, asked.limits).await.expect("the servers open");
    let locks = Locks::new(facts, &backends).expect("the lock's servers");
    let mut owner = Owner::fresh();
    let mut guards = Vec::new();
    go_in(&mut guards, locks.acquire(asked.sale, owner).await);
    // A thread of its own reads: a holder that waits for its next order renews its lease meanwhile.
    let (told, mut orders) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.take_while(|line| told.blocking_send(line.clone()).is_ok()).for_each(drop);
    });
    while let Some(order) = orders.recv().await {
        match order.as_str() {
            "enter" => {
                owner = Owner::fresh();
                go_in(&mut guards, locks.acquire(asked.sale, owner).await);
            }
            "release" => {
                let guard: Guard = guards.pop().expect("it is inside");
                let (lost, deadline) = (guard.is_lost(), guard.deadline().is_some());
                println!("released {:?} {}", guard.release().await, lost || !deadline);
            }
            _ => break,
        }
    }
    // At once, with whatever is held: the server has to notice by itself.
    std::process::exit(0);
}

fn go_in(guards: &mut Vec<Guard>, entered: Result<Guard, sellout::sale::Error>) {
    match entered {
        Ok(guard) => {
            println!("inside {}", guard.token().map_or("-".to_owned(), |token| token.to_string()));
            guards.push(guard);
        }
        Err(e) => println!("refused {e}"),
    }
}

/// That process, as the trial sees it. Dropped, it is killed.
pub struct Holder {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Its sessions' name in PostgreSQL.
    pub name: String,
}

/// What a release met, as the other process saw it.
pub struct Left {
    /// `Ours`, `Lost`, …
    pub released: String,
    /// Was its deadline past, if it has one?
    pub past_its_deadline: bool,
}

impl Holder {
    /// Starts it; returns when it is inside.
    pub async fn inside(servers: &Servers, limits: &Limits, facts: &Facts, sale: Uuid) -> Holder {
        let name = format!("holder-{}", Uuid::now_v7());
        let mark = if servers.database_url.contains('?') { '&' } else { '?' };
        let url = format!("{}{mark}application_name={name}", servers.database_url);
        let mut line = vec!["holder".to_owned(), format!("--database-url={url}")];
        line.extend(servers.redis().map(|url| format!("--redis-url={url}")));
        line.extend(servers.redlock().iter().map(|url| format!("--redlock-urls={url}")));
        line.extend(servers.zookeeper().map(|hosts| format!("--zookeeper-hosts={hosts}")));
        line.extend(servers.etcd().iter().map(|url| format!("--etcd-urls={url}")));
        line.push(format!("--pool-connections-max={}", limits.pool_connections_max));
        line.push(format!("--lock-connections-max={}", limits.lock_connections_max));
        line.push(format!("--wait-limit-ms={}", limits.wait_limit_ms));
        line.push(format!("--order-deadline-ms={}", limits.order_deadline_ms));
        line.push(format!("--lock-lease-ms={}", limits.lock_lease_ms));
        line.extend([format!("--lock={}", facts.id), format!("--sale={sale}")]);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            // Only what it is told, not what the tests were told.
            .env_clear()
            .env(ASKED, line.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a holder");
        let orders = child.stdin.take().expect("its stdin");
        let answers = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let mut holder = Holder { child, orders, answers, name };
        let said = holder.answer().await;
        assert!(said.starts_with("inside "), "{said}");
        holder
    }

    /// Goes in once more, as a new owner: inside, or refused.
    pub async fn enters(&mut self) -> bool {
        self.tell("enter").await.starts_with("inside ")
    }

    /// Leaves.
    pub async fn release(&mut self) -> Left {
        let said = self.tell("release").await;
        let words: Vec<_> = said.split(' ').collect();
        let ["released", released, deadline] = words[..] else { panic!("it said {said:?}") };
        Left { released: released.to_owned(), past_its_deadline: deadline == "true" }
    }

    /// `kill -9`, until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("kill");
    }

    /// SIGSTOP, until it stands.
    pub async fn stop(&self) {
        self.signal(Signal::STOP);
        stands(self.child.id().expect("it lives")).await;
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it lives"), signal).expect("a signal to our own child");
    }

    async fn tell(&mut self, order: &str) -> String {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("it listens");
        self.answer().await
    }

    async fn answer(&mut self) -> String {
        let line = tokio::time::timeout(LIMIT, self.answers.next_line()).await;
        line.expect("an answer in time").expect("its stdout").expect("it lives")
    }
}
