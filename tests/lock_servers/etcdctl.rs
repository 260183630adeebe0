//! etcdctl's `lock` and ours in one queue.

use std::path::PathBuf;
use std::process::Child;

use sellout::locks::Released;
use uuid::Uuid;

use crate::etcd_server::{Etcd, LONG, at_once, etcdctl};
use crate::support::eventually;

/// While its mark is there, the script that etcdctl runs inside is.
const INSIDE: &str = "#!/bin/sh\ntouch \"$1\"\nwhile [ -e \"$1\" ]; do sleep 0.02; done\n";

/// `etcdctl lock`, which runs a script inside. Dropped, both end.
struct Etcdctl {
    child: Child,
    mark: PathBuf,
    _home: tempfile::TempDir,
}

impl Etcdctl {
    fn lock(etcd: &Etcd, sale: Uuid, ttl: u32) -> Etcdctl {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a folder");
        let (script, mark) = (home.path().join("inside"), home.path().join("mark"));
        std::fs::write(&script, INSIDE).expect("the script");
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("it may be run");
        let mut command = etcdctl(etcd);
        command.args(["lock", "--ttl", &ttl.to_string(), &format!("sellout/locks/{sale}")]);
        let child = command.arg(script).arg(&mark).spawn().expect("etcdctl: apt-get install etcd-client");
        Etcdctl { child, mark, _home: home }
    }

    fn is_inside(&self) -> bool {
        self.mark.exists()
    }

    async fn inside(&self) {
        eventually("etcdctl is inside", async || self.is_inside()).await;
    }

    fn leave(&self) {
        std::fs::remove_file(&self.mark).expect("it is inside");
    }
}

impl Drop for Etcdctl {
    fn drop(&mut self) {
        let _it_may_have_left = std::fs::remove_file(&self.mark);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_and_ours_enter_in_the_order_in_which_they_came() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let process = etcd.process(&LONG).await;
    let first = Etcdctl::lock(&etcd, sale, 30);
    first.inside().await;
    let ours = process.waiting(sale);
    etcd.queued(sale, 2).await;
    let third = Etcdctl::lock(&etcd, sale, 30);
    etcd.queued(sale, 3).await;
    assert!(!ours.is_finished() && !third.is_inside());
    first.leave();
    let guard = at_once("ours enters", ours).await.expect("ours").expect("the lock");
    etcd.queued(sale, 2).await;
    // Round trips through the queue, so that whoever would enter had the time to.
    for _ in 0..50 {
        assert_eq!(etcd.queue(sale).await.len(), 2);
        assert!(!third.is_inside(), "two inside");
    }
    assert_eq!(guard.release().await, Released::Ours);
    third.inside().await;
    third.leave();
    etcd.queued(sale, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_enters_when_the_lease_of_a_killed_etcdctl_has_ended() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let process = etcd.process(&LONG).await;
    let mut killed = Etcdctl::lock(&etcd, sale, 2);
    killed.inside().await;
    let ours = process.waiting(sale);
    etcd.queued(sale, 2).await;
    killed.child.kill().expect("kill");
    assert!(!ours.is_finished(), "its lease lives on for a while");
    let guard = at_once("ours enters", ours).await.expect("ours").expect("the lock");
    assert!(killed.is_inside(), "what it ran goes on: this is what a fence is for");
    assert_eq!(guard.release().await, Released::Ours);
}
