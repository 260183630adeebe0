//! What others wrote and the page uses: uPlot draws the curves of the operator's view. It is a third of all
//! that the page may weigh, so only that view asks for it, and only when it is opened.

use actix_web::{HttpRequest, HttpResponse};

use super::asset::Asset;

static SCRIPT: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("vendor/uPlot.iife.min.js"));
static STYLES: Asset = Asset::new("text/css; charset=utf-8", include_str!("vendor/uPlot.min.css"));

/// `GET /uplot.js`: one global, `uPlot`.
pub async fn script(request: HttpRequest) -> HttpResponse {
    SCRIPT.answer(&request)
}

/// `GET /uplot.css`.
pub async fn styles(request: HttpRequest) -> HttpResponse {
    STYLES.answer(&request)
}
