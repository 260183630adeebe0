//! Buyers who do not give up: each asks with one key until the answer is definite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::{Api, LIMIT, eventually};

/// Who sells over this road and answers when the ledger has it.
pub const WAYS: [&str; 3] = ["redis_lua", "redis_lua_batched", "redis_buckets"];
/// Those whose sale has one head.
pub const WHOLE: [&str; 2] = ["redis_lua", "redis_lua_batched"];

/// What the buyers of a crowd were told: order ids by key, and how many were refused.
#[derive(Default)]
pub struct Told {
    pub yes: BTreeMap<String, String>,
    pub sold_out: usize,
    /// Answers that were no answer: nothing was taken, or nobody knew.
    pub doubts: usize,
}

/// One request, and its answer if it is definite: an order id, or `None` when sold out.
async fn ask(api: &Api, sale: Uuid, key: &str) -> Option<Option<String>> {
    let url = format!("{}/v1/sales/{sale}/orders", api.url);
    let body = serde_json::json!({"buyer_id": key, "quantity": 1});
    let request = api.client.post(&url).header("Idempotency-Key", key).json(&body);
    // A connection that breaks is a doubt too.
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let answer: serde_json::Value = response.json().await.unwrap_or_default();
    match (status, answer["type"].as_str()) {
        (201, _) => Some(Some(answer["id"].as_str().expect("an order id").to_owned())),
        (409, Some("/problems/sold-out")) => Some(None),
        (503, _) => {
            assert_eq!(answer["executed"], false, "{answer}");
            None
        }
        (500, Some("/problems/outcome-unknown")) | (409, Some("/problems/request-in-progress")) => None,
        _ => panic!("{status} {answer}"),
    }
}

/// One buyer, until yes or sold out.
async fn poll_until_definite(api: &Api, sale: Uuid, key: &str, doubts: &AtomicUsize) -> Option<String> {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask(api, sale, key).await {
            return answer;
        }
        doubts.fetch_add(1, SeqCst);
        assert!(Instant::now() < until, "no definite answer within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// So many buyers, so many of them at once, shared by the services. `sold` counts along.
pub async fn rush(apis: Vec<Api>, sale: Uuid, buyers: usize, at_once: usize, sold: Arc<AtomicUsize>) -> Told {
    let (next, doubts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut doors = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (apis, next) = (apis.clone(), Arc::clone(&next));
        let (sold, doubts) = (Arc::clone(&sold), Arc::clone(&doubts));
        doors.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let at = next.fetch_add(1, SeqCst);
                if at >= buyers {
                    return answers;
                }
                let key = format!("buyer-{at}-{sale}");
                let answer = poll_until_definite(&apis[at % apis.len()], sale, &key, &doubts).await;
                sold.fetch_add(usize::from(answer.is_some()), SeqCst);
                answers.push((key, answer));
            }
        });
    }
    let mut told = Told::default();
    while let Some(answers) = doors.join_next().await {
        for (key, answer) in answers.expect("a buyer") {
            match answer {
                Some(id) => _ = told.yes.insert(key, id),
                None => told.sold_out += 1,
            }
        }
    }
    told.doubts = doubts.load(SeqCst);
    told
}

/// Buys what is left, one after the other.
pub async fn sell_out(api: &Api, sale: Uuid, told: &mut Told) {
    for at in 0.. {
        let key = format!("late-{at}-{sale}");
        match poll_until_definite(api, sale, &key, &AtomicUsize::new(0)).await {
            Some(id) => _ = told.yes.insert(key, id),
            None => return,
        }
    }
}

/// Holds what was told against the ledger and against Redis: every yes is there, nothing else is, no unit is
/// left.
pub async fn settle(api: &Api, sale: Uuid, units: usize, told: &Told) {
    // A Redis that believes in too much sells none of it, and is put right when it is looked at next.
    eventually("Redis and the ledger agree", async || api.audit(sale).await.evidence.drift == Some(0)).await;
    let e = api.audit(sale).await.evidence;
    let text = api.get(&format!("/v1/sales/{sale}/ledger")).await.text;
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let text = |name: &str| row[name].as_str().expect("text").to_owned();
        (text("key"), text("order_id"))
    };
    let ledger: BTreeMap<String, String> = text.lines().map(row).collect();
    assert_eq!(text.lines().count(), ledger.len(), "a key twice");
    assert_eq!(told.yes, ledger, "left: told yes, right: the ledger");
    let units = i64::try_from(units).expect("units");
    assert_eq!((e.sold, e.oversold, e.in_flight), (units, 0, 0), "{e:?}");
    assert_eq!((e.left, e.drift, e.unbalanced), (Some(0), Some(0), 0), "{e:?}");
}
