//! The keys of a sale in Redis, and what stands in them as text.

use uuid::Uuid;

use crate::sale::Error;

/// A sale in one epoch. Its units may be spread over several buckets, each with keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub sale: Uuid,
    pub epoch: i64,
    /// From its opening on the same number, or an order would be looked for in the wrong one.
    pub buckets: usize,
}

impl Scope {
    /// The keys of one bucket.
    pub(super) fn keys(self, bucket: usize) -> Keys {
        let Scope { sale, epoch, buckets } = self;
        let tag = if buckets == 1 { format!("{{{sale}}}") } else { format!("{{{sale}:{bucket}}}") };
        let named = |what: &str| format!("sellout:{tag}:{epoch}:{what}");
        Keys {
            head: format!("sellout:{tag}:head"),
            keys: named("keys"),
            buyers: named("buyers"),
            orders: named("orders"),
        }
    }

    /// The keys of all its buckets.
    pub(super) fn all(self) -> impl Iterator<Item = Keys> {
        (0..self.buckets).map(move |bucket| self.keys(bucket))
    }

    /// Where a buyer's orders are taken: his limit and his keys are in one place. Every process and every
    /// version must find the same, so the hash is written out here (FNV-1a) and not the library's.
    pub(super) fn home(self, buyer: &str) -> usize {
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = buyer.bytes().fold(0x811c_9dc5, mix);
        usize::try_from(hash).unwrap_or_default() % self.buckets
    }

    /// What one bucket gets of so many units.
    pub(super) fn share(self, units: i64, bucket: usize) -> i64 {
        let (buckets, bucket) = (self.buckets.cast_signed() as i64, bucket.cast_signed() as i64);
        units.div_euclid(buckets) + i64::from(bucket < units.rem_euclid(buckets))
    }
}

/// Those of one bucket. All share a hash tag, so that a cluster keeps them on one node; only the head is the
/// same for every epoch, so that what one epoch fills can never mix with another's.
pub(super) struct Keys {
    /// Hash: epoch, left, applied, closing; with several buckets also what they give to each other.
    pub head: String,
    /// Hash: caller:key → fingerprint and order id.
    pub keys: String,
    /// Hash: buyer → units.
    pub buyers: String,
    /// Stream: what was taken and is not recorded.
    pub orders: String,
}

/// An order id that a script answered.
pub(super) fn parse_id(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|e| Error::Unknown(format!("Redis answered {text}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_buckets_are_all_units() {
        for buckets in [1, 3, 8] {
            let scope = Scope { sale: Uuid::nil(), epoch: 1, buckets };
            for units in [-3, 0, 1, 7, 8, 100] {
                let shares: Vec<i64> = (0..buckets).map(|bucket| scope.share(units, bucket)).collect();
                assert_eq!(shares.iter().sum::<i64>(), units, "{shares:?}");
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
            }
            assert!((0..500).all(|at| scope.home(&format!("buyer-{at}")) < buckets));
        }
        let eight = Scope { sale: Uuid::nil(), epoch: 1, buckets: 8 };
        assert_eq!([eight.home("a"), eight.home("foobar")], [0xe40c_292c % 8, 0xbf9c_f968 % 8]);
    }
}
