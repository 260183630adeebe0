//! A step of an order, as it is written down.

use std::sync::{Arc, Weak};

use super::record::Record;

/// One order.
#[derive(Debug)]
pub(super) struct Lane {
    /// Counts the orders of a record.
    pub n: u64,
    /// Who buys.
    pub buyer_id: String,
    /// Its key.
    pub key: String,
    /// Units that it wants.
    pub quantity: i64,
    /// Where its steps go, as long as that is kept.
    pub record: Weak<Record>,
}

/// What was left in the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// This number, whatever stood there.
    To(i64),
    /// So many less than stood there.
    By(i64),
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Arrive,
    Enter,
    Read {
        seen: i64,
    },
    Check {
        ok: bool,
    },
    Write(Wrote),
    Commit,
    Decide {
        ok: bool,
    },
    Leave {
        lost: bool,
    },
    Retry,
    Reply {
        outcome: &'static str,
    },
    /// By nobody's order: units came back, of orders that ended or by an operator's change.
    Back {
        units: i64,
        ended: bool,
    },
}

impl Act {
    /// Was there too little?
    pub(super) fn refuses(self) -> bool {
        matches!(self, Act::Check { ok: false } | Act::Decide { ok: false })
    }
}

/// One step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Whose; nobody's for units that come back.
    pub lane: Option<Arc<Lane>>,
    /// Microseconds since the record began.
    pub t_us: u64,
    pub act: Act,
    /// The file that ran.
    pub statement: Option<&'static str>,
}
