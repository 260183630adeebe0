//! Settings: one struct, clap and environment. The doc comment of a field is its `--help` and its row in
//! the README. Every limit has a name, a unit and a default here; none is left to a library.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::access::{Role, Token};

/// What `sellout serve` is told.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address to listen on. Lab mode wants loopback.
    #[arg(long, env = "SELLOUT_BIND", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,

    /// Servers.
    #[command(flatten)]
    pub servers: Servers,

    /// Lab mode: unsafe strategies, tallies, runs, sales without a token. Loopback only.
    #[arg(long, env = "SELLOUT_LAB")]
    pub lab: bool,

    /// In lab mode, are the steps of orders recorded, to show how they were decided? That costs a little.
    #[arg(long, env = "SELLOUT_TRACE", default_value_t = true, action = clap::ArgAction::Set)]
    pub trace: bool,

    /// Operator token that opens sales (`Authorization: Bearer …`).
    #[arg(long, env = "SELLOUT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// Tokens as `role name token` with semicolons; roles: buyer, operator, lab.
    #[arg(long, env = "SELLOUT_TOKENS", hide_env_values = true)]
    pub tokens: Option<String>,

    /// A file of the same, one token a line.
    #[arg(long, env = "SELLOUT_TOKENS_FILE")]
    pub tokens_file: Option<PathBuf>,

    /// Beyond loopback, take orders from whoever comes, without buyers' tokens.
    #[arg(long, env = "SELLOUT_ANONYMOUS_ORDERS")]
    pub anonymous_orders: bool,

    /// Names that a changing request may come under (`Host`), with commas; loopback's always may.
    #[arg(long, env = "SELLOUT_HOSTS", value_delimiter = ',')]
    pub hosts: Vec<String>,

    /// Must orders carry an `Idempotency-Key`?
    #[arg(long, env = "SELLOUT_IDEMPOTENCY", value_enum, default_value_t = Idempotency::Optional)]
    pub idempotency: Idempotency,

    /// Folder in which runs of the load test are kept.
    #[arg(long, env = "SELLOUT_RUNS_DIR", default_value = "runs")]
    pub runs_dir: PathBuf,

    /// Orders per second that one caller may place (a token's name, or an address); none: no limit.
    #[arg(long, env = "SELLOUT_RATE_PER_S")]
    pub rate_per_s: Option<NonZeroU32>,

    /// Time between not being ready any more and taking no more connections, for load balancers to notice.
    #[arg(long, env = "SELLOUT_DRAIN_DELAY_MS", default_value_t = 0)]
    pub drain_delay_ms: u64,

    /// How often open sales are audited and the gauges of what is open renewed; 0: never. When not set: every
    /// minute, and never in the lab.
    #[arg(long, env = "SELLOUT_AUDIT_EVERY_MS")]
    pub audit_every_ms: Option<u64>,

    /// Where to log: `pretty` for people, `json` for machines.
    #[arg(long, env = "SELLOUT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,

    /// The servers are private throw-away instances of this run (set by `sellout demo`).
    #[arg(long, env = "SELLOUT_PRIVATE_SERVERS", hide = true)]
    pub private_servers: bool,

    /// HTTP worker threads.
    #[arg(long, env = "SELLOUT_WORKERS", default_value_t = 2)]
    pub workers: usize,

    /// Limits.
    #[command(flatten)]
    pub limits: Limits,
}

/// Where the stores are.
#[derive(Args, Clone, Debug)]
pub struct Servers {
    /// PostgreSQL, which holds the ledger.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,

    /// Redis; without it the Redis strategies are unavailable.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// Three or five independent Redis for lock_redlock, with commas.
    #[arg(long, env = "REDLOCK_URLS", hide_env_values = true, value_delimiter = ',')]
    pub redlock_urls: Vec<String>,

    /// ZooKeeper for lock_zookeeper and lock_curator: host:port, with commas.
    #[arg(long, env = "ZOOKEEPER_HOSTS")]
    pub zookeeper_hosts: Option<String>,

