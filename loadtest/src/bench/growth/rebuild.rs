//! Redis forgets all that it knew, and a sale of many orders must sell again: the service fills it from the
//! ledger, every key that was used included.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Run;
use super::fill::Fill;
use super::options::filled;
use super::orders::UNITS;
use crate::answer::Answer;
use crate::connection::Connection;
use crate::request::Request;
use crate::response;
use crate::shot;

const POLL: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(120);

/// A sale of so many orders that Redis has forgotten.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Orders of the sale.
    pub orders: u64,
    /// How the last of them were sold.
    pub fill: Fill,
    /// Memory of Redis before it forgot.
    pub stored: Option<u64>,
    /// Until the sale sold again.
    pub seconds: f64,
}

/// All steps, with one sale.
pub async fn grow(run: &mut Run) -> Result<(), String> {
    let steps = run.options.rebuilt();
    let sale = run.stage.api()?.open("redis_lua", UNITS).await?;
    for (orders, more) in steps.iter().zip(filled(&steps)) {
        let fill = run.fill(sale, more).await?;
        let stored = run.stage.servers.stored()?;
        run.stage.servers.forget_all()?;
        let seconds = run.first_sold(sale).await?;
        let words = format!("redis_lua, {orders} orders: sells {seconds:.2} s after Redis forgot them");
        run.part.rebuilt.push(Step { orders: *orders, fill, stored, seconds });
        run.step(run.options.fill_work(more), &words)?;
    }
    Ok(())
}

impl Run {
    /// Seconds until an order is sold; until then another one is sent again and again.
    pub async fn first_sold(&self, sale: Uuid) -> Result<f64, String> {
        let (host, begun) = (self.stage.host()?, Instant::now());
        let mut connection = Connection::open(host).await.map_err(|e| format!("{host}: {e}"))?;
        let (mut request, mut last) = (Request::new(host, &shot::tag()), String::new());
        for n in 0.. {
            if begun.elapsed() > LIMIT {
                break;
            }
            let said = match connection.ask(request.order(&sale, n)).await {
                Ok(answered) => match response::class(answered.status, answered.body) {
                    Answer::Sold(_) => return Ok(begun.elapsed().as_secs_f64()),
                    answer => Some((answer.name(), answered.close)),
                },
                Err(_) => None,
            };
            last = said.map_or("no answer", |(name, _)| name).to_owned();
            if said.is_none_or(|(_, close)| close) {
                connection = Connection::open(host).await.map_err(|e| format!("{host}: {e}"))?;
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("nothing was sold within {} s, the last answer: {last}", LIMIT.as_secs()))
    }
}
