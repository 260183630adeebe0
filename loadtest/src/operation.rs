//! One key and all that its attempts heard, with the end of its hold if it had one.
//!
//! Of a held order nobody was told that he has it: only the confirmation is a yes. A hold that was released,
//! or that its buyer left to run out, is a no as good as any; one whose end is not known is a doubt.

use sellout::wire::ToldYes;
use uuid::Uuid;

use crate::answer::Answer;
use crate::crowd::{PlannedOrder, Then};
use crate::ending::Ended;

/// One key.
pub struct Operation {
    /// Who asks.
    pub buyer_id: String,
    /// For how many units.
    pub quantity: i64,
    /// Orders under this key.
    pub sent: u64,
    /// Those of them that were answered.
    pub answered: u64,
    order_ids: Vec<Uuid>,
    doubt: bool,
    hold: Option<Then>,
    ends_sent: u64,
    ends_answered: u64,
    confirmed: bool,
    end_failed: bool,
}

impl Operation {
    /// Nothing sent yet.
    pub fn new(order: &PlannedOrder) -> Self {
        Operation {
            buyer_id: order.buyer_id.clone(),
            quantity: order.quantity,
            sent: 0,
            answered: 0,
            order_ids: Vec::new(),
            doubt: false,
            hold: order.hold.map(|hold| hold.then),
            ends_sent: 0,
            ends_answered: 0,
            confirmed: false,
            end_failed: false,
        }
    }

    /// An order under this key was answered. Is it a yes now, and was none before?
    pub fn heard(&mut self, answer: Answer) -> bool {
        let before = self.is_yes();
        self.answered += 1;
        self.doubt |= answer == Answer::Unknown;
        if let Answer::Sold(id) = answer
            && !self.order_ids.contains(&id)
        {
            self.order_ids.push(id);
        }
        self.is_yes() && !before
    }

    /// Its hold is about to be ended.
    pub fn ending(&mut self) {
        self.ends_sent += 1;
    }

    /// So it was ended. Is it a yes now, and was none before?
    pub fn ended(&mut self, ended: Ended) -> bool {
        let before = self.is_yes();
        self.ends_answered += 1;
        self.doubt |= ended == Ended::Unknown;
        self.confirmed |= ended == Ended::Done && self.hold == Some(Then::Confirm);
        self.is_yes() && !before
    }

    /// Its end went wrong. True the first time: a key goes wrong once.
    pub fn fails(&mut self) -> bool {
        !std::mem::replace(&mut self.end_failed, true)
    }

    /// Was its buyer told that he has it?
    pub fn is_yes(&self) -> bool {
        !self.order_ids.is_empty() && (self.hold.is_none() || self.confirmed)
    }

    /// Neither yes nor no.
    pub fn unknown(&self) -> bool {
        let unanswered = self.sent > self.answered || self.ends_sent > self.ends_answered;
        !self.is_yes() && (self.doubt || unanswered)
    }

    /// Units that its buyer wanted to keep: who lets go what he holds would leave endless stock as it is.
    pub fn wanted(&self) -> i64 {
        if self.hold.is_none_or(|then| then == Then::Confirm) { self.quantity } else { 0 }
    }

    /// One line for each order id that it was given.
    pub fn told_yes(&self, key: &str) -> Vec<ToldYes> {
        let told = |order_id: &Uuid| ToldYes {
            key: key.to_owned(),
            order_id: *order_id,
            buyer_id: self.buyer_id.clone(),
            quantity: self.quantity,
        };
        if self.is_yes() { self.order_ids.iter().map(told).collect() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::Hold;

    /// A hold that was granted, and the answers to its end.
    fn held(then: Then, ends: &[Ended]) -> Operation {
        let hold = Some(Hold { seconds: 1, then });
        let mut operation = Operation::new(&PlannedOrder { hold, ..PlannedOrder::new(1, 2) });
        operation.sent = 1;
        assert!(!operation.heard(Answer::Sold(Uuid::from_u128(1))), "a hold is no yes");
        for end in ends {
            operation.ending();
            operation.ended(*end);
        }
        operation
    }

    fn word(operation: &Operation) -> &'static str {
        match (operation.told_yes("k").len(), operation.unknown()) {
            (1, false) => "yes",
            (0, false) => "no",
            (0, true) => "unknown",
            _ => "nonsense",
        }
    }

    #[test]
    fn a_hold_is_a_yes_only_when_its_confirmation_was_acknowledged() {
        for (then, ends, want) in [
            (Then::Confirm, &[Ended::Done][..], "yes"),
            (Then::Confirm, &[Ended::Contended, Ended::Done], "yes"),
            (Then::Confirm, &[Ended::Unknown, Ended::Done], "yes"),
            (Then::Confirm, &[Ended::TooLate], "no"),
            (Then::Confirm, &[Ended::Contended], "no"),
            (Then::Confirm, &[Ended::Unknown], "unknown"),
            (Then::Release, &[Ended::Done], "no"),
            (Then::Release, &[Ended::TooLate], "no"),
            (Then::Release, &[Ended::Unknown], "unknown"),
            (Then::Abandon, &[], "no"),
        ] {
            assert_eq!(word(&held(then, ends)), want, "{then:?} {ends:?}");
        }
    }

    #[test]
    fn a_buyer_who_died_while_he_paid_leaves_a_doubt() {
        let mut operation = held(Then::Confirm, &[]);
        operation.ending();
        assert_eq!(word(&operation), "unknown");
    }

    #[test]
    fn who_lets_go_what_he_holds_wanted_nothing() {
        assert_eq!(held(Then::Confirm, &[]).wanted(), 2);
        assert_eq!(held(Then::Release, &[]).wanted() + held(Then::Abandon, &[]).wanted(), 0);
    }
}
