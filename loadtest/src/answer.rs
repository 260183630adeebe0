//! What an answer means. One attempt is one HTTP request and falls into exactly one class.
//!
//! Doubt always goes to `unknown`: an answer that does not surely say no may have sold, and a
//! witness that counts it as a failure would not notice an order that nobody remembers.

use sellout::wire::Problem;
use serde::Deserialize;
use uuid::Uuid;

/// The class of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 201 with an order id.
    Sold(Uuid),
    /// 409 `sold-out`.
    SoldOut,
    /// 503 with `executed:false`, or 409 `request-in-progress`.
    Contended,
    /// Any other refusal that says why.
    Rejected,
    /// Surely took nothing, or makes no sense.
    Error,
    /// May have happened.
    Unknown,
}

impl Answer {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Answer::Sold(_) => "sold",
            Answer::SoldOut => "sold_out",
            Answer::Contended => "contended",
            Answer::Rejected => "rejected",
            Answer::Error => "error",
            Answer::Unknown => "unknown",
        }
    }

    /// An answer that was read to its end.
    pub fn read(status: u16, body: &[u8]) -> Answer {
        match status {
            201 => serde_json::from_slice::<Id>(body).map_or(Answer::Unknown, |o| Answer::Sold(o.id)),
            // A yes in another shape: it may have sold.
            200..=299 => Answer::Unknown,
            400..=499 => serde_json::from_slice(body).map_or(Answer::Error, |p: Problem| refusal(status, &p)),
            500.. => server_error(status, body),
            _ => Answer::Error,
        }
    }

    /// An answer that broke off after its status had arrived.
    pub fn broken_off(status: u16) -> Answer {
        // A refusal stays a refusal, but which one is not known any more.
        if (300..500).contains(&status) { Answer::Error } else { Answer::Unknown }
    }
}

/// All that a yes must have.
#[derive(Deserialize)]
struct Id {
    id: Uuid,
}

fn refusal(status: u16, problem: &Problem) -> Answer {
    match (status, problem.kind.rsplit('/').next()) {
        (409, Some("sold-out")) => Answer::SoldOut,
        (409, Some("request-in-progress")) => Answer::Contended,
        _ => Answer::Rejected,
    }
}

fn server_error(status: u16, body: &[u8]) -> Answer {
    let executed = serde_json::from_slice::<Problem>(body).ok().and_then(|p| p.executed);
    match (status, executed) {
        (503, Some(false)) => Answer::Contended,
        (_, Some(false)) => Answer::Error,
        _ => Answer::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, executed: &str) -> String {
        format!(r#"{{"type":"/problems/{kind}","title":"t","status":1,"detail":"d"{executed}}}"#)
    }

    #[test]
    fn each_refusal_has_its_class() {
        for (status, kind, want) in [
            (409, "sold-out", Answer::SoldOut),
            (409, "request-in-progress", Answer::Contended),
            (409, "buyer-limit", Answer::Rejected),
            (422, "idempotency-key-reused", Answer::Rejected),
            (500, "outcome-unknown", Answer::Unknown),
            (503, "unavailable", Answer::Unknown),
        ] {
            assert_eq!(Answer::read(status, problem(kind, "").as_bytes()), want, "{kind}");
        }
    }

    #[test]
    fn only_a_503_that_says_nothing_was_taken_is_contended() {
        let no = problem("unavailable", r#","executed":false"#);
        let yes = problem("unavailable", r#","executed":true"#);
        assert_eq!(Answer::read(503, no.as_bytes()), Answer::Contended);
        assert_eq!(Answer::read(500, no.as_bytes()), Answer::Error);
        assert_eq!(Answer::read(503, yes.as_bytes()), Answer::Unknown);
        assert_eq!(Answer::read(502, b"<html>bad gateway</html>"), Answer::Unknown);
    }

    #[test]
    fn a_yes_without_an_order_id_is_no_yes() {
        let id = Uuid::from_u128(7);
        let order = format!(r#"{{"id":"{id}","state":"confirmed"}}"#);
        assert_eq!(Answer::read(201, order.as_bytes()), Answer::Sold(id));
        assert_eq!(Answer::read(201, &order.as_bytes()[..20]), Answer::Unknown);
        assert_eq!(Answer::read(202, order.as_bytes()), Answer::Unknown);
        assert_eq!(Answer::broken_off(201), Answer::Unknown);
    }

    #[test]
    fn what_makes_no_sense_and_cannot_have_sold_is_an_error() {
        assert_eq!(Answer::read(302, b""), Answer::Error);
        assert_eq!(Answer::read(404, b"<html>not here</html>"), Answer::Error);
        assert_eq!(Answer::broken_off(409), Answer::Error);
    }
}
