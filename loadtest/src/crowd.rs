//! How many come, what each of them asks for, and the dice that decide it. The scenarios draw from here;
//! [`crate::plan`] puts their orders in sequence.

use std::collections::BTreeMap;

use uuid::Uuid;

/// How many come, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Buyers at once.
    pub buyers: u64,
    /// Requests in all.
    pub attempts: u64,
    /// Units per order.
    pub quantity: i64,
}

/// One order to be sent. Several may carry the same key: retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedOrder {
    /// Its idempotency key.
    pub key: String,
    /// Who asks.
    pub buyer_id: String,
    /// For how many units.
    pub quantity: i64,
    /// Only to be held at first; absent: sold at once.
    pub hold: Option<Hold>,
}

/// A hold, and what its buyer makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For how long.
    pub seconds: i64,
    /// And then.
    pub then: Then,
}

/// What a buyer does with the units that he holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// He pays.
    Confirm,
    /// He says that he does not want them.
    Release,
    /// He says nothing: they come back by themselves.
    Abandon,
}

/// One cart to be sent: several sales, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCart {
    /// Its idempotency key.
    pub key: String,
    /// Who asks.
    pub buyer_id: String,
    /// For what, in this order. The same sale may be there twice.
    pub items: Vec<Item>,
}

/// One item of a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Of which sale, counted from 0: plans are drawn before there are any.
    pub sale: usize,
    /// Units.
    pub quantity: i64,
}

/// One request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// An order of the only sale.
    Order(PlannedOrder),
    /// A cart.
    Cart(PlannedCart),
}

impl Errand {
    /// Its idempotency key.
    pub fn key_mut(&mut self) -> &mut String {
        match self {
            Errand::Order(order) => &mut order.key,
            Errand::Cart(cart) => &mut cart.key,
        }
    }

    /// Does it hold units for a time?
    pub fn holds(&self) -> bool {
        matches!(self, Errand::Order(PlannedOrder { hold: Some(_), .. }))
    }
}

impl PlannedCart {
    /// The cart as one operation.
    pub fn whole(&self) -> PlannedOrder {
        let (key, buyer_id) = (self.key.clone(), self.buyer_id.clone());
        let quantity = self.items.iter().map(|item| item.quantity).sum();
        PlannedOrder { key, buyer_id, quantity, hold: None }
    }

    /// The orders that the ledger will have of it, each with its sale: one per sale, which carries the
    /// cart's key in the first of them and the sale's id behind it in the others.
    pub fn orders(&self, sales: &[Uuid]) -> Vec<(usize, PlannedOrder)> {
        let mut units: BTreeMap<Uuid, (usize, i64)> = BTreeMap::new();
        for item in &self.items {
            units.entry(sales[item.sale]).or_insert((item.sale, 0)).1 += item.quantity;
        }
        let mut orders: Vec<(usize, PlannedOrder)> = Vec::new();
        for (id, (sale, quantity)) in units {
            let key = if orders.is_empty() { self.key.clone() } else { format!("{} {id}", self.key) };
            orders.push((sale, PlannedOrder { key, quantity, ..self.whole() }));
        }
        orders
    }
}

impl Then {
    /// What he asks of the service, if anything.
    pub fn verb(self) -> Option<&'static str> {
        match self {
            Then::Confirm => Some("confirm"),
            Then::Release => Some("release"),
            Then::Abandon => None,
        }
    }

    /// The state that he asks for.
    pub fn state(self) -> Option<&'static str> {
        match self {
            Then::Confirm => Some("confirmed"),
            Then::Release => Some("released"),
            Then::Abandon => None,
        }
    }
}

impl PlannedOrder {
    /// The `n`th operation, asked for by its own buyer.
    pub fn new(n: u64, quantity: i64) -> Self {
        PlannedOrder { key: format!("k{n}"), buyer_id: format!("buyer-{n}"), quantity, hold: None }
    }
}

/// SplitMix64: small, seeded, the same everywhere. A plan needs no better.
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `n`; 0 for `n` = 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_sale_twice_in_a_cart_is_one_order_and_keys_follow_the_ids() {
        // The plan's first sale has the highest id.
        let sales = [3, 1, 2].map(Uuid::from_u128);
        let items = [0, 1, 0].map(|sale| Item { sale, quantity: 2 });
        let cart = PlannedCart { key: "k".into(), buyer_id: "b".into(), items: items.into() };
        let orders: Vec<_> =
            cart.orders(&sales).into_iter().map(|(sale, o)| (sale, o.key, o.quantity)).collect();
        assert_eq!(orders, [(1, "k".to_owned(), 2), (0, format!("k {}", sales[0]), 4)]);
        assert_eq!(cart.whole().quantity, 6);
    }
}
