//! Who may do what: a buyer's orders and keys are his alone, an operator sees every order, a token that is
//! not known is nobody's, and a page from elsewhere changes nothing.

use std::io::Write;

use reqwest::RequestBuilder;
use reqwest::header::{HOST, ORIGIN};
use sellout::config::Config;
use serde_json::json;
use uuid::Uuid;

use crate::ask::{cart, left, sells_out, state, with_token};
use crate::support::{Answer, Api, TestApp, config, fresh_database};

const OPS: &str = "the-operators-own-token";
const SHOP_A: &str = "the-first-shops-token";
const SHOP_B: &str = "the-second-shops-token";
const LAB: &str = "the-benchmarks-own-token";

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

/// A service that knows an operator and the lab by its settings, and two shops by a file.
async fn with_tokens() -> (TestApp, [Api; 3]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "# who buys\n\nbuyer shop-a {SHOP_A}\n  buyer shop-b {SHOP_B}  \n").expect("written");
    let tokens = format!("operator ops {OPS}; lab bench {LAB}");
    let path = file.path().to_str().expect("a path");
    let settings = ["--lab", "--tokens", &tokens, "--tokens-file", path];
    let app = TestApp::on(&fresh_database().await, &settings).await;
    let apis = [OPS, SHOP_A, SHOP_B].map(|token| with_token(&app.api, token));
    (app, apis)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_reads_and_ends_his_own_orders_and_an_operator_everybody_s() {
    let (_app, [ops, a, b]) = with_tokens().await;
    for way in ["atomic_update", "redis_lua"] {
        let sale = ops.open_sale(way, 6).await;
        let held = a.hold(sale, 60).await;
        let sold = a.buy(sale).await;
        assert!(held.is_sold() && sold.is_sold(), "{way}: {} {}", held.text, sold.text);
        // For somebody else's order there is none: not even whether it is there is said.
        for order in [held.id(), sold.id()] {
            let path = format!("/v1/orders/{order}");
            let rehold = b.post(&format!("{path}/confirm"), &json!({"rehold": true})).await;
            let others = [
                b.get(&path).await,
                b.end(order, "confirm").await,
                b.end(order, "release").await,
                b.end(order, "cancel").await,
                rehold,
            ];
            let none = b.get(&format!("/v1/orders/{}", Uuid::now_v7())).await;
            for answer in &others {
                assert_eq!((refusal(answer), &answer.text), ((404, "not-found"), &none.text), "{way}");
            }
        }
        assert_eq!(
            (state(&a, held.id()).await, state(&ops, sold.id()).await),
            ("held".into(), "confirmed".into())
        );
        assert_eq!(a.end(held.id(), "confirm").await.status, 200, "{way}");
        assert_eq!(a.end(held.id(), "cancel").await.status, 200, "{way}");
        // The operator ends whatever it is.
        let other = b.hold(sale, 60).await;
        assert_eq!(ops.end(other.id(), "release").await.body["state"], "released", "{way}");
        assert_eq!(ops.end(sold.id(), "cancel").await.body["state"], "cancelled", "{way}");
        sells_out(&[&a, &b], sale, 6).await;
        let e = ops.audit(sale).await.evidence;
        assert_eq!((e.sold, e.drift, e.unbalanced), (6, Some(0), 0), "{way}: {e:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_of_two_callers_is_two_orders() {
    let (_app, [ops, a, b]) = with_tokens().await;
    for way in ["atomic_update", "row_lock", "lock_redis_fenced", "redis_lua"] {
        let sale = ops.open_sale(way, 5).await;
        let key = format!("{way}-key");
        let (mine, his) = tokio::join!(a.order(sale, &key, "x", 1), b.order(sale, &key, "x", 1));
        assert!(mine.is_sold() && his.is_sold(), "{way}: {} {}", mine.text, his.text);
        assert_ne!(mine.id(), his.id(), "{way}");
        // Another body under it is none of the other's business either.
        let third = ops.order(sale, &key, "y", 2).await;
        assert!(third.is_sold(), "{way}: {}", third.text);
        for (api, first, buyer, quantity) in [(&a, &mine, "x", 1), (&b, &his, "x", 1), (&ops, &third, "y", 2)]
        {
            let again = api.order(sale, &key, buyer, quantity).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &first.text), "{way}");
        }
        let e = ops.audit(sale).await.evidence;
        assert_eq!((e.sold, e.orders, e.drift), (4, 3, Some(0)), "{way}: {e:?}");
    }
    let (x, y) = (ops.open_sale("atomic_update", 5).await, ops.open_sale("optimistic", 5).await);
    let (mine, his) = (cart(&a, "cart", &[(x, 1), (y, 1)]).await, cart(&b, "cart", &[(y, 2), (x, 1)]).await);
    assert!(mine.is_sold() && his.is_sold(), "{} {}", mine.text, his.text);
    assert_eq!((left(&ops, x).await, left(&ops, y).await), (Some(3), Some(2)));
}

