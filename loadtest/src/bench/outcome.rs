//! The outcome of one run, as it is kept: raw counts first, and a rate only where the judge said so.

use std::collections::BTreeMap;

use sellout::wire::{Answers, Latency, Verdict};
use serde::{Deserialize, Serialize};

/// What is timed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Plenty of stock: orders that were sold, each durable before it was answered.
    Accepted,
    /// Sold out before the window: orders that were refused.
    Rejected,
    /// Sells out within the window: both.
    Mixed,
}

/// Who sends.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    /// Our own, as lean as can be.
    Raw,
    /// `sellout-load`, that is goose.
    Goose,
    /// Our own, a thousand orders per request.
    Batch,
}

impl Kind {
    /// As in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Accepted => "accepted",
            Kind::Rejected => "rejected",
            Kind::Mixed => "mixed",
        }
    }
}

impl Client {
    /// As in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Client::Raw => "raw",
            Client::Goose => "goose",
            Client::Batch => "batch",
        }
    }
}

/// CPU time by process, in microseconds. What could not be read is absent, not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// The service (or the bare server).
    pub service: Option<f64>,
    /// PostgreSQL with all its children.
    pub postgres: Option<f64>,
    /// Redis.
    pub redis: Option<f64>,
    /// The client.
    pub load: Option<f64>,
}

/// One run of one contestant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Which round, from 1.
    pub round: u32,
    /// The contestant.
    pub strategy: String,
    /// What was timed.
    pub kind: Kind,
    /// Who sent.
    pub client: Client,
    /// Connections, each with one order under way.
    pub concurrency: usize,
    /// Sales that the orders were spread over.
    pub items: usize,
    /// Length of the window.
    pub seconds: f64,
    /// Answers within the window.
    pub answers: Answers,
    /// Orders of this kind per second; `null` when the audit did not say HELD.
    pub per_s: Option<f64>,
    /// Sold per second while units were left.
    pub accepted_per_s: Option<f64>,
    /// Refused per second once they were gone.
    pub rejected_per_s: Option<f64>,
    /// Per outcome (`sold`, `sold_out`), request sent to answer read.
    pub latency_us: BTreeMap<String, Latency>,
    /// CPU time within the window.
    pub cpu_us: Cpu,
    /// Cores that worked for somebody else meanwhile.
    pub foreign_cores: Option<f64>,
    /// Cores that the host gave to another machine.
    pub stolen_cores: Option<f64>,
    /// Orders that its sales have in the ledger.
    pub ledger_orders: u64,
    /// The judgement; none for the bare server, which sells nothing.
    pub verdict: Option<Verdict>,
    /// It in one sentence.
    pub reason: String,
}

impl Outcome {
    /// May its numbers be printed? Controls sell nothing and cannot sell too much.
    pub fn stands(&self) -> bool {
        matches!(self.verdict, None | Some(Verdict::Held | Verdict::Control))
    }

    /// Answers of the kind that is timed.
    pub fn orders(&self) -> u64 {
        match self.kind {
            Kind::Accepted => self.answers.sold,
            Kind::Rejected => self.answers.sold_out,
            Kind::Mixed => self.answers.sold + self.answers.sold_out,
        }
    }

    /// Fills in the rates, or none of them.
    pub fn rated(mut self, selling: f64) -> Outcome {
        let per = |n: u64, seconds: f64| (seconds > 0.0).then(|| n as f64 / seconds);
        if self.stands() {
            self.per_s = per(self.orders(), self.seconds);
            let (sold, refused) = (self.answers.sold, self.answers.sold_out);
            self.accepted_per_s = per(sold, selling).filter(|_| sold > 0);
            let rest = if sold > 0 { self.seconds - selling } else { self.seconds };
            self.rejected_per_s = per(refused, rest).filter(|_| refused > 0);
        }
        self
    }
}
