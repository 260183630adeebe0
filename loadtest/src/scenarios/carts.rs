//! Carts: several sales at once, all or nothing. The same crowd wants (A, B) and (B, A), neighbours on
//! purpose, so that whoever locks in the order of the request stands in a deadlock sooner or later; and a
//! cart that took A and then found B sold out has to leave A as it was, for the next one who wants it.

use crate::crowd::{Crowd, Dice, Item, PlannedCart};

/// Sales that are open side by side, each with the whole stock.
pub const SALES: usize = 4;
/// Most items of a cart. The same sale may be among them more than once.
const ITEMS_MAX: u64 = 3;
/// A cart has two items on average, so each sale is wanted by half of them: three times over.
const ATTEMPTS_TIMES: u64 = 6;

/// One cart and one new buyer per attempt; every third or so is the last one turned round.
pub fn carts(crowd: &Crowd, dice: &mut Dice) -> Vec<PlannedCart> {
    let mut last: Vec<Item> = Vec::new();
    let cart = |n| {
        if last.len() > 1 && dice.below(3) == 0 {
            last.reverse();
        } else {
            last = (0..=dice.below(ITEMS_MAX)).map(|_| item(crowd, dice)).collect();
        }
        PlannedCart { key: format!("k{n}"), buyer_id: format!("buyer-{n}"), items: last.clone() }
    };
    (0..crowd.attempts).map(cart).collect()
}

fn item(crowd: &Crowd, dice: &mut Dice) -> Item {
    let sale = usize::try_from(dice.below(SALES as u64)).unwrap_or(0);
    Item { sale, quantity: crowd.quantity }
}

/// Why this crowd would not fight for every one of the sales.
pub fn too_few(stock: i64, crowd: &Crowd) -> Option<String> {
    let orders = stock.unsigned_abs().div_ceil(crowd.quantity.unsigned_abs().max(1));
    let needed = ATTEMPTS_TIMES * orders;
    (crowd.attempts < needed)
        .then(|| format!("carts opens {SALES} sales of that stock: it needs {needed} attempts."))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const CROWD: Crowd = Crowd { buyers: 10, attempts: 600, quantity: 2 };

    fn drawn() -> Vec<Vec<usize>> {
        let carts = carts(&CROWD, &mut Dice::new(7)).into_iter();
        carts.map(|cart| cart.items.iter().map(|item| item.sale).collect()).collect()
    }

    #[test]
    fn carts_cross_each_other_right_behind_one_another() {
        let turned = |pair: &[Vec<usize>]| {
            let back: Vec<usize> = pair[1].iter().rev().copied().collect();
            pair[0] == back && pair[0] != pair[1]
        };
        assert!(drawn().windows(2).filter(|pair| turned(pair)).count() > 50);
    }

    #[test]
    fn a_cart_has_one_to_three_items_and_sometimes_a_sale_twice() {
        let drawn = drawn();
        let lengths: HashSet<usize> = drawn.iter().map(Vec::len).collect();
        assert_eq!(lengths, HashSet::from([1, 2, 3]));
        let twice = |cart: &&Vec<usize>| cart.iter().collect::<HashSet<_>>().len() < cart.len();
        assert!(drawn.iter().filter(twice).count() > 50);
    }

    #[test]
    fn every_sale_is_wanted_at_least_twice_over() {
        assert_eq!(too_few(200, &CROWD), None);
        assert!(too_few(202, &CROWD).is_some_and(|why| why.contains("606")));
        for seed in 0..50 {
            let mut wanted = [0; SALES];
            let carts = carts(&CROWD, &mut Dice::new(seed));
            carts.iter().flat_map(|cart| &cart.items).for_each(|item| wanted[item.sale] += item.quantity);
            assert!(wanted.iter().all(|units| *units >= 400), "seed {seed}: {wanted:?}");
        }
    }
}
