//! Where this service runs: printed beside every number.

use actix_web::{HttpResponse, web};

use super::{State, json};
use crate::wire::Environment;

/// Machine, versions and durability settings.
#[utoipa::path(get, path = "/v1/environment", tag = "service", responses((status = 200, body = Environment)))]
pub async fn show(state: web::Data<State>) -> HttpResponse {
    json(&state.environment)
}
