//! How many requests one quota may have in flight, or take a minute, while its true limit is not
//! known.
//!
//! A key that is new, or returns after trouble, would draw all waiting requests at once and be
//! refused for all of them. And some providers have no limit but on concurrency, which they tell
//! only by refusing. [`Flow`] bounds the requests in flight: by *slow start*, which doubles every
//! 250 ms until it is no bound, and after a refusal for concurrency by a *window*, which shrinks
//! to three quarters of what was in flight and grows by one request for each window of successes
//! that came up to it (additive increase, multiplicative decrease, as TCP does: Chiu and Jain
//! 1989). [`Pace`] spreads requests in time, after a provider said that traffic grows too fast.
//!
//! Worked example: a slow start from 4 allows 4 in flight, 8 after 250 ms, 16 after 500 ms. With
//! 16 in flight one is refused for concurrency: the window is 12. The refusals of others of those
//! 16 are echoes and change nothing. Twelve successes at the bound later the window is 13.

use std::time::Duration;

use crate::bounds::{
    CONCURRENCY_WINDOW_IDLE, CONCURRENCY_WINDOW_MAX, PACE_STEP, SLOW_START_DOUBLING, SLOW_START_MAX,
};
use crate::time::Timestamp;

/// Parts of a request in which a window is counted.
const PARTS: u64 = 1 << 16;

/// A bound on requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow(Bound);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Open,
    SlowStart {
        initial: u32,
        started: Option<Timestamp>,
    },
    Window {
        /// In parts of a request; at least one request.
        size: u64,
        /// When it shrank last. What was granted before knows nothing of it.
        cut: Timestamp,
        /// When it was the limit last.
        reached: Timestamp,
    },
}

impl Flow {
    /// No bound.
    pub(crate) const fn open() -> Self {
        Self(Bound::Open)
    }

    /// `initial` in flight, at least one, until [`started`](Self::started) sets the clock; from
    /// then on twice as many each 250 ms, until it is no bound.
    pub(crate) fn slow_start(initial: u32) -> Self {
        Self(Bound::SlowStart {
            initial: initial.max(1),
            started: None,
        })
    }

    /// Starts slowly again after trouble; but a bound that refusals taught holds on, since trouble says
    /// nothing of it.
    pub(crate) fn restart(&mut self, now: Timestamp, initial: u32) {
        match &mut self.0 {
            Bound::Open | Bound::SlowStart { .. } => *self = Self::slow_start(initial),
            Bound::Window { reached, .. } => *reached = now.max(*reached),
        }
    }

    /// Whether there is no bound, at this instant and later.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.window(now).is_none()
    }

    /// How many may be in flight; `None` for no bound.
    pub(crate) fn window(&self, now: Timestamp) -> Option<u32> {
        match self.0 {
            Bound::Open => None,
            Bound::SlowStart { initial, started } => {
                let doublings = started.map_or(0, |started| {
                    let runs = now.saturating_duration_since(started);
                    runs.as_micros() / SLOW_START_DOUBLING.as_micros()
                });
                doubled(initial, u32::try_from(doublings).unwrap_or(u32::MAX))
            }
            Bound::Window { size, .. } => Some(whole(size)),
        }
    }

    /// Whether one more request may go, with these in flight.
    pub(crate) fn allows(&self, now: Timestamp, in_flight: u32) -> bool {
        self.window(now).is_none_or(|window| in_flight < window)
    }

    /// When one more request may go if none in flight ends before; `now` if at once. `None`: only
    /// the end of one in flight helps.
    pub(crate) fn opens_at(&self, now: Timestamp, in_flight: u32) -> Option<Timestamp> {
        if self.allows(now, in_flight) {
            return Some(now);
        }
        let Bound::SlowStart {
            initial,
            started: Some(started),
        } = self.0
        else {
            return None;
        };
        let doublings = (1..=u32::BITS).find(|&doublings| {
            doubled(initial, doublings).is_none_or(|window| in_flight < window)
        })?;
        Some(started + SLOW_START_DOUBLING.saturating_mul(doublings))
    }

    /// A request was granted: the clock of a slow start runs from the first one.
    pub(crate) fn started(&mut self, now: Timestamp) {
        if let Bound::SlowStart { started, .. } = &mut self.0 {
            started.get_or_insert(now);
        }
    }

    /// A request succeeded; `in_flight` counts it too.
    pub(crate) fn succeeded(&mut self, now: Timestamp, in_flight: u32) {
        match &mut self.0 {
            Bound::Open => {}
            Bound::SlowStart { .. } => {
                if self.is_open(now) {
                    self.0 = Bound::Open;
                }
            }
            Bound::Window { size, reached, .. } => {
                if in_flight >= whole(*size) {
                    *reached = now.max(*reached);
                    *size += PARTS * PARTS / *size;
                    if whole(*size) >= CONCURRENCY_WINDOW_MAX {
                        self.0 = Bound::Open;
                    }
                } else if *reached + CONCURRENCY_WINDOW_IDLE <= now {
                    self.0 = Bound::Open;
                }
            }
        }
    }

    /// A request that was granted at `granted_at` was refused because too many were in flight;
    /// `in_flight` counts it too. Whether the bound shrank.
    pub(crate) fn refused_for_concurrency(
        &mut self,
        now: Timestamp,
        in_flight: u32,
        granted_at: Timestamp,
    ) -> bool {
        if let Bound::Window { cut, .. } = self.0
            && granted_at <= cut
        {
            return false;
        }
        // Some in flight may be from a time with another bound.
        let window = self.window(now).unwrap_or(CONCURRENCY_WINDOW_MAX);
        let most = u64::from(in_flight.min(window));
        self.0 = Bound::Window {
            size: (most * PARTS / 4 * 3).max(PARTS),
            cut: now,
            reached: now,
        };
        true
    }
}

