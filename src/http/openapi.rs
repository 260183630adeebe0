//! The description of this API, made from the handlers' own comments and types.

use actix_web::{HttpResponse, web};
use utoipa::OpenApi;

use super::problem::{self, KINDS, Problem};
use super::{audit, environment, events, health, orders, runs, sales, strategies};

/// OpenAPI 3.1.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "sellout",
        description = "A flash-sale inventory service. Errors are RFC 9457 problem+json: \
        switch on `type`, read `detail`."
    ),
    paths(
        sales::open,
        sales::list,
        sales::show,
        sales::ledger,
        orders::place,
        orders::show,
        audit::show,
        audit::tally,
        strategies::list,
        environment::show,
        runs::list,
        runs::show,
        runs::report,
        runs::keep,
        events::listen,
        health::livez,
        health::readyz,
        health::metrics,
    )
)]
struct Document;

/// The document, as `sellout openapi` prints it.
pub fn document() -> String {
    // Made of strings and numbers; it always serializes.
    Document::openapi().to_pretty_json().unwrap_or_default()
}

/// `GET /openapi.json`.
pub async fn show() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document())
}

/// `GET /problems/{slug}`: what a problem's `type` means, in words.
pub async fn problem(slug: web::Path<String>) -> Result<HttpResponse, Problem> {
    let kind = KINDS.iter().find(|k| k.slug == *slug).ok_or_else(|| Problem::new(&problem::NOT_FOUND))?;
    let text = format!("{} (HTTP {})\n\n{}\n", kind.title, kind.status, kind.advice);
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}
