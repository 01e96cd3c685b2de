//! Many clients that do not wait for each other and do not wait for ever: offered load that does not go down when
//! the target cannot keep up.
//!
//! Requests are due at fixed instants. Each takes a connection that is free; while none is, it waits, and its
//! time runs. A client whose patience is over leaves and closes its connection. So a target that takes more
//! than it can serve works for clients that have left.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::READ_BYTES;
use super::connection::{Connection, Progress};
use crate::payload::Request;
use crate::poller::Poller;
use crate::schedule::Schedule;

/// How often clients look at their clocks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Requests that were due.
    pub(crate) due: u64,
    /// Right answers that came while their clients waited.
    pub(crate) served: u64,
    /// Answers 503.
    pub(crate) refused: u64,
    /// Requests whose clients left after they were sent.
    pub(crate) abandoned: u64,
    /// Requests whose clients left before there was a connection for them.
    pub(crate) unsent: u64,
    /// Anything else: wrong answers, broken connections.
    pub(crate) failed: u64,
    /// Why the first of these failed.
    pub(crate) first_failure: Option<String>,
    /// From the instant a served request was due to the last byte of its answer.
    pub(crate) latencies: Vec<Duration>,
}

/// Connections to one target, and the clients that want to use them.
pub(crate) struct Crowd {
    target: SocketAddr,
    request: Request,
    patience: Duration,
    poller: Poller,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    /// Requests under way, in the order in which they were due: when, and on which connection.
    sent: VecDeque<(Instant, usize)>,
    ready: Vec<u64>,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Opens `connections` connections to `target`, for clients that wait for `patience`.
    pub(crate) fn connect(
        target: SocketAddr,
        connections: usize,
        request: Request,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut crowd = Self {
            target,
            request,
            patience,
            poller: Poller::new()?,
            connections: Vec::with_capacity(connections),
            idle: (0..connections).collect(),
            sent: VecDeque::new(),
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
        };
        for place in 0..connections {
            let connection = crowd.open(place)?;
            crowd.connections.push(connection);
        }
        Ok(crowd)
    }

    /// Sends what `schedule` says when it says so, and ends when every client has its answer or has left.
    pub(crate) fn run(&mut self, mut schedule: Schedule) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut waiting: VecDeque<Instant> = VecDeque::new();
        let start = Instant::now();
        loop {
            let now = Instant::now();
            while let Some(due) = schedule.take_due(now - start) {
                outcome.due += 1;
                waiting.push_back(start + due);
            }
            while waiting
                .front()
                .is_some_and(|due| now > *due + self.patience)
            {
                waiting.pop_front();
                outcome.unsent += 1;
            }
            self.leave(now, &mut outcome)?;
            while let Some(place) = self.idle.front().copied()
                && let Some(due) = waiting.pop_front()
            {
                self.idle.pop_front();
                self.begin(place, due, &mut outcome)?;
            }
            let next_due = schedule
                .next_due()
                .map(|due| due.saturating_sub(now - start));
            if next_due.is_none() && waiting.is_empty() && self.sent.is_empty() {
                return Ok(outcome);
            }
            let wait = next_due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            self.poll(wait, &mut outcome)?;
        }
    }

    fn open(&self, place: usize) -> anyhow::Result<Connection> {
        let connection = Connection::open(self.target)?;
        self.poller.watch_reads(connection.socket(), place as u64)?;
        Ok(connection)
    }

    fn replace(&mut self, place: usize) -> anyhow::Result<()> {
        let fresh = self.open(place)?;
        if let Some(connection) = self.connections.get_mut(place) {
            *connection = fresh;
        }
        self.idle.push_back(place);
        Ok(())
    }

    /// Clients whose patience is over close their connections.
    fn leave(&mut self, now: Instant, outcome: &mut Outcome) -> anyhow::Result<()> {
        while let Some(&(due, place)) = self.sent.front() {
            let is_under_way = self
                .connections
                .get(place)
                .is_some_and(|connection| connection.is_waiting_since(due));
            if is_under_way {
                if now <= due + self.patience {
                    break;
                }
                outcome.abandoned += 1;
                self.replace(place)?;
            }
            self.sent.pop_front();
        }
        Ok(())
    }

    fn begin(&mut self, place: usize, due: Instant, outcome: &mut Outcome) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(place) else {
            return Ok(());
        };
        match connection.begin(&self.request, due) {
            Ok(()) => self.sent.push_back((due, place)),
            Err(error) => {
                outcome.fail(&error)?;
                self.replace(place)?;
            }
        }
        Ok(())
    }

    fn poll(&mut self, wait: Duration, outcome: &mut Outcome) -> anyhow::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(Some(wait), &mut ready)?;
        for token in &ready {
            if let Ok(place) = usize::try_from(*token) {
                self.on_ready(place, outcome)?;
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn on_ready(&mut self, place: usize, outcome: &mut Outcome) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(place) else {
            return Ok(());
        };
        let was_waiting = connection.is_waiting();
        match connection.read(self.request.expected, &mut self.buffer) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { timing, closes }) => {
                outcome.served += 1;
                outcome.latencies.push(timing.total);
                self.go_on(place, closes)?;
            }
            Ok(Progress::Refused { closes }) => {
                outcome.refused += 1;
                self.go_on(place, closes)?;
            }
            Err(error) => {
                if was_waiting {
                    outcome.fail(&error)?;
                    self.replace(place)?;
                } else {
                    // The target closed an idle connection, as it may.
                    self.idle.retain(|idle| *idle != place);
                    self.replace(place)?;
                }
            }
        }
        Ok(())
    }

    fn go_on(&mut self, place: usize, closes: bool) -> anyhow::Result<()> {
        if closes {
            return self.replace(place);
        }
        self.idle.push_back(place);
        Ok(())
    }
}

impl Outcome {
    fn fail(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        /// Failures after which a run is given up: what is left to measure would mean nothing.
        const FAILURES_MAX: u64 = 1000;
        self.failed += 1;
        let first = self
            .first_failure
            .get_or_insert_with(|| format!("{error:#}"));
        if self.failed >= FAILURES_MAX {
            bail!("{FAILURES_MAX} requests failed; the first: {first}");
        }
        Ok(())
    }
}
