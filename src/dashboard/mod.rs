//! The page: a few static files, embedded; and the same as one file with a run inside.
//!
//! No build step, no CDN: what is in this folder is what the browser gets.

pub mod vendor;

use actix_web::HttpResponse;

use crate::wire::Run;

const INDEX: &str = include_str!("index.html");
const CSS: &str = include_str!("app.css");
/// One closure over all parts, in this order: nothing of ours is global.
const JS: &str = concat!(
    "(() => {\n'use strict';\n",
    include_str!("js/view.js"),
    include_str!("js/tiles.js"),
    include_str!("js/now.js"),
    include_str!("js/live.js"),
    "})();\n"
);

const CSS_TAG: &str = r#"<link rel="stylesheet" href="/app.css">"#;
const JS_TAG: &str = r#"<script src="/app.js" defer></script>"#;
const DATA_TAG: &str = "<!--run-data-->";

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The report may run what it carries, and may reach nothing.
const REPORT_POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/// `GET /`.
pub async fn index() -> HttpResponse {
    file("text/html; charset=utf-8", INDEX)
}

/// `GET /app.css`.
pub async fn css() -> HttpResponse {
    file("text/css; charset=utf-8", CSS)
}

/// `GET /app.js`.
pub async fn js() -> HttpResponse {
    file("text/javascript; charset=utf-8", JS)
}

fn file(content_type: &str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("Cache-Control", "no-cache"))
        .body(body)
}

/// A run as one self-contained page: opens from disk, asks no network, prints.
pub fn report(run: &Run) -> String {
    // `<` cannot end the script element early when it is written as an escape.
    let data = serde_json::to_string(run).unwrap_or_default().replace('<', "\\u003c");
    let policy = format!(r#"<meta http-equiv="Content-Security-Policy" content="{REPORT_POLICY}">"#);
    INDEX
        .replacen(CSS_TAG, &format!("{policy}<style>{CSS}</style>"), 1)
        .replacen(DATA_TAG, &format!(r#"<script type="application/json" id="run-data">{data}</script>"#), 1)
        .replacen(JS_TAG, "", 1)
        // At the end, for an inline script cannot be deferred.
        .replacen("</body>", &format!("<script>{JS}</script></body>"), 1)
}
