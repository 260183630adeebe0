//! The nouns: sale, order, outcome. Parsed once, at the door ([`parse`]); everything behind it has valid
//! data.

mod parse;

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::trace::Track;

pub use parse::key_of;

/// Most units of a sale.
pub const UNITS_MAX: i64 = 1_000_000_000;
/// Most units of one order.
pub const QUANTITY_MAX: i64 = 1_000_000;
/// Longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;
/// Longest name of a buyer, in characters.
pub const BUYER_CHARS_MAX: usize = 128;
/// Longest hold, in seconds: a week.
pub const HOLD_SECONDS_MAX: i64 = 7 * 24 * 3600;
/// Most items of a cart.
pub const CART_ITEMS_MAX: usize = 50;
/// Most orders of a batch.
pub const BATCH_ORDERS_MAX: usize = 1_000;
/// Longest artificial pause between read and write, in milliseconds.
pub const WINDOW_MS_MAX: u64 = 1_000;
/// Longest name of a sale, in characters.
pub const NAME_CHARS_MAX: usize = 200;

/// Who calls, until tokens tell callers apart. Keys are scoped to the caller.
pub const ANONYMOUS: &str = "anonymous";

/// What is offered. Of all this only strategy and epoch ever change, and always together with the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Identity.
    pub id: Uuid,
    /// What is offered.
    pub name: String,
    /// Units at opening.
    pub units: i64,
    /// How stock is taken.
    pub strategy: String,
    /// Most units per buyer.
    pub per_buyer_limit: Option<i64>,
    /// When it opened, RFC 3339; empty until the ledger has it.
    pub opened_at: String,
    /// Raised whenever whoever sold until then must not go on.
    pub epoch: i64,
    /// From when to when.
    pub hours: Hours,
    /// The lab's artificial pause between read and write; of the process that opened it, not of the ledger.
    pub race_window: Option<Duration>,
}

/// From when to when a sale sells, by the clock of the database. This process's own clock is not asked: what
/// was left until then, when the sale was read, counts down on a clock that nobody sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// RFC 3339; `None`: at once.
    pub opens_at: Option<String>,
    /// RFC 3339; `None`: without end.
    pub closes_at: Option<String>,
    /// When it was read.
    pub read: Instant,
    /// Milliseconds from then until it opens.
    pub opens_in_ms: Option<i64>,
    /// Milliseconds from then until it closes.
    pub closes_in_ms: Option<i64>,
}

impl Hours {
    /// Open at once and without end.
    pub fn always() -> Hours {
        Hours { opens_at: None, closes_at: None, read: Instant::now(), opens_in_ms: None, closes_in_ms: None }
    }

    /// Is it open now? A refusal here spares the stores a crowd before the hour; the ledger has the last
    /// word.
    pub fn check(&self) -> Result<(), Error> {
        if self.opens_in_ms.is_none() && self.closes_in_ms.is_none() {
            return Ok(());
        }
        let passed = i64::try_from(self.read.elapsed().as_millis()).unwrap_or(i64::MAX);
        if self.opens_in_ms.is_some_and(|ms| passed < ms) {
            return Err(Error::NotOpen);
        }
        if self.closes_in_ms.is_some_and(|ms| passed > ms) { Err(Error::Ended) } else { Ok(()) }
    }
}

/// One buyer's purchase under one idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The id that it gets if it is sold; a retry gets the first one's.
    pub id: Uuid,
    /// The sale.
    pub sale_id: Uuid,
    /// Whose key it is.
    pub caller: String,
    /// The idempotency key: one key, one operation.
    pub key: String,
    /// Was the key the client's own? A minted one cannot be sent again.
    pub retry_safe: bool,
    /// Who buys.
    pub buyer_id: String,
    /// Units, all or nothing.
    pub quantity: i64,
    /// For how long they are held before they must be confirmed, in milliseconds; `None`: sold at once.
    pub hold_ms: Option<i64>,
    /// The epoch of the sale for which this was decided: the ledger refuses any other.
    pub epoch: i64,
    /// SHA-256 of what is asked for: the same key with another body is refused.
    pub fingerprint: [u8; 32],
    /// Where its steps are recorded, in the lab.
    pub trace: Track,
}

/// Several sales in one order, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cart {
    /// Its id; a retry gets the first one's.
    pub id: Uuid,
    /// One order per sale, sorted by sale: two carts never wait for each other crosswise. All of them carry
    /// the cart's key and the fingerprint of the whole.
    pub orders: Vec<Order>,
}

/// How the units of an order come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its buyer let a hold go.
    Released,
    /// A hold ran out.
    Expired,
    /// A confirmed order was cancelled.
    Cancelled,
}

impl Ending {
    /// The state that the order ends in.
    pub fn state(self) -> &'static str {
        match self {
            Ending::Released => "released",
            Ending::Expired => "expired",
            Ending::Cancelled => "cancelled",
        }
    }
}

/// Why the units that are left change without a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// These orders end so, those of them that may; for the others it was done before.
    Orders(Vec<Uuid>, Ending),
    /// An operator puts units on sale, or takes some off that nobody has.
    Change {
        /// One key is one change.
        key: String,
        /// Units; below zero are taken off.
        delta: i64,
    },
}

/// How an order ended. Sold out is an answer, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the ledger, durable, under this order id.
    Sold(Uuid),
    /// Not enough units left; nothing was taken.
    SoldOut,
}

/// Why there is no outcome, by what the buyer should do next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Too many at once; nothing was taken. Try again.
    #[error("contended: {0}")]
    Contended(String),
    /// A server is missing or slow; nothing was taken. Try again later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It may or may not have happened. Try again with the same key, and learn which.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The key has an order already: answer what was answered then.
    #[error("idempotency key already used")]
    KeyUsed,
    /// The buyer may not have that many.
    #[error("buyer limit reached")]
    BuyerLimit,
    /// Same key, other body.
    #[error("idempotency key reused with another body")]
    KeyReused,
    /// The same key is being worked on.
    #[error("the same order is under way")]
    InProgress,
    /// The sale has another epoch by now: look it up again, and decide anew. Nothing was taken.
    #[error("the sale has moved on")]
    Stale,
    /// The sale has not begun.
    #[error("the sale is not open yet")]
    NotOpen,
    /// The sale is over.
    #[error("the sale has ended")]
    Ended,
    /// More wait already than can be served in time; nothing was taken.
    #[error("too many are waiting")]
    Overloaded,
    /// The strategy of this sale cannot do that.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The hold ran out before it was confirmed.
    #[error("the hold has expired")]
    HoldExpired,
    /// The order is in this state, from which there is no such way.
    #[error("the order is {0}")]
    WrongState(String),
    /// Fewer units are left than an operator wants to take off.
    #[error("fewer units are left than that")]
    BelowSold,
}

/// A field that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The JSON field or header.
    pub field: &'static str,
    /// What it must be.
    pub why: String,
}