/// `None` once it is no bound.
fn doubled(initial: u32, doublings: u32) -> Option<u32> {
    let window = u64::from(initial) << doublings.min(u32::BITS);
    u32::try_from(window)
        .ok()
        .filter(|&window| window <= SLOW_START_MAX)
}

fn whole(size: u64) -> u32 {
    u32::try_from(size / PARTS).unwrap_or(u32::MAX)
}

/// A bound on requests a minute that rises by steps until it ends.
///
/// It starts at half of what was sent in the last minute and grows by half of that every
/// [`PACE_STEP`]; once it is more than four times the start it is over. Requests are evenly spaced,
/// but what a second allows may come at once.
///
/// Worked example: after 120 requests in a minute the pace is 60 a minute, one a second; 90 after
/// 30 s, 120 after a minute, 240 after three, and from 3½ minutes on it is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    began: Timestamp,
    /// Requests a minute at the start.
    start: u32,
    /// When the next request would be due if all were evenly spaced.
    due: Timestamp,
}

/// Steps of half the start each that stay within four times the start.
const PACE_STEPS: u32 = 6;

impl Pace {
    /// After `sent` requests in the last minute.
    pub(crate) fn new(now: Timestamp, sent: u32) -> Self {
        Self {
            began: now,
            start: (sent / 2).max(1),
            due: now,
        }
    }

    /// When it began: refusals of requests that were granted before are echoes.
    pub(crate) const fn began(&self) -> Timestamp {
        self.began
    }

    /// From when on it is no bound.
    pub(crate) fn ends_at(&self) -> Timestamp {
        self.step_start(PACE_STEPS + 1)
    }

    /// Requests a minute; `None` once it is over.
    #[cfg(test)]
    pub(crate) fn per_minute(&self, now: Timestamp) -> Option<u64> {
        let step = self.step(now)?;
        Some(self.rate(step))
    }

    /// Whether a request may go.
    pub(crate) fn allows(&self, now: Timestamp) -> bool {
        self.ready_at(now) <= now
    }

    /// A request went.
    pub(crate) fn took(&mut self, now: Timestamp) {
        if let Some(step) = self.step(now) {
            self.due = self.due.max(now) + interval(self.rate(step));
        }
    }

    /// When a request may go, if none goes before; `now` if at once.
    pub(crate) fn ready_at(&self, now: Timestamp) -> Timestamp {
        let Some(current) = self.step(now) else {
            return now;
        };
        // A step to come may allow it sooner than this one.
        (current..=PACE_STEPS)
            .map(|step| {
                let ready = early(self.due, slack(self.rate(step)));
                (step, ready.max(now).max(self.step_start(step)))
            })
            .find(|&(step, ready)| ready < self.step_start(step + 1))
            .map_or_else(|| self.ends_at(), |(_, ready)| ready)
    }

    fn step(&self, now: Timestamp) -> Option<u32> {
        let runs = now.saturating_duration_since(self.began);
        u32::try_from(runs.as_micros() / PACE_STEP.as_micros())
            .ok()
            .filter(|&step| step <= PACE_STEPS)
    }

    fn step_start(&self, step: u32) -> Timestamp {
        self.began + PACE_STEP.saturating_mul(step)
    }

    fn rate(&self, step: u32) -> u64 {
        u64::from(self.start) + u64::from(self.start) * u64::from(step) / 2
    }
}

/// Between two requests at a rate a minute.
const fn interval(per_minute: u64) -> Duration {
    Duration::from_micros(60_000_000_u64.div_ceil(per_minute))
}

