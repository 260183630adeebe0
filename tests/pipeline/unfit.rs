//! A Redis whose settings or keys cannot be relied on.

use serde_json::json;

use crate::lost::{private, wire};
use crate::support::{TestApp, eventually, fresh_database};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_evict_the_stock_opens_no_sale_outside_the_lab() {
    let (services, token) = (private().await, "the operator's word");
    let redis_url = services.redis_url().expect("a URL");
    let app = TestApp::between(&fresh_database().await, Some(redis_url), &["--token", token]).await;
    let open = async || {
        let body = json!({"name": "n", "units": 1, "strategy": "redis_lua"});
        let request = app.api.client.post(format!("{}/v1/sales", app.api.url)).json(&body);
        app.api.send(request.bearer_auth(token)).await
    };
    assert_eq!(open().await.status, 201);
    let mut redis = wire(redis_url).await;
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory-policy").arg("allkeys-lru");
    set.exec_async(&mut redis).await.expect("CONFIG");
    let refused = open().await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "store-unfit"), "{}", refused.text);
    assert!(refused.text.contains("allkeys-lru"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_key_redis_has_evicted_nothing_is_sold_twice() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let app = TestApp::between(&database, Some(redis_url), &["--lab", "--pipeline-check-ms", "50"]).await;
    for what in ["head", "1:keys", "1:buyers", "1:orders"] {
        let sale = app.api.open_limited("redis_lua", 3, Some(1)).await;
        let key = format!("first-{what}");
        let first = app.api.order(sale, &key, "b", 1).await;
        assert!(first.is_sold(), "{what}: {}", first.text);
        let mut redis = wire(redis_url).await;
        let gone: i64 = redis::cmd("DEL")
            .arg(format!("sellout:{{{sale}}}:{what}"))
            .query_async(&mut redis)
            .await
            .expect("DEL");
        assert_eq!(gone, 1, "{what}: there was no such key");
        let again = app.api.order(sale, &key, "b", 1).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{what}");
        // His limit is used up, whatever Redis remembers.
        let more = app.api.order(sale, &format!("more-{what}"), "b", 1).await;
        // Contended: the new epoch has begun in the ledger, and not in Redis yet.
        let refused = matches!(more.problem(), "buyer-limit" | "store-unavailable" | "contended");
        assert!(refused, "{what}: {}", more.text);
        eventually("one is sold", async || app.api.buy(sale).await.is_sold()).await;
        eventually("and the last one", async || app.api.buy(sale).await.is_sold()).await;
        eventually("and no other", async || app.api.buy(sale).await.problem() == "sold-out").await;
        let e = app.api.audit(sale).await.evidence;
        assert_eq!((e.sold, e.over_limit, e.drift), (3, 0, Some(0)), "{what}: {e:?}");
    }
}
