//! What we build on, held to what we say about it: licences, sources, known faults, duplicates, and one
//! line of reasons per direct dependency in `docs/dependencies.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// Licences under which code may be in the tree. One that nothing needs any more must be taken out again.
const LICENCES: &[(&str, &str)] = &[
    ("MIT", "our own, and that of most crates"),
    ("Apache-2.0", "our own, with a patent grant: clap, reqwest and most others beside MIT"),
    ("BSD-3-Clause", "redis, subtle: as MIT, without the use of names"),
    ("ISC", "rustls-webpki, aws-lc-rs: as MIT, in fewer words"),
    ("Zlib", "foldhash: permissive, altered versions are marked"),
    ("BSL-1.0", "xxhash-rust: permissive, no notice needed in binaries"),
    ("Unicode-3.0", "the ICU4X crates: permissive, covers the Unicode tables"),
    ("CDLA-Permissive-2.0", "webpki-root-certs: a licence for data, not for code"),
];

/// Crates that are built in two versions, and who keeps the older one. Each costs compile time; none of
/// them can be lifted from here.
const DUPLICATES: &[(&str, &str)] = &[
    ("ahash", "0.7 below hashbrown 0.12; 0.8 by actix-web and sqlx"),
    ("base64", "0.22 by sqlx and metrics-exporter-prometheus, 0.23 by reqwest"),
    ("block-buffer", "below digest"),
    ("cpufeatures", "below sha1 and sha2"),
    ("crypto-common", "below digest"),
    ("digest", "below sha2"),
    ("foldhash", "0.1 below hashbrown 0.15, 0.2 below 0.16 and later"),
    ("getrandom", "0.2 below ahash 0.7; 0.3 below rand 0.9; 0.4 by uuid and tempfile"),
    ("hashbrown", "0.12 by zookeeper-client, 0.14 below its hashlink, 0.15 below prost-build; 0.16, 0.17"),
    ("hashlink", "0.8 by zookeeper-client, 0.11 by sqlx-core"),
    ("heck", "0.3 by zookeeper-client's strum: build time only"),
    ("http", "0.2 by actix-web, which waits for its 5.0; 1 by everybody else"),
    ("prettyplease", "0.2 by tonic-build, 0.3 by prost-build: build time only"),
    ("rand", "0.9 by goose and metrics-util, 0.10 by sqlx-postgres"),
    ("rand_core", "below rand"),
    ("sha2", "0.10 by sqlx-core, and by us so that it is not three; 0.11 by sqlx-postgres"),
    (
        "syn",
        "1 by zookeeper-client's strum, 2 by derive_more and tracing-attributes, 3 by serde: build time only",
    ),
    ("thiserror", "1 by zookeeper-client"),
    ("thiserror-impl", "below thiserror"),
];

/// Crates that must not come in at all, in any version below the second field.
const BANNED: &[(&str, &str, &str)] = &[
    ("h2", "0.4.16", "RUSTSEC-2026-0258; actix-web's http2 feature would bring 0.3"),
    ("openssl-sys", "all", "needs a system library at the reader's; rustls does not"),
    ("native-tls", "all", "the same, by another name"),
];

/// The platform whose build is counted for duplicates: CI's and the container's.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

#[test]
fn every_licence_is_one_that_we_may_pass_on() -> Result<()> {
    let metadata = metadata()?;
    let allowed: Vec<_> = LICENCES.iter().map(|(licence, _)| *licence).collect();
    let refused = refused_licences(&metadata, &allowed);
    ensure!(
        refused.is_empty(),
        "Who ships this binary passes all of it on; not allowed:\n{}",
        refused.join("\n")
    );
    for licence in &allowed {
        let without: Vec<_> = allowed.iter().copied().filter(|other| other != licence).collect();
        let needed = !refused_licences(&metadata, &without).is_empty();
        ensure!(needed, "nothing needs {licence} any more: an allow-list is as short as it can be");
    }
    Ok(())
}

#[test]
fn every_source_is_crates_io_or_this_repository() -> Result<()> {
    let metadata = metadata()?;
    ensure!(foreign(&metadata).is_empty(), "A git dependency can change under us: {:?}", foreign(&metadata));
    let fork =
        json!({"packages": [{"name": "x", "version": "1.0.0", "source": "git+https://example.org/x"}]});
    assert_eq!(foreign(&fork), ["x 1.0.0 from git+https://example.org/x"]);
    let copy =
        json!({"packages": [{"name": "x", "version": "1.0.0", "source": null, "manifest_path": "/x"}]});
    assert_eq!(foreign(&copy).len(), 1, "a path outside the repository");
    Ok(())
}

