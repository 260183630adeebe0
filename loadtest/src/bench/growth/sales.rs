//! What a sale costs that is only open: time to open it, memory, work in the background, room on disk; and
//! whether orders that are spread over all of them are slower.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Run;
use super::servers::Relation;
use super::volley::Volley;
use crate::outcome::{Cpu, Outcome};
use crate::window::{Edge, Window};

/// One that keeps a sale in PostgreSQL alone, and one that keeps it in Redis too.
const STRATEGIES: [&str; 2] = ["group_commit", "redis_lua"];
/// More than is asked for.
const UNITS: i64 = 10_000_000;

/// A strategy with so many sales open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The strategy.
    pub strategy: String,
    /// Sales that were opened, by a process that had none. Those of the steps before are in the stores still.
    pub sales: usize,
    /// How long that took.
    pub open_seconds: f64,
    /// Memory of the service before and after that.
    pub memory: (u64, u64),
    /// The most of it under load.
    pub memory_loaded: u64,
    /// Memory of Redis, with all of them open.
    pub stored: Option<u64>,
    /// CPU time while nobody bought.
    pub alone_us: Cpu,
    /// How long that was.
    pub alone_seconds: f64,
    /// Orders spread over all of them.
    pub load: Outcome,
    /// Room on disk.
    pub sizes: Vec<Relation>,
}

impl Step {
    /// Memory of the service for each sale that was opened.
    pub fn bytes_per_sale(&self) -> Option<f64> {
        (self.sales > 0).then(|| (self.memory.1 as f64 - self.memory.0 as f64) / self.sales as f64)
    }

    /// Cores at work while nobody buys.
    pub fn cores_alone(&self) -> Option<f64> {
        let all = [self.alone_us.service, self.alone_us.postgres, self.alone_us.redis];
        let all: f64 = all.into_iter().flatten().sum();
        (self.alone_seconds > 0.0).then(|| all / 1e6 / self.alone_seconds)
    }
}

/// All steps of all strategies.
pub async fn grow(run: &mut Run) -> Result<(), String> {
    for strategy in STRATEGIES {
        if strategy == "redis_lua" && run.stage.servers.redis_url.is_none() {
            continue;
        }
        for sales in run.options.sales() {
            let step = step(run, strategy, sales).await?;
            let rate = step.load.per_s.map_or(step.load.reason.clone(), |rate| format!("{rate:.0}/s"));
            let words =
                format!("{strategy}, {sales} sales: opened in {:.2} s, then {rate}", step.open_seconds);
            run.part.sales.push(step);
            run.step(run.options.sales_work(sales), &words)?;
        }
    }
    Ok(())
}

/// In a process that has opened nothing yet: memory that it has and does not use would hide what sales take.
async fn step(run: &mut Run, strategy: &str, sales: usize) -> Result<Step, String> {
    run.stage.start(&[]).await?;
    let api = run.stage.api()?;
    // Pools are filled and code is read before memory is compared.
    let first = api.open(strategy, UNITS).await?;
    run.fire(&Volley::new(strategy, &[first], 8)).await?;
    let before = run.settled().await?;
    let begun = Instant::now();
    let open = api.open_many(strategy, UNITS, sales).await?;
    let open_seconds = begun.elapsed().as_secs_f64();
    let memory = (before, run.settled().await?);
    let from = Edge::now(&run.stage.pids());
    tokio::time::sleep(Duration::from_secs_f64(run.options.seconds())).await;
    let alone = Window::between(&from, &Edge::now(&run.stage.pids()));
    let connections = run.options.connections();
    let load = run.fire(&Volley::new(strategy, &open, connections)).await?;
    Ok(Step {
        strategy: strategy.into(),
        sales,
        open_seconds,
        memory,
        memory_loaded: load.memory,
        stored: run.stage.servers.stored()?,
        alone_us: alone.cpu,
        alone_seconds: alone.seconds,
        load: load.outcome,
        sizes: run.stage.servers.sizes().await?,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::report::tests::run;

    /// A step that was written down.
    pub fn step(strategy: &str, sales: usize, memory: (u64, u64)) -> Step {
        Step {
            strategy: strategy.into(),
            sales,
            open_seconds: 2.0,
            memory,
            memory_loaded: memory.1,
            stored: Some(1_000_000),
            alone_us: Cpu { service: Some(300_000.0), postgres: Some(150_000.0), ..Cpu::default() },
            alone_seconds: 1.5,
            load: run(1, strategy, 1_000, Some(sellout::wire::Verdict::Held)),
            sizes: vec![Relation { name: "stock".into(), bytes: 8_192 }],
        }
    }

    #[test]
    fn a_sale_costs_what_the_service_grew_by_for_each_that_was_opened() {
        let grown = step("group_commit", 900, (1_000_000, 1_900_000));
        assert_eq!(grown.bytes_per_sale(), Some(1_000.0));
        assert_eq!(grown.cores_alone(), Some(0.3));
        assert_eq!(step("group_commit", 0, (1, 2)).bytes_per_sale(), None);
        // Memory that was given back is no cost, and is not hidden either.
        assert_eq!(step("group_commit", 1, (2, 1)).bytes_per_sale(), Some(-1.0));
    }
}
