//! The promise: the page shows a run as it happens, and every number on it is the ledger's. Tried in a
//! real browser, on a real service and a real load test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use sellout::strategies::ALL;
use sellout::wire::{Answers, Environment, Evidence, Latency, Parameters, Run, RunResult, Verdict};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;

use crate::support::browser::{Browser, ENTER, TAB};
use crate::support::{Api, TestApp, eventually, fresh_database, servers};

const SOON: Duration = Duration::from_secs(10);
const PATIENT: Duration = Duration::from_secs(40);

/// The page keeps what it says of the run, change by change.
const WATCH: &str = "window.said = [];
    const note = () => {
        const now = document.getElementById('progress-text').textContent;
        if (now && window.said.at(-1) !== now) window.said.push(now);
    };
    const all = { subtree: true, childList: true, characterData: true, attributes: true };
    new MutationObserver(note).observe(document.getElementById('now'), all);";

/// What is wider than the room that it has.
const SIDEWAYS: &str = "const room = [document.documentElement, ...document.querySelectorAll('.oversold')];
    return room.filter((n) => n.scrollWidth > n.clientWidth).map((n) => n.outerHTML.slice(0, 90))";

/// A lab service as a process that can be killed and started again where it was.
struct Service {
    api: Api,
    database_url: String,
    child: Child,
    runs: TempDir,
}

impl Service {
    async fn start() -> Service {
        let (database_url, runs) =
            (fresh_database().await, tempfile::tempdir().expect("temporary directory"));
        let (child, url) = serve(&database_url, runs.path(), "127.0.0.1:0");
        Service { api: Api::at(url), database_url, child, runs }
    }

    fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("reap");
    }

    fn start_again(&mut self) {
        let bind = self.api.url.trim_start_matches("http://");
        self.child = serve(&self.database_url, self.runs.path(), bind).0;
    }

    /// The load test of the demo, next to the service's own program.
    async fn load(&self, arguments: &[&str]) -> Run {
        let program = Path::new(env!("CARGO_BIN_EXE_sellout")).with_file_name("sellout-load");
        assert!(program.exists(), "{} is missing: cargo build --workspace", program.display());
        let mut load = tokio::process::Command::new(program);
        load.args(["--host", &self.api.url, "--no-progress", "--json", "-"]).args(arguments);
        let output = load.kill_on_drop(true).output().await.expect("the load test");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
    }

    async fn keep(&self, run: &Run) {
        let body = serde_json::to_value(run).expect("JSON");
        let answer = self.api.put(&format!("/v1/runs/{}", run.id), &body).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    }

    /// The report as a reader would keep it: a file.
    async fn report(&self, run: &str, folder: &TempDir) -> String {
        let answer = self.api.get(&format!("/v1/runs/{run}/report.html")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let file = folder.path().join("report.html");
        std::fs::write(&file, answer.text).expect("the report is saved");
        format!("file://{}", file.display())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(database_url: &str, runs: &Path, bind: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sellout"))
        .args(["serve", "--lab", "--bind", bind, "--runs-dir"])
        .arg(runs)
        .env("DATABASE_URL", database_url)
        .envs(servers().environment())
        .env("RUST_LOG", "off")
        .stdout(Stdio::piped())
        .spawn()
        .expect("sellout serve");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut line).expect("its address");
    let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
    (child, url.to_owned())
}

/// What a tile says of its strategy: oversold, word, sold, opened.
async fn tile(browser: &Browser, strategy: &str) -> [String; 4] {
    let field = |name: &str| format!("[data-strategy='{strategy}'] [data-field='{name}']");
    let [oversold, word, sold, opened] = ["oversold", "verdict", "sold", "opened"].map(field);
    [
        browser.text(&oversold).await,
        browser.text(&word).await,
        browser.text(&sold).await,
        browser.text(&opened).await,
    ]
}

async fn badge_says(browser: &Browser, words: &str) {
    let now = "document.getElementById('badge-word').textContent";
    browser.wait_for(&format!("/{words}/.test({now})"), PATIENT).await;
}

/// A run that never was: every strategy, every kind of verdict, numbers that are wide.
fn drawn(id: &str) -> Run {
    use Verdict::{Control, Held, Inconsistent, Invalid, Lost, NotExercised, Oversold, Skipped, Stranded};
    let verdicts = [Oversold, Oversold, Held, Stranded, Lost, Skipped, Inconsistent, NotExercised, Invalid];
    let latency = Latency { count: 1, p50: 1_000, p90: 2_000, p99: 1_234_567, max: 2_000_000 };
    let row = |(at, spec): (usize, &&sellout::strategies::Spec)| {
        let oversold = if at < 2 { 987_654 - 500_000 * i64::try_from(at).expect("small") } else { 0 };
        RunResult {
            strategy: spec.id.to_owned(),
            declared: spec.guarantee,
            verdict: if spec.id == "noop" { Control } else { verdicts[at % verdicts.len()] },
            reason: "A sentence of the length that a reason has when something was sold beyond stock.".into(),
            as_declared: at != 3,
            sale_id: None,
            evidence: Evidence {
                opened: 100_000,
                sold: 100_000 + oversold,
                oversold,
                lost: Some(17),
                ..Evidence::default()
            },
            attempts: 10_000_000,
            answers: Answers::default(),
            seconds: 1.0,
            accepted_per_s: 123_456.7,
            rejected_per_s: 123_456.7,
            latency_us: [("sold".to_owned(), latency), ("sold_out".to_owned(), latency)].into(),
            peak_in_flight: 50_000,
            service_cpu_us_per_attempt: None,
            series: Vec::new(),
            trace: None,
        }
    };
    Run {
        schema_version: 1,
        id: id.to_owned(),
        started_at: "2026-11-23T08:05:12.000Z".into(),
        finished_at: Some("2026-11-23T08:06:12.000Z".into()),
        exit_code: Some(1),
        environment: Environment { postgres: "PostgreSQL 99".into(), ..Environment::default() },
        parameters: Parameters {
            scenario: "rush".into(),
            strategies: ALL.iter().map(|spec| spec.id.to_owned()).collect(),
            stock: 100_000,
            buyers: 50_000,
            attempts: 10_000_000,
            quantity: 1,
            seed: u64::MAX,
            ..Parameters::default()
        },
        results: ALL.iter().enumerate().map(row).collect(),
        ..Run::default()
    }
}

#[tokio::test]
async fn a_run_is_seen_as_it_happens_and_ends_with_the_numbers_that_sql_counts() {
    let (service, browser) = (Service::start().await, Browser::start().await);
    browser.goto(&service.api.url).await;
    badge_says(&browser, "^live$").await;
    assert_eq!(browser.text("#verdict-sentence").await, "No run yet: start one with ./run load");
    browser.script(WATCH, &[]).await;

    let sizes = ["--attempts", "2000", "--buyers", "200", "--stock", "100"];
    let run = service.load(&[&["--strategies", "naive,atomic_update,noop"], &sizes[..]].concat()).await;
    browser
        .wait_for("/^1 of 2 judged/.test(document.getElementById('verdict-sentence').textContent)", SOON)
        .await;
    it_was_seen_to_move(&browser).await;

    let naive = the_tile_is_the_ledgers(&service, &browser, &run, "naive").await;
    assert!(naive > 100, "naive sold {naive} of 100: nothing to see");
    let of_naive = format!("+{}", naive - 100);
    assert_eq!(tile(&browser, "naive").await, [&of_naive, "OVERSOLD", &naive.to_string(), "100"]);
    assert_eq!(the_tile_is_the_ledgers(&service, &browser, &run, "atomic_update").await, 100);
    assert_eq!(tile(&browser, "atomic_update").await, ["0", "HELD", "100", "100"]);
    assert_eq!(tile(&browser, "noop").await[1], "CONTROL");
    let sentence = browser.text("#verdict-sentence").await;
    assert!(sentence.contains("OVERSOLD: naive sold"), "{sentence}");
    let size = "const size = (css) => parseFloat(getComputedStyle(document.querySelector(css)).fontSize);
        return size('[data-strategy=naive] .oversold') / size('body')";
    assert!(browser.script(size, &[]).await.as_f64() >= Some(3.0), "the number is not the loudest thing");

    browser.script("location.hash = '#/runs'", &[]).await;
    browser.wait_for("document.querySelector('#runs tr')", SOON).await;
    let listed = browser.text("#runs tr").await;
    assert!(listed.contains(&run.id) && listed.contains("1 HELD · 1 OVERSOLD"), "{listed}");
    let asked = browser.requests().await;
    let ours = |url: &&String| url.starts_with(&format!("{}/", service.api.url));
    assert!(asked.iter().any(|url| url.ends_with("/app.js")), "{asked:?}");
    assert_eq!(asked.iter().filter(ours).count(), asked.len(), "asked elsewhere: {asked:?}");
    assert_eq!(browser.complaints().await, [""; 0]);

    let folder = tempfile::tempdir().expect("temporary directory");
    browser.goto(&service.report(&run.id, &folder).await).await;
    assert_eq!(tile(&browser, "naive").await, [&of_naive, "OVERSOLD", &naive.to_string(), "100"]);
    assert_eq!(browser.text("#verdict-sentence").await, sentence);
    assert_eq!(browser.requests().await, [""; 0], "a report asks nobody");
    assert_eq!(browser.complaints().await, [""; 0]);

    let pid = rustix::process::Pid::from_raw(browser.pid).expect("a pid");
    drop(browser);
    assert!(rustix::process::test_kill_process(pid).is_err(), "the browser outlived its test");
}

async fn it_was_seen_to_move(browser: &Browser) {
    let said = browser.script("return window.said", &[]).await;
    let said: Vec<String> = serde_json::from_value(said).expect("what was said");
    let answered = |line: &String| {
        let (_, count) = line.split_once(" of 2,000 attempts answered")?.0.rsplit_once(' ')?;
        count.replace(',', "").parse::<u64>().ok()
    };
    let between = said.iter().filter_map(answered).filter(|n| (1..2000).contains(n)).count();
    assert!(between >= 1 && said.len() >= 3, "the page stood still: {said:?}");
}

/// Units that SQL counts for this strategy's sale; page, run and audit say the same.
async fn the_tile_is_the_ledgers(service: &Service, browser: &Browser, run: &Run, strategy: &str) -> i64 {
    let row = run.results.iter().find(|r| r.strategy == strategy).expect("a row");
    let sale = row.sale_id.expect("its sale");
    let sql = PgPool::connect(&service.database_url).await.expect("the tests' PostgreSQL");
    let count = "select sum(quantity)::bigint from orders where sale_id = $1";
    let sold: i64 = sqlx::query_scalar(count).bind(sale).fetch_one(&sql).await.expect("units");
    let audit = service.api.audit(sale).await;
    assert_eq!((audit.evidence.sold, row.evidence.sold), (sold, sold), "audit and run against SQL");
    assert_eq!((audit.verdict, audit.evidence.oversold), (row.verdict, sold - 100));
    assert_eq!(tile(browser, strategy).await[2], sold.to_string(), "page against SQL");
    sold
}

#[tokio::test]
async fn the_page_says_that_the_service_is_gone_and_comes_back_by_itself() {
    let (mut service, browser) = (Service::start().await, Browser::start().await);
    service.keep(&drawn("20261123-080512")).await;
    browser.goto(&service.api.url).await;
    badge_says(&browser, "^live$").await;
    browser.script("window.never_left = true", &[]).await;
    let sentence = browser.text("#verdict-sentence").await;

    service.kill();
    badge_says(&browser, "^(lost|polling)").await;
    assert_eq!(browser.text("#verdict-sentence").await, sentence, "what was known stays");

    service.start_again();
    badge_says(&browser, "^live$").await;
    assert_eq!(browser.script("return window.never_left", &[]).await, true, "without a reload");
    assert_eq!(browser.text("#verdict-sentence").await, sentence);
    service.keep(&Run { finished_at: None, exit_code: None, ..drawn("20261123-090000") }).await;
    browser.wait_for("/^Running/.test(document.getElementById('verdict-sentence').textContent)", SOON).await;
}

#[tokio::test]
async fn the_page_fits_a_phone_the_night_and_a_keyboard() {
    let (service, browser) = (Service::start().await, Browser::start().await);
    service.keep(&drawn("20261123-080512")).await;
    browser.prefer("light", "no-preference").await;
    browser.screen(360, 740).await;
    browser.goto(&service.api.url).await;
    browser.wait_for("document.querySelectorAll('.card, .tile').length > 10", SOON).await;
    browser.press(TAB).await;
    assert_eq!(browser.script("return document.activeElement.className", &[]).await, "skip");
    it_sorts_by_keyboard(&browser).await;
    // The big number of a tile is what went wrong: here orders that were told yes and do not exist.
    let big = browser.text("[data-strategy='skip_locked_count'] .big").await;
    assert_eq!(big, "17orders lost");

    browser.script("document.querySelectorAll('details').forEach((d) => { d.open = true; })", &[]).await;
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme, "reduce").await;
        for width in [320, 360, 768, 1280] {
            browser.screen(width, 740).await;
            let beyond = browser.script(SIDEWAYS, &[]).await;
            assert_eq!(beyond, json!([]), "{scheme}, {width} px wide: they scroll sideways");
        }
        papers.push(browser.script("return getComputedStyle(document.body).backgroundColor", &[]).await);
    }
    assert_ne!(papers[0], papers[1], "night is like day");

    let current = json!({"strategy": "naive", "sale_id": service.api.open_sale("naive", 1).await});
    let current = serde_json::from_value(current).expect("a strategy and its sale");
    let going =
        Run { current: Some(current), finished_at: None, exit_code: None, results: vec![], ..drawn("x") };
    service.keep(&going).await;
    browser.wait_for("document.querySelector('[data-verdict=RUNNING]')", SOON).await;
    let motion =
        "return getComputedStyle(document.querySelector('[data-verdict=RUNNING] .mark')).animationName";
    assert_eq!(browser.script(motion, &[]).await, "none", "it moves for who asked for rest");
    browser.prefer("light", "no-preference").await;
    assert_eq!(browser.script(motion, &[]).await, "breathe");
    assert_eq!(browser.complaints().await, [""; 0]);
}

