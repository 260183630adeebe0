//! What an operator looks at while sales are open.

use std::sync::atomic::Ordering::Relaxed;

use actix_web::{HttpRequest, HttpResponse, web};

use super::problem::Problem;
use super::{State, json};
use crate::wire::{LiveView, Problem as ProblemBody};

/// Open sales, their stock and speed, holds, backlogs, servers and last audits. Needs the operator's right.
///
/// As this process sees it, and kept for a second at least: to look must not disturb what is looked at.
#[utoipa::path(
    get, path = "/v1/live", tag = "service",
    responses((status = 200, body = LiveView), (status = 401, body = ProblemBody))
)]
pub async fn show(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    state.operator(&request)?;
    let view = state.oversight.view().await;
    Ok(json(&LiveView { draining: state.draining.load(Relaxed), ..view }))
}
