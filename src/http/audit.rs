//! The audit of a sale, and (lab only) the clients' side of it.

use actix_web::{HttpRequest, HttpResponse, web};

use super::body::{self, LARGE};
use super::problem::{self, Problem};
use super::{State, json};
use crate::audit::{self, Unreadable};
use crate::sale::Error;
use crate::wire::{Audit, Problem as ProblemBody, Tally};

/// Counts orders against the opening stock. Final when `in_flight` is 0.
#[utoipa::path(
    get, path = "/v1/sales/{sale}/audit", tag = "audit", params(("sale" = Uuid, Path)),
    responses(
        (status = 200, body = Audit),
        (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody)
    )
)]
pub async fn show(state: web::Data<State>, sale: web::Path<String>) -> Result<HttpResponse, Problem> {
    let open = state.sale_now(&sale).await?;
    let audit = state.oversight.audit(&open).await?;
    Ok(json(&audit.ok_or_else(|| Problem::new(&problem::NOT_FOUND))?))
}

/// What the clients were told, from the load test. A second one replaces the first.
#[utoipa::path(
    put, path = "/v1/sales/{sale}/tally", tag = "audit", params(("sale" = Uuid, Path)), request_body = Tally,
    responses((status = 204), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody))
)]
pub async fn tally(
    request: HttpRequest,
    state: web::Data<State>,
    sale: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    let tally: Tally = body::json(&request, payload, LARGE).await?;
    let open = state.sale(&sale).await?;
    if let Some(text) = tally.told_yes.iter().flat_map(|t| [&t.key, &t.buyer_id]).find(|t| t.contains('\0')) {
        return Err(Problem::because(&problem::VALIDATION, format!("told_yes: {text:?} contains NUL.")));
    }
    let (id, pool) = (open.sale.id, state.checkout.backends().pg_reads.clone());
    let stored = async move { audit::store_tally(&pool, id, &tally).await.map_err(unreadable) };
    state.checkout.finish(stored).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn unreadable(e: Unreadable) -> Error {
    Error::Unavailable(e.to_string())
}
