//! Many orders in one request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OrderView, Problem};

/// `POST /v1/sales/{id}/orders:batch`: orders that have nothing to do with each other, in one request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// 1 to 1,000.
    pub orders: Vec<BatchOrder>,
}

/// One order of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchOrder {
    /// What the header `Idempotency-Key` is to a single order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who buys.
    #[schema(example = "buyer-7")]
    pub buyer_id: String,
    /// Units wanted, all or nothing.
    #[schema(example = 1, minimum = 1)]
    pub quantity: i64,
    /// Hold the units for so long instead of selling them at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub hold_seconds: Option<i64>,
}

/// What became of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchView {
    /// One per order, in the order in which they were sent.
    pub results: Vec<BatchResult>,
}

/// What became of one order of a batch, as it would have been answered alone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// The HTTP status that it would have had.
    pub status: u16,
    /// Was it sold by an earlier request under the same key?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// The order, where it was sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderView>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
