//! A provider's pool behind its lock: asks the core, hands its outputs to the provider's driver, and
//! wakes requests whose turn has come.
//!
//! A request that has to wait is a task that sleeps on a channel. Whatever call makes room (a settlement,
//! an answer's head, the driver at the instant that the pool named) finds out whose turn it is and sends
//! the lease there; nothing polls. A client that leaves drops its task, which takes the request out of
//! the queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use keypool_pool::{
    Admission, Charge, Demand, Lease, Outcome, Output, Pool, Refusal, Timestamp, Turn, Verdict,
    WaiterId,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::TimeSource;

/// One provider's pool. The lock is held for one call and never across an await.
#[derive(Debug)]
pub(crate) struct SharedPool {
    inner: Mutex<Inner>,
    time: Arc<dyn TimeSource>,
    outputs: mpsc::UnboundedSender<Output>,
    alarm: Arc<Alarm>,
    /// Whether the pool wants to hear of every request that is served.
    troubled: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    waiting: BTreeMap<WaiterId, oneshot::Sender<Turn>>,
}

/// When the driver will look at the pool next. Whoever finds that it must look earlier wakes it.
#[derive(Debug)]
pub(crate) struct Alarm {
    set_for: AtomicU64,
    moved: Notify,
}

/// The pool's answer to a demand.
#[derive(Debug)]
pub(crate) enum Admitted<'p> {
    /// Send the request with this lease's key.
    Granted(Lease),
    /// It waits for room.
    Waiting(Waiting<'p>),
    /// No key can take it.
    Refused(Refusal),
}

/// A request that waits for room. Dropped, it leaves the queue.
#[derive(Debug)]
#[must_use = "a request that is not waited for leaves the queue"]
pub(crate) struct Waiting<'p> {
    pool: &'p SharedPool,
    id: WaiterId,
    turn: oneshot::Receiver<Turn>,
    /// Its turn has been taken.
    done: bool,
}

impl Waiting<'_> {
    /// Waits for the request's turn; `None` if the pool is gone.
    pub(crate) async fn turn(mut self) -> Option<Turn> {
        let turn = (&mut self.turn).await.ok();
        self.done = true;
        turn
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Closed, the channel takes no more: what has been sent is there, and what is sent from now on
        // goes back to its sender.
        self.turn.close();
        match self.turn.try_recv() {
            // Granted just as the client left: nothing was sent with it.
            Ok(Turn::Granted(lease)) => self.pool.settle(lease, &unused()),
            Ok(Turn::Refused(_)) => {}
            Err(_) if self.done => {}
            Err(_) => {
                let id = self.id;
                self.pool.with_inner(|inner, now| {
                    inner.waiting.remove(&id);
                    inner.pool.cancel(now, id);
                });
            }
        }
    }
}

/// The end of a lease that was never used.
pub(crate) fn unused() -> Outcome {
    Outcome::of(Verdict::Cancelled, Charge::Nothing)
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
            inner: Mutex::new(Inner {
                pool,
                waiting: BTreeMap::new(),
            }),
            time,
            outputs,
            alarm: Arc::new(Alarm {
                set_for: AtomicU64::new(0),
                moved: Notify::new(),
            }),
            troubled: AtomicBool::new(false),
        }
    }

    /// Whether the pool wants to hear of every request that is served; known without its lock.
    #[must_use]
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }

    /// The clock that this pool lives by.
    #[must_use]
    pub(crate) fn time(&self) -> &Arc<dyn TimeSource> {
        &self.time
    }

    /// Runs one call on the pool, wakes those whose turn has come by it, and passes on what the pool puts
    /// out because of it.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Pool, Timestamp) -> T) -> T {
        self.with_inner(|inner, now| call(&mut inner.pool, now))
    }

    fn with_inner<T>(&self, call: impl FnOnce(&mut Inner, Timestamp) -> T) -> T {
        let now = self.time.now();
        let mut inner = self.inner.lock();
        let answer = call(&mut inner, now);
        inner.wake_those_whose_turn_it_is(now);
        while let Some(output) = inner.pool.poll_output(now) {
            // The driver ends only with the provider itself; there is nobody left to tell then.
            let _ = self.outputs.send(output);
        }
        let next = inner.pool.poll_timeout().map(|(at, _)| at);
        if inner.pool.is_troubled() != self.is_troubled() {
            self.troubled
                .store(inner.pool.is_troubled(), Ordering::Relaxed);
        }
        drop(inner);
        if let Some(at) = next {
            self.alarm.advance_to(at);
        }
        answer
    }

    /// Asks for a lease, or for a place in the queue if the demand says that it may wait.
    pub(crate) fn request(&self, demand: &Demand<'_>) -> Admitted<'_> {
        self.with_inner(|inner, now| match inner.pool.handle_request(now, demand) {
            Admission::Granted(lease) => Admitted::Granted(lease),
            Admission::Refused(refusal) => Admitted::Refused(refusal),
            Admission::Queued(id) => {
                let (sender, turn) = oneshot::channel();
                inner.waiting.insert(id, sender);
                Admitted::Waiting(Waiting {
                    pool: self,
                    id,
                    turn,
                    done: false,
                })
            }
        })
    }

    /// Settles a lease.
    pub(crate) fn settle(&self, lease: Lease, outcome: &Outcome) {
        self.with(|pool, now| pool.handle_outcome(now, lease, outcome));
    }

    /// Sets the driver's alarm to the pool's next deadline, at most to `latest`.
    #[must_use]
    pub(crate) fn set_alarm(&self, latest: Timestamp) -> Timestamp {
        let mut inner = self.inner.lock();
        let next = inner.pool.poll_timeout().map_or(latest, |(at, _)| at);
        let at = next.min(latest);
        // Under the lock: a call that finds an earlier deadline after this sees what is set.
        self.alarm
            .set_for
            .store(at.as_unix_micros(), Ordering::Release);
        at
    }

    /// The driver's alarm.
    #[must_use]
    pub(crate) fn alarm(&self) -> Arc<Alarm> {
        self.alarm.clone()
    }
}

impl Inner {
    fn wake_those_whose_turn_it_is(&mut self, now: Timestamp) {
        while let Some((id, turn)) = self.pool.poll_turn(now) {
            let undelivered = match self.waiting.remove(&id) {
                Some(sender) => sender.send(turn).err(),
                None => Some(turn),
            };
            if let Some(Turn::Granted(lease)) = undelivered {
                self.pool.handle_outcome(now, lease, &unused());
            }
        }
    }
}

impl Alarm {
    /// Returns when it has been moved to an earlier instant.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    fn advance_to(&self, at: Timestamp) {
        let at = at.as_unix_micros();
        if at < self.set_for.load(Ordering::Acquire) {
            self.set_for.store(at, Ordering::Release);
            self.moved.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
