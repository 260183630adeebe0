//! Several sales of one strategy as one row: the worst verdict of them, and the sums of what was counted.

use sellout::wire::Verdict;
use uuid::Uuid;

use crate::sum::sum;
use crate::verdict::Judged;

/// First match wins, as in the audit.
const WORST_FIRST: [Verdict; 9] = [
    Verdict::Oversold,
    Verdict::Lost,
    Verdict::Invalid,
    Verdict::Inconsistent,
    Verdict::Stranded,
    Verdict::NotExercised,
    Verdict::Skipped,
    Verdict::Control,
    Verdict::Held,
];

/// The sale to look at, and the judgement of all. A single sale is judged as it is.
pub fn together(mut all: Vec<(Uuid, Judged)>) -> Option<(Uuid, Judged)> {
    let count = all.len();
    let rank = |j: &Judged| WORST_FIRST.iter().position(|v| *v == j.verdict);
    let worst = (0..count).min_by_key(|n| rank(&all[*n].1))?;
    let evidence = all.iter().map(|(_, judged)| judged.evidence.clone()).reduce(sum)?;
    let disputed = all.iter().any(|(_, judged)| judged.disputed);
    let alike = all.iter().filter(|(_, judged)| judged.verdict == all[worst].1.verdict).count();
    let (sale, judged) = all.swap_remove(worst);
    if count == 1 {
        return Some((sale, judged));
    }
    let reason = match judged.verdict {
        Verdict::Held => {
            let (sold, of) = (evidence.sold, evidence.opened + evidence.changed);
            format!("Each of {count} sales held: sold {sold} of {of} units in all. Evidence, not proof.")
        }
        _ => format!("{alike} of {count} sales, the first of them {sale}: {}", judged.reason),
    };
    Some((sale, Judged { verdict: judged.verdict, reason, evidence, disputed }))
}

#[cfg(test)]
mod tests {
    use sellout::wire::Evidence;

    use super::*;

    fn judged(verdict: Verdict, sold: i64, lost: Option<i64>) -> Judged {
        let evidence = Evidence { opened: 5, sold, lost, ..Evidence::default() };
        Judged { verdict, reason: format!("it sold {sold}."), evidence, disputed: false }
    }

    #[test]
    fn the_worst_sale_speaks_for_all_and_everything_is_summed() {
        let all = [
            judged(Verdict::Held, 5, Some(0)),
            judged(Verdict::Stranded, 4, Some(0)),
            judged(Verdict::Lost, 3, Some(2)),
            judged(Verdict::NotExercised, 1, Some(0)),
        ];
        let named = (1..).map(Uuid::from_u128).zip(all).collect();
        let (sale, row) = together(named).unwrap();
        assert_eq!((sale, row.verdict), (Uuid::from_u128(3), Verdict::Lost));
        assert_eq!((row.evidence.opened, row.evidence.sold, row.evidence.lost), (20, 13, Some(2)));
        assert!(
            row.reason.starts_with("1 of 4 sales") && row.reason.ends_with("it sold 3."),
            "{}",
            row.reason
        );
    }

    #[test]
    fn one_sale_that_was_not_exercised_keeps_the_others_from_having_held() {
        let all = [judged(Verdict::Held, 5, None), judged(Verdict::NotExercised, 5, Some(0))];
        let (_, row) = together((1..).map(Uuid::from_u128).zip(all).collect()).unwrap();
        assert_eq!((row.verdict, row.evidence.lost), (Verdict::NotExercised, None));
    }

    #[test]
    fn a_single_sale_is_judged_as_it_is() {
        let (_, row) = together(vec![(Uuid::nil(), judged(Verdict::Held, 5, Some(0)))]).unwrap();
        assert_eq!(row.reason, "it sold 5.");
        assert!(together(vec![]).is_none());
    }
}
