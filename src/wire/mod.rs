//! The JSON that crosses the wire, and nothing else: shapes, no behaviour, no database.
//!
//! With [`crate::audit`] this is all that the load test sees of the service. Names are part of the
//! interface: they may be added to, not changed. Units are whole numbers; times are RFC 3339 in UTC.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

mod batch;
mod cards;
mod evidence;
mod lab;
mod live;
mod run;
mod trace;

pub use batch::{BatchOrder, BatchResult, BatchView, NewBatch};
pub use cards::{Hazard, LockCard, LockRequirement, LockTrips, RoundTrips, StatementView, StrategyCard};
pub use evidence::{Answers, Audit, Clients, Evidence, Offender, Tally, ToldYes, Verdict};
pub use lab::{FaultEvent, Faults, LabRun, LabState, NewLabRun};
pub use live::{LiveAudit, LiveSale, LiveServer, LiveView};
pub use run::{
    Current, Environment, Latency, Parameters, Run, RunResult, RunSummary, SCHEMA_VERSION, SeriesPoint,
    Snapshot,
};
pub use trace::{Belief, StepKind, Trace, TraceKind, TraceLane, TraceStep};

/// What a strategy claims. The audit never believes it; it only asks whether overselling is a surprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Sells every unit and no more, whatever crashes, as long as PostgreSQL keeps what it committed.
    Exact,
    /// Never sells more; a crash at the wrong moment may leave units unsold.
    NeverOver,
    /// Keeps its promise under a condition that it cannot enforce (a lease, a clock, a cache).
    Conditional,
    /// Oversells, and is here to show how.
    Oversells,
    /// Sells nothing: the ceiling of the harness. Never judged.
    Control,
}

/// `POST /v1/sales`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSale {
    /// What is offered, for people. 1 to 200 characters.
    #[schema(example = "the last hundred")]
    pub name: String,
    /// Units for sale at opening. 1 to 1,000,000,000.
    #[schema(example = 100, minimum = 1)]
    pub units: i64,
    /// A strategy of `GET /v1/strategies`; immutable while the sale is open.
    #[schema(example = "atomic_update")]
    pub strategy: String,
    /// Most units that one buyer may have. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub per_buyer_limit: Option<i64>,
    /// Nothing is sold before (RFC 3339, by the database's clock). Absent: open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<String>,
    /// Nothing is sold from then on. Absent: open without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<String>,
    /// Lab only: milliseconds between the read and the write of each order, where its strategy has such a
    /// gap. An artificial window, 0 to 1,000, kept by the process that opens the sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1000)]
    pub race_window_ms: Option<u64>,
}

/// A sale, as `GET /v1/sales/{id}` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SaleView {
    /// Identity of the sale.
    pub id: Uuid,
    /// What is offered.
    pub name: String,
    /// Units for sale at opening.
    pub units: i64,
    /// How stock is taken.
    pub strategy: String,
    /// Most units that one buyer may have.
    pub per_buyer_limit: Option<i64>,
    /// When it was put on sale (database clock).
    pub opened_at: String,
    /// Nothing is sold before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<String>,
    /// Nothing is sold from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<String>,
    /// Raised at each handover and whenever Redis was filled anew.
    #[serde(default)]
    pub epoch: i64,
    /// Milliseconds between the read and the write of each order that the lab put there: an artificial
    /// window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race_window_ms: Option<u64>,
    /// Units that the strategy believes are left; `null` when its store cannot be asked.
    pub left: Option<i64>,
    /// What this process has answered so far; provisional, the audit counts from the ledger.
    pub live: Live,
}

/// What one process has answered for one sale since it started. A gauge for the eye, never evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Live {
    /// Orders being worked on just now.
    pub in_flight: u64,
    /// Orders answered, whatever the answer.
    pub answered: u64,
    /// Units acknowledged as sold, replays not counted.
    pub sold_units: u64,
    /// Orders told that the sale is sold out.
    pub sold_out: u64,
    /// Orders told to try again, nothing taken.
    pub contended: u64,
    /// Orders refused for a reason of the buyer's (limit, reused key).
    pub rejected: u64,
    /// Orders whose outcome the service itself could not learn.
    pub unknown: u64,
}

/// `POST /v1/sales/{id}/orders`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// Who buys. 1 to 128 printable characters.
    #[schema(example = "buyer-7")]
    pub buyer_id: String,
    /// Units wanted, all or nothing. 1 to 1,000,000.
    #[schema(example = 1, minimum = 1)]
    pub quantity: i64,
    /// Hold the units for so long instead of selling them at once; `POST …/confirm` sells them. 1 to 604,800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub hold_seconds: Option<i64>,
}

/// An order in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    /// Identity of the order, the same for every retry of its key.
    pub id: Uuid,
    /// The sale it belongs to.
    pub sale_id: Uuid,
    /// Its idempotency key: the client's, or minted here.
    pub key: String,
    /// Who bought.
    pub buyer_id: String,
    /// Units sold.
    pub quantity: i64,
    /// `held`, `confirmed`, `released`, `expired` or `cancelled`.
    pub state: String,
    /// When the hold ends or ended (database clock); absent where the units were never held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When the ledger recorded it (database clock); only `GET /v1/orders/{id}` looks it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
    /// `false` when the client sent no `Idempotency-Key`: sending this order again would buy again.
    pub retry_safe: bool,
}

/// `POST /v1/orders`: several sales at once, all or nothing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCart {
    /// Who buys.
    #[schema(example = "buyer-7")]
    pub buyer_id: String,
    /// What: 1 to 50 items. The same sale twice is summed.
    pub items: Vec<CartItem>,
    /// Hold the units for so long instead of selling them at once; each order is then confirmed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<i64>,
}

/// One item of a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CartItem {
    /// Of which sale.
    pub sale_id: Uuid,
    /// Units.
    pub quantity: i64,
}

/// A cart that was sold: one order per sale, sorted by sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CartView {
    /// Identity of the cart, the same for every retry of its key.
    pub id: Uuid,
    /// Its orders.
    pub orders: Vec<OrderView>,
}

/// `POST /v1/orders/{id}/confirm`; the body may be left out.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// Should the hold have expired: take the units again, if they are left.
    #[serde(default)]
    pub rehold: bool,
}

/// `POST /v1/sales/{id}/stock`: units put on sale later (or, below zero, taken off).
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockChange {
    /// By how many. Never below what is held and sold.
    #[schema(example = 20)]
    pub delta: i64,
}

/// `POST /v1/sales/{id}/handover`: another strategy for an open sale.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// A strategy of `GET /v1/strategies`.
    #[schema(example = "redis_lua")]
    pub strategy: String,
}

/// One line of `GET /v1/sales/{id}/ledger` (NDJSON), for any checker that does not trust ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerRow {
    /// Identity of the order.
    pub order_id: Uuid,
    /// Its idempotency key.
    pub key: String,
    /// Who bought.
    pub buyer_id: String,
    /// Units.
    pub quantity: i64,
    /// State now.
    pub state: String,
}

/// RFC 9457 problem details. Switch on `type`; `title` and `detail` are for people and may change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable: `/problems/sold-out`, ….
    #[serde(rename = "type")]
    #[schema(example = "/problems/sold-out")]
    pub kind: String,
    /// The type in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words, with what to do next.
    pub detail: String,
    /// `false`: nothing was taken, whatever the status. Absent where the type already says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed: Option<bool>,
    /// The sales of a cart of which too few units are left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short: Vec<Uuid>,
}
