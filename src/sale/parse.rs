//! From what a client sends to valid data, or to the field that is not.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::sale::{
    BUYER_CHARS_MAX, CART_ITEMS_MAX, Cart, HOLD_SECONDS_MAX, Hours, Invalid, KEY_BYTES_MAX, NAME_CHARS_MAX,
    Order, QUANTITY_MAX, Sale, UNITS_MAX, WINDOW_MS_MAX,
};
use crate::trace::Track;
use crate::wire::{NewCart, NewOrder, NewSale, OrderView};

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
        if new.race_window_ms.is_some_and(|ms| ms > WINDOW_MS_MAX) {
            return invalid("race_window_ms", format!("must be 0 to {WINDOW_MS_MAX}"));
        }
        Ok(Sale {
            id: Uuid::now_v7(),
            name: new.name,
            units: new.units,
            strategy: new.strategy,
            per_buyer_limit: new.per_buyer_limit,
            opened_at: String::new(),
            epoch: 1,
            hours: hours(new.opens_at, new.closes_at)?,
            race_window: new.race_window_ms.filter(|ms| *ms > 0).map(Duration::from_millis),
        })
    }
}

impl Cart {
    /// Parses what a buyer sends, given the epochs of the sales that it names. The same sale twice is one
    /// item.
    pub fn parse(caller: &str, new: &NewCart, sales: &[Sale], key: Option<&str>) -> Result<Cart, Invalid> {
        let mut items: BTreeMap<Uuid, i64> = BTreeMap::new();
        for item in &new.items {
            within("quantity", item.quantity, QUANTITY_MAX)?;
            *items.entry(item.sale_id).or_default() += item.quantity;
        }
        if items.is_empty() || new.items.len() > CART_ITEMS_MAX {
            return invalid("items", format!("must be 1 to {CART_ITEMS_MAX}"));
        }
        let id = Uuid::now_v7();
        let mut orders = Vec::with_capacity(items.len());
        let mut hash = Sha256::new();
        for (sale_id, quantity) in items {
            let Some(sale) = sales.iter().find(|sale| sale.id == sale_id) else {
                return invalid("sale_id", format!("there is no sale {sale_id}"));
            };
            let one = NewOrder { buyer_id: new.buyer_id.clone(), quantity, hold_seconds: new.hold_seconds };
            let order = Order::parse(sale, caller, one, key)?;
            hash.update(order.fingerprint);
            orders.push(order);
        }
        let whole: [u8; 32] = hash.finalize().into();
        let first_key = orders[0].key.clone();
        for order in &mut orders {
            (order.fingerprint, order.key) = (whole, first_key.clone());
        }
        Ok(Cart { id, orders })
    }
}

impl Order {
    /// Parses what a buyer sends. Without a key one is minted, and the order is not safe to retry.
    pub fn parse(sale: &Sale, caller: &str, new: NewOrder, key: Option<&str>) -> Result<Order, Invalid> {
        text("buyer_id", &new.buyer_id, BUYER_CHARS_MAX)?;
        within("quantity", new.quantity, QUANTITY_MAX)?;
        if let Some(seconds) = new.hold_seconds {
            within("hold_seconds", seconds, HOLD_SECONDS_MAX)?;
        }
        let id = Uuid::now_v7();
        let key_text = match key {
            Some(raw) => parse_key(raw)?,
            None => format!("minted-{id}"),
        };
        let mut hash = Sha256::new();
        hash.update(sale.id.as_bytes());
        hash.update(new.quantity.to_be_bytes());
        hash.update(new.buyer_id.as_bytes());
        if let Some(seconds) = new.hold_seconds {
            // After a NUL, which no buyer's name has: two bodies never run into one another.
            hash.update([0]);
            hash.update(seconds.to_be_bytes());
        }
        Ok(Order {
            id,
            sale_id: sale.id,
            caller: caller.to_owned(),
            key: key_text,
            retry_safe: key.is_some(),
            buyer_id: new.buyer_id,
            quantity: new.quantity,
            hold_ms: new.hold_seconds.map(|seconds| seconds * 1000),
            epoch: sale.epoch,
            fingerprint: hash.finalize().into(),
            trace: Track::default(),
        })
    }

    /// The units of a hold that ran out, bought anew and at once. The key cannot be a client's (it has a
    /// space), and is the same each time: paid once is bought once.
    pub fn again(sale: &Sale, caller: &str, hold: &OrderView) -> Order {
        let id = Uuid::now_v7();
        let key = format!("rehold {}", hold.id);
        let fingerprint = Sha256::digest(&key).into();
        Order {
            id,
            sale_id: sale.id,
            caller: caller.to_owned(),
            key,
            retry_safe: true,
            buyer_id: hold.buyer_id.clone(),
            quantity: hold.quantity,
            hold_ms: None,
            epoch: sale.epoch,
            fingerprint,
            trace: Track::default(),
        }
    }
}

fn hours(opens_at: Option<String>, closes_at: Option<String>) -> Result<Hours, Invalid> {
    let parse = |field: &'static str, text: &Option<String>| match text
        .as_deref()
        .map(DateTime::parse_from_rfc3339)
    {
        None => Ok(None),
        Some(Ok(time)) => Ok(Some(time)),
        Some(Err(_)) => invalid(field, "must be a time like 2026-11-27T09:00:00Z"),
    };
    if let (Some(opens), Some(closes)) = (parse("opens_at", &opens_at)?, parse("closes_at", &closes_at)?)
        && opens >= closes
    {
        return invalid("closes_at", "must be after opens_at");
    }
    Ok(Hours { opens_at, closes_at, ..Hours::always() })
}

/// A client's key for something else than an order.
pub fn key_of(raw: Option<&str>) -> Result<String, Invalid> {
    raw.map_or_else(|| invalid("Idempotency-Key", "must be sent: one key is one change"), parse_key)
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
    use crate::sale::ANONYMOUS;

    fn order(key: Option<&str>, buyer: &str, quantity: i64) -> Result<Order, Invalid> {
        let new = NewOrder { buyer_id: buyer.into(), quantity, hold_seconds: None };
        parse(new, key)
    }

    fn parse(new: NewOrder, key: Option<&str>) -> Result<Order, Invalid> {
        let sale = NewSale { name: "s".into(), units: 1, strategy: "s".into(), ..NewSale::default() };
        let sale = Sale { id: Uuid::nil(), ..Sale::parse(sale).unwrap() };
        Order::parse(&sale, ANONYMOUS, new, key)
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
        let held = NewOrder { buyer_id: "b".into(), quantity: 1, hold_seconds: Some(60) };
        let held = parse(held, Some("k")).unwrap();
        assert_ne!(a.fingerprint, held.fingerprint);
        assert_eq!(held.hold_ms, Some(60_000));
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
