//! What others wrote and the page uses: uPlot draws the curves of the operator's view. It is a third of all
//! that the page may weigh, so only that view asks for it, and only when it is opened.

use actix_web::HttpResponse;

/// `GET /uplot.js`: one global, `uPlot`.
pub async fn script() -> HttpResponse {
    super::file("text/javascript; charset=utf-8", include_str!("vendor/uPlot.iife.min.js"))
}

/// `GET /uplot.css`.
pub async fn styles() -> HttpResponse {
    super::file("text/css; charset=utf-8", include_str!("vendor/uPlot.min.css"))
}
