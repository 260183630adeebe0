//! What becomes of an order after it was placed: confirmed, released, expired, cancelled; and several sales
//! in one order. (What becomes of a sale while it sells, its stock changed or its strategy, is asked of
//! checkout itself.)
//!
//! Units come back by the sale's own strategy only ([`crate::checkout::Checkout::give_back`]), in the
//! statement that writes why. So each of them comes back exactly once, whoever asks how often.

pub mod carts;
pub mod holds;
pub mod sweeper;

/// Every statement of this room, for the test that PREPAREs them.
pub const STATEMENTS: &[(&str, &str)] =
    &[("confirm.sql", holds::CONFIRM), ("due.sql", sweeper::DUE), ("cart.sql", carts::PLACE)];
