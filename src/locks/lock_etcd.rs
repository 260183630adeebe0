//! The naive take inside an etcd lock: a queue of keys under the lease of the process.
//!
//! # How
//! Each acquisition puts a key of its own below the sale's prefix; the one with the smallest create revision
//! is inside. The others each watch the one before them, and re-read their own key before they enter: a
//! waiter whose lease died is refused (the server's own Lock call lets it in). Release deletes the key if its
//! create revision is still ours. The token is that revision, plus a base for an etcd that was set up anew.
//!
//! # Guarantee
//! Conditional. One holder at a time, in the order in which they came, with etcdctl's `lock` in the same
//! queue. A holder that was paused beyond its lease still writes. `lock_etcd_fenced` claims the token at the
//! stock row when it reads and requires it when it writes: exact.
//!
//! # Fails when
//! The holder is paused beyond its lease. A holder that hangs keeps the lock for as long as its process
//! lives, for the lease is the process's.
//!
//! # Cost
//! Four round trips, two of them through etcd's log: it writes each to disk before it answers.
//!
//! # See
//! <https://jepsen.io/analyses/etcd-3.4.3>; etcd issues 11456, 22082 and 22387

use std::sync::Arc;

use super::{Facts, Lock, Need, Trips};
use crate::backends::Backends;
use crate::sale::Error;
use crate::wire::{Guarantee, Hazard};

/// The typed facts.
pub const FACTS: Facts = Facts {
    id: "lock_etcd",
    guarantee: Guarantee::Conditional,
    breaks: &[Hazard::LeaseExpiry],
    oversells_in: Some("a holder stopped beyond its lease"),
    fails_when: "a holder is stopped beyond its lease",
    trips: Trips { acquire: 1, release: 1 },
    needs: &[Need::Postgres, Need::Etcd],
    statements: &[],
    source: include_str!("lock_etcd.rs"),
    queues: true,
    waits_by: "watching the one before",
    fair: true,
    reentrant: false,
    renews: true,
    has_token: true,
    build,
};

#[cfg(not(feature = "etcd"))]
fn build(backends: &Backends) -> Result<Arc<dyn Lock>, Error> {
    match *backends.etcd()? {}
}

#[cfg(feature = "etcd")]
fn build(backends: &Backends) -> Result<Arc<dyn Lock>, Error> {
    Ok(Arc::new(protocol::LockEtcd(backends.etcd()?.clone())))
}

#[cfg(feature = "etcd")]
mod protocol {
    use std::sync::Arc;

    use async_trait::async_trait;
    use etcd_client::CompareOp::Equal;
    use etcd_client::{Compare, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp};
    use uuid::Uuid;

    use crate::backends::{Etcd, Lease};
    use crate::locks::{Entered, Inside, Life, Lock, Owner, Released, Wait};
    use crate::sale::Error;

    /// Rivals in `raise`, and leases that died unseen: after so many there is more wrong than that.
    const TRIES: u32 = 8;
    const BUSY: &str = "the lock was held by others for as long as one waits";

    /// A queue per sale.
    pub(super) struct LockEtcd(pub(super) Etcd);

    /// A place in the queue. The first is inside.
    struct Place {
        lease: Arc<Lease>,
        queue: String,
        key: String,
        created: i64,
    }

    #[async_trait]
    impl Lock for LockEtcd {
        async fn enter(&self, sale: Uuid, owner: Owner, wait: &mut Wait) -> Result<Entered, Error> {
            // `etcdctl lock sellout/locks/<sale>` queues below the same prefix.
            let (queue, base) = (format!("sellout/locks/{sale}/"), base_key(sale));
            for _ in 0..TRIES {
                let lease = self.0.lease().await?;
                let key = format!("{queue}{}", lease.fresh_name());
                let leased = PutOptions::new().with_lease(lease.id());
                let absent = Compare::create_revision(&*key, Equal, 0);
                let entry = Txn::new().when([absent]).and_then([
                    TxnOp::put(&*key, owner.0.to_string(), Some(leased)),
                    TxnOp::get(&*queue, Some(one(SortOrder::Ascend))),
                    TxnOp::get(&*base, None),
                ]);
                let entered = match lease.txn(entry).await {
                    Ok(entered) if entered.held => entered,
                    Ok(_) => continue,
                    // The lease died unseen, and with it whatever was put under it.
                    Err(_) if lease.is_over() => continue,
                    Err(e) => {
                        lease.delete_later(&key);
                        return Err(e);
                    }
                };
                let created = entered.revision;
                let place = Place { lease, queue, key, created };
                if entered.created(0) != Some(created)
                    && let Err(e) = place.come_first(wait).await
                {
                    place.leave().await;
                    return Err(e);
                }
                let (token, life) = (created + entered.number(1), Life::Kept(place.lease.until()));
                return Ok(Entered { inside: Arc::new(place), token: Some(token), depth: 1, life });
            }
            Err(Error::Unavailable("etcd: no key could be put".into()))
        }

