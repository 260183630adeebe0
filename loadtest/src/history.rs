//! The history: one line before each request and one after each answer, as NDJSON.
//!
//! The first line is handed to the operating system before the request may leave, so that an order
//! which nobody heard of again is still known to have been sent, even if this program dies.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sellout::wire::CartItem;
use serde::Serialize;
use uuid::Uuid;

use crate::answer::Answer;
use crate::cart_answer::CartAnswer;
use crate::crowd::{PlannedCart, PlannedOrder};
use crate::ending::Ended;

/// The file, and the clock that its lines share.
pub struct History {
    file: Mutex<File>,
    path: PathBuf,
    started: Instant,
}

#[derive(Serialize)]
struct Invoke<'a> {
    event: &'static str,
    op: u64,
    sale: Uuid,
    key: &'a str,
    buyer: &'a str,
    quantity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_seconds: Option<i64>,
    t_us: u64,
}

#[derive(Serialize)]
struct Complete {
    event: &'static str,
    op: u64,
    answer: &'static str,
    order_id: Option<Uuid>,
    t_us: u64,
}

#[derive(Serialize)]
struct InvokeCart<'a> {
    event: &'static str,
    op: u64,
    key: &'a str,
    buyer: &'a str,
    items: &'a [CartItem],
    t_us: u64,
}

#[derive(Serialize)]
struct CompleteCart<'a> {
    event: &'static str,
    op: u64,
    answer: &'static str,
    /// Sale and order id.
    orders: &'a [(Uuid, Uuid)],
    short: &'a [Uuid],
    t_us: u64,
}

#[derive(Serialize)]
struct End {
    event: &'static str,
    op: u64,
    verb: &'static str,
    order_id: Uuid,
    t_us: u64,
}

#[derive(Serialize)]
struct EndAnswer {
    event: &'static str,
    op: u64,
    answer: &'static str,
    t_us: u64,
}

impl History {
    /// Starts `history.ndjson` in a directory, which must not have one yet.
    pub fn create(dir: &Path) -> io::Result<Self> {
        let path = dir.join("history.ndjson");
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(History { file: Mutex::new(file), path, started: Instant::now() })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Before the request is sent. On an error it must not be sent.
    pub fn invoke(&self, op: u64, sale: Uuid, order: &PlannedOrder) -> io::Result<()> {
        self.write(&Invoke {
            event: "invoke",
            op,
            sale,
            key: &order.key,
            buyer: &order.buyer_id,
            quantity: order.quantity,
            hold_seconds: order.hold.map(|hold| hold.seconds),
            t_us: self.now_us(),
        })
    }

    /// After the answer.
    pub fn complete(&self, op: u64, answer: Answer) -> io::Result<()> {
        let order_id = if let Answer::Sold(id) = answer { Some(id) } else { None };
        let line = Complete { event: "complete", op, answer: answer.name(), order_id, t_us: self.now_us() };
        self.write(&line)
    }

    /// Before a cart is sent. On an error it must not be.
    pub fn invoke_cart(&self, op: u64, cart: &PlannedCart, items: &[CartItem]) -> io::Result<()> {
        let (key, buyer) = (&cart.key, &cart.buyer_id);
        self.write(&InvokeCart { event: "invoke", op, key, buyer, items, t_us: self.now_us() })
    }

    /// After the answer to it.
    pub fn complete_cart(&self, op: u64, answer: &CartAnswer) -> io::Result<()> {
        let (orders, short): (&[_], &[_]) = match answer {
            CartAnswer::Sold(_, orders) => (orders, &[]),
            CartAnswer::Short(short) => (&[], short),
            CartAnswer::Other(_) => (&[], &[]),
        };
        let (event, answer) = ("complete", answer.whole().name());
        self.write(&CompleteCart { event, op, answer, orders, short, t_us: self.now_us() })
    }

    /// Before a hold is confirmed or released. On an error it must not be.
    pub fn end(&self, op: u64, verb: &'static str, order_id: Uuid) -> io::Result<()> {
        self.write(&End { event: "end", op, verb, order_id, t_us: self.now_us() })
    }

    /// After the answer.
    pub fn ended(&self, op: u64, ended: Ended) -> io::Result<()> {
        self.write(&EndAnswer { event: "ended", op, answer: ended.name(), t_us: self.now_us() })
    }

    /// One write per line and no buffer: what is written is out of our hands.
    fn write(&self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_on_file_before_it_is_sent_and_its_answer_after() -> io::Result<()> {
        let dir = std::env::temp_dir().join(format!("sellout-history-{}", Uuid::now_v7()));
        std::fs::create_dir(&dir)?;
        let history = History::create(&dir)?;
        history.invoke(3, Uuid::nil(), &PlannedOrder::new(3, 1))?;
        let before = std::fs::read_to_string(history.path())?;
        history.complete(3, Answer::SoldOut)?;
        history.end(3, "confirm", Uuid::nil())?;
        history.ended(3, Ended::TooLate)?;
        let after = std::fs::read_to_string(history.path())?;
        std::fs::remove_dir_all(&dir)?;
        assert!(before.starts_with(r#"{"event":"invoke","op":3,"#) && before.ends_with("}\n"));
        assert!(after.lines().nth(1).is_some_and(|l| l.contains(r#""answer":"sold_out","order_id":null"#)));
        let ends: Vec<&str> = after.lines().skip(2).collect();
        assert!(ends[0].starts_with(r#"{"event":"end","op":3,"verb":"confirm","order_id":"0000"#), "{after}");
        assert!(ends[1].starts_with(r#"{"event":"ended","op":3,"answer":"too_late""#), "{after}");
        Ok(())
    }
}
