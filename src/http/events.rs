//! The event stream of the page: a complete snapshot at once, then one whenever something moved.
//!
//! Never behind a compression layer: actix holds a compressed stream back until it ends.

use actix_web::{HttpResponse, web};
use futures_util::StreamExt;

use super::State;
use super::problem::{self, Problem};

/// Server-sent events; `snapshot` events carry a `Snapshot`.
#[utoipa::path(
    get, path = "/v1/events", tag = "runs",
    responses((status = 200, content_type = "text/event-stream"), (status = 503))
)]
pub async fn listen(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let events = state.feed.subscribe().ok_or_else(|| Problem::new(&problem::BUSY))?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events.map(|event| Ok::<_, std::convert::Infallible>(web::Bytes::from(event)))))
}
