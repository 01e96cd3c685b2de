//! Clients' connections, and what the gateway refuses and closes to protect itself, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of connections and of refused requests.
#[derive(Debug, Default)]
pub(crate) struct Defence {
    refused_requests: AtomicU64,
    open: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
}

/// Why the gateway closed a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// There were too many, and all of them were busy.
    Refused,
    /// There were too many, and this one had been idle for longest.
    ForAnother,
    /// It was idle for too long.
    Idle,
    /// A request's head did not come in time.
    SlowHead,
    /// The client did not take its answer.
    SlowReader,
}

impl Closed {
    const ALL: [Self; 5] = [
        Self::Refused,
        Self::ForAnother,
        Self::Idle,
        Self::SlowHead,
        Self::SlowReader,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ForAnother => "for_another",
            Self::Idle => "idle",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
        }
    }
}

impl Defence {
    /// Counts a request that was refused because its worker had too much to do; answers how many were
    /// before it.
    pub(crate) fn count_refused_request(&self) -> u64 {
        self.refused_requests.fetch_add(1, Ordering::Relaxed)
    }

    /// A client's connection is open now.
    pub(crate) fn count_opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// One is no longer.
    pub(crate) fn count_ended(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection that the gateway closed.
    pub(crate) fn count_closed(&self, why: Closed) {
        if let Some(count) = self.closed.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests that were refused so far.
    pub(super) fn refused_requests(&self) -> u64 {
        self.refused_requests.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that the gateway closed so far, by reason.
    pub(super) fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = Closed::ALL.into_iter().zip(&self.closed);
        counts.map(|(why, count)| (why.as_str(), count.load(Ordering::Relaxed)))
    }
}
