//! Bytes from an upstream to a client as they come, with usage read along the way.
//!
//! An event stream is relayed in whole events ([`Scan`]), so that a break can always be followed by the
//! dialect's own error event. A break never becomes a clean end, since most SDKs would take it for the
//! whole answer; and what is whole by its own words stays whole, whatever the connection does after it.
//!
//! hyper hands out one chunk a poll, so writing each at once costs a system call per event. The relay
//! therefore lets the upstream connection run a few times and hands on what has arrived by then. It
//! waits for nothing: when no more is there, what it has goes out.

mod clocks;
mod scan;
mod tail;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use keypool_pool::{Charge, ErrorNote, FaultKind, Usage, Verdict};
use keypool_wire::{OwnError, StreamEnd, StreamError, UsageTally};
use tokio::time::Instant;

use crate::body::CutOff;
use crate::limits;
use crate::traffic::failure::without_secret;
use crate::traffic::settlement::{Ending, Settlement};
use crate::traffic::upstream_body::{BodyError, UpstreamBody};
use crate::upstream::OpenRequest;
use clocks::{Clocks, Expired};
pub(crate) use scan::Scan;
pub(crate) use scan::rewriter::{Rewriter, array_of_one};
pub(crate) use tail::Tail;

/// The body of a relayed answer.
#[derive(Debug)]
pub(crate) struct Relay {
    upstream: UpstreamBody,
    reader: Reader,
    /// Whole events, or plain bytes, on their way to the client.
    ready: VecDeque<Bytes>,
    ready_bytes: usize,
    draining: bool,
    yields: u8,
    ended: bool,
    cut: bool,
    clocks: Clocks,
    settlement: Option<Settlement>,
    _open: OpenRequest,
    _streams: StreamCount,
}

/// How an answer is read as it goes by.
#[derive(Debug)]
pub(crate) enum Reader {
    /// As an event stream.
    Events(Box<Scan>),
    /// It is a plain answer too large to be held.
    Plain(Box<Tail>),
}

/// Counts open streams for as long as it lives.
#[derive(Debug)]
pub(crate) struct StreamCount(Arc<AtomicU64>);

