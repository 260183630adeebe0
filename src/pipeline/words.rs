//! The words of the ledger for an order that was taken in Redis, and what each means to its buyer.

use uuid::Uuid;

use crate::sale::{Error, Outcome};

/// The word for an order of an epoch that is over.
pub(super) const STALE: &str = "stale";

/// What a word of the ledger means to the buyer.
pub(super) fn outcome(word: &str, order: Uuid) -> Result<Outcome, Error> {
    match word {
        "recorded" => Ok(Outcome::Sold(order)),
        "short" => Ok(Outcome::SoldOut),
        "limit" => Err(Error::BuyerLimit),
        "key_used" => Err(Error::KeyUsed),
        "early" => Err(Error::NotOpen),
        "ended" => Err(Error::Ended),
        STALE => Err(Error::Stale),
        other => Err(Error::Unavailable(format!("the order was refused: {other}"))),
    }
}
