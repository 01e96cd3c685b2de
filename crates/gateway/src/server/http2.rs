//! HTTP/2 streams as tasks, each with a clock for a client that takes nothing of its answer.
//!
//! A client that stops reading a connection is noticed at the socket. Over HTTP/2 it can also close the
//! window of one stream and leave the rest open: then the stream's answer stands still where no socket
//! tells, and with it the request to the provider.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

tokio::task_local! {
    static TURN: Arc<Turn>;
}

const NEVER: u64 = u64::MAX;

/// Whose turn it is on a stream: the gateway's, to go on with the answer, or the client's, to take what
/// there is of it.
#[derive(Debug)]
pub(super) struct Turn {
    base: Instant,
    /// Since when it is the client's, in milliseconds from `base`.
    clients_since: AtomicU64,
}

impl Turn {
    /// That of the stream whose task this is. HTTP/1 has none.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        TURN.try_with(Clone::clone).ok()
    }

    /// There is something to take.
    pub(super) fn hand_over(&self) {
        let now = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.clients_since.store(now, Ordering::Relaxed);
    }

    /// All was taken.
    pub(super) fn take_back(&self) {
        self.clients_since.store(NEVER, Ordering::Relaxed);
    }

    fn clients_since(&self) -> Option<Instant> {
        let since = self.clients_since.load(Ordering::Relaxed);
        (since != NEVER).then(|| self.base + Duration::from_millis(since))
    }
}

/// Runs streams, each until it ends or its client has taken nothing for `patience`.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamExecutor {
    /// How long a client may take nothing.
    pub(super) patience: Duration,
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let patience = self.patience;
        let turn = Arc::new(Turn {
            base: Instant::now(),
            clients_since: AtomicU64::new(NEVER),
        });
        tokio::spawn(async move {
            let stalled = Stalled {
                turn: turn.clone(),
                patience,
                sleep: None,
            };
            let stream = pin!(TURN.scope(turn, stream));
            tokio::select! {
                biased;
                () = stream => {}
                // Dropped, the stream is reset.
                () = stalled => tracing::debug!("a client takes nothing of its answer"),
            }
        });
    }
}

/// Ends when it has been the client's turn for too long. It has a timer only while that may happen.
struct Stalled {
    turn: Arc<Turn>,
    patience: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for Stalled {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let Some(since) = this.turn.clients_since() else {
                this.sleep = None;
                return Poll::Pending;
            };
            let deadline = since + this.patience;
            let sleep = this
                .sleep
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if sleep.deadline() != deadline {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}
