//! Whose lock it is: entering again, leaving what is another's, and the number that tells owners apart.

use sellout::backends::Need;
use sellout::locks::{Facts, Owner, Released};
use sellout::sale::Error;
use sellout::wire::{Guarantee, Hazard};
use uuid::Uuid;

use crate::bench::{Bench, limits};
use crate::holder::Holder;

pub async fn an_owner_that_is_inside_enters_again(bench: &Bench, facts: &'static Facts) -> &'static str {
    let limits = limits(facts, 10_000, 300);
    let (party, other) = (bench.party(facts, limits.clone()).await, bench.party(facts, limits).await);
    let (sale, owner) = (party.sale().await, Owner::fresh());
    let outer = party.locks.acquire(sale, owner).await.expect("an empty lock is entered");
    assert_eq!(outer.depth(), 1);
    let inner = match party.locks.again(sale, owner).await {
        // A lock that let it in as if it were somebody else has not known it again.
        Ok(guard) if guard.depth() > 1 => guard,
        Ok(_) => return "no",
        Err(Error::Contended(_)) => {
            assert_eq!(outer.release().await, Released::Ours, "the refusal must leave it inside");
            return "no";
        }
        Err(e) => panic!("neither inside nor refused: {e}"),
    };
    assert_eq!((inner.depth(), inner.token()), (2, outer.token()), "once more, by the same number");
    assert_eq!(inner.release().await, Released::StillInside(1));
    assert!(other.enter(sale).await.is_none(), "it is inside once still");
    assert_eq!(outer.release().await, Released::Ours);
    assert!(other.enter(sale).await.is_some(), "two entries, two releases: it is free");
    "yes"
}

/// What a broken lock does with another's is seen, not declared.
pub fn declared_release(facts: &Facts) -> Option<String> {
    (facts.guarantee != Guarantee::Oversells).then(|| "yes".to_owned())
}

/// A holder loses its lock, another one enters, and the first one leaves: the other must stay inside.
pub async fn a_release_by_a_non_owner_is_refused(bench: &Bench, facts: &'static Facts) -> &'static str {
    let limits_of_holder = limits(facts, 1_000, 300);
    let party = bench.party(facts, limits(facts, 1_000, 4_000)).await;
    let sale = party.sale().await;
    let mut holder = Holder::inside(&bench.servers, &limits_of_holder, facts, sale).await;
    holder.stop().await;
    lose(bench, facts, &holder, sale).await;
    let other = party.enter(sale).await.expect("the holder has lost it");
    holder.go_on();
    let refused = holder.release().await.released == "Lost";
    // A third one asks beside the other: in its own process, where a mutex would be the same one.
    let third = tokio::time::timeout(limits_of_holder.wait(), party.enter(sale)).await;
    let alone = !matches!(third, Ok(Some(_)));
    let stays = alone && other.release().await == Released::Ours;
    match (refused, stays) {
        (_, true) => "yes",
        // Its own lease is broken, so the other one is gone by itself; the release was refused.
        (true, false) if facts.guarantee == Guarantee::Oversells => "yes",
        _ => "no",
    }
}

/// Ends what no time-out ends: a session, a row without a lease. The rest ends by itself.
async fn lose(bench: &Bench, facts: &Facts, holder: &Holder, sale: Uuid) {
    let only_postgres = facts.needs == [Need::Postgres];
    let sql = bench.sql().await;
    if only_postgres && facts.breaks.contains(&Hazard::SessionLost) {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
        sqlx::query(cut).bind(&holder.name).execute(&sql).await.expect("pg_terminate_backend");
    }
    if facts.breaks.contains(&Hazard::LockLeft) {
        let delete = "delete from lock_uniques where sale_id = $1";
        sqlx::query(delete).bind(sale).execute(&sql).await.expect("the row is deleted by hand");
    }
    sql.close().await;
}

pub fn declared_token(facts: &Facts) -> Option<String> {
    Some(if facts.has_token { "own token" } else { "no token" }.to_owned())
}

pub async fn tokens_grow_from_owner_to_owner(bench: &Bench, facts: &'static Facts) -> &'static str {
    let limits = limits(facts, 10_000, 5_000);
    let parties = [bench.party(facts, limits.clone()).await, bench.party(facts, limits).await];
    let sale = parties[0].sale().await;
    let mut tokens = Vec::new();
    for at in 0..6 {
        let guard = parties[at % 2].enter(sale).await.expect("it is free");
        tokens.push(guard.token());
        guard.release().await;
    }
    let Some(tokens) = tokens.iter().copied().collect::<Option<Vec<_>>>() else {
        assert!(tokens.iter().all(Option::is_none), "a number now and then is none: {tokens:?}");
        return "no token";
    };
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "they grow: {tokens:?}");
    "own token"
}