        /// Revisions begin anew in an etcd that was set up anew; the base makes up for it.
        async fn raise(&self, sale: Uuid, above: i64) -> Result<(), Error> {
            let (lease, key) = (self.0.lease().await?, base_key(sale));
            for _ in 0..TRIES {
                let asked = lease.txn(Txn::new().and_then([TxnOp::get(&*key, None)])).await?;
                if asked.number(0) + asked.revision >= above {
                    return Ok(());
                }
                // Another buyer may raise it just now, and higher: then ours does not count.
                let same = Compare::mod_revision(&*key, Equal, asked.modified(0));
                let put = TxnOp::put(&*key, (above - asked.revision).to_string(), None);
                if lease.txn(Txn::new().when([same]).and_then([put])).await?.held {
                    return Ok(());
                }
            }
            Err(Error::Contended("others raise the token of this lock".into()))
        }
    }

    impl Place {
        /// Waits until nobody is before this place. Should the place vanish, it is refused.
        async fn come_first(&self, wait: &mut Wait) -> Result<(), Error> {
            loop {
                // One transaction: one moment at which we are in the queue and nobody is before us. Whoever
                // asks for the others alone enters on a lease that died while it waited.
                let before = one(SortOrder::Descend).with_max_create_revision(self.created - 1);
                let look = [TxnOp::get(&*self.key, None), TxnOp::get(&*self.queue, Some(before))];
                match wait.for_event(self.lease.txn(Txn::new().and_then(look)), BUSY).await? {
                    Ok(seen) if seen.created(0) != Some(self.created) => {
                        return Err(Error::Contended("the place in the queue was lost".into()));
                    }
                    Ok(seen) => {
                        let Some(before) = seen.key(1) else { return Ok(()) };
                        // From the next revision on: nothing is missed between the look and the watch.
                        let gone = self.lease.deleted([before, self.key.as_bytes()], seen.revision + 1);
                        wait.event_or(gone, self.lease.third(), BUSY).await?;
                    }
                    Err(e) if self.lease.is_over() => return Err(e),
                    Err(_) => wait.pause("etcd did not answer").await?,
                }
            }
        }
    }

    #[async_trait]
    impl Inside for Place {
        async fn leave(&self) -> Released {
            for asked_before in [false, true] {
                let ours = Txn::new().when([Compare::create_revision(&*self.key, Equal, self.created)]);
                match self.lease.txn(ours.and_then([TxnOp::delete(&*self.key, None)])).await {
                    Ok(left) if left.held => return Released::Ours,
                    // It was the first deletion, of which we did not hear, unless the lease has ended since.
                    Ok(_) if asked_before && !self.lease.is_over() => return Released::Ours,
                    Ok(_) => return Released::Lost,
                    Err(_) => {}
                }
            }
            // The lease lives on: the key would block the queue for as long as this process lives.
            self.lease.delete_later(&self.key);
            Released::Unknown
        }
    }

    /// Outside the queue. It survives every lease.
    fn base_key(sale: Uuid) -> String {
        format!("sellout/base/{sale}")
    }

    /// The first or the last of a queue, as they came.
    fn one(order: SortOrder) -> GetOptions {
        GetOptions::new().with_prefix().with_sort(SortTarget::Create, order).with_limit(1)
    }
}
