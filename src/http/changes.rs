//! A sale while it sells: its stock is changed, another strategy takes over.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::body::{self, SMALL};
use super::problem::{self, Problem};
use super::sales::{allowed, view};
use super::{State, json};
use crate::sale::{Back, UNITS_MAX, key_of};
use crate::wire::{Handover, Problem as ProblemBody, SaleView, StockChange};

/// `POST /v1/sales/{id}/stock`.
#[derive(Serialize, utoipa::ToSchema)]
struct Changed {
    /// By how many units the stock moved; 0 when this key had been carried out before.
    changed: i64,
    /// The sale.
    sale: SaleView,
}

/// Puts units on sale, or takes some off that nobody holds or has bought. One key is one change. Needs the
/// operator's token, or lab mode on loopback.
#[utoipa::path(
    post, path = "/v1/sales/{sale}/stock", tag = "sales", request_body = StockChange,
    params(("sale" = Uuid, Path), ("Idempotency-Key" = String, Header)),
    responses(
        (status = 200, body = Changed), (status = 401, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "stock-below-sold"),
        (status = 422, body = ProblemBody,
            description = "validation, idempotency-key-reused, unsupported-by-strategy"),
    )
)]
pub async fn stock(
    request: HttpRequest,
    state: web::Data<State>,
    sale: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let StockChange { delta } = body::json(&request, payload, SMALL).await?;
    state.operator(&request)?;
    let open = state.sale(&sale).await?;
    let header = request.headers().get("idempotency-key").and_then(|v| v.to_str().ok());
    let key = key_of(header)?;
    if delta == 0 || delta.abs() > UNITS_MAX {
        let why = format!("delta: must be a whole number other than 0, at most {UNITS_MAX} either way.");
        return Err(Problem::because(&problem::VALIDATION, why));
    }
    let changed = state.checkout.give_back(std::sync::Arc::clone(&open), Back::Change { key, delta }).await?;
    let sale = view(&state, &open).await;
    Ok(json(&Changed { changed, sale }))
}

/// Hands an open sale over to another strategy, with nothing sold twice and nothing lost. Needs the
/// operator's token, or lab mode on loopback. Interrupted, ask again: once more with the same strategy
/// completes it.
#[utoipa::path(
    post, path = "/v1/sales/{sale}/handover", tag = "sales", request_body = Handover,
    params(("sale" = Uuid, Path)),
    responses(
        (status = 200, body = SaleView), (status = 401, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "store-unfit"),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody),
    )
)]
pub async fn handover(
    request: HttpRequest,
    state: web::Data<State>,
    sale: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let Handover { strategy } = body::json(&request, payload, SMALL).await?;
    state.operator(&request)?;
    let open = state.sale(&sale).await?;
    let spec = allowed(&state, &strategy).await?;
    if !spec.gives_back || !open.spec.gives_back {
        return Err(
            crate::sale::Error::Unsupported("one of the two strategies can hand no stock over").into()
        );
    }
    let open = state.checkout.hand_over(open, spec).await?;
    Ok(json(&view(&state, &open).await))
}

/// A strategy is immutable while a sale is open: whoever has read under the old one must not write under the
/// new.
#[utoipa::path(
    patch, path = "/v1/sales/{sale}", tag = "sales", params(("sale" = Uuid, Path)),
    responses(
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "sale-immutable"),
    )
)]
pub async fn immutable(
    request: HttpRequest,
    state: web::Data<State>,
    sale: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    state.operator(&request)?;
    state.sale(&sale).await?;
    Err(Problem::new(&problem::IMMUTABLE))
}
