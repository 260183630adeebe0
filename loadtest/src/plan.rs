//! Who sends what, decided before the first request, from the seed alone.
//!
//! Buyers take the next order by an atomic ticket, so the number of attempts is exact however they
//! divide the work, and a second run with the same seed asks for the same orders in the same
//! sequence. What happens between them stays the operating system's.

use crate::crowd::{Crowd, Dice, Errand};
use crate::scenarios::Scenario;

/// The requests of one strategy's run, wave by wave: the same crowd for all, under keys of its own.
pub fn plan(scenario: Scenario, crowd: &Crowd, seed: u64, key_prefix: &str) -> Vec<Vec<Errand>> {
    let mut waves = scenario.waves(crowd, &mut Dice::new(seed));
    for errand in waves.iter_mut().flatten() {
        errand.key_mut().insert_str(0, key_prefix);
    }
    waves
}

/// A seed for a run that asked for none: 32 bits, so that JSON readers with doubles keep it exact.
pub fn random_seed() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1 & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: Crowd = Crowd { buyers: 20, attempts: 997, quantity: 2 };

    #[test]
    fn every_plan_has_exactly_the_attempts_asked_for() {
        for scenario in Scenario::ALL {
            for attempts in [1, 2, 3, 4, 5, 6, 7, 997] {
                let crowd = Crowd { attempts, buyers: 1, ..CROWD };
                let sent = plan(scenario, &crowd, 7, "").into_iter().flatten();
                let quantities = sent.flat_map(|errand| match errand {
                    Errand::Order(order) => vec![vec![order.quantity]],
                    Errand::Cart(cart) => vec![cart.items.iter().map(|item| item.quantity).collect()],
                });
                let quantities: Vec<Vec<i64>> = quantities.collect();
                assert_eq!(quantities.len() as u64, attempts, "{scenario:?}");
                assert!(quantities.iter().flatten().all(|units| *units == 2));
            }
        }
    }

    #[test]
    fn the_seed_alone_decides_the_plan() {
        for scenario in [Scenario::RetryStorm, Scenario::Holds, Scenario::Carts] {
            let drawn = |seed| plan(scenario, &CROWD, seed, "x-");
            assert_eq!(drawn(7), drawn(7));
            assert_ne!(drawn(7), drawn(8), "{scenario:?}");
        }
    }

    #[test]
    fn the_prefix_goes_before_every_key() {
        for scenario in Scenario::ALL {
            let mut sent = plan(scenario, &CROWD, 7, "run-3-").into_iter().flatten();
            assert!(sent.all(|mut errand| errand.key_mut().starts_with("run-3-k")), "{scenario:?}");
        }
    }
}
