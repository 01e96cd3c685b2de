//! A client's body, read whole: under a bound, two clocks, and the memory that all bodies share.
//!
//! A body is kept for replay until an answer has begun, so what clients send is what the gateway holds in
//! memory, with what is sent in its place where it has to be written anew. Hundreds of clients that send large bodies slowly, or one that sends a byte now and then, must
//! not be able to take all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use keypool_wire::OwnError;
use tokio::time::{Instant, timeout_at};

use crate::answer::Retry;
use crate::config::Bounds;
use crate::limits;

/// Bytes that the bodies of all requests hold together.
#[derive(Debug, Default)]
pub(crate) struct BodyMemory {
    held: AtomicUsize,
    refused: AtomicU64,
}

/// One request's part of the memory; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct BodyShare {
    memory: Arc<BodyMemory>,
    bytes: usize,
}

/// The memory is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Full;

/// Why a body is not read, and what its client should do.
pub(super) type Refusal = (OwnError, Retry);

impl BodyMemory {
    /// Bytes that are held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Requests that found it used up so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A share with nothing in it yet.
    pub(crate) fn share(self: &Arc<Self>) -> BodyShare {
        BodyShare {
            memory: self.clone(),
            bytes: 0,
        }
    }

    /// A share for bytes that are sent in the place of a client's own, which are kept beside them. A request
    /// that is alone always has room for them.
    pub(super) fn share_beside(
        self: &Arc<Self>,
        bytes: usize,
        bounds: &Bounds,
    ) -> Result<BodyShare, Refusal> {
        let alone = room_for_one(bounds).saturating_add(bytes);
        let mut share = self.share();
        if bytes > 0 {
            let bound = bounds.body_bytes_in_flight.max(alone);
            share.grow(bytes, bound).map_err(memory_full)?;
        }
        Ok(share)
    }
}

impl BodyShare {
    /// Takes `bytes` more, if all shares together stay within `bound`.
    fn grow(&mut self, bytes: usize, bound: usize) -> Result<(), Full> {
        let before = self.memory.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > bound {
            self.memory.held.fetch_sub(bytes, Ordering::Relaxed);
            self.memory.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Full);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a body to its end. What it holds in memory is charged to `share`; `time` bounds the whole, and
/// [`limits::BODY_PROGRESS_BYTES`] must come each [`limits::BODY_PROGRESS_TIME`].
pub(super) async fn read_body<B>(
    mut body: B,
    bounds: &Bounds,
    time: Duration,
    share: &mut BodyShare,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let most = bounds.body_bytes;
    let together = bounds.body_bytes_in_flight.max(room_for_one(bounds));
    let announced = body.size_hint().lower();
    if announced > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large(most));
    }
    share
        .grow(limits::REQUEST_OVERHEAD_BYTES, together)
        .map_err(memory_full)?;
    let mut gathered = Gathered::new(usize::try_from(announced).unwrap_or(most));
    let begun = Instant::now();
    let end = begun + time;
    let mut next_look = begun + limits::BODY_PROGRESS_TIME;
    let mut since_look = 0;
    loop {
        let frame = match timeout_at(next_look.min(end), body.frame()).await {
            Err(_) if Instant::now() >= end => return Err(timed_out(time)),
            Err(_) if since_look < limits::BODY_PROGRESS_BYTES => return Err(too_slow()),
            Err(_) => {
                next_look += limits::BODY_PROGRESS_TIME;
                since_look = 0;
                continue;
            }
            Ok(None) => return Ok(gathered.into_bytes()),
            Ok(Some(Err(error))) => return Err(unreadable(&error)),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers are of no interest.
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        if chunk.len() > most.saturating_sub(gathered.len()) {
            return Err(too_large(most));
        }
        share.grow(chunk.len(), together).map_err(memory_full)?;
        since_look += chunk.len();
        gathered.push(chunk);
    }
}

/// What a request with a body of the largest size takes of the memory.
const fn room_for_one(bounds: &Bounds) -> usize {
    bounds
        .body_bytes
        .saturating_add(limits::REQUEST_OVERHEAD_BYTES)
}

/// The chunks of a body, copied into one buffer unless there is but one of them. Kept as they are, chunks
/// of a byte each would take thirty times their size.
struct Gathered {
    first: Bytes,
    rest: BytesMut,
    announced: usize,
}

impl Gathered {
    fn new(announced: usize) -> Self {
        Self {
            first: Bytes::new(),
            rest: BytesMut::new(),
            announced,
        }
    }

    /// Bytes so far.
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, chunk: Bytes) {
        if self.len() == 0 {
            self.first = chunk;
            return;
        }
        let first = std::mem::take(&mut self.first);
        let whole = self.rest.len() + first.len() + chunk.len();
        if self.rest.capacity() < whole {
            // Twice as much each time, but no more than was announced; a client may announce what it
            // likes, so nothing is taken for that alone.
            let room = whole.saturating_mul(2).min(self.announced.max(whole));
            self.rest.reserve(room - self.rest.len());
        }
        self.rest.extend_from_slice(&first);
        self.rest.extend_from_slice(&chunk);
    }

    fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            self.first
        } else {
            self.rest.freeze()
        }
    }
}

