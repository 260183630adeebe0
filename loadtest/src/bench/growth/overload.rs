//! Buyers who wait, and buyers for whom there is no room: what each of them costs, and whether those who are
//! refused take anything from those who are served.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Run;
use super::options::OVERLOAD;
use super::orders::UNITS;
use super::volley::Volley;
use crate::connection::Connection;
use crate::outcome::{Cpu, Outcome};
use sellout::wire::{Answers, Latency};

const STRATEGIES: [&str; 2] = ["group_commit", "atomic_update"];
/// Connections, on a thread of their own, and orders per second of the few who come beside the crowd.
const BESIDE: (usize, f64) = (8, 400.0);
/// What a refusal tells its buyer to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// So many connections, each with an order that waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Connections.
    pub connections: usize,
    /// Memory of the service with these connections open and nothing asked.
    pub idle: u64,
    /// The most while all of them had an order under way.
    pub busy: u64,
    /// Orders that were under way at once.
    pub under_way: u64,
}

/// A strategy at its peak, and under ten times as much.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overload {
    /// The strategy.
    pub strategy: String,
    /// Orders that the service works on at once, and those that may wait for it.
    pub room: (usize, usize),
    /// As many connections as are worked on at once.
    pub peak: Outcome,
    /// Ten times as many buyers, each of whom comes back when he was told to (Retry-After).
    pub patient: Outcome,
    /// Orders per second that ten times as many connections were to send.
    pub offered: f64,
    /// What came of it, from buyers who do not heed Retry-After.
    pub crush: Outcome,
    /// What the few heard meanwhile who came beside the crowd.
    pub beside: Answers,
    /// Their refusals.
    pub refused_beside_us: Option<Latency>,
    /// The most memory that the service ever had.
    pub memory: u64,
    /// What it had after the peak.
    pub memory_at_peak: u64,
}

impl Overload {
    /// Sold per second to ten times as many buyers, of what was sold at the peak.
    pub fn goodput(&self) -> Option<f64> {
        self.of_the_peak(&self.patient)
    }

    /// The same when they ask again and again.
    pub fn goodput_in_the_crush(&self) -> Option<f64> {
        self.of_the_peak(&self.crush)
    }

    fn of_the_peak(&self, outcome: &Outcome) -> Option<f64> {
        Some(outcome.per_s? / self.peak.per_s.filter(|rate| *rate > 0.0)?)
    }

    /// Refusals per second: nothing was taken.
    pub fn refused_per_s(&self) -> Option<f64> {
        (self.crush.seconds > 0.0).then(|| self.crush.answers.contended as f64 / self.crush.seconds)
    }

    /// CPU time that the service spent on each refusal: what is left when those who were served cost what
    /// they cost at the peak.
    pub fn us_per_refusal(&self) -> Option<f64> {
        let per_sold = self.peak.cpu_us.service? / Some(self.peak.answers.sold).filter(|n| *n > 0)? as f64;
        let rest = self.crush.cpu_us.service? - per_sold * self.crush.answers.sold as f64;
        Some(rest / Some(self.crush.answers.contended).filter(|n| *n > 0)? as f64)
    }

    /// Cores that refusing took.
    pub fn refusal_cores(&self) -> Option<f64> {
        Some(self.us_per_refusal()? / 1e6 * self.refused_per_s()?)
    }

    /// Cores of this machine that the client took.
    pub fn client_cores(&self) -> Option<f64> {
        let Cpu { load, .. } = self.crush.cpu_us;
        load.filter(|_| self.crush.seconds > 0.0).map(|us| us / 1e6 / self.crush.seconds)
    }
}

/// Waiting first, with the limits as they are by default; then an overload of each strategy.
pub async fn grow(run: &mut Run) -> Result<(), String> {
    for connections in [run.options.connections(), run.options.waiting()] {
        let waiting = waiting(run, connections).await?;
        let words = format!("{connections} connections: {} MiB", waiting.busy >> 20);
        run.part.waiting.push(waiting);
        run.step(run.options.volley_work(), &words)?;
    }
    for strategy in STRATEGIES {
        let overload = overload(run, strategy).await?;
        let words = match overload.goodput() {
            Some(share) => format!("{strategy}: under overload {:.0} % of its peak", 100.0 * share),
            None => format!("{strategy}: {} / {}", overload.peak.reason, overload.crush.reason),
        };
        run.part.overload.push(overload);
        run.step(4.0 * run.options.volley_work(), &words)?;
    }
    Ok(())
}

