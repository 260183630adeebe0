//! The JSON that crosses the wire, and nothing else: shapes, no behaviour, no database.
//!
//! With [`crate::audit`] this is all that the load test sees of the service. Names are part of the
//! interface: they may be added to, not changed. Units are whole numbers; times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Version of [`Run`]; raised when a field changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

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
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
    /// When it opened (database clock).
    pub opened_at: String,
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
    /// When the ledger recorded it (database clock); only `GET /v1/orders/{id}` looks it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
    /// `false` when the client sent no `Idempotency-Key`: sending this order again would buy again.
    pub retry_safe: bool,
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
}

/// How many answers of each kind; they sum to the attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// 201, replays included.
    pub sold: u64,
    /// 409 `sold-out`.
    pub sold_out: u64,
    /// 503 with `executed:false`, or 409 `request-in-progress`: nothing happened, try again.
    pub contended: u64,
    /// Any other 4xx: limit reached, key reused.
    pub rejected: u64,
    /// A failure that surely took nothing (connection refused) or an answer that makes no sense.
    pub error: u64,
    /// 500 `outcome-unknown`, a time-out, a broken answer: it may have happened.
    pub unknown: u64,
}

impl Answers {
    /// Answers of any kind.
    pub fn total(&self) -> u64 {
        self.sold + self.sold_out + self.contended + self.rejected + self.error + self.unknown
    }
}

/// An order that a client was told is sold: one per key and order id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToldYes {
    /// The idempotency key that the client sent.
    pub key: String,
    /// The order id that it was given.
    pub order_id: Uuid,
    /// Who asked.
    pub buyer_id: String,
    /// For how many units.
    pub quantity: i64,
}

/// `PUT /v1/sales/{id}/tally`: what the clients were told, the second witness. Lab only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Orders sent, retries included.
    pub attempts: u64,
    /// What came back, one per attempt.
    pub answers: Answers,
    /// Most attempts without an answer at one moment, as the client saw it.
    pub peak_in_flight: u64,
    /// Units that buyers asked for and could have had with endless stock: per key once, per buyer up to the limit.
    pub demand_units: i64,
    /// The smallest quantity that was told sold out; `null` when nobody was.
    pub sold_out_quantity_min: Option<i64>,
    /// Orders told yes.
    pub told_yes: Vec<ToldYes>,
    /// Keys of which the client knows neither yes nor no.
    pub unknown_keys: Vec<String>,
}

/// The verdicts, first match wins (see [`crate::audit::judge`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// More sold than there was.
    Oversold,
    /// Told yes, not in the ledger.
    Lost,
    /// The run itself cannot be judged.
    Invalid,
    /// Phantom, duplicate, over the limit, or a counter that believes in units that are sold.
    Inconsistent,
    /// Units neither sold nor for sale though demand was there.
    Stranded,
    /// No real contention: proves nothing.
    NotExercised,
    /// Kept its promise under real contention.
    Held,
    /// Its server could not be had.
    Skipped,
    /// A control, never judged.
    Control,
}

impl Verdict {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Oversold => "OVERSOLD",
            Verdict::Lost => "LOST",
            Verdict::Invalid => "INVALID",
            Verdict::Inconsistent => "INCONSISTENT",
            Verdict::Stranded => "STRANDED",
            Verdict::NotExercised => "NOT EXERCISED",
            Verdict::Held => "HELD",
            Verdict::Skipped => "SKIPPED",
            Verdict::Control => "CONTROL",
        }
    }
}

/// What was counted, and what cannot be known is `null`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// Units at opening.
    pub opened: i64,
    /// Units of held and confirmed orders in the ledger.
    pub sold: i64,
    /// Orders behind `sold`.
    pub orders: i64,
    /// Units that the strategy believes are left.
    pub left: Option<i64>,
    /// `max(0, sold − opened)`.
    pub oversold: i64,
    /// Units that clients were told they have, per key once.
    pub told_yes: Option<i64>,
    /// Orders told yes that the ledger does not have so.
    pub lost: Option<i64>,
    /// Orders in the ledger whose clients were told no, or never asked.
    pub phantom: Option<i64>,
    /// Keys of which the client knows neither yes nor no.
    pub unknown: Option<i64>,
    /// Units neither sold nor for sale, or unsold though somebody was told sold out.
    pub stranded: i64,
    /// Keys with more than one order, in the ledger or in what clients were told.
    pub duplicates: i64,
    /// Units beyond the per-buyer limit, over all buyers.
    pub over_limit: i64,
    /// `left − (opened − sold)`: how far the counter is from the truth.
    pub drift: Option<i64>,
    /// Units by which the ledger's movements differ from its orders.
    pub unbalanced: i64,
    /// Orders that this process still works on; the evidence is final when 0.
    pub in_flight: u64,
    /// The clients' side, summed; `null` without a tally.
    pub clients: Option<Clients>,
}

/// The sums of a [`Tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Clients {
    /// Orders sent.
    pub attempts: u64,
    /// What came back.
    pub answers: Answers,
    /// Most attempts without an answer at one moment.
    pub peak_in_flight: u64,
    /// Units that could have been sold with endless stock.
    pub demand_units: i64,
}

