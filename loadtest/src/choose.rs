//! Which strategies run: `all`, `safe`, or by name, and help for those who mistyped one.

use sellout::wire::StrategyCard;

/// What was chosen.
pub struct Choice {
    /// In the order of the run.
    pub cards: Vec<StrategyCard>,
    /// Were they asked for by name? Then a skipped one is a failure.
    pub by_name: bool,
}

/// Picks the cards; the error is a sentence.
pub fn choose(wanted: &[String], cards: Vec<StrategyCard>) -> Result<Choice, String> {
    match wanted {
        [only] if only == "all" => Ok(Choice { cards, by_name: false }),
        [only] if only == "safe" => {
            Ok(Choice { cards: cards.into_iter().filter(|c| c.safe).collect(), by_name: false })
        }
        names => by_name(names, &cards),
    }
}

fn by_name(names: &[String], cards: &[StrategyCard]) -> Result<Choice, String> {
    let mut chosen: Vec<StrategyCard> = Vec::new();
    for name in names.iter().map(|n| n.trim()) {
        let card = cards.iter().find(|c| c.id == name).ok_or_else(|| no_such(name, cards))?;
        if chosen.iter().all(|c| c.id != card.id) {
            chosen.push(card.clone());
        }
    }
    Ok(Choice { cards: chosen, by_name: true })
}

fn no_such(name: &str, cards: &[StrategyCard]) -> String {
    let ids: Vec<&str> = cards.iter().map(|c| c.id.as_str()).collect();
    let nearest = ids.iter().min_by_key(|id| distance(name, id));
    let hint = nearest.map(|id| format!(" Did you mean `{id}`?")).unwrap_or_default();
    format!("there is no strategy `{name}`.{hint} There are: {}.", ids.join(", "))
}

/// Levenshtein: letters to insert, drop or change. `-` and `_` count as the same.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase().replace('-', "_"), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use sellout::wire::{Guarantee, RoundTrips};

    use super::*;

    fn cards() -> Vec<StrategyCard> {
        let card = |id: &str, safe| StrategyCard {
            id: id.into(),
            title: String::new(),
            guarantee: Guarantee::Exact,
            safe,
            breaks: vec![],
            oversells_in: None,
            fails_when: String::new(),
            round_trips: RoundTrips { sold: 1, sold_out: 1 },
            needs: vec![],
            available: true,
            unavailable_reason: None,
            doc: String::new(),
            holds: true,
            carts: true,
            statements: vec![],
            source: String::new(),
            lock: None,
        };
        vec![card("naive", false), card("atomic_update", true), card("row_lock", true)]
    }

    fn chosen(wanted: &[&str]) -> Result<Vec<String>, String> {
        let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
        choose(&wanted, cards()).map(|c| c.cards.into_iter().map(|c| c.id).collect())
    }

    #[test]
    fn all_safe_and_names_are_understood() {
        assert_eq!(chosen(&["all"]).map(|c| c.len()), Ok(3));
        assert_eq!(chosen(&["safe"]), Ok(vec!["atomic_update".into(), "row_lock".into()]));
        assert_eq!(chosen(&["row_lock", "naive", "row_lock"]), Ok(vec!["row_lock".into(), "naive".into()]));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_the_list() {
        let said = chosen(&["atomic-updat"]).err().unwrap_or_default();
        assert!(said.contains("Did you mean `atomic_update`?"), "{said}");
        assert!(said.contains("naive, atomic_update, row_lock"), "{said}");
    }
}
