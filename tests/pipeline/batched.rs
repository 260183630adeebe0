//! Orders that are taken in Redis by one script call: each gets the answer that it would get alone.

use redis::Script;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use crate::lost::{private, wire};
use crate::support::relay::Relay;
use crate::support::{TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

/// An order, as the scripts are told of it.
struct Asked {
    quantity: i64,
    key: String,
    fingerprint: String,
    id: String,
    buyer: String,
    own: bool,
}

/// Not random, only irregular: the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn script(name: &str) -> Script {
    let (_, text) = sellout::pipeline::STATEMENTS.iter().find(|(listed, _)| *listed == name).expect("it");
    Script::new(text)
}

fn keys(prefix: &str) -> [String; 4] {
    ["head", "keys", "buyers", "orders"].map(|what| format!("{prefix}:{what}"))
}

async fn publish(redis: &mut MultiplexedConnection, prefix: &str, left: i64) {
    let [head, keys, buyers, orders] = keys(prefix);
    let publish = script("publish.lua");
    let mut call = publish.key(head);
    call.key(orders).key(keys).key(buyers).arg(1).arg(left).arg(0).arg("ledger");
    call.invoke_async::<i64>(redis).await.expect("it begins");
}

async fn one_by_one(redis: &mut MultiplexedConnection, limit: i64, orders: &[Asked]) -> Vec<String> {
    let (take, mut words) = (script("take.lua"), Vec::new());
    for asked in orders {
        let mut call = take.prepare_invoke();
        keys("alone").into_iter().for_each(|key| _ = call.key(key));
        call.arg(1).arg(asked.quantity).arg(format!("c:{}", asked.key)).arg(&asked.fingerprint);
        call.arg(&asked.id).arg(&asked.buyer).arg(limit).arg(u8::from(asked.own));
        call.arg(format!("\"{}\"", asked.id));
        let (word, id): (String, String) = call.invoke_async(redis).await.expect("an answer");
        words.push(if word == "seen" { format!("seen {id}") } else { word });
    }
    words
}

async fn together(redis: &mut MultiplexedConnection, limit: i64, orders: &[Asked]) -> Vec<String> {
    let take = script("take_batch.lua");
    let mut call = take.prepare_invoke();
    keys("batch").into_iter().for_each(|key| _ = call.key(key));
    call.arg(1).arg(limit);
    for asked in orders {
        call.arg(asked.quantity).arg(format!("c:{}", asked.key));
        call.arg(format!("{} {}", asked.fingerprint, asked.id)).arg(&asked.buyer).arg(u8::from(asked.own));
        call.arg(format!("\"{}\"", asked.id));
    }
    call.invoke_async(redis).await.expect("an answer")
}

