//! The rush: far more buyers than units, all at once. The scenario in which overselling shows.
//!
//! Each attempt is a buyer and a key of its own, so nothing but the stock can refuse it. There is
//! nothing to draw: who comes first is decided by the scheduler, and that is the experiment.

use crate::crowd::{Crowd, PlannedOrder};

/// One new buyer per attempt.
pub fn orders(crowd: &Crowd) -> Vec<PlannedOrder> {
    (0..crowd.attempts).map(|n| PlannedOrder::new(n, crowd.quantity)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_attempts_share_a_key_or_a_buyer() {
        let orders = orders(&Crowd { buyers: 10, attempts: 500, quantity: 1 });
        assert_eq!(orders.iter().map(|o| &o.key).collect::<HashSet<_>>().len(), 500);
        assert_eq!(orders.iter().map(|o| &o.buyer_id).collect::<HashSet<_>>().len(), 500);
    }
}
