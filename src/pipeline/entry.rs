//! An order as it is noted down in the stream. An entry of the stream has all orders of one script call.

use std::borrow::Cow;

use redis::streams::StreamId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::sale::Order;

/// An order that was taken in Redis.
pub(super) type Entry = Note<'static>;

/// The same, or what it is made from.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Note<'a> {
    pub order: Uuid,
    pub caller: Cow<'a, str>,
    pub key: Cow<'a, str>,
    #[serde(with = "hex::serde")]
    pub fingerprint: [u8; 32],
    pub buyer: Cow<'a, str>,
    pub quantity: i64,
    pub retry_safe: bool,
    pub hold_ms: Option<i64>,
}

/// Notes an order down.
pub(super) fn note(order: &Order) -> String {
    let note = Note {
        order: order.id,
        caller: Cow::Borrowed(&order.caller),
        key: Cow::Borrowed(&order.key),
        fingerprint: order.fingerprint,
        buyer: Cow::Borrowed(&order.buyer_id),
        quantity: order.quantity,
        retry_safe: order.retry_safe,
        hold_ms: order.hold_ms,
    };
    // Strings, numbers and bytes: there is nothing in it that JSON cannot say.
    serde_json::to_string(&note).unwrap_or_default()
}

/// The orders of an entry of the stream; none for one that it has forgotten, or that no script of ours wrote.
pub(super) fn all_of(mut entry: StreamId) -> Vec<Entry> {
    let Some(noted) = entry.map.remove("orders") else { return Vec::new() };
    let text = redis::from_redis_value::<String>(noted).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_else(|e| {
        tracing::error!("entry {} of a stream cannot be read: {e}", entry.id);
        Vec::new()
    })
}
