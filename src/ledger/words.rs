//! The words in which the functions of migrations/ answer for an order, and what each means to its buyer.

use uuid::Uuid;

use crate::sale::{Error, Outcome};

/// The word for an order that the ledger has, now or before.
pub const RECORDED: &str = "recorded";
/// The word for an order of an epoch that is over.
pub const STALE: &str = "stale";

/// What a word of the ledger means to the buyer.
pub fn outcome(word: &str, order: Uuid) -> Result<Outcome, Error> {
    match word {
        RECORDED => Ok(Outcome::Sold(order)),
        "short" => Ok(Outcome::SoldOut),
        "limit" => Err(Error::BuyerLimit),
        "key_used" => Err(Error::KeyUsed),
        "early" => Err(Error::NotOpen),
        "ended" => Err(Error::Ended),
        STALE => Err(Error::Stale),
        other => Err(Error::Unavailable(format!("the order was refused: {other}"))),
    }
}