impl StreamCount {
    /// Counts one more open stream.
    #[must_use]
    pub(crate) fn new(count: Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reader {
    /// What was used so far: as the provider states it, else as it can be counted from outside.
    fn tally(&self, settlement: &Settlement) -> UsageTally {
        let input_tokens = settlement.request.peek.input_tokens;
        match self {
            Self::Events(scan) => scan.meter.tally(input_tokens),
            Self::Plain(tail) => tail.usage(settlement.endpoint).map_or_else(
                || UsageTally::estimated(input_tokens, 0),
                UsageTally::measured,
            ),
        }
    }

    /// Whether the answer has come to its end by its own words.
    fn is_whole(&self) -> bool {
        match self {
            Self::Events(scan) => scan.is_whole(),
            // No word tells the end of a plain answer: only that of the connection does.
            Self::Plain(_) => false,
        }
    }

    const fn failure(&self) -> Option<&StreamError> {
        match self {
            Self::Events(scan) => scan.failure(),
            Self::Plain(_) => None,
        }
    }

    const fn is_failure_told(&self) -> bool {
        match self {
            Self::Events(scan) => scan.is_failure_told(),
            Self::Plain(_) => false,
        }
    }
}

/// What a relay begins with.
#[derive(Debug)]
pub(crate) struct RelayStart {
    /// The upstream's body.
    pub upstream: UpstreamBody,
    /// How to read it.
    pub reader: Reader,
    /// What has been read already and is to go out first.
    pub held: VecDeque<Bytes>,
    /// Longest time between two chunks.
    pub idle: Duration,
    /// When something must have been said about the answer, if nothing has been yet.
    pub first_meaning_due: Option<Instant>,
    /// When the answer must have ended.
    pub end: Instant,
    /// The attempt to settle at the end.
    pub settlement: Settlement,
    /// The upstream request.
    pub open: OpenRequest,
    /// The count of open streams.
    pub streams: StreamCount,
}

impl Relay {
    /// Begins to relay.
    #[must_use]
    pub(crate) fn new(start: RelayStart) -> Self {
        let ready_bytes = start.held.iter().map(Bytes::len).sum();
        let mut relay = Self {
            upstream: start.upstream,
            reader: start.reader,
            draining: !start.held.is_empty(),
            ready: start.held,
            ready_bytes,
            yields: 0,
            ended: false,
            cut: false,
            clocks: Clocks::new(start.idle, start.first_meaning_due, start.end),
            settlement: Some(start.settlement),
            _open: start.open,
            _streams: start.streams,
        };
        relay.wind_down(Instant::now());
        relay
    }

    /// Once there is nothing more to come, the upstream has little time left to say that this was all.
    fn wind_down(&mut self, now: Instant) {
        let Reader::Events(scan) = &self.reader else {
            return;
        };
        if scan.meter.end() == Some(StreamEnd::Complete) {
            self.clocks.whole(now);
        } else if scan.has_said_all() {
            self.clocks.said_all(now);
        }
    }

    fn take_in(&mut self, chunk: Bytes) {
        let now = Instant::now();
        let before = self.ready.len();
        let scan = match &mut self.reader {
            Reader::Plain(tail) => {
                tail.observe(&chunk);
                self.clocks.chunk(now, true);
                self.ready_bytes += chunk.len();
                self.ready.push_back(chunk);
                return;
            }
            Reader::Events(scan) => scan,
        };
        let scanned = scan.take_in(&chunk, &mut self.ready);
        let added = self.ready.iter().skip(before).map(Bytes::len);
        self.ready_bytes += added.sum::<usize>();
        let meaningful = !scanned.as_ref().is_ok_and(|scanned| !scanned.meaningful);
        self.clocks.chunk(now, meaningful);
        if let Some(settlement) = &mut self.settlement {
            settlement.observe_output(scan.meter.output_tokens_so_far());
        }
        if scan.failure().is_some() {
            self.fail(before);
        } else if let Err(error) = scanned {
            self.break_off(FaultKind::Garbage, "upstream_garbage", &error.to_string());
        } else {
            if meaningful {
                self.wind_down(now);
            }
            if let Some(expired) = self.clocks.expired(now) {
                self.expire(&expired);
            }
        }
    }

    /// The upstream's body has ended in good order.
    fn end(&mut self) {
        let told_as_far_as = self.ready.len();
        let whole = match &mut self.reader {
            Reader::Plain(tail) => Ok(tail.ends_an_object()),
            Reader::Events(scan) => scan.finish(&mut self.ready).map(|_| scan.is_whole()),
        };
        if self.reader.failure().is_some() {
            self.fail(told_as_far_as);
            return;
        }
        match whole {
            Ok(true) => self.complete(),
            Ok(false) => self.break_off(
                FaultKind::Reset,
                "upstream_cut",
                "the upstream ended its answer before it was complete",
            ),
            Err(error) => {
                self.break_off(FaultKind::Garbage, "upstream_garbage", &error.to_string());
            }
        }
    }

    /// The answer is whole.
    fn complete(&mut self) {
        self.ended = true;
        if let Reader::Events(scan) = &mut self.reader {
            scan.complete(&mut self.ready);
        }
        let Some(settlement) = self.noted() else {
            return;
        };
        let made_state = match &self.reader {
            Reader::Events(scan) => scan.meter.made_state(),
            Reader::Plain(_) => &[],
        };
        settlement.settle_seen(Verdict::Success, made_state);
    }

    /// The provider gave up in words of its own, which are passed on if they are an event; they come after so many
    /// chunks of those that are ready. What it sent after them is not.
    fn fail(&mut self, told_from: usize) {
        self.ended = true;
        let (Some(settlement), Some(failure)) = (self.noted(), self.reader.failure()) else {
            return;
        };
        let (verdict, error) = settlement.blame_stream_error(failure);
        let own = OwnError {
            status: failure.status,
            code: "upstream_stream_error",
            message: format!("the provider answered with an error: {}", failure.message),
        };
        let told = self.ready.split_off(told_from);
        let told = told.iter().fold(BytesMut::new(), |mut told, part| {
            told.extend_from_slice(part);
            told
        });
        if !told.is_empty() {
            let told = without_secret(told.freeze(), &settlement.key);
            self.ready.push_back(told);
        }
        if !self.reader.is_failure_told() {
            self.tell(&settlement, &own);
        }
        settlement.settle(Ending {
            error,
            ..Ending::new(verdict, Charge::AsReserved, Usage::default())
        });
    }

    fn expire(&mut self, expired: &Expired) {
        self.break_off(FaultKind::Timeout, expired.code, &expired.reason);
    }

    /// The upstream broke; the client is told in its dialect, and the answer counts as failed. Unless it
    /// was whole before.
    fn break_off(&mut self, fault: FaultKind, code: &'static str, reason: &str) {
        if self.reader.is_whole() {
            self.complete();
            return;
        }
        self.ended = true;
        let Some(settlement) = self.noted() else {
            return;
        };
        let error = OwnError {
            status: if fault == FaultKind::Timeout {
                504
            } else {
                502
            },
            code,
            message: format!("upstream failed: {reason}"),
        };
        self.tell(&settlement, &error);
        tracing::warn!(
            target: crate::telemetry::POOL_LOG,
            request = %settlement.request.id,
            provider = %settlement.provider.name,
            key = %settlement.key.mask,
            "answer broken off after it had begun: {reason}",
        );
        let note = ErrorNote {
            status: None,
            code: code.to_owned(),
            message: reason.to_owned(),
        };
        settlement.settle(Ending {
            error: Some(note),
            ..Ending::new(Verdict::Fault(fault), Charge::AsReserved, Usage::default())
        });
    }

    /// Tells the client of an error. Only an event stream can carry one; anything else is cut off.
    fn tell(&mut self, settlement: &Settlement, error: &OwnError) {
        match &mut self.reader {
            Reader::Plain(_) => self.cut = true,
            Reader::Events(scan) => {
                scan.tell(settlement.request.endpoint, error, &mut self.ready);
            }
        }
    }

    /// The attempt, which knows what was used; `None` once it is settled.
    fn noted(&mut self) -> Option<Settlement> {
        let mut settlement = self.settlement.take()?;
        settlement.observe_usage(self.reader.tally(&settlement));
        Some(settlement)
    }

    /// Takes the upstream's next chunk in, or its end; `Pending` when neither is there.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match std::task::ready!(self.upstream.poll_chunk(cx)) {
            Some(Ok(chunk)) => self.take_in(chunk),
            Some(Err(BodyError::Broken(reason))) => {
                self.break_off(FaultKind::Reset, "upstream_reset", &reason);
            }
            Some(Err(BodyError::Undecodable(reason))) => {
                self.break_off(FaultKind::Garbage, "upstream_garbage", &reason);
            }
            None => self.end(),
        }
        Poll::Ready(())
    }

