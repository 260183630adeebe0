//! Natural batching: whoever comes while a call is under way goes, with all others who wait, in the next one.
//! Nobody waits for a batch to fill: alone, an order goes at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::sale::Error;

/// One waits here to be sent with others.
pub(super) struct Line<T, A> {
    queue: Mutex<Queue<T, A>>,
}

struct Queue<T, A> {
    waiting: VecDeque<Place<T, A>>,
    /// Calls under way.
    calls: usize,
}

/// Where somebody is told.
type Told<A> = oneshot::Sender<Result<A, Error>>;

struct Place<T, A> {
    item: T,
    since: Instant,
    answer: Told<A>,
}

/// How much of it.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Items of one call.
    pub batch: usize,
    /// Calls under way at once.
    pub calls: usize,
    /// Items that wait; one more is refused.
    pub waiting: usize,
    /// Longest wait for the call to begin; then nothing was sent.
    pub wait: Duration,
}

impl<T, A> Default for Line<T, A> {
    fn default() -> Line<T, A> {
        Line { queue: Mutex::new(Queue { waiting: VecDeque::new(), calls: 0 }) }
    }
}

impl<T: Send + 'static, A: Send + 'static> Line<T, A> {
    /// The answer to an item, which `send` gets together with what else waits. Its answers come in the
    /// sequence of the items; an error is everybody's.
    pub(super) async fn enter<F>(
        self: &Arc<Self>,
        runtime: &Handle,
        bounds: Bounds,
        item: T,
        send: impl Fn(Vec<T>) -> F + Send + 'static,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<Vec<A>, Error>> + Send + 'static,
    {
        let (told, caller) = self.join(bounds, item)?;
        if let Some(caller) = caller {
            runtime.spawn(caller.serve(bounds, send));
        }
        // Who was sent and hears nothing any more may have been served.
        told.await.unwrap_or_else(|_| Err(Error::Unknown("its batch ended early".into())))
    }

    /// A place, and the right to start a call if none is due that would take it along.
    fn join(self: &Arc<Self>, bounds: Bounds, item: T) -> Result<Joined<T, A>, Error> {
        let (answer, told) = oneshot::channel();
        let mut queue = self.queue();
        if queue.waiting.len() >= bounds.waiting {
            return Err(Error::Overloaded);
        }
        queue.waiting.push_back(Place { item, since: Instant::now(), answer });
        // A call that comes back looks for more and says that it is gone under the same lock: nobody is left
        // between the two.
        let starts = queue.calls < bounds.calls;
        queue.calls += usize::from(starts);
        Ok((told, starts.then(|| Caller { line: Arc::clone(self), done: false })))
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T, A>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Joined<T, A> = (oneshot::Receiver<Result<A, Error>>, Option<Caller<T, A>>);

/// The right to have a call under way.
struct Caller<T, A> {
    line: Arc<Line<T, A>>,
    done: bool,
}

impl<T: Send + 'static, A: Send + 'static> Caller<T, A> {
    async fn serve<F>(mut self, bounds: Bounds, send: impl Fn(Vec<T>) -> F)
    where
        F: Future<Output = Result<Vec<A>, Error>>,
    {
        while let Some((items, told)) = self.next(bounds) {
            if items.is_empty() {
                continue;
            }
            match send(items).await {
                Ok(answers) => told.into_iter().zip(answers).for_each(|(to, answer)| tell(to, Ok(answer))),
                Err(e) => told.into_iter().for_each(|to| tell(to, Err(e.clone()))),
            }
        }
    }

    /// Those who go next; `None` when nobody waits, and then this caller is gone.
    fn next(&mut self, bounds: Bounds) -> Option<(Vec<T>, Vec<Told<A>>)> {
        let mut queue = self.line.queue();
        if queue.waiting.is_empty() {
            queue.calls -= 1;
            self.done = true;
            return None;
        }
        let many = queue.waiting.len().min(bounds.batch);
        let (mut items, mut told) = (Vec::with_capacity(many), Vec::with_capacity(many));
        for place in queue.waiting.drain(..many) {
            if place.since.elapsed() > bounds.wait {
                tell(place.answer, Err(Error::Contended("not sent within the wait limit".into())));
            } else if !place.answer.is_closed() {
                items.push(place.item);
                told.push(place.answer);
            }
        }
        Some((items, told))
    }
}

/// Whoever does not wait any more learns it by its key.
fn tell<A>(to: Told<A>, answer: Result<A, Error>) {
    let _gone = to.send(answer);
}

impl<T, A> Drop for Caller<T, A> {
    /// It died in the middle of a call. Those whom it had sent hear so by themselves; those who wait behind
    /// it were not sent, and must not wait for somebody who comes later to start another call.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut queue = self.line.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.calls -= 1;
        for place in queue.waiting.drain(..) {
            tell(place.answer, Err(Error::Contended("the batch before it ended early".into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    const BOUNDS: Bounds = Bounds { batch: 3, calls: 1, waiting: 4, wait: Duration::from_secs(5) };

    type Numbers = Arc<Line<u32, (u32, usize)>>;

    /// Each call waits for a permit, and answers with how many it had. A 13 kills it.
    fn enter(line: &Numbers, go: &Arc<Semaphore>, item: u32) -> tokio::task::JoinHandle<Answered> {
        let (line, go) = (Arc::clone(line), Arc::clone(go));
        let send = move |items: Vec<u32>| {
            let go = Arc::clone(&go);
            async move {
                go.acquire().await.unwrap().forget();
                assert!(!items.contains(&13), "killed");
                Ok(items.iter().map(|item| (*item, items.len())).collect())
            }
        };
        tokio::spawn(async move { line.enter(&Handle::current(), BOUNDS, item, send).await })
    }

    type Answered = Result<(u32, usize), Error>;

    async fn poll_until_waiting(line: &Numbers, many: usize) {
        while line.queue().waiting.len() != many || line.queue().calls != 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_waits_while_a_call_is_under_way_goes_together_in_the_next() {
        let (line, go) = (Numbers::default(), Arc::new(Semaphore::new(0)));
        let first = enter(&line, &go, 1);
        poll_until_waiting(&line, 0).await;
        let mut later = Vec::new();
        for (at, item) in [2, 3, 4, 5].into_iter().enumerate() {
            later.push(enter(&line, &go, item));
            poll_until_waiting(&line, at + 1).await;
        }
        assert!(matches!(enter(&line, &go, 6).await.unwrap(), Err(Error::Overloaded)), "it is full");
        go.add_permits(3);
        assert_eq!(first.await.unwrap().unwrap(), (1, 1));
        let mut answers = Vec::new();
        for answer in later {
            answers.push(answer.await.unwrap().unwrap());
        }
        assert_eq!(answers, [(2, 3), (3, 3), (4, 3), (5, 1)]);
    }

    #[tokio::test]
    async fn when_a_call_dies_nobody_hangs_and_the_next_one_starts_anew() {
        let (line, go) = (Numbers::default(), Arc::new(Semaphore::new(0)));
        let dying = enter(&line, &go, 13);
        poll_until_waiting(&line, 0).await;
        let behind = enter(&line, &go, 2);
        poll_until_waiting(&line, 1).await;
        go.add_permits(2);
        assert!(matches!(dying.await.unwrap(), Err(Error::Unknown(_))), "it may have been served");
        assert!(matches!(behind.await.unwrap(), Err(Error::Contended(_))), "it was not sent");
        assert_eq!(enter(&line, &go, 3).await.unwrap().unwrap(), (3, 1));
    }
}
