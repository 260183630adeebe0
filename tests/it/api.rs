//! The promise of the API: every error in the same words and with nothing done, every success to be found
//! again.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sellout::http::problem::KINDS;
use sellout::strategies::ALL;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{Answer, Api, TestApp, fresh_database};

const JSON: (&str, &[u8]) = ("content-type", b"application/json");
const GOOD: &[u8] = br#"{"buyer_id":"b","quantity":1}"#;
/// What every request of the table is refused with, unless its row says otherwise.
const INVALID: (u16, &str) = (422, "validation");
const MALFORMED: (u16, &str) = (400, "malformed");
const NOT_FOUND: (u16, &str) = (404, "not-found");
const WRONG_METHOD: (u16, &str) = (405, "method-not-allowed");

/// A request that must change nothing.
struct Row {
    name: &'static str,
    method: Method,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    expected: (u16, &'static str),
}

impl Row {
    fn post(name: &'static str, path: &str, body: impl AsRef<[u8]>, expected: (u16, &'static str)) -> Row {
        let (path, body) = (path.to_owned(), body.as_ref().to_vec());
        Row { name, method: Method::POST, path, headers: vec![], body, expected }.with(&[JSON])
    }

    fn bare(method: Method, path: impl Into<String>, expected: (u16, &'static str)) -> Row {
        Row { name: "a path", method, path: path.into(), headers: vec![], body: vec![], expected }
    }

    fn with(mut self, headers: &[(&'static str, &[u8])]) -> Row {
        self.headers.extend(headers.iter().map(|(name, value)| (*name, value.to_vec())));
        self
    }

    async fn send(&self, api: &Api) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).expect("a header's bytes");
            headers.append(HeaderName::from_static(name), value);
        }
        let request = api.client.request(self.method.clone(), format!("{}{}", api.url, self.path));
        api.send(request.headers(headers).body(self.body.clone())).await
    }
}

