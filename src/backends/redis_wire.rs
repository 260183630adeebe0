//! One connection to Redis that many use at once: commands go out in the sequence in which they come, and
//! whoever has sent one does not keep the next from being sent. For short scripts and commands that never
//! block; a pool would ask, with a ping before each of them, whether its connection still stands.
//!
//! That question is answered here without asking. A wire that Redis closes is given up in that moment, by
//! the task that reads it, and one that does not answer in time by whoever waited. The next caller connects
//! anew; who was under way learns that nobody knows what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, Pipeline, RedisError, RedisFuture, Value,
};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;

use crate::config::Limits;
use crate::faults::Switches;
use crate::sale::Error;

/// Longest wait for Redis to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// The connection, or how to get one.
#[derive(Clone)]
pub struct RedisWire(Arc<Shared>);

struct Shared {
    client: Client,
    answer_max: Duration,
    wait: Duration,
    faults: Switches,
    now: Mutex<Now>,
    runtime: Handle,
    /// One connects, the others wait for what it gets.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Now {
    /// Of the connection that was opened last.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

/// The connection in the hands of one caller.
#[derive(Clone)]
pub struct Wired {
    shared: Arc<Shared>,
    number: u64,
    connection: MultiplexedConnection,
}

impl RedisWire {
    /// Connects when it is wanted: a Redis that is down while we start may come back.
    pub(super) fn open(url: &str, limits: &Limits, faults: Switches) -> Result<RedisWire, String> {
        Ok(RedisWire(Arc::new(Shared {
            client: Client::open(url).map_err(|e| format!("REDIS_URL: {e}"))?,
            answer_max: limits.order_deadline(),
            wait: limits.wait(),
            faults,
            now: Mutex::default(),
            runtime: Handle::current(),
            connecting: tokio::sync::Mutex::default(),
        })))
    }

    /// The connection, or a word that nothing was sent.
    pub async fn connection(&self) -> Result<Wired, Error> {
        self.0.faults.slow().await;
        if let Some(wired) = self.standing() {
            return Ok(wired);
        }
        match tokio::time::timeout(self.0.wait, self.connect()).await {
            Ok(connected) => connected.map_err(|e| Error::Unavailable(format!("Redis: {e}"))),
            Err(_) => Err(Error::Contended("no Redis connection within the wait limit".into())),
        }
    }

    fn standing(&self) -> Option<Wired> {
        let now = self.0.now();
        let connection = now.connection.clone()?;
        Some(Wired { shared: Arc::clone(&self.0), number: now.number, connection })
    }

    async fn connect(&self) -> Result<Wired, RedisError> {
        let _alone = self.0.connecting.lock().await;
        if let Some(wired) = self.standing() {
            return Ok(wired);
        }
        let late = |_| RedisError::from((ErrorKind::Io, "no connection in time"));
        // On the runtime that owns the connections: whoever asks may be on a thread that ends before it.
        let shared = Arc::clone(&self.0);
        let dialled = self.0.runtime.spawn(async move { shared.dial().await });
        let gone = |_| RedisError::from((ErrorKind::Io, "the service ends"));
        tokio::time::timeout(CONNECT_MAX, dialled).await.map_err(late)?.map_err(gone)?
    }
}

impl Shared {
    async fn dial(self: &Arc<Self>) -> Result<Wired, RedisError> {
        let info = self.client.get_connection_info();
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                self.attend(stream).await
            }
            ConnectionAddr::Unix(path) => self.attend(UnixStream::connect(path).await?).await,
            _ => Err((ErrorKind::InvalidClientConfig, "TLS is not built in").into()),
        }
    }

    /// The connection on a stream, from now on everybody's, and the task that reads it.
    async fn attend<S>(self: &Arc<Self>, stream: S) -> Result<Wired, RedisError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        // A time-out leaves the outcome unknown, so it is the deadline.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.answer_max));
        let settings = self.client.get_connection_info().redis_settings();
        let (connection, reads) = MultiplexedConnection::new_with_config(settings, stream, config).await?;
        let mut now = self.now();
        now.number += 1;
        now.connection = Some(connection.clone());
        let (number, shared) = (now.number, Arc::downgrade(self));
        drop(now);
        tokio::spawn(async move {
            // Until Redis closes it, or nobody has it any more.
            reads.await;
            if let Some(shared) = shared.upgrade() {
                shared.give_up(number);
            }
        });
        Ok(Wired { shared: Arc::clone(self), number, connection })
    }

    fn under_way(&self, number: u64) -> UnderWay<'_> {
        UnderWay { shared: self, number, since: Instant::now() }
    }

    /// This connection stands no more.
    fn give_up(&self, number: u64) {
        let mut now = self.now();
        if now.number == number {
            now.connection = None;
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wired {
    /// An answer of Redis, even a refusal, came over a wire that stands. Anything else is the wire's: broken,
    /// or so late that whatever comes next would wait behind it.
    fn judged<T>(&self, answer: Result<T, RedisError>) -> Result<T, RedisError> {
        if answer.as_ref().is_err_and(|e| e.code().is_none()) {
            self.shared.give_up(self.number);
        }
        answer
    }
}

/// A command under way. Whoever leaves it after a long wait (his own deadline was first) has seen what the
/// connection's time-out would have said: nobody else must wait behind it.
struct UnderWay<'a> {
    shared: &'a Shared,
    number: u64,
    since: Instant,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() > self.shared.answer_max / 2 {
            self.shared.give_up(self.number);
        }
    }
}

impl ConnectionLike for Wired {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let _under_way = self.shared.under_way(self.number);
            let answer = self.connection.req_packed_command(cmd).await;
            self.judged(answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let _under_way = self.shared.under_way(self.number);
            let answer = self.connection.req_packed_commands(pipeline, offset, count).await;
            self.judged(answer)
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        limits: Limits,
    }

    fn open(url: &str) -> RedisWire {
        RedisWire::open(url, &Settings::parse_from(["test"]).limits, Switches::default()).unwrap()
    }

    /// Agrees to every command, until it hangs up.
    async fn agree(listener: &TcpListener, hang_up: tokio::sync::oneshot::Receiver<()>) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let agree = async {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                let commands = bytes[..n].iter().filter(|byte| **byte == b'*').count();
                stream.write_all("+OK\r\n".repeat(commands).as_bytes()).await.unwrap();
            }
        };
        tokio::select! {
            () = agree => {}
            _ = hang_up => {}
        }
    }

    #[tokio::test]
    async fn a_wire_that_is_closed_while_nobody_uses_it_is_given_up_and_the_next_one_is_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let wire = open(&url);
        for number in 1..4 {
            let (hang_up, told) = tokio::sync::oneshot::channel();
            let caller = async {
                let mut wired = wire.connection().await.unwrap();
                assert_eq!(wired.number, number);
                redis::cmd("PING").exec_async(&mut wired).await.unwrap();
                assert_eq!(wire.connection().await.unwrap().number, number, "one for all");
                hang_up.send(()).unwrap();
            };
            tokio::join!(agree(&listener, told), caller);
            while wire.standing().is_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_sent() {
        let wire = open("redis://127.0.0.1:1");
        assert!(matches!(wire.connection().await, Err(Error::Unavailable(_))));
    }
}
