//! Reading a JSON body: bounded in size and time, strict in shape, and never a 500.

use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;

use super::problem::{self, Problem};

/// Orders and sales are small.
pub const SMALL: usize = 16 * 1024;
/// A thousand orders of a batch, with the longest keys and names that may be.
pub const BATCH: usize = 1024 * 1024;
/// A tally or a run of a large load test.
pub const LARGE: usize = 256 * 1024 * 1024;
/// Slowest body that is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same where the body may be left out: then what a `T` is by default.
pub async fn json_if_any<T: DeserializeOwned + Default>(
    request: &HttpRequest,
    payload: web::Payload,
    bytes_max: usize,
) -> Result<T, Problem> {
    let none = |name: &str| request.headers().get(name).is_none_or(|v| v.as_bytes() == b"0");
    if none("content-length") && none("transfer-encoding") {
        return Ok(T::default());
    }
    json(request, payload, bytes_max).await
}

/// The body as a `T`, or what is wrong with it.
pub async fn json<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    bytes_max: usize,
) -> Result<T, Problem> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let media = content_type.split(';').next().unwrap_or("").trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(&problem::MEDIA_TYPE));
    }
    let read = tokio::time::timeout(PATIENCE, payload.to_bytes_limited(bytes_max)).await;
    let bytes = read
        .map_err(|_| Problem::new(&problem::TIMEOUT))?
        .map_err(|_| Problem::new(&problem::TOO_LARGE))?
        .map_err(|_| Problem::new(&problem::MALFORMED))?;
    // serde also takes the fields of a struct from an array, one by one. Whoever sends one means something
    // else.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::because(&problem::VALIDATION, "The body must be an object, not an array."));
    }
    serde_json::from_slice(&bytes).map_err(|e| match e.classify() {
        // Well-formed JSON that is not what was asked for: serde says which field and where.
        serde_json::error::Category::Data => Problem::because(&problem::VALIDATION, format!("{e}.")),
        _ => Problem::because(&problem::MALFORMED, format!("{e}.")),
    })
}
