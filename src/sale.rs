//! The nouns: sale, order, outcome. Parsed once, at the door; everything behind it has valid data.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::wire::{NewOrder, NewSale};

/// Most units of a sale.
pub const UNITS_MAX: i64 = 1_000_000_000;
/// Most units of one order.
pub const QUANTITY_MAX: i64 = 1_000_000;
/// Longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;
/// Longest name of a buyer, in characters.
pub const BUYER_CHARS_MAX: usize = 128;
/// Longest name of a sale, in characters.
pub const NAME_CHARS_MAX: usize = 200;

/// Who calls, until tokens tell callers apart. Keys are scoped to the caller.
pub const ANONYMOUS: &str = "anonymous";

/// What is offered. Written once, when it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Identity.
    pub id: Uuid,
    /// What is offered.
    pub name: String,
    /// Units at opening.
    pub units: i64,
    /// How stock is taken.
    pub strategy: String,
    /// Most units per buyer.
    pub per_buyer_limit: Option<i64>,
    /// When it opened, RFC 3339; empty until the ledger has it.
    pub opened_at: String,
}

/// One buyer's purchase under one idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The id that it gets if it is sold; a retry gets the first one's.
    pub id: Uuid,
    /// The sale.
    pub sale_id: Uuid,
    /// Whose key it is.
    pub caller: String,
    /// The idempotency key: one key, one operation.
    pub key: String,
    /// Was the key the client's own? A minted one cannot be sent again.
    pub retry_safe: bool,
    /// Who buys.
    pub buyer_id: String,
    /// Units, all or nothing.
    pub quantity: i64,
    /// SHA-256 of what is asked for: the same key with another body is refused.
    pub fingerprint: [u8; 32],
}

/// How an order ended. Sold out is an answer, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the ledger, durable, under this order id.
    Sold(Uuid),
    /// Not enough units left; nothing was taken.
    SoldOut,
}

/// Why there is no outcome, by what the buyer should do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many at once; nothing was taken. Try again.
    #[error("contended: {0}")]
    Contended(String),
    /// A server is missing or slow; nothing was taken. Try again later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It may or may not have happened. Try again with the same key, and learn which.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The key has an order already: answer what was answered then.
    #[error("idempotency key already used")]
    KeyUsed,
    /// The buyer may not have that many.
    #[error("buyer limit reached")]
    BuyerLimit,
    /// Same key, other body.
    #[error("idempotency key reused with another body")]
    KeyReused,
    /// The same key is being worked on.
    #[error("the same order is under way")]
    InProgress,
}

/// A field that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The JSON field or header.
    pub field: &'static str,
    /// What it must be.
    pub why: String,
}

fn invalid<T>(field: &'static str, why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { field, why: why.into() })
}

impl Sale {
    /// Parses what an operator sends; the strategy's name is checked by whoever knows the strategies.
    pub fn parse(new: NewSale) -> Result<Sale, Invalid> {
        text("name", &new.name, NAME_CHARS_MAX)?;
        within("units", new.units, UNITS_MAX)?;
        if let Some(limit) = new.per_buyer_limit {
            within("per_buyer_limit", limit, UNITS_MAX)?;
        }
        Ok(Sale {
            id: Uuid::now_v7(),
            name: new.name,
            units: new.units,
            strategy: new.strategy,
            per_buyer_limit: new.per_buyer_limit,
            opened_at: String::new(),
        })
    }
}

impl Order {
    /// Parses what a buyer sends. Without a key one is minted, and the order is not safe to retry.
    pub fn parse(sale_id: Uuid, new: NewOrder, key: Option<&str>) -> Result<Order, Invalid> {
        text("buyer_id", &new.buyer_id, BUYER_CHARS_MAX)?;
        within("quantity", new.quantity, QUANTITY_MAX)?;
        let id = Uuid::now_v7();
        let key_text = match key {
            Some(raw) => parse_key(raw)?,
            None => format!("minted-{id}"),
        };
        let mut hash = Sha256::new();
        hash.update(sale_id.as_bytes());
        hash.update(new.quantity.to_be_bytes());
        hash.update(new.buyer_id.as_bytes());
        Ok(Order {
            id,
            sale_id,
            caller: ANONYMOUS.to_owned(),
            key: key_text,
            retry_safe: key.is_some(),
            buyer_id: new.buyer_id,
            quantity: new.quantity,
            fingerprint: hash.finalize().into(),
        })
    }
}

/// The draft standard writes the key as a quoted string; most clients send it bare. Both are taken.
fn parse_key(raw: &str) -> Result<String, Invalid> {
    let raw = raw.trim();
    let bare = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')).unwrap_or(raw);
    let printable = bare.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\');
    if bare.is_empty() || bare.len() > KEY_BYTES_MAX || !printable {
        let why = format!("must be 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return invalid("Idempotency-Key", why);
    }
    Ok(bare.to_owned())
}

fn text(field: &'static str, value: &str, chars_max: usize) -> Result<(), Invalid> {
    let count = value.chars().count();
    // NUL would be a 500 from PostgreSQL; other control characters only confuse a reader.
    if count == 0 || count > chars_max || value.chars().any(char::is_control) {
        return invalid(field, format!("must be 1 to {chars_max} characters, no control characters"));
    }
    Ok(())
}

fn within(field: &'static str, value: i64, max: i64) -> Result<(), Invalid> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    invalid(field, format!("must be a whole number from 1 to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(key: Option<&str>, buyer: &str, quantity: i64) -> Result<Order, Invalid> {
        let new = NewOrder { buyer_id: buyer.into(), quantity };
        Order::parse(Uuid::nil(), new, key)
    }

    #[test]
    fn a_key_is_the_same_quoted_or_bare() {
        assert_eq!(order(Some("\"k-1\""), "b", 1).unwrap().key, "k-1");
        assert_eq!(order(Some("k-1"), "b", 1).unwrap().key, "k-1");
    }

    #[test]
    fn a_minted_key_says_that_a_retry_is_not_safe() {
        assert!(!order(None, "b", 1).unwrap().retry_safe);
        assert!(order(Some("k"), "b", 1).unwrap().retry_safe);
    }

    #[test]
    fn the_fingerprint_tells_bodies_apart_and_retries_together() {
        let a = order(Some("k"), "b", 1).unwrap();
        assert_eq!(a.fingerprint, order(Some("k"), "b", 1).unwrap().fingerprint);
        assert_ne!(a.fingerprint, order(Some("k"), "b", 2).unwrap().fingerprint);
        assert_ne!(a.fingerprint, order(Some("k"), "c", 1).unwrap().fingerprint);
    }

    #[test]
    fn what_cannot_be_bought_is_named() {
        for (buyer, quantity, field) in
            [("", 1, "buyer_id"), ("a\0b", 1, "buyer_id"), ("b", 0, "quantity"), ("b", -1, "quantity")]
        {
            assert_eq!(order(None, buyer, quantity).unwrap_err().field, field);
        }
        assert_eq!(order(Some("a b"), "b", 1).unwrap_err().field, "Idempotency-Key");
    }
}
