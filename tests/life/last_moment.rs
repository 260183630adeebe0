//! Buyers who end their holds at the very moment at which these run out.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::support::{Answer, Api};

/// How much before the end a buyer must ask, so that the ledger looks at it just then, nobody knows; so each
/// answer moves the next ones: who was in time asks later.
struct LastMoment {
    lead_us: AtomicI64,
}

impl LastMoment {
    /// Says at its time which hold is next. In a thread of its own: the runtime's timer counts milliseconds.
    fn poll_the_clock(&self, holds: &[(String, u64)], next: &mpsc::UnboundedSender<String>) {
        for (order, ends) in holds {
            let at = ends.saturating_add_signed(-self.lead_us.load(Relaxed));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            if let Some(early) = Duration::from_micros(at).checked_sub(now) {
                std::thread::sleep(early);
            }
            if next.send(order.clone()).is_err() {
                return;
            }
        }
    }

    fn learn(&self, in_time: bool) {
        self.lead_us.fetch_add(if in_time { -25 } else { 25 }, Relaxed);
    }
}

/// Does `verb` to each hold at its end; `holds` with their ends, in µs since 1970. Answers by order.
pub async fn at_the_last_moment(
    api: &Api,
    holds: Vec<(String, u64)>,
    verb: &'static str,
) -> Vec<(String, Answer)> {
    let moment = Arc::new(LastMoment { lead_us: AtomicI64::new(1_500) });
    let (sender, mut next) = mpsc::unbounded_channel();
    let clock = Arc::clone(&moment);
    let clock = std::thread::spawn(move || clock.poll_the_clock(&holds, &sender));
    let mut asked = Vec::new();
    while let Some(order) = next.recv().await {
        let (api, moment) = (api.clone(), Arc::clone(&moment));
        asked.push(tokio::spawn(async move {
            let answer = api.end(&order, verb).await;
            moment.learn(answer.status == 200);
            (order, answer)
        }));
    }
    clock.join().expect("the clock");
    let mut answers = Vec::with_capacity(asked.len());
    for task in asked {
        answers.push(task.await.expect("a buyer"));
    }
    answers
}
