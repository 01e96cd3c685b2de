//! Bytes from an upstream to a client as they come, with usage read along the way.
//!
//! An event stream is relayed in whole events: an unfinished one waits for its rest, so that a break
//! can always be followed by the dialect's own error event. A break never becomes a clean end,
//! since most SDKs would take it for the whole answer.
//!
//! hyper hands out one chunk a poll, so writing each at once costs a system call per event. The relay
//! therefore lets the upstream connection run a few times and hands on what has arrived by then. It
//! waits for nothing: when no more is there, what it has goes out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use keypool_pool::{ErrorNote, FaultKind, Verdict};
use keypool_wire::{
    EventKind, OwnError, SseError, SseSplitter, StreamError, StreamMeter, stream_error_event,
};
use tokio::time::{Instant, Sleep};

use crate::body::CutOff;
use crate::limits;
use crate::traffic::settlement::{Ending, Settlement};
use crate::upstream::OpenRequest;

/// The body of a relayed answer.
#[derive(Debug)]
pub(crate) struct Relay {
    upstream: Incoming,
    scan: Option<Scan>,
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

/// What an event stream is read with. It also holds the unfinished event.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Finds the events.
    pub splitter: SseSplitter,
    /// Reads them.
    pub meter: StreamMeter,
    /// The beginning of an event whose rest has not come.
    unfinished: Vec<Bytes>,
    failure: Option<StreamError>,
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Something that a client can use came: content, the end, or an error.
    pub committing: bool,
    /// An error event that came before anything else a client could use.
    pub error_first: Option<StreamError>,
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

impl Scan {
    /// Reads a stream with `meter`.
    #[must_use]
    pub(crate) fn new(meter: StreamMeter) -> Self {
        Self {
            splitter: SseSplitter::default(),
            meter,
            unfinished: Vec::new(),
            failure: None,
        }
    }

    /// Takes a chunk in; whole events that the client should see are added to `out`.
    pub(crate) fn take_in(
        &mut self,
        chunk: &Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<Scanned, SseError> {
        let Self {
            splitter,
            meter,
            unfinished,
            failure,
        } = self;
        let mut scanned = Scanned::default();
        // `kept` to `seen`: bytes of whole events that are to be passed on in one piece.
        let (mut kept, mut seen) = (0, 0);
        let whole = splitter.feed(chunk, |event| {
            match meter.observe(&event) {
                EventKind::UsageOnly => {
                    unfinished_out(unfinished, out, kept < seen);
                    push(out, chunk.slice(kept..seen));
                    unfinished.clear();
                    kept = event.end;
                }
                EventKind::Error(error) => {
                    if !scanned.committing {
                        scanned.error_first = Some(error.clone());
                    }
                    failure.get_or_insert(error);
                    scanned.committing = true;
                }
                EventKind::Content | EventKind::End => scanned.committing = true,
                EventKind::Preamble => {}
            }
            seen = event.end;
        })?;
        if kept < whole {
            unfinished_out(unfinished, out, true);
            push(out, chunk.slice(kept..whole));
        }
        if whole < chunk.len() {
            unfinished.push(chunk.slice(whole..));
        }
        Ok(scanned)
    }
}

impl Scan {
    /// Takes the end of the stream in: an event that lacks only its blank line counts, and goes out.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Bytes>) {
        let Self {
            splitter,
            meter,
            unfinished,
            ..
        } = self;
        let mut whole = false;
        let finished = splitter.finish(|event| {
            whole = !matches!(meter.observe(&event), EventKind::UsageOnly);
        });
        if finished.is_ok() && whole && meter.is_complete() {
            out.extend(unfinished.drain(..));
        }
    }
}

/// Passes the earlier part of an event on, when its end is passed on too.
fn unfinished_out(unfinished: &mut Vec<Bytes>, out: &mut VecDeque<Bytes>, pass: bool) {
    if pass {
        out.extend(unfinished.drain(..));
    }
}

fn push(out: &mut VecDeque<Bytes>, bytes: Bytes) {
    if !bytes.is_empty() {
        out.push_back(bytes);
    }
}

/// Fires when nothing has come for a while, or when the answer has gone on for too long. Re-armed
/// only when it goes off, so that a chunk costs no timer operation.
#[derive(Debug)]
struct Clocks {
    sleep: Pin<Box<Sleep>>,
    idle: Duration,
    last: Instant,
    end: Instant,
}

impl Clocks {
    fn new(idle: Duration, end: Instant) -> Self {
        let last = Instant::now();
        Self {
            sleep: Box::pin(tokio::time::sleep_until(end.min(last + idle))),
            idle,
            last,
            end,
        }
    }

    /// Code and reason, once one of the clocks has run out.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Option<(&'static str, String)> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let (now, idle_end) = (Instant::now(), self.last + self.idle);
            if self.end <= now {
                return Some(("upstream_too_long", "the answer took too long".to_owned()));
            }
            if idle_end <= now {
                let reason = format!("nothing came for {} s", self.idle.as_secs());
                return Some(("upstream_stalled", reason));
            }
            self.sleep.as_mut().reset(self.end.min(idle_end));
        }
        None
    }
}

