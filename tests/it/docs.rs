//! The promise: the API can be read and tried in a browser with no other host than this one.

use std::time::Duration;

use crate::support::TestApp;
use crate::support::browser::Browser;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_a_page_that_asks_no_other_host_and_breaks_no_policy() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    // The short name leads there.
    browser.goto(&format!("{}/docs", app.api.url)).await;
    browser.wait_for("document.querySelectorAll('.opblock').length > 25", Duration::from_secs(40)).await;
    let shown = "return [...document.querySelectorAll('.opblock-summary-path')].map((n) => n.dataset.path)";
    let shown = browser.script(shown, &[]).await.to_string();
    for path in ["/v1/sales/{sale}/orders", "/v1/runs/{run}/report.md", "/v1/live"] {
        assert!(shown.contains(path), "{path} is not shown: {shown}");
    }
    for request in browser.requests().await {
        assert!(request.starts_with(&app.api.url) || request.starts_with("data:"), "{request}");
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_files_carry_their_own_policy_and_there_are_no_others() {
    let app = TestApp::start().await;
    let page = app.api.get("/docs/").await;
    let policy = page.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src 'self' '"), "{policy}");
    assert!(page.text.contains("swagger-ui"), "{}", page.text);
    let start = app.api.get("/docs/swagger-initializer.js").await.text;
    assert!(start.contains("/openapi.json") && start.contains(r#""validatorUrl": "none""#), "{start}");
    for file in ["/docs/none.js", "/docs/../openapi.rs", "/docs/%2e%2e/%2e%2e/etc/passwd"] {
        assert_eq!(app.api.get(file).await.status, 404, "{file}");
    }
    // The page's own policy stays as strict as it was.
    let own = app.api.get("/").await.headers["content-security-policy"].to_str().expect("text").to_owned();
    assert!(!own.contains("unsafe"), "{own}");
    app.stop().await;
}
