//! Wiring only: settings → servers → service → address. `main`, the demo and the tests all start here;
//! tests say port 0.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::access::{self, Access};
use crate::backends::{Backends, Facts, Need};
use crate::checkout::Checkout;
use crate::config::Config;
use crate::feed::Feed;
use crate::http::{self, State};
use crate::lab::{Lab, Setup};
use crate::life::sweeper;
use crate::oversight::{self, Oversight};
use crate::runs::Runs;
use crate::trace::Recorder;
use crate::wire::Environment;

/// How long a connection may be idle, before its first request and between two. Longer than clients keep
/// theirs in a pool (90 s is usual): one that is closed by us just when an order is sent on it leaves that
/// order's fate unknown.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// A service that accepts orders.
pub struct Running {
    /// Where it really listens.
    pub address: SocketAddr,
    unfit: Vec<(Need, String)>,
    drain_delay: Duration,
    state: web::Data<State>,
    server: ServerHandle,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Opens the servers and starts to listen. Call it on the runtime that shall own the connections.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        config.check()?;
        let (servers, limits) = (&config.servers, config.limits.clone());
        let backends = match config.lab {
            true => Backends::open_in_lab(servers, limits).await,
            false => Backends::open(servers, limits).await,
        };
        let backends = backends.context("PostgreSQL (DATABASE_URL) cannot be used")?;
        let facts = backends.facts().await;
        let sweep = Duration::from_millis(config.limits.sweep_ms);
        let switches = backends.faults.clone();
        let recorder = Recorder::new(config.lab && config.trace);
        let checkout = Arc::new(Checkout::new(backends, recorder));
        sweeper::start(&checkout, sweep);
        let runs = Arc::new(Runs::new(config.runs_dir.clone()));
        let every = config.audit_every();
        let (tokens, token) = access::with_own(config.lab, config.all_tokens()?)?;
        let setup = Setup { on: config.lab, runs_dir: config.runs_dir, token };
        let lab = Lab::new(setup, switches, Arc::clone(&runs));
        let environment = environment(&facts, config.private_servers);
        let oversight = Oversight::new(Arc::clone(&checkout), environment.clone());
        if let Some(every) = every {
            oversight::start(&oversight, every);
        }
        let feed = Feed::start(Arc::clone(&lab), Arc::clone(&checkout), Arc::clone(&runs), http::glance);
        let state = web::Data::new(State {
            checkout,
            access: Access::new(config.lab, tokens, config.hosts, config.bind.ip().is_loopback()),
            rate: config.rate_per_s.map(http::rate::Rate::new),
            idempotency: config.idempotency,
            runs,
            lab: Arc::clone(&lab),
            feed,
            oversight,
            environment,
            metrics: prometheus()?,
            draining: AtomicBool::new(false),
        });
        let shared = state.clone();
        let server = HttpServer::new(move || {
            App::new().app_data(shared.clone()).wrap(from_fn(http::gate)).configure(http::routes)
        })
        .workers(config.workers)
        // Ctrl-C is handled by whoever started us: first not ready, then drained, then gone.
        .disable_signals()
        .client_request_timeout(IDLE_MAX)
        .keep_alive(IDLE_MAX)
        .shutdown_timeout(config.limits.order_deadline_ms.div_ceil(1000));
        // Before it is bound: later it would go unheard.
        let server = if lab.is_on() { server.on_connect(http::hold_wire) } else { server };
        let server = server.bind(config.bind).with_context(|| format!("cannot listen on {}", config.bind))?;
        let address = server.addrs().first().copied().context("no address was bound")?;
        lab.listens_at(address);
        let server = server.run();
        let handle = server.handle();
        let drain_delay = Duration::from_millis(config.drain_delay_ms);
        let ended = tokio::spawn(server);
        Ok(Running { address, unfit: facts.unfit, drain_delay, state, server: handle, ended })
    }

    /// What the stores' settings put at risk; empty when they keep the promise.
    pub fn unfit(&self) -> &[(Need, String)] {
        &self.unfit
    }

    /// Not ready any more; finishes what is under way, then stops.
    pub async fn stop(self) {
        self.state.draining.store(true, Relaxed);
        tokio::time::sleep(self.drain_delay).await;
        // While it still can hand in what it has.
        self.state.lab.end().await;
        self.state.feed.close();
        self.server.stop(true).await;
        let _ = self.ended.await;
        // Orders whose clients have left: the end of the runtime would cut them in the middle.
        self.state.checkout.drained().await;
    }
}

/// One recorder per process, however many services the tests start in it.
fn prometheus() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let orders = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("sellout_batch_orders".into()), &orders)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)?
        .build_recorder();
    let handle = HANDLE.get_or_init(|| recorder.handle()).clone();
    // Another test's service may have been faster; both render the same recorder then.
    if metrics::set_global_recorder(recorder).is_ok() {
        oversight::describe();
        let upkeep = handle.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                upkeep.run_upkeep();
            }
        });
    }
    Ok(handle)
}

fn environment(facts: &Facts, private_servers: bool) -> Environment {
    let proc = |file: &str, key: &str| {
        let text = std::fs::read_to_string(format!("/proc/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("").to_owned();
        line.trim_start_matches([' ', '\t', ':']).trim().to_owned()
    };
    let kib = proc("meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os = os.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let profile = if cfg!(debug_assertions) { "dev profile (opt-level 1)" } else { "release profile" };
    let told = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".into());
    Environment {
        sellout: env!("CARGO_PKG_VERSION").into(),
        commit: told("SELLOUT_COMMIT"),
        cpu: proc("cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
        memory_mib: kib / 1024,
        os: format!("{os}, kernel {}", kernel.trim()),
        build: format!("{profile}, {}", told("SELLOUT_RUSTC")),
        postgres: facts.postgres.clone(),
        redis: facts.redis.clone(),
        redlock: facts.redlock.clone(),
        zookeeper: facts.zookeeper.clone(),
        etcd: facts.etcd.clone(),
        private_servers,
    }
}
