//! A circuit breaker: when most requests fail whatever key they are sent with, the provider is left alone
//! for a while.
//!
//! What it prevents: every request of an outage that is tried on every key, and good keys that are
//! punished for it. It is the requests that are counted, not the attempts: one that another key served is
//! a success, so bad keys never open it as long as one is sound.
//!
//! | state | requests | becomes |
//! |---|---|---|
//! | closed | go through | open, when of at least 10 within 10 s half or more were served by no key |
//! | open | are refused, so that fallbacks are used | half-open after 5 s, then 10, 20, up to 60 s |
//! | half-open | one at a time goes through | closed when it is served, open again when it is not |
//!
//! Forced open by an operator, it stays so until it is reset.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::{
    BREAKER_OPEN_FIRST, BREAKER_OPEN_MAX, BREAKER_PROBE_PATIENCE, BREAKER_SAMPLES_MIN,
    BREAKER_WINDOW_SECONDS,
};
use crate::time::Timestamp;

/// Whether requests go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They do.
    Closed,
    /// One at a time does, to see whether the trouble is over.
    HalfOpen,
    /// They do not.
    Open,
}

impl BreakerState {
    /// The name that the API shows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl std::fmt::Display for BreakerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// Without an end when an operator opened it.
    Open {
        until: Option<Timestamp>,
    },
    HalfOpen {
        since: Timestamp,
        probing_since: Timestamp,
    },
}

/// Requests of one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    served: u32,
    failed: u32,
}

/// The window, for instants counted in whole seconds.
const WINDOW: u64 = BREAKER_WINDOW_SECONDS as u64;

#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: State,
    window: [Second; BREAKER_WINDOW_SECONDS],
    opened_in_a_row: u32,
    /// How often it has opened.
    opened: u64,
}

/// Whether a request may go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Free,
    /// It is the one that tries.
    Trial,
    /// Refused; with the instant at which the next may try, unless an operator decides that.
    Barred(Option<Timestamp>),
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            window: [Second::default(); BREAKER_WINDOW_SECONDS],
            opened_in_a_row: 0,
            opened: 0,
        }
    }
}

impl Breaker {
    pub(crate) const fn state(&self, now: Timestamp) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Open { until: Some(until) }
                if until.as_unix_micros() <= now.as_unix_micros() =>
            {
                BreakerState::HalfOpen
            }
            State::Open { .. } => BreakerState::Open,
        }
    }

    /// When an open breaker lets a request try.
    pub(crate) const fn open_until(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until } => until,
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    pub(crate) const fn is_forced(&self) -> bool {
        matches!(self.state, State::Open { until: None })
    }

    pub(crate) const fn times_opened(&self) -> u64 {
        self.opened
    }

    /// Requests within the window: all, and those that no key served.
    pub(crate) fn counts(&self, now: Timestamp) -> (u64, u64) {
        let this = second_of(now);
        let recent = self
            .window
            .iter()
            .filter(|second| second.number + WINDOW > this);
        recent.fold((0, 0), |(all, failed), second| {
            let served = u64::from(second.served);
            let unserved = u64::from(second.failed);
            (all + served + unserved, failed + unserved)
        })
    }

    /// Whether it is closed and no request has failed of late, so that it can be forgotten.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Closed) && self.counts(now).1 == 0
    }

    /// What a request that comes now would meet.
    pub(crate) fn passage(&self, now: Timestamp) -> Passage {
        match self.state {
            State::Closed => Passage::Free,
            State::Open { until: Some(until) } if until <= now => Passage::Trial,
            State::Open { until } => Passage::Barred(until),
            State::HalfOpen { probing_since, .. } => {
                let next = probing_since + BREAKER_PROBE_PATIENCE;
                if next <= now {
                    Passage::Trial
                } else {
                    Passage::Barred(Some(next))
                }
            }
        }
    }

    /// A request goes through as the one that tries.
    pub(crate) fn begin_trial(&mut self, now: Timestamp) {
        let since = match self.state {
            State::HalfOpen { since, .. } => since,
            State::Open { .. } | State::Closed => now,
        };
        self.state = State::HalfOpen {
            since,
            probing_since: now,
        };
    }

    /// A request whose last attempt was granted at `granted_at` ended, served or not.
    pub(crate) fn record(&mut self, now: Timestamp, granted_at: Timestamp, served: bool) {
        match self.state {
            State::Closed => {
                self.count(now, served);
                let (all, failed) = self.counts(now);
                if !served && all >= BREAKER_SAMPLES_MIN && failed * 2 >= all {
                    self.open(now);
                }
            }
            // It began before the breaker opened and tells nothing about now.
            State::Open { .. } => {}
            State::HalfOpen { since, .. } if granted_at < since => {}
            State::HalfOpen { .. } if served => self.close(),
            State::HalfOpen { .. } => self.open(now),
        }
    }

    fn count(&mut self, now: Timestamp, served: bool) {
        let number = second_of(now);
        let place = usize::try_from(number % WINDOW).unwrap_or_default();
        if let Some(second) = self.window.get_mut(place) {
            if second.number != number {
                *second = Second {
                    number,
                    ..Second::default()
                };
            }
            let count = if served {
                &mut second.served
            } else {
                &mut second.failed
            };
            *count = count.saturating_add(1);
        }
    }

    fn open(&mut self, now: Timestamp) {
        self.state = State::Open {
            until: Some(now + open_time(self.opened_in_a_row)),
        };
        self.opened_in_a_row = self.opened_in_a_row.saturating_add(1);
        self.opened = self.opened.saturating_add(1);
    }

    /// Lets all requests through and forgets what was counted.
    pub(crate) fn close(&mut self) {
        *self = Self {
            opened: self.opened,
            ..Self::default()
        };
    }

    /// Lets none through until it is closed by hand.
    pub(crate) fn force_open(&mut self) {
        if !self.is_forced() {
            self.opened = self.opened.saturating_add(1);
        }
        self.state = State::Open { until: None };
    }
}

