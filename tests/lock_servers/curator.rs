//! `lock_curator` and the real Curator: a Java program with the distribution's `InterProcessMutex` contends
//! with us for one lock.

use std::time::{Duration, Instant};

use sellout::locks::lock_curator::FACTS;
use sellout::locks::{Owner, Released};
use serde_json::json;
use uuid::Uuid;
use zookeeper_client::{Acls, CreateMode, Error};

use crate::java;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{eventually, fresh_database, port_of, with_port};
use crate::zoo::{LONG, Witness, hosts, impatient, inside, process, queue, relay};

/// Acquisitions of each side in the contest.
const ROUNDS: usize = 50;
/// A session of this long, in milliseconds, is over soon.
const SHORT: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn java_inside_keeps_us_out_and_we_inside_keep_java_out() {
    let mut java = java::shared().await.thread();
    let (ours, sale) = (process(&FACTS, hosts(), LONG), Uuid::now_v7());
    let witness = Witness::of(&FACTS, sale).await;
    // Java makes the parent, as a container.
    let node = java.inside(&witness.parent).await;
    let waiting = queue(&ours, sale);
    let nodes = witness.sees(2).await;
    assert_eq!(nodes[0], node, "Curator's node is before ours: {nodes:?}");
    let shape = |node: &str| {
        let (id, number) = node.strip_prefix("_c_")?.split_once("-lock-")?;
        (id.parse::<Uuid>().is_ok() && number.len() == 10).then_some(())
    };
    assert!(nodes.iter().all(|node| shape(node).is_some()), "{nodes:?}");
    let refused = impatient(&FACTS, hosts(), LONG, 300).acquire(sale, Owner::fresh()).await;
    assert!(refused.is_err(), "we are inside while Java is");
    assert!(!waiting.is_finished(), "we are inside while Java is");
    java.leaves(&witness.parent).await;
    let guard = waiting.await.expect("a task").expect("inside after Java");

    java.told(&format!("acquire {} 300", witness.parent));
    assert_eq!(java.says().await, "timeout", "Java is inside while we are");
    java.told(&format!("acquire {} 20000", witness.parent));
    witness.sees(2).await;
    assert!(java.is_silent());
    assert_eq!(guard.release().await, Released::Ours);
    java.entered().await;
    java.leaves(&witness.parent).await;
    witness.sees(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_enters_again_is_one_in_the_queue_on_either_side() {
    let mut java = java::shared().await.thread();
    let sale = Uuid::now_v7();
    let witness = Witness::of(&FACTS, sale).await;
    let (wire, relayed) = relay().await;
    let ours = process(&FACTS, &relayed, LONG);
    ours.open(sale).await.expect("opened");

    let node = java.inside(&witness.parent).await;
    assert_eq!(java.inside(&witness.parent).await, node, "the same node for the same thread");
    let waiting = queue(&ours, sale);
    witness.sees(2).await;
    java.leaves(&witness.parent).await;
    assert_eq!(witness.queue().await.len(), 2, "Java is still inside");
    assert!(!waiting.is_finished());
    java.leaves(&witness.parent).await;
    waiting.await.expect("a task").expect("inside after Java").release().await;

    let owner = Owner::fresh();
    let outer = ours.acquire(sale, owner).await.expect("inside");
    let before = wire.turns();
    let inner = ours.again(sale, owner).await.expect("inside again");
    assert_eq!((outer.depth(), inner.depth()), (1, 2));
    assert_eq!(outer.token(), inner.token());
    assert_eq!(inner.release().await, Released::StillInside(1));
    let inner = ours.again(sale, owner).await.expect("inside again");
    assert_eq!(inner.release().await, Released::StillInside(1));
    assert_eq!(wire.turns(), before, "entering again asks nobody");
    java.told(&format!("acquire {} 20000", witness.parent));
    witness.sees(2).await;
    assert!(java.is_silent(), "Java is inside before the last release");
    assert_eq!(outer.release().await, Released::Ours);
    java.entered().await;
    java.leaves(&witness.parent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_times_each_and_never_both() {
    let mut java = java::shared().await.thread();
    let (ours, sale) = (process(&FACTS, hosts(), LONG), Uuid::now_v7());
    let witness = Witness::of(&FACTS, sale).await;
    ours.open(sale).await.expect("opened");
    let door = format!("/door-{sale}");
    java.told(&format!("contend {} {ROUNDS} {door}", witness.parent));
    let mut overlaps = 0;
    for _ in 0..ROUNDS {
        let guard = inside(&ours, sale).await;
        overlaps += usize::from(!passes(&witness, &door).await);
        assert_eq!(guard.release().await, Released::Ours);
    }
    assert_eq!(java.says().await, format!("contended {ROUNDS} overlaps 0"));
    assert_eq!(overlaps, 0, "somebody was inside with us");
    witness.sees(0).await;
}

/// Goes through a door that must be free: nobody else is inside.
async fn passes(witness: &Witness, door: &str) -> bool {
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    match witness.client.create(door, b"", &ephemeral).await {
        Ok(_) => witness.client.delete(door, None).await.is_ok(),
        Err(Error::NodeExists) => false,
        Err(e) => panic!("the door: {e}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn java_and_we_enter_in_the_order_in_which_we_came() {
    let jvm = java::shared().await;
    let (mut holder, mut first, mut third) = (jvm.thread(), jvm.thread(), jvm.thread());
    let sale = Uuid::now_v7();
    let witness = Witness::of(&FACTS, sale).await;
    let (second, fourth) = (process(&FACTS, hosts(), LONG), process(&FACTS, hosts(), LONG));
    holder.inside(&witness.parent).await;
    let acquire = format!("acquire {} 20000", witness.parent);
    first.told(&acquire);
    witness.sees(2).await;
    let second = queue(&second, sale);
    witness.sees(3).await;
    third.told(&acquire);
    witness.sees(4).await;
    let fourth = queue(&fourth, sale);
    witness.sees(5).await;

    holder.leaves(&witness.parent).await;
    first.entered().await;
    assert!(!second.is_finished() && third.is_silent() && !fourth.is_finished());
    first.leaves(&witness.parent).await;
    let second = second.await.expect("a task").expect("we are second");
    assert!(third.is_silent() && !fourth.is_finished());
    second.release().await;
    third.entered().await;
    assert!(!fourth.is_finished());
    third.leaves(&witness.parent).await;
    fourth.await.expect("a task").expect("we are fourth").release().await;
    witness.sees(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_gets_in_when_the_other_dies_inside() {
    let (jvm, survivor) = (java::own(SHORT).await, java::shared().await);
    let (mut java, mut survivor) = (jvm.thread(), survivor.thread());
    let (ours, sale) = (process(&FACTS, hosts(), LONG), Uuid::now_v7());
    let witness = Witness::of(&FACTS, sale).await;
    java.inside(&witness.parent).await;
    let waiting = queue(&ours, sale);
    witness.sees(2).await;
    jvm.kill();
    let killed = Instant::now();
    let guard = waiting.await.expect("a task").expect("inside after Java's death");
    let limit = Duration::from_millis(SHORT) + Duration::from_secs(1);
    assert!(killed.elapsed() < limit, "inside {:?} after Java was killed", killed.elapsed());
    assert_eq!(guard.release().await, Released::Ours);

    // Our own process dies: the service, killed in the middle of an order.
    let database = fresh_database().await;
    let wire = Relay::to(port_of(&database)).await;
    let settings = ["--lock-lease-ms", &SHORT.to_string(), "--sweep-ms", "3600000"];
    let mut service = Process::with(&with_port(&database, wire.port), &settings);
    let sale = service.api.open_sale(FACTS.id, 2).await;
    assert!(service.api.buy(sale).await.is_sold());
    let witness = Witness::of(&FACTS, sale).await;
    witness.sees(0).await;
    wire.hold(1);
    let order = service.api.client.post(format!("{}/v1/sales/{sale}/orders", service.api.url));
    let order = tokio::spawn(order.json(&json!({"buyer_id": "b", "quantity": 1})).send());
    eventually("the service is inside, and reads", async || wire.is_holding()).await;
    survivor.told(&format!("acquire {} 20000", witness.parent));
    witness.sees(2).await;
    assert!(survivor.is_silent());
    service.kill();
    let died = Instant::now();
    survivor.entered().await;
    assert!(died.elapsed() < limit, "inside {:?} after our death", died.elapsed());
    survivor.leaves(&witness.parent).await;
    wire.release();
    assert!(order.await.expect("a task").is_err(), "a killed service answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_was_reaped_is_made_again() {
    let (ours, sale) = (process(&FACTS, hosts(), LONG), Uuid::now_v7());
    let witness = Witness::of(&FACTS, sale).await;
    ours.open(sale).await.expect("opened");
    let first = inside(&ours, sale).await;
    let token = first.token().expect("a token");
    first.release().await;
    // As ZooKeeper does with a container that nobody is in.
    witness.client.delete(&witness.parent, None).await.expect("deleted");
    let second = inside(&ours, sale).await;
    assert!(second.token().expect("a token") > token, "the number starts again, the token does not");
    assert!(witness.sees(1).await[0].ends_with("-lock-0000000000"));
    assert_eq!(second.release().await, Released::Ours);
    eventually("nothing is left", async || witness.queue().await.is_empty()).await;
}
