//! What becomes of an order: confirmed, released, cancelled. And several sales in one.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use uuid::Uuid;

use super::body::{self, SMALL};
use super::orders::{key, sold};
use super::problem::{self, Problem};
use super::{State, json, reply};
use crate::checkout::Placed;
use crate::life::carts::{self, CartPlaced};
use crate::life::holds;
use crate::sale::{Cart, Ending, Sale};
use crate::wire::{CartView, Confirm, NewCart, OrderView, Problem as ProblemBody};

fn none() -> Problem {
    Problem::because(&problem::NOT_FOUND, "There is no order of that id.")
}

fn parse(id: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(id).map_err(|_| none())
}

/// Confirms a held order: paid, its units are sold. Once more answers the same.
///
/// A payment that comes after the hold has run out gets 409 `hold-expired`; with `"rehold": true` the units
/// are taken again under a new order (201), if they are left.
#[utoipa::path(
    post, path = "/v1/orders/{order}/confirm", tag = "orders", params(("order" = Uuid, Path)),
    request_body(content = Option<Confirm>, content_type = "application/json"),
    responses(
        (status = 200, body = OrderView, description = "confirmed"),
        (status = 201, body = OrderView, description = "the hold had expired; sold again as this order"),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "hold-expired, order-state, sold-out"),
    )
)]
pub async fn confirm(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let Confirm { rehold } = body::json_if_any(&request, payload, SMALL).await?;
    let caller = state.caller(&request)?;
    match holds::confirm(&state.checkout, caller.scope(), parse(&id)?, rehold).await? {
        None => Err(none()),
        Some(Placed::SoldOut) => Err(Problem::new(&problem::SOLD_OUT)),
        Some(Placed::Sold { order, .. }) if order.id.to_string() == id.to_lowercase() => Ok(json(&order)),
        Some(Placed::Sold { order, replayed }) => Ok(sold(&order, replayed)),
    }
}

/// Lets a hold go: its units are for sale again. Once more answers the same.
#[utoipa::path(
    post, path = "/v1/orders/{order}/release", tag = "orders", params(("order" = Uuid, Path)),
    responses(
        (status = 200, body = OrderView), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "order-state"),
    )
)]
pub async fn release(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    end(&request, &state, &id, Ending::Released).await
}

/// Cancels a confirmed order: its units are for sale again. Once more answers the same.
#[utoipa::path(
    delete, path = "/v1/orders/{order}", tag = "orders", params(("order" = Uuid, Path)),
    responses(
        (status = 200, body = OrderView), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "order-state"),
    )
)]
pub async fn cancel(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    end(&request, &state, &id, Ending::Cancelled).await
}

async fn end(
    request: &HttpRequest,
    state: &State,
    id: &str,
    ending: Ending,
) -> Result<HttpResponse, Problem> {
    let caller = state.caller(request)?;
    let ended = holds::end(&state.checkout, caller.scope(), parse(id)?, ending).await?;
    Ok(json(&ended.ok_or_else(none)?))
}

/// Buys from several sales at once, all or nothing. Of sales whose strategy takes at a row of PostgreSQL.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", request_body = NewCart,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 201, body = CartView,
            description = "sold and durable; `Idempotent-Replayed: true` on a retry"),
        (status = 409, body = ProblemBody, description = "sold-out: `short` names the sales"),
        (status = 422, body = ProblemBody, description = "validation, unsupported-by-strategy"),
    )
)]
pub async fn cart(
    request: HttpRequest,
    state: web::Data<State>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let new: NewCart = body::json(&request, payload, SMALL).await?;
    let caller = state.caller(&request)?;
    let key = key(&request, &state)?;
    let mut ids: Vec<Uuid> = new.items.iter().map(|item| item.sale_id).collect();
    ids.sort();
    ids.dedup();
    let mut again = true;
    loop {
        let mut sales = Vec::with_capacity(ids.len());
        for id in &ids {
            sales.extend(state.checkout.sale(*id).await?);
        }
        let facts: Vec<Sale> = sales.iter().map(|open| open.sale.clone()).collect();
        let cart = Cart::parse(&caller.name, &new, &facts, key.as_deref())?;
        match carts::place(&state.checkout, &sales, cart).await {
            Ok(CartPlaced::Sold { cart, replayed }) => {
                return Ok(reply::sold(&request, &state, sold_cart(&cart, replayed), replayed));
            }
            Ok(CartPlaced::Short(short)) => return Err(Problem::new(&problem::SOLD_OUT).short(short)),
            Err(crate::sale::Error::Stale) if again => {
                for open in &sales {
                    state.checkout.refresh(Arc::clone(open)).await?;
                }
            }
            Err(e) => return Err(e.into()),
        }
        again = false;
    }
}

fn sold_cart(cart: &CartView, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
    if replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.json(cart)
}
