//! Work that is finished whoever hangs up, on the runtime that the connections belong to.

use std::sync::Arc;
use std::time::Duration;

use super::Checkout;
use crate::sale::Error;

impl Checkout {
    /// Runs work that must not be cancelled by a client, on the runtime that owns the connections. The
    /// deadline cuts the wait for it, not the work.
    pub async fn finish<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.finish_within(self.backends.limits.order_deadline(), work).await
    }

    async fn finish_within<T, F>(&self, deadline: Duration, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let under_way = Arc::clone(&self.under_way);
        let work = self.runtime.spawn(async move {
            let done = work.await;
            drop(under_way);
            done
        });
        match tokio::time::timeout(deadline, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(e)) => Err(Error::Unknown(format!("the work ended early: {e}"))),
            Err(_) => Err(Error::Unknown("no answer within the deadline".into())),
        }
    }

    /// The same for work that only reads: where it ends without an answer, nothing was taken.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.read_within(self.backends.limits.order_deadline(), work).await
    }

    /// The same with a deadline of its own.
    pub async fn read_within<T, F>(&self, deadline: Duration, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.finish_within(deadline, work).await.map_err(|e| match e {
            Error::Unknown(why) => Error::Unavailable(why),
            e => e,
        })
    }
}
