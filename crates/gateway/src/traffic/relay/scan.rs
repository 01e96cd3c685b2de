//! Reading an event stream while it is relayed, in whole events.
//!
//! An unfinished event waits for its rest, so that whatever breaks the stream can be followed by an event
//! of ours. Nothing is passed on past the provider's own error event, or past what no client can read.

use std::collections::VecDeque;

use bytes::Bytes;
use keypool_wire::{
    Endpoint, EventKind, OwnError, SseError, SseSplitter, StreamError, StreamMeter,
    stream_error_event,
};
use rewriter::Rewriter;
use rewritten::Reading;

pub(crate) mod rewriter;
mod rewritten;

/// What an event stream is read with. It also holds the unfinished event.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Finds the events.
    splitter: SseSplitter,
    /// Reads them.
    pub meter: StreamMeter,
    /// The beginning of an event whose rest has not come.
    unfinished: Vec<Bytes>,
    failure: Option<StreamError>,
    /// The failure went out in the provider's words.
    is_failure_told: bool,
    /// Writes the stream anew, if the client cannot read it as it comes.
    rewriter: Option<Rewriter>,
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Something that a client can use came: content, the end, or an error.
    pub committing: bool,
    /// Something was said about the answer; keep-alives alone say nothing.
    pub meaningful: bool,
}

/// Why a stream cannot be read on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScanError {
    /// An event went on beyond the bound.
    #[error(transparent)]
    Event(#[from] SseError),
    /// What came is no event that a client can read. Its words are left out: they may be the answer's.
    #[error("an event of the stream is not what its API sends")]
    Garbage,
}

/// Where a chunk is not read on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Failed,
    Garbage,
}

impl Scan {
    /// Reads a stream with `meter`, and writes it anew with `rewriter` if there is one.
    #[must_use]
    pub(crate) fn new(meter: StreamMeter, rewriter: Option<Rewriter>) -> Self {
        Self {
            splitter: SseSplitter::default(),
            meter,
            unfinished: Vec::new(),
            failure: None,
            is_failure_told: false,
            rewriter,
        }
    }

    /// The provider's own error, once it came. No chunk may be taken in after it.
    pub(crate) const fn failure(&self) -> Option<&StreamError> {
        self.failure.as_ref()
    }

    /// Whether that is among what went out. Else it is left to be told in words of ours.
    pub(crate) const fn is_failure_told(&self) -> bool {
        self.is_failure_told
    }

    /// Takes a chunk in; whole events that the client should see are added to `out`, also before an error.
    pub(crate) fn take_in(
        &mut self,
        chunk: &Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<Scanned, ScanError> {
        let Self {
            splitter,
            meter,
            unfinished,
            failure,
            is_failure_told,
            rewriter,
        } = self;
        if let Some(rewriter) = rewriter {
            let reading = Reading {
                splitter,
                meter,
                failure,
                is_failure_told,
                rewriter,
            };
            return reading.take_in(chunk, out);
        }
        let mut scanned = Scanned::default();
        let mut stop = None;
        // `kept` to `seen`: bytes of whole events that are to be passed on in one piece.
        let (mut kept, mut seen) = (0, 0);
        let fed = splitter.feed(chunk, |event| {
            if stop.is_some() {
                return;
            }
            let kind = meter.observe(&event);
            scanned.meaningful |= kind != EventKind::KeepAlive;
            match kind {
                EventKind::UsageOnly => {
                    unfinished_out(unfinished, out, kept < seen);
                    push(out, chunk.slice(kept..seen));
                    unfinished.clear();
                    kept = event.end;
                }
                EventKind::Error(error) => {
                    *failure = Some(error);
                    scanned.committing = true;
                    stop = Some(Stop::Failed);
                    *is_failure_told = event.foreign.is_none();
                    if !*is_failure_told {
                        return;
                    }
                }
                EventKind::Garbage => {
                    stop = Some(Stop::Garbage);
                    return;
                }
                EventKind::Content | EventKind::End => scanned.committing = true,
                EventKind::Preamble | EventKind::KeepAlive => {}
            }
            seen = event.end;
        });
        // Blank lines between events are passed on, too.
        let passed = match (&fed, stop) {
            (Ok(whole), None) => *whole,
            _ => seen,
        };
        if kept < passed {
            unfinished_out(unfinished, out, true);
            push(out, chunk.slice(kept..passed));
        }
        let whole = fed?;
        match stop {
            Some(Stop::Garbage) => return Err(ScanError::Garbage),
            None if whole < chunk.len() => unfinished.push(chunk.slice(whole..)),
            Some(Stop::Failed) | None => {}
        }
        Ok(scanned)
    }

    /// Takes the end of the stream in: an event that lacks only its blank line counts. It goes out if it
    /// makes the answer whole; an error is left to be told in words of ours.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<Scanned, ScanError> {
        let Self {
            splitter,
            meter,
            unfinished,
            failure,
            is_failure_told,
            rewriter,
        } = self;
        if let Some(rewriter) = rewriter {
            let reading = Reading {
                splitter,
                meter,
                failure,
                is_failure_told,
                rewriter,
            };
            return reading.finish(out);
        }
        let mut scanned = Scanned::default();
        let mut passes = false;
        let finished = splitter.finish(|event| match meter.observe(&event) {
            EventKind::Error(error) => {
                *failure = Some(error);
                scanned.committing = true;
            }
            EventKind::Content | EventKind::End => {
                passes = true;
                scanned.committing = true;
            }
            EventKind::UsageOnly
            | EventKind::Preamble
            | EventKind::KeepAlive
            // The beginning of an event that was cut off.
            | EventKind::Garbage => {}
        });
        if finished.is_ok() && passes && meter.is_complete() {
            out.extend(unfinished.drain(..));
        }
        Ok(scanned)
    }

    /// Whether the answer has come to its end by its own words, and can be told to the end.
    pub(crate) fn is_whole(&self) -> bool {
        let is_malformed = self.rewriter.as_ref().is_some_and(Rewriter::is_malformed);
        self.meter.is_complete() && !is_malformed
    }

    /// Whether it has said all that is told in the end, so that nothing more is expected.
    pub(crate) fn has_said_all(&self) -> bool {
        self.is_whole() && self.meter.usage().is_some()
    }

    /// The answer is whole, whether or not the provider has ended the stream in its own words.
    pub(crate) fn complete(&mut self, out: &mut VecDeque<Bytes>) {
        if let Some(rewriter) = &mut self.rewriter {
            rewritten::complete(rewriter, out);
        }
    }

    /// Ends the stream with an error of the gateway's own, for a client that asked at `asked`.
    pub(crate) fn tell(&mut self, asked: Endpoint, error: &OwnError, out: &mut VecDeque<Bytes>) {
        if let Some(rewriter) = &mut self.rewriter {
            rewritten::fail(rewriter, error, out);
        } else {
            let number = self.meter.next_sequence_number();
            out.push_back(stream_error_event(asked, error, number));
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

#[cfg(test)]
mod tests;
