//! What one buyer does with one order of the plan: he sends it, and ends the hold if it is one. Each request
//! is on file before it leaves and told to the witness when its answer is there.

use std::io;
use std::time::Duration;

use uuid::Uuid;

use crate::answer::Answer;
use crate::attack::Ground;
use crate::crowd::{PlannedOrder, Then};
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
pub async fn buy(ground: &Ground, op: u64, order: &PlannedOrder) -> io::Result<Heard> {
    ground.history.invoke(op, ground.sale, order)?;
    let sent = ground.witness.sending(order);
    let (status, answer) = ground.service.order(ground.sale, order).await;
    let took = sent.elapsed();
    ground.witness.heard(order, answer, took);
    ground.history.complete(op, answer)?;
    if let (Some(hold), Answer::Sold(id)) = (order.hold, answer) {
        end(ground, op, order, hold.then, id).await?;
    }
    Ok(Heard { took, status, answer })
}

/// Pays for what he holds, or lets it go, or goes away.
async fn end(ground: &Ground, op: u64, order: &PlannedOrder, then: Then, id: Uuid) -> io::Result<()> {
    let Some(verb) = then.verb() else { return Ok(()) };
    for _ in 0..END_TRIES {
        ground.history.end(op, verb, id)?;
        let sent = ground.witness.ending(order);
        let ended = ground.service.end(id, then, verb).await;
        ground.witness.ended(order, ended, sent.elapsed());
        ground.history.ended(op, ended)?;
        if ended != Ended::Contended {
            break;
        }
        tokio::time::sleep(END_AGAIN).await;
    }
    Ok(())
}