async fn it_sorts_by_keyboard(browser: &Browser) {
    let here = "const head = document.activeElement.closest('#ledger th');
        return head && { column: head.textContent, sort: head.getAttribute('aria-sort'),
            first: document.querySelector('#ledger tbody th').textContent }";
    let mut at = Value::Null;
    for _ in 0..120 {
        browser.press(TAB).await;
        at = browser.script(here, &[]).await;
        if at["column"] == "oversold" {
            break;
        }
    }
    assert_eq!((&at["column"], &at["sort"]), (&json!("oversold"), &Value::Null), "the keyboard gets there");
    let sorted =
        [("descending", format!("✖\u{fe0e}{}", ALL[0].id)), ("ascending", format!("✔\u{fe0e}{}", ALL[2].id))];
    for (sort, first) in sorted {
        browser.press(ENTER).await;
        at = browser.script(here, &[]).await;
        assert_eq!((&at["sort"], &at["first"]), (&json!(sort), &json!(first)), "{at}");
    }
}

#[tokio::test]
async fn hostile_words_stay_words() {
    const HOSTILE: &str =
        "<img src=/x onerror=\"window.owned=1\"></script><script>window.owned = 2</script><!-- $&";
    let (service, browser) = (Service::start().await, Browser::start().await);
    let mut run = drawn("20261123-080512");
    let places = [
        &mut run.parameters.scenario,
        &mut run.results[0].reason,
        &mut run.environment.cpu,
        &mut run.environment.postgres,
    ];
    let hostile: Vec<_> = (0..places.len()).map(|n| format!("{n}: {HOSTILE}")).collect();
    places.into_iter().zip(&hostile).for_each(|(place, words)| words.clone_into(place));
    HOSTILE.clone_into(&mut run.results[1].strategy);
    service.keep(&run).await;
    let folder = tempfile::tempdir().expect("temporary directory");
    let report = service.report(&run.id, &folder).await;
    for page in [&service.api.url, &report] {
        browser.goto(page).await;
        browser.wait_for("document.querySelectorAll('.tile').length > 2", SOON).await;
        let words = browser.text("#main").await;
        for hostile in &hostile {
            assert!(words.contains(hostile), "{page} does not show {hostile}");
        }
        let names = "return [...document.querySelectorAll('.tile h4')].map((h) => h.textContent)";
        let names = browser.script(names, &[]).await;
        assert!(names.as_array().is_some_and(|n| n.contains(&json!(HOSTILE))), "{page}: {names}");
        let owned = browser.script("return [window.owned ?? 0, document.images.length]", &[]).await;
        assert_eq!(owned, json!([0, 0]), "{page}");
        assert_eq!(browser.complaints().await, [""; 0], "{page}");
    }
}

#[tokio::test]
async fn thirty_two_may_look_and_the_next_when_one_has_left() {
    let app = TestApp::start().await;
    let listen = async || {
        let url = format!("{}/v1/events", app.api.url);
        app.api.client.get(url).send().await.expect("an answer")
    };
    let mut listeners = Vec::new();
    for _ in 0..32 {
        let listener = listen().await;
        assert_eq!(listener.status(), StatusCode::OK);
        listeners.push(listener);
    }
    let refused = listen().await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["type"], "/problems/too-many-viewers");
    listeners.pop();
    eventually("room for another", async || listen().await.status() == StatusCode::OK).await;
    drop(listeners);
    app.stop().await;
}
