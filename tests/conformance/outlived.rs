//! A holder that outlives its lock: the service is a process, held at each turn of its conversation with
//! PostgreSQL and stopped there, renewals, heartbeats and all, until its lock has ended.

use sellout::strategies::{Hazard, Need, Spec};
use sqlx::PgPool;
use uuid::Uuid;

use crate::Bench;
use crate::schedules::TURNS_MAX;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{Answer, UNATTENDED, eventually, port_of, with_port};
use crate::watched::{NARROW, Watched};

/// Can its lock end while its holder goes on? The fenced ones too: that is what their fence is for. (A take
/// of another name than its lock has a schedule of its own.)
pub fn can_outlive_its_lock(spec: &Spec) -> bool {
    let base = spec.id.strip_suffix("_fenced").unwrap_or(spec.id);
    spec.lock.as_ref().is_some_and(|bracket| {
        let ends = |hazard| bracket.facts.breaks.contains(&hazard);
        bracket.facts.id == base && (ends(Hazard::LeaseExpiry) || ends(Hazard::SessionLost))
    })
}

/// A lease that is over soon, so that a holder can be stopped for longer; as short as its server keeps one.
fn short_lease(spec: &Spec) -> &'static str {
    match spec.needs {
        needs if needs.contains(&Need::Etcd) => "1000",
        needs if needs.contains(&Need::Zookeeper) => "400",
        _ => "150",
    }
}

/// The holder: a service that can be stopped as a whole, with its renewals and heartbeats.
struct Stoppable {
    process: Process,
    pg: Relay,
    /// Its sessions' name in PostgreSQL.
    name: String,
}

impl Stoppable {
    async fn start(bench: &Bench, settings: &[&str]) -> Stoppable {
        let pg = Relay::to(port_of(&bench.app.database_url)).await;
        let name = format!("stopped-{}", Uuid::now_v7());
        let database = with_port(&bench.app.database_url, pg.port);
        let process = Process::with(&format!("{database}?application_name={name}"), settings);
        Stoppable { process, pg, name }
    }

    /// A fresh sale of one unit, met by a service that has every connection open.
    async fn last_unit(&self, bench: &Bench, spec: &Spec) -> Uuid {
        let api = &self.process.api;
        let warm = bench.app.api.open_sale(spec.id, 2).await;
        for _ in 0..3 {
            api.buy(warm).await;
        }
        let sale = bench.app.api.open_sale(spec.id, 1).await;
        assert_eq!(api.get(&format!("/v1/sales/{sale}")).await.body["left"], 1);
        sale
    }
}

pub async fn who_outlives_its_lock_oversells_unless_fenced(bench: &Bench, spec: &Spec) {
    let lease = ["--lock-lease-ms", short_lease(spec)];
    let first = Stoppable::start(bench, &[&NARROW[1..], &lease, &UNATTENDED].concat()).await;
    let second = Watched::start(bench, &["--lab", lease[0], lease[1]]).await;
    let sql = bench.app.sql().await;
    let fenced = spec.lock.as_ref().is_some_and(|bracket| bracket.fenced);
    let (mut oversold, mut refused) = (0, 0);
    for turn in 1..=TURNS_MAX {
        let sale = first.last_unit(bench, spec).await;
        let Some((one, two)) = stop_first(&first, &second, &sql, sale, turn).await else { break };
        let told = i64::from(one.is_sold()) + i64::from(two.is_sold());
        let e = bench.app.api.audit(sale).await.evidence;
        assert_eq!(e.sold, told, "stopped at turn {turn}: {} {}", one.text, two.text);
        oversold += i64::from(e.oversold > 0);
        refused += i64::from(one.problem() == "contended");
        if oversold > 0 && !fenced {
            break;
        }
    }
    if fenced {
        assert_eq!(oversold, 0, "the fence let an overtaken holder write");
        assert!(refused >= 1, "no late write was refused: this showed nothing");
    } else {
        assert!(oversold >= 1, "a holder that outlives its lock must oversell without a fence");
    }
    second.app.stop().await;
}

/// Holds the first buyer's `turn` and stops its whole process, until the second buyer has its answer: its
/// lease is over by then, or its session. Then both finish. `None` when the conversation is shorter.
async fn stop_first(
    first: &Stoppable,
    second: &Watched,
    sql: &PgPool,
    sale: Uuid,
    turn: u64,
) -> Option<(Answer, Answer)> {
    first.pg.hold(turn);
    let api = first.process.api.clone();
    let one = tokio::spawn(async move { api.buy(sale).await });
    eventually("the holder is held, or done", async || first.pg.is_holding() || one.is_finished()).await;
    if !first.pg.is_holding() {
        first.pg.release();
        return None;
    }
    first.process.stop().await;
    let api = second.app.api.clone();
    let two = tokio::spawn(async move { api.buy(sale).await });
    eventually("the lock has ended, and the other buyer has its answer", async || {
        cut_lock_sessions(sql, &first.name).await;
        two.is_finished()
    })
    .await;
    first.pg.release();
    first.process.go_on();
    Some((one.await.expect("the holder"), two.await.expect("the other buyer")))
}

/// Ends the sessions in which this service holds a lock: what a time-out or a restart would do.
async fn cut_lock_sessions(sql: &PgPool, name: &str) {
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity a
               where application_name = $1 and (state = 'idle in transaction' or exists
                   (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory' and l.granted))";
    sqlx::query(cut).bind(name).execute(sql).await.expect("pg_terminate_backend");
}
