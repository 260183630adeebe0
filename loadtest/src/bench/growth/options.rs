//! How far everything is grown.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Grows;
use crate::limits;

/// Orders in the ledger, step by step.
const ORDERS: [u64; 5] = [0, 100_000, 1_000_000, 3_000_000, 10_000_000];
/// Where `--quick` stops.
const QUICK: (usize, u64, f64) = (1_000, 300_000, 2.0);
const WHOLE: (usize, u64, f64) = (10_000, 10_000_000, 4.0);
/// Orders of the sale that Redis is filled with anew, step by step.
const REBUILT: [u64; 3] = [1_000, 100_000, 1_000_000];
/// So many times the connections of the peak, and so many times its rate, are an overload.
pub const OVERLOAD: usize = 10;
/// Expected for one volley beside its window: warm-up, run-in, audit.
const AROUND_S: f64 = 4.0;
/// Expected of batches of orders, per second.
const BATCHED_PER_S: f64 = 20_000.0;

/// How far.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// A thousand sales and 300,000 orders instead of 10,000 and ten million.
    #[arg(long)]
    quick: bool,
    /// Sales that are open at the end.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sales_max: Option<u32>,
    /// Orders that are filled into the ledger.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=100_000_000))]
    orders_max: Option<u64>,
    /// Length of a timed run.
    #[arg(long)]
    seconds: Option<f64>,
    /// Connections of a crowd; an overload has ten times as many.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(8..=1_000))]
    connections: u16,
    /// Of the choice of sales.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Options {
    fn usual(&self) -> (usize, u64, f64) {
        if self.quick { QUICK } else { WHOLE }
    }

    /// Length of a timed run.
    pub fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(self.usual().2)
    }

    /// A crowd.
    pub fn connections(&self) -> usize {
        self.connections.into()
    }

    /// Far more than the service lets wait.
    pub fn crush(&self) -> usize {
        OVERLOAD * self.connections()
    }

    /// All of whom the service lets wait.
    pub fn waiting(&self) -> usize {
        16 * self.connections()
    }

    /// Sales that are open: by the ten, up to the last.
    pub fn sales(&self) -> Vec<usize> {
        let max = self.sales_max.map_or(self.usual().0, |n| n as usize);
        let steps = std::iter::successors(Some(1), |n| Some(n * 10));
        up_to(max, steps.take(6))
    }

    /// Orders that are in the ledger, beside those of the measurements.
    pub fn orders(&self) -> Vec<u64> {
        up_to(self.orders_max(), ORDERS)
    }

    /// Orders of the sale that Redis is filled with anew.
    pub fn rebuilt(&self) -> Vec<u64> {
        up_to(self.orders_max().min(1_000_000), REBUILT)
    }

    fn orders_max(&self) -> u64 {
        self.orders_max.unwrap_or(self.usual().1)
    }

    /// Every connection is an open file, ours and (which inherits the limit) the service's.
    pub fn room(&self) -> Result<(), String> {
        limits::room_for(self.crush().max(self.waiting()) as u64)
    }

    /// What a part is expected to take, in seconds.
    pub fn work(&self, part: Grows) -> f64 {
        match part {
            Grows::Sales => 2.0 * self.sales().iter().map(|n| self.sales_work(*n)).sum::<f64>(),
            Grows::Orders => {
                let orders = [filled(&self.orders()), filled(&self.rebuilt())].concat();
                orders.into_iter().map(|n| self.fill_work(n)).sum::<f64>()
            }
            Grows::Overload => 2.0 * self.volley_work() + 8.0 * self.volley_work(),
        }
    }

    /// Of one volley.
    pub fn volley_work(&self) -> f64 {
        self.seconds() + AROUND_S
    }

    /// Of one step of the sales.
    pub fn sales_work(&self, sales: usize) -> f64 {
        self.volley_work() + sales as f64 / 250.0
    }

    /// Of one step of the orders, which is a fill and then two volleys and a few restarts.
    pub fn fill_work(&self, orders: u64) -> f64 {
        orders as f64 / BATCHED_PER_S + 3.0 * self.volley_work()
    }
}

/// What must be added from step to step.
pub fn filled(steps: &[u64]) -> Vec<u64> {
    let before = std::iter::once(0).chain(steps.iter().copied());
    steps.iter().zip(before).map(|(step, before)| step - before).collect()
}

/// The steps below the last one, and that.
fn up_to<N: PartialOrd>(max: N, steps: impl IntoIterator<Item = N>) -> Vec<N> {
    let mut steps: Vec<N> = steps.into_iter().take_while(|step| *step < max).collect();
    steps.push(max);
    steps
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        Line::try_parse_from(line.split(' ')).unwrap().options
    }

    #[test]
    fn every_step_is_taken_and_the_last_is_the_one_asked_for() {
        assert_eq!(options("x").sales(), [1, 10, 100, 1_000, 10_000]);
        assert_eq!(options("x --sales-max 2").sales(), [1, 2]);
        assert_eq!(options("x").orders(), ORDERS);
        assert_eq!(options("x --quick").orders(), [0, 100_000, 300_000]);
        assert_eq!(options("x --orders-max 0").orders(), [0]);
        assert_eq!(options("x --orders-max 2000").rebuilt(), [1_000, 2_000]);
        assert_eq!(filled(&[0, 5, 20]), [0, 5, 15]);
    }

    #[test]
    fn the_whole_of_it_is_expected_to_fit_into_twenty_five_minutes() {
        let minutes = |line: &str| {
            let options = options(line);
            [Grows::Sales, Grows::Orders, Grows::Overload].map(|p| options.work(p)).iter().sum::<f64>() / 60.0
        };
        assert!((10.0..25.0).contains(&minutes("x")), "{}", minutes("x"));
        assert!(minutes("x --quick") < 5.0, "{}", minutes("x --quick"));
    }
}
