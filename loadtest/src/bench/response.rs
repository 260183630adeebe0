//! Answers of HTTP/1.1, read as far as a witness needs: status, length, body. Nothing is copied.

use std::ops::Range;

use uuid::Uuid;

use crate::answer::Answer;

/// More header than this is not an answer of ours.
const HEAD_MAX: usize = 16 * 1024;

/// What a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More is to come. The status, where it has arrived.
    Partial(Option<u16>),
    /// No answer that could be told apart from the next one.
    Broken,
    /// One whole answer.
    Whole {
        /// The status.
        status: u16,
        /// Where the body stands in the buffer.
        body: Range<usize>,
        /// Will the server close the connection?
        close: bool,
    },
}

/// Looks at what has come so far.
pub fn parse(buffer: &[u8]) -> Parsed {
    let Some(end) = head_end(buffer) else {
        return if buffer.len() > HEAD_MAX { Parsed::Broken } else { Parsed::Partial(status(buffer)) };
    };
    let Some(status) = status(buffer) else { return Parsed::Broken };
    let (mut length, mut close) = (None, false);
    for line in buffer[..end].split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        } else if name.eq_ignore_ascii_case(b"connection") {
            close = value.eq_ignore_ascii_case(b"close");
        }
    }
    // Without a length (chunked) the end would have to be searched for; no answer to an order is sent so.
    let Some(length) = length else { return Parsed::Broken };
    match buffer.len().checked_sub(end) {
        Some(there) if there == length => Parsed::Whole { status, body: end..end + length, close },
        Some(there) if there < length => Parsed::Partial(Some(status)),
        // Nobody asked a second time, so nobody should have answered.
        _ => Parsed::Broken,
    }
}

fn head_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4)
}

fn status(buffer: &[u8]) -> Option<u16> {
    let digits = buffer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What an answer means: at a glance where it has the usual shape, else as carefully as `sellout-load` does.
pub fn class(status: u16, body: &[u8]) -> Answer {
    let glance = match status {
        201 => order_id(body).map(Answer::Sold),
        409 => body.starts_with(br#"{"type":"/problems/sold-out","#).then_some(Answer::SoldOut),
        _ => None,
    };
    glance.unwrap_or_else(|| Answer::read(status, body))
}

/// The id stands first in an order.
fn order_id(body: &[u8]) -> Option<Uuid> {
    let id = body.strip_prefix(br#"{"id":""#)?;
    // A body that was cut off is no yes.
    (body.last() == Some(&b'}')).then_some(())?;
    Uuid::try_parse_ascii(id.get(..36)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLD: &str = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nlocation: /x\r\n\r\nbody";

    #[test]
    fn an_answer_is_whole_with_its_last_byte_and_not_before() {
        for cut in 0..SOLD.len() {
            let parsed = parse(&SOLD.as_bytes()[..cut]);
            assert!(matches!(parsed, Parsed::Partial(_)), "{cut}: {parsed:?}");
        }
        let whole = Parsed::Whole { status: 201, body: SOLD.len() - 4..SOLD.len(), close: false };
        assert_eq!(parse(SOLD.as_bytes()), whole);
    }

    #[test]
    fn what_cannot_be_told_apart_from_the_next_answer_is_broken() {
        assert_eq!(parse(format!("{SOLD}H").as_bytes()), Parsed::Broken);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Parsed::Broken);
        assert_eq!(parse(b"SSH-2.0\r\n\r\n"), Parsed::Broken);
        assert_eq!(parse(&[b'x'; HEAD_MAX + 1]), Parsed::Broken);
    }

    #[test]
    fn a_server_that_closes_is_believed() {
        let text = SOLD.replace("location: /x", "Connection: close");
        assert!(matches!(parse(text.as_bytes()), Parsed::Whole { close: true, .. }));
    }

    #[test]
    fn the_glance_says_what_the_careful_reading_says() {
        let id = Uuid::from_u128(7);
        let order = format!(r#"{{"id":"{id}","state":"confirmed"}}"#);
        let turned = format!(r#"{{"state":"confirmed","id":"{id}"}}"#);
        let sold_out = r#"{"type":"/problems/sold-out","title":"t","status":409,"detail":"d"}"#;
        for (status, body) in [
            (201, order.as_str()),
            (201, turned.as_str()),
            (201, &order[..order.len() - 1]),
            (201, "{}"),
            (409, sold_out),
            (409, &sold_out.replace("sold-out", "buyer-limit")),
            (503, "busy"),
        ] {
            assert_eq!(class(status, body.as_bytes()), Answer::read(status, body.as_bytes()), "{body}");
        }
        assert_eq!(class(201, order.as_bytes()), Answer::Sold(id));
    }
}
