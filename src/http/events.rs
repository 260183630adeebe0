//! The event stream of the page: a complete snapshot at once, then one whenever something moved.
//!
//! Never behind a compression layer: actix holds a compressed stream back until it ends.

use actix_web::{HttpResponse, web};
use futures_util::{StreamExt, stream};

use super::State;
use super::problem::{self, Problem};

/// Server-sent events; `snapshot` events carry a `Snapshot`.
#[utoipa::path(
    get, path = "/v1/events", tag = "runs",
    responses((status = 200, content_type = "text/event-stream"), (status = 503))
)]
pub async fn listen(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let events = state.feed.subscribe().ok_or_else(|| Problem::new(&problem::BUSY))?;
    // The farewell is the last event: a stream that stayed open would hold up the shutdown.
    let events = stream::unfold(Some(Box::pin(events)), |open| async {
        let mut open = open?;
        let event = open.next().await?;
        let last = event.starts_with("event: closed");
        Some((event, (!last).then_some(open)))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events.map(|event| Ok::<_, std::convert::Infallible>(web::Bytes::from(event)))))
}