/// How long before it is due a request may go: all those of a second, but for the last, at once.
fn slack(per_minute: u64) -> Duration {
    let burst = u32::try_from(per_minute / 60).unwrap_or(u32::MAX).max(1);
    interval(per_minute).saturating_mul(burst - 1)
}

fn early(at: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_unix_micros(at.as_unix_micros().saturating_sub(by))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_secs(1000) + Duration::from_millis(millis)
    }

    #[test]
    fn an_open_flow_bounds_nothing() {
        let mut flow = Flow::open();
        flow.started(at(0));
        flow.succeeded(at(1), u32::MAX);
        assert!(flow.allows(at(2), u32::MAX));
        assert_eq!(flow.opens_at(at(2), u32::MAX), Some(at(2)));
        assert!(flow.is_open(at(2)));
    }

    #[test]
    fn a_slow_start_doubles_from_its_first_request_until_it_is_no_bound() {
        let mut flow = Flow::slow_start(4);
        assert!(flow.allows(at(60_000), 3));
        assert!(!flow.allows(at(60_000), 4), "nobody has begun");
        assert_eq!(flow.opens_at(at(60_000), 4), None);
        flow.started(at(60_000));
        flow.started(at(60_100));
        assert!(!flow.allows(at(60_249), 4));
        assert_eq!(flow.opens_at(at(60_100), 4), Some(at(60_250)));
        assert_eq!(flow.opens_at(at(60_100), 8), Some(at(60_500)));
        assert_eq!(flow.window(at(60_500)), Some(16));
        assert_eq!(flow.window(at(62_500)), Some(4096));
        assert_eq!(flow.opens_at(at(60_500), u32::MAX), Some(at(62_750)));
        assert!(flow.is_open(at(62_750)));
        flow.succeeded(at(62_750), 1);
        assert_eq!(flow, Flow::open());
        assert!(Flow::slow_start(0).allows(at(0), 0), "at least one may go");
    }

    #[test]
    fn a_refusal_cuts_once_and_its_echoes_do_not() {
        let mut flow = Flow::open();
        assert!(flow.refused_for_concurrency(at(100), 16, at(90)));
        assert_eq!(flow.window(at(100)), Some(12));
        assert!(!flow.refused_for_concurrency(at(110), 15, at(95)));
        assert!(!flow.refused_for_concurrency(at(110), 14, at(100)));
        assert_eq!(flow.window(at(110)), Some(12));
        assert!(flow.refused_for_concurrency(at(300), 12, at(250)));
        assert_eq!(flow.window(at(300)), Some(9));
        assert_eq!(flow.opens_at(at(300), 9), None, "time alone does not help");
    }

    #[test]
    fn the_window_never_falls_below_one_and_a_refusal_never_raises_it() {
        let mut flow = Flow::slow_start(1);
        assert!(flow.refused_for_concurrency(at(1), 0, at(0)));
        assert_eq!(flow.window(at(1)), Some(1));
        assert!(flow.refused_for_concurrency(at(3), 1000, at(2)));
        assert_eq!(flow.window(at(3)), Some(1));
    }

    #[test]
    fn the_window_grows_by_one_for_each_window_of_successes_at_the_bound() {
        let mut flow = Flow::open();
        flow.refused_for_concurrency(at(0), 16, at(0));
        for _ in 0..100 {
            flow.succeeded(at(1), 11);
        }
        assert_eq!(flow.window(at(1)), Some(12), "it was not the limit");
        for _ in 0..13 {
            flow.succeeded(at(2), 12);
        }
        assert_eq!(flow.window(at(2)), Some(13));
    }

    #[test]
    fn a_bound_that_was_not_the_limit_for_a_minute_ends() {
        let mut flow = Flow::open();
        flow.refused_for_concurrency(at(0), 16, at(0));
        flow.succeeded(at(30_000), 12);
        flow.succeeded(at(89_999), 2);
        assert!(!flow.is_open(at(89_999)));
        flow.succeeded(at(90_000), 2);
        assert_eq!(flow, Flow::open());
    }

    #[test]
    fn a_bound_that_was_learnt_outlives_a_cool_down() {
        let mut flow = Flow::open();
        flow.refused_for_concurrency(at(0), 16, at(0));
        flow.restart(at(90_000), 8);
        flow.succeeded(at(90_100), 1);
        assert_eq!(flow.window(at(90_100)), Some(12));
        let mut unknown = Flow::open();
        unknown.restart(at(0), 8);
        assert_eq!(unknown, Flow::slow_start(8));
    }

    #[test]
    fn the_window_settles_around_a_limit_that_nobody_tells() {
        let mut flow = Flow::slow_start(1);
        let (mut refused, mut served) = (0, 0);
        // Requests take 100 ms; the provider serves ten at a time.
        let mut ends: Vec<u64> = Vec::new();
        for millis in 0..60_000 {
            while ends.first().is_some_and(|&end| end <= millis) {
                flow.succeeded(at(millis), u32::try_from(ends.len()).unwrap());
                ends.remove(0);
                served += 1;
            }
            let in_flight = u32::try_from(ends.len()).unwrap();
            if flow.allows(at(millis), in_flight) {
                flow.started(at(millis));
                if in_flight >= 10 {
                    flow.refused_for_concurrency(at(millis), in_flight + 1, at(millis));
                    refused += 1;
                } else {
                    ends.push(millis + 100);
                }
            }
        }
        assert!(served >= 60 * 100 * 8 / 10, "{served} of 6000");
        assert!(refused * 20 <= served, "{refused} refusals");
    }

    /// Requests that a client which never stops gets through, by second.
    fn sent(pace: &mut Pace, seconds: std::ops::Range<u64>) -> u64 {
        let mut sent = 0;
        let mut now = at(seconds.start * 1000);
        loop {
            now = pace.ready_at(now);
            if now >= at(seconds.end * 1000) {
                return sent;
            }
            assert!(pace.allows(now));
            pace.took(now);
            sent += 1;
        }
    }

    #[test]
    fn the_pace_starts_at_half_and_grows_until_it_ends() {
        let mut pace = Pace::new(at(0), 120);
        assert_eq!(pace.began(), at(0));
        assert_eq!(sent(&mut pace, 0..30), 30);
        assert_eq!(pace.per_minute(at(30_000)), Some(90));
        let second = sent(&mut pace, 30..60);
        assert!((45..=46).contains(&second), "{second}");
        assert_eq!(pace.per_minute(at(209_999)), Some(240));
        assert_eq!(pace.ends_at(), at(210_000));
        assert_eq!(pace.per_minute(at(210_000)), None);
        assert!(pace.allows(at(210_000)));
    }

    #[test]
    fn a_second_worth_of_requests_may_come_at_once() {
        let mut pace = Pace::new(at(0), 1200);
        for _ in 0..10 {
            assert!(pace.allows(at(0)));
            pace.took(at(0));
        }
        assert!(!pace.allows(at(0)));
        assert_eq!(pace.ready_at(at(0)), at(100));
    }

    #[test]
    fn a_quota_that_sent_next_to_nothing_still_sends() {
        let mut pace = Pace::new(at(0), 0);
        assert!(pace.allows(at(0)));
        pace.took(at(0));
        assert_eq!(pace.ready_at(at(1)), at(60_000));
        pace.took(at(60_000));
        pace.took(at(60_000));
        assert!(pace.ready_at(at(60_000)) <= pace.ends_at());
    }

    proptest! {
        #[test]
        fn the_instants_named_are_the_first_at_which_one_may_go(
            initial in 0..200_u32,
            in_flight in 0..6000_u32,
            sent in 0..4000_u32,
            takes in vec(0..40_000_u64, 0..60),
        ) {
            let mut flow = Flow::slow_start(initial);
            let mut pace = Pace::new(at(0), sent);
            flow.started(at(0));
            let mut millis = 0;
            for passes in takes {
                millis += passes / 20;
                let now = at(millis);
                let ready = pace.ready_at(now);
                prop_assert!(ready >= now && pace.allows(ready));
                prop_assert_eq!(pace.allows(now), ready == now);
                if ready > now {
                    let before = early(ready, Duration::from_micros(1));
                    prop_assert!(!pace.allows(before));
                }
                // A caller may overdraw; it is paid back.
                pace.took(now);
                let opens = flow.opens_at(now, in_flight).unwrap();
                prop_assert!(opens >= now && flow.allows(opens, in_flight));
                prop_assert_eq!(flow.allows(now, in_flight), opens == now);
                if opens > now {
                    prop_assert!(!flow.allows(early(opens, Duration::from_micros(1)), in_flight));
                }
            }
        }

        #[test]
        fn the_window_stays_within_its_bounds(
            steps in vec((any::<bool>(), 0..80_000_u32, 0..2000_u64), 0..200),
        ) {
            let mut flow = Flow::slow_start(8);
            let mut millis = 0;
            for (success, in_flight, passes) in steps {
                millis += passes;
                let before = flow.window(at(millis));
                if success {
                    flow.succeeded(at(millis), in_flight);
                } else {
                    let granted = at(millis.saturating_sub(500));
                    flow.refused_for_concurrency(at(millis), in_flight, granted);
                }
                let after = flow.window(at(millis));
                let within = after.is_none_or(|window| (1..=CONCURRENCY_WINDOW_MAX).contains(&window));
                prop_assert!(within);
                if let (false, Some(before), Some(after)) = (success, before, after) {
                    prop_assert!(after <= before);
                }
            }
        }
    }
}
