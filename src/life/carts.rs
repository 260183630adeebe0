//! Several sales in one order, all or nothing.

use std::sync::Arc;

use uuid::Uuid;

use crate::checkout::{Checkout, OpenSale};
use crate::ledger::{self, at_write, connection};
use crate::sale::{Cart, Error, Order};
use crate::wire::CartView;

pub(super) const PLACE: &str = include_str!("cart.sql");

/// How a cart was answered.
pub enum CartPlaced {
    /// Every item is sold, now or before under the same key.
    Sold {
        /// As the ledger has it.
        cart: CartView,
        /// Was it sold by an earlier request?
        replayed: bool,
    },
    /// Nothing was taken: of these sales too few units are left.
    Short(Vec<Uuid>),
}

/// Places a cart. `sales`: those of its orders, in the same sequence.
///
/// # Errors
/// As for an order; [`Error::Unsupported`] when one of the sales takes stock elsewhere than in one row of
/// PostgreSQL.
pub async fn place(
    checkout: &Arc<Checkout>,
    sales: &[Arc<OpenSale>],
    mut cart: Cart,
) -> Result<CartPlaced, Error> {
    if sales.iter().any(|open| !open.spec.carts) {
        return Err(Error::Unsupported("a sale of this cart has a strategy that sells no carts"));
    }
    for open in sales {
        if let Err(closed) = open.sale.hours.check() {
            // A retry of what was sold gets its orders at any hour.
            return earlier(checkout, &cart.orders[0]).await?.ok_or(closed);
        }
    }
    for (open, order) in sales.iter().zip(&mut cart.orders) {
        open.follow(order);
    }
    let this = Arc::clone(checkout);
    checkout
        .finish(async move {
            let placed = place_once(&this, &cart).await;
            reply(&cart, &placed);
            placed
        })
        .await
}

/// What its buyer is told, in the record of each of its sales.
fn reply(cart: &Cart, placed: &Result<CartPlaced, Error>) {
    let outcome = match placed {
        Ok(CartPlaced::Sold { replayed: false, .. }) => "sold",
        Ok(CartPlaced::Sold { .. }) => "replayed",
        Ok(CartPlaced::Short(_)) => "sold_out",
        Err(Error::Unknown(_)) => "unknown",
        Err(_) => "refused",
    };
    cart.orders.iter().for_each(|order| order.trace.reply(outcome));
}

async fn place_once(checkout: &Arc<Checkout>, cart: &Cart) -> Result<CartPlaced, Error> {
    let first = &cart.orders[0];
    let _alone = checkout.alone(first).await?;
    let orders = &cart.orders;
    let mut pg = connection(&checkout.backends().pg).await?;
    // One statement: it is done or not, and nobody's death can leave half of it.
    let words: Vec<String> = sqlx::query_scalar(PLACE)
        .bind(&first.caller)
        .bind(&first.key)
        .bind(cart.id)
        .bind(orders.iter().map(|o| o.id).collect::<Vec<_>>())
        .bind(orders.iter().map(|o| o.sale_id).collect::<Vec<_>>())
        .bind(&first.buyer_id)
        .bind(orders.iter().map(|o| o.quantity).collect::<Vec<_>>())
        .bind(&first.fingerprint[..])
        .bind(first.retry_safe)
        .bind(first.hold_ms)
        .bind(orders.iter().map(|o| o.epoch).collect::<Vec<_>>())
        .fetch_one(&mut *pg)
        .await
        .map_err(at_write)?;
    drop(pg);
    let said = |word: &str| words.iter().any(|w| w == word);
    let whole = words.iter().all(|word| word == ledger::RECORDED);
    for (order, _) in orders.iter().zip(&words).filter(|(_, word)| whole || *word == "short") {
        order.trace.decide_and_commit(whole, "cart.sql");
    }
    let unread = || Error::Unknown("the cart is sold, and cannot be read".into());
    if whole {
        return match earlier(checkout, first).await {
            Ok(Some(CartPlaced::Sold { cart, .. })) => Ok(CartPlaced::Sold { cart, replayed: false }),
            _ => Err(unread()),
        };
    }
    if said("key_used") || first.retry_safe && said("short") {
        // Sold before, though nothing may be left for anybody else by now.
        match earlier(checkout, first).await? {
            Some(placed) => return Ok(placed),
            None if said("key_used") => return Err(unread()),
            None => {}
        }
    }
    for (word, error) in [
        ("stale", Error::Stale),
        ("missing", Error::Unavailable("a sale is gone".into())),
        ("early", Error::NotOpen),
        ("ended", Error::Ended),
        ("limit", Error::BuyerLimit),
    ] {
        if said(word) {
            return Err(error);
        }
    }
    let short = orders.iter().zip(&words).filter(|(_, word)| *word == "short");
    Ok(CartPlaced::Short(short.map(|(order, _)| order.sale_id).collect()))
}

/// What was answered to this key before, if anything was sold to it.
async fn earlier(checkout: &Arc<Checkout>, first: &Order) -> Result<Option<CartPlaced>, Error> {
    let found = ledger::find_cart(&checkout.backends().pg, &first.caller, &first.key).await?;
    match found {
        None => Ok(None),
        Some((Some(id), orders, fingerprint)) if fingerprint == first.fingerprint => {
            Ok(Some(CartPlaced::Sold { cart: CartView { id, orders }, replayed: true }))
        }
        Some(_) => Err(Error::KeyReused),
    }
}
