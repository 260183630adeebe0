//! Orders: place one, look one up.

use actix_web::{HttpRequest, HttpResponse, web};
use uuid::Uuid;

use super::body::{self, SMALL};
use super::problem::{self, Problem};
use super::{State, json};
use crate::checkout::Placed;
use crate::config::Idempotency;
use crate::ledger;
use crate::sale::{ANONYMOUS, Order};
use crate::wire::{NewOrder, OrderView, Problem as ProblemBody};

/// Buys, all or nothing. Send an `Idempotency-Key` and a retry cannot buy twice.
#[utoipa::path(
    post, path = "/v1/sales/{sale}/orders", tag = "orders", request_body = NewOrder,
    params(("sale" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 201, body = OrderView,
            description = "sold and durable; `Idempotent-Replayed: true` on a retry"),
        (status = 409, body = ProblemBody, description = "sold-out, buyer-limit, request-in-progress"),
        (status = 422, body = ProblemBody, description = "validation, idempotency-key-reused"),
        (status = 500, body = ProblemBody, description = "outcome-unknown: retry with the same key"),
        (status = 503, body = ProblemBody, description = "contended, store-unavailable: nothing was taken"),
    )
)]
pub async fn place(
    request: HttpRequest,
    state: web::Data<State>,
    sale: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    // The body is read first, whatever is wrong: an answer before it would cost the client its connection.
    let new: NewOrder = body::json(&request, payload, SMALL).await?;
    let open = state.sale(&sale).await?;
    let mut keys = request.headers().get_all("idempotency-key").map(|v| v.to_str().unwrap_or("\u{0}"));
    let key = keys.next();
    if keys.next().is_some() {
        return Err(Problem::because(&problem::VALIDATION, "Idempotency-Key: must be sent once."));
    }
    if key.is_none() && state.idempotency == Idempotency::Required {
        return Err(Problem::new(&problem::KEY_MISSING));
    }
    let order = Order::parse(open.sale.id, new, key)?;
    match state.checkout.place(open, order).await? {
        Placed::Sold { order, replayed } => Ok(sold(&order, replayed)),
        Placed::SoldOut => Err(Problem::new(&problem::SOLD_OUT)),
    }
}

fn sold(order: &OrderView, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header(("Location", format!("/v1/orders/{}", order.id)));
    if replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.json(order)
}

/// One order.
#[utoipa::path(
    get, path = "/v1/orders/{order}", tag = "orders", params(("order" = Uuid, Path)),
    responses((status = 200, body = OrderView), (status = 404, body = ProblemBody))
)]
pub async fn show(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let none = || Problem::because(&problem::NOT_FOUND, "There is no order of that id.");
    let id = Uuid::parse_str(&id).map_err(|_| none())?;
    let pool = state.checkout.backends().pg_reads.clone();
    let found = state.checkout.read(async move { ledger::order(&pool, ANONYMOUS, id).await }).await?;
    Ok(json(&found.ok_or_else(none)?))
}
