//! Streams: events are the same however the bytes are cut into chunks, and as the format's definition
//! has them; what is made of them keeps its promises at every endpoint.

use keypool_wire::limits::STATE_IDS_MAX;
use keypool_wire::{
    Endpoint, EventKind, SseError, SseEvent, SseSplitter, StreamEnd, StreamMeter, UsageSource,
    UsageTally,
};

use crate::answer::{NOW, providers};
use crate::errors::{assert_excerpt, assert_sound};
use crate::secret::plant;

/// Longest input that is fed byte by byte, too.
const SINGLE_BYTES_MAX: usize = 4096;

/// A bound low enough to be met.
const EVENT_BYTES_MAX: usize = 48;

/// Cuts the bytes into events in several ways, and meters them.
pub fn check(data: &[u8]) {
    let Some(planted) = plant(data) else {
        return;
    };
    let data = &*planted;
    let Ok(whole) = split(&mut SseSplitter::new(), [data]) else {
        // Beyond the bound of real streams; the low bound below is met often enough.
        return;
    };
    assert_eq!(whole.events, naive(data), "the format's definition");
    for chunks in chunkings(data) {
        let cut = split(&mut SseSplitter::new(), chunks.iter().copied());
        assert_eq!(cut.as_ref(), Ok(&whole));
        assert_bound(&chunks, &whole);
    }
    for endpoint in Endpoint::ALL
        .into_iter()
        .filter(|endpoint| endpoint.streams())
    {
        for usage_injected in [false, true] {
            meter(endpoint, usage_injected, data);
        }
    }
}

/// An event on its own: name, data, whether it had none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    name: Vec<u8>,
    data: Vec<u8>,
    is_comment_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Split {
    events: Vec<Event>,
    /// How many of them were there before the stream ended.
    ended_events: usize,
    ends_inside_event: bool,
}

fn split<'c>(
    splitter: &mut SseSplitter,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Split, SseError> {
    let mut events = Vec::new();
    let mut take = |event: SseEvent<'_>| {
        events.push(Event {
            name: event.name.to_vec(),
            data: event.data.to_vec(),
            is_comment_only: event.is_comment_only,
        });
    };
    for chunk in chunks {
        let mut last_end = 0;
        let done = splitter.feed(chunk, |event| {
            assert!(last_end <= event.end && event.end <= chunk.len());
            last_end = event.end;
            take(event);
        })?;
        assert!(last_end <= done && done <= chunk.len());
    }
    let ends_inside_event = splitter.is_inside_event();
    let mut at_end = 0;
    splitter.finish(|event| {
        at_end += 1;
        take(event);
    })?;
    assert!(at_end <= 1 && (at_end == 0 || ends_inside_event));
    Ok(Split {
        ended_events: events.len() - at_end,
        events,
        ends_inside_event,
    })
}

/// The bytes in chunks of one byte, and in chunks of random lengths.
fn chunkings(data: &[u8]) -> Vec<Vec<&[u8]>> {
    let seed = data.iter().fold(data.len() as u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = fastrand::Rng::with_seed(seed);
    let mut all = Vec::new();
    for longest in [3, 17, 200] {
        let mut rest = data;
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(random.usize(..=longest).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        all.push(chunks);
    }
    if data.len() <= SINGLE_BYTES_MAX {
        all.push(data.chunks(1).collect());
    }
    all
}

/// With a low bound the events come as far as they keep it; what exceeds it ends the stream.
fn assert_bound(chunks: &[&[u8]], whole: &Split) {
    let mut splitter = SseSplitter::with_event_bytes_max(EVENT_BYTES_MAX);
    let mut events = 0;
    let mut failed = false;
    for chunk in chunks {
        let fed = splitter.feed(chunk, |event| {
            assert!(event.name.len() + event.data.len() <= EVENT_BYTES_MAX);
            events += 1;
        });
        if fed.is_err() {
            failed = true;
            break;
        }
    }
    assert!(events <= whole.ended_events);
    assert!(failed || events == whole.ended_events);
}

/// The format's definition, written down naively: whole text, line by line.
fn naive(stream: &[u8]) -> Vec<Event> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut events = Vec::new();
    let mut event: Option<(Vec<u8>, Option<Vec<u8>>)> = None;
    for line in lines(stream) {
        if line.is_empty() {
            events.extend(event.take());
            continue;
        }
        let (name, data) = event.get_or_insert_default();
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (line.get(..colon), line.get(colon + 1..)),
            None => (Some(line), None),
        };
        let value = value.unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            Some(b"event") => *name = value.to_vec(),
            Some(b"data") => match data {
                None => *data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    events.extend(event);
    let owned = |(name, data): (Vec<u8>, Option<Vec<u8>>)| Event {
        name,
        is_comment_only: data.is_none(),
        data: data.unwrap_or_default(),
    };
    events.into_iter().map(owned).collect()
}

/// Lines that end with LF, CR or both.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let (line, after) = rest.split_at(end);
        lines.push(line);
        rest = after
            .strip_prefix(b"\r\n")
            .or_else(|| after.get(1..))
            .unwrap_or_default();
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn meter(endpoint: Endpoint, usage_injected: bool, stream: &[u8]) {
    let mut meter = StreamMeter::new(endpoint, usage_injected);
    let mut splitter = SseSplitter::new();
    let mut output_so_far = 0;
    let mut see = |event: SseEvent<'_>| {
        let had_content = meter.has_content();
        let kind = meter.observe(&event);
        assert!(!had_content || meter.has_content());
        assert!(meter.output_tokens_so_far() >= output_so_far);
        output_so_far = meter.output_tokens_so_far();
        match kind {
            EventKind::Error(error) => {
                assert_eq!(meter.end(), Some(StreamEnd::Failed));
                assert!((400..600).contains(&error.status));
                assert_excerpt(&error.message);
                assert_excerpt(&error.code);
                for provider in providers() {
                    assert_sound(&error.judge(provider, NOW), provider, NOW);
                }
            }
            EventKind::End => assert_eq!(meter.end(), Some(StreamEnd::Complete)),
            EventKind::Content => assert!(meter.has_content()),
            EventKind::UsageOnly => assert!(usage_injected),
            EventKind::Preamble | EventKind::KeepAlive | EventKind::Garbage => {}
        }
        assert!(!meter.is_complete() || meter.end() != Some(StreamEnd::Failed));
    };
    let fed = splitter.feed(stream, &mut see).map(|_| ());
    let Ok(()) = fed.and_then(|()| splitter.finish(&mut see)) else {
        return;
    };
    let tally = meter.tally(7);
    match meter.usage() {
        Some(measured) if meter.is_complete() => {
            assert_eq!(tally, UsageTally::measured(measured));
        }
        Some(measured) => {
            assert_eq!(tally.input, UsageSource::Measured);
            assert!(tally.usage.output_tokens >= measured.output_tokens);
        }
        None => assert!([tally.input, tally.output].contains(&UsageSource::Estimated)),
    }
    assert!(meter.output_tokens_so_far() <= stream.len() as u64);
    assert!(meter.made_state().len() <= STATE_IDS_MAX);
    _ = tally.usage.total_input_tokens();
}