fn open_time(opened_in_a_row: u32) -> Duration {
    BREAKER_OPEN_FIRST
        .saturating_mul(1 << opened_in_a_row.min(8))
        .min(BREAKER_OPEN_MAX)
}

const fn second_of(now: Timestamp) -> u64 {
    now.as_unix_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 100_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_secs(START + seconds)
    }

    fn record(breaker: &mut Breaker, seconds: u64, served: bool, times: u32) {
        for _ in 0..times {
            breaker.record(at(seconds), at(seconds), served);
        }
    }

    fn opened_at(seconds: u64) -> Breaker {
        let mut breaker = Breaker::default();
        record(&mut breaker, seconds, false, 10);
        breaker
    }

    #[test]
    fn few_failures_do_not_open_it_however_many_of_all_they_are() {
        let mut breaker = Breaker::default();
        record(&mut breaker, 0, false, 9);
        assert_eq!(breaker.passage(at(0)), Passage::Free);
        record(&mut breaker, 0, false, 1);
        assert_eq!(breaker.passage(at(0)), Passage::Barred(Some(at(5))));
    }

    #[test]
    fn it_opens_when_half_of_the_requests_fail() {
        let mut breaker = Breaker::default();
        record(&mut breaker, 0, true, 21);
        record(&mut breaker, 1, false, 20);
        assert_eq!(breaker.state(at(1)), BreakerState::Closed);
        record(&mut breaker, 1, false, 1);
        assert_eq!(breaker.state(at(1)), BreakerState::Open);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut breaker = Breaker::default();
        record(&mut breaker, 0, false, 9);
        record(&mut breaker, 10, false, 9);
        assert_eq!(breaker.counts(at(10)), (9, 9));
        assert_eq!(breaker.state(at(10)), BreakerState::Closed);
        assert!(breaker.is_idle(at(20)));
    }

    #[test]
    fn after_a_while_one_request_tries_and_closes_it() {
        let mut breaker = opened_at(0);
        assert_eq!(breaker.passage(at(4)), Passage::Barred(Some(at(5))));
        assert_eq!(breaker.passage(at(5)), Passage::Trial);
        breaker.begin_trial(at(5));
        assert_eq!(breaker.passage(at(6)), Passage::Barred(Some(at(10))));
        breaker.record(at(6), at(5), true);
        assert_eq!(breaker.passage(at(6)), Passage::Free);
        assert_eq!(breaker.counts(at(6)), (0, 0), "it starts anew");
    }

    #[test]
    fn a_failed_trial_opens_it_for_twice_as_long_up_to_a_minute() {
        let mut breaker = opened_at(0);
        let mut now = 5;
        for open_for in [10, 20, 40, 60, 60] {
            breaker.begin_trial(at(now));
            breaker.record(at(now), at(now), false);
            assert_eq!(breaker.open_until(), Some(at(now + open_for)));
            now += open_for;
        }
        assert_eq!(breaker.times_opened(), 6);
    }

    #[test]
    fn requests_from_before_it_opened_do_not_decide() {
        let mut breaker = opened_at(0);
        breaker.record(at(1), at(0), true);
        assert_eq!(breaker.state(at(1)), BreakerState::Open);
        breaker.begin_trial(at(5));
        breaker.record(at(5), at(0), false);
        assert_eq!(breaker.state(at(5)), BreakerState::HalfOpen);
    }

    #[test]
    fn a_trial_of_which_nothing_is_heard_lets_another_try() {
        let mut breaker = opened_at(0);
        breaker.begin_trial(at(5));
        assert_eq!(breaker.passage(at(9)), Passage::Barred(Some(at(10))));
        assert_eq!(breaker.passage(at(10)), Passage::Trial);
    }

    #[test]
    fn forced_open_it_stays_so_until_it_is_closed_by_hand() {
        let mut breaker = Breaker::default();
        breaker.force_open();
        assert_eq!(breaker.passage(at(100_000)), Passage::Barred(None));
        breaker.record(at(100_000), at(100_000), true);
        assert_eq!(breaker.state(at(100_000)), BreakerState::Open);
        breaker.close();
        assert_eq!(breaker.passage(at(100_000)), Passage::Free);
    }
}
