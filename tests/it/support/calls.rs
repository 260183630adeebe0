//! Counts the calls in what an HTTP/2 client sends: each begins with a HEADERS frame (RFC 9113, 4.1 and 6.2).

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;

/// What has been read of a conversation.
#[derive(Default)]
pub struct Calls {
    unread: Vec<u8>,
    /// Does it speak HTTP/2? Unknown until the preface has come.
    speaks: Option<bool>,
}

impl Calls {
    /// How many begin in these next bytes.
    pub fn begun_in(&mut self, bytes: &[u8]) -> u64 {
        if self.speaks == Some(false) {
            return 0;
        }
        self.unread.extend_from_slice(bytes);
        if self.speaks.is_none() {
            let known = self.unread.len().min(PREFACE.len());
            if self.unread[..known] != PREFACE[..known] {
                self.speaks = Some(false);
                self.unread.clear();
            } else if known == PREFACE.len() {
                self.speaks = Some(true);
                self.unread.drain(..known);
            }
        }
        if self.speaks == Some(true) { self.frames() } else { 0 }
    }

    fn frames(&mut self) -> u64 {
        let mut calls = 0;
        while let Some(&[a, b, c, kind]) = self.unread.first_chunk() {
            let frame = FRAME_HEAD + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c);
            if self.unread.len() < frame {
                break;
            }
            self.unread.drain(..frame);
            calls += u64::from(kind == HEADERS);
        }
        calls
    }
}
