//! One kept-alive connection: a request out, an answer in, nothing in between.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::response::{self, Parsed};

/// An order's answer is a few hundred bytes. Larger than any of them, so that one read takes it whole and
/// tells the runtime that nothing is left to read.
const BUFFER: usize = 4 * 1024;
/// The answer to a batch of a thousand orders.
const BUFFER_MAX: usize = 4 * 1024 * 1024;

/// A connection to the service.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer that was read to its end.
pub struct Answered<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// Must the next request go over another connection?
    pub close: bool,
}

/// An answer that did not come, or not to its end; the status, where that much came.
#[derive(Debug)]
pub struct Lost(pub Option<u16>);

impl Connection {
    /// Connects.
    pub async fn open(host: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; BUFFER] })
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answered<'_>, Lost> {
        self.stream.write_all(request).await.map_err(|_| Lost(None))?;
        let (mut filled, mut seen) = (0, None);
        loop {
            if filled == self.buffer.len() {
                if filled >= BUFFER_MAX {
                    return Err(Lost(seen));
                }
                self.buffer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.map_err(|_| Lost(seen))?;
            if read == 0 {
                return Err(Lost(seen));
            }
            filled += read;
            match response::parse(&self.buffer[..filled]) {
                Parsed::Partial(status) => seen = status,
                Parsed::Broken => return Err(Lost(seen)),
                Parsed::Whole { status, body, close } => {
                    return Ok(Answered { status, body: &self.buffer[body], close });
                }
            }
        }
    }
}
