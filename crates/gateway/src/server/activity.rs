//! What a client's connection is doing, and when it must have gone on.
//!
//! Four clocks end a connection that does nothing: for the head of a request, for the next request, for a
//! client that does not take its answer, and for one that was asked to leave. While a request is served
//! only the third runs: how long an answer may take is for others to say.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Timeouts;
use crate::limits;

/// No instant.
const NEVER: u64 = u64::MAX;

/// What happens on one connection. The parts that note it run on one thread, one after the other; another
/// reads it, to find the connection that has been idle for longest.
#[derive(Debug)]
pub(super) struct Activity {
    /// The instant that all others are counted from, in milliseconds; common to all connections.
    base: Instant,
    requests: AtomicUsize,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    stalled_since: AtomicU64,
    has_served: AtomicBool,
    is_multiplexed: AtomicBool,
    may_half_close: AtomicBool,
    has_unread_body: AtomicBool,
    is_leaving: AtomicBool,
    leave: Notify,
    /// The socket, once HTTP is done with it.
    returned: Mutex<Option<TcpStream>>,
}

/// Which clock ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// No request came.
    Idle,
    /// A request's head began and did not end.
    Head,
    /// The client took too little of what was written to it.
    Stalled,
}

/// The clocks of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    /// For the head of a request.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For a client that takes nothing.
    pub stall: Duration,
}

/// How long a connection has been idle. Those that never served a request are the less wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Idleness {
    has_served: bool,
    since: u64,
}

impl From<&Timeouts> for Clocks {
    fn from(timeouts: &Timeouts) -> Self {
        Self {
            head: timeouts.client_head,
            idle: timeouts.client_idle,
            stall: timeouts.idle,
        }
    }
}

impl Activity {
    /// A connection that has just begun. Its first request is due.
    pub(super) fn new(base: Instant) -> Self {
        let now = millis(base.elapsed());
        Self {
            base,
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(now),
            head_since: AtomicU64::new(now),
            stalled_since: AtomicU64::new(NEVER),
            has_served: AtomicBool::new(false),
            is_multiplexed: AtomicBool::new(false),
            may_half_close: AtomicBool::new(false),
            has_unread_body: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            leave: Notify::new(),
            returned: Mutex::new(None),
        }
    }

    fn now(&self) -> u64 {
        millis(self.base.elapsed())
    }

