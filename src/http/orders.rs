//! Orders: place one, look one up.

use actix_web::{HttpRequest, HttpResponse, web};
use uuid::Uuid;

use super::body::{self, SMALL};
use super::problem::{self, Problem};
use super::{State, json, reply};
use crate::checkout::Placed;
use crate::config::Idempotency;
use crate::ledger;
use crate::sale::Order;
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
    let caller = state.caller(&request)?;
    let key = key(&request, &state)?;
    let order = Order::parse(&open.sale, &caller.name, new, key.as_deref())?;
    match state.checkout.place(open, order).await? {
        Placed::Sold { order, replayed } => {
            Ok(reply::sold(&request, &state, sold(&order, replayed), replayed))
        }
        Placed::SoldOut => Err(Problem::new(&problem::SOLD_OUT)),
    }
}

/// The key that a request carries, once.
pub(super) fn key(request: &HttpRequest, state: &State) -> Result<Option<String>, Problem> {
    let mut keys = request.headers().get_all("idempotency-key").map(|v| v.to_str().unwrap_or("\u{0}"));
    let key = keys.next();
    if keys.next().is_some() {
        return Err(Problem::because(&problem::VALIDATION, "Idempotency-Key: must be sent once."));
    }
    if key.is_none() && state.idempotency == Idempotency::Required {
        return Err(Problem::new(&problem::KEY_MISSING));
    }
    Ok(key.map(str::to_owned))
}

pub(super) fn sold(order: &OrderView, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header(("Location", format!("/v1/orders/{}", order.id)));
    if replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.json(order)
}

/// One order: the caller's own, or any for an operator.
#[utoipa::path(
    get, path = "/v1/orders/{order}", tag = "orders", params(("order" = Uuid, Path)),
    responses((status = 200, body = OrderView), (status = 404, body = ProblemBody))
)]
pub async fn show(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let caller = state.caller(&request)?;
    let none = || Problem::because(&problem::NOT_FOUND, "There is no order of that id.");
    let id = Uuid::parse_str(&id).map_err(|_| none())?;
    let pool = state.checkout.backends().pg_reads.clone();
    let found = async move { ledger::order(&pool, caller.scope(), id).await };
    let (order, _) = state.checkout.read(found).await?.ok_or_else(none)?;
    Ok(json(&order))
}
