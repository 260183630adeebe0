//! The keys of a sale in Redis, and what stands in them as text.

use uuid::Uuid;

use crate::sale::Error;

/// Those of one epoch. All share a hash tag, so that a cluster keeps them on one node; only the head is the
/// same for every epoch, so that what one epoch fills can never mix with another's.
pub(super) struct Keys {
    /// Hash: epoch, left, applied, closing.
    pub head: String,
    /// Hash: caller:key → fingerprint and order id.
    pub keys: String,
    /// Hash: buyer → units.
    pub buyers: String,
    /// Stream: what was taken and is not recorded.
    pub orders: String,
}

impl Keys {
    pub(super) fn of(sale: Uuid, epoch: i64) -> Keys {
        let named = |what: &str| format!("sellout:{{{sale}}}:{epoch}:{what}");
        Keys {
            head: format!("sellout:{{{sale}}}:head"),
            keys: named("keys"),
            buyers: named("buyers"),
            orders: named("orders"),
        }
    }
}

/// Bytes as text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Text as bytes; `None` where it is none.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(digit).collect()
}

/// An order id that a script answered.
pub(super) fn parse_id(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|e| Error::Unknown(format!("Redis answered {text}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_hex_is_read_again() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("zz"), None);
    }
}
