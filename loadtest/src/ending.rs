//! How a hold was ended: what the answer to a confirmation or a release means.
//!
//! As with orders, doubt goes to `unknown`: a payment whose answer was lost may have been taken.

use sellout::wire::Problem;
use serde::Deserialize;
use uuid::Uuid;

use crate::crowd::Then;

/// The class of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is confirmed, or released: as was asked for.
    Done,
    /// The hold had run out before. Its units are not his, and nothing of it is wrong.
    TooLate,
    /// Nothing was done; he may ask again.
    Contended,
    /// Surely nothing was done, and it should have been.
    Error,
    /// May have happened.
    Unknown,
}

impl Ended {
    /// Its name in the history.
    pub fn name(self) -> &'static str {
        match self {
            Ended::Done => "done",
            Ended::TooLate => "too_late",
            Ended::Contended => "contended",
            Ended::Error => "error",
            Ended::Unknown => "unknown",
        }
    }

    /// An answer that was read to its end.
    pub fn read(asked: Then, id: Uuid, status: u16, body: &[u8]) -> Ended {
        match status {
            200 => match serde_json::from_slice::<Order>(body) {
                Ok(order) if order.id == id && asked.state() == Some(&*order.state) => Ended::Done,
                _ => Ended::Unknown,
            },
            201..=299 => Ended::Unknown,
            400..=499 => serde_json::from_slice(body).map_or(Ended::Error, |p: Problem| refusal(asked, &p)),
            500.. => match serde_json::from_slice::<Problem>(body).ok().and_then(|p| p.executed) {
                Some(false) if status == 503 => Ended::Contended,
                Some(false) => Ended::Error,
                _ => Ended::Unknown,
            },
            _ => Ended::Error,
        }
    }

    /// An answer that broke off after its status had arrived.
    pub fn broken_off(status: u16) -> Ended {
        if (300..500).contains(&status) { Ended::Error } else { Ended::Unknown }
    }

    /// No answer at all.
    pub fn none(failure: &reqwest::Error) -> Ended {
        // Nothing left this machine.
        if failure.is_connect() || failure.is_builder() { Ended::Error } else { Ended::Unknown }
    }
}

/// All that a yes must have.
#[derive(Deserialize)]
struct Order {
    id: Uuid,
    state: String,
}

fn refusal(asked: Then, problem: &Problem) -> Ended {
    match (asked, problem.kind.rsplit('/').next()) {
        (Then::Confirm, Some("hold-expired")) => Ended::TooLate,
        // Nobody but he could end it, so what he cannot release any more has run out.
        (Then::Release, Some("order-state")) => Ended::TooLate,
        (_, Some("request-in-progress" | "rate-limited")) => Ended::Contended,
        _ => Ended::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, asked: Then, kind: &str, more: &str) -> Ended {
        let body = format!(r#"{{"type":"/problems/{kind}","title":"t","status":1,"detail":"d"{more}}}"#);
        Ended::read(asked, Uuid::nil(), status, body.as_bytes())
    }

    #[test]
    fn a_confirmation_of_another_order_or_into_another_state_is_no_yes() {
        let said = |state: &str, id: u128| {
            let body = format!(r#"{{"id":"{}","state":"{state}"}}"#, Uuid::from_u128(id));
            Ended::read(Then::Confirm, Uuid::from_u128(7), 200, body.as_bytes())
        };
        assert_eq!(said("confirmed", 7), Ended::Done);
        assert_eq!(said("confirmed", 8), Ended::Unknown);
        assert_eq!(said("held", 7), Ended::Unknown);
    }

    #[test]
    fn a_hold_that_ran_out_is_too_late_and_not_wrong() {
        assert_eq!(problem(409, Then::Confirm, "hold-expired", ""), Ended::TooLate);
        assert_eq!(problem(409, Then::Release, "order-state", ""), Ended::TooLate);
        assert_eq!(problem(409, Then::Confirm, "order-state", ""), Ended::Error);
        assert_eq!(problem(404, Then::Confirm, "not-found", ""), Ended::Error);
    }

    #[test]
    fn only_a_503_that_says_so_did_nothing() {
        let no = r#","executed":false"#;
        assert_eq!(problem(503, Then::Release, "contended", no), Ended::Contended);
        assert_eq!(problem(503, Then::Release, "contended", ""), Ended::Unknown);
        assert_eq!(problem(500, Then::Confirm, "outcome-unknown", ""), Ended::Unknown);
        assert_eq!(Ended::broken_off(200), Ended::Unknown);
    }
}
