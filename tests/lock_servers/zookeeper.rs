//! `lock_zookeeper` on a real ZooKeeper: sessions that end, waiters that die, answers that get lost.

use std::time::{Duration, Instant};

use sellout::locks::lock_zookeeper::FACTS;
use sellout::locks::{Facts, Owner, Released, lock_curator};
use sellout::services::{Data, Services, Wanted, Which};
use uuid::Uuid;

use crate::support::{TestApp, eventually, fresh_database, servers};
use crate::zoo::{LONG, Witness, hosts, impatient, inside, process, queue, relay};

/// A session that is over soon.
const SHORT: u64 = 600;
/// Two processors, and others work on them too.
const SLACK: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_in_the_middle_loses_the_lock_in_time_and_is_never_trusted_again() {
    for facts in [&FACTS, &lock_curator::FACTS] {
        let (wire, relayed) = relay().await;
        let (first, second) = (process(facts, &relayed, SHORT), process(facts, hosts(), SHORT));
        let sale = Uuid::now_v7();
        let witness = Witness::of(facts, sale).await;
        let guard = inside(&first, sale).await;
        let (old_session, _) = witness.made(&witness.sees(1).await[0]).await;

        wire.freeze();
        let (frozen, lease) = (Instant::now(), Duration::from_millis(SHORT));
        let until = guard.deadline().expect("a deadline");
        assert!(until <= frozen + lease, "{}: no proof is younger than the wire", facts.id);
        let next = tokio::spawn(async move { (inside(&second, sale).await, Instant::now()) });
        guard.lost().await;
        let lost = frozen.elapsed();
        assert!(lost <= lease + SLACK, "{}: lost after {lost:?}", facts.id);
        let (next, entered) = next.await.expect("the next one gets in");
        assert!(entered - frozen < lease + Duration::from_secs(1), "{:?}", entered - frozen);
        assert!(until <= entered, "it believed while somebody else was inside");

        wire.thaw();
        assert_eq!(guard.release().await, Released::Lost, "{}", facts.id);
        let again = queue(&first, sale);
        let nodes = witness.sees(2).await;
        let (new_session, _) = witness.made(&nodes[1]).await;
        assert_ne!(new_session, old_session, "nothing of the old session is trusted");
        assert_eq!(next.release().await, Released::Ours);
        let again = again.await.expect("a task").expect("the same process locks again");
        assert!(!again.is_lost());
        assert_eq!(again.release().await, Released::Ours);
        witness.sees(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_for_ten_leases_while_its_lock_is_held() {
    let locks = process(&FACTS, hosts(), SHORT);
    let sale = Uuid::now_v7();
    let guard = inside(&locks, sale).await;
    let held = Instant::now();
    eventually("ten leases have passed, or the lock", async || {
        guard.is_lost() || held.elapsed() >= Duration::from_millis(10 * SHORT)
    })
    .await;
    assert!(!guard.is_lost(), "lost after {:?}", held.elapsed());
    assert_eq!(guard.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_that_dies_in_the_middle_does_not_let_in_the_next() {
    let (wire, relayed) = relay().await;
    let (first, third) = (process(&FACTS, hosts(), LONG), process(&FACTS, &relayed, LONG));
    for by_crash in [false, true] {
        let sale = Uuid::now_v7();
        let witness = Witness::of(&FACTS, sale).await;
        let holder = inside(&first, sale).await;
        // A process of its own: its runtime is what dies.
        let middle = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let waiting = middle.spawn(async move {
            let locks = process(&FACTS, hosts(), SHORT);
            let _inside = locks.acquire(sale, Owner::fresh()).await;
        });
        witness.sees(2).await;
        inside(&third, Uuid::now_v7()).await.release().await;
        let asked = wire.turns();
        let last = queue(&third, sale);
        witness.sees(3).await;
        // Create, list, watch.
        eventually("the third watches", async || wire.turns() >= asked + 3).await;
        let before = wire.turns();
        if by_crash {
            middle.shutdown_background();
        } else {
            waiting.abort();
            let _aborted = waiting.await;
            middle.shutdown_background();
        }
        witness.sees(2).await;
        // It was woken, has listed, and watches the holder now.
        eventually("the third has looked again", async || wire.turns() >= before + 2 || last.is_finished())
            .await;
        assert!(!last.is_finished(), "the third is inside while the first holds");
        assert_eq!(holder.release().await, Released::Ours);
        let last = last.await.expect("a task").expect("the third gets in after the first");
        assert_eq!(last.release().await, Released::Ours);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predecessor_that_vanishes_between_list_and_watch_is_not_waited_for() {
    let (wire, relayed) = relay().await;
    let (first, second) = (process(&FACTS, hosts(), LONG), impatient(&FACTS, &relayed, LONG, 5_000));
    let (warm, sale) = (Uuid::now_v7(), Uuid::now_v7());
    inside(&second, warm).await.release().await;
    first.open(sale).await.expect("opened");
    let witness = Witness::of(&FACTS, sale).await;
    let holder = inside(&first, sale).await;
    // Create, list, and then the watch.
    wire.hold(3);
    let waiting = queue(&second, sale);
    eventually("the watch is held back", async || wire.is_holding()).await;
    let nodes = witness.sees(2).await;
    witness.delete(&nodes[0]).await;
    wire.release();
    let entered = waiting.await.expect("a task").expect("it does not hang");
    assert_eq!(holder.release().await, Released::Lost, "somebody else had deleted its node");
    assert_eq!(entered.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_enter_in_the_order_in_which_they_came_and_their_tokens_grow() {
    for facts in [&FACTS, &lock_curator::FACTS] {
        let sale = Uuid::now_v7();
        let witness = Witness::of(facts, sale).await;
        let processes: Vec<_> = (0..5).map(|_| process(facts, hosts(), LONG)).collect();
        let holder = inside(&process(facts, hosts(), LONG), sale).await;
        let mut token = holder.token().expect("a token");
        assert_eq!(token, witness.made(&witness.sees(1).await[0]).await.1, "the czxid of its node");
        let mut waiting = Vec::new();
        for (at, locks) in processes.iter().enumerate() {
            waiting.push(queue(locks, sale));
            witness.sees(at + 2).await;
        }
        assert_eq!(holder.release().await, Released::Ours);
        for at in 0..waiting.len() {
            let entered = waiting.remove(0).await.expect("a task").expect("inside");
            assert!(waiting.iter().all(|other| !other.is_finished()), "somebody overtook number {at}");
            let next = entered.token().expect("a token");
            assert!(next > token, "{next} after {token}");
            token = next;
            assert_eq!(entered.release().await, Released::Ours);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_answer_got_lost_is_found_again_and_blocks_nobody() {
    for facts in [&FACTS, &lock_curator::FACTS] {
        let (wire, relayed) = relay().await;
        let (locks, other) = (impatient(facts, &relayed, LONG, 5_000), process(facts, hosts(), LONG));
        let (warm, sale) = (Uuid::now_v7(), Uuid::now_v7());
        inside(&locks, warm).await.release().await;
        other.open(sale).await.expect("opened");
        let witness = Witness::of(facts, sale).await;
        // The create is delivered; its answer is not.
        wire.cut(1);
        let guard = inside(&locks, sale).await;
        assert_eq!(witness.queue().await.len(), 1, "{}: one node for one holder", facts.id);
        assert_eq!(guard.release().await, Released::Ours);
        witness.sees(0).await;
        inside(&other, sale).await.release().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_during_the_release_leaves_no_node() {
    for facts in [&FACTS, &lock_curator::FACTS] {
        let (wire, relayed) = relay().await;
        let (locks, other) = (impatient(facts, &relayed, LONG, 700), process(facts, hosts(), LONG));
        let sale = Uuid::now_v7();
        let witness = Witness::of(facts, sale).await;
        // Delivered, and the answer lost: the second request finds nothing, and it was ours all the same.
        let guard = inside(&locks, sale).await;
        wire.cut(1);
        assert_eq!(guard.release().await, Released::Ours, "{}", facts.id);
        witness.sees(0).await;
        // Not delivered in time.
        let guard = inside(&locks, sale).await;
        wire.freeze();
        assert_eq!(guard.release().await, Released::Unknown, "{}", facts.id);
        assert_eq!(witness.queue().await.len(), 1);
        wire.thaw();
        let taken = inside(&other, sale).await;
        assert_eq!(witness.queue().await.len(), 1, "no node but the holder's");
        taken.release().await;
        inside(&locks, sale).await.release().await;
        witness.sees(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_acquisitions_that_nobody_waits_for_leave_no_node() {
    for facts in [&FACTS, &lock_curator::FACTS] {
        let (one, two) = (process(facts, hosts(), LONG), process(facts, hosts(), LONG));
        let sale = Uuid::now_v7();
        let witness = Witness::of(facts, sale).await;
        one.open(sale).await.expect("opened");
        for round in 0..200_u64 {
            // At another moment each time: before it is sent, while it queues, when it is inside.
            let moment = Duration::from_micros(round % 40 * 500);
            let locks = if round % 2 == 0 { &one } else { &two };
            let _dropped = tokio::time::timeout(moment, locks.acquire(sale, Owner::fresh())).await;
        }
        witness.sees(0).await;
        inside(&one, sale).await.release().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_wait_takes_the_node_out_of_the_queue() {
    let (first, second) = (process(&FACTS, hosts(), LONG), impatient(&FACTS, hosts(), LONG, 300));
    let sale = Uuid::now_v7();
    let witness = Witness::of(&FACTS, sale).await;
    let holder = inside(&first, sale).await;
    let asked = Instant::now();
    let refused = second.acquire(sale, Owner::fresh()).await.err().expect("the wait ends");
    assert!(asked.elapsed() < Duration::from_millis(300) + SLACK, "{:?}", asked.elapsed());
    assert!(matches!(refused, sellout::sale::Error::Contended(_)), "{refused}");
    witness.sees(1).await;
    assert_eq!(holder.release().await, Released::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_base_takes_every_later_token_above_whoever_knew_it_when() {
    for facts in [&FACTS, &lock_curator::FACTS] {
        let (one, two) = (process(facts, hosts(), LONG), process(facts, hosts(), LONG));
        let sale = Uuid::now_v7();
        let token = async |locks| {
            let guard = inside(locks, sale).await;
            let token = guard.token().expect("a token");
            assert_eq!(guard.release().await, Released::Ours);
            token
        };
        let (first, second) = (token(&one).await, token(&two).await);
        assert!(first < second);
        one.raise(sale, second).await.expect("raised");
        let third = token(&two).await;
        assert!(third < second + 100, "a counter that is fine is left alone: {third} after {second}");
        let far = third + 1_000_000;
        one.raise(sale, far).await.expect("raised");
        // The other one had read the base before, and hears of the change with its next list.
        let (fourth, fifth) = (token(&two).await, token(&one).await);
        assert!(far < fourth && fourth < fifth, "{far} {fourth} {fifth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_sale_goes_on_when_zookeeper_comes_back_empty() {
    let mut own = tokio::task::spawn_blocking(|| {
        Services::start(Wanted { zookeeper: 1, ..Wanted::NONE }).expect("a ZooKeeper of its own")
    })
    .await
    .expect("a task");
    let hosts = own.zookeeper_hosts().expect("ZooKeeper");
    let settings = ["--lab", "--zookeeper-hosts", &hosts, "--lock-lease-ms", "1000"];
    let database = fresh_database().await;
    let before = TestApp::between(&database, Some(&servers().redis_url), &settings).await;
    for facts in [&FACTS, &lock_curator::FACTS] as [&Facts; 2] {
        let sale = before.api.open_sale(&format!("{}_fenced", facts.id), 20).await;
        // As after a long life: the new server's numbers do not get there while anybody waits.
        process(facts, &hosts, LONG).raise(sale, 1_000_000).await.expect("raised");
        for _ in 0..10 {
            let answer = before.api.buy(sale).await;
            assert!(answer.is_sold(), "{}", answer.text);
        }
        own = tokio::task::spawn_blocking(move || {
            own.crash(Which::Zookeeper(0)).expect("crash");
            own.revive(Which::Zookeeper(0), Data::Empty).expect("revive");
            own
        })
        .await
        .expect("a task");
        // The same service, once it has seen that its session is over, and one that has just started.
        eventually("the service sells again", async || before.api.buy(sale).await.is_sold()).await;
        let after = TestApp::between(&database, Some(&servers().redis_url), &settings).await;
        for at in 0..9 {
            let api = if at % 2 == 0 { &after.api } else { &before.api };
            let answer = api.buy(sale).await;
            assert!(answer.is_sold(), "{}", answer.text);
        }
        assert_eq!(after.api.buy(sale).await.problem(), "sold-out");
        let audit = after.api.audit(sale).await;
        assert_eq!((audit.evidence.sold, audit.evidence.drift), (20, Some(0)));
        let folder = if facts.id == "lock_curator" { "curator" } else { "locks" };
        let witness = Witness::at(&hosts, format!("/sellout/{folder}/{sale}")).await;
        let (base, _) = witness.client.get_data(&witness.parent).await.expect("the sale's node");
        let base: i64 = std::str::from_utf8(&base).expect("text").parse().expect("a base was set");
        assert!(base > 900_000, "the counter had restarted, so the base must have been raised");
        after.stop().await;
    }
    before.stop().await;
}
