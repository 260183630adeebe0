//! Many wait, one writes: what has come in while the last batch was on its way is the next one.
//!
//! No timer: who is alone waits for nobody, and a crowd makes its batches large by itself. (A batch that
//! lingers for more only makes the others wait.)
//!
//! Whoever hangs up while he waits leaves the line; what is being written is finished without him. The task
//! that writes may die; then everybody hears how far his entry had come, and the next one to ask starts
//! another.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::sale::Error;

/// How long a line may get.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Entries that wait; one more is refused.
    pub waiting_max: usize,
    /// Entries of one batch.
    pub batch_max: usize,
    /// Longest wait for the batch to begin; then nothing was written.
    pub wait_max: Duration,
}

/// Writes a batch; an answer for each entry, in their sequence.
type Write<T, A> =
    dyn Fn(Vec<T>) -> Pin<Box<dyn Future<Output = Vec<Result<A, Error>>> + Send>> + Send + Sync;

/// A line in front of one writer.
pub struct Line<T, A> {
    runtime: Handle,
    size: Size,
    write: Arc<Write<T, A>>,
    door: RwLock<mpsc::Sender<Place<T, A>>>,
    owed: Arc<AtomicUsize>,
}

struct Place<T, A> {
    entry: T,
    since: Instant,
    reply: Reply<A>,
}

/// An answer is owed; whoever drops it unpaid says how far the entry had come.
struct Reply<A> {
    to: Option<oneshot::Sender<Result<A, Error>>>,
    written: bool,
    /// Counts the answers that are owed.
    owed: Arc<AtomicUsize>,
}

impl<T: Send + 'static, A: Send + 'static> Line<T, A> {
    /// Opens a line; its writer runs on this runtime, whoever asks from where.
    pub fn open<F, W>(runtime: &Handle, size: Size, write: W) -> Line<T, A>
    where
        F: Future<Output = Vec<Result<A, Error>>> + Send + 'static,
        W: Fn(Vec<T>) -> F + Send + Sync + 'static,
    {
        let write: Arc<Write<T, A>> = Arc::new(move |batch| Box::pin(write(batch)));
        let door = RwLock::new(start(runtime, size, &write));
        Line { runtime: runtime.clone(), size, write, door, owed: Arc::default() }
    }

    /// Waits for the answer of one entry.
    ///
    /// # Errors
    /// Those of its answer. [`Error::Overloaded`] when the line is full, and after the longest wait. When the
    /// writer dies: [`Error::Contended`] for who was waiting, [`Error::Unknown`] for who was being written.
    pub async fn ask(&self, entry: T) -> Result<A, Error> {
        let (to, answer) = oneshot::channel();
        let mut place = Place { entry, since: Instant::now(), reply: Reply::owe(to, &self.owed) };
        loop {
            let door = self.door.read().unwrap_or_else(PoisonError::into_inner);
            match door.try_send(place) {
                Ok(()) => break,
                Err(TrySendError::Full(mut place)) => {
                    place.reply.to = None;
                    return Err(shed("full"));
                }
                Err(TrySendError::Closed(back)) => place = back,
            }
            drop(door);
            self.restart();
        }
        answer.await.unwrap_or_else(|_| Err(Error::Unknown("the writer has gone".into())))
    }

    /// Entries that have no answer yet, also those whose buyer hung up while they were written.
    pub fn owed(&self) -> usize {
        self.owed.load(Relaxed)
    }

    /// The writer died. Whoever comes first starts another.
    fn restart(&self) {
        let mut door = self.door.write().unwrap_or_else(PoisonError::into_inner);
        if door.is_closed() {
            tracing::error!("the writer of a batch died; another one is started");
            metrics::counter!("sellout_batch_writers_restarted_total").increment(1);
            *door = start(&self.runtime, self.size, &self.write);
        }
    }
}

fn start<T: Send + 'static, A: Send + 'static>(
    runtime: &Handle,
    size: Size,
    write: &Arc<Write<T, A>>,
) -> mpsc::Sender<Place<T, A>> {
    let (door, line) = mpsc::channel(size.waiting_max.max(1));
    runtime.spawn(serve(line, size, Arc::clone(write)));
    door
}

/// Several lines, to which sales are dealt: a hot one has all of one, a thousand quiet ones share their
/// commits.
pub struct Lines<T, A>(Vec<Line<T, A>>);

impl<T: Send + 'static, A: Send + 'static> Lines<T, A> {
    /// Sales are dealt to so many writers.
    const WRITERS: u128 = 4;

    /// Opens them; their writers run on this runtime, whoever asks from where.
    pub fn open<F, W>(runtime: &Handle, size: Size, write: W) -> Lines<T, A>
    where
        F: Future<Output = Vec<Result<A, Error>>> + Send + 'static,
        W: Fn(Vec<T>) -> F + Clone + Send + Sync + 'static,
    {
        Lines((0..Self::WRITERS).map(|_| Line::open(runtime, size, write.clone())).collect())
    }

    /// The line of a sale.
    pub fn of(&self, sale: Uuid) -> &Line<T, A> {
        // The last bits of an id are drawn by lot. Always below the number of lines.
        &self.0[usize::try_from(sale.as_u128() % Self::WRITERS).unwrap_or(0)]
    }
}

/// Until nobody can come any more.
async fn serve<T, A>(mut line: mpsc::Receiver<Place<T, A>>, size: Size, write: Arc<Write<T, A>>) {
    let mut places = Vec::new();
    while line.recv_many(&mut places, size.batch_max.max(1)).await > 0 {
        let (mut entries, mut replies) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
        for Place { entry, since, mut reply } in places.drain(..) {
            if reply.has_hung_up() {
                continue;
            } else if since.elapsed() > size.wait_max {
                reply.pay(Err(shed("expired")));
                continue;
            }
            reply.written = true;
            entries.push(entry);
            replies.push(reply);
        }
        if entries.is_empty() {
            continue;
        }
        let answers = write(entries).await;
        for (reply, answer) in replies.into_iter().zip(answers) {
            reply.pay(answer);
        }
    }
}

