//! An etcd of a test's own, to be killed, frozen and looked into; processes that lock on it; etcdctl beside.

use std::process::{Command, Stdio};
use std::time::Duration;

use etcd_client::{Client, GetOptions, KeyValue, SortOrder, SortTarget};
use rustix::process::{Pid, Signal, kill_process};
use sellout::backends::Backends;
use sellout::locks::{Guard, Locks, Owner, lock_etcd};
use sellout::sale::Error;
use sellout::services::{Data, Services, Wanted, Which};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::{config, eventually, servers};

/// One etcd of this test's own. Dropped, it ends.
pub struct Etcd(Services);

const ETCD: Which = Which::Etcd(0);

impl Etcd {
    pub async fn start() -> Etcd {
        let start = || Services::start(Wanted { etcd: 1, ..Wanted::NONE }).expect("an etcd");
        let services = tokio::task::spawn_blocking(start).await.expect("an etcd");
        assert_eq!(services.missing(), [""; 0]);
        Etcd(services)
    }

    pub fn url(&self) -> String {
        self.0.etcd_urls().remove(0)
    }

    pub fn crash(&mut self) {
        tokio::task::block_in_place(|| self.0.crash(ETCD)).expect("crashed");
    }

    pub fn revive(&mut self, data: Data) {
        tokio::task::block_in_place(|| self.0.revive(ETCD, data)).expect("revived");
    }

    fn signal(&self, signal: Signal) -> u32 {
        let pid = self.0.pid(ETCD).expect("it runs");
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(raw, signal).expect("a signal");
        pid
    }

    pub async fn freeze(&self) {
        let stat = format!("/proc/{}/stat", self.signal(Signal::STOP));
        let stands = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
        eventually("etcd stands still", async || stands()).await;
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    pub async fn admin(&self) -> Client {
        Client::connect([self.url()], None).await.expect("etcd")
    }

    /// The queue of a sale, in the order of creation.
    pub async fn queue(&self, sale: Uuid) -> Vec<KeyValue> {
        let all = GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend);
        let mut admin = self.admin().await;
        admin.get(format!("sellout/locks/{sale}/"), Some(all)).await.expect("the queue").take_kvs()
    }

    pub async fn queued(&self, sale: Uuid, many: usize) {
        eventually("they queue", async || self.queue(sale).await.len() == many).await;
    }

    /// What a process of its own has: its own connection and its own lease.
    pub async fn process(&self, settings: &[&str]) -> Process {
        let url = self.url();
        let settings = config(&servers().database_url, None, &[&["--etcd-urls", &url], settings].concat());
        let backends = Backends::open(&settings.servers, settings.limits).await.expect("the servers");
        let locks = Locks::new(&lock_etcd::FACTS, &backends).expect("etcd is there");
        Process { locks, backends }
    }
}

pub struct Process {
    pub locks: Locks,
    pub backends: Backends,
}

impl Process {
    pub async fn acquire(&self, sale: Uuid) -> Guard {
        self.locks.acquire(sale, Owner::fresh()).await.expect("the lock")
    }

    /// Past the queue of the process.
    pub fn waiting(&self, sale: Uuid) -> JoinHandle<Result<Guard, Error>> {
        let locks = self.locks.clone();
        tokio::spawn(async move { locks.again(sale, Owner::fresh()).await })
    }
}

/// A lease and a wait that end nothing by themselves while a test runs.
pub const LONG: [&str; 6] =
    ["--lock-lease-ms", "30000", "--wait-limit-ms", "25000", "--order-deadline-ms", "60000"];
/// As soon as the server can say it, with room for a slow machine.
pub const AT_ONCE: Duration = Duration::from_secs(5);

pub async fn at_once<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, event).await.unwrap_or_else(|_| panic!("not at once: {what}"))
}

pub async fn refused(waiter: JoinHandle<Result<Guard, Error>>) {
    let answer = at_once("it is refused", waiter).await.expect("the waiter");
    assert!(matches!(answer, Err(Error::Contended(_))), "{:?}", answer.map(|guard| guard.token()));
}

pub fn etcdctl(etcd: &Etcd) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &etcd.url()]).stdout(Stdio::null());
    command
}
