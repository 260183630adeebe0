//! Asks several servers at once and counts their votes: what `lock_redlock` needs beside its protocol.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

/// What an odd number of servers said.
pub(super) struct Votes {
    yes: usize,
    no: usize,
    silent: usize,
    majority: usize,
}

impl Votes {
    /// Has a majority said yes?
    pub(super) fn won(&self) -> bool {
        self.yes >= self.majority
    }

    /// Has a majority said no? (Of an odd number one of the two must have it, if all answer.)
    pub(super) fn lost(&self) -> bool {
        self.no >= self.majority
    }

    /// Too many did not answer for either.
    pub(super) fn undecided(&self) -> bool {
        !self.won() && !self.lost()
    }

    /// Did a majority not answer?
    pub(super) fn unheard(&self) -> bool {
        self.silent >= self.majority
    }

    fn may_be_won(&self) -> bool {
        self.no + self.silent < self.majority
    }
}

/// Asks all nodes at once, and returns when the majority is known or cannot come about any more, or at
/// `until`. `question` answers yes, no, or nothing; a node that is slower is heard to its end all the same,
/// with nobody waiting. A node's questions go one after the other, in the order in which they were asked.
pub(super) async fn ask<N, F>(
    nodes: &[Arc<Mutex<N>>],
    until: Instant,
    question: impl Fn(OwnedMutexGuard<N>) -> F + Copy + Send + 'static,
) -> Votes
where
    N: Send + 'static,
    F: Future<Output = Option<bool>> + Send,
{
    let (send, mut answers) = mpsc::channel(nodes.len().max(1));
    for node in nodes {
        // Here and not in the task, which may start late: the first question is in front of the second.
        let (turn, node, send) = (Arc::clone(node).try_lock_owned(), Arc::clone(node), send.clone());
        tokio::spawn(async move {
            let node = match turn {
                Ok(node) => node,
                Err(_) => node.lock_owned().await,
            };
            let _nobody_waits_any_more = send.send(question(node).await).await;
        });
    }
    let mut votes = Votes { yes: 0, no: 0, silent: 0, majority: nodes.len() / 2 + 1 };
    while !votes.won() && votes.may_be_won() {
        match tokio::time::timeout_at(until.into(), answers.recv()).await {
            Ok(Some(Some(true))) => votes.yes += 1,
            Ok(Some(Some(false))) => votes.no += 1,
            Ok(Some(None)) => votes.silent += 1,
            Ok(None) | Err(_) => votes.silent = nodes.len() - votes.yes - votes.no,
        }
    }
    votes
}
