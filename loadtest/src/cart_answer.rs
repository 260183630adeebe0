//! What the answer to a cart means, for the cart and for each of its sales.

use sellout::wire::Problem;
use serde::Deserialize;
use uuid::Uuid;

use crate::answer::Answer;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CartAnswer {
    /// 201, with the cart's id and its orders: sale and order id.
    Sold(Uuid, Vec<(Uuid, Uuid)>),
    /// 409 `sold-out`: of these sales too few units are left.
    Short(Vec<Uuid>),
    /// The same for every sale of it.
    Other(Answer),
}

impl CartAnswer {
    /// An answer that was read to its end.
    pub fn read(status: u16, body: &[u8]) -> CartAnswer {
        match Answer::read(status, body) {
            Answer::Sold(_) => serde_json::from_slice::<Cart>(body)
                .map(|c| CartAnswer::Sold(c.id, c.orders.iter().map(|o| (o.sale_id, o.id)).collect()))
                .unwrap_or(CartAnswer::Other(Answer::Unknown)),
            Answer::SoldOut => {
                CartAnswer::Short(serde_json::from_slice(body).map(|p: Problem| p.short).unwrap_or_default())
            }
            other => CartAnswer::Other(other),
        }
    }

    /// What the buyer heard.
    pub fn whole(&self) -> Answer {
        match self {
            CartAnswer::Sold(id, _) => Answer::Sold(*id),
            CartAnswer::Short(_) => Answer::SoldOut,
            CartAnswer::Other(answer) => *answer,
        }
    }

    /// What he heard of one of the sales that he wanted.
    pub fn of(&self, sale: Uuid) -> Answer {
        match self {
            // All or nothing: who was told yes was told it of every item. One that has no order in the
            // answer is an order that nobody has, and no ledger will know it by this id.
            CartAnswer::Sold(_, orders) => {
                let order = orders.iter().find(|(of, _)| *of == sale);
                Answer::Sold(order.map_or(Uuid::nil(), |(_, id)| *id))
            }
            CartAnswer::Short(short) if short.contains(&sale) => Answer::SoldOut,
            // Another sale was short: of this one nothing is known.
            CartAnswer::Short(_) => Answer::Rejected,
            CartAnswer::Other(answer) => *answer,
        }
    }
}

/// All that a yes must have.
#[derive(Deserialize)]
struct Cart {
    id: Uuid,
    orders: Vec<Order>,
}

#[derive(Deserialize)]
struct Order {
    id: Uuid,
    sale_id: Uuid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn a_cart_that_was_sold_is_a_yes_for_each_of_its_sales() {
        let order = format!(r#"{{"id":"{}","sale_id":"{}"}}"#, id(10), id(1));
        let answer = CartAnswer::read(201, format!(r#"{{"id":"{}","orders":[{order}]}}"#, id(7)).as_bytes());
        assert_eq!((answer.whole(), answer.of(id(1))), (Answer::Sold(id(7)), Answer::Sold(id(10))));
        assert_eq!(answer.of(id(2)), Answer::Sold(Uuid::nil()), "a forgotten item was told yes all the same");
    }

    #[test]
    fn only_the_sales_that_are_named_short_are_sold_out() {
        let body = format!(
            r#"{{"type":"/problems/sold-out","title":"t","status":409,"detail":"d","short":["{}"]}}"#,
            id(2)
        );
        let answer = CartAnswer::read(409, body.as_bytes());
        assert_eq!(answer.whole(), Answer::SoldOut);
        assert_eq!((answer.of(id(1)), answer.of(id(2))), (Answer::Rejected, Answer::SoldOut));
    }

    #[test]
    fn doubt_is_doubt_for_every_sale() {
        assert_eq!(CartAnswer::read(500, b"").of(id(1)), Answer::Unknown);
        let single = format!(r#"{{"id":"{}"}}"#, id(7));
        assert_eq!(CartAnswer::read(201, single.as_bytes()).whole(), Answer::Unknown);
    }
}
