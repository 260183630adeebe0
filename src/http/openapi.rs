//! The description of this API, made from the handlers' own comments and types.

use actix_web::{HttpResponse, web};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::{self, KINDS, Problem};
use super::{
    audit, batches, changes, environment, events, health, lab, live, lives, orders, reports, runs, sales,
    strategies, traces,
};
use crate::wire;

/// OpenAPI 3.1.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "sellout",
        description = "A flash-sale inventory service. Errors are RFC 9457 problem+json: \
        switch on `type`, read `detail`."
    ),
    security((), ("token" = [])),
    modifiers(&Token),
    paths(
        sales::open,
        sales::list,
        sales::show,
        sales::ledger,
        changes::stock,
        changes::handover,
        changes::immutable,
        orders::place,
        orders::show,
        batches::place,
        lives::cart,
        lives::confirm,
        lives::release,
        lives::cancel,
        audit::show,
        audit::tally,
        traces::show,
        strategies::list,
        environment::show,
        live::show,
        runs::list,
        runs::show,
        reports::html,
        reports::markdown,
        reports::csv,
        reports::series,
        reports::zip,
        runs::keep,
        runs::forget,
        lab::start,
        lab::current,
        lab::cancel,
        lab::faults,
        lab::set_faults,
        lab::kill_redis,
        events::listen,
        health::livez,
        health::readyz,
        health::metrics,
        show,
        problem,
    )
)]
struct Document;

/// How a caller says who he is, where that is asked for.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let scheme = scheme.description(Some("A buyer's, an operator's or a lab's; see the README."));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme.build()));
    }
}

/// The document, as `sellout openapi` prints it.
pub fn document() -> String {
    // Made of strings and numbers; it always serializes.
    Document::openapi().to_pretty_json().unwrap_or_default()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "service", responses((status = 200)))]
pub async fn show() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document())
}

/// What a problem's `type` means, in words.
#[utoipa::path(
    get, path = "/problems/{slug}", tag = "service", params(("slug" = String, Path)),
    responses((status = 200, content_type = "text/plain"), (status = 404, body = wire::Problem))
)]
pub async fn problem(slug: web::Path<String>) -> Result<HttpResponse, Problem> {
    let kind = KINDS.iter().find(|k| k.slug == *slug).ok_or_else(|| Problem::new(&problem::NOT_FOUND))?;
    let text = format!("{} (HTTP {})\n\n{}\n", kind.title, kind.status, kind.advice);
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}
