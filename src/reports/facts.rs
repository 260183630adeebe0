//! What every report says beside its numbers: how the run was asked for, where it ran, and what in it was not
//! as in life.

use super::{artificial, one_line};
use crate::wire::{Environment, FaultEvent, Parameters, Run, RunResult, Verdict};

/// The run in a sentence or two.
pub fn headline(run: &Run) -> String {
    let judged = |row: &&RunResult| !matches!(row.verdict, Verdict::Skipped | Verdict::Control);
    let rows: Vec<&RunResult> = run.results.iter().filter(judged).collect();
    let of = rows.len();
    if of == 0 {
        return "No strategy was judged.".into();
    }
    let oversold = rows.iter().filter(|row| row.verdict == Verdict::Oversold);
    let first = match oversold.clone().max_by_key(|row| row.evidence.oversold) {
        None if of == 1 => "The only strategy did not oversell.".into(),
        None => format!("None of {of} strategies oversold."),
        Some(worst) => {
            let (e, name) = (&worst.evidence, &worst.strategy);
            let supply = e.opened + e.changed;
            format!("{} of {of} strategies OVERSOLD: {name} sold {} of {supply}.", oversold.count(), e.sold)
        }
    };
    let surprises: Vec<&str> =
        rows.iter().filter(|row| !row.as_declared).map(|row| row.strategy.as_str()).collect();
    let second = match &surprises[..] {
        [] => "Nothing against what they declare.".into(),
        names => format!("Not as declared: {}.", names.join(", ")),
    };
    format!("{first} {second}")
}

/// The line that asks for the same run.
pub fn command(run: &Run) -> String {
    if !run.command.is_empty() {
        return one_line(&run.command);
    }
    let p = &run.parameters;
    let (strategies, scenario) = (quoted(&p.strategies.join(",")), quoted(&p.scenario));
    let limit = p.per_buyer_limit.map(|limit| format!(" --per-buyer-limit {limit}")).unwrap_or_default();
    format!(
        "sellout-load --strategies {strategies} --scenario {scenario} --buyers {} --attempts {} --stock {} \
         --quantity {}{limit} --seed {}",
        p.buyers, p.attempts, p.stock, p.quantity, p.seed
    )
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let text = one_line(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The crowd in a sentence.
pub(super) fn crowd(p: &Parameters) -> String {
    let limit = p.per_buyer_limit.map(|limit| format!(", at most {limit} per buyer")).unwrap_or_default();
    format!(
        "{}: {} units, {} attempts by {} buyers at once, {} per order{limit}, seed {}.",
        p.scenario, p.stock, p.attempts, p.buyers, p.quantity, p.seed
    )
}

/// Did it come to its end, and how?
pub(super) fn ending(run: &Run) -> String {
    let code = run.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    match &run.finished_at {
        Some(at) if run.cancelled => format!("cancelled, {at}{code}"),
        Some(at) => format!("{at}{code}"),
        None if run.cancelled => format!("cancelled before its end{code}"),
        None => format!("unfinished: it was cut off, or is running{code}"),
    }
}

/// Is there a window that no real shop has? In words.
pub(super) fn window(run: &Run) -> String {
    artificial(run).map_or("none".into(), |ms| {
        format!("{ms} ms between read and write, put there by the lab: overselling is easier than in life")
    })
}

/// What was broken on purpose.
pub(super) fn faults(run: &Run) -> String {
    let one = |f: &FaultEvent| {
        let argument = f.argument.map_or(" off".into(), |n| format!(" {n}"));
        let strategy = f.strategy.as_ref().map(|name| format!(" during {name}")).unwrap_or_default();
        format!("{}{argument} at {} ms{strategy}", f.fault, f.at_ms)
    };
    let said: Vec<String> = run.faults.iter().map(one).collect();
    if said.is_empty() { "nothing".into() } else { said.join("; ") }
}

/// Did the load take cores from the service?
pub(super) fn shared(run: &Run) -> &'static str {
    match run.co_located {
        Some(true) => "on one machine: the load takes cores from the service",
        Some(false) => "on machines of their own",
        None => "not known whether on one machine",
    }
}

/// How it was run.
pub(super) fn conditions(run: &Run) -> Vec<(&'static str, String)> {
    let recorded = if run.traced { "yes, which costs time" } else { "no" };
    vec![
        ("Run", run.id.clone()),
        ("Ended", ending(run)),
        (
            "Seed",
            format!("{} (of the choices; interleavings are the operating system's)", run.parameters.seed),
        ),
        ("Load and service", shared(run).to_owned()),
        ("Artificial window", window(run)),
        ("Broken on purpose", faults(run)),
        ("Steps recorded", recorded.to_owned()),
        ("Pages looking on", run.viewers_max.to_string()),
    ]
}

/// Where it was run, and how durable the stores were.
pub fn machine(e: &Environment, started_at: &str) -> Vec<(&'static str, String)> {
    let redis = e.redis.as_deref().unwrap_or("none");
    let servers = if e.private_servers { "private to this run" } else { "shared" };
    let also = [("Redlock", &e.redlock), ("ZooKeeper", &e.zookeeper), ("etcd", &e.etcd)];
    let also = also.into_iter().filter_map(|(name, line)| Some((name, line.clone()?)));
    let rows = [
        ("Date", started_at.to_owned()),
        ("sellout", format!("{} ({})", e.sellout, e.commit)),
        ("Build", e.build.clone()),
        ("CPU", format!("{}, {} cores seen", e.cpu, e.cores)),
        ("Memory", format!("{} MiB", e.memory_mib)),
        ("System", e.os.clone()),
        ("PostgreSQL", e.postgres.clone()),
        ("Redis", redis.to_owned()),
    ];
    rows.into_iter().chain(also).chain([("Servers", servers.to_owned())]).collect()
}