#[test]
fn nothing_with_a_known_fault_comes_in() -> Result<()> {
    let found = banned(&metadata()?);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    for (name, version, caught) in [
        ("h2", "0.3.27", true),
        ("h2", "0.4.15", true),
        ("h2", "0.4.16", false),
        ("native-tls", "0.2.14", true),
    ] {
        let tree = json!({"packages": [{"name": name, "version": version}]});
        assert_eq!(!banned(&tree).is_empty(), caught, "{name} {version}");
    }
    Ok(())
}

#[test]
fn actix_web_comes_without_its_defaults() -> Result<()> {
    let metadata = metadata()?;
    for package in members(&metadata) {
        for dependency in array(package, "dependencies").iter().filter(|d| d["name"] == "actix-web") {
            let defaults = &dependency["uses_default_features"];
            ensure!(*defaults == json!(false), "{}: its default http2 brings the old h2", package["name"]);
        }
    }
    // Features add up: one dependency that asks for the defaults would switch them on for all.
    let nodes = array(&metadata["resolve"], "nodes");
    let web = nodes.iter().find(|n| n["id"].as_str().is_some_and(|id| id.contains("#actix-web@")));
    let features = array(web.context("actix-web is not resolved")?, "features");
    let on = |feature: &str| features.contains(&json!(feature));
    ensure!(!on("default") && !on("http2"), "somebody else switches them on: {features:?}");
    Ok(())
}

#[test]
fn each_direct_dependency_has_its_reasons_and_is_used() -> Result<()> {
    let metadata = metadata()?;
    let page = fs::read_to_string(root().join("docs/dependencies.md")).context("docs/dependencies.md")?;
    let (direct, listed) = (direct(&metadata), listed(&page));
    ensure!(
        direct == listed,
        "docs/dependencies.md says of each direct dependency why it is here.\nwithout a line: {:?}\nno \
         longer a dependency: {:?}",
        direct.difference(&listed).collect::<Vec<_>>(),
        listed.difference(&direct).collect::<Vec<_>>()
    );
    let unused = unused(&metadata)?;
    ensure!(unused.is_empty(), "Nothing in the sources names them, so they only cost: {unused:?}");
    let page = "| crate | x |\n|---|---|\n| `a-b` | y |\n| `c`, `d` | z |\n| [`e`](https://e) | z |\n";
    assert_eq!(self::listed(page), ["a-b", "c", "d", "e"].map(String::from).into());
    assert!(names("use a_b::C;", "a-b") && names("a_b::c()", "a-b") && names("#[derive(a_b::C)]", "a-b"));
    assert!(!names("use xa_b::C;", "a-b") && !names("use a_bc::C;", "a-b") && !names("// a-b", "a-b"));
    Ok(())
}

#[test]
fn no_crate_is_built_twice_without_a_reason() -> Result<()> {
    let target = ["--target", PLATFORM, "--edges", "normal,build,dev", "--prefix", "none"];
    // With etcd: what ./run builds.
    let whole = ["tree", "--locked", "--workspace", "--features", "sellout/etcd"];
    let tree = cargo(&[&whole[..], &target[..]].concat())?;
    let built = duplicates(&tree);
    let listed: BTreeSet<_> = DUPLICATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let new: Vec<_> = built.iter().filter(|(name, _)| !listed.contains(*name)).collect();
    ensure!(new.is_empty(), "Two versions cost compile time and a second look at each advisory: {new:?}");
    let gone: Vec<_> = listed.iter().filter(|name| !built.contains_key(*name)).collect();
    ensure!(gone.is_empty(), "no duplicates any more, so take them out of the list: {gone:?}");

    let tree = "a v1.0.0\nb v0.2.0 (proc-macro)\na v1.0.0 (*)\nb v0.3.1\nc v1.0.0 (/path)\n\n";
    assert_eq!(duplicates(tree).into_keys().collect::<Vec<_>>(), ["b"]);
    Ok(())
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "ISC"];
    for good in ["MIT", "MIT OR X", "X/MIT", "(X OR MIT) AND ISC", "X AND Y OR MIT", "ISC AND (X OR (MIT))"] {
        assert!(accepted(good, &allowed), "{good}");
    }
    for bad in ["X", "MIT AND X", "MIT WITH exception", "(MIT OR ISC) AND X", "MIT OR", "", "(MIT", "MIT ISC"]
    {
        assert!(!accepted(bad, &allowed), "{bad}");
    }
    assert!(accepted("X WITH y OR Z", &["X WITH y"]));
    let silent = json!({"packages": [{"name": "x", "version": "1.0.0", "license": null}]});
    assert_eq!(refused_licences(&silent, &allowed).len(), 1, "no licence is no permission");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output()?;
    ensure!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Every platform's dependencies: what is only built on another one is passed on all the same.
