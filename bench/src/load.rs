//! The load generator: one thread, many keep-alive connections, closed or open loop.
//!
//! It checks every answer (status, size, number of events): a proxy that fails fast must not look
//! fast. It is bounded in time and count, and gives up when most of what comes back is wrong.

mod connection;
pub(crate) mod crowd;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::thread::set_current_timer_slack;

use crate::payload::Request;
use crate::poller::Poller;
use crate::schedule::Schedule;
use connection::{Connection, Progress, Timing};

/// How long requests in flight may take to finish after a run.
const DRAIN: Duration = Duration::from_secs(5);
/// Failures after which a run is given up: what is left to measure would mean nothing.
const FAILURES_MAX: u64 = 100;
/// Read buffer in bytes: all that a socket usually holds, so that one read empties it.
const READ_BYTES: usize = 64 * 1024;

/// What a run brought.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Answers that were complete and right within the measured time.
    pub(crate) answers: u64,
    /// Right answers to requests that were still in flight at the end of the measured time.
    pub(crate) answers_after: u64,
    /// SSE events that arrived within the measured time.
    pub(crate) events: u64,
    /// Requests that were not answered, or wrongly.
    pub(crate) failures: u64,
    /// Why the first of them failed.
    pub(crate) first_failure: Option<String>,
    /// Due instant to first body byte, for each right answer.
    pub(crate) first_byte: Vec<Duration>,
    /// Due instant to last byte, for each right answer.
    pub(crate) total: Vec<Duration>,
    /// How late requests were sent (open loop only).
    pub(crate) lateness: Vec<Duration>,
}

impl Tally {
    fn count(&mut self, timing: Timing) {
        self.answers += 1;
        self.first_byte.push(timing.first_byte);
        self.total.push(timing.total);
    }

    fn fail(&mut self, reason: String) -> anyhow::Result<()> {
        self.failures += 1;
        let first = self.first_failure.get_or_insert(reason);
        if self.failures >= FAILURES_MAX {
            bail!("{FAILURES_MAX} requests failed; the first: {first}");
        }
        Ok(())
    }
}

/// Connections to one target that send one request over and over.
pub(crate) struct Generator {
    target: SocketAddr,
    request: Request,
    poller: Poller,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    events: u64,
}

impl Generator {
    /// Opens `connections` connections to `target`.
    pub(crate) fn connect(
        target: SocketAddr,
        connections: usize,
        request: Request,
    ) -> anyhow::Result<Self> {
        let mut generator = Self {
            target,
            request,
            poller: Poller::new()?,
            connections: Vec::with_capacity(connections),
            idle: (0..connections).collect(),
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
            events: 0,
        };
        for place in 0..connections {
            let connection = generator.open(place)?;
            generator.connections.push(connection);
        }
        Ok(generator)
    }

