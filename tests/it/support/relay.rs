//! A TCP relay between a service and its server. It knows no protocol; it sees turns: a turn begins when
//! the client speaks after the server did. Four uses:
//!
//! - *count*: declared round trips against real ones;
//! - *hold*: one turn is kept back until somebody says go (both buyers have read, now both write);
//! - *cut*: a turn is delivered and its answer thrown away with the wire: did it happen?
//! - *freeze*: nothing passes on any wire, and no wire breaks.
//! - *redirect*: the address stays and another server answers there, after a restart or a failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::calls::Calls;

const NEVER: u64 = u64::MAX;
/// A bare Sync: sqlx's pool checks each connection that it takes back. It happens beside the order, no buyer
/// waits for it, and so it is no turn. (PostgreSQL, message formats: 'S', length 4.)
const POOL_CHECK: &[u8] = b"S\0\0\0\x04";

pub struct Relay {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    turns: AtomicU64,
    calls: AtomicU64,
    hold_at: AtomicU64,
    cut_at: AtomicU64,
    holding: AtomicBool,
    /// May the turn that is kept back go?
    go: watch::Sender<bool>,
    frozen: watch::Sender<bool>,
    /// The server's port.
    server: watch::Sender<u16>,
}

impl Relay {
    /// In front of the server at this loopback port.
    pub async fn to(server: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let state = Arc::new(State {
            turns: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            hold_at: AtomicU64::new(NEVER),
            cut_at: AtomicU64::new(NEVER),
            holding: AtomicBool::new(false),
            go: watch::Sender::new(true),
            frozen: watch::Sender::new(false),
            server: watch::Sender::new(server),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut port = shared.server.subscribe();
                let to = *port.borrow_and_update();
                if let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await {
                    let _ = client.set_nodelay(true);
                    let _ = server.set_nodelay(true);
                    let talk = talk(Arc::clone(&shared), client, server);
                    tokio::spawn(async move {
                        tokio::select! {
                            () = talk => {}
                            _moved = port.changed() => {}
                        }
                    });
                }
            }
        });
        Relay { port, state }
    }

    /// Turns so far.
    pub fn turns(&self) -> u64 {
        self.state.turns.load(SeqCst)
    }

    /// Calls so far, where HTTP/2 is spoken. Its turns tell nothing: pings and windows make some too.
    pub fn calls(&self) -> u64 {
        self.state.calls.load(SeqCst)
    }

    /// Keeps the `nth` turn from now back (1 is the next).
    pub fn hold(&self, nth: u64) {
        self.state.go.send_replace(false);
        self.state.hold_at.store(self.turns() + nth, SeqCst);
    }

    /// Is a turn being kept back?
    pub fn is_holding(&self) -> bool {
        self.state.holding.load(SeqCst)
    }

    /// Lets it go, and whatever comes after it.
    pub fn release(&self) {
        self.state.hold_at.store(NEVER, SeqCst);
        self.state.go.send_replace(true);
    }

    /// Lets nothing pass, neither way, also on connections to come.
    pub fn freeze(&self) {
        self.state.frozen.send_replace(true);
    }

    /// Lets everything pass that was kept back.
    pub fn thaw(&self) {
        self.state.frozen.send_replace(false);
    }

    /// From now on the server at this loopback port answers; open wires are closed.
    pub fn redirect(&self, server: u16) {
        self.state.server.send_replace(server);
    }

    /// Delivers the `nth` turn from now and cuts the wire before its answer.
    pub fn cut(&self, nth: u64) {
        self.state.cut_at.store(self.turns() + nth, SeqCst);
    }
}

impl State {
    async fn thawed(&self) {
        let mut frozen = self.frozen.subscribe();
        let _never_closed = frozen.wait_for(|frozen| !*frozen).await;
    }
}

/// While it lives a turn is kept back; also when the wire is cut meanwhile.
struct Holding<'a>(&'a AtomicBool);

impl Holding<'_> {
    fn on(flag: &AtomicBool) -> Holding<'_> {
        flag.store(true, SeqCst);
        Holding(flag)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

async fn talk(state: Arc<State>, client: TcpStream, server: TcpStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let server_spoke = Arc::new(AtomicBool::new(true));
    let (spoke, cut) = (Arc::clone(&server_spoke), Arc::new(AtomicBool::new(false)));
    let (counts, answers, cutting) = (Arc::clone(&state), Arc::clone(&state), Arc::clone(&cut));
    let ask = async move {
        let (mut bytes, mut calls) = (vec![0; 64 * 1024], Calls::default());
        while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
            counts.calls.fetch_add(calls.begun_in(&bytes[..n]), SeqCst);
            if &bytes[..n] != POOL_CHECK && server_spoke.swap(false, SeqCst) {
                let turn = counts.turns.fetch_add(1, SeqCst) + 1;
                if turn == counts.hold_at.load(SeqCst) {
                    let _holding = Holding::on(&counts.holding);
                    let mut go = counts.go.subscribe();
                    let _never_closed = go.wait_for(|go| *go).await;
                }
                if turn == counts.cut_at.load(SeqCst) {
                    counts.cut_at.store(NEVER, SeqCst);
                    cutting.store(true, SeqCst);
                }
            }
            counts.thawed().await;
            if to_server.write_all(&bytes[..n]).await.is_err() {
                break;
            }
        }
    };
    let answer = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from_server.read(&mut bytes).await {
            spoke.store(true, SeqCst);
            answers.thawed().await;
            // The server has done the work; nobody will hear of it.
            if cut.load(SeqCst) || to_client.write_all(&bytes[..n]).await.is_err() {
                break;
            }
        }
    };
    // Whichever ends first takes the other with it: both sockets close.
    tokio::select! {
        () = ask => {}
        () = answer => {}
    }
}
