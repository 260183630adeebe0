//! Plenty: twice the units that anybody asks for. A service that refuses buyers here, or leaves the
//! counter wrong, undersells; and the speed is that of selling alone, with no sold-out answers in it.

use super::rush;
use crate::crowd::{Crowd, PlannedOrder};

/// Most units that a sale may have.
const UNITS_MAX: i64 = 1_000_000_000;

/// The same crowd as the rush.
pub fn orders(crowd: &Crowd) -> Vec<PlannedOrder> {
    rush::orders(crowd)
}

/// Twice what will be asked for, whatever stock was asked for.
pub fn opening(stock: i64, crowd: &Crowd) -> Option<i64> {
    let wanted = i64::try_from(crowd.attempts).ok()?.checked_mul(crowd.quantity)?.checked_mul(2)?;
    Some(wanted.max(stock)).filter(|units| *units <= UNITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stock_is_twice_the_demand() {
        let crowd = Crowd { buyers: 10, attempts: 500, quantity: 3 };
        assert_eq!(opening(100, &crowd), Some(3000));
        assert_eq!(opening(9000, &crowd), Some(9000));
    }
}
