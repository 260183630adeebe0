//! A JVM with Curator's own recipes in it, from the distribution's jars.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::LIMIT;
use crate::zoo::{LONG, hosts};

/// Its manifest names the rest; the second one keeps slf4j quiet.
const JARS: [&str; 2] = ["/usr/share/java/curator-recipes.jar", "/usr/share/java/slf4j-nop.jar"];
const INSTALL: &str =
    "apt-get install --no-install-recommends default-jdk-headless libcurator-recipes-java libslf4j-java";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lock_servers/CuratorClient.java");
const CLASSES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/curator-client");

type Answers = Arc<Mutex<HashMap<String, UnboundedSender<String>>>>;

/// A process of its own, with a session of its own.
pub struct Jvm {
    child: Mutex<Child>,
    stdin: Mutex<ChildStdin>,
    answers: Answers,
}

/// A thread in it: what Curator takes for an owner.
pub struct Thread {
    jvm: Arc<Jvm>,
    name: String,
    answers: UnboundedReceiver<String>,
}

/// The one that nobody kills. It ends when this process does, because its stdin does.
pub async fn shared() -> Arc<Jvm> {
    static SHARED: OnceLock<Arc<Jvm>> = OnceLock::new();
    let starting = || Arc::clone(SHARED.get_or_init(|| Arc::new(Jvm::run(LONG))));
    tokio::task::spawn_blocking(starting).await.expect("a JVM")
}

/// One of its own, to be killed.
pub async fn own(session_ms: u64) -> Arc<Jvm> {
    tokio::task::spawn_blocking(move || Arc::new(Jvm::run(session_ms))).await.expect("a JVM")
}

fn class_path() -> String {
    for jar in JARS {
        assert!(Path::new(jar).exists(), "{jar} is missing: {INSTALL}");
    }
    static COMPILED: OnceLock<()> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let mut javac = Command::new("javac");
        let javac = javac.args(["-cp", JARS[0], "-d", CLASSES, SOURCE]).output();
        let done = javac.unwrap_or_else(|e| panic!("javac cannot be run ({e}): {INSTALL}"));
        assert!(done.status.success(), "javac: {}", String::from_utf8_lossy(&done.stderr));
    });
    format!("{CLASSES}:{}", JARS.join(":"))
}

impl Jvm {
    fn run(session_ms: u64) -> Jvm {
        let mut child = Command::new("java")
            .args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .args(["-cp", &class_path(), "CuratorClient", hosts(), &session_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("java cannot be run ({e}): {INSTALL}"));
        let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("ready"), "the Curator client");
        let answers = Answers::default();
        let listeners = Arc::clone(&answers);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let (name, answer) = line.split_once(' ').expect("a thread and its answer");
                let listeners = listeners.lock().expect("the listeners");
                let _nobody_listens = listeners.get(name).map(|to| to.send(answer.to_owned()));
            }
        });
        let stdin = Mutex::new(child.stdin.take().expect("its stdin"));
        Jvm { child: Mutex::new(child), stdin, answers }
    }

    pub fn thread(self: &Arc<Jvm>) -> Thread {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        let name = format!("t{}", THREADS.fetch_add(1, SeqCst));
        let (to, answers) = unbounded_channel();
        self.answers.lock().expect("the listeners").insert(name.clone(), to);
        Thread { jvm: Arc::clone(self), name, answers }
    }

    /// `kill -9`.
    pub fn kill(&self) {
        let mut child = self.child.lock().expect("the JVM");
        child.kill().expect("kill");
        child.wait().expect("reap");
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Thread {
    /// Tells it to do something.
    pub fn told(&self, command: &str) {
        let mut stdin = self.jvm.stdin.lock().expect("its stdin");
        writeln!(stdin, "{} {command}", self.name).expect("it listens");
    }

    /// What it answers.
    pub async fn says(&mut self) -> String {
        let answer = tokio::time::timeout(LIMIT, self.answers.recv()).await;
        answer.expect("an answer within the limit").expect("it lives")
    }

    /// Has it nothing to say yet?
    pub fn is_silent(&self) -> bool {
        self.answers.is_empty()
    }

    /// Goes inside; its node.
    pub async fn inside(&mut self, path: &str) -> String {
        self.told(&format!("acquire {path} 20000"));
        self.entered().await
    }

    /// The node, once it is inside.
    pub async fn entered(&mut self) -> String {
        let answer = self.says().await;
        answer.strip_prefix("inside ").unwrap_or_else(|| panic!("Java says {answer:?}")).to_owned()
    }

    pub async fn leaves(&mut self, path: &str) {
        self.told(&format!("release {path}"));
        assert_eq!(self.says().await, "released");
    }
}
