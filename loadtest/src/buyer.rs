//! What one buyer does with one request of the plan: he sends it, and ends the hold if it is one. Each of
//! them is on file before it leaves and told to the witness when its answer is there.

use std::io;
use std::time::Duration;

use sellout::wire::CartItem;
use uuid::Uuid;

use crate::answer::Answer;
use crate::attack::Ground;
use crate::crowd::{Errand, Item, PlannedCart, PlannedOrder, Then};
use crate::ending::Ended;

/// Who is told to come back tries so often. His hold runs out before that, or nobody is there any more.
const END_TRIES: u32 = 40;
const END_AGAIN: Duration = Duration::from_millis(50);

/// How an order was answered, for goose.
pub struct Heard {
    /// From just before sending to the body read.
    pub took: Duration,
    /// If there was one.
    pub status: Option<u16>,
    /// Its class.
    pub answer: Answer,
}

/// Buys. An error: the history cannot be written, and who cannot write must not send.
pub async fn run(ground: &Ground, op: u64, errand: &Errand) -> io::Result<Heard> {
    match errand {
        Errand::Order(order) => buy(ground, op, order).await,
        Errand::Cart(cart) => fill(ground, op, cart).await,
    }
}

async fn buy(ground: &Ground, op: u64, order: &PlannedOrder) -> io::Result<Heard> {
    let sale = ground.hall.stalls[0].sale;
    ground.history.invoke(op, sale, order)?;
    let sent = ground.hall.witness.sending(order);
    let (status, answer) = ground.service.order(sale, order).await;
    let took = sent.elapsed();
    ground.hall.witness.heard(order, answer, took);
    ground.history.complete(op, answer)?;
    if let (Some(hold), Answer::Sold(id)) = (order.hold, answer) {
        end(ground, op, order, hold.then, id).await?;
    }
    Ok(Heard { took, status, answer })
}

/// A cart is one request, and one order at each of its sales, whose witness hears what was said of it.
async fn fill(ground: &Ground, op: u64, cart: &PlannedCart) -> io::Result<Heard> {
    let hall = &ground.hall;
    let (sales, whole) = (hall.sales(), cart.whole());
    let item = |item: &Item| CartItem { sale_id: sales[item.sale], quantity: item.quantity };
    let items: Vec<CartItem> = cart.items.iter().map(item).collect();
    let orders = cart.orders(&sales);
    ground.history.invoke_cart(op, cart, &items)?;
    for (n, order) in &orders {
        hall.stalls[*n].witness.sending(order);
    }
    let sent = hall.witness.sending(&whole);
    let (status, answer) = ground.service.cart(cart, &items).await;
    let took = sent.elapsed();
    hall.witness.heard(&whole, answer.whole(), took);
    for (n, order) in &orders {
        hall.stalls[*n].witness.heard(order, answer.of(sales[*n]), took);
    }
    ground.history.complete_cart(op, &answer)?;
    Ok(Heard { took, status, answer: answer.whole() })
}

/// Pays for what he holds, or lets it go, or goes away.
async fn end(ground: &Ground, op: u64, order: &PlannedOrder, then: Then, id: Uuid) -> io::Result<()> {
    let Some(verb) = then.verb() else { return Ok(()) };
    for _ in 0..END_TRIES {
        ground.history.end(op, verb, id)?;
        let sent = ground.hall.witness.ending(order);
        let ended = ground.service.end(id, then, verb).await;
        ground.hall.witness.ended(order, ended, sent.elapsed());
        ground.history.ended(op, ended)?;
        if ended != Ended::Contended {
            break;
        }
        tokio::time::sleep(END_AGAIN).await;
    }
    Ok(())
}
