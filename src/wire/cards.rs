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

/// One SQL statement or Lua script, the very text that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatementView {
    /// File name.
    pub name: String,
    /// Its text.
    pub text: String,
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
    pub breaks: Vec<String>,
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
    /// Its SQL and Lua.
    pub statements: Vec<StatementView>,
    /// Its Rust.
    pub source: String,
}
