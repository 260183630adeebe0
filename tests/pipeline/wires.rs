//! The connection that all orders share: what becomes of an order when it does not answer.

use crate::lost::private;
use crate::support::relay::Relay;
use crate::support::{TestApp, UNATTENDED, eventually, fresh_database, port_of, with_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_answers_too_late_is_unknown_and_the_next_order_has_another() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let relay = Relay::to(port_of(redis_url)).await;
    // Whoever was told unknown waits for nothing: it is found when the streams are looked at.
    let settings =
        ["--lab", "--wait-limit-ms", "300", "--order-deadline-ms", "600", "--pipeline-check-ms", "100"];
    let app = TestApp::between(&database, Some(&with_port(redis_url, relay.port)), &settings).await;
    let sale = app.api.open_sale("redis_lua", 5).await;
    assert!(app.api.buy(sale).await.is_sold());
    // Its turn is kept back on this wire alone.
    relay.hold(1);
    let late = app.api.order(sale, "late", "b", 1).await;
    assert_eq!(late.problem(), "outcome-unknown", "{}", late.text);
    eventually("it sells over another wire", async || app.api.buy(sale).await.is_sold()).await;
    relay.release();
    eventually("who asks again learns it", async || app.api.order(sale, "late", "b", 1).await.is_sold())
        .await;
    eventually("and nothing was taken twice", async || {
        let e = app.api.audit(sale).await.evidence;
        (e.left, e.drift) == (Some(5 - e.sold), Some(0))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_buyer_hangs_up_while_the_script_runs_is_recorded_all_the_same() {
    let (services, database) = (private().await, fresh_database().await);
    let redis_url = services.redis_url().expect("a URL");
    let relay = Relay::to(port_of(redis_url)).await;
    // Nobody looks after what stands in the stream: only whoever took it knows.
    let settings = [&["--lab"][..], &UNATTENDED].concat();
    let app = TestApp::between(&database, Some(&with_port(redis_url, relay.port)), &settings).await;
    let sql = app.sql().await;
    for way in ["redis_lua", "redis_lua_batched"] {
        let sale = app.api.open_sale(way, 5).await;
        assert!(app.api.buy(sale).await.is_sold());
        // What came after that answer is over: the next turn is the script.
        app.api.audit(sale).await;
        relay.hold(1);
        let buyer = app.api.ask_and_leave(sale, way).await;
        eventually("the script is on its way", async || {
            relay.is_holding() && app.api.in_flight(sale).await == 1
        })
        .await;
        drop(buyer);
        // The script must not be faster than the word that he has hung up.
        eventually("the service has noticed", async || app.api.in_flight(sale).await == 0).await;
        relay.release();
        eventually("the ledger has it", async || {
            let recorded = "select count(*) from orders where key = $1";
            sqlx::query_scalar::<_, i64>(recorded).bind(way).fetch_one(&sql).await.expect("a count") == 1
        })
        .await;
    }
}
