//! An order as it stands in the stream: alone, its parts as fields of the entry, or with others of its batch.

use redis::streams::StreamId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{from_hex, hex, parse_id};
use crate::sale::Order;

/// An order that was taken in Redis.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Entry {
    pub order: Uuid,
    pub caller: String,
    pub key: String,
    #[serde(with = "text")]
    pub fingerprint: Vec<u8>,
    pub buyer: String,
    pub quantity: i64,
    pub retry_safe: bool,
    pub hold_ms: Option<i64>,
}

impl Entry {
    /// How a batch notes an order down.
    pub(super) fn note(order: &Order) -> String {
        let entry = Entry {
            order: order.id,
            caller: order.caller.clone(),
            key: order.key.clone(),
            fingerprint: order.fingerprint.to_vec(),
            buyer: order.buyer_id.clone(),
            quantity: order.quantity,
            retry_safe: order.retry_safe,
            hold_ms: order.hold_ms,
        };
        serde_json::to_string(&entry).unwrap_or_default()
    }

    /// The orders of an entry of the stream; none for one that it has forgotten, or that no script of ours
    /// wrote.
    pub(super) fn all_of(mut entry: StreamId) -> Vec<Entry> {
        match entry.map.remove("orders") {
            None => Entry::alone(entry).into_iter().collect(),
            Some(batch) => {
                let text = redis::from_redis_value::<String>(batch).unwrap_or_default();
                serde_json::from_str(&text).unwrap_or_default()
            }
        }
    }

    fn alone(mut entry: StreamId) -> Option<Entry> {
        let mut text = |name: &str| redis::from_redis_value::<String>(entry.map.remove(name)?).ok();
        Some(Entry {
            order: parse_id(&text("order")?).ok()?,
            caller: text("caller")?,
            key: text("key")?,
            fingerprint: from_hex(&text("fingerprint")?)?,
            buyer: text("buyer")?,
            quantity: text("quantity")?.parse().ok()?,
            retry_safe: text("retry_safe")? == "1",
            hold_ms: text("hold_ms")?.parse().ok(),
        })
    }
}

/// Bytes as hex in JSON.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::hex(bytes))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        super::from_hex(&text).ok_or_else(|| D::Error::custom("no hex"))
    }
}