fn too_large(most: usize) -> Refusal {
    let message = format!("the request's body is larger than the {most} bytes allowed");
    refusal(413, "body_too_large", message, Retry::Never)
}

fn timed_out(time: Duration) -> Refusal {
    let message = format!(
        "the request's body did not arrive within {} s",
        time.as_secs_f64()
    );
    refusal(408, "body_timeout", message, Retry::Never)
}

fn too_slow() -> Refusal {
    let message = format!(
        "the request's body comes too slowly: less than {} bytes in {} s",
        limits::BODY_PROGRESS_BYTES,
        limits::BODY_PROGRESS_TIME.as_secs()
    );
    refusal(408, "body_too_slow", message, Retry::Never)
}

fn unreadable(error: &impl std::fmt::Display) -> Refusal {
    let message = format!("the request's body could not be read: {error}");
    refusal(400, "bad_body", message, Retry::Never)
}

fn memory_full(_: Full) -> Refusal {
    let message = "keypool holds as many request bodies as it may (Bounds.bodyBytesInFlight); try \
                   again in a moment";
    let retry = Retry::After(limits::REFUSED_RETRY_AFTER);
    refusal(503, "memory_full", message.to_owned(), retry)
}

fn refusal(status: u16, code: &'static str, message: String, retry: Retry) -> Refusal {
    let error = OwnError {
        status,
        code,
        message,
    };
    (error, retry)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn bounds(body_bytes: usize, body_bytes_in_flight: usize) -> Bounds {
        Bounds {
            body_bytes,
            body_bytes_in_flight,
            ..Bounds::default()
        }
    }

    /// `count` chunks of `bytes` bytes, each `pause` after the one before.
    fn trickle(
        count: usize,
        bytes: usize,
        pause: Duration,
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let chunks = futures_util::stream::unfold(0, move |number| async move {
            if number == count {
                return None;
            }
            tokio::time::sleep(pause).await;
            let chunk = Bytes::from(vec![b'x'; bytes]);
            Some((Ok(Frame::data(chunk)), number + 1))
        });
        StreamBody::new(Box::pin(chunks))
    }

    async fn read(
        body: impl Body<Data = Bytes, Error = Infallible> + Unpin,
        time: Duration,
    ) -> Result<usize, (u16, &'static str)> {
        let mut share = Arc::new(BodyMemory::default()).share();
        let read = read_body(body, &bounds(1 << 20, 1 << 20), time, &mut share).await;
        read.map(|bytes| bytes.len())
            .map_err(|(error, _)| (error.status, error.code))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up_at_the_first_look() {
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let trickled = read(trickle(100, 100, second), 60 * second).await;
        assert_eq!(trickled, Err((408, "body_too_slow")));
        assert_eq!(begun.elapsed(), limits::BODY_PROGRESS_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_that_goes_on_coming_is_read() {
        let second = Duration::from_secs(1);
        assert_eq!(
            read(trickle(50, 300, second), 60 * second).await,
            Ok(50 * 300)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn however_it_comes_it_must_be_there_in_time() {
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let late = read(trickle(100, 10_000, second), 7 * second).await;
        assert_eq!(late, Err((408, "body_timeout")));
        assert_eq!(begun.elapsed(), 7 * second);
    }

    #[tokio::test]
    async fn a_body_is_the_same_bytes_in_however_many_chunks_it_comes() {
        let memory = Arc::new(BodyMemory::default());
        let bounds = bounds(1000, 1 << 20);
        for chunks in [0, 1, 2, 3, 1000] {
            let expected: Vec<u8> = (0..=u8::MAX).cycle().take(chunks).collect();
            let one_byte = |byte: &u8| Ok::<_, Infallible>(Frame::data(vec![*byte].into()));
            let frames: Vec<_> = expected.iter().map(one_byte).collect();
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let mut share = memory.share();
            let read = read_body(body, &bounds, Duration::from_secs(1), &mut share).await;
            assert_eq!(read.unwrap(), expected);
            assert_eq!(memory.held(), limits::REQUEST_OVERHEAD_BYTES + chunks);
            drop(share);
            assert_eq!(memory.held(), 0);
        }
    }

    #[tokio::test]
    async fn bodies_share_one_memory_and_what_finds_it_full_is_told_to_come_back() {
        const KIB: usize = 1024;
        let memory = Arc::new(BodyMemory::default());
        let bounds = bounds(100 * KIB, 128 * KIB);
        let read = async |share: &mut BodyShare| {
            let body = trickle(1, 90 * KIB, Duration::ZERO);
            read_body(body, &bounds, Duration::from_secs(1), share).await
        };
        let (mut first, mut second) = (memory.share(), memory.share());
        assert!(read(&mut first).await.is_ok());
        let (error, retry) = read(&mut second).await.unwrap_err();
        assert_eq!((error.status, error.code), (503, "memory_full"));
        assert_eq!(retry, Retry::After(limits::REFUSED_RETRY_AFTER));
        assert_eq!(memory.refused(), 1);
        drop((first, second));
        assert_eq!(memory.held(), 0, "what was refused holds nothing either");
        assert!(read(&mut memory.share()).await.is_ok());
    }
}
