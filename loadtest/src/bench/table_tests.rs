//! The tables, on a report that was written down; and the README, on the newest that is committed.

use super::*;
use crate::plots;
use crate::report::tests::run;
use crate::round::Kept;
use crate::show;
use sellout::wire::Verdict;

fn report() -> Report {
    let held = Some(Verdict::Held);
    let mut outcomes = vec![
        run(1, "bare", 40_000, None),
        run(1, "atomic_update", 2_000, held),
        run(1, "group_commit", 30_000, held),
        run(1, "stripes", 900, Some(Verdict::Oversold)),
    ];
    outcomes[1].foreign_cores = Some(0.9);
    let options =
        crate::plan::Plan { rounds: 1, runs: 4, seconds: 2.0, warm_up_seconds: 0.5, minutes: 1.0, seed: 7 };
    let kept = Kept {
        started_at: "2026-11-24T00:00:00Z".into(),
        environment: Environment { cpu: "a CPU".into(), ..Environment::default() },
        plan: options,
        left_out: vec!["ticket: the service does not list it; left out.".into()],
        insert_limit: None,
        outcomes,
    };
    Report::new(&[kept]).unwrap()
}

#[test]
fn a_row_that_was_not_held_has_its_verdict_where_others_have_their_numbers() {
    let page = page(&report());
    let line = |name: &str| page.lines().find(|l| l.starts_with(&format!("| {name} |"))).unwrap().to_owned();
    assert!(line("stripes").contains("| – | – | – | – / – | – = – + – + – + – | OVERSOLD: so |"), "{page}");
    assert!(!line("stripes").contains("450"), "{page}");
    assert!(line("group_commit").contains("| 15000 | 0.75 | 15.0 |"), "{page}");
}

#[test]
fn the_page_says_what_disturbed_it_who_is_missing_and_which_targets_are_missed() {
    let page = page(&report());
    for part in [
        "| 1000 ~ |",
        "1 of 4 runs had more than 0.3 (~)",
        "ticket: the service does not list it",
        "| group_commit ÷ atomic_update, c = 256 | 14.0 | 22.0 | 15.0 | ✓ |",
        "| group_commit ÷ atomic_update, p99, c = 256 | ≤ 0.30 | ≤ 0.10 | 15.0 | ✗ missed |",
        "not measured",
        "a CPU",
        "seed 7",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
}

#[test]
fn every_picture_stands_alone_and_says_what_it_shows_in_words() {
    for (name, text) in plots::all(&report()) {
        assert!(text.contains("prefers-color-scheme") && text.contains("currentColor"), "{name}");
        assert!(text.contains(">group_commit</text>") && !text.contains(">stripes</text>"), "{name}: {text}");
        let outside = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http") && !outside.contains("NaN"), "{name}: {text}");
    }
}

/// Holds the newest committed file of a kind against what a page and the pictures beside it say of it; or
/// writes them, where that is asked for.
pub fn shown_on(
    page: &str,
    kind: &str,
    of: impl Fn(&std::path::Path) -> (String, Vec<(&'static str, String)>),
) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let files = std::fs::read_dir(format!("{root}/loadtest/results")).unwrap().map(|f| f.unwrap().path());
    let newest =
        files.filter(|path| path.to_string_lossy().ends_with(&format!("-{kind}.json"))).max().unwrap();
    let name = newest.file_name().unwrap().to_string_lossy();
    let (section, pictures) = of(&newest);
    let (start, end) = (format!("<!-- {kind}:start -->"), format!("<!-- {kind}:end -->"));
    let page = format!("{root}/{page}");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(&start).unwrap();
    let (shown, after) = rest.split_once(&end).unwrap();
    let update = std::env::var_os("UPDATE_README").is_some();
    if update {
        std::fs::write(&page, format!("{before}{start}\n{}\n{end}{after}", section.trim())).unwrap();
    } else {
        assert_eq!(shown.trim(), section.trim(), "run `./run readme`: it shows {name}");
    }
    for (file, text) in pictures {
        let path = format!("{root}/docs/{file}");
        if update {
            std::fs::write(&path, text).unwrap();
        } else {
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                text,
                "run `./run readme`: {file} is of {name}"
            );
        }
    }
}

#[test]
fn the_readme_shows_the_newest_committed_bench() {
    shown_on("README.md", "bench", |newest| {
        let report: Report = show::kept(newest).unwrap();
        (section(&report), plots::all(&report))
    });
}

#[test]
fn a_value_that_misses_by_a_hair_is_not_rounded_to_what_it_misses() {
    let mut report = report();
    let target = report.targets.first_mut().expect("a target");
    (target.at_least, target.at_most) = (0.9, false);
    for (value, reached, said) in [(0.8977, false, "0.898"), (0.8977, true, "0.90"), (0.5, false, "0.50")] {
        (target.value, target.reached) = (Some(value), Some(reached));
        assert_eq!(apart(value, target), said);
    }
}
