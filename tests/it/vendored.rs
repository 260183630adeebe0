//! The promise: what others wrote is served byte for byte as they published it, under the page's own policy.

use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::support::TestApp;

/// `(file, served as, SHA-256)` of each row.
fn rows(readme: &str) -> Vec<[String; 3]> {
    let cells = |line: &str| line.split('|').map(|c| c.trim().trim_matches('`').to_owned()).collect();
    let rows = readme.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|c: Vec<String>| [c[1].clone(), c[3].clone(), c[4].clone()]).collect()
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[tokio::test]
async fn what_is_vendored_has_the_sums_of_its_readme_on_disk_and_over_http() {
    let app = TestApp::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/vendor");
    let readme = std::fs::read_to_string(folder.join("README.md")).expect("the readme");
    let rows = rows(&readme);
    let mut files: Vec<_> = std::fs::read_dir(&folder).expect("the folder").flatten().collect();
    files.retain(|file| file.file_name() != "README.md");
    assert_eq!(files.len(), rows.len(), "every file has its row: {rows:?}");
    for [file, path, sha256] in rows {
        let bytes = std::fs::read(folder.join(&file)).expect("the file");
        assert_eq!(sum(&bytes), sha256, "{file}");
        if !path.is_empty() {
            let answer = reqwest::get(format!("{}{path}", app.api.url)).await.expect("an answer");
            let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
            assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(sum(&answer.bytes().await.expect("its bytes")), sha256, "{path}");
        }
    }
    app.stop().await;
}
