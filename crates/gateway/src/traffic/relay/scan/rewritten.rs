//! Reading an event stream that is written anew for its client, event by event.

use std::collections::VecDeque;

use bytes::Bytes;
use keypool_wire::{EventKind, OwnError, SseSplitter, StreamError, StreamMeter};

use super::rewriter::Rewriter;
use super::{ScanError, Scanned, Stop};

/// What such a stream is read with.
pub(super) struct Reading<'s> {
    pub(super) splitter: &'s mut SseSplitter,
    pub(super) meter: &'s mut StreamMeter,
    pub(super) failure: &'s mut Option<StreamError>,
    pub(super) is_failure_told: &'s mut bool,
    pub(super) rewriter: &'s mut Rewriter,
}

impl Reading<'_> {
    /// Takes a chunk in, as [`Scan::take_in`](super::Scan::take_in) does. The provider's own error is
    /// among what is written.
    pub(super) fn take_in(
        self,
        chunk: &Bytes,
        out: &mut VecDeque<Bytes>,
    ) -> Result<Scanned, ScanError> {
        let Self {
            splitter,
            meter,
            failure,
            is_failure_told,
            rewriter,
        } = self;
        let mut scanned = Scanned::default();
        let mut stop = None;
        let mut written = Vec::new();
        let fed = splitter.feed(chunk, |event| {
            if stop.is_some() {
                return;
            }
            let kind = meter.observe(&event);
            scanned.meaningful |= kind != EventKind::KeepAlive;
            match kind {
                EventKind::KeepAlive => {
                    rewriter.keep_alive(&mut written);
                    return;
                }
                EventKind::Garbage => {
                    stop = Some(Stop::Garbage);
                    return;
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
                EventKind::Content | EventKind::End => scanned.committing = true,
                EventKind::Preamble | EventKind::UsageOnly => {}
            }
            rewriter.event(event.data, &mut written);
            if stop.is_none() && rewriter.is_malformed() {
                // Not what its API sends, though it is JSON.
                stop = Some(Stop::Garbage);
            }
            // What the client's API cannot hold is no fault of the provider's: the client was told, and the rest is
            // read for its usage.
            scanned.committing |= rewriter.has_failed();
        });
        if let Some(failure) = failure.as_ref().filter(|_| *is_failure_told) {
            rewriter.failed(failure, &mut written);
        }
        push(out, written);
        fed?;
        match stop {
            Some(Stop::Garbage) => Err(ScanError::Garbage),
            Some(Stop::Failed) | None => Ok(scanned),
        }
    }

    /// Takes the end of the stream in, as [`Scan::finish`](super::Scan::finish) does.
    pub(super) fn finish(self, out: &mut VecDeque<Bytes>) -> Result<Scanned, ScanError> {
        let Self {
            splitter,
            meter,
            failure,
            rewriter,
            ..
        } = self;
        let mut scanned = Scanned::default();
        let mut written = Vec::new();
        // An event that is too long is no whole one, either.
        let _too_long = splitter.finish(|event| match meter.observe(&event) {
            EventKind::Error(error) => {
                *failure = Some(error);
                scanned.committing = true;
            }
            EventKind::Content | EventKind::End => {
                rewriter.event(event.data, &mut written);
                scanned.committing = true;
            }
            EventKind::UsageOnly => rewriter.event(event.data, &mut written),
            EventKind::Preamble | EventKind::KeepAlive | EventKind::Garbage => {}
        });
        push(out, written);
        if rewriter.is_malformed() {
            return Err(ScanError::Garbage);
        }
        Ok(scanned)
    }
}

/// Ends the client's stream, if the provider's own words have not done so.
pub(super) fn complete(rewriter: &mut Rewriter, out: &mut VecDeque<Bytes>) {
    let mut written = Vec::new();
    rewriter.complete(&mut written);
    push(out, written);
}

/// Ends the client's stream with an error, unless it has ended before.
pub(super) fn fail(rewriter: &mut Rewriter, error: &OwnError, out: &mut VecDeque<Bytes>) {
    let mut written = Vec::new();
    rewriter.fail(error, &mut written);
    push(out, written);
}

fn push(out: &mut VecDeque<Bytes>, written: Vec<u8>) {
    super::push(out, written.into());
}
