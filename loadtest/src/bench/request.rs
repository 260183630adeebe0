//! An order as bytes: written out once per connection, and then only sale, key and buyer are changed in it.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;

use uuid::Uuid;

/// Digits of an order's number, with leading zeros: so that every request is equally long.
const DIGITS: usize = 10;

/// A request that is sent again and again.
pub struct Request {
    bytes: Vec<u8>,
    sale: Range<usize>,
    key: Range<usize>,
    buyer: Range<usize>,
}

impl Request {
    /// An order for one unit. `tag` begins every key and buyer of a run and makes them its own.
    pub fn new(host: SocketAddr, tag: &str) -> Request {
        let number = "0".repeat(DIGITS);
        let sale = Uuid::nil();
        let body = format!(r#"{{"buyer_id":"b-{tag}-{number}","quantity":1}}"#);
        let text = format!(
            "POST /v1/sales/{sale}/orders HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             idempotency-key: k-{tag}-{number}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let after = |mark: &str| text.find(mark).map_or(0, |at| at + mark.len());
        let (sale, key, buyer) =
            (after("/v1/sales/"), after(&format!("k-{tag}-")), after(&format!("b-{tag}-")));
        Request {
            sale: sale..sale + 36,
            key: key..key + DIGITS,
            buyer: buyer..buyer + DIGITS,
            bytes: text.into_bytes(),
        }
    }

    /// The bytes of order number `n` for that sale.
    pub fn order(&mut self, sale: &Uuid, n: u64) -> &[u8] {
        sale.hyphenated().encode_lower(&mut self.bytes[self.sale.clone()]);
        let mut digits = [b'0'; DIGITS];
        let written = write!(&mut digits[..], "{n:010}");
        debug_assert!(written.is_ok(), "a run has fewer orders than ten digits can count");
        self.bytes[self.key.clone()].copy_from_slice(&digits);
        self.bytes[self.buyer.clone()].copy_from_slice(&digits);
        &self.bytes
    }
}

/// The key that order number `n` of a run was sent with.
pub fn key(tag: &str, n: u64) -> String {
    format!("k-{tag}-{n:010}")
}

/// Its buyer.
pub fn buyer(tag: &str, n: u64) -> String {
    format!("b-{tag}-{n:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_the_witness_writes_down() {
        let host = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut request = Request::new(host, "t");
        for n in [0, 7, 9_999_999_999] {
            let sale = Uuid::from_u128(n.into());
            let text = String::from_utf8_lossy(request.order(&sale, n)).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("POST /v1/sales/{sale}/orders HTTP/1.1\r\n")), "{head}");
            assert!(head.contains(&format!("\r\nidempotency-key: {}\r\n", key("t", n))), "{head}");
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
            assert_eq!(body, format!(r#"{{"buyer_id":"{}","quantity":1}}"#, buyer("t", n)));
        }
    }
}
