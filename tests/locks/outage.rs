//! Its server crashes: is the lock still there afterwards, and does nobody else come in meanwhile? Each
//! trial has servers of its own.

use std::time::Duration;

use sellout::backends::Need;
use sellout::config::{Limits, Servers};
use sellout::locks::{Facts, Owner, Released};
use sellout::sale::Error;
use sellout::services::{Data, Services, Wanted, Which};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::bench::{Bench, Party, limits, open};
use crate::support::LIMIT;

/// Longer than a server needs to come back: here no lease ends by itself.
const LEASE_MS: u64 = 20_000;

/// The server that keeps it; a mutex has none.
fn server(facts: &Facts) -> Option<Need> {
    let remote = facts.needs.iter().copied().find(|need| *need != Need::Postgres);
    let postgres = (facts.trips.acquire > 0).then_some(Need::Postgres);
    remote.or(postgres)
}

pub fn has_a_server(facts: &Facts) -> bool {
    server(facts).is_some()
}

/// A PostgreSQL that came back empty would have lost the orders too.
pub fn has_a_server_apart(facts: &Facts) -> bool {
    server(facts).is_some_and(|server| server != Need::Postgres)
}

/// Servers of which one may be down. (A Redis that fails over to its replica is in tests/lock_servers.)
pub fn has_several_servers(facts: &Facts) -> bool {
    matches!(server(facts), Some(Need::Redlock | Need::Zookeeper | Need::Etcd))
}

/// What was started for one trial.
struct Own {
    running: Services,
    servers: Servers,
    members: Vec<Which>,
}

impl Own {
    /// As few as it takes, or three that stand in for each other.
    fn start(bench: &Bench, facts: &Facts, several: bool) -> Own {
        let size = if several { 3 } else { 1 };
        let all = |which: fn(usize) -> Which, size: usize| (0..size).map(which).collect::<Vec<_>>();
        let (wanted, members) = match server(facts).expect("it has a server") {
            Need::Postgres => (Wanted { postgres: true, ..Wanted::NONE }, vec![Which::Postgres]),
            Need::Redis => (Wanted { redis: true, ..Wanted::NONE }, vec![Which::Redis]),
            Need::Redlock => (Wanted { redlock: 3, ..Wanted::NONE }, all(Which::Redlock, 3)),
            Need::Zookeeper => (Wanted { zookeeper: size, ..Wanted::NONE }, all(Which::Zookeeper, size)),
            Need::Etcd => (Wanted { etcd: size, ..Wanted::NONE }, all(Which::Etcd, size)),
        };
        let running = block_in_place(|| Services::start(wanted)).expect("servers of its own");
        let servers = Servers {
            database_url: running.database_url().unwrap_or(&bench.servers.database_url).to_owned(),
            redis_url: running.redis_url().map(str::to_owned),
            redlock_urls: running.redlock_urls(),
            zookeeper_hosts: running.zookeeper_hosts(),
            etcd_urls: running.etcd_urls(),
        };
        Own { running, servers, members }
    }

    fn crash(&mut self, which: Which) {
        block_in_place(|| self.running.crash(which)).expect("it crashes");
    }

    fn revive(&mut self, which: Which, data: Data) {
        block_in_place(|| self.running.revive(which, data)).expect("it comes back");
    }
}

/// A server that has just started may be slow.
fn patient(facts: &Facts) -> Limits {
    // Nothing is renewed for longer than an order may take.
    Limits { order_deadline_ms: 60_000, ..limits(facts, LEASE_MS, 10_000) }
}

fn impatient(facts: &Facts) -> Limits {
    Limits { wait_limit_ms: 500, ..patient(facts) }
}

pub async fn its_server_restarted_keeps_it(bench: &Bench, facts: &'static Facts) -> &'static str {
    restarted(bench, facts, Data::Kept).await
}

pub async fn its_server_restarted_empty_keeps_it(bench: &Bench, facts: &'static Facts) -> &'static str {
    restarted(bench, facts, Data::Empty).await
}

/// A holder is inside while every server of the lock ends and comes back. Does another one come in?
async fn restarted(bench: &Bench, facts: &'static Facts, data: Data) -> &'static str {
    let mut own = Own::start(bench, facts, false);
    let holder = open(&own.servers, facts, patient(facts), Vec::new()).await;
    let sale = holder.sale().await;
    let guard = holder.enter(sale).await.expect("it is free");
    for which in own.members.clone() {
        own.crash(which);
    }
    for which in own.members.clone() {
        own.revive(which, data);
    }
    // Another process, which met the server only now.
    let other = open(&own.servers, facts, impatient(facts), Vec::new()).await;
    let entered = poll_for_an_answer(&other, sale).await;
    // Not asked for its outcome: its connections broke, and a lock that is kept may say so.
    drop(guard);
    if entered { "no" } else { "yes" }
}

/// Inside, or refused; a server that is not there yet is asked again.
async fn poll_for_an_answer(party: &Party, sale: Uuid) -> bool {
    let answered = async {
        loop {
            match party.locks.acquire(sale, Owner::fresh()).await {
                Ok(guard) => {
                    guard.release().await;
                    return true;
                }
                Err(Error::Contended(_)) => return false,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(LIMIT, answered).await.expect("the server answers again")
}

/// One of three after the other is killed and comes back, so the one that leads was among them. The holder
/// stays inside, nobody else enters, and it can be locked again afterwards.
pub async fn its_server_fails_over_and_keeps_it(bench: &Bench, facts: &'static Facts) -> &'static str {
    let mut own = Own::start(bench, facts, true);
    let holder = open(&own.servers, facts, patient(facts), Vec::new()).await;
    let other = open(&own.servers, facts, impatient(facts), Vec::new()).await;
    // Cold, it may be granted by two of three only, and then either of them is one too many.
    holder.warm().await;
    let sale = holder.sale().await;
    let guard = holder.enter(sale).await.expect("it is free");
    for which in own.members.clone() {
        own.crash(which);
        // While one is down those who answer may be too few to refuse; nobody is let in all the same.
        let asked = other.locks.acquire(sale, Owner::fresh()).await;
        own.revive(which, Data::Kept);
        let entered = asked.is_ok() || poll_for_an_answer(&other, sale).await;
        if entered || guard.is_lost() {
            let how = if entered { "another one entered" } else { "the holder lost it" };
            println!("{}: {how} when {which} was down", facts.id);
            return "no";
        }
    }
    let released = guard.release().await;
    assert!(matches!(released, Released::Ours | Released::Unknown), "{released:?}");
    let deadline = Duration::from_millis(LEASE_MS + 1_000);
    let free = async { while !poll_for_an_answer(&other, sale).await {} };
    tokio::time::timeout(deadline, free).await.expect("it can be locked again");
    "yes"
}
