//! What all connections share: the model behind its lock, the clock, the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::log::RequestLog;
use crate::model::{Ending, Model, Ticket};
use crate::{ConfigError, Counters, SimConfig, SimTime};

#[derive(Debug)]
pub(super) struct Shared {
    model: Mutex<Model>,
    pub(super) log: RequestLog,
    pub(super) max_body_bytes: usize,
    started: Instant,
    started_at: SimTime,
    connections: AtomicU64,
    open_connections: AtomicU64,
}

impl Shared {
    pub(super) fn new(config: &SimConfig) -> Result<Self, ConfigError> {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let started_at = SimTime::default() + since_epoch;
        Ok(Self {
            model: Mutex::new(Model::new(started_at, config)?),
            log: RequestLog::new(config.request_log),
            max_body_bytes: config.max_body_bytes,
            started: Instant::now(),
            started_at,
            connections: AtomicU64::new(0),
            open_connections: AtomicU64::new(0),
        })
    }

    /// Time since the start; never goes back.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The model's idea of this instant.
    pub(super) fn now(&self) -> SimTime {
        self.started_at + self.elapsed()
    }

    /// Asks the model something. The lock is held for the call only; nothing in it waits.
    pub(super) fn with_model<T>(&self, call: impl FnOnce(&mut Model, SimTime) -> T) -> T {
        let mut model = self.model.lock();
        // Read under the lock, so that the model never sees time go back.
        let now = self.now();
        call(&mut model, now)
    }

    /// Counts a connection as open until the guard is dropped.
    pub(super) fn connection_opened(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.open_connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    pub(super) fn counters(&self) -> Counters {
        let counters = self.with_model(|model, _| model.counters());
        Counters {
            connections: self.connections.load(Ordering::Relaxed),
            open_connections: self.open_connections.load(Ordering::Relaxed),
            ..counters
        }
    }

    /// Zero counters, full limits, an empty log.
    pub(super) fn reset(&self) {
        self.with_model(Model::reset);
        self.connections.store(
            self.open_connections.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
        self.log.clear();
    }
}

pub(super) struct OpenConnection(Arc<Shared>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that the model counts as in flight. Dropped early it was cancelled by the client.
#[derive(Debug)]
pub(super) struct InFlight {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
    if_dropped: Ending,
}

impl InFlight {
    pub(super) fn new(shared: Arc<Shared>, ticket: Ticket) -> Self {
        Self {
            shared,
            ticket: Some(ticket),
            if_dropped: Ending::Cancelled,
        }
    }

    /// Asks the model something about this request.
    pub(super) fn with_model<T>(
        &mut self,
        call: impl FnOnce(&mut Model, SimTime, &mut Ticket) -> T,
    ) -> Option<T> {
        let ticket = self.ticket.as_mut()?;
        Some(
            self.shared
                .with_model(|model, now| call(model, now, ticket)),
        )
    }

    /// Counts output tokens as produced.
    pub(super) fn produce(&mut self, tokens: u64) {
        self.with_model(|model, now, ticket| model.produce(now, ticket, tokens));
    }

    /// From here on the simulator is to blame if the answer does not come to its end.
    pub(super) fn breaks(&mut self) {
        self.if_dropped = Ending::Broken;
    }

    /// The whole answer was handed over.
    pub(super) fn complete(&mut self) {
        self.finish(Ending::Complete);
    }

    fn finish(&mut self, ending: Ending) {
        if let Some(ticket) = self.ticket.take() {
            self.shared
                .with_model(|model, now| model.finish(now, ticket, ending));
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.finish(self.if_dropped);
    }
}