/// What a relay begins with.
#[derive(Debug)]
pub(crate) struct RelayStart {
    /// The upstream's body.
    pub upstream: Incoming,
    /// How to read it; `None` passes bytes on unread.
    pub scan: Option<Scan>,
    /// What has been read already and is to go out first.
    pub held: VecDeque<Bytes>,
    /// Longest time between two chunks.
    pub idle: Duration,
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
        Self {
            upstream: start.upstream,
            scan: start.scan,
            draining: !start.held.is_empty(),
            ready: start.held,
            ready_bytes,
            yields: 0,
            ended: false,
            cut: false,
            clocks: Clocks::new(start.idle, start.end),
            settlement: Some(start.settlement),
            _open: start.open,
            _streams: start.streams,
        }
    }

    fn take_in(&mut self, chunk: Bytes) {
        self.clocks.last = Instant::now();
        let before = self.ready.len();
        let Some(scan) = &mut self.scan else {
            self.ready_bytes += chunk.len();
            self.ready.push_back(chunk);
            return;
        };
        let scanned = scan.take_in(&chunk, &mut self.ready);
        self.ready_bytes += self
            .ready
            .iter()
            .skip(before)
            .map(Bytes::len)
            .sum::<usize>();
        let written = scan.meter.output_tokens_so_far();
        if let Some(settlement) = &mut self.settlement {
            settlement.observe_output(written);
        }
        if let Err(error) = scanned {
            self.break_off(FaultKind::Garbage, "upstream_garbage", &error.to_string());
        }
    }

    /// The upstream's body has ended in good order.
    fn end(&mut self) {
        if let Some(scan) = &mut self.scan {
            scan.finish(&mut self.ready);
        }
        let ended = |scan: &Scan| scan.meter.is_complete() || scan.meter.end().is_some();
        let complete = self.scan.as_ref().is_none_or(ended);
        if !complete {
            self.break_off(
                FaultKind::Reset,
                "upstream_cut",
                "the upstream ended the stream before its answer was complete",
            );
            return;
        }
        self.ended = true;
        let Some(settlement) = self.settlement.take() else {
            return;
        };
        let failure = self.scan.as_mut().and_then(|scan| scan.failure.take());
        let (charge, usage) = settlement.charge_for(self.usage(&settlement).as_ref());
        let (verdict, error) = match failure {
            None => (Verdict::Success, None),
            Some(error) => settlement.blame_stream_error(&error),
        };
        let made_state = self.made_state();
        settlement.settle(Ending {
            error,
            made_state,
            ..Ending::new(verdict, charge, usage)
        });
    }

    /// The upstream broke; the client is told in its dialect, and the answer counts as failed.
    fn break_off(&mut self, fault: FaultKind, code: &'static str, reason: &str) {
        self.ended = true;
        let Some(settlement) = self.settlement.take() else {
            return;
        };
        let error = OwnError {
            status: 502,
            code,
            message: format!("upstream failed: {reason}"),
        };
        let already_told = self
            .scan
            .as_ref()
            .is_some_and(|scan| scan.failure.is_some());
        match &self.scan {
            // Only an event stream can carry an error; anything else is cut off.
            None => self.cut = true,
            Some(_) if already_told => {}
            Some(_) => {
                self.ready
                    .push_back(stream_error_event(settlement.request.endpoint, &error));
            }
        }
        tracing::warn!(
            target: crate::telemetry::POOL_LOG,
            request = %settlement.request.id,
            provider = %settlement.provider.name,
            key = %settlement.key.mask,
            "answer broken off after it had begun: {reason}",
        );
        let (charge, usage) = settlement.charge_for(self.usage(&settlement).as_ref());
        let note = ErrorNote {
            status: None,
            code: code.to_owned(),
            message: reason.to_owned(),
        };
        settlement.settle(Ending {
            error: Some(note),
            ..Ending::new(Verdict::Fault(fault), charge, usage)
        });
    }

    fn made_state(&self) -> Vec<u64> {
        let scan = self.scan.as_ref();
        scan.map_or_else(Vec::new, |scan| scan.meter.made_state().to_vec())
    }

    /// What was used so far: as the provider states it, else as it can be counted from outside.
    fn usage(&self, settlement: &Settlement) -> Option<keypool_wire::Usage> {
        let meter = &self.scan.as_ref()?.meter;
        Some(
            meter
                .usage_or_estimate(settlement.request.peek.input_tokens)
                .0,
        )
    }

    /// Reads what has arrived; `Nothing` when the task is to be polled again before it writes.
    fn gather(&mut self, cx: &mut Context<'_>) -> Gathered {
        while !self.ended && self.ready_bytes < limits::GATHERED_BYTES {
            match Pin::new(&mut self.upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.take_in(chunk);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.break_off(FaultKind::Reset, "upstream_reset", &error.to_string());
                }
                Poll::Ready(None) => self.end(),
                Poll::Pending if self.ready.is_empty() => {
                    let Some((code, reason)) = self.clocks.poll_expired(cx) else {
                        return Gathered::Nothing;
                    };
                    self.break_off(FaultKind::Timeout, code, &reason);
                }
                Poll::Pending if self.yields < limits::GATHERING_YIELDS => {
                    self.yields += 1;
                    cx.waker().wake_by_ref();
                    return Gathered::Nothing;
                }
                Poll::Pending => break,
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
                // A client that reads slowly is no reason to call the upstream stalled.
                relay.clocks.last = Instant::now();
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
    /// The client left: what was counted until then is charged.
    fn drop(&mut self) {
        let Some(settlement) = self.settlement.take() else {
            return;
        };
        let usage = self.usage(&settlement);
        settlement.settle_used(Verdict::Cancelled, usage.as_ref(), &[]);
    }
}

#[cfg(test)]
mod tests;
