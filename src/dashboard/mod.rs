//! The page: a few static files, embedded; and the same as one file with a run inside.
//!
//! No build step, no CDN: what is in this folder is what the browser gets.

pub mod vendor;

use actix_web::{HttpRequest, HttpResponse};

use crate::wire::Run;

use self::asset::Asset;

mod asset;

const INDEX: &str = include_str!("index.html");
const CSS: &str = concat!(include_str!("app.css"), include_str!("trace.css"));
/// One closure over all parts, in this order: nothing of ours is global.
const JS: &str = concat!(
    "(() => {\n'use strict';\n",
    include_str!("js/view.js"),
    include_str!("js/pages.js"),
    include_str!("js/families.js"),
    include_str!("js/tables.js"),
    include_str!("js/tiles.js"),
    include_str!("js/curves.js"),
    include_str!("js/now.js"),
    include_str!("js/lab.js"),
    include_str!("js/board.js"),
    include_str!("js/new.js"),
    include_str!("js/runs.js"),
    include_str!("js/compare.js"),
    include_str!("js/code.js"),
    include_str!("js/diagram.js"),
    include_str!("js/trace.js"),
    include_str!("js/cards.js"),
    include_str!("js/operator.js"),
    include_str!("js/live.js"),
    "})();\n"
);

const CSS_TAG: &str = r#"<link rel="stylesheet" href="/app.css">"#;
const JS_TAG: &str = r#"<script src="/app.js" defer></script>"#;
const DATA_TAG: &str = "<!--run-data-->";

/// The report may run what it carries, and may reach nothing.
const REPORT_POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

static PAGE: Asset = Asset::new("text/html; charset=utf-8", INDEX);
static STYLES: Asset = Asset::new("text/css; charset=utf-8", CSS);
static SCRIPT: Asset = Asset::new("text/javascript; charset=utf-8", JS);

/// `GET /`.
pub async fn index(request: HttpRequest) -> HttpResponse {
    PAGE.answer(&request)
}

/// `GET /app.css`.
pub async fn css(request: HttpRequest) -> HttpResponse {
    STYLES.answer(&request)
}

/// `GET /app.js`.
pub async fn js(request: HttpRequest) -> HttpResponse {
    SCRIPT.answer(&request)
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
