//! The raw client: so many connections on one thread, each of which sends its next order when the last one
//! is answered. No user model and no futures beyond one per connection, because what the client burns
//! here the service cannot have: both share the cores.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{Barrier, Notify};
use uuid::Uuid;

use crate::answer::Answer;
use crate::connection::{Connection, Lost};
use crate::heard::Heard;
use crate::request::Request;
use crate::response;

/// Tries to connect again, before a buyer gives up.
const CONNECT_TRIES: u32 = 20;
/// Between two of them.
const CONNECT_STEP: Duration = Duration::from_millis(100);
/// Orders that are under way at the end are waited for so long; longer than the service's own deadline.
const END_LIMIT: Duration = Duration::from_secs(20);

/// What is sent where.
#[derive(Clone)]
pub struct Plan {
    /// The service.
    pub host: SocketAddr,
    /// Its sales; the orders are spread over them.
    pub sales: Vec<Uuid>,
    /// Connections, each with one order under way.
    pub connections: usize,
    /// Begins all keys and buyers.
    pub tag: String,
    /// Of the choice of sales.
    pub seed: u64,
    /// Shortest time from one order of a connection to its next; zero: as soon as it was answered.
    pub pace: Duration,
    /// How long a buyer stays away who was refused because there are too many; zero: he does not heed it.
    pub back_off: Duration,
}

/// Before the window, in it, behind it.
const WARM: u8 = 0;
const TIMED: u8 = 1;
const OVER: u8 = 2;

/// Told by whoever holds the clock, asked by the buyers with every answer.
#[derive(Clone, Default)]
pub struct Phase(Arc<AtomicU8>, Arc<Notify>);

impl Phase {
    /// What is answered from now on counts.
    pub fn start(&self) {
        self.0.store(TIMED, Relaxed);
    }

    /// No further order is sent.
    pub fn stop(&self) {
        self.0.store(OVER, Relaxed);
    }

    /// Who has not been answered yet is not waited for any longer.
    fn abandon(&self) {
        self.1.notify_one();
    }
}

/// A running load.
pub struct Load {
    phase: Phase,
    thread: std::thread::JoinHandle<Result<Heard, String>>,
}

impl Load {
    /// Connects, and lets all buyers go at once.
    pub fn start(plan: Plan) -> Result<Load, String> {
        debug_assert!(WARM == Phase::default().0.load(Relaxed), "a phase begins before the window");
        let phase = Phase::default();
        let of = phase.clone();
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || run(&plan, &of))
            .map_err(|e| format!("the client's thread did not start: {e}"))?;
        Ok(Load { phase, thread })
    }

    /// The clock's side.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Has it ended early, because it could not connect?
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops sending, waits for what is under way, and says what was heard.
    pub fn finish(self) -> Result<Heard, String> {
        self.phase.stop();
        let until = Instant::now() + END_LIMIT;
        while !self.thread.is_finished() {
            if Instant::now() > until {
                self.phase.abandon();
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.thread.join().map_err(|_| "the client's thread ended early".to_owned())?
    }
}

struct Crowd {
    plan: Plan,
    phase: Phase,
    heard: RefCell<Heard>,
    next: Cell<u64>,
    gate: Barrier,
}

fn run(plan: &Plan, phase: &Phase) -> Result<Heard, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("the client's runtime did not start: {e}"))?;
    let crowd = Rc::new(Crowd {
        heard: RefCell::new(Heard::new(plan.tag.clone(), plan.sales.len(), plan.connections)),
        gate: Barrier::new(plan.connections),
        plan: plan.clone(),
        phase: phase.clone(),
        next: Cell::new(0),
    });
    let local = tokio::task::LocalSet::new();
    let ended = runtime.block_on(local.run_until(all(&crowd)));
    // Buyers who are still waiting go with their tasks; what they had sent is in doubt.
    drop((local, runtime));
    let crowd = Rc::into_inner(crowd).ok_or("a buyer outlived the crowd")?;
    let mut heard = crowd.heard.into_inner();
    heard.close();
    ended.map(|()| heard)
}

async fn all(crowd: &Rc<Crowd>) -> Result<(), String> {
    let mut connections = Vec::new();
    for _ in 0..crowd.plan.connections {
        connections.push(connect(crowd.plan.host).await.map_err(|e| format!("{}: {e}", crowd.plan.host))?);
    }
    let buyers = connections.into_iter().enumerate();
    let buyers: Vec<_> =
        buyers.map(|(at, c)| tokio::task::spawn_local(buyer(Rc::clone(crowd), at, c))).collect();
    let everybody = async {
        for buyer in buyers {
            let _ended = buyer.await;
        }
    };
    tokio::select! {
        () = everybody => {}
        () = crowd.phase.1.notified() => {}
    }
    Ok(())
}

async fn connect(host: SocketAddr) -> std::io::Result<Connection> {
    let mut tried = 0;
    loop {
        tried += 1;
        match Connection::open(host).await {
            Err(_) if tried < CONNECT_TRIES => tokio::time::sleep(CONNECT_STEP).await,
            connected => return connected,
        }
    }
}

/// Buys until it is over.
async fn buyer(crowd: Rc<Crowd>, at: usize, mut connection: Connection) {
    let mut request = Request::new(crowd.plan.host, &crowd.plan.tag);
    crowd.gate.wait().await;
    if !crowd.plan.pace.is_zero() {
        // Evenly, not all of them in the same moment again and again.
        tokio::time::sleep(crowd.plan.pace.mul_f64(at as f64 / crowd.plan.connections as f64)).await;
    }
    while crowd.phase.0.load(Relaxed) != OVER {
        let (n, item) = crowd.order();
        let bytes = request.order(&crowd.plan.sales[item], n);
        crowd.heard.borrow_mut().sending(at, n, item);
        let sent = Instant::now();
        let (answer, close) = match connection.ask(bytes).await {
            Ok(answered) => (response::class(answered.status, answered.body), answered.close),
            Err(Lost(Some(status))) => (Answer::broken_off(status), true),
            // It may have been written, and read, and sold.
            Err(Lost(None)) => (Answer::Unknown, true),
        };
        let timed = crowd.phase.0.load(Relaxed) == TIMED;
        let refused = matches!(answer, Answer::Contended);
        crowd.heard.borrow_mut().heard(at, answer, sent.elapsed(), timed);
        if close {
            let Ok(another) = connect(crowd.plan.host).await else { return };
            connection = another;
        }
        let early = crowd.plan.pace.saturating_sub(sent.elapsed());
        let away = if refused { early.max(crowd.plan.back_off) } else { early };
        if !away.is_zero() {
            tokio::time::sleep(away).await;
        }
    }
}

impl Crowd {
    /// The next order's number, and which sale it is for.
    fn order(&self) -> (u64, usize) {
        let n = self.next.get();
        self.next.set(n + 1);
        (n, item(self.plan.seed, n, self.plan.sales.len()))
    }
}

/// SplitMix64: the same orders for the same sales with the same seed.
fn item(seed: u64, n: u64, items: usize) -> usize {
    let mut z = seed.wrapping_add((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    usize::try_from(z % items as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_spreads_orders_over_all_sales_and_does_it_again() {
        let choose = |seed| (0..10_000).map(|n| item(seed, n, 10)).collect::<Vec<_>>();
        assert_eq!(choose(7), choose(7));
        assert_ne!(choose(7), choose(8));
        let chosen = choose(7);
        for sale in 0..10 {
            let share = chosen.iter().filter(|at| **at == sale).count();
            assert!((800..1200).contains(&share), "sale {sale} has {share} of 10000");
        }
    }
}
