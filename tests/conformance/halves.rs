//! Fixed interleavings of what looks right and is half of it: a fence that is asked on the write alone, and a
//! count that skips what others have locked.

use sellout::strategies::Spec;
use sellout::wire::Verdict;

use crate::Bench;
use crate::watched::{NARROW, Watched};

const HALF_A_FENCE: &str = "fence_on_write_only";

/// One lock, one schedule: half a fence and a whole one.
pub fn is_fenced_by_tokens_of_a_lease_row(spec: &Spec) -> bool {
    [HALF_A_FENCE, "lock_pg_table_fenced"].contains(&spec.id)
}

pub async fn who_was_overtaken_does_not_write_first_either(bench: &Bench, spec: &Spec) {
    let (first, second) = (Watched::start(bench, &NARROW).await, Watched::start(bench, &NARROW).await);
    first.warm(spec).await;
    second.warm(spec).await;
    let sql = bench.app.sql().await;
    let sale = first.last_unit(bench, spec).await;
    assert_eq!(second.app.api.get(&format!("/v1/sales/{sale}")).await.body["left"], 1);
    // Turns of an order: it enters, it reads, it writes.
    let write = spec.lock.as_ref().map_or(0, |bracket| u64::from(bracket.facts.trips.acquire)) + 2;

    let one = first.held_buyer(sale, write).await;
    // In the place of a pause beyond the lease: this process runs, and would renew it.
    let ended = "update lock_leases set expires_at = '-infinity' where sale_id = $1 and token = 1";
    let ended = sqlx::query(ended).bind(sale).execute(&sql).await.expect("the lease");
    assert_eq!(ended.rows_affected(), 1, "the first buyer was not inside");
    let two = second.held_buyer(sale, write).await;
    // Both have read that one is left. The one who was overtaken writes first.
    first.pg.release();
    let one = one.await.expect("the first buyer");
    second.pg.release();
    let two = two.await.expect("the second buyer");

    assert!(two.is_sold(), "{} {}", two.status, two.text);
    let audit = bench.app.api.audit(sale).await;
    if spec.id == HALF_A_FENCE {
        assert!(one.is_sold(), "no newer token has written yet: {} {}", one.status, one.text);
        assert_eq!((audit.verdict, audit.evidence.sold), (Verdict::Oversold, 2));
        assert_eq!(audit.evidence.left, Some(0), "the counter looks healthy");
    } else {
        assert_eq!(one.problem(), "contended", "a newer token has read: {} {}", one.status, one.text);
        assert_eq!((audit.evidence.sold, audit.evidence.oversold), (1, 0));
    }
    first.app.stop().await;
    second.app.stop().await;
}

/// Does it leave out what others are counting?
pub fn skips_locked_orders(spec: &Spec) -> bool {
    spec.id == "skip_locked_count"
}

pub async fn what_was_sold_long_ago_sells_again_while_somebody_counts(bench: &Bench, spec: &Spec) {
    let first = Watched::start(bench, &NARROW).await;
    first.warm(spec).await;
    let sale = first.last_unit(bench, spec).await;
    assert!(bench.app.api.buy(sale).await.is_sold());
    // BEGIN, the count, and then it lets go: kept back there, it holds the one order that there is.
    let counting = first.held_buyer(sale, 3).await;
    let late = bench.app.api.buy(sale).await;
    first.pg.release();
    let counting = counting.await.expect("the buyer who counts");
    assert_eq!(counting.problem(), "sold-out", "it counted right: {}", counting.text);
    assert!(late.is_sold(), "the locked order was counted: {} {}", late.status, late.text);
    let audit = bench.app.api.audit(sale).await;
    assert_eq!((audit.verdict, audit.evidence.sold), (Verdict::Oversold, 2));
    first.app.stop().await;
}
