//! A provider's pool behind its lock: asks the core, and hands its outputs to the provider's driver.

use std::sync::Arc;

use keypool_pool::{Admission, Demand, Lease, Outcome, Output, Pool, Timestamp, WakeReason};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::clock::TimeSource;

/// One provider's pool. The lock is held for one call and never across an await.
#[derive(Debug)]
pub(crate) struct SharedPool {
    pool: Mutex<Pool>,
    time: Arc<dyn TimeSource>,
    outputs: mpsc::UnboundedSender<Output>,
}

impl SharedPool {
    /// Wraps a pool; what it puts out is sent to `outputs`.
    #[must_use]
    pub(crate) fn new(
        pool: Pool,
        time: Arc<dyn TimeSource>,
        outputs: mpsc::UnboundedSender<Output>,
    ) -> Self {
        Self {
            pool: Mutex::new(pool),
            time,
            outputs,
        }
    }

    /// The clock that this pool lives by.
    #[must_use]
    pub(crate) fn time(&self) -> &Arc<dyn TimeSource> {
        &self.time
    }

    /// Runs one call on the pool and passes on what the pool puts out because of it.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Pool, Timestamp) -> T) -> T {
        let now = self.time.now();
        let mut pool = self.pool.lock();
        let answer = call(&mut pool, now);
        while let Some(output) = pool.poll_output(now) {
            // The driver ends only with the provider itself; there is nobody left to tell then.
            let _ = self.outputs.send(output);
        }
        answer
    }

    /// Asks for a lease.
    pub(crate) fn admit(&self, demand: &Demand<'_>) -> Admission {
        self.with(|pool, now| pool.handle_request(now, demand))
    }

    /// Settles a lease.
    pub(crate) fn settle(&self, lease: Lease, outcome: &Outcome) {
        self.with(|pool, now| pool.handle_outcome(now, lease, outcome));
    }

    /// The next instant at which something changes by itself.
    #[must_use]
    pub(crate) fn next_timeout(&self) -> Option<(Timestamp, WakeReason)> {
        self.pool.lock().poll_timeout()
    }
}
