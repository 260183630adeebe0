//! What each lock was observed to do: the results of `tests/locks.rs`, committed beside the locks.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::wire::LockRequirement;

/// Cells by requirement, by lock. A requirement is named like its test.
pub type Cells = BTreeMap<String, BTreeMap<String, Cell>>;

/// What was observed, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// In a word, or the number that was counted.
    pub value: String,
    /// File of the test, from the root of the repository.
    pub test: String,
}

// Text that does not parse reads as empty; `every_cell_has_its_test` would see every cell missing.
static CELLS: LazyLock<Cells> =
    LazyLock::new(|| serde_json::from_str(include_str!("requirements.json")).unwrap_or_default());

/// One cell; `None` where the requirement does not concern the lock.
pub fn cell(lock: &str, requirement: &str) -> Option<&'static Cell> {
    CELLS.get(lock)?.get(requirement)
}

/// All cells of a lock.
pub fn of(lock: &str) -> Vec<LockRequirement> {
    let cells = CELLS.get(lock).into_iter().flatten();
    let view = |(requirement, cell): (&String, &Cell)| LockRequirement {
        requirement: requirement.clone(),
        value: cell.value.clone(),
        test: cell.test.clone(),
    };
    cells.map(view).collect()
}
