//! Is it alive, is it ready, what does it count.

use std::sync::atomic::Ordering::Relaxed;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json as value};

use super::State;

/// The process answers. No server is asked.
#[utoipa::path(get, path = "/livez", tag = "service", responses((status = 200)))]
pub async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(value!({ "status": "alive" }))
}

/// Can it sell now? 503 while it starts, drains, or PostgreSQL does not answer.
#[utoipa::path(get, path = "/readyz", tag = "service", responses((status = 200), (status = 503)))]
pub async fn readyz(state: web::Data<State>) -> HttpResponse {
    if state.draining.load(Relaxed) {
        // At once: whoever balances the load must not wait for a server that may be what we go down for.
        return HttpResponse::ServiceUnavailable().json(value!({ "status": "draining" }));
    }
    let backends = state.checkout.backends().clone();
    let answers = state.checkout.read(async move { Ok(backends.ping().await) }).await.unwrap_or_default();
    // Without Redis the other strategies sell on; without PostgreSQL nobody does.
    let ready = answers.first().is_some_and(|(_, answer)| answer.is_ok());
    let word = |answer: &Result<(), String>| if answer.is_ok() { "up" } else { "down" };
    let servers: Map<String, Value> =
        answers.iter().map(|(need, answer)| (need.id().to_owned(), word(answer).into())).collect();
    let status = if ready { "ready" } else { "not ready" };
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(value!({ "status": status, "servers": servers }))
}

/// Prometheus text. No store is asked: what is watched is looked at beside it.
#[utoipa::path(
    get, path = "/metrics", tag = "service", responses((status = 200, content_type = "text/plain"))
)]
pub async fn metrics(state: web::Data<State>) -> HttpResponse {
    state.oversight.publish_audits();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(state.metrics.render())
}