/// Every route that changes something, as somebody would ask for it.
fn changing(api: &Api, sale: Uuid, order: &str) -> Vec<RequestBuilder> {
    let post = |path: String| api.client.post(format!("{}{path}", api.url));
    let item = json!({"sale_id": sale, "quantity": 1});
    let (one, keyed) = (json!({"buyer_id": "b", "quantity": 1}), post(format!("/v1/sales/{sale}/stock")));
    vec![
        post("/v1/sales".into()).json(&json!({"name": "n", "units": 1, "strategy": "atomic_update"})),
        post(format!("/v1/sales/{sale}/orders")).json(&one),
        post("/v1/orders".into()).json(&json!({"buyer_id": "b", "items": [item]})),
        post(format!("/v1/orders/{order}/confirm")),
        post(format!("/v1/orders/{order}/release")),
        api.client.delete(format!("{}/v1/orders/{order}", api.url)),
        keyed.header("Idempotency-Key", "k").json(&json!({"delta": 1})),
        post(format!("/v1/sales/{sale}/handover")).json(&json!({"strategy": "row_lock"})),
        api.client.patch(format!("{}/v1/sales/{sale}", api.url)).json(&json!({})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_token_and_where_buyers_have_one_none_at_all_are_refused() {
    let tokens = format!("operator ops {OPS};buyer shop-a {SHOP_A};lab bench {LAB}");
    // Outside the lab, where nobody sits at the machine.
    let app = TestApp::on(&fresh_database().await, &["--tokens", &tokens]).await;
    let (ops, a) = (with_token(&app.api, OPS), with_token(&app.api, SHOP_A));
    let sale = ops.open_sale("atomic_update", 9).await;
    let order = a.hold(sale, 60).await;
    let cut = &SHOP_A[..SHOP_A.len() - 1];
    let unknown = [app.api.clone(), with_token(&app.api, "somebody-else-s-token"), with_token(&app.api, cut)];
    for api in &unknown {
        let read = api.get(&format!("/v1/orders/{}", order.id())).await;
        assert_eq!(refusal(&read), (401, "unauthorized"));
        assert_eq!(read.headers["www-authenticate"], "Bearer");
        for request in changing(api, sale, order.id()) {
            let refused = api.send(request).await;
            assert_eq!(refusal(&refused), (401, "unauthorized"), "{}", refused.text);
            assert!(!refused.text.contains(SHOP_A), "it tells what it should be told");
        }
    }
    // A buyer is no operator, and the lab's token is neither.
    for (api, role) in [(&a, "a buyer"), (&with_token(&app.api, LAB), "the lab")] {
        let requests = changing(api, sale, order.id());
        for (at, request) in requests.into_iter().enumerate().filter(|(at, _)| [0, 6, 7, 8].contains(at)) {
            assert_eq!(refusal(&api.send(request).await), (401, "unauthorized"), "{role}, request {at}");
        }
    }
    assert_eq!((left(&ops, sale).await, state(&ops, order.id()).await), (Some(8), "held".into()));
    assert_eq!(ops.get("/v1/sales").await.body["sales"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_elsewhere_changes_nothing_by_any_route() {
    let (_app, [ops, a, _]) = with_tokens().await;
    let sale = ops.open_sale("atomic_update", 9).await;
    let order = a.hold(sale, 60).await;
    // With the right token: a browser sends what it has.
    for (name, value) in
        [(HOST, "evil.example"), (HOST, ""), (ORIGIN, "http://evil.example"), (ORIGIN, "null"), (ORIGIN, "")]
    {
        for request in changing(&ops, sale, order.id()) {
            let refused = ops.send(request.header(&name, value)).await;
            assert_eq!(refusal(&refused), (403, "forbidden"), "{name} {value:?}: {}", refused.text);
        }
    }
    assert_eq!((left(&ops, sale).await, state(&ops, order.id()).await), (Some(8), "held".into()));
    let shown = ops.get(&format!("/v1/sales/{sale}")).await;
    assert_eq!((&shown.body["strategy"], &shown.body["epoch"]), (&"atomic_update".into(), &1.into()));
    assert_eq!(ops.get("/v1/sales").await.body["sales"].as_array().map(Vec::len), Some(1));
    // The service's own page may: it was not the token, nor the body.
    let own = ops.url.clone();
    for request in changing(&ops, sale, order.id()) {
        let taken = ops.send(request.header(ORIGIN, &own)).await;
        assert!(![401, 403].contains(&taken.status.as_u16()), "{}", taken.text);
    }
    assert_eq!(state(&ops, order.id()).await, "cancelled", "confirmed, and cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_set_is_let_in_and_no_other() {
    let settings = ["--lab", "--hosts", "shop.example,other.example"];
    let app = TestApp::on(&fresh_database().await, &settings).await;
    let sale = app.api.open_sale("atomic_update", 9).await;
    let order = app.api.hold(sale, 60).await;
    let under = async |host: &str| {
        let url = format!("{}/v1/orders/{}/confirm", app.api.url, order.id());
        app.api.send(app.api.client.post(url).header(HOST, host)).await
    };
    for host in ["evil.example", "shop.example.evil.example", "notshop.example"] {
        assert_eq!(refusal(&under(host).await), (403, "forbidden"), "{host}");
    }
    assert_eq!(state(&app.api, order.id()).await, "held");
    for host in ["shop.example", "Other.example:8443", "127.0.0.1"] {
        assert_eq!(under(host).await.status, 200, "{host}");
    }
}

/// The settings as somebody gives them who lets the world in.
fn beyond_loopback(more: &[&str]) -> Config {
    let mut settings = config("postgres://127.0.0.1:1/none", None, more);
    settings.bind = "0.0.0.0:0".parse().expect("an address");
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_nobody_buys_without_a_token_unless_that_was_said() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("buyer shop-a {SHOP_A}\n")).expect("written");
    let file = file.path().to_str().expect("a path");
    let (buyers, others) = (format!("buyer shop-a {SHOP_A}"), format!("operator ops {OPS};lab bench {LAB}"));
    for refused in [&[][..], &["--token", OPS], &["--tokens", &others]] {
        let why = beyond_loopback(refused).check().expect_err("it would let everybody buy").to_string();
        for part in ["0.0.0.0:0", "SELLOUT_TOKENS_FILE", "SELLOUT_ANONYMOUS_ORDERS"] {
            assert!(why.contains(part), "{refused:?}: {why}");
        }
        assert!(!why.contains(OPS), "{why}");
        // And it is asked for before anything is opened.
        let started = sellout::app::Running::start(beyond_loopback(refused)).await.err().expect("refused");
        assert_eq!(started.to_string(), why);
    }
    for fine in [&["--tokens", &buyers][..], &["--tokens-file", file], &["--anonymous-orders"]] {
        beyond_loopback(fine).check().unwrap_or_else(|e| panic!("{fine:?}: {e}"));
    }
    let lab = beyond_loopback(&["--lab", "--anonymous-orders"]).check().expect_err("a lab for everybody");
    assert!(lab.to_string().contains("loopback"), "{lab}");
}

#[test]
fn a_file_of_tokens_that_is_not_there_or_not_right_is_named_and_not_shown() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("buyer shop-a {SHOP_A}\nking shop-b {SHOP_B}\n")).expect("written");
    let path = file.path().to_str().expect("a path");
    let why = |path: &str| {
        let settings = config("postgres://127.0.0.1:1/none", None, &["--tokens-file", path]);
        format!("{:#}", settings.check().expect_err("tokens that are none"))
    };
    let said = why(path);
    assert!(said.contains(path) && said.contains("token 2") && !said.contains(SHOP_B), "{said}");
    assert!(why("/no/such/file").contains("/no/such/file"));
}