    /// etcd for lock_etcd: http://host:port, with commas.
    #[arg(long, env = "ETCD_URLS", value_delimiter = ',')]
    pub etcd_urls: Vec<String>,
}

impl Servers {
    /// Redis, if one is named. An empty setting names none, so that a compose file may always pass it on.
    pub fn redis(&self) -> Option<&str> {
        self.redis_url.as_deref().map(str::trim).filter(|url| !url.is_empty())
    }

    /// The independent Redis that are named.
    pub fn redlock(&self) -> Vec<String> {
        named(&self.redlock_urls)
    }

    /// The ZooKeeper servers, with commas, if any is named.
    pub fn zookeeper(&self) -> Option<&str> {
        self.zookeeper_hosts.as_deref().map(str::trim).filter(|hosts| !hosts.is_empty())
    }

    /// The members of etcd that are named.
    pub fn etcd(&self) -> Vec<String> {
        named(&self.etcd_urls)
    }
}

fn named(list: &[String]) -> Vec<String> {
    list.iter().map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect()
}

/// Pools and time limits.
///
/// The ladder of deadlines, each above the one before: wait in the queue → wait for a connection, a lock or
/// a lost race (also PostgreSQL's `lock_timeout`) → an order's answer (also PostgreSQL's `statement_timeout`
/// and the time that an idle transaction is left alone). A deadline cuts a wait, never what was started.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// PostgreSQL connections that sell.
    #[arg(long, env = "SELLOUT_POOL_CONNECTIONS_MAX", default_value_t = 16)]
    pub pool_connections_max: u32,

    /// PostgreSQL connections that hold locks.
    #[arg(long, env = "SELLOUT_LOCK_CONNECTIONS_MAX", default_value_t = 16)]
    pub lock_connections_max: u32,

    /// PostgreSQL connections for holds that are confirmed or end, and for changes of stock.
    #[arg(long, env = "SELLOUT_LIFE_CONNECTIONS_MAX", default_value_t = 4)]
    pub life_connections_max: u32,

    /// PostgreSQL connections that read (audit, exports, look-ups).
    #[arg(long, env = "SELLOUT_READ_CONNECTIONS_MAX", default_value_t = 4)]
    pub read_connections_max: u32,

    /// Redis connections.
    #[arg(long, env = "SELLOUT_REDIS_CONNECTIONS_MAX", default_value_t = 32)]
    pub redis_connections_max: usize,

    /// Longest wait for a connection, a lock, or a lost race; then 503, nothing taken.
    #[arg(long, env = "SELLOUT_WAIT_LIMIT_MS", default_value_t = 5_000)]
    pub wait_limit_ms: u64,

    /// Longest wait for an order's answer; then `outcome-unknown`. Must be above the wait limit.
    #[arg(long, env = "SELLOUT_ORDER_DEADLINE_MS", default_value_t = 15_000)]
    pub order_deadline_ms: u64,

    /// Longest wait for an audit: one of millions of orders takes longer than any order.
    #[arg(long, env = "SELLOUT_AUDIT_DEADLINE_MS", default_value_t = 120_000)]
    pub audit_deadline_ms: u64,

    /// Lease of locks that expire.
    #[arg(long, env = "SELLOUT_LOCK_LEASE_MS", default_value_t = 10_000)]
    pub lock_lease_ms: u64,

    /// Orders of one strategy that are worked on at once. (Not of group_commit and redis_lua_batched, which
    /// keep a line of their own.)
    #[arg(long, env = "SELLOUT_IN_FLIGHT_MAX", default_value_t = 512)]
    pub in_flight_max: usize,

    /// Orders of one strategy that wait for that, or stand in its line; one more is told at once that nothing
    /// was taken.
    #[arg(long, env = "SELLOUT_QUEUE_MAX", default_value_t = 4_096)]
    pub queue_max: usize,

    /// Longest wait in that queue; then 503, nothing taken. Never above the wait limit.
    #[arg(long, env = "SELLOUT_QUEUE_WAIT_MS", default_value_t = 1_000)]
    pub queue_wait_ms: u64,

    /// How often it is looked whether a sale that sold out has units again.
    #[arg(long, env = "SELLOUT_SOLD_OUT_REFRESH_MS", default_value_t = 250)]
    pub sold_out_refresh_ms: u64,

    /// Is *sold out* remembered, so that no store is asked? `false` shows what asking costs.
    #[arg(long, env = "SELLOUT_SOLD_OUT_FLAG", default_value_t = true, action = clap::ArgAction::Set)]
    pub sold_out_flag: bool,

    /// How often holds that ran out are looked for.
    #[arg(long, env = "SELLOUT_SWEEP_MS", default_value_t = 250)]
    pub sweep_ms: u64,

    /// How often Redis is held against the ledger, and what nobody has recorded is looked for.
    #[arg(long, env = "SELLOUT_PIPELINE_CHECK_MS", default_value_t = 1_000)]
    pub pipeline_check_ms: u64,
}