fn metadata() -> Result<Value> {
    Ok(serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version", "1"])?)?)
}

fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn label(package: &Value) -> String {
    format!("{} {}", text(package, "name"), text(package, "version"))
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids = array(metadata, "workspace_members");
    array(metadata, "packages").iter().filter(move |p| ids.contains(&p["id"]))
}

fn refused_licences(metadata: &Value, allowed: &[&str]) -> Vec<String> {
    let refused = array(metadata, "packages").iter().filter(|p| !accepted(text(p, "license"), allowed));
    refused.map(|p| format!("{}: {}", label(p), p["license"])).collect()
}

fn foreign(metadata: &Value) -> Vec<String> {
    let ours = |p: &Value| match p["source"].as_str() {
        Some(source) => source == "registry+https://github.com/rust-lang/crates.io-index",
        None => Path::new(text(p, "manifest_path")).starts_with(root()),
    };
    let foreign = array(metadata, "packages").iter().filter(|p| !ours(p));
    foreign.map(|p| format!("{} from {}", label(p), text(p, "source"))).collect()
}

fn banned(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in array(metadata, "packages") {
        for (name, sound, why) in BANNED {
            let old = numbers(text(package, "version")) < numbers(sound);
            if text(package, "name") == *name && (*sound == "all" || old) {
                found.push(format!("{}: {why}", label(package)));
            }
        }
    }
    found
}

/// `0.4.16` as numbers, so that 0.4.9 is below it.
fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

/// The direct dependencies of the members, except on one another.
fn direct(metadata: &Value) -> BTreeSet<String> {
    let all = members(metadata).flat_map(|p| array(p, "dependencies"));
    all.filter(|d| d["path"].is_null()).map(|d| text(d, "name").to_owned()).collect()
}

/// The crates of the first column: `name` in backticks, perhaps several, perhaps linked.
fn listed(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Direct dependencies that no source of their member names.
fn unused(metadata: &Value) -> Result<Vec<String>> {
    let mut unused = Vec::new();
    for member in members(metadata) {
        let folder = Path::new(text(member, "manifest_path")).parent().context("a manifest has a folder")?;
        let mut sources = String::new();
        for part in ["src", "tests"] {
            collect(&folder.join(part), &mut sources)?;
        }
        let dependencies = array(member, "dependencies").iter().map(|d| text(d, "name"));
        let idle = dependencies.filter(|name| !names(&sources, name));
        unused.extend(idle.map(|name| format!("{} in {}", name, text(member, "name"))));
    }
    Ok(unused)
}

fn collect(folder: &Path, sources: &mut String) -> Result<()> {
    // A member without tests has no folder for them.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("dependencies.rs") {
            *sources += &fs::read_to_string(&path)?;
        }
    }
    Ok(())
}

/// Does the code name the crate, as `a_b::…` or `use a_b;`?
fn names(sources: &str, dependency: &str) -> bool {
    let word = dependency.replace('-', "_");
    let part = |c: char| c.is_alphanumeric() || c == '_';
    sources.match_indices(&word).any(|(at, _)| {
        let after = &sources[at + word.len()..];
        !sources[..at].ends_with(part) && (after.starts_with("::") || after.starts_with(';'))
    })
}

/// Crates with more than one version in the output of `cargo tree --prefix none`.
fn duplicates(tree: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        if let Some((name, rest)) = line.split_once(" v") {
            let version = rest.split(' ').next().unwrap_or_default();
            versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

/// Is there a choice in this SPDX expression that the allowed licences cover?
fn accepted(expression: &str, allowed: &[&str]) -> bool {
    // The slash is how Cargo wrote OR before it knew SPDX.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens: Vec<_> = spaced.split_whitespace().rev().collect();
    either(&mut tokens, allowed) == Some(true) && tokens.is_empty()
}

fn either(tokens: &mut Vec<&str>, allowed: &[&str]) -> Option<bool> {
    let mut good = both(tokens, allowed)?;
    while tokens.pop_if(|token| *token == "OR").is_some() {
        good |= both(tokens, allowed)?;
    }
    Some(good)
}

fn both(tokens: &mut Vec<&str>, allowed: &[&str]) -> Option<bool> {
    let mut good = licence(tokens, allowed)?;
    while tokens.pop_if(|token| *token == "AND").is_some() {
        good &= licence(tokens, allowed)?;
    }
    Some(good)
}

fn licence(tokens: &mut Vec<&str>, allowed: &[&str]) -> Option<bool> {
    let token = tokens.pop()?;
    if token == "(" {
        let good = either(tokens, allowed)?;
        return (tokens.pop()? == ")").then_some(good);
    }
    if tokens.pop_if(|token| *token == "WITH").is_some() {
        let whole = format!("{token} WITH {}", tokens.pop()?);
        return Some(allowed.contains(&whole.as_str()));
    }
    Some(allowed.contains(&token))
}
