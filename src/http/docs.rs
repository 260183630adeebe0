//! The API as a page to read and to try: Swagger UI from a crate that carries its files, so it works where
//! there is no other host, and asks none.

use std::sync::{Arc, LazyLock};

use actix_web::{HttpResponse, web};
use utoipa_swagger_ui::Config;

use super::problem::{self, Problem};

/// Its own, for Swagger UI writes styles into the page; scripts come from here alone, and so does all else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// After the page's own styles: the same with enough contrast.
const STYLES: &str = include_str!("docs.css");
/// After the script that starts it: the same with names and levels for who listens to it.
const SCRIPT: &str = include_str!("docs.js");
/// What its first page lacks: a name, a width on a phone, and a place that says here is the content.
const MENDED: [(&str, &str); 3] = [
    ("<head>", "<head><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"),
    ("<title>Swagger UI</title>", "<title>API · sellout</title>"),
    ("<div id=\"swagger-ui\"></div>", "<main id=\"swagger-ui\"></main>"),
];

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // Its validator is another host, which would be told our address.
    Arc::new(Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true).use_base_layout())
});

/// Its files are named from there, so the slash belongs to it.
pub async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header(("Location", "/docs/")).finish()
}

/// The page and its files.
pub async fn show(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let none = || Problem::new(&problem::NOT_FOUND);
    let file = utoipa_swagger_ui::serve(&name, Arc::clone(&CONFIG)).ok().flatten().ok_or_else(none)?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("Cache-Control", "no-cache"))
        .body(mended(&name, file.bytes.into_owned())))
}

fn mended(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    match name {
        "" | "index.html" => MENDED
            .iter()
            .fold(String::from_utf8_lossy(&bytes).into_owned(), |page, (theirs, ours)| {
                page.replacen(theirs, ours, 1)
            })
            .into_bytes(),
        "index.css" => [&bytes[..], STYLES.as_bytes()].concat(),
        "swagger-initializer.js" => [&bytes[..], SCRIPT.as_bytes()].concat(),
        _ => bytes,
    }
}
