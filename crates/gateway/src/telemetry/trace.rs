//! Traces: what each request asked for and used, for whoever listens, so that the traffic can be replayed
//! in virtual time. Nothing is kept, nothing that anybody wrote is in it, and nothing is done when nobody
//! listens.

use std::sync::Arc;

use keypool_pool::TraceRecord;
use tokio::sync::broadcast;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The hub between requests and those who record them.
#[derive(Debug)]
pub(crate) struct Traces {
    live: broadcast::Sender<Arc<TraceRecord>>,
    places: Arc<Semaphore>,
}

/// A listener's place.
#[derive(Debug)]
pub(crate) struct TraceSubscription {
    /// Where records come out.
    pub(crate) receiver: broadcast::Receiver<Arc<TraceRecord>>,
    _place: OwnedSemaphorePermit,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            live: broadcast::Sender::new(limits::TRACE_BUFFERED),
            places: Arc::new(Semaphore::new(limits::TRACE_SUBSCRIBERS)),
        }
    }
}

impl Traces {
    /// Whether anybody listens.
    #[must_use]
    pub(crate) fn is_on(&self) -> bool {
        self.live.receiver_count() > 0
    }

    /// Tells those who listen.
    pub(crate) fn publish(&self, record: TraceRecord) {
        // An error only says that nobody listens any more.
        let _ = self.live.send(Arc::new(record));
    }

    /// Listens from now on; `None` when there are as many listeners as are allowed.
    #[must_use]
    pub(crate) fn subscribe(&self) -> Option<TraceSubscription> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(TraceSubscription {
            receiver: self.live.subscribe(),
            _place: place,
        })
    }
}
