//! The retry storm: clients that do not trust the network send each order 2 to 4 times under one key.
//!
//! Half of the copies stand right behind the first, so that another buyer sends them while it is
//! still under way (two carts, a double click, a proxy that retries); the others come two rounds of
//! all buyers later, when the answer is long there. Every copy is an attempt and counts as one.

use crate::crowd::{Crowd, Dice, PlannedOrder};

/// Keys with their copies, in the sequence in which they are taken.
pub fn orders(crowd: &Crowd, dice: &mut Dice) -> Vec<PlannedOrder> {
    let mut placed: Vec<(u64, PlannedOrder)> = Vec::new();
    let (mut position, mut key) = (0, 0);
    while position < crowd.attempts {
        let copies = copies(crowd.attempts - position, dice);
        for copy in 0..copies {
            let later = copy > 0 && dice.below(2) == 0;
            let delay = if later { 2 * crowd.buyers + dice.below(crowd.buyers) } else { 0 };
            placed.push((position + delay, PlannedOrder::new(key, crowd.quantity)));
        }
        position += copies;
        key += 1;
    }
    // Stable: copies of the same moment stay neighbours.
    placed.sort_by_key(|(at, _)| *at);
    placed.into_iter().map(|(_, order)| order).collect()
}

/// 2 to 4, and never so that a single attempt is left over (unless only one was asked for).
fn copies(left: u64, dice: &mut Dice) -> u64 {
    let drawn = (2 + dice.below(3)).min(left);
    match (left - drawn, drawn) {
        (1, 2) => 3,
        (1, more) => more - 1,
        (_, drawn) => drawn,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn positions() -> HashMap<String, Vec<usize>> {
        let crowd = Crowd { buyers: 20, attempts: 2001, quantity: 1 };
        let mut found: HashMap<String, Vec<usize>> = HashMap::new();
        for (n, order) in orders(&crowd, &mut Dice::new(7)).into_iter().enumerate() {
            found.entry(order.key).or_default().push(n);
        }
        found
    }

    #[test]
    fn each_key_is_sent_two_to_four_times() {
        assert!(positions().values().all(|at| (2..=4).contains(&at.len())));
    }

    #[test]
    fn some_copies_are_neighbours_and_some_come_after_the_answer() {
        let gaps: Vec<usize> = positions()
            .values()
            .flat_map(|at| at.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>())
            .collect();
        assert!(gaps.iter().filter(|gap| **gap == 1).count() > 100);
        assert!(gaps.iter().filter(|gap| **gap >= 20).count() > 100);
    }
}
