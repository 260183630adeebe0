//! The sales of one run of a strategy, and who listens. Each sale has a witness of its own, which hears only
//! of its own orders; where a request is about several of them, one more hears every request once.

use std::sync::Arc;

use uuid::Uuid;

use crate::tally::Witness;

/// One sale and its witness.
pub struct Stall {
    /// The sale.
    pub sale: Uuid,
    /// What its buyers were told about it.
    pub witness: Arc<Witness>,
}

/// All of them.
pub struct Hall {
    /// Hears every request once. Of a single sale it is that sale's own witness.
    pub witness: Arc<Witness>,
    /// The sales, in the order in which the plan counts them.
    pub stalls: Vec<Stall>,
}

impl Hall {
    /// Nothing was heard yet.
    pub fn new(sales: &[Uuid]) -> Self {
        let witness = Arc::new(Witness::default());
        let of = |sale: &Uuid| match sales {
            [_] => Stall { sale: *sale, witness: Arc::clone(&witness) },
            _ => Stall { sale: *sale, witness: Arc::default() },
        };
        Hall { stalls: sales.iter().map(of).collect(), witness }
    }

    /// Their ids.
    pub fn sales(&self) -> Vec<Uuid> {
        self.stalls.iter().map(|stall| stall.sale).collect()
    }
}
