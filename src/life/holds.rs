//! One order: confirmed, released, cancelled. Each transition happens once; who asks again is told how it
//! stands.

use std::sync::Arc;

use uuid::Uuid;

use crate::checkout::{Checkout, Placed};
use crate::ledger::{self, at_write};
use crate::sale::{Back, Ending, Error, Order};
use crate::wire::OrderView;

pub(super) const CONFIRM: &str = include_str!("confirm.sql");

/// Confirms a held order: its units are sold. `caller`: whose it must be, `None` for an operator. `None`
/// when there is no such order.
///
/// # Errors
/// [`Error::HoldExpired`] when the hold has run out; with `rehold` the units are taken again under a new
/// order, confirmed at once, if they are left. [`Error::WrongState`] when it was released or cancelled.
pub async fn confirm(
    checkout: &Arc<Checkout>,
    caller: Option<&str>,
    id: Uuid,
    rehold: bool,
) -> Result<Option<Placed>, Error> {
    let Some((order, owner)) = find(checkout, caller, id).await? else { return Ok(None) };
    let order = if order.state == "held" { move_on(checkout, caller, order).await? } else { order };
    match order.state.as_str() {
        "confirmed" => Ok(Some(Placed::Sold { order, replayed: true })),
        // Still held, and not to be confirmed: it has run out, and the sweeper has not come by yet.
        "held" | "expired" if rehold => take_again(checkout, &owner, &order).await.map(Some),
        "held" | "expired" => Err(Error::HoldExpired),
        state => Err(Error::WrongState(state.to_owned())),
    }
}

/// Confirms, and says how the order stands then. An expiry at the same moment locks the same row and asks
/// the same clock: one of the two finds it held.
async fn move_on(
    checkout: &Arc<Checkout>,
    caller: Option<&str>,
    order: OrderView,
) -> Result<OrderView, Error> {
    let (pool, id) = (checkout.backends().pg_life.clone(), order.id);
    let confirmed = checkout.finish(async move {
        let mut pg = ledger::connection(&pool).await?;
        sqlx::query(CONFIRM).bind([id]).fetch_optional(&mut *pg).await.map_err(at_write)
    });
    if confirmed.await?.is_some() {
        return Ok(OrderView { state: "confirmed".into(), ..order });
    }
    let now = find(checkout, caller, id).await?;
    Ok(now.map_or(order, |(now, _)| now))
}

async fn take_again(checkout: &Arc<Checkout>, owner: &str, hold: &OrderView) -> Result<Placed, Error> {
    let gone = || Error::Unavailable("the sale is gone".into());
    let open = checkout.sale(hold.sale_id).await?.ok_or_else(gone)?;
    let order = Order::again(&open.sale, owner, hold);
    checkout.place(open, order).await
}

/// Ends an order so that its units come back: a held one is released, a confirmed one cancelled. `None` when
/// there is no such order.
///
/// # Errors
/// [`Error::WrongState`] when it is in another state than this ends.
pub async fn end(
    checkout: &Arc<Checkout>,
    caller: Option<&str>,
    id: Uuid,
    ending: Ending,
) -> Result<Option<OrderView>, Error> {
    let Some((order, _)) = find(checkout, caller, id).await? else { return Ok(None) };
    let from = if ending == Ending::Cancelled { "confirmed" } else { "held" };
    if order.state == from {
        let gone = || Error::Unavailable("the sale is gone".into());
        let open = checkout.sale(order.sale_id).await?.ok_or_else(gone)?;
        checkout.give_back(open, Back::Orders(vec![id], ending)).await?;
    }
    // Whoever ended it, and when: twice is once.
    let Some((order, _)) = find(checkout, caller, id).await? else { return Ok(None) };
    if order.state == ending.state() { Ok(Some(order)) } else { Err(Error::WrongState(order.state)) }
}

async fn find(
    checkout: &Arc<Checkout>,
    caller: Option<&str>,
    id: Uuid,
) -> Result<Option<(OrderView, String)>, Error> {
    let (pool, caller) = (checkout.backends().pg_life.clone(), caller.map(str::to_owned));
    checkout.read(async move { ledger::order(&pool, caller.as_deref(), id).await }).await
}
