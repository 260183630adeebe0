//! The API as a page to read and to try: Swagger UI from a crate that carries its files, so it works where there
//! is no other host, and asks none.

use std::sync::{Arc, LazyLock};

use actix_web::{HttpResponse, web};
use utoipa_swagger_ui::Config;

use super::problem::{self, Problem};

/// Its own, for Swagger UI writes styles into the page; scripts come from here alone, and so does all else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // Its validator is another host, which would be told our address.
    Arc::new(Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true).use_base_layout())
});

/// Its files are named from there, so the slash belongs to it.
pub async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header(("Location", "/docs/")).finish()
}

/// The page and its files.
pub async fn show(file: web::Path<String>) -> Result<HttpResponse, Problem> {
    let none = || Problem::new(&problem::NOT_FOUND);
    let file = utoipa_swagger_ui::serve(&file, Arc::clone(&CONFIG)).ok().flatten().ok_or_else(none)?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("Cache-Control", "no-cache"))
        .body(file.bytes.into_owned()))
}
