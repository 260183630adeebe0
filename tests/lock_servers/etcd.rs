//! lock_etcd on real etcd servers that the tests kill, freeze and empty.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_client::PutOptions;
use sellout::locks::{Owner, Released};
use sellout::services::Data;
use uuid::Uuid;

use crate::etcd_server::{Etcd, LONG, at_once, etcdctl, refused};
use crate::support::{Api, TestApp, eventually, fresh_database};

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_whose_lease_died_is_never_let_in() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let (holder, waiter) = (etcd.process(&LONG).await, etcd.process(&LONG).await);
    for by_etcdctl in [false, true] {
        let held = holder.acquire(sale).await;
        let waits = waiter.waiting(sale);
        etcd.queued(sale, 2).await;
        let lease = etcd.queue(sale).await[1].lease();
        if by_etcdctl {
            let mut revoke = etcdctl(&etcd);
            revoke.args(["lease", "revoke", &format!("{lease:x}")]);
            assert!(revoke.status().expect("etcdctl").success());
        } else {
            etcd.admin().await.lease_revoke(lease).await.expect("revoked");
        }
        // Nobody is before it any more, and it is not in the queue either.
        assert_eq!(held.release().await, Released::Ours);
        refused(waits).await;
        let next = waiter.acquire(sale).await;
        assert_ne!(etcd.queue(sale).await[0].lease(), lease, "a new lease");
        assert_eq!(next.release().await, Released::Ours);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_whose_place_was_deleted_is_refused_at_once() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let (holder, waiter) = (etcd.process(&LONG).await, etcd.process(&LONG).await);
    let held = holder.acquire(sale).await;
    let waits = waiter.waiting(sale);
    etcd.queued(sale, 2).await;
    let place = etcd.queue(sale).await[1].key().to_vec();
    etcd.admin().await.delete(place, None).await.expect("deleted");
    refused(waits).await;
    assert_eq!(held.release().await, Released::Ours);
    let next = at_once("the next enters", waiter.acquire(sale)).await;
    assert_eq!(next.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_keeps_nobody_waiting() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let (holder, waiter) = (etcd.process(&LONG).await, etcd.process(&LONG).await);
    let held = holder.acquire(sale).await;
    let waits = waiter.waiting(sale);
    etcd.queued(sale, 2).await;
    let mut admin = etcd.admin().await;
    let mut now = 0;
    for _ in 0..20 {
        now = admin.put("noise", "", None).await.expect("put").header().expect("a header").revision();
    }
    admin.compact(now, None).await.expect("compacted");
    assert_eq!(held.release().await, Released::Ours);
    let entered = at_once("it enters", waits).await.expect("the waiter").expect("the lock");
    // Who comes too late to watch a revision is told so, rather than left waiting for it.
    let lease = waiter.backends.etcd().expect("etcd").lease().await.expect("a lease");
    at_once("the watch says so", lease.deleted([b"gone", b"never"], 1)).await;
    assert_eq!(entered.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_guard_releases_nothing_newer() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let (one, two) = (etcd.process(&LONG).await, etcd.process(&LONG).await);
    let old = one.acquire(sale).await;
    let place = etcd.queue(sale).await.remove(0);
    let mut admin = etcd.admin().await;
    admin.delete(place.key(), None).await.expect("deleted");
    let newer = two.acquire(sale).await;
    assert!(newer.token() > old.token());
    // Even one of the very same name.
    let same = PutOptions::new().with_lease(place.lease());
    admin.put(place.key(), "another", Some(same)).await.expect("put");
    assert_eq!(old.release().await, Released::Lost);
    assert_eq!(etcd.queue(sale).await.len(), 2, "both are still there");
    assert_eq!(newer.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_process_keep_each_other_out_under_one_lease() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let process = etcd.process(&LONG).await;
    let first = process.acquire(sale).await;
    let second = process.waiting(sale);
    etcd.queued(sale, 2).await;
    let queue = etcd.queue(sale).await;
    assert_eq!(queue[0].lease(), queue[1].lease(), "one lease per process");
    assert!(!second.is_finished());
    let before = first.token();
    assert_eq!(first.release().await, Released::Ours);
    let second = at_once("the second enters", second).await.expect("the second").expect("the lock");
    assert!(second.token() > before);
    assert_eq!(second.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_enter_in_the_order_in_which_they_came() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let holder = etcd.process(&LONG).await;
    let held = holder.acquire(sale).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let (mut processes, mut waiters, mut last) = (Vec::new(), Vec::new(), held.token());
    for nth in 0..5 {
        let process = etcd.process(&LONG).await;
        let (waits, order) = (process.waiting(sale), Arc::clone(&order));
        processes.push(process);
        waiters.push(tokio::spawn(async move {
            let guard = waits.await.expect("a waiter").expect("the lock");
            order.lock().expect("the order").push((nth, guard.token()));
            assert_eq!(guard.release().await, Released::Ours);
        }));
        etcd.queued(sale, 2 + nth).await;
    }
    assert_eq!(held.release().await, Released::Ours);
    at_once("all have been inside", futures_util::future::join_all(waiters)).await;
    for (at, (nth, token)) in order.lock().expect("the order").iter().enumerate() {
        assert_eq!(at, *nth, "first come, first served");
        assert!(*token > last, "each token is greater than the one before");
        last = *token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_of_a_frozen_etcd_hears_of_its_loss_at_its_own_deadline() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let settings = ["--lock-lease-ms", "1500", "--wait-limit-ms", "2000"];
    let (process, other) = (etcd.process(&settings).await, etcd.process(&settings).await);
    let guard = process.acquire(sale).await;
    let entered = guard.deadline();
    eventually("it is kept alive", async || guard.deadline() > entered).await;
    etcd.freeze().await;
    let deadline = guard.deadline().expect("a lease has one");
    assert!(deadline <= Instant::now() + Duration::from_secs(2), "1.5 s are 2 s for etcd");
    let told = tokio::time::timeout_at((deadline + Duration::from_millis(500)).into(), guard.lost()).await;
    assert!(told.is_ok(), "not told at its deadline");
    assert_eq!(guard.deadline(), Some(deadline), "nobody answered, so nothing was renewed");
    assert!(guard.is_lost());
    let refused = other.locks.acquire(sale, Owner::fresh()).await;
    assert!(refused.is_err(), "nobody answers, nobody enters");
    etcd.thaw();
    assert_eq!(guard.deadline(), Some(deadline), "what is over stays over");
    for process in [&process, &other] {
        eventually("it can be locked again", async || {
            match process.locks.acquire(sale, Owner::fresh()).await {
                Ok(again) => again.release().await == Released::Ours,
                Err(_) => false,
            }
        })
        .await;
    }
    assert_eq!(guard.release().await, Released::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_lease_was_revoked_hears_of_it_at_the_next_renewal() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let process = etcd.process(&["--lock-lease-ms", "6000"]).await;
    let guard = process.acquire(sale).await;
    let entered = guard.deadline();
    eventually("it is kept alive", async || guard.deadline() > entered).await;
    let deadline = guard.deadline().expect("a lease has one");
    let lease = etcd.queue(sale).await[0].lease();
    etcd.admin().await.lease_revoke(lease).await.expect("revoked");
    guard.lost().await;
    assert!(Instant::now() + Duration::from_secs(2) < deadline, "a dead lease is no error: its life is 0");
    assert!(guard.is_lost());
    let next = process.acquire(sale).await;
    assert!(!next.is_lost(), "a new lease");
    assert_eq!(guard.release().await, Released::Lost);
    assert_eq!(next.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_etcd_keeps_the_holder_inside_and_the_others_out() {
    let (mut etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let (holder, other) = (etcd.process(&LONG).await, etcd.process(&LONG).await);
    let held = holder.acquire(sale).await;
    let waits = other.waiting(sale);
    etcd.queued(sale, 2).await;
    etcd.crash();
    etcd.revive(Data::Kept);
    assert_eq!(etcd.queue(sale).await.len(), 2, "both are on its disk");
    assert!(!held.is_lost() && !waits.is_finished());
    assert_eq!(held.release().await, Released::Ours);
    let entered = at_once("the other enters", waits).await.expect("the waiter").expect("the lock");
    assert_eq!(entered.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_nobody_answered_is_made_up_for() {
    let (mut etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let settings = ["--lock-lease-ms", "6000", "--wait-limit-ms", "2000"];
    let (holder, other) = (etcd.process(&settings).await, etcd.process(&settings).await);
    let held = holder.acquire(sale).await;
    etcd.crash();
    assert_eq!(held.release().await, Released::Unknown);
    etcd.revive(Data::Kept);
    assert_eq!(etcd.queue(sale).await.len(), 1, "its lease lives, and so does the key");
    eventually("it is deleted", async || etcd.queue(sale).await.is_empty()).await;
    assert_eq!(other.acquire(sale).await.release().await, Released::Ours);
    let alive = etcd.admin().await.leases().await.expect("the leases").leases().len();
    assert_eq!(alive, 2, "it was deleted, and did not end with its lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn acquisitions_that_nobody_waits_for_leave_no_key() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let (process, other) = (etcd.process(&LONG).await, etcd.process(&LONG).await);
    drop(process.acquire(sale).await);
    for round in 0..200 {
        let rival = if round % 2 == 0 { None } else { Some(other.acquire(sale).await) };
        let patience = Duration::from_micros(round * 60);
        let asked = process.locks.again(sale, Owner::fresh());
        let dropped = tokio::time::timeout(patience, asked).await;
        assert!(rival.is_none() || dropped.is_err(), "two inside");
    }
    eventually("nothing is left", async || etcd.queue(sale).await.is_empty()).await;
    assert_eq!(process.acquire(sale).await.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dropped_leaves_no_task_and_no_lease() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let mut admin = etcd.admin().await;
    admin.get("open", None).await.expect("the admin's connection is open");
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let process = etcd.process(&["--lock-lease-ms", "1500"]).await;
    let guard = process.acquire(sale).await;
    let entered = guard.deadline();
    eventually("it is kept alive", async || guard.deadline() > entered).await;
    assert_eq!(guard.release().await, Released::Ours);
    assert_eq!(admin.leases().await.expect("the leases").leases().len(), 1);
    drop(process);
    eventually("its tasks have ended", async || alive() <= before).await;
    eventually("its lease has ended", async || {
        etcd.admin().await.leases().await.expect("the leases").leases().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_raised_and_never_lowered() {
    let (etcd, sale) = (Etcd::start().await, Uuid::now_v7());
    let process = etcd.process(&LONG).await;
    let mut last = 0;
    for above in [None, Some(1_000), Some(5), None, Some(1_000_000), None] {
        if let Some(above) = above {
            process.locks.raise(sale, above).await.expect("raised");
        }
        let guard = process.acquire(sale).await;
        let token = guard.token().expect("it has one");
        assert!(token > last && above.is_none_or(|above| token > above), "{token} after {last}");
        assert_eq!(guard.release().await, Released::Ours);
        last = token;
    }
    assert!((1_000_000..1_000_100).contains(&last), "no further than asked: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_sale_goes_on_selling_on_an_etcd_that_was_set_up_anew() {
    let (mut etcd, new, database) = (Etcd::start().await, Etcd::start().await, fresh_database().await);
    let app =
        async |etcd: &Etcd| TestApp::between(&database, None, &["--lab", "--etcd-urls", &etcd.url()]).await;
    let mut admin = etcd.admin().await;
    for _ in 0..100 {
        admin.put("noise", "", None).await.expect("put");
    }
    let before = app(&etcd).await;
    let sale = before.api.open_sale("lock_etcd_fenced", 6).await;
    assert!(before.api.buy(sale).await.is_sold());
    // The same address, and nothing on the disk behind it.
    etcd.crash();
    etcd.revive(Data::Empty);
    sells(&before.api, sale, 2).await;
    for _ in 0..100 {
        etcd.admin().await.put("noise", "", None).await.expect("put");
    }
    sells(&before.api, sale, 1).await;
    before.stop().await;
    // Another one, and another service.
    let after = app(&new).await;
    sells(&after.api, sale, 2).await;
    assert_eq!(after.api.buy(sale).await.problem(), "sold-out");
    assert_eq!(after.api.audit(sale).await.evidence.sold, 6);
    after.stop().await;
}

async fn sells(api: &Api, sale: Uuid, units: usize) {
    for _ in 0..units {
        let answer = api.buy(sale).await;
        assert!(answer.is_sold(), "{}", answer.text);
    }
}