async fn waiting(run: &Run, connections: usize) -> Result<Waiting, String> {
    let (host, sale) = (run.stage.host()?, run.stage.api()?.open(STRATEGIES[0], UNITS).await?);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(host).await.map_err(|e| format!("{host}: {e}"))?);
    }
    let idle = run.settled().await?;
    drop(open);
    let fired = run.fire(&Volley::new(STRATEGIES[0], &[sale], connections)).await?;
    Ok(Waiting { connections, idle, busy: fired.memory, under_way: fired.under_way })
}

async fn overload(run: &mut Run, strategy: &str) -> Result<Overload, String> {
    let (connections, many) = (run.options.connections(), run.options.crush());
    // Room for the peak, and for twice as many to wait: fewer than will come.
    let room = (connections, 2 * connections);
    let [at_once, queue] = [room.0, room.1].map(|n| n.to_string());
    run.stage.start(&["--in-flight-max", &at_once, "--queue-max", &queue]).await?;
    let api = run.stage.api()?;
    // A sale for each load: none has to be judged for more than one.
    let mut sales = api.open_many(strategy, UNITS, 5).await?.into_iter().map(|sale| [sale]);
    let mut next = || sales.next().ok_or("five sales were opened");
    let (warm, peak, patient, crush, beside) = (next()?, next()?, next()?, next()?, next()?);
    let volley = Volley::new(strategy, &warm, connections);
    run.fire(&volley).await?;
    let peak = run.fire(&Volley { sales: &peak, ..volley }).await?;
    let heed = Volley { sales: &patient, connections: many, back_off: RETRY_AFTER, ..volley };
    let patient = run.fire(&heed).await?;
    let offered = peak.outcome.per_s.unwrap_or(0.0) * OVERLOAD as f64;
    let few = Volley { sales: &beside, connections: BESIDE.0, offered: Some(BESIDE.1), ..volley };
    let few = run.start(&few)?;
    few.phase().start();
    let offers = Some(offered).filter(|n| *n > 0.0);
    let crush = run.fire(&Volley { sales: &crush, connections: many, offered: offers, ..volley }).await?;
    let few = few.finish()?.timed;
    Ok(Overload {
        strategy: strategy.into(),
        room,
        peak: peak.outcome,
        patient: patient.outcome,
        offered,
        crush: crush.outcome,
        refused_beside_us: few.latency_us().get("contended").cloned(),
        beside: few.answers,
        memory: run.stage.memory()?.peak,
        memory_at_peak: peak.memory,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::report::tests::run;
    use sellout::wire::Verdict;

    /// An overload that was written down: so many sold at the peak, so many sold and refused in the crush.
    pub fn overload(peak: u64, sold: u64, contended: u64) -> Overload {
        let mut crush = run(1, "x", sold, Some(Verdict::Held));
        crush.answers = Answers { contended, ..crush.answers };
        crush.cpu_us.service = crush.cpu_us.service.map(|us| us + 5.0 * contended as f64);
        Overload {
            strategy: "x".into(),
            room: (256, 512),
            peak: run(1, "x", peak, Some(Verdict::Held)),
            patient: run(1, "x", 9 * peak / 10, Some(Verdict::Held)),
            offered: 10.0,
            crush,
            beside: Answers::default(),
            refused_beside_us: None,
            memory: 64 << 20,
            memory_at_peak: 32 << 20,
        }
    }

    #[test]
    fn a_refusal_costs_what_the_served_do_not() {
        let measured = overload(1_000, 900, 10_000);
        assert_eq!((measured.goodput_in_the_crush(), measured.us_per_refusal()), (Some(0.9), Some(5.0)));
        assert_eq!((measured.refused_per_s(), measured.refusal_cores()), (Some(5_000.0), Some(0.025)));
        assert_eq!(overload(1_000, 900, 0).us_per_refusal(), None, "nobody was refused");
    }

    #[test]
    fn a_rate_that_does_not_stand_is_no_goodput() {
        let mut measured = overload(1_000, 900, 10);
        measured.crush = run(1, "x", 900, Some(Verdict::Oversold));
        assert_eq!((measured.goodput_in_the_crush(), measured.goodput()), (None, Some(0.9)));
    }
}