    /// Reads what has arrived; `Nothing` when the task is to be polled again before it writes.
    fn gather(&mut self, cx: &mut Context<'_>) -> Gathered {
        while !self.ended && self.ready_bytes < limits::GATHERED_BYTES {
            if self.poll_upstream(cx).is_ready() {
                continue;
            }
            if self.ready.is_empty() {
                let Some(expired) = self.clocks.poll_expired(cx) else {
                    return Gathered::Nothing;
                };
                self.expire(&expired);
            } else if self.yields < limits::GATHERING_YIELDS {
                self.yields += 1;
                cx.waker().wake_by_ref();
                return Gathered::Nothing;
            } else {
                break;
            }
        }
        self.yields = 0;
        Gathered::Some
    }
}

enum Gathered {
    Some,
    Nothing,
}

impl Body for Relay {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let relay = self.get_mut();
        loop {
            if relay.draining {
                if let Some(bytes) = relay.ready.pop_front() {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                relay.draining = false;
                relay.ready_bytes = 0;
                relay.clocks.written();
            }
            if relay.ended && relay.ready.is_empty() {
                return Poll::Ready(relay.cut.then_some(Err(CutOff)));
            }
            match relay.gather(cx) {
                Gathered::Nothing => return Poll::Pending,
                Gathered::Some => relay.draining = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.ready.is_empty() && !self.cut
    }
}

impl Drop for Relay {
    /// The client left. What has come from the upstream by now still counts; then it is cancelled.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.settlement.is_some() && self.poll_upstream(&mut cx).is_ready() {}
        if self.reader.is_whole() {
            self.complete();
        } else if let Some(settlement) = self.noted() {
            settlement.settle_seen(Verdict::Cancelled, &[]);
        }
    }
}
