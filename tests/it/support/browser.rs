//! A real browser: headless Chromium, driven over W3C WebDriver by plain HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

const INSTALL: &str = "the page is tested in a real browser: apt-get install chromium chromium-driver";
const FLAGS: &[&str] = &[
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];
/// Every document keeps what its policy refused, from its first byte on.
const WITNESS: &str = "window.violations = []; document.addEventListener('securitypolicyviolation',
    (e) => window.violations.push(`${e.violatedDirective} refused ${e.blockedURI || 'something inline'}`));";
/// WebDriver's names of keys that print nothing.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// A browser with one window. Dropping it ends it, its driver and all they started.
pub struct Browser {
    /// The browser itself, not its driver.
    pub pid: i32,
    driver: Child,
    port: u16,
    session: String,
    client: Client,
    _home: TempDir,
}

impl Browser {
    pub async fn start() -> Browser {
        let home = tempfile::tempdir().expect("temporary directory");
        let (driver, port) = start_driver(home.path());
        let client = Client::builder().timeout(Duration::from_secs(90)).build().expect("HTTP client");
        let mut browser = Browser { pid: 0, driver, port, session: String::new(), client, _home: home };
        let mut flags: Vec<_> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--user-data-dir={}", browser._home.path().join("profile").display()));
        if rustix::process::geteuid().is_root() {
            flags.push("--no-sandbox".to_owned()); // root has no sandbox to go into
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags}, "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 80_000},
        }}});
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = browser.client.post(url).json(&wanted).send().await.expect("chromedriver answers");
        let session = answer.json::<Value>().await.expect("JSON from chromedriver")["value"].take();
        let said = |name: &str| session["capabilities"][name].as_i64().and_then(|n| i32::try_from(n).ok());
        browser.session =
            session["sessionId"].as_str().unwrap_or_else(|| panic!("{INSTALL}\n{session}")).to_owned();
        browser.pid = said("goog:processID").expect("the browser's pid");
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WITNESS})).await;
        browser
    }

    async fn ask(&self, method: Method, verb: &str, body: Option<Value>) -> Value {
        let url = format!("http://127.0.0.1:{}/session/{}/{verb}", self.port, self.session);
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("chromedriver answers");
        let (status, mut body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
        assert!(status.is_success(), "{verb}: {}", body["value"]["message"]);
        body["value"].take()
    }

    async fn post(&self, verb: &str, body: Value) -> Value {
        self.ask(Method::POST, verb, Some(body)).await
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.post("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await;
    }

    pub async fn goto(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// The value of a function body in the page.
    pub async fn script(&self, body: &str, arguments: &[Value]) -> Value {
        self.post("execute/sync", json!({"script": body, "args": arguments})).await
    }

    /// The text of the one element that matches, as it is in the document.
    pub async fn text(&self, css: &str) -> String {
        let all = "return [...document.querySelectorAll(arguments[0])].map((n) => n.textContent)";
        let found = self.script(all, &[css.into()]).await;
        let texts = found.as_array().expect("a list");
        assert_eq!(texts.len(), 1, "{css}: {found}");
        texts[0].as_str().expect("text").to_owned()
    }

    /// Until the expression holds in the page, which looks for itself. A failure leaves a picture.
    pub async fn wait_for(&self, expression: &str, limit: Duration) {
        let script = format!(
            "const [limit, done] = arguments, start = performance.now();
            (function look() {{
                if ({expression}) done(true);
                else if (performance.now() - start > limit) done(false);
                else setTimeout(look, 25);
            }})();"
        );
        let limit = u64::try_from(limit.as_millis()).expect("a limit");
        let held = self.post("execute/async", json!({"script": script, "args": [limit]})).await;
        if held != true {
            let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}.png", self.pid));
            self.screenshot(&picture).await;
            panic!("not within {limit} ms: {expression}\nsee {}", picture.display());
        }
    }

    pub async fn screenshot(&self, path: &Path) {
        let picture = self.ask(Method::GET, "screenshot", None).await;
        std::fs::write(path, from_base64(picture.as_str().expect("base64"))).expect("the picture is written");
    }

    /// A screen of this size, as a device would have it.
    pub async fn screen(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the reader prefers: `prefers-color-scheme` and `prefers-reduced-motion`.
    pub async fn prefer(&self, scheme: &str, motion: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion}
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    pub async fn press(&self, key: &str) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.post("actions", json!({"actions": [keyboard]})).await;
    }

    /// What the page has to be ashamed of: warnings and errors on the console since last asked, and what
    /// its policy refused.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().expect("the console's entries");
        let loud = entries.iter().filter(|e| e["level"] == "SEVERE" || e["level"] == "WARNING");
        let violations = self.script("return window.violations", &[]).await;
        let violations = violations.as_array().expect("the witness was there first").clone();
        loud.map(|e| e["message"].clone()).chain(violations).map(|v| v.to_string()).collect()
    }

    /// Addresses that the page asked for after its own.
    pub async fn requests(&self) -> Vec<String> {
        let names = "return performance.getEntriesByType('resource').map((e) => e.name)";
        serde_json::from_value(self.script(names, &[]).await).expect("addresses")
    }
}

impl Drop for Browser {
    /// Deleting the session ends the browser with its children; then the driver goes, by its pid.
    fn drop(&mut self) {
        let ended = !self.session.is_empty() && delete(self.port, &self.session).is_ok();
        if let (false, Some(pid)) = (ended, rustix::process::Pid::from_raw(self.pid)) {
            let _ended_meanwhile = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Without a client: a runtime cannot be waited for in `drop`.
fn delete(port: u16, session: &str) -> std::io::Result<()> {
    let mut wire = TcpStream::connect(("127.0.0.1", port))?;
    wire.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        wire,
        "DELETE /session/{session} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = [0; 12];
    wire.read_exact(&mut answer)?;
    if answer.ends_with(b"200") { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
}

/// On a port of its own choice, which it says on stdout; what it leaves in the temporary folder goes with
/// `home`.
fn start_driver(home: &Path) -> (Child, u16) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program: PathBuf = std::env::split_paths(&path)
        .map(|folder| folder.join("chromedriver"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("chromedriver is not in PATH; {INSTALL}"));
    let mut command = Command::new(program);
    command.arg("--port=0").env("TMPDIR", home).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().unwrap_or_else(|e| panic!("chromedriver: {e}; {INSTALL}"));
    // Borrowed, for a driver without a reader may end itself.
    let mut lines = BufReader::new(driver.stdout.as_mut().expect("its stdout")).lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
    });
    (driver, port.unwrap_or_else(|| panic!("chromedriver did not start; {INSTALL}")))
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<_> = text.bytes().filter_map(|c| DIGITS.iter().position(|d| *d == c)).collect();
    let group = |digits: &[usize]| {
        let bits = digits.iter().enumerate().map(|(i, digit)| digit << (18 - 6 * i)).sum::<usize>();
        let bytes = [bits >> 16, bits >> 8, bits].map(|b| u8::try_from(b & 255).expect("a byte"));
        bytes[..digits.len() - 1].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
