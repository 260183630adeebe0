//! The words of the ledger for an order that was taken in Redis, and what each means to its buyer.

pub(super) use crate::ledger::{RECORDED, STALE, outcome};