/// An order that the audit can point at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offender {
    /// `oversold`, `lost`, `phantom`, `duplicate` or `over_limit`.
    pub kind: String,
    /// Its idempotency key.
    pub key: String,
    /// Its order id where one is known.
    pub order_id: Option<Uuid>,
    /// Its buyer.
    pub buyer_id: String,
    /// Its units.
    pub quantity: i64,
}

/// `GET /v1/sales/{id}/audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Audit {
    /// The sale.
    pub sale_id: Uuid,
    /// Its strategy.
    pub strategy: String,
    /// What the strategy claims.
    pub declared: Guarantee,
    /// The judgement.
    pub verdict: Verdict,
    /// It in one sentence.
    pub reason: String,
    /// What it rests on.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// Orders to look at, at most 100 of each kind.
    pub offenders: Vec<Offender>,
}

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

/// Latency of one outcome, in microseconds, from request sent to answer read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Answers measured.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Slowest.
    pub max: u64,
}

/// One strategy's row of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunResult {
    /// Strategy id.
    pub strategy: String,
    /// What it claims.
    pub declared: Guarantee,
    /// The judgement.
    pub verdict: Verdict,
    /// It in one sentence.
    pub reason: String,
    /// Is it as declared? `false` makes the exit code 1.
    pub as_declared: bool,
    /// Sale that was run; `null` when skipped.
    pub sale_id: Option<Uuid>,
    /// What was counted.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// Orders sent.
    pub attempts: u64,
    /// What came back.
    pub answers: Answers,
    /// First request to last answer.
    pub seconds: f64,
    /// Orders sold per second while units were left, each durable before it was acknowledged.
    pub accepted_per_s: f64,
    /// Sold-out and limit answers per second.
    pub rejected_per_s: f64,
    /// Per outcome: `sold`, `sold_out`, ….
    pub latency_us: BTreeMap<String, Latency>,
    /// Most attempts without an answer at one moment.
    pub peak_in_flight: u64,
    /// CPU time of the service per attempt, in microseconds, where it can be measured.
    pub service_cpu_us_per_attempt: Option<f64>,
}

/// What the load test was asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Parameters {
    /// Kind of crowd.
    pub scenario: String,
    /// Strategies, in order.
    pub strategies: Vec<String>,
    /// Units at opening.
    pub stock: i64,
    /// Buyers at once.
    pub buyers: u64,
    /// Orders sent in all, exactly.
    pub attempts: u64,
    /// Units per order.
    pub quantity: i64,
    /// Most units per buyer.
    pub per_buyer_limit: Option<i64>,
    /// Seed of the choices; the interleavings are the operating system's.
    pub seed: u64,
}

/// Where it ran: `GET /v1/environment`, and in every run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// Version of sellout.
    pub sellout: String,
    /// Commit, where known at build time.
    pub commit: String,
    /// CPU model and cores.
    pub cpu: String,
    /// Cores seen.
    pub cores: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel and operating system.
    pub os: String,
    /// rustc that built it, and its profile.
    pub build: String,
    /// PostgreSQL version and durability settings.
    pub postgres: String,
    /// Redis version and durability settings; `null` when there is none.
    pub redis: Option<String>,
    /// Are the servers private throw-away instances of this run?
    pub private_servers: bool,
}

/// A run of the load test: `--json`, `runs/<time>/run.json`, `PUT /v1/runs/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Version of this shape.
    pub schema_version: u32,
    /// Its name: the time it started, `20261123-080512`.
    pub id: String,
    /// When it started.
    pub started_at: String,
    /// When it ended; `null` while it runs or when it was cut off.
    pub finished_at: Option<String>,
    /// Exit code of the load test, once ended.
    pub exit_code: Option<u8>,
    /// Where.
    pub environment: Environment,
    /// What was asked.
    pub parameters: Parameters,
    /// The strategy being loaded just now.
    pub current: Option<Current>,
    /// One row per strategy, in the order of the run.
    pub results: Vec<RunResult>,
}

/// The strategy that a run is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Current {
    /// Strategy id.
    pub strategy: String,
    /// Its sale.
    pub sale_id: Uuid,
}

/// One line of `GET /v1/runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its name.
    pub id: String,
    /// When it started.
    pub started_at: String,
    /// Did it end by itself?
    pub finished: bool,
    /// Exit code of the load test.
    pub exit_code: Option<u8>,
    /// Scenario and sizes in words.
    pub parameters: String,
    /// How many strategies per verdict word.
    pub verdicts: BTreeMap<String, u64>,
}

/// One `snapshot` event of `GET /v1/events`: complete, so that a page may join at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Counts up.
    pub seq: u64,
    /// Are lab routes on?
    pub lab: bool,
    /// The newest run of this process, running or ended; `null` before the first.
    pub run: Option<Run>,
    /// The sale that the run is at.
    pub current: Option<SaleView>,
    /// Pages listening just now, this one included: looking costs a little.
    pub viewers: u64,
}