fn order_bodies(orders: &str) -> Vec<Row> {
    let long = json!({"buyer_id": "é".repeat(129), "quantity": 1}).to_string();
    let nested = format!("{{\"buyer_id\":{}", "[".repeat(10_000));
    let fat = |bytes: usize| json!({"buyer_id": "b".repeat(bytes), "quantity": 1}).to_string();
    let quantity = |text: &str| format!(r#"{{"buyer_id":"b","quantity":{text}}}"#);
    let row = |name, body: &[u8], expected| Row::post(name, orders, body, expected);
    let mut rows = vec![
        row("unknown field", br#"{"buyer_id":"b","quantity":1,"price":0}"#, INVALID),
        row("NUL", br#"{"buyer_id":"a\u0000b","quantity":1}"#, INVALID),
        row("line break", br#"{"buyer_id":"a\nb","quantity":1}"#, INVALID),
        row("empty buyer", br#"{"buyer_id":"","quantity":1}"#, INVALID),
        row("buyer of 129 characters", long.as_bytes(), INVALID),
        row("buyer null", br#"{"buyer_id":null,"quantity":1}"#, INVALID),
        row("buyer number", br#"{"buyer_id":7,"quantity":1}"#, INVALID),
        row("no buyer", br#"{"quantity":1}"#, INVALID),
        row("no quantity", br#"{"buyer_id":"b"}"#, INVALID),
        row("quantity twice", br#"{"buyer_id":"b","quantity":1,"quantity":2}"#, INVALID),
        row("quantity twice, the same", br#"{"buyer_id":"b","quantity":1,"quantity":1}"#, INVALID),
        row("empty object", b"{}", INVALID),
        row("array of the fields", br#"["b",1]"#, INVALID),
        row("array of objects", br#"[{"buyer_id":"b","quantity":1}]"#, INVALID),
        row("null", b"null", INVALID),
        row("string", br#""buyer""#, INVALID),
        row("deeply nested", nested.as_bytes(), INVALID),
        row("deeply nested array", "[".repeat(16_000).as_bytes(), INVALID),
        row("empty", b"", MALFORMED),
        row("broken", br#"{"buyer_id":"b","quantity":"#, MALFORMED),
        row("two documents", br#"{"buyer_id":"b","quantity":1}{}"#, MALFORMED),
        row("no UTF-8", b"{\"buyer_id\":\"\xff\xfe\",\"quantity\":1}", MALFORMED),
        row("half a surrogate pair", br#"{"buyer_id":"\ud800","quantity":1}"#, MALFORMED),
        row("17 KiB", fat(17 * 1024).as_bytes(), (413, "body-too-large")),
        row("1 MiB", fat(1024 * 1024).as_bytes(), (413, "body-too-large")),
    ];
    for text in ["0", "-1", "1000001", "1000000000000000000", "9223372036854775808", "-9223372036854775809"] {
        rows.push(row("quantity out of range", quantity(text).as_bytes(), INVALID));
    }
    for text in ["1e18", "1.5", "1.0", "1e0", "\"1\"", "null", "true", "[1]", "{}", "\"\""] {
        rows.push(row("quantity no whole number", quantity(text).as_bytes(), INVALID));
    }
    for text in ["1e400", "01", "+1", "NaN", "0x1"] {
        rows.push(row("quantity no JSON", quantity(text).as_bytes(), MALFORMED));
    }
    rows
}

fn order_headers(orders: &str) -> Vec<Row> {
    let row = |name, headers: &[(&'static str, &[u8])], expected| {
        let row = Row::post(name, orders, GOOD, expected);
        Row { headers: vec![], ..row }.with(headers)
    };
    let unsupported = (415, "unsupported-media-type");
    let long = "k".repeat(256);
    let mut rows = vec![
        row("no content type", &[], unsupported),
        row("text", &[("content-type", b"text/plain")], unsupported),
        row("a form", &[("content-type", b"application/x-www-form-urlencoded")], unsupported),
        row("nearly JSON", &[("content-type", b"application/jsonp")], unsupported),
        row("two keys", &[JSON, ("idempotency-key", b"k-1"), ("idempotency-key", b"k-2")], INVALID),
        row("one key twice", &[JSON, ("idempotency-key", b"k-1"), ("idempotency-key", b"k-1")], INVALID),
    ];
    let keys: [&[u8]; 8] =
        [long.as_bytes(), b"", b"a b", "schlüssel".as_bytes(), b"\xff", b"\"", b"\"\"", b"a\"b"];
    rows.extend(keys.iter().map(|key| row("a key", &[JSON, ("idempotency-key", key)], INVALID)));
    rows
}

fn sale_bodies() -> Vec<Row> {
    let change = |field: &str, value: Value| {
        let mut sale = json!({"name": "n", "units": 5, "strategy": "atomic_update", "per_buyer_limit": 1});
        sale[field] = value;
        if sale[field] == "absent" {
            sale.as_object_mut().expect("an object").remove(field);
        }
        sale.to_string()
    };
    let bodies = [
        ("no strategy", change("strategy", "absent".into())),
        ("unknown strategy", change("strategy", "wishful_thinking".into())),
        ("NUL in the strategy", change("strategy", "atomic_update\0".into())),
        ("no name", change("name", "absent".into())),
        ("empty name", change("name", "".into())),
        ("NUL in the name", change("name", "a\0".into())),
        ("name of 201 characters", change("name", "n".repeat(201).into())),
        ("no units", change("units", "absent".into())),
        ("no unit", change("units", 0.into())),
        ("negative units", change("units", (-1).into())),
        ("too many units", change("units", 1_000_000_001_i64.into())),
        ("units as text", change("units", "5".into())),
        ("limit of nothing", change("per_buyer_limit", 0.into())),
        ("negative limit", change("per_buyer_limit", (-1).into())),
        ("limit as text", change("per_buyer_limit", "1".into())),
        ("unknown field", change("closes_at", "tomorrow".into())),
        ("array of the fields", r#"["n",5,"atomic_update",1]"#.into()),
    ];
    bodies.into_iter().map(|(name, body)| Row::post(name, "/v1/sales", body, INVALID)).collect()
}

fn paths(sale: Uuid) -> Vec<Row> {
    let unknown = Uuid::now_v7();
    let mut rows = Vec::new();
    for id in [unknown.to_string(), "1".into(), "%ff".into(), "%00".into(), "..%2Fsales".into(), "é".into()]
    {
        rows.push(Row::post("an order for", &format!("/v1/sales/{id}/orders"), GOOD, NOT_FOUND));
        for (before, after) in
            [("sales", ""), ("sales", "/audit"), ("sales", "/ledger"), ("orders", ""), ("runs", "")]
        {
            rows.push(Row::bare(Method::GET, format!("/v1/{before}/{id}{after}"), NOT_FOUND));
        }
        rows.push(Row::bare(Method::GET, format!("/v1/runs/{id}/report.html"), NOT_FOUND));
        rows.push(Row::bare(Method::GET, format!("/problems/{id}"), NOT_FOUND));
    }
    for path in
        ["/v1", "/v1/", "/v1/sales/", "/v2/sales", "/admin", "/%ff", "/..%2f", "//v1/sales", "/app.css/"]
    {
        rows.push(Row::bare(Method::GET, path, NOT_FOUND));
        rows.push(Row::post("nowhere", path, GOOD, NOT_FOUND));
    }
    for method in [Method::DELETE, Method::PATCH, Method::PUT] {
        rows.push(Row::bare(method.clone(), "/v1/sales", WRONG_METHOD));
        let immutable = if method == Method::PATCH { (409, "sale-immutable") } else { WRONG_METHOD };
        rows.push(Row::bare(method.clone(), format!("/v1/sales/{sale}"), immutable));
        rows.push(Row::bare(method.clone(), format!("/v1/sales/{sale}/orders"), WRONG_METHOD));
        rows.push(Row::bare(method, "/metrics", WRONG_METHOD));
    }
    rows.push(Row::bare(Method::GET, format!("/v1/sales/{sale}/orders"), WRONG_METHOD));
    rows.push(Row::bare(Method::GET, format!("/v1/sales/{sale}/tally"), WRONG_METHOD));
    rows.push(Row::post("to read", "/livez", "", WRONG_METHOD));
    rows
}

/// Everything that an order or a sale would leave behind.
async fn traces(sql: &PgPool) -> (i64, i64, i64, i64, i64) {
    let counts = "select (select count(*) from orders), (select count(*) from sales),
                  (select sum(units_left)::bigint from stock), (select count(*) from history),
                  (select count(*) from buyer_units)";
    sqlx::query_as(counts).fetch_one(sql).await.expect("counts")
}

/// What is wrong with a refusal: RFC 9457, and the same words everywhere.
fn faults_of(answer: &Answer, (status, slug): (u16, &str)) -> Vec<&'static str> {
    let body = &answer.body;
    let header = |name: &str| answer.headers.get(name).and_then(|v| v.to_str().ok());
    let kind = KINDS.iter().find(|k| k.slug == slug);
    let right = [
        ("status", answer.status.as_u16() == status && body["status"] == status),
        ("media type", header("content-type") == Some("application/problem+json")),
        ("type", body["type"] == format!("/problems/{slug}")),
        ("listed, with its title", kind.is_some_and(|k| body["title"] == k.title && k.status == status)),
        ("detail", body["detail"].as_str().is_some_and(|d| !d.is_empty())),
        ("executed", body.get("executed") == (status == 503).then_some(&Value::Bool(false))),
        ("allow", header("allow").is_some() == (status == 405)),
    ];
    right.into_iter().filter(|(_, right)| !right).map(|(what, _)| what).collect()
}

fn is_problem(answer: &Answer, expected: (u16, &str), what: &str) {
    let faults = faults_of(answer, expected);
    assert!(faults.is_empty(), "{what}: {faults:?}: {} {}", answer.status, answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_said_in_the_same_words_and_changes_nothing() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    let sale = app.api.open_limited("atomic_update", 10, Some(3)).await;
    assert!(app.api.buy(sale).await.is_sold(), "there is something that could change");
    let orders = format!("/v1/sales/{sale}/orders");
    let tables = [order_bodies(&orders), order_headers(&orders), sale_bodies(), paths(sale)];
    let mut faults = Vec::new();
    for row in tables.iter().flatten() {
        let before = traces(&sql).await;
        let answer = row.send(&app.api).await;
        let mut wrong = faults_of(&answer, row.expected);
        wrong.extend((traces(&sql).await != before).then_some("it changed something"));
        if !wrong.is_empty() {
            let body = String::from_utf8_lossy(&row.body[..row.body.len().min(60)]).into_owned();
            let asked = format!("{}: {} {} {:?} {body}", row.name, row.method, row.path, row.headers);
            faults.push(format!("{asked}\n  {wrong:?}: {} {}", answer.status, answer.text));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(app.api.buy(sale).await.is_sold(), "and the service sells on");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_type_is_an_address_that_explains_it() {
    let app = TestApp::start().await;
    let slugs: BTreeSet<&str> = KINDS.iter().map(|k| k.slug).collect();
    assert_eq!(slugs.len(), KINDS.len(), "a slug is used twice");
    for kind in KINDS {
        let answer = app.api.get(&format!("/problems/{}", kind.slug)).await;
        assert_eq!(answer.status, 200, "{}", kind.slug);
        assert!(answer.headers["content-type"].as_bytes().starts_with(b"text/plain"));
        assert!(answer.text.contains(kind.title) && answer.text.contains(kind.advice), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_strategy_is_told_which_there_are() {
    let outside = TestApp::on(&fresh_database().await, &["--token", "the operator's word"]).await;
    let open = async |strategy: &str| {
        let body = json!({"name": "n", "units": 1, "strategy": strategy});
        let request = outside.api.client.post(format!("{}/v1/sales", outside.api.url));
        outside.api.send(request.bearer_auth("the operator's word").json(&body)).await
    };
    let unknown = open("wishful_thinking").await;
    is_problem(&unknown, INVALID, "an unknown strategy");
    for spec in ALL {
        assert!(unknown.text.contains(spec.id), "{} is not named: {}", spec.id, unknown.text);
        let answer = open(spec.id).await;
        if spec.is_safe() {
            assert_eq!(answer.status, 201, "{}", answer.text);
        } else {
            is_problem(&answer, INVALID, spec.id);
            assert!(answer.text.contains("lab"), "{}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_is_found_again_under_its_key_quoted_or_bare() {
    let app = TestApp::start().await;
    let sale = app.api.open_sale("atomic_update", 10).await;
    let bare = app.api.order(sale, "k-1", "b", 2).await;
    assert!(bare.is_sold() && bare.body["retry_safe"] == true, "{}", bare.text);
    let found = app.api.get(bare.headers["location"].to_str().expect("a path")).await;
    assert_eq!((found.status.as_u16(), &found.body["id"]), (200, &bare.body["id"]));
    assert!(found.body["recorded_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{}", found.text);
    let quoted = app.api.order(sale, "\"k-1\"", "b", 2).await;
    assert_eq!((quoted.status.as_u16(), &quoted.text), (201, &bare.text));
    assert_eq!(quoted.headers["idempotent-replayed"], "true");
    let minted = Row::post("no key", &format!("/v1/sales/{sale}/orders"), GOOD, (201, ""));
    let parameter: (_, &[u8]) = ("content-type", b"application/json; charset=utf-8");
    let minted = Row { headers: vec![], ..minted }.with(&[parameter]).send(&app.api).await;
    assert!(minted.is_sold() && minted.body["retry_safe"] == false, "{}", minted.text);
    let counted = app.api.get("/metrics").await.text;
    let line = r#"sellout_orders_total{strategy="atomic_update",outcome="sold"}"#;
    assert!(counted.lines().any(|l| l.starts_with(line)), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_required_an_order_without_one_is_refused() {
    let app = TestApp::on(&fresh_database().await, &["--lab", "--idempotency", "required"]).await;
    let sale = app.api.open_sale("atomic_update", 1).await;
    let row = Row::post("no key", &format!("/v1/sales/{sale}/orders"), GOOD, (400, ""));
    is_problem(&row.send(&app.api).await, (400, "idempotency-key-missing"), row.name);
    assert!(app.api.buy(sale).await.is_sold());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_downloaded_whole_also_beyond_a_page() {
    let app = TestApp::start().await;
    let many = app.api.open_sale("atomic_update", 9_000).await;
    let none = app.api.get(&format!("/v1/sales/{many}/ledger")).await;
    assert_eq!((none.status.as_u16(), none.text.as_str()), (200, ""));
    assert_eq!(none.headers["content-type"], "application/x-ndjson");
    let sell = "select record_order('anonymous', 'k' || i, gen_random_uuid(), $1, 'b' || i, i, '\\x00', true)
                from generate_series(1, 2500) i";
    sqlx::query(sell).bind(many).execute(&app.sql().await).await.expect("2,500 orders");
    let all = app.api.get(&format!("/v1/sales/{many}/ledger")).await;
    let rows: Vec<Value> = all.text.lines().map(|l| serde_json::from_str(l).expect("a JSON line")).collect();
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row["order_id"].as_str()).collect();
    assert_eq!((rows.len(), ids.len()), (2500, 2500));
    assert_eq!(rows.iter().filter_map(|row| row["quantity"].as_i64()).sum::<i64>(), 2500 * 2501 / 2);
    assert!(ids.iter().is_sorted() && all.text.ends_with('\n'));
}
