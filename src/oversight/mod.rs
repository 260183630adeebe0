//! What an operator looks at while sales are open: sales, stock, speed, holds, backlogs, servers, and what
//! the last audit of each sale said.
//!
//! To look must not disturb what is looked at. Speeds are two looks at counters that the road keeps anyway;
//! holds are one statement for all sales; stores are asked for the busiest sales only, a few at a time and
//! with a short patience; and whatever was asked is kept for a second at least, and for ten times as long as
//! the asking took. Nobody looks by himself in a lab, for there speed is measured.

mod audits;
mod meters;
mod rounds;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use crate::checkout::{Checkout, OpenSale};
use crate::ledger::{self, OnHold};
use crate::wire::{Environment, LiveSale, LiveServer, LiveView};
use audits::Judged;
pub use meters::{METRICS, Meter, describe};
pub use rounds::start;

/// Newest sales that are looked for in the ledger.
const LISTED_MAX: i64 = 100;
/// Sales that are shown, the busiest.
const SHOWN_MAX: usize = 30;
/// Sales whose stores are asked at the same time.
const ASKED_AT_ONCE: usize = 4;
/// A store that takes longer is not known.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer is good for, at least and at most.
const FRESH: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// The same for the servers: to ask some of them takes a connection.
const SERVERS_FRESH: Duration = Duration::from_secs(5);
/// An older look at the counters says nothing about how fast it is now.
const LATELY: Duration = Duration::from_secs(30);
/// Then this is how long to wait between two looks.
const GLIMPSE: Duration = Duration::from_millis(250);

/// The names of servers, as people write them, in the order of [`crate::backends::Backends::ping`].
const SERVERS: [(&str, &str); 5] = [
    ("postgres", "PostgreSQL"),
    ("redis", "Redis"),
    ("redlock", "Redlock"),
    ("zookeeper", "ZooKeeper"),
    ("etcd", "etcd"),
];

/// Who watches over the sales of this process.
pub struct Oversight {
    checkout: Arc<Checkout>,
    environment: Environment,
    since: Instant,
    judged: Mutex<HashMap<Uuid, Judged>>,
    last: tokio::sync::Mutex<Looked>,
}

/// What was seen last, and when.
#[derive(Default)]
struct Looked {
    view: Option<(Instant, Duration, LiveView)>,
    counts: Option<Counts>,
    servers: Option<(Instant, Vec<LiveServer>)>,
}

/// Orders sold, per sale, at one moment.
struct Counts {
    at: Instant,
    sold: HashMap<Uuid, u64>,
}

impl Counts {
    fn now(checkout: &Checkout) -> Counts {
        let sold = checkout.met().iter().map(|open| (open.sale.id, open.orders_sold())).collect();
        Counts { at: Instant::now(), sold }
    }

    /// Orders per second since then. A sale that was not met yet had sold nothing.
    fn since(&self, before: &Counts) -> HashMap<Uuid, f64> {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        let more = |(id, sold): (&Uuid, &u64)| {
            let more = sold.saturating_sub(before.sold.get(id).copied().unwrap_or(0));
            (*id, more as f64 / seconds)
        };
        self.sold.iter().map(more).collect()
    }
}

impl Oversight {
    /// `environment`: what the servers said of themselves when this process began.
    pub fn new(checkout: Arc<Checkout>, environment: Environment) -> Arc<Oversight> {
        let (since, judged, last) = (Instant::now(), Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Oversight { checkout, environment, since, judged, last })
    }

    /// The service now, or as it was a moment ago. Who comes while another one looks gets what that one saw.
    pub async fn view(&self) -> LiveView {
        let mut last = self.last.lock().await;
        if let Some((at, fresh, view)) = &last.view
            && at.elapsed() < *fresh
        {
            return view.clone();
        }
        let rates = self.rates(&mut last).await;
        let started = Instant::now();
        let open = self.busiest(&rates).await;
        let (held, servers) = tokio::join!(self.held(&open), self.servers(&mut last.servers));
        let looks = open.into_iter().map(|(speed, _, open)| {
            let held = held.get(&open.sale.id).copied();
            self.look_at(open, speed, held)
        });
        let looks: Vec<_> = looks.collect();
        let sales = stream::iter(looks).buffered(ASKED_AT_ONCE).collect().await;
        let view = LiveView {
            at: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            uptime_s: self.since.elapsed().as_secs(),
            draining: false,
            orders_per_s: rates.values().sum(),
            sales,
            servers,
        };
        meters::publish(&view);
        let fresh = (started.elapsed() * 10).clamp(FRESH[0], FRESH[1]);
        last.view = Some((Instant::now(), fresh, view.clone()));
        view
    }

    async fn rates(&self, last: &mut Looked) -> HashMap<Uuid, f64> {
        let before = match last.counts.take().filter(|counts| counts.at.elapsed() < LATELY) {
            Some(counts) => counts,
            None => {
                let counts = Counts::now(&self.checkout);
                tokio::time::sleep(GLIMPSE).await;
                counts
            }
        };
        let now = Counts::now(&self.checkout);
        let rates = now.since(&before);
        last.counts = Some(now);
        rates
    }

