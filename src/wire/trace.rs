//! How a strategy decided in the run that was made: the steps of the few orders that tell it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a trace shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceKind {
    /// The order that was sold beyond the stock, and those that acted on the same stale value.
    Oversold,
    /// Nothing was oversold: the orders that came nearest to it, and what kept them apart.
    ClosestCall,
}

/// What an order does at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// It reaches the strategy.
    Arrive,
    /// It is let in by a lock.
    Enter,
    /// It reads how many units are left.
    Read,
    /// It compares them with what it wants.
    Check,
    /// It writes the stock.
    Write,
    /// What it wrote is durable and seen by others.
    Commit,
    /// One statement or script reads, checks and writes, and nobody can come between.
    Decide,
    /// It lets the lock go.
    Leave,
    /// It was overtaken and begins anew.
    Retry,
    /// Its buyer is answered.
    Reply,
}

/// One buyer's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceLane {
    /// `A`, `B`, `C` or `D`.
    pub id: String,
    /// Who bought.
    pub buyer_id: String,
    /// The idempotency key of the order.
    pub key: String,
    /// What the buyer was told: `sold`, `sold_out`, `contended`, ….
    pub outcome: String,
}

/// What an order holds true after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Belief {
    /// Whose.
    pub lane: String,
    /// Units that it believes are left.
    pub units: i64,
    /// Is that no longer so?
    pub stale: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceStep {
    /// Counts from 1.
    pub n: u32,
    /// Microseconds since the first step of the trace.
    pub t_us: u64,
    /// Whose step it is.
    pub lane: String,
    /// What it does.
    pub kind: StepKind,
    /// Units that it read, where it reads.
    pub seen: Option<i64>,
    /// Units that it left in the counter, where it writes.
    pub wrote: Option<i64>,
    /// Did a check pass?
    pub ok: Option<bool>,
    /// The SQL or Lua file that runs, as on the strategy's card.
    pub statement: Option<String>,
    /// The counter after it, where it is known.
    pub counter: Option<i64>,
    /// Units sold in the ledger after it.
    pub ledger: i64,
    /// What each order holds true after it.
    pub believes: Vec<Belief>,
    /// It in one sentence.
    pub note: String,
}

/// The witness of one strategy's run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// Oversold, or the closest call.
    pub kind: TraceKind,
    /// It in one sentence.
    pub sentence: String,
    /// What is fought over, in words.
    pub counter: String,
    /// Units at opening.
    pub opened: i64,
    /// Two to four orders.
    pub lanes: Vec<TraceLane>,
    /// Their steps, in the order of time.
    pub steps: Vec<TraceStep>,
    /// Orders whose steps were recorded.
    pub recorded: u64,
    /// Were there more than were recorded?
    pub truncated: bool,
}
