//! One buyer, many clicks: the same person under a new key each time, from many devices at once.
//! Idempotency keys do not help here; only the per-buyer limit does, and it must hold under a race.

use crate::crowd::{Crowd, PlannedOrder};

/// Most units for the buyer when none was asked for.
const LIMIT: i64 = 5;

/// One buyer, one key per click.
pub fn orders(crowd: &Crowd) -> Vec<PlannedOrder> {
    let click = |n| PlannedOrder { buyer_id: "the-one-buyer".into(), ..PlannedOrder::new(n, crowd.quantity) };
    (0..crowd.attempts).map(click).collect()
}

/// Without a limit there would be nothing to test.
pub fn limit(asked: Option<i64>) -> i64 {
    asked.unwrap_or(LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_buyer_and_always_a_limit() {
        let orders = orders(&Crowd { buyers: 10, attempts: 50, quantity: 1 });
        assert!(orders.iter().all(|o| o.buyer_id == orders[0].buyer_id));
        assert_eq!((limit(None), limit(Some(2))), (5, 2));
    }
}
