//! What ZooKeeper and etcd say of themselves, asked by hand over TCP: no session and no client is needed to
//! know whether they are there, and a build without etcd's client can ask as well.

use futures_util::future::select_ok;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer is short.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Version and mode of the first server that serves. `hosts` is `host:port`, with commas, and perhaps a path.
pub(super) async fn zookeeper(hosts: &str) -> Result<String, String> {
    let hosts = hosts.split_once('/').map_or(hosts, |(hosts, _)| hosts);
    first("ZooKeeper", hosts.split(',').map(|host| serving(host.trim()))).await
}

/// Version of the first member that is healthy, which takes a leader. `urls` are `http://host:port`.
pub(super) async fn etcd(urls: &[String]) -> Result<String, String> {
    first("etcd", urls.iter().map(|url| healthy(url))).await
}

async fn first(
    name: &str,
    asked: impl Iterator<Item = impl Future<Output = Result<String, String>>>,
) -> Result<String, String> {
    let asked: Vec<_> = asked.map(Box::pin).collect();
    if asked.is_empty() {
        return Err(format!("{name}: no address"));
    }
    let answer = select_ok(asked).await;
    answer.map(|(line, _)| line).map_err(|why| format!("{name} cannot be reached: {why}"))
}

/// `srvr` is the one word that a ZooKeeper answers with its settings left alone.
async fn serving(host: &str) -> Result<String, String> {
    let answer = ask(host, "srvr").await?;
    if answer.contains("not in the whitelist") {
        return Ok("ZooKeeper (srvr is not in its 4lw.commands.whitelist)".to_owned());
    }
    let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name));
    let version = field("Zookeeper version: ").ok_or_else(|| format!("{host}: {}", answer.trim()))?;
    let version = version.split(['-', ',']).next().unwrap_or("unknown");
    Ok(format!("ZooKeeper {version}, {}", field("Mode: ").unwrap_or("unknown mode").trim()))
}

async fn healthy(url: &str) -> Result<String, String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url} is not http://host:port"))?;
    let host = rest.trim_end_matches('/');
    let health = get(host, "/health").await?;
    if health["health"] != "true" {
        return Err(format!("{host} has no leader"));
    }
    let version = get(host, "/version").await?;
    Ok(format!("etcd {}", version["etcdserver"].as_str().unwrap_or("of unknown version")))
}

async fn get(host: &str, path: &str) -> Result<serde_json::Value, String> {
    let answer = ask(host, &format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")).await?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(|e| format!("{host}{path}: {e}"))
}

/// What it says until it closes the connection. The caller has the time limit.
async fn ask(host: &str, question: &str) -> Result<String, String> {
    let answer = async {
        let mut connection = TcpStream::connect(host).await?;
        connection.write_all(question.as_bytes()).await?;
        let mut answer = Vec::new();
        connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    answer.await.map_err(|e| format!("{host}: {e}"))
}