    /// The busiest of the open sales, with their speed and the orders that are being worked on.
    async fn busiest(&self, rates: &HashMap<Uuid, f64>) -> Vec<(f64, u64, Arc<OpenSale>)> {
        let speed = |open: &OpenSale| rates.get(&open.sale.id).copied().unwrap_or(0.0);
        let known = self.known_sales().await;
        let open = known.into_iter().filter(|open| open.sale.hours.check().is_ok());
        // Read once: they move while this sorts.
        let mut open: Vec<_> = open.map(|o| (speed(&o), o.live().in_flight, o)).collect();
        let newest = |open: &OpenSale| open.sale.opened_at.clone();
        open.sort_by(|a, b| {
            b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then_with(|| newest(&b.2).cmp(&newest(&a.2)))
        });
        open.truncate(SHOWN_MAX);
        open
    }

    /// The sales that this process has met, and the newest of the ledger, which others may have opened or
    /// handed over. Where the ledger cannot be asked, as they were known.
    async fn known_sales(&self) -> Vec<Arc<OpenSale>> {
        let pool = self.checkout.backends().pg_reads.clone();
        let newest = async move { ledger::sales(&pool, LISTED_MAX).await };
        for sale in self.checkout.read_within(PATIENCE, newest).await.unwrap_or_default() {
            match self.checkout.sale(sale.id).await {
                Ok(Some(open)) if open.sale.epoch < sale.epoch => {
                    let _as_it_was_known = self.checkout.refresh(open).await;
                }
                Ok(_) => {}
                // Of a strategy that this version does not have, or the ledger has just gone.
                Err(e) => tracing::debug!(sale.id = %sale.id, "cannot be met: {e}"),
            }
        }
        self.checkout.met()
    }

    async fn held(&self, open: &[(f64, u64, Arc<OpenSale>)]) -> HashMap<Uuid, OnHold> {
        let (pool, ids) =
            (self.checkout.backends().pg_reads.clone(), open.iter().map(|(_, _, o)| o.sale.id).collect());
        let held =
            self.checkout.read_within(PATIENCE, async move { ledger::on_hold(&pool, ids).await }).await;
        held.unwrap_or_default().into_iter().collect()
    }

    async fn look_at(&self, open: Arc<OpenSale>, speed: f64, held: Option<OnHold>) -> LiveSale {
        let left = tokio::time::timeout(PATIENCE, self.checkout.left(&open));
        let backlog = tokio::time::timeout(PATIENCE, self.checkout.pending(&open));
        let (left, backlog) = tokio::join!(left, backlog);
        let (live, held) = (open.live(), held.unwrap_or_default());
        LiveSale {
            id: open.sale.id,
            name: open.sale.name.clone(),
            strategy: open.sale.strategy.clone(),
            units: open.sale.units,
            left: left.ok().and_then(Result::ok).flatten(),
            sold: live.sold_units,
            in_flight: live.in_flight,
            orders_per_s: speed,
            held: held.units,
            expiring: held.expiring,
            backlog: backlog.ok().and_then(Result::ok),
            audit: self.last_audit(open.sale.id),
        }
    }

    async fn servers(&self, last: &mut Option<(Instant, Vec<LiveServer>)>) -> Vec<LiveServer> {
        if let Some((at, servers)) = last
            && at.elapsed() < SERVERS_FRESH
        {
            return servers.clone();
        }
        let backends = self.checkout.backends().clone();
        // Each of them is asked within this limit; a little more for the answers to arrive.
        let patience = backends.limits.wait() + PATIENCE;
        let answers = self.checkout.read_within(patience, async move { Ok(backends.ping().await) }).await;
        let servers = match answers {
            Ok(answers) => {
                answers.iter().map(|(need, answer)| self.server(need.id(), answer.clone())).collect()
            }
            Err(e) => vec![self.server(SERVERS[0].0, Err(e.to_string()))],
        };
        *last = Some((Instant::now(), servers));
        last.as_ref().map(|(_, servers)| servers.clone()).unwrap_or_default()
    }

    fn server(&self, id: &str, answer: Result<(), String>) -> LiveServer {
        let e = &self.environment;
        let version = match id {
            "postgres" => Some(&e.postgres).filter(|line| !line.is_empty()),
            "redis" => e.redis.as_ref(),
            "redlock" => e.redlock.as_ref(),
            "zookeeper" => e.zookeeper.as_ref(),
            "etcd" => e.etcd.as_ref(),
            _ => None,
        };
        let name = SERVERS.iter().find(|(known, _)| *known == id).map_or(id, |(_, name)| name);
        LiveServer { name: name.to_owned(), up: answer.is_ok(), why: answer.err(), version: version.cloned() }
    }
}
