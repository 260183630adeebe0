//! Waiting until nothing moves any more. None of it is evidence: who waits too short reads a sale that is
//! still moving, and the audit says so.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::client::{Failure, Service};

const QUIET_LIMIT: Duration = Duration::from_secs(30);
const QUIET_STEP: Duration = Duration::from_millis(50);
/// A whole ledger each time, so more seldom.
const HOLDS_STEP: Duration = Duration::from_millis(200);
/// The ledger has it first; how long a counter may need for what came back.
const RETURN_LIMIT: Duration = Duration::from_secs(5);

/// Waits until no order is under way.
pub async fn quiet(service: &Service, sale: Uuid) -> Result<(), Failure> {
    let begun = Instant::now();
    while service.sale(sale).await?.live.in_flight > 0 && begun.elapsed() < QUIET_LIMIT {
        tokio::time::sleep(QUIET_STEP).await;
    }
    Ok(())
}

/// Waits until every hold has ended, and its units are for sale again or sold. By the ledger, not by our
/// clock: a sweeper that comes late is late, one that never comes leaves orders that nobody was promised.
pub async fn no_hold_is_left(service: &Service, sale: Uuid, opening: i64) -> Result<(), Failure> {
    let begun = Instant::now();
    let sold: i64 = loop {
        let ledger = service.ledger(sale).await?;
        if begun.elapsed() > QUIET_LIMIT || ledger.iter().all(|row| row.state != "held") {
            break ledger.iter().filter(|row| row.state == "confirmed").map(|row| row.quantity).sum();
        }
        tokio::time::sleep(HOLDS_STEP).await;
    };
    let begun = Instant::now();
    while begun.elapsed() < RETURN_LIMIT {
        // A store that cannot be asked cannot be waited for.
        if service.sale(sale).await?.left.is_none_or(|left| left + sold >= opening) {
            break;
        }
        tokio::time::sleep(QUIET_STEP).await;
    }
    Ok(())
}
