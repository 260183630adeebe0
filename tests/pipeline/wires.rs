//! The connection that all orders share: what becomes of an order when it does not answer.

use crate::lost::private;
use crate::support::relay::Relay;
use crate::support::{TestApp, eventually, fresh_database, port_of, with_port};

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