    /// Bytes arrived.
    pub(super) fn note_read(&self) {
        let between = self.requests.load(Ordering::Relaxed) == 0;
        if between && self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The client took `bytes` of the `offered` ones.
    pub(super) fn note_written(&self, bytes: usize, offered: usize) {
        let now = self.now();
        self.idle_since.store(now, Ordering::Relaxed);
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        if stalled == NEVER {
            return;
        }
        let credit = 1000 * bytes as u64 / u64::from(limits::ANSWER_BYTES_PER_SECOND);
        let stalled = if bytes == offered {
            NEVER
        } else {
            // What it took is worth the time in which a client must take as much.
            stalled.saturating_add(credit).min(now)
        };
        self.stalled_since.store(stalled, Ordering::Relaxed);
    }

    /// The client takes nothing now.
    pub(super) fn note_blocked(&self) {
        if self.stalled_since.load(Ordering::Relaxed) == NEVER {
            self.stalled_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// A request's head is here.
    pub(super) fn begin_request(&self, is_multiplexed: bool, closes: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NEVER, Ordering::Relaxed);
        self.has_served.store(true, Ordering::Relaxed);
        self.is_multiplexed.store(is_multiplexed, Ordering::Relaxed);
        self.may_half_close.store(closes, Ordering::Relaxed);
        self.has_unread_body.store(false, Ordering::Relaxed);
    }

    /// A request's answer is written, or given up.
    pub(super) fn end_request(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// An answer was given to a request whose body may be on its way still.
    pub(super) fn note_unread_body(&self) {
        self.has_unread_body.store(true, Ordering::Relaxed);
    }

    /// Whether the client may end its side and still wait for an answer: it said that this request is its
    /// last. From any other client an end means that it has left, and its request is cancelled.
    pub(super) fn may_half_close(&self) -> bool {
        self.may_half_close.load(Ordering::Relaxed)
    }

    /// How long it has been idle; `None` while a request is served or it leaves already.
    pub(super) fn idleness(&self) -> Option<Idleness> {
        let busy = self.requests.load(Ordering::Relaxed) > 0;
        (!busy && !self.is_leaving.load(Ordering::Relaxed)).then(|| Idleness {
            has_served: self.has_served.load(Ordering::Relaxed),
            since: self.idle_since.load(Ordering::Relaxed),
        })
    }

    /// Asks it to leave, to make room for another.
    pub(super) fn ask_to_leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// Whether it leaves, as it was asked to: not if a request has come meanwhile.
    pub(super) fn leaves(&self) -> bool {
        let leaves = self.requests.load(Ordering::Relaxed) == 0;
        self.is_leaving.store(leaves, Ordering::Relaxed);
        leaves
    }

    /// Whether it was asked to leave.
    #[cfg(test)]
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Ends when it is asked to leave.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Keeps the socket for [`Activity::take_back`] if what its client still sends must be read.
    pub(super) fn give_back(&self, stream: TcpStream) {
        if self.has_unread_body.load(Ordering::Relaxed) {
            *self.returned.lock() = Some(stream);
        }
    }

    /// The socket, if an answer may be lost unless what its client still sends is read.
    pub(super) fn take_back(&self) -> Option<TcpStream> {
        self.returned.lock().take()
    }

    /// Until when the connection must have gone on; `None` while that is for others to say.
    pub(super) fn deadline(&self, clocks: &Clocks) -> Option<(Instant, Expiry)> {
        let at = |since: u64, time: Duration| self.base + Duration::from_millis(since) + time;
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        if stalled != NEVER {
            return Some((at(stalled, clocks.stall), Expiry::Stalled));
        }
        if self.requests.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let head = self.head_since.load(Ordering::Relaxed);
        // Over HTTP/2 other frames come between requests, too.
        if head != NEVER && !self.is_multiplexed.load(Ordering::Relaxed) {
            return Some((at(head, clocks.head), Expiry::Head));
        }
        let idle = self.idle_since.load(Ordering::Relaxed);
        Some((at(idle, clocks.idle), Expiry::Idle))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CLOCKS: Clocks = Clocks {
        head: Duration::from_secs(10),
        idle: Duration::from_mins(1),
        stall: Duration::from_secs(30),
    };

    fn connection() -> Activity {
        Activity::new(Instant::now())
    }

    /// Which clock runs, and how long it has still to go.
    fn runs(activity: &Activity) -> Option<(u64, Expiry)> {
        let (at, expiry) = activity.deadline(&CLOCKS)?;
        Some((at.duration_since(Instant::now()).as_secs(), expiry))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_is_due_from_the_start_and_the_next_from_its_first_byte() {
        let activity = connection();
        assert_eq!(runs(&activity), Some((10, Expiry::Head)));
        activity.begin_request(false, false);
        assert_eq!(
            runs(&activity),
            None,
            "how long it takes is for others to say"
        );
        activity.end_request();
        tokio::time::advance(20 * SECOND).await;
        assert_eq!(runs(&activity), Some((40, Expiry::Idle)));
        activity.note_read();
        tokio::time::advance(SECOND).await;
        activity.note_read();
        assert_eq!(runs(&activity), Some((9, Expiry::Head)));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_between_requests_are_no_head_and_keep_nothing_open() {
        let activity = connection();
        activity.begin_request(true, false);
        activity.end_request();
        tokio::time::advance(20 * SECOND).await;
        activity.note_read();
        assert_eq!(runs(&activity), Some((40, Expiry::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_an_answer_slowly_has_time_for_what_it_takes() {
        let activity = connection();
        activity.begin_request(false, false);
        activity.note_blocked();
        tokio::time::advance(20 * SECOND).await;
        activity.note_blocked();
        assert_eq!(runs(&activity), Some((10, Expiry::Stalled)));
        let five_seconds = 5 * limits::ANSWER_BYTES_PER_SECOND as usize;
        activity.note_written(five_seconds, 1 << 20);
        assert_eq!(runs(&activity), Some((15, Expiry::Stalled)));
        // As fast as it may be, it earns no more than the whole time.
        activity.note_written(1 << 19, 1 << 20);
        assert_eq!(runs(&activity), Some((30, Expiry::Stalled)));
        activity.note_written(1 << 10, 1 << 10);
        assert_eq!(runs(&activity), None, "it took all there was");
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asked_for_anything_is_less_wanted_than_who_has_been_idle_for_longer() {
        let base = Instant::now();
        let (asked, silent) = (Activity::new(base), Activity::new(base));
        asked.begin_request(false, false);
        assert_eq!(asked.idleness(), None);
        asked.end_request();
        tokio::time::advance(SECOND).await;
        let newer = Activity::new(base);
        assert!(silent.idleness() < newer.idleness());
        assert!(newer.idleness() < asked.idleness());
        asked.ask_to_leave();
        assert_eq!(asked.idleness(), None, "it is not asked twice");
    }
}
