//! A strategy's card.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Guarantee;

/// Trips between service and servers for one order, warm and uncontended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoundTrips {
    /// When it sells.
    pub sold: u32,
    /// When it is sold out.
    pub sold_out: u32,
}

/// What really goes wrong, and is shown to go wrong by a conformance test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    /// Two buyers act on the same stale read: more is sold than there was.
    StaleRead,
    /// The counter ends above the truth: a lost update hides the oversell.
    LostUpdate,
    /// The counter goes below zero.
    NegativeCounter,
    /// A holder outlives its lease and another one enters.
    LeaseExpiry,
    /// A second process does not know the lock of the first.
    SecondProcess,
    /// The session that holds the lock ends, and its holder goes on.
    SessionLost,
    /// A holder that dies leaves the lock behind for ever.
    LockLeft,
    /// A crash between two stores leaves units that nobody sells.
    CrashBetweenStores,
    /// The store may forget what it acknowledged.
    StoreLoss,
    /// It says yes before the ledger has the order: what is then forgotten or refused was promised.
    EarlyAck,
}

/// One SQL statement or Lua script, the very text that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatementView {
    /// File name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The lock that brackets a strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockCard {
    /// Its name: the same lock brackets a strategy with a fence and one without.
    pub id: String,
    /// Does the stock row refuse who was overtaken?
    pub fenced: bool,
    /// How a waiter learns that it may enter.
    pub waits_by: String,
    /// Declared trips to its server.
    pub trips: LockTrips,
    /// What it was observed to do.
    pub requirements: Vec<LockRequirement>,
}

/// Trips between service and the lock's server, warm and uncontended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockTrips {
    /// To enter.
    pub acquire: u32,
    /// To leave.
    pub release: u32,
}

/// One requirement of a lock, as its test observed it on the real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockRequirement {
    /// A sentence: the name of the test.
    pub requirement: String,
    /// What was observed.
    pub value: String,
    /// File of the test, from the root of the repository.
    pub test: String,
}

/// A strategy's card: `GET /v1/strategies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StrategyCard {
    /// Its name everywhere.
    pub id: String,
    /// First line of its head.
    pub title: String,
    /// What it claims.
    pub guarantee: Guarantee,
    /// May a sale use it outside the lab?
    pub safe: bool,
    /// Typed hazards that really occur.
    pub breaks: Vec<Hazard>,
    /// Where it oversells: `rush`, the fault it needs, or `null`.
    pub oversells_in: Option<String>,
    /// What breaks it, in one line.
    pub fails_when: String,
    /// Declared cost; a test holds it equal to the measured one.
    pub round_trips: RoundTrips,
    /// Servers it needs.
    pub needs: Vec<String>,
    /// Can sales be opened with it now?
    pub available: bool,
    /// If not, why.
    pub unavailable_reason: Option<String>,
    /// Head of its source: How, Guarantee, Fails when, Cost, See. Markdown.
    pub doc: String,
    /// Can units be held, and come back? Else a sale refuses holds.
    #[serde(default)]
    pub holds: bool,
    /// Can it sell in a cart with other sales?
    #[serde(default)]
    pub carts: bool,
    /// Its SQL and Lua.
    pub statements: Vec<StatementView>,
    /// Its Rust.
    pub source: String,
    /// The lock that brackets it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockCard>,
}
