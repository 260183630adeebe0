//! The attack: goose runs the buyers, one goose user each, all let go at the same moment.
//!
//! One iteration of a goose user is one buyer's whole shopping trip: he takes the next planned order
//! until none is left. Had we counted attempts as iterations, a slow buyer would keep his share
//! to himself and the crowd would thin out before the end.
//! Goose counts the requests too, as a third pair of eyes; times and classes are our own, because
//! goose stops its clock at the headers and calls every 409 a failure.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use goose::GooseError;
use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::metrics::GooseMetrics;
use goose::prelude::*;
use tokio::sync::Barrier;

use crate::answer::Answer;
use crate::args::Args;
use crate::buyer::{self, Heard};
use crate::client::Service;
use crate::crowd::Errand;
use crate::hall::Hall;
use crate::history::History;
use crate::interrupt;

/// A buyer who died on the way must not keep the others from starting.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Nor from ending: goose waits for every user to say that he is done, for ever.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What the buyers of one wave share.
pub struct Ground {
    /// The service.
    pub service: Service,
    /// The sales, and who listens, in all waves.
    pub hall: Arc<Hall>,
    /// What is on file.
    pub history: Arc<History>,
    plan: Vec<Errand>,
    next: AtomicUsize,
    start: Barrier,
    first_op: u64,
    unwritten: OnceLock<String>,
}

impl Ground {
    /// Prepares an attack of so many buyers. `first_op` numbers its requests within the run.
    pub fn new(
        service: Service,
        hall: Arc<Hall>,
        plan: Vec<Errand>,
        buyers: usize,
        history: Arc<History>,
        first_op: u64,
    ) -> Self {
        Ground {
            service,
            hall,
            history,
            plan,
            next: AtomicUsize::new(0),
            start: Barrier::new(buyers),
            first_op,
            unwritten: OnceLock::new(),
        }
    }

    /// The next request and its number, each exactly once.
    fn ticket(&self) -> Option<(u64, &Errand)> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        self.plan.get(n).map(|errand| (self.first_op + n as u64, errand))
    }

    /// Is no request left to be sent?
    fn used_up(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.plan.len()
    }

    async fn wait_for_all(&self) {
        let _ = tokio::time::timeout(START_LIMIT, self.start.wait()).await;
    }
}

/// Lets the buyers go and waits for the last answer. The error is a sentence.
pub async fn attack(ground: &Arc<Ground>, args: &Args) -> Result<(), String> {
    let heard_before = ground.hall.witness.answered();
    let order_limit = Duration::from_millis(args.timeout_ms);
    let watchdog = tokio::spawn(end_without_the_dead(Arc::clone(ground), order_limit + END_LIMIT));
    let launched = launch(ground, &args.host, args.buyers).await;
    watchdog.abort();
    let metrics = launched.map_err(|e| format!("goose: {e:?}"))?;
    if let Some(why) = ground.unwritten.get() {
        return Err(format!("the history could not be written: {why}"));
    }
    let seen = metrics.requests.get("POST order").map_or(0, |r| r.raw_data.counter as u64);
    let heard = ground.hall.witness.answered() - heard_before;
    if seen != heard {
        eprintln!("sellout-load: goose counted {seen} requests, the witness heard {heard} answers.");
    }
    Ok(())
}

/// Stops goose when nothing is left to send and nobody has answered for longer than a request may take.
async fn end_without_the_dead(ground: Arc<Ground>, limit: Duration) {
    let (mut answered, mut since) = (0, Instant::now());
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = ground.hall.witness.signs_of_life();
        if now != answered || !(ground.used_up() || interrupt::asked()) {
            (answered, since) = (now, Instant::now());
        } else if since.elapsed() > limit {
            eprintln!("sellout-load: a buyer died; going on without his answer.");
            goose::trigger_killswitch("a buyer died");
            return;
        }
    }
}

async fn launch(ground: &Arc<Ground>, host: &str, buyers: u64) -> Result<GooseMetrics, GooseError> {
    let users = buyers.to_string();
    let flags = ["--host", host, "--users", &users, "--iterations", "1", "--increase-rate", "100000"];
    let quiet = ["--no-telnet", "--no-print-metrics", "--quiet"];
    let config = GooseConfiguration::parse_args_default(&[&flags[..], &quiet[..]].concat())?;
    let scenario = scenario!("buyer")
        .register_transaction(step(ground, arrive).set_on_start())
        .register_transaction(step(ground, shop).set_name("shop"));
    GooseAttack::initialize_with_config(config)?
        // Goose's own client sends nothing here. Without this line there would be one per user, and
        // with certificates to check it cannot be built in a container that has no roots.
        .set_client_builder_without_cookies(
            GooseClientBuilder::new().without_cookies().accept_invalid_certs(true),
        )?
        .register_scenario(scenario)
        .execute()
        .await
}

type Doing<'a> = std::pin::Pin<Box<dyn Future<Output = TransactionResult> + Send + 'a>>;

fn step(ground: &Arc<Ground>, act: for<'a> fn(Arc<Ground>, &'a mut GooseUser) -> Doing<'a>) -> Transaction {
    let ground = Arc::clone(ground);
    Transaction::new(Arc::new(move |user| act(Arc::clone(&ground), user)))
}

/// Everybody is here before the first order leaves.
fn arrive(ground: Arc<Ground>, _user: &mut GooseUser) -> Doing<'_> {
    Box::pin(async move {
        interrupt::listen();
        ground.wait_for_all().await;
        Ok(())
    })
}

/// Buys until the plan is used up.
fn shop(ground: Arc<Ground>, user: &mut GooseUser) -> Doing<'_> {
    Box::pin(async move {
        while !interrupt::asked() {
            let Some((op, errand)) = ground.ticket() else {
                break;
            };
            let Heard { took, status, answer } = match buyer::run(&ground, op, errand).await {
                Ok(heard) => heard,
                Err(e) => {
                    // A witness that cannot write must not let another order go.
                    let _ = ground.unwritten.set(e.to_string());
                    break;
                }
            };
            let sane = !matches!(answer, Answer::Error | Answer::Unknown);
            user.record_custom_request_duration("POST", "order", took, sane, status, Some(answer.name()))
                .await?;
        }
        Ok(())
    })
}
