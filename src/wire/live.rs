//! What an operator looks at: `GET /v1/live`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Verdict;

/// The whole service at one moment, as this process sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveView {
    /// When (RFC 3339).
    pub at: String,
    /// Seconds since this process began.
    pub uptime_s: u64,
    /// Is it going down?
    pub draining: bool,
    /// Orders sold per second, lately.
    pub orders_per_s: f64,
    /// Open sales that this process sells from, busiest first.
    pub sales: Vec<LiveSale>,
    /// The servers that it needs.
    pub servers: Vec<LiveServer>,
}

/// One open sale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveSale {
    /// The sale.
    pub id: Uuid,
    /// What is offered.
    pub name: String,
    /// How stock is taken.
    pub strategy: String,
    /// Units at opening.
    pub units: i64,
    /// Units that the strategy believes are left; `null` when its store cannot be asked.
    pub left: Option<i64>,
    /// Units that this process has sold.
    pub sold: u64,
    /// Orders being worked on.
    pub in_flight: u64,
    /// Orders sold per second, lately.
    pub orders_per_s: f64,
    /// Units on hold.
    pub held: i64,
    /// Those of them whose hold ends within a minute.
    pub expiring: i64,
    /// Orders taken that are not yet in the ledger; `null` when its store cannot be asked.
    pub backlog: Option<u64>,
    /// The last audit of it, if there was one.
    pub audit: Option<LiveAudit>,
}

/// The last audit of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveAudit {
    /// What it found.
    pub verdict: Verdict,
    /// Seconds ago.
    pub age_s: u64,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveServer {
    /// `PostgreSQL`, `Redis`, ….
    pub name: String,
    /// Does it answer?
    pub up: bool,
    /// If not, why.
    pub why: Option<String>,
    /// Version and durability settings, where known.
    pub version: Option<String>,
}
