//! Many orders in one request: what HTTP costs is paid once.

use std::num::NonZeroU32;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::{StreamExt, stream};

use super::body::{self, BATCH};
use super::problem::{self, Problem};
use super::{State, json, rate};
use crate::checkout::{OpenSale, Placed};
use crate::config::Idempotency;
use crate::sale::{BATCH_ORDERS_MAX, Order};
use crate::wire::{BatchOrder, BatchResult, BatchView, NewBatch, NewOrder, Problem as ProblemBody};

/// Orders of one request that are worked on at once.
const AT_ONCE: usize = 256;

/// Places up to 1,000 orders, each for itself: one verdict each, in the order in which they were sent.
///
/// Answers 200 whatever became of them; the same batch again sells nothing twice where orders carry keys.
#[utoipa::path(
    post, path = "/v1/sales/{sale}/orders:batch", tag = "orders", params(("sale" = Uuid, Path)),
    request_body = NewBatch,
    responses(
        (status = 200, body = BatchView, description = "a status and an order or a problem for each"),
        (status = 422, body = ProblemBody, description = "validation of the batch as a whole"),
        (status = 429, body = ProblemBody),
    )
)]
pub async fn place(
    request: HttpRequest,
    state: web::Data<State>,
    sale: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let new: NewBatch = body::json(&request, payload, BATCH).await?;
    let open = state.sale(&sale).await?;
    let caller = state.caller(&request)?;
    if new.orders.is_empty() || new.orders.len() > BATCH_ORDERS_MAX {
        let why = format!("orders: must be 1 to {BATCH_ORDERS_MAX}.");
        return Err(Problem::because(&problem::VALIDATION, why));
    }
    // The gate counts requests of one order each.
    if let (Some(rate), Ok(orders)) = (&state.rate, u32::try_from(new.orders.len()).map(NonZeroU32::new))
        && let Some(Err(refusal)) = orders.map(|orders| rate.ask(rate::who(&state, &request), orders))
    {
        return Ok(*refusal);
    }
    let placing = new.orders.into_iter().map(|order| one(&state, &open, &caller.name, order));
    let results = stream::iter(placing).buffered(AT_ONCE).map(result).collect().await;
    Ok(json(&BatchView { results }))
}

async fn one(
    state: &State,
    open: &Arc<OpenSale>,
    caller: &str,
    order: BatchOrder,
) -> Result<Placed, Problem> {
    let BatchOrder { key, buyer_id, quantity, hold_seconds } = order;
    if key.is_none() && state.idempotency == Idempotency::Required {
        return Err(Problem::new(&problem::KEY_MISSING));
    }
    let new = NewOrder { buyer_id, quantity, hold_seconds };
    let order = Order::parse(&open.sale, caller, new, key.as_deref())?;
    Ok(state.checkout.place(Arc::clone(open), order).await?)
}

fn result(placed: Result<Placed, Problem>) -> BatchResult {
    let problem = match placed {
        Ok(Placed::Sold { order, replayed }) => {
            return BatchResult { status: 201, replayed, order: Some(order), problem: None };
        }
        Ok(Placed::SoldOut) => Problem::new(&problem::SOLD_OUT).view(),
        Err(problem) => problem.view(),
    };
    BatchResult { status: problem.status, replayed: false, order: None, problem: Some(problem) }
}
