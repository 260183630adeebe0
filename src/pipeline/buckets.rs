//! The units of a sale spread over several buckets, so that a cluster can spread them over its nodes. A buyer
//! has a home; where it has too little, others give to it.
//!
//! Two buckets may be on two nodes, so no script sees both. A gift is three scripts: the giver notes it and
//! subtracts, the home accepts its number once, the giver forgets the note. Whoever dies in between leaves a
//! note, and whoever finds a note delivers it.

use std::collections::HashMap;

use super::keys::Scope;
use super::{Pipeline, TAKE, Taken};
use crate::backends::redis_at_write;
use crate::patience::Patience;
use crate::sale::{Error, Order, Sale};

pub(super) const GIVE: &str = include_str!("give.lua");
pub(super) const ACCEPT: &str = include_str!("accept.lua");
pub(super) const ARRIVED: &str = include_str!("arrived.lua");

/// What Redis has of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub epoch: i64,
    pub applied: i64,
    left: i64,
    /// Given to others, less what they gave.
    lent: i64,
    out: Vec<Gift>,
}

/// Units on their way from one bucket to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gift {
    to: usize,
    number: i64,
    units: i64,
}

impl Head {
    fn read(fields: &HashMap<String, String>) -> Option<Head> {
        let number = |name: &str| fields.get(name)?.parse().ok();
        let gift = |(name, note): (&String, &String)| {
            let (number, units) = note.split_once(' ')?;
            let to = name.strip_prefix("out:")?.parse().ok()?;
            Some(Gift { to, number: number.parse().ok()?, units: units.parse().ok()? })
        };
        Some(Head {
            epoch: number("epoch")?,
            applied: number("applied")?,
            left: number("left")?,
            lent: number("lent").unwrap_or_default(),
            out: fields.iter().filter_map(gift).collect(),
        })
    }

    /// What this bucket would have if none had ever given: only takes make it less, and only returns more.
    /// So the sum over all buckets, read one after the other, is never more than there was when the first
    /// was read, whatever travels between them.
    pub(super) fn own(&self) -> i64 {
        self.left + self.lent
    }
}

impl Pipeline {
    /// What stands in the head of each bucket.
    pub(super) async fn heads(&self, scope: Scope) -> Result<Vec<Option<Head>>, Error> {
        let mut ask = redis::pipe();
        for keys in scope.all() {
            ask.cmd("HGETALL").arg(keys.head);
        }
        let mut redis = self.redis().await?;
        let heads: Vec<HashMap<String, String>> = ask.query_async(&mut redis).await.map_err(unreachable)?;
        Ok(heads.iter().map(Head::read).collect())
    }

    /// The buyer's home has too little. The others give what it lacks; sold out is said only when all
    /// together had too little at one moment.
    pub(super) async fn gather(&self, sale: &Sale, order: &Order) -> Result<Taken, Error> {
        let (scope, mut patience) = (self.scope(sale), Patience::new(self.limits.wait()));
        let home = scope.home(&order.buyer_id);
        loop {
            let seen = self.heads(scope).await?;
            let Some(heads) = of_epoch(scope, &seen) else { return Err(Error::Stale) };
            if heads.iter().map(Head::own).sum::<i64>() < order.quantity {
                // Units that came back after their bucket was read are not in the sum. If none did, there
                // was a moment at which there were too few.
                let again = self.heads(scope).await?;
                let numbers = |heads: &[Head]| heads.iter().map(|head| head.applied).collect::<Vec<_>>();
                if of_epoch(scope, &again).is_some_and(|again| numbers(&again) == numbers(&heads)) {
                    return Ok(Taken::SoldOut);
                }
                patience.pause("units come back to the buckets of the sale").await?;
                continue;
            }
            let gifts = self.ask_for(scope, home, order.quantity, &heads).await?;
            match self.take_with(sale, order, &gifts).await? {
                Taken::SoldOut => {}
                taken => return Ok(taken),
            }
            // Another one was faster, or has what is lacking on its way. Whatever travels arrives, whosever
            // it is; and of two who take from each other one comes first the next time.
            self.deliver_all(scope, &seen).await?;
            patience.pause("units are moving between the buckets of the sale").await?;
        }
    }

