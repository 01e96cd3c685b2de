//! The clocks of an answer under way.
//!
//! A provider that sends keep-alives and nothing else is as dead as one that sends nothing, only later: so
//! there is one clock for any byte, and one for whatever says something about the answer.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::limits;

/// When an answer has taken too long. Re-armed only when it goes off, so that a chunk costs no timer
/// operation.
#[derive(Debug)]
pub(super) struct Clocks {
    sleep: Pin<Box<Sleep>>,
    idle: Duration,
    last: Instant,
    /// When something must have been said about the answer.
    meaning_due: Instant,
    end: Instant,
}

/// A clock that has run out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expired {
    /// A stable code.
    pub code: &'static str,
    /// What happened, for people.
    pub reason: String,
}

impl Clocks {
    /// Starts them: `idle` is the longest time between two chunks, `first_meaning_due` is when the first
    /// thing must have been said, unless it has been, `end` when the answer must have ended.
    pub(super) fn new(idle: Duration, first_meaning_due: Option<Instant>, end: Instant) -> Self {
        let last = Instant::now();
        let meaning_due = first_meaning_due.unwrap_or_else(|| last + without_meaning(idle));
        let due = end.min(last + idle).min(meaning_due);
        Self {
            sleep: Box::pin(tokio::time::sleep_until(due)),
            idle,
            last,
            meaning_due,
            end,
        }
    }

    /// A chunk came; `meaningful` if it said something about the answer.
    pub(super) fn chunk(&mut self, now: Instant, meaningful: bool) {
        self.last = now;
        if meaningful {
            self.meaning_due = now + without_meaning(self.idle);
        }
    }

    /// A client that reads slowly is no reason to call the upstream stalled.
    pub(super) fn written(&mut self) {
        let now = Instant::now();
        let stood_still = now - self.last;
        self.last = now;
        self.meaning_due += stood_still;
    }

    /// The answer is whole: its upstream has little time left to say that this was all.
    pub(super) fn whole(&mut self, now: Instant) {
        let due = now + limits::END_TO_CLOSE;
        if due < self.end {
            self.end = due;
            self.sleep.as_mut().reset(due);
        }
    }

    /// The answer has said all, though no marker tells its end: what more it says has little time to come.
    pub(super) fn said_all(&mut self, now: Instant) {
        self.meaning_due = now + limits::SAID_TO_CLOSE.min(self.idle);
        if self.meaning_due < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.meaning_due);
        }
    }

    /// What has run out, if the task is to go on without waiting for a clock: keep-alives that come faster
    /// than they can be written leave no time to wait.
    pub(super) fn expired(&self, now: Instant) -> Option<Expired> {
        let expired = |code, reason| Some(Expired { code, reason });
        if self.end <= now {
            expired("upstream_too_long", "the answer took too long".to_owned())
        } else if self.last + self.idle <= now {
            let reason = format!("nothing came for {} ms", self.idle.as_millis());
            expired("upstream_stalled", reason)
        } else if self.meaning_due <= now {
            expired(
                "upstream_stalled",
                "nothing but keep-alives came for too long".to_owned(),
            )
        } else {
            None
        }
    }

    /// What has run out; else the task is woken when something may have.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Option<Expired> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if let Some(expired) = self.expired(Instant::now()) {
                return Some(expired);
            }
            let due = self.end.min(self.last + self.idle).min(self.meaning_due);
            self.sleep.as_mut().reset(due);
        }
        None
    }
}

/// How long keep-alives alone may keep an answer going.
fn without_meaning(idle: Duration) -> Duration {
    idle.saturating_mul(limits::IDLE_TIMES_WITHOUT_MEANING)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    fn code(expired: Option<Expired>) -> Option<(&'static str, bool)> {
        expired.map(|expired| (expired.code, expired.reason.contains("keep-alives")))
    }

    #[tokio::test]
    async fn each_clock_runs_out_in_its_own_time() {
        let began = Instant::now();
        let end = began + IDLE * 100;
        let mut clocks = Clocks::new(IDLE, None, end);
        let now = Instant::now();
        assert_eq!(clocks.expired(now + IDLE / 2), None);
        assert_eq!(
            code(clocks.expired(now + IDLE * 2)),
            Some(("upstream_stalled", false))
        );
        // Keep-alives wind the first clock only.
        let mut at = now;
        for _ in 1..limits::IDLE_TIMES_WITHOUT_MEANING {
            at += IDLE;
            clocks.chunk(at, false);
            assert_eq!(clocks.expired(at), None);
        }
        at += IDLE * 2;
        clocks.chunk(at, false);
        assert_eq!(code(clocks.expired(at)), Some(("upstream_stalled", true)));
        clocks.chunk(at, true);
        assert_eq!(clocks.expired(at), None);
        clocks.chunk(end, true);
        assert_eq!(
            code(clocks.expired(end)),
            Some(("upstream_too_long", false))
        );
    }

    #[tokio::test]
    async fn what_is_due_first_holds_until_something_has_been_said() {
        let due = Instant::now() + IDLE / 2;
        let mut clocks = Clocks::new(IDLE, Some(due), due + IDLE * 100);
        clocks.chunk(due, false);
        assert_eq!(code(clocks.expired(due)), Some(("upstream_stalled", true)));
        clocks.chunk(due, true);
        assert_eq!(clocks.expired(due + IDLE / 2), None);
    }

    #[tokio::test]
    async fn an_answer_that_has_said_all_has_little_time_for_more_whatever_keeps_it_alive() {
        let now = Instant::now();
        let mut clocks = Clocks::new(IDLE, None, now + IDLE * 100);
        clocks.said_all(now);
        let later = now + limits::SAID_TO_CLOSE / 2;
        clocks.chunk(later, true);
        clocks.said_all(later);
        clocks.chunk(now + limits::SAID_TO_CLOSE, false);
        assert_eq!(clocks.expired(now + limits::SAID_TO_CLOSE), None);
        assert!(clocks.expired(later + limits::SAID_TO_CLOSE).is_some());
    }

    #[tokio::test]
    async fn after_its_end_marker_an_answer_has_little_time_left() {
        let now = Instant::now();
        let mut clocks = Clocks::new(IDLE, None, now + IDLE * 100);
        clocks.whole(now);
        assert_eq!(clocks.expired(now), None);
        assert!(clocks.expired(now + limits::END_TO_CLOSE).is_some());
    }
}
