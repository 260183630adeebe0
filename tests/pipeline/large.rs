//! How long a sale stays closed when Redis has lost it, by the orders that it has. A hundred thousand here;
//! for more: `SELLOUT_TEST_ORDERS=1000000 cargo test --test pipeline large -- --nocapture`

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::lost::{private, wire};
use crate::support::{TestApp, eventually, fresh_database};

/// As the ledger would have them, written at once: only their number matters here.
const ORDERS: &str = "insert into orders
    (caller, key, id, sale_id, buyer_id, quantity, state, fingerprint, retry_safe)
    select 'anonymous', 'k-' || i, gen_random_uuid(), $1, 'b-' || i, 1, 'confirmed',
        sha256(('x' || i)::bytea), true
    from generate_series(1, $2) i";
const BUYERS: &str = "insert into buyer_units (sale_id, buyer_id, units)
    select sale_id, buyer_id, 1 from orders where sale_id = $1";
const STOCK: &str = "update stock set units_left = units_left - $2 where sale_id = $1";

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_has_lost_a_large_sale_is_filled_again_within_seconds() {
    let orders: i64 = std::env::var("SELLOUT_TEST_ORDERS").map_or(100_000, |n| n.parse().expect("a number"));
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let app = TestApp::between(&database, Some(redis_url), &["--lab"]).await;
    let sale = app.api.open_limited("redis_lua", 2 * orders, Some(3)).await;
    let sql = app.sql().await;
    for statement in [ORDERS, BUYERS, STOCK] {
        let query = sqlx::query(statement).bind(sale);
        let query = if statement.contains("$2") { query.bind(orders) } else { query };
        query.execute(&sql).await.expect("orders");
    }
    let mut redis = wire(redis_url).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.expect("FLUSHALL");
    let begun = Instant::now();
    eventually("it sells again", async || app.api.buy(sale).await.is_sold()).await;
    let took = begun.elapsed();
    println!("{orders} orders: filled again and sold after {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(10).mul_f64((orders as f64 / 100_000.0).max(1.0)), "{took:?}");
    let view = app.api.get(&format!("/v1/sales/{sale}")).await.body;
    assert_eq!((&view["epoch"], &view["left"]), (&2.into(), &(orders - 1).into()), "{view}");
    // Keys and limits are known again, not only the number.
    let id: Uuid = sqlx::query_scalar("select id from orders where sale_id = $1 and key = 'k-7'")
        .bind(sale)
        .fetch_one(&sql)
        .await
        .expect("an order");
    let head = format!("sellout:{{{sale}}}:2:keys");
    let mark: String =
        redis::cmd("HGET").arg(&head).arg("anonymous:k-7").query_async(&mut redis).await.expect("HGET");
    assert!(mark.ends_with(&id.to_string()), "{mark}");
    let many = app.api.order(sale, &Uuid::now_v7().to_string(), "b-7", 3).await;
    assert_eq!(many.problem(), "buyer-limit", "{}", many.text);
}
