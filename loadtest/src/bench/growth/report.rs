//! What was measured, as it is kept.

use sellout::wire::Environment;
use serde::{Deserialize, Serialize};

use super::options::Options;
use super::{orders, overload, rebuild, sales};

/// Version of [`Part`]; raised when a field changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// One part, or all of them put together: the file of `--json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Version of this shape.
    pub schema_version: u32,
    /// When it began.
    pub started_at: String,
    /// Where.
    pub environment: Environment,
    /// How far everything was grown.
    pub options: Options,
    /// With the sales that are open.
    pub sales: Vec<sales::Step>,
    /// With the orders in the ledger.
    pub orders: Vec<orders::Step>,
    /// With the orders of a sale that Redis has forgotten.
    pub rebuilt: Vec<rebuild::Step>,
    /// With the buyers who wait.
    pub waiting: Vec<overload::Waiting>,
    /// With those for whom there is no room.
    pub overload: Vec<overload::Overload>,
}

impl Part {
    /// Puts parts together. The error is a sentence.
    pub fn together(parts: Vec<Part>) -> Result<Part, String> {
        let mut all = Part { schema_version: SCHEMA_VERSION, ..Part::default() };
        for part in parts {
            if all.started_at.is_empty() {
                (all.started_at, all.environment, all.options) =
                    (part.started_at, part.environment, part.options);
            }
            all.sales.extend(part.sales);
            all.orders.extend(part.orders);
            all.rebuilt.extend(part.rebuilt);
            all.waiting.extend(part.waiting);
            all.overload.extend(part.overload);
        }
        (!all.started_at.is_empty()).then_some(all).ok_or_else(|| "no part was finished".into())
    }
}
