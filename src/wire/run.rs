//! A run of the load test, kept and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answers, Evidence, FaultEvent, Faults, Guarantee, LabRun, SaleView, Trace, Verdict};

/// Version of [`Run`]; raised when a field changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// Latency of one outcome, in microseconds, from request sent to answer read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Answers measured.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Slowest.
    pub max: u64,
}

/// One strategy's row of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunResult {
    /// Strategy id.
    pub strategy: String,
    /// What it claims.
    pub declared: Guarantee,
    /// The judgement.
    pub verdict: Verdict,
    /// It in one sentence.
    pub reason: String,
    /// Is it as declared? `false` makes the exit code 1.
    pub as_declared: bool,
    /// Sale that was run; `null` when skipped.
    pub sale_id: Option<Uuid>,
    /// What was counted.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// Orders sent.
    pub attempts: u64,
    /// What came back.
    pub answers: Answers,
    /// First request to last answer.
    pub seconds: f64,
    /// Orders sold per second while units were left, each durable before it was acknowledged.
    pub accepted_per_s: f64,
    /// Sold-out and limit answers per second.
    pub rejected_per_s: f64,
    /// Per outcome: `sold`, `sold_out`, ….
    pub latency_us: BTreeMap<String, Latency>,
    /// Most attempts without an answer at one moment.
    pub peak_in_flight: u64,
    /// CPU time of the service per attempt, in microseconds, where it can be measured.
    pub service_cpu_us_per_attempt: Option<f64>,
    /// Units told sold, over the time since the first request; at most 120 points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<SeriesPoint>,
    /// How it decided, where the steps of its orders were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

/// One point of a sale's curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeriesPoint {
    /// Milliseconds since the first request.
    pub ms: u64,
    /// Units told sold until then.
    pub sold: i64,
}

/// What the load test was asked to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Parameters {
    /// Kind of crowd.
    pub scenario: String,
    /// Strategies, in order.
    pub strategies: Vec<String>,
    /// Units at opening.
    pub stock: i64,
    /// Buyers at once.
    pub buyers: u64,
    /// Orders sent in all, exactly.
    pub attempts: u64,
    /// Units per order.
    pub quantity: i64,
    /// Most units per buyer.
    pub per_buyer_limit: Option<i64>,
    /// Seed of the choices; the interleavings are the operating system's.
    pub seed: u64,
    /// Milliseconds between read and write that the lab put there: an artificial window. `null`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race_window_ms: Option<u64>,
}

/// Where it ran: `GET /v1/environment`, and in every run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// Version of sellout.
    pub sellout: String,
    /// Commit, where known at build time.
    pub commit: String,
    /// CPU model and cores.
    pub cpu: String,
    /// Cores seen.
    pub cores: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel and operating system.
    pub os: String,
    /// rustc that built it, and its profile.
    pub build: String,
    /// PostgreSQL version and durability settings.
    pub postgres: String,
    /// Redis version and durability settings; `null` when there is none.
    pub redis: Option<String>,
    /// The independent Redis of lock_redlock, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redlock: Option<String>,
    /// ZooKeeper version and mode, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zookeeper: Option<String>,
    /// etcd version, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
    /// Are the servers private throw-away instances of this run?
    pub private_servers: bool,
}

/// A run of the load test: `--json`, `runs/<time>/run.json`, `PUT /v1/runs/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Version of this shape.
    pub schema_version: u32,
    /// Its name: the time it started, `20261123-080512`.
    pub id: String,
    /// When it started.
    pub started_at: String,
    /// When it ended; `null` while it runs or when it was cut off.
    pub finished_at: Option<String>,
    /// Exit code of the load test, once ended.
    pub exit_code: Option<u8>,
    /// Where.
    pub environment: Environment,
    /// What was asked.
    pub parameters: Parameters,
    /// The strategy being loaded just now.
    pub current: Option<Current>,
    /// One row per strategy, in the order of the run.
    pub results: Vec<RunResult>,
    /// The command that asks for the same; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Was it told to end before its time?
    #[serde(default)]
    pub cancelled: bool,
    /// Did load and service share a machine? `null`: not known.
    #[serde(default)]
    pub co_located: Option<bool>,
    /// Were the steps of its orders recorded? That costs time.
    #[serde(default)]
    pub traced: bool,
    /// Most pages that looked at once while it ran.
    #[serde(default)]
    pub viewers_max: u64,
    /// What was broken on purpose while it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultEvent>,
}

/// The strategy that a run is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Current {
    /// Strategy id.
    pub strategy: String,
    /// Its sale.
    pub sale_id: Uuid,
}

/// One line of `GET /v1/runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its name.
    pub id: String,
    /// When it started.
    pub started_at: String,
    /// Did it end by itself?
    pub finished: bool,
    /// Was it told to end before its time?
    #[serde(default)]
    pub cancelled: bool,
    /// Exit code of the load test.
    pub exit_code: Option<u8>,
    /// Scenario and sizes in words.
    pub parameters: String,
    /// How many strategies per verdict word.
    pub verdicts: BTreeMap<String, u64>,
}

/// One `snapshot` event of `GET /v1/events`: complete, so that a page may join at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Counts up.
    pub seq: u64,
    /// Are lab routes on?
    pub lab: bool,
    /// The newest run of this process, running or ended, without curves and traces (`GET /v1/runs/{id}` has
    /// them); `null` before the first.
    pub run: Option<Run>,
    /// The sale that the run is at.
    pub current: Option<SaleView>,
    /// Pages listening just now, this one included: looking costs a little.
    pub viewers: u64,
    /// The run that a page asked for, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab_run: Option<LabRun>,
    /// What is broken on purpose; `null` outside the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
}