/// Must an order carry a key?
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Idempotency {
    /// A missing key is minted, and the answer says that a retry is not safe.
    Optional,
    /// A missing key is a 400.
    Required,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Limits {
    /// Longest wait for a connection, a lock, or a lost race.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_limit_ms)
    }

    /// Longest wait in the queue.
    pub fn queue_wait(&self) -> Duration {
        Duration::from_millis(self.queue_wait_ms.min(self.wait_limit_ms))
    }

    /// Longest wait for an answer.
    pub fn order_deadline(&self) -> Duration {
        Duration::from_millis(self.order_deadline_ms)
    }

    /// Longest wait for an audit.
    pub fn audit_deadline(&self) -> Duration {
        Duration::from_millis(self.audit_deadline_ms)
    }

    /// Lease of locks that expire.
    pub fn lock_lease(&self) -> Duration {
        Duration::from_millis(self.lock_lease_ms)
    }
}

impl Config {
    /// Settings that contradict each other, said before anything starts.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.lab || self.bind.ip().is_loopback(),
            "lab mode opens sales without a token, so it listens on loopback only, not on {}",
            self.bind
        );
        anyhow::ensure!(
            self.limits.order_deadline_ms > self.limits.wait_limit_ms,
            "SELLOUT_ORDER_DEADLINE_MS must be above SELLOUT_WAIT_LIMIT_MS"
        );
        let tokens = self.all_tokens()?;
        anyhow::ensure!(
            self.bind.ip().is_loopback() || self.anonymous_orders || tokens.iter().any(Token::is_buyers),
            "on {} everybody could buy: give buyers tokens (SELLOUT_TOKENS_FILE), or say \
             SELLOUT_ANONYMOUS_ORDERS=true",
            self.bind
        );
        Ok(())
    }

    /// How often open sales are audited, if they are.
    pub fn audit_every(&self) -> Option<Duration> {
        let default = if self.lab { 0 } else { 60_000 };
        let every = self.audit_every_ms.unwrap_or(default);
        (every > 0).then(|| Duration::from_millis(every))
    }

    /// The tokens of all settings.
    pub fn all_tokens(&self) -> anyhow::Result<Vec<Token>> {
        let mut tokens = Vec::new();
        if let Some(token) = &self.token {
            let token = Token::new(Role::Operator, "operator", token);
            tokens.push(token.map_err(|why| anyhow::anyhow!("SELLOUT_TOKEN {why}"))?);
        }
        if let Some(text) = &self.tokens {
            tokens.extend(Token::parse_all(text).map_err(|why| anyhow::anyhow!("SELLOUT_TOKENS, {why}"))?);
        }
        if let Some(path) = self.tokens_file.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            let name = || format!("SELLOUT_TOKENS_FILE {}", path.display());
            let text = std::fs::read_to_string(path).with_context(name)?;
            tokens.extend(Token::parse_all(&text).map_err(|why| anyhow::anyhow!("{}, {why}", name()))?);
        }
        Ok(tokens)
    }
}