/// Notes how many orders are written together.
pub fn count(orders: usize) {
    metrics::histogram!("sellout_batch_orders").record(orders as f64);
}

fn shed(why: &'static str) -> Error {
    metrics::counter!("sellout_shed_total", "why" => why).increment(1);
    Error::Overloaded
}

impl<A> Reply<A> {
    fn owe(to: oneshot::Sender<Result<A, Error>>, owed: &Arc<AtomicUsize>) -> Reply<A> {
        owed.fetch_add(1, Relaxed);
        Reply { to: Some(to), written: false, owed: Arc::clone(owed) }
    }

    fn has_hung_up(&self) -> bool {
        self.to.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn pay(mut self, answer: Result<A, Error>) {
        if let Some(to) = self.to.take() {
            // Whoever hung up does not hear it.
            let _ = to.send(answer);
        }
    }
}

impl<A> Drop for Reply<A> {
    fn drop(&mut self) {
        self.owed.fetch_sub(1, Relaxed);
        let Some(to) = self.to.take() else { return };
        let _ = to.send(Err(if self.written {
            Error::Unknown("the writer died while it was written".into())
        } else {
            Error::Contended("the writer died before it was written".into())
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Writes only while the gate is open; an odd number is refused, 13 kills the writer.
    fn line(size: Size) -> (Arc<Line<u32, u32>>, Arc<Semaphore>, Batches) {
        let (gate, seen) = (Arc::new(Semaphore::new(0)), Batches::default());
        let (pass, note) = (Arc::clone(&gate), Arc::clone(&seen));
        let line = Line::open(&Handle::current(), size, move |batch: Vec<u32>| {
            let (pass, note) = (Arc::clone(&pass), Arc::clone(&note));
            async move {
                note.lock().unwrap().push(batch.clone());
                pass.acquire().await.unwrap().forget();
                assert!(!batch.contains(&13), "the writer dies");
                batch.into_iter().map(|n| if n % 2 == 0 { Ok(n) } else { Err(Error::BuyerLimit) }).collect()
            }
        });
        (Arc::new(line), gate, seen)
    }

    fn ask(line: &Arc<Line<u32, u32>>, n: u32) -> tokio::task::JoinHandle<Result<u32, Error>> {
        let line = Arc::clone(line);
        tokio::spawn(async move { line.ask(n).await })
    }

    async fn poll_until(mut done: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            if done() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it never came to that");
    }

    const SIZE: Size = Size { waiting_max: 8, batch_max: 3, wait_max: Duration::from_secs(60) };

    #[tokio::test]
    async fn what_came_meanwhile_is_the_next_batch_and_each_gets_its_own_answer() {
        let (line, gate, seen) = line(SIZE);
        let first = ask(&line, 0);
        poll_until(|| seen.lock().unwrap().len() == 1).await;
        let others: Vec<_> = (1..=4).map(|n| ask(&line, n)).collect();
        poll_until(|| line.door.read().unwrap().capacity() == 4).await;
        gate.add_permits(3);
        assert_eq!(first.await.unwrap().unwrap(), 0);
        for (n, answer) in (1..).zip(others) {
            let answer = answer.await.unwrap();
            assert_eq!(answer.is_ok(), n % 2 == 0, "{n}: {answer:?}");
        }
        assert_eq!(*seen.lock().unwrap(), [vec![0], vec![1, 2, 3], vec![4]]);
    }

    #[tokio::test]
    async fn a_full_line_refuses_and_who_hangs_up_leaves_it_or_is_written_without_him() {
        let (line, gate, seen) = line(Size { waiting_max: 1, ..SIZE });
        let first = ask(&line, 0);
        poll_until(|| seen.lock().unwrap().len() == 1).await;
        let second = ask(&line, 2);
        poll_until(|| line.door.read().unwrap().capacity() == 0).await;
        assert!(matches!(line.ask(4).await, Err(Error::Overloaded)));
        assert_eq!(line.owed(), 2);
        for gone in [first, second] {
            gone.abort();
            assert!(gone.await.is_err());
        }
        assert_eq!(line.owed(), 2, "one is being written, one is still in the line");
        gate.add_permits(2);
        poll_until(|| line.owed() == 0).await;
        assert_eq!(line.ask(6).await.unwrap(), 6);
        assert_eq!(*seen.lock().unwrap(), [vec![0], vec![6]]);
    }

    #[tokio::test]
    async fn who_has_waited_too_long_is_told_that_nothing_was_written() {
        let (line, _gate, seen) = line(Size { wait_max: Duration::ZERO, ..SIZE });
        assert!(matches!(line.ask(2).await, Err(Error::Overloaded)));
        assert!(seen.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_writer_that_dies_leaves_nobody_hanging_and_the_next_one_starts_another() {
        let (line, gate, seen) = line(SIZE);
        let killer = ask(&line, 13);
        poll_until(|| seen.lock().unwrap().len() == 1).await;
        let waiting = ask(&line, 2);
        poll_until(|| line.door.read().unwrap().capacity() == 7).await;
        gate.add_permits(1);
        assert!(matches!(killer.await.unwrap(), Err(Error::Unknown(_))), "it may have been written");
        assert!(matches!(waiting.await.unwrap(), Err(Error::Contended(_))), "it was not");
        gate.add_permits(1);
        assert_eq!(line.ask(4).await.unwrap(), 4);
    }
}