/// What Redis has afterwards: the head, the keys and the buyers, each sorted.
async fn state(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<Vec<(String, String)>> {
    let mut hashes = Vec::new();
    for hash in &keys(prefix)[..3] {
        let mut fields: Vec<(String, String)> =
            redis::cmd("HGETALL").arg(hash).query_async(redis).await.expect("a hash");
        fields.sort();
        hashes.push(fields);
    }
    hashes
}

/// The ids that were noted down, in their sequence.
async fn noted(redis: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let orders = &keys(prefix)[3];
    let entries: Vec<(String, Vec<String>)> =
        redis::cmd("XRANGE").arg(orders).arg("-").arg("+").query_async(redis).await.expect("the stream");
    let value = |fields: Vec<String>| {
        assert_eq!(fields[0], "orders");
        fields[1].replace(['[', ']', '"'], "")
    };
    let values: Vec<String> = entries.into_iter().map(|(_, fields)| value(fields)).collect();
    values.iter().flat_map(|ids| ids.split(',')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_decides_each_order_as_it_would_be_decided_alone() {
    let services = private().await;
    let mut redis = wire(services.redis_url().expect("a URL")).await;
    let (mut dice, mut heard) = (Dice(7), std::collections::BTreeSet::new());
    for round in 0..200 {
        redis::cmd("FLUSHALL").exec_async(&mut redis).await.expect("FLUSHALL");
        let (left, limit) = (i64::try_from(dice.below(30)).expect("units"), [0, 1, 3, 5][round % 4]);
        publish(&mut redis, "alone", left).await;
        publish(&mut redis, "batch", left).await;
        // Three batches after each other, so that some keys and buyers are known from before.
        for _ in 0..3 {
            let count = 1 + dice.below(24);
            let orders: Vec<Asked> = (0..count)
                .map(|_| Asked {
                    quantity: 1 + i64::try_from(dice.below(3)).expect("units"),
                    key: format!("k{}", dice.below(12)),
                    fingerprint: ["aa", "bb"][usize::from(dice.below(4) == 0)].into(),
                    id: Uuid::now_v7().to_string(),
                    buyer: format!("b{}", dice.below(6)),
                    own: dice.below(5) > 0,
                })
                .collect();
            let alone = one_by_one(&mut redis, limit, &orders).await;
            assert_eq!(together(&mut redis, limit, &orders).await, alone, "round {round}");
            heard.extend(alone.into_iter().map(|word| word.split(' ').next().expect("a word").to_owned()));
        }
        assert_eq!(state(&mut redis, "batch").await, state(&mut redis, "alone").await, "round {round}");
        assert_eq!(noted(&mut redis, "batch").await, noted(&mut redis, "alone").await, "round {round}");
    }
    let all = ["limit", "reused", "seen", "sold_out", "taken"];
    assert!(heard.iter().eq(all), "some were never tried: {heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_refused_whole_where_the_epoch_or_a_key_is_another() {
    let services = private().await;
    let mut redis = wire(services.redis_url().expect("a URL")).await;
    let asked = |key: &str| Asked {
        quantity: 1,
        key: key.into(),
        fingerprint: "aa".into(),
        id: Uuid::now_v7().to_string(),
        buyer: "b".into(),
        own: true,
    };
    let orders = [asked("one"), asked("two")];
    let ask = async |redis: &mut MultiplexedConnection, words: [&str; 2]| {
        assert_eq!(together(redis, 0, &orders).await, words);
        assert_eq!(one_by_one(redis, 0, &orders[..1]).await[0], words[0]);
    };
    ask(&mut redis, ["closed", "closed"]).await;
    for (epoch, word) in [("0", "behind"), ("2", "ahead")] {
        for prefix in ["alone", "batch"] {
            publish(&mut redis, prefix, 5).await;
            let head = &keys(prefix)[0];
            redis::cmd("HSET").arg(head).arg("epoch").arg(epoch).exec_async(&mut redis).await.expect("HSET");
        }
        ask(&mut redis, [word, word]).await;
        redis::cmd("FLUSHALL").exec_async(&mut redis).await.expect("FLUSHALL");
    }
    for gone in 1..4 {
        for prefix in ["alone", "batch"] {
            publish(&mut redis, prefix, 5).await;
            redis::cmd("DEL").arg(&keys(prefix)[gone]).exec_async(&mut redis).await.expect("DEL");
        }
        ask(&mut redis, ["closed", "closed"]).await;
        redis::cmd("FLUSHALL").exec_async(&mut redis).await.expect("FLUSHALL");
    }
    // While another strategy takes over, who was served before is served again and nobody else.
    for prefix in ["alone", "batch"] {
        publish(&mut redis, prefix, 5).await;
    }
    assert_eq!(together(&mut redis, 0, &orders[..1]).await, ["taken"]);
    assert_eq!(one_by_one(&mut redis, 0, &orders[..1]).await, ["taken"]);
    for prefix in ["alone", "batch"] {
        let closing = script("closing.lua");
        let mut call = closing.key(&keys(prefix)[0]);
        call.arg(1).arg(60).invoke_async::<i64>(&mut redis).await.expect("it closes");
    }
    let seen = format!("seen {}", orders[0].id);
    ask(&mut redis, [&seen, "closing"]).await;
}

/// How often Redis has run a command.
async fn ran(redis: &mut MultiplexedConnection, command: &str) -> u64 {
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(redis).await.expect("INFO");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |rest| rest.split(',').next().expect("a number").parse().expect("a number"))
}

/// Orders that this process works on; the list asks no Redis.
async fn under_way(app: &TestApp, sale: Uuid) -> Option<u64> {
    let listed = app.api.get("/v1/sales").await.body;
    let of = listed["sales"].as_array()?.iter().find(|of| of["id"] == sale.to_string())?;
    of["live"]["in_flight"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_together_is_taken_by_one_call_and_each_is_told_his_own_answer() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let relay = Relay::to(port_of(redis_url)).await;
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(&with_port(redis_url, relay.port)), &settings).await;
    let sale = app.api.open_limited("redis_lua_batched", 8, Some(3)).await;
    let first = app.api.order(sale, "known", "b", 1).await;
    assert!(first.is_sold(), "{}", first.text);
    let mut redis = wire(redis_url).await;
    let before = ran(&mut redis, "xadd").await;

    // One call is under way and does not come back; the others queue behind it.
    relay.freeze();
    let order = |key: &'static str, buyer: &'static str, quantity| {
        let api = app.api.clone();
        tokio::spawn(async move { api.order(sale, key, buyer, quantity).await })
    };
    let waits = async |many: u64| {
        eventually("so many wait", async || under_way(&app, sale).await == Some(many)).await;
    };
    let ahead = order("ahead", "a", 1);
    waits(1).await;
    let expected = [
        ("known", "b", 1, ""),
        ("other", "c", 2, ""),
        ("more", "c", 2, "buyer-limit"),
        ("much", "d", 3, ""),
        ("late", "e", 2, "sold-out"),
        ("last", "e", 1, ""),
        ("none", "f", 1, "sold-out"),
    ];
    let mut answers = Vec::new();
    for (at, (key, buyer, quantity, _)) in expected.iter().enumerate() {
        answers.push(order(key, buyer, *quantity));
        waits(at as u64 + 2).await;
    }
    relay.thaw();
    assert!(ahead.await.expect("the first").is_sold());
    for (answer, (key, .., problem)) in answers.into_iter().zip(expected) {
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.problem(), problem, "{key}: {}", answer.text);
        assert_eq!(answer.is_sold(), problem.is_empty(), "{key}: {}", answer.text);
        if key == "known" {
            assert_eq!(answer.text, first.text);
        }
    }
    assert_eq!(ran(&mut redis, "xadd").await - before, 2, "the one ahead, and then all others at once");
    let reused = app.api.order(sale, "other", "c", 1).await;
    assert_eq!(reused.problem(), "idempotency-key-reused", "{}", reused.text);
    let e = app.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.over_limit, e.drift), (8, 5, 0, Some(0)), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_breaks_leaves_all_its_orders_unknown_and_each_key_learns_the_truth() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let relay = Relay::to(port_of(redis_url)).await;
    let check = ["--lab", "--pipeline-check-ms", "100"];
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(&with_port(redis_url, relay.port)), &settings).await;
    let other = TestApp::between(&database, Some(redis_url), &check).await;
    let sale = other.api.open_sale("redis_lua_batched", 30).await;
    assert!(app.api.buy(sale).await.is_sold());
    relay.freeze();
    let buyers: Vec<_> = (0..20)
        .map(|at| {
            let (api, key) = (app.api.clone(), format!("broken-{at}"));
            tokio::spawn(async move { api.order(sale, &key, &key, 1).await })
        })
        .collect();
    eventually("all wait", async || under_way(&app, sale).await == Some(20)).await;
    // The wires break with whatever was sent, and the address works again.
    relay.redirect(port_of(redis_url));
    relay.thaw();
    for buyer in buyers {
        let answer = buyer.await.expect("an answer");
        let fine = answer.is_sold() || matches!(answer.problem(), "outcome-unknown" | "store-unavailable");
        assert!(fine, "{} {}", answer.status, answer.text);
    }
    for at in 0..20 {
        let key = format!("broken-{at}");
        let answer = app.api.order(sale, &key, &key, 1).await;
        assert!(answer.is_sold(), "{}", answer.text);
    }
    let e = other.api.audit(sale).await.evidence;
    assert_eq!((e.sold, e.orders, e.left, e.drift), (21, 21, Some(9), Some(0)), "{e:?}");
}
