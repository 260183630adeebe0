//! What is counted and what is judged: the tally of the clients, the evidence, the verdict.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Guarantee;

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
    /// Units that buyers asked for and could have had with endless stock: per key once, per buyer up to the
    /// limit.
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
    /// Not run: its server could not be had, or it cannot do what the scenario asks for.
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
    /// Units that an operator put on sale since, less those taken off.
    #[serde(default)]
    pub changed: i64,
    /// Units of held and confirmed orders in the ledger.
    pub sold: i64,
    /// Orders behind `sold`.
    pub orders: i64,
    /// Units that the strategy believes are left.
    pub left: Option<i64>,
    /// `max(0, sold − supply)`, where the supply is `opened + changed`.
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
    /// `left − (supply − sold)`: how far the counter is from the truth.
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