    /// Every connection sends again as soon as it has its answer, for `window`.
    pub(crate) fn closed_loop(&mut self, window: Duration) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        let events_before = self.events;
        let end = Instant::now() + window;
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            while let Some(place) = self.idle.pop_front() {
                self.begin(place, now, &mut tally)?;
            }
            self.poll(Some(end - now), &mut tally)?;
        }
        tally.events = self.events - events_before;
        let mut late = Tally::default();
        self.wait_until_idle(DRAIN, &mut late)?;
        tally.answers_after = late.answers;
        tally.failures += late.failures;
        tally.first_failure = tally.first_failure.or(late.first_failure);
        Ok(tally)
    }

    /// Sends what `schedule` says when it says so. When no connection is free the request waits, and
    /// its latency goes on counting from when it was due.
    pub(crate) fn open_loop(&mut self, mut schedule: Schedule) -> anyhow::Result<Tally> {
        let _slack = FineTimers::set()?;
        let mut tally = Tally::default();
        let events_before = self.events;
        let start = Instant::now();
        while let Some(next_due) = schedule.next_due() {
            let now = start.elapsed();
            if now > next_due + DRAIN {
                bail!("the target is {DRAIN:?} behind the schedule");
            }
            while let Some(place) = self.idle.front().copied()
                && let Some(due) = schedule.take_due(now)
            {
                self.idle.pop_front();
                tally.lateness.push(now.saturating_sub(due));
                self.begin(place, start + due, &mut tally)?;
            }
            let wait = match schedule.next_due() {
                Some(due) if !self.idle.is_empty() => due.saturating_sub(start.elapsed()),
                _ => DRAIN,
            };
            if schedule.next_due().is_some() {
                self.poll(Some(wait), &mut tally)?;
            }
        }
        self.wait_until_idle(DRAIN, &mut tally)?;
        tally.events = self.events - events_before;
        Ok(tally)
    }

    /// Starts one stream on each connection and reads until each has brought `events` events.
    pub(crate) fn open_streams(&mut self, events: u64, patience: Duration) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        let deadline = Instant::now() + patience;
        while let Some(place) = self.idle.pop_front() {
            self.begin(place, Instant::now(), &mut tally)?;
            self.poll(Some(Duration::ZERO), &mut tally)?;
        }
        while self
            .connections
            .iter()
            .any(|connection| connection.events() < events)
        {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("not every stream brought {events} events within {patience:?}");
            }
            self.poll(Some(left.min(Duration::from_millis(100))), &mut tally)?;
        }
        if let Some(reason) = tally.first_failure {
            bail!("a stream failed: {reason}");
        }
        Ok(())
    }

    /// Sends one request and waits for its answer.
    pub(crate) fn once(&mut self, patience: Duration) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        let place = self.idle.pop_front().context("no connection is free")?;
        self.begin(place, Instant::now(), &mut tally)?;
        self.wait_until_idle(patience, &mut tally)?;
        tally
            .first_failure
            .map_or(Ok(()), |reason| bail!("{reason}"))
    }

    fn wait_until_idle(&mut self, patience: Duration, tally: &mut Tally) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while self.connections.iter().any(Connection::is_waiting) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("requests were not answered within {patience:?}");
            }
            self.poll(Some(left), tally)?;
        }
        Ok(())
    }

    fn open(&self, place: usize) -> anyhow::Result<Connection> {
        let connection = Connection::open(self.target)
            .with_context(|| format!("connecting to {}", self.target))?;
        self.poller.watch_reads(connection.socket(), place as u64)?;
        Ok(connection)
    }

    fn begin(&mut self, place: usize, due: Instant, tally: &mut Tally) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(place) else {
            return Ok(());
        };
        if let Err(error) = connection.begin(&self.request, due) {
            self.replace(place)?;
            tally.fail(format!("{error:#}"))?;
        }
        Ok(())
    }

    fn replace(&mut self, place: usize) -> anyhow::Result<()> {
        let fresh = self.open(place)?;
        if let Some(connection) = self.connections.get_mut(place) {
            *connection = fresh;
        }
        self.idle.push_back(place);
        Ok(())
    }

    fn poll(&mut self, timeout: Option<Duration>, tally: &mut Tally) -> anyhow::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(timeout, &mut ready)?;
        for token in &ready {
            if let Ok(place) = usize::try_from(*token) {
                self.on_ready(place, tally)?;
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn on_ready(&mut self, place: usize, tally: &mut Tally) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(place) else {
            return Ok(());
        };
        let was_waiting = connection.is_waiting();
        let events_before = connection.events();
        let progress = connection.read(self.request.expected, &mut self.buffer);
        self.events += connection.events() - events_before;
        match progress {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete { timing, closes }) => {
                tally.count(timing);
                if closes {
                    self.replace(place)?;
                } else {
                    self.idle.push_back(place);
                }
            }
            Ok(Progress::Refused { closes }) => {
                tally.fail("an answer with status 503".to_owned())?;
                if closes {
                    self.replace(place)?;
                } else {
                    self.idle.push_back(place);
                }
            }
            // A server may close an idle connection; a request that was on it has failed.
            Err(error) => {
                self.idle.retain(|idle| *idle != place);
                self.replace(place)?;
                if was_waiting {
                    tally.fail(format!("{error:#}"))?;
                }
            }
        }
        Ok(())
    }
}

/// Timers that fire when they are due, for as long as this lives; by default Linux lets them be 50 µs
/// late, which is as much as a proxy adds. Given back because child processes inherit it.
struct FineTimers;

impl FineTimers {
    fn set() -> anyhow::Result<Self> {
        set_current_timer_slack(NonZeroU64::new(1)).context("setting the timer slack")?;
        Ok(Self)
    }
}

impl Drop for FineTimers {
    fn drop(&mut self) {
        // `None` asks for the default of before, which cannot fail.
        let _restored = set_current_timer_slack(None);
    }
}
