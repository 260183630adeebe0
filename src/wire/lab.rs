//! What only a lab may do: start a run from the page, and break things on purpose.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/lab/runs`. What is left out is as the load test has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewLabRun {
    /// `all`, `safe`, or names.
    pub strategies: Vec<String>,
    /// Buyers at once.
    pub buyers: Option<u64>,
    /// Orders sent per strategy, exactly.
    pub attempts: Option<u64>,
    /// Units at opening.
    pub stock: Option<i64>,
    /// Units per order.
    pub quantity: Option<i64>,
    /// Most units per buyer.
    pub per_buyer_limit: Option<i64>,
    /// Kind of crowd.
    pub scenario: Option<String>,
    /// Seed of the choices.
    pub seed: Option<u64>,
    /// Milliseconds between the read and the write of strategies that have such a window: artificial, and
    /// said so wherever the run is shown.
    pub race_window_ms: Option<u64>,
    /// What goes wrong while it runs.
    pub faults: Faults,
}

/// Things that go wrong on purpose; `null` is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Every so often the holder of a lock stops for so many milliseconds, longer than its lease.
    pub pause_holder_ms: Option<u64>,
    /// Each so-many-th order that was sold gets no answer: its connection is closed after the commit.
    pub drop_reply_every: Option<u64>,
    /// Each use of a store waits so many milliseconds longer.
    pub slow_store_ms: Option<u64>,
}

/// Where a run that the page asked for is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabState {
    /// Its load test runs.
    Running,
    /// It was told to end: what was sold is settled and judged.
    Cancelling,
    /// It ended and is kept.
    Ended,
    /// It ended without a report; `error` says why.
    Failed,
}

/// A run that the page asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabRun {
    /// Its id, as in `GET /v1/runs`.
    pub id: String,
    /// Where it is.
    pub state: LabState,
    /// The command that asks for the same.
    pub command: String,
    /// What went wrong, in words.
    pub error: Option<String>,
}

/// A fault that was switched during a run, and is part of what the run says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaultEvent {
    /// When (RFC 3339).
    pub at: String,
    /// The same in milliseconds since the run began.
    pub at_ms: u64,
    /// `pause_holder`, `drop_reply`, `slow_store`, `kill_redis` or `race_window`.
    pub fault: String,
    /// How much of it; `null`: it was switched off.
    pub argument: Option<u64>,
    /// Which strategy was being loaded.
    pub strategy: Option<String>,
}
