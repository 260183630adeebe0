//! What was taken in Redis for several sales is recorded in one statement, and never at the cost of any.

use sellout::services::Services;
use sqlx::PgPool;
use uuid::Uuid;

use crate::lost::{private, wire};
use crate::racing::{note_down, stream};
use crate::support::{Answer, TestApp, UNATTENDED, eventually, fresh_database};

/// Sales that share a writer (its number is in the last two bits of the id), and one that holds it up.
const SALES: usize = 6;

struct Held {
    app: TestApp,
    sql: PgPool,
    redis: redis::aio::MultiplexedConnection,
    sales: Vec<Uuid>,
    first: tokio::task::JoinHandle<Answer>,
    lock: sqlx::Transaction<'static, sqlx::Postgres>,
    services: Services,
}

impl Held {
    /// The writer waits for a row that the test has locked.
    async fn start() -> Held {
        let (services, database) = (private().await, fresh_database().await);
        let settings = [&["--lab"][..], &UNATTENDED].concat();
        let app = TestApp::between(&database, services.redis_url(), &settings).await;
        let mut sales: Vec<Uuid> = Vec::new();
        while sales.len() <= SALES {
            let sale = app.api.open_sale("redis_lua", 5).await;
            if sales.first().is_none_or(|first| first.as_u128() % 4 == sale.as_u128() % 4) {
                sales.push(sale);
            }
        }
        let (sql, redis) = (app.sql().await, wire(services.redis_url().expect("a URL")).await);
        let slow = sales.pop().expect("a sale");
        let mut lock = sql.begin().await.expect("a transaction");
        let row = sqlx::query("select from stock where sale_id = $1 for update").bind(slow);
        row.execute(&mut *lock).await.expect("the row");
        let api = app.api.clone();
        let first = tokio::spawn(async move { api.buy(slow).await });
        let waiting = "select count(*) from pg_stat_activity \
                       where wait_event_type = 'Lock' and datname = current_database()";
        eventually("the writer waits", async || {
            sqlx::query_scalar::<_, i64>(waiting).fetch_one(&sql).await.expect("a number") == 1
        })
        .await;
        Held { app, sql, redis, sales, first, lock, services }
    }

    /// One buyer for each sale, let go when all of them are in front of the writer.
    async fn buy(self) -> (TestApp, PgPool, Vec<Uuid>, Vec<Answer>, Services) {
        let Held { app, sql, redis, sales, first, lock, services } = self;
        let buy = |sale: Uuid| {
            let api = app.api.clone();
            tokio::spawn(async move { api.buy(sale).await })
        };
        let buyers: Vec<_> = sales.iter().map(|sale| buy(*sale)).collect();
        for sale in &sales {
            eventually("what was taken is read", async || {
                let mut pending = redis::cmd("XPENDING");
                pending.arg(stream(*sale)).arg("ledger");
                let reply: Vec<redis::Value> =
                    pending.query_async(&mut redis.clone()).await.expect("XPENDING");
                reply.first().is_some_and(|count| *count != redis::Value::Int(0))
            })
            .await;
        }
        lock.rollback().await.expect("let go");
        assert!(first.await.expect("the first buyer").is_sold());
        let mut answers = Vec::new();
        for buyer in buyers {
            answers.push(buyer.await.expect("a buyer"));
        }
        (app, sql, sales, answers, services)
    }
}

async fn transactions(sql: &PgPool, sales: &[Uuid]) -> i64 {
    let commits = "select count(distinct xmin::text) from orders where sale_id = any ($1)";
    sqlx::query_scalar(commits).bind(sales).fetch_one(sql).await.expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_several_sales_share_a_commit_and_each_sale_has_its_own() {
    let (app, sql, sales, answers, _services) = Held::start().await.buy().await;
    assert!(answers.iter().all(Answer::is_sold), "{:?}", answers[0].text);
    let commits = transactions(&sql, &sales).await;
    assert!(commits < SALES as i64, "{commits} commits of {SALES} orders: none was shared");
    for sale in sales {
        eventually("nothing is in flight", async || app.api.audit(sale).await.evidence.in_flight == 0).await;
        let e = app.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.left, e.drift), (1, 1, Some(4), Some(0)), "{e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_whose_order_cannot_be_recorded_keeps_no_other_sale_back() {
    let mut held = Held::start().await;
    // No order is of nothing: the ledger refuses the statement, not the order.
    let odd = held.sales[0];
    note_down(&mut held.redis, odd, &Uuid::now_v7().to_string(), "none", 0).await;
    let (app, _, sales, answers, _services) = held.buy().await;
    assert!(answers.iter().all(Answer::is_sold), "{:?}", answers[0].text);
    for sale in sales {
        let e = app.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.oversold), (1, 1, 0), "{e:?}");
    }
}

/// What is odd about the second of two orders, so that neither is recorded together with the other.
#[tokio::test(flavor = "multi_thread")]
async fn where_one_order_would_be_refused_nothing_is_recorded_together() {
    let (services, database) = (private().await, fresh_database().await);
    let app =
        TestApp::between(&database, services.redis_url(), &[&["--lab"][..], &UNATTENDED].concat()).await;
    let (sql, mut held) = (app.sql().await, Vec::new());
    for limit in [None, Some(2)] {
        held.push(app.api.open_limited("redis_lua", 5, limit).await);
    }
    let refused = Uuid::now_v7();
    let note = sqlx::query("insert into refusals (order_id, sale_id, word) values ($1, $2, 'limit')");
    note.bind(refused).bind(held[1]).execute(&sql).await.expect("a refusal");
    let both = async |id: Uuid, key: &str, quantity: i64, epoch: i64| {
        let record = "select sale_id from drain_many(array['c', 'c'], array[$1 || '-1', $1], array[$2, $3], \
                      $4, array['b', 'b'], array[1, $5], array['x', 'x']::bytea[], array[true, true], \
                      array[null, null]::bigint[], array[1, $6])";
        let record = sqlx::query(record).bind(key).bind(Uuid::now_v7()).bind(id).bind(&held);
        record.bind(quantity).bind(epoch).execute(&sql).await
    };
    let recorded = async || {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from orders where sale_id = any ($1)");
        count.bind(&held).fetch_one(&sql).await.expect("a number")
    };
    let (fresh, first) = (Uuid::now_v7, Uuid::now_v7());
    both(first, "good", 1, 1).await.expect("both are recorded");
    both(first, "good-too", 1, 1).await.expect_err("the id has another key");
    for (why, id, key, quantity, epoch) in [
        ("it was refused before", refused, "k1", 1, 1),
        ("the key is used", fresh(), "good", 1, 1),
        ("beyond the limit", fresh(), "k2", 2, 1),
        ("more than is left", fresh(), "k3", 9, 1),
        ("another epoch", fresh(), "k4", 1, 2),
    ] {
        let error = both(id, key, quantity, epoch).await.expect_err(why);
        let code = error.as_database_error().and_then(|e| e.code().map(|code| code.into_owned()));
        assert_eq!(code.as_deref(), Some("SO009"), "{why}: {error}");
        assert_eq!(recorded().await, 2, "{why}: one of them was recorded");
    }
    both(fresh(), "k5", 1, 1).await.expect("nothing of it was counted against the buyer");
    assert_eq!(recorded().await, 4);
}
