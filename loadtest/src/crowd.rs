//! How many come, what each of them asks for, and the dice that decide it. The scenarios draw from here;
//! [`crate::plan`] puts their orders in sequence.

/// How many come, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Buyers at once.
    pub buyers: u64,
    /// Requests in all.
    pub attempts: u64,
    /// Units per order.
    pub quantity: i64,
}

/// One order to be sent. Several may carry the same key: retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedOrder {
    /// Its idempotency key.
    pub key: String,
    /// Who asks.
    pub buyer_id: String,
    /// For how many units.
    pub quantity: i64,
    /// Only to be held at first; absent: sold at once.
    pub hold: Option<Hold>,
}

/// A hold, and what its buyer makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For how long.
    pub seconds: i64,
    /// And then.
    pub then: Then,
}

/// What a buyer does with the units that he holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// He pays.
    Confirm,
    /// He says that he does not want them.
    Release,
    /// He says nothing: they come back by themselves.
    Abandon,
}

impl Then {
    /// What he asks of the service, if anything.
    pub fn verb(self) -> Option<&'static str> {
        match self {
            Then::Confirm => Some("confirm"),
            Then::Release => Some("release"),
            Then::Abandon => None,
        }
    }

    /// The state that he asks for.
    pub fn state(self) -> Option<&'static str> {
        match self {
            Then::Confirm => Some("confirmed"),
            Then::Release => Some("released"),
            Then::Abandon => None,
        }
    }
}

impl PlannedOrder {
    /// The `n`th operation, asked for by its own buyer.
    pub fn new(n: u64, quantity: i64) -> Self {
        PlannedOrder { key: format!("k{n}"), buyer_id: format!("buyer-{n}"), quantity, hold: None }
    }
}

/// SplitMix64: small, seeded, the same everywhere. A plan needs no better.
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `n`; 0 for `n` = 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n.max(1)
    }
}