    /// Gifts for a bucket: those on their way to it, and of the richest others what it still lacks.
    async fn ask_for(
        &self,
        scope: Scope,
        home: usize,
        quantity: i64,
        heads: &[Head],
    ) -> Result<Vec<(usize, Gift)>, Error> {
        let mut others: Vec<usize> = (0..scope.buckets).filter(|bucket| *bucket != home).collect();
        others.sort_by_key(|bucket| -heads[*bucket].left);
        let mut gifts: Vec<(usize, Gift)> = Vec::new();
        let mut lacks = quantity - heads[home].left;
        for (from, gift) in on_their_way(heads).filter(|(_, gift)| gift.to == home) {
            lacks -= gift.units;
            gifts.push((from, gift));
        }
        for from in others {
            if lacks <= 0 {
                break;
            }
            if gifts.iter().any(|(giver, _)| *giver == from) {
                continue;
            }
            let mut redis = self.redis().await?;
            let mut give = self.give.prepare_invoke();
            give.key(scope.keys(from).head).arg(scope.epoch).arg(home).arg(lacks);
            // Should the answer be lost, the note is there.
            let (number, units): (i64, i64) = give.invoke_async(&mut redis).await.map_err(unreachable)?;
            if units > 0 {
                lacks -= units;
                gifts.push((from, Gift { to: home, number, units }));
            }
        }
        Ok(gifts)
    }

    /// Gifts arrive and the order is taken, before Redis runs anything else on this node: whoever gathers for
    /// another bucket can take nothing of it in between.
    async fn take_with(&self, sale: &Sale, order: &Order, gifts: &[(usize, Gift)]) -> Result<Taken, Error> {
        let scope = self.scope(sale);
        let keys = scope.keys(scope.home(&order.buyer_id));
        let mut both = redis::pipe();
        both.atomic();
        for (from, gift) in gifts {
            both.cmd("EVAL").arg(ACCEPT).arg(1).arg(&keys.head);
            both.arg(scope.epoch).arg(from).arg(gift.number).arg(gift.units).ignore();
        }
        both.cmd("EVAL").arg(TAKE).arg(4).arg(&keys.head).arg(&keys.keys).arg(&keys.buyers).arg(&keys.orders);
        both.arg(&super::asked(sale, order)[..]);
        let mut redis = self.redis().await?;
        let (said,): ((String, String),) = both.query_async(&mut redis).await.map_err(redis_at_write)?;
        drop(redis);
        // Nobody waits for this: a note that stays is delivered again, and changes nothing.
        if let Some(pipeline) = self.me.upgrade().filter(|_| !gifts.is_empty()) {
            let gifts = gifts.to_vec();
            self.runtime.spawn(async move {
                for (from, gift) in gifts {
                    _ = pipeline.arrived(scope, from, gift).await;
                }
            });
        }
        self.understand(sale.id, &said.0, &said.1)
    }

    /// Whatever is on its way arrives. Its sender may have died.
    pub(super) async fn deliver_all(&self, scope: Scope, heads: &[Option<Head>]) -> Result<(), Error> {
        let Some(heads) = of_epoch(scope, heads) else { return Ok(()) };
        for (from, gift) in on_their_way(&heads) {
            let mut redis = self.redis().await?;
            let mut accept = self.accept.prepare_invoke();
            accept.key(scope.keys(gift.to).head).arg(scope.epoch).arg(from).arg(gift.number).arg(gift.units);
            accept.invoke_async::<i64>(&mut redis).await.map_err(unreachable)?;
            self.arrived(scope, from, gift).await?;
        }
        Ok(())
    }

    async fn arrived(&self, scope: Scope, from: usize, gift: Gift) -> Result<i64, Error> {
        let mut redis = self.redis().await?;
        let mut arrived = self.arrived.prepare_invoke();
        arrived.key(scope.keys(from).head).arg(scope.epoch).arg(gift.to).arg(gift.number);
        arrived.invoke_async(&mut redis).await.map_err(unreachable)
    }
}

/// All heads, if they are there and of this epoch.
fn of_epoch(scope: Scope, heads: &[Option<Head>]) -> Option<Vec<Head>> {
    heads.iter().map(|head| head.clone().filter(|head| head.epoch == scope.epoch)).collect()
}

/// Gifts that were noted, and by whom.
fn on_their_way(heads: &[Head]) -> impl Iterator<Item = (usize, Gift)> {
    heads.iter().enumerate().flat_map(|(from, head)| head.out.iter().map(move |gift| (from, *gift)))
}

/// Nothing of the order has been taken yet, whatever broke.
fn unreachable(e: redis::RedisError) -> Error {
    Error::Unavailable(format!("Redis: {e}"))
}
