//! The promise of the API's description: it is the service's own, route by route.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;

/// `(method, path)` of every route in the route table; the page's own files are no API.
fn routes() -> BTreeSet<(String, String)> {
    let table = include_str!("../../src/http/mod.rs").split(".service(at(\"").skip(1);
    let mut found = BTreeSet::new();
    for service in table {
        let (path, methods) = service.split_once("\")").expect("a path");
        let methods = methods.split(".default_service").next().unwrap_or_default();
        let page = ["dashboard::", "docs::"].iter().any(|room| methods.contains(room));
        let has = |method: &&str| methods.contains(&format!(".{method}(")) && !page;
        let methods = ["get", "post", "put", "delete", "patch"].into_iter().filter(has);
        found.extend(methods.map(|method| (method.to_owned(), path.to_owned())));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_every_route_and_every_route_answers() {
    let app = TestApp::start().await;
    let document = app.api.get("/openapi.json").await.body;
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let methods = methods.as_object().expect("methods").keys();
        described.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    assert_eq!(described, routes(), "left: described, right: the route table");
    let sale = app.api.open_sale("atomic_update", 5).await;
    let (order, sale) = (app.api.buy(sale).await.body["id"].clone(), sale.to_string());
    let run = json!({"schema_version": 1, "id": "run-1", "started_at": "t", "finished_at": "t",
        "exit_code": 0, "environment": app.api.get("/v1/environment").await.body, "current": null,
        "results": [], "parameters": {"scenario": "s", "strategies": [], "stock": 1, "buyers": 1,
            "attempts": 1,
            "quantity": 1, "per_buyer_limit": null, "seed": 1}});
    assert_eq!(app.api.put("/v1/runs/run-1", &run).await.status, 204);
    let mut other = run;
    other["id"] = json!("run-2");
    assert_eq!(app.api.put("/v1/runs/run-2", &other).await.status, 204);
    let names = [
        ("{sale}", sale.as_str()),
        ("{order}", order.as_str().expect("an id")),
        ("{run}", "run-1"),
        ("{slug}", "sold-out"),
    ];
    for (method, path) in described {
        let mut real = names.iter().fold(path.clone(), |path, (name, id)| path.replace(name, id));
        if (method.as_str(), path.as_str()) == ("delete", "/v1/runs/{run}") {
            real = "/v1/runs/run-2".into(); // the other one is still to be read
        }
        let verb = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
        // Not read to its end: the event stream has none.
        let request = app.api.client.request(verb, format!("{}{real}", app.api.url));
        let answer = request.send().await.expect("an answer");
        // Without a body nothing is changed, and the wish for one says that there is such a route.
        let expected = match (method.as_str(), path.rsplit('/').next()) {
            ("delete", Some("{run}")) => 204,
            // The lab has no run under way, and kills no server that it did not start.
            (_, Some("current" | "cancel")) => 404,
            (_, Some("kill-redis")) => 409,
            ("get" | "delete", _) => 200,
            // What is cancelled is not confirmed or released any more, and no sale changes its strategy so.
            ("patch", _) | (_, Some("confirm" | "release")) => 409,
            _ => 415,
        };
        assert_eq!(answer.status().as_u16(), expected, "{method} {path}");
        let schema = &document["paths"][&path][&method]["responses"]["200"]["content"]["application/json"];
        let schema = &schema["schema"];
        if method == "get" && expected == 200 && !schema.is_null() {
            has_shape(&document, schema, &answer.json().await.expect("JSON"), &path);
        }
    }
}

/// Is the value of the described shape, as far as its first floor goes?
fn has_shape(document: &Value, schema: &Value, value: &Value, what: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).expect("a shape"),
        None => schema,
    };
    assert_eq!(schema["type"] == "array", value.is_array(), "{what}: {schema} describes {value}");
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for field in required {
        assert!(value.get(field).is_some(), "{what}: {field} is described and not there: {value}");
    }
}
