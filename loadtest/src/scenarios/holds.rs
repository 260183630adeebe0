//! Holds: buyers who put units aside first, and then pay, change their mind, or just go away.
//!
//! Two waves. In the first one every order is a short hold, and the dice decide what becomes of it. Once the
//! last hold must have run out, a plain rush wants at least twice the stock: whatever came back has to be
//! sold then, so that one unit that got lost on its way back shows as stranded, and one that came back twice
//! as oversold.

use crate::crowd::{Crowd, Dice, Hold, PlannedOrder, Then};

/// Long enough to be confirmed by a slow strategy, short enough to be waited for.
const SECONDS_MAX: u64 = 2;
/// The second wave wants the stock that many times over.
const DEMAND_TIMES: u64 = 2;

/// Half of the attempts, each under a key of its own, and the other half.
pub fn waves(crowd: &Crowd, dice: &mut Dice) -> [Vec<PlannedOrder>; 2] {
    let held = crowd.attempts / 2;
    let hold = |n| PlannedOrder { hold: Some(hold(dice)), ..PlannedOrder::new(n, crowd.quantity) };
    let first = (0..held).map(hold).collect();
    [first, (held..crowd.attempts).map(|n| PlannedOrder::new(n, crowd.quantity)).collect()]
}

fn hold(dice: &mut Dice) -> Hold {
    let seconds = 1 + i64::try_from(dice.below(SECONDS_MAX)).unwrap_or(0);
    let then = match dice.below(3) {
        0 => Then::Confirm,
        1 => Then::Release,
        _ => Then::Abandon,
    };
    Hold { seconds, then }
}

/// Why this crowd could not buy up what came back.
pub fn too_few(stock: i64, crowd: &Crowd) -> Option<String> {
    let orders = stock.unsigned_abs().div_ceil(crowd.quantity.unsigned_abs().max(1));
    let needed = 2 * DEMAND_TIMES * orders;
    (crowd.attempts < needed).then(|| {
        format!("holds sells with the second half of the attempts what came back: it needs {needed} of them.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: Crowd = Crowd { buyers: 20, attempts: 2001, quantity: 3 };

    #[test]
    fn a_third_each_confirms_releases_and_goes_away() {
        let [first, _] = waves(&CROWD, &mut Dice::new(7));
        for then in [Then::Confirm, Then::Release, Then::Abandon] {
            let share = first.iter().filter(|o| o.hold.is_some_and(|h| h.then == then)).count();
            assert!((250..=420).contains(&share), "{then:?}: {share} of {}", first.len());
        }
        assert!(first.iter().all(|o| o.hold.is_some_and(|h| (1..=2).contains(&h.seconds))));
    }

    #[test]
    fn the_second_wave_holds_nothing_and_has_keys_of_its_own() {
        let [first, second] = waves(&CROWD, &mut Dice::new(7));
        assert_eq!((first.len(), second.len()), (1000, 1001));
        assert!(second.iter().all(|o| o.hold.is_none()));
        let keys: std::collections::HashSet<_> = first.iter().chain(&second).map(|o| &o.key).collect();
        assert_eq!(keys.len(), 2001);
    }

    #[test]
    fn a_crowd_that_could_not_buy_up_what_came_back_is_refused() {
        assert!(too_few(1502, &CROWD).is_some_and(|why| why.contains("2004")));
        assert_eq!(too_few(1500, &CROWD), None);
    }
}
