//! The same table as Markdown, for a README or a pull request, with all that a stranger needs to
//! weigh it: the machine, the versions, the date, the seed, and the command.

use sellout::wire::{Environment, Parameters, Run};

use crate::report::{CAVEAT, COLUMNS, Marks, cells, reasons, window};

/// A page that stands alone.
pub fn page(run: &Run, repeat: &str, ending: &str) -> String {
    let mut text = format!("# sellout-load {}\n\n", run.id);
    if run.finished_at.is_none() {
        text.push_str("**Unfinished:** the run was cut off; strategies that are missing were not run.\n\n");
    }
    text.push_str(&crowd(&run.parameters));
    text.push_str(&table(run));
    text.push_str(&format!("\n{CAVEAT}\n\n"));
    for (strategy, reason) in reasons(run) {
        text.push_str(&format!("- `{strategy}`: {}\n", cell(reason)));
    }
    text.push_str(&format!("\n{}\n\n```sh\n{repeat}\n```\n", cell(ending)));
    text.push_str(&machine(&run.environment, &run.started_at));
    text
}

/// What a README shows of a kept run: crowd, table, caveat, machine.
pub fn section(run: &Run) -> String {
    let (crowd, table) = (crowd(&run.parameters), table(run));
    let machine = machine(&run.environment, &run.started_at);
    format!("{crowd}{table}\n{CAVEAT}\n{machine}")
}

fn table(run: &Run) -> String {
    let right = |n: usize| if (2..11).contains(&n) { "---:" } else { "---" };
    let mut text = format!("| {} |\n", COLUMNS.join(" | "));
    let rule: Vec<&str> = (0..COLUMNS.len()).map(right).collect();
    text.push_str(&format!("| {} |\n", rule.join(" | ")));
    for row in &run.results {
        let mut line: Vec<String> = cells(row, Marks::Unicode).iter().map(|c| cell(c)).collect();
        line.resize(COLUMNS.len(), String::new());
        text.push_str(&format!("| {} |\n", line.join(" | ")));
    }
    text
}

fn crowd(p: &Parameters) -> String {
    let limit = p.per_buyer_limit.map(|limit| format!(", at most {limit} per buyer")).unwrap_or_default();
    let window = window(p).map(|window| format!(", **{window}**")).unwrap_or_default();
    format!(
        "{}: {} units, {} attempts by {} buyers at once, {} per order{limit}, seed {}{window}.\n\n",
        p.scenario, p.stock, p.attempts, p.buyers, p.quantity, p.seed
    )
}

fn machine(e: &Environment, started_at: &str) -> String {
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
    let rows = rows.into_iter().chain(also).chain([("Servers", servers.to_owned())]);
    let mut text = String::from("\n| Where | |\n| --- | --- |\n");
    for (name, value) in rows {
        text.push_str(&format!("| {name} | {} |\n", cell(&value)));
    }
    text
}

/// A cell must not end its own row.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use sellout::wire::{RunResult, SCHEMA_VERSION, Verdict};

    use super::*;
    use crate::report::samples::result;

    fn run(finished: bool) -> Run {
        let skipped = RunResult { reason: "no Redis | none".into(), ..result("lua", Verdict::Skipped) };
        Run {
            schema_version: SCHEMA_VERSION,
            id: "20261123-080512".into(),
            started_at: "2026-11-23T08:05:12Z".into(),
            finished_at: finished.then(|| "2026-11-23T08:06:12Z".into()),
            exit_code: Some(0),
            environment: Environment { cpu: "a CPU".into(), ..Environment::default() },
            parameters: Parameters {
                scenario: "rush".into(),
                strategies: vec![],
                stock: 100,
                buyers: 200,
                attempts: 2000,
                quantity: 1,
                seed: 7,
                ..Parameters::default()
            },
            results: vec![result("row_lock", Verdict::Held), skipped],
            ..Run::default()
        }
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_head() {
        let page = page(&run(true), "again", "Exit 0");
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        let table: Vec<usize> = page.lines().filter(|l| l.starts_with('|')).take(4).map(bars).collect();
        assert_eq!(table, [13; 4], "{page}");
    }

    #[test]
    fn the_page_has_the_reasons_the_machine_and_the_seed() {
        let page = page(&run(true), "again", "Exit 0");
        for part in
            ["| row_lock | ✔ HELD |", "- `lua`: no Redis \\| none", "a CPU", "seed 7", "2026-11-23", CAVEAT]
        {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        assert!(!page.contains("Unfinished"));
    }

    #[test]
    fn an_interrupted_run_says_so_first() {
        assert!(page(&run(false), "again", "Exit 130").contains("**Unfinished:**"));
    }

    #[test]
    fn the_readme_shows_the_newest_committed_run() {
        let home = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
        let files = std::fs::read_dir(home).unwrap().map(|f| f.unwrap().path());
        let newest = files.filter(|f| f.to_string_lossy().ends_with("-rush.json")).max().unwrap();
        let run: Run = serde_json::from_str(&std::fs::read_to_string(&newest).unwrap()).unwrap();
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        let (before, rest) = readme.split_once("<!-- results:start -->").unwrap();
        let (shown, after) = rest.split_once("<!-- results:end -->").unwrap();
        if std::env::var_os("UPDATE_README").is_some() {
            let section = section(&run);
            let (start, end) = ("<!-- results:start -->", "<!-- results:end -->");
            let page = format!("{before}{start}\n{}\n{end}{after}", section.trim());
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"), page).unwrap();
            return;
        }
        let name = newest.file_name().unwrap().to_string_lossy();
        assert_eq!(shown.trim(), section(&run).trim(), "run `./run readme`: it shows {name}");
    }
}
