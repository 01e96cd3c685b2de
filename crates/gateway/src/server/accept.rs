//! Accepting connections: what happens when there are too many, or when the system gives no more.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::until_stopped;
use super::connections::{Admission, Connections, Place};
use crate::exhaustion::is_exhausted;
use crate::limits;

/// A listener and the room for its clients.
pub(super) struct Acceptor {
    listener: TcpListener,
    connections: Arc<Connections>,
    stopped: watch::Receiver<bool>,
    full: Seldom,
    failing: Seldom,
}

impl Acceptor {
    pub(super) fn new(
        listener: std::net::TcpListener,
        connections: Arc<Connections>,
        stopped: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            connections,
            stopped,
            full: Seldom::default(),
            failing: Seldom::default(),
        })
    }

    /// The next connection, and its place; `None` once a stop was asked for.
    pub(super) async fn next(&mut self) -> Option<(TcpStream, Place)> {
        loop {
            let accepted = tokio::select! {
                () = until_stopped(&mut self.stopped) => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => {
                    if let Some(place) = self.admit() {
                        // Small answers must not wait for an acknowledgement.
                        let _ = socket.set_nodelay(true);
                        return Some((socket, place));
                    }
                }
                Err(error) if is_exhausted(&error) => {
                    self.connections.evict();
                    if let Some(times) = self.failing.is_due() {
                        tracing::warn!(times, "a connection could not be accepted: {error}");
                    }
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
                // That connection is gone, and no other is concerned.
                Err(error) => tracing::debug!("a connection could not be accepted: {error}"),
            }
        }
    }

    /// The place of a new connection, if there is any for it; else it is closed.
    fn admit(&mut self) -> Option<Place> {
        let (place, what) = match self.connections.admit() {
            Admission::Admitted(place) => return Some(place),
            Admission::AdmittedForAnother(place) => (Some(place), "an idle one is closed for each"),
            Admission::Refused => (None, "none is idle, so new ones are refused"),
        };
        if let Some(times) = self.full.is_due() {
            let bound = self.connections.bound();
            tracing::warn!(times, "all {bound} connections are taken: {what}");
        }
        place
    }
}

/// Something that is said seldom, however often there is cause.
#[derive(Debug, Default)]
struct Seldom {
    last_said: Option<Instant>,
    causes: u64,
}

impl Seldom {
    /// Whether it is to be said now; then how often there was cause since it was said last.
    fn is_due(&mut self) -> Option<u64> {
        self.causes += 1;
        let is_due = self
            .last_said
            .is_none_or(|last| last.elapsed() >= limits::SAME_LINE_AFTER);
        is_due.then(|| {
            self.last_said = Some(Instant::now());
            std::mem::take(&mut self.causes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_a_thousand_times_is_said_once_in_a_while_with_its_number() {
        let mut seldom = Seldom::default();
        assert_eq!(seldom.is_due(), Some(1));
        for _ in 0..999 {
            assert_eq!(seldom.is_due(), None);
        }
        tokio::time::advance(limits::SAME_LINE_AFTER).await;
        assert_eq!(seldom.is_due(), Some(1000));
    }
}
