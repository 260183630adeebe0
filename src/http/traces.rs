//! How a sale was decided, step by step (lab only).

use actix_web::{HttpRequest, HttpResponse, web};

use super::problem::{self, Problem};
use super::{State, json};
use crate::wire::{Problem as ProblemBody, Trace};

/// The few orders that tell how a sale was decided: who sold more than there was and on what number, or how
/// near it came to that. Of sales that were opened in the lab; final when nothing is under way.
#[utoipa::path(
    get, path = "/v1/sales/{sale}/trace", tag = "audit", params(("sale" = Uuid, Path)),
    responses(
        (status = 200, body = Trace),
        (status = 404, body = ProblemBody, description = "no such sale, nothing recorded, or no lab")
    )
)]
pub async fn show(
    request: HttpRequest,
    state: web::Data<State>,
    sale: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    let none = || Problem::because(&problem::NOT_FOUND, "No steps of this sale were recorded.");
    Ok(json(&state.sale(&sale).await?.trace().ok_or_else(none)?))
}
