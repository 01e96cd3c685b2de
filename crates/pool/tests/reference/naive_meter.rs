//! A limit that remembers everything that ever happened to it, and replays it for each question.

use keypool_pool::{Dimension, Limits, Timestamp, Window};

const MINUTE: i128 = 60_000_000;
const SLOT: u64 = 500_000;
const DAY: u64 = 86_400_000_000;

/// Requests, input tokens and output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) requests: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

#[derive(Clone, Debug)]
enum Event {
    Limit(u64),
    Take(u64),
    GiveBack { taken_at: Timestamp, amount: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct NaiveMeter {
    pub(crate) dimension: Dimension,
    window: Window,
    first_lease: u64,
    history: Vec<(Timestamp, Event)>,
}

pub(crate) const DIMENSIONS: [Dimension; 6] = [
    Dimension::RequestsPerMinute,
    Dimension::TokensPerMinute,
    Dimension::InputTokensPerMinute,
    Dimension::OutputTokensPerMinute,
    Dimension::RequestsPerDay,
    Dimension::TokensPerDay,
];

impl NaiveMeter {
    pub(crate) fn new(
        now: Timestamp,
        dimension: Dimension,
        limit: u64,
        window: Window,
        first_lease: u64,
    ) -> Self {
        Self {
            dimension,
            window,
            first_lease,
            history: vec![(now, Event::Limit(limit))],
        }
    }

    fn share(&self, wants: &Wants) -> u64 {
        match self.dimension {
            Dimension::RequestsPerMinute | Dimension::RequestsPerDay | Dimension::MaxConcurrent => {
                wants.requests
            }
            Dimension::TokensPerMinute | Dimension::TokensPerDay => wants.input + wants.output,
            Dimension::InputTokensPerMinute => wants.input,
            Dimension::OutputTokensPerMinute => wants.output,
        }
    }

    fn is_daily(&self) -> bool {
        matches!(
            self.dimension,
            Dimension::RequestsPerDay | Dimension::TokensPerDay
        )
    }

    pub(crate) fn limit(&self) -> u64 {
        let mut limits = self
            .history
            .iter()
            .rev()
            .filter_map(|(_, event)| match event {
                Event::Limit(limit) => Some(*limit),
                Event::Take(_) | Event::GiveBack { .. } => None,
            });
        limits.next().unwrap()
    }

    pub(crate) fn set_limit(&mut self, now: Timestamp, limit: u64) {
        self.history.push((now, Event::Limit(limit)));
    }

    pub(crate) fn reserve(&mut self, now: Timestamp, wants: &Wants) {
        self.history.push((now, Event::Take(self.share(wants))));
    }

    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        (lease, granted_at): (u64, Timestamp),
        reserved: &Wants,
        used: &Wants,
    ) {
        if lease < self.first_lease {
            return;
        }
        let (reserved, used) = (self.share(reserved), self.share(used));
        if used > reserved {
            self.history.push((now, Event::Take(used - reserved)));
        } else {
            let event = Event::GiveBack {
                taken_at: granted_at,
                amount: reserved - used,
            };
            self.history.push((now, event));
        }
    }

    /// What is left at an instant, in millionths of a unit per minute for a bucket's sake.
    fn left(&self, now: Timestamp) -> i128 {
        if self.window == Window::Bucket && !self.is_daily() {
            self.level(now)
        } else {
            (i128::from(self.limit()) - self.counted(now)) * MINUTE
        }
    }

    fn level(&self, now: Timestamp) -> i128 {
        let (mut full, mut level, mut at) = (0, 0, Timestamp::default());
        for (when, event) in &self.history {
            level = refilled(level, full, at, *when);
            at = *when;
            match event {
                Event::Limit(limit) => {
                    let used = full - level;
                    full = i128::from(*limit) * MINUTE;
                    level = full - used;
                }
                Event::Take(amount) => level -= i128::from(*amount) * MINUTE,
                Event::GiveBack { amount, .. } => {
                    level = full.min(level + i128::from(*amount) * MINUTE);
                }
            }
        }
        refilled(level, full, at, now)
    }

    /// What a window or day counts at an instant.
    fn counted(&self, now: Timestamp) -> i128 {
        let counts = |then: Timestamp, at: Timestamp| {
            if self.is_daily() {
                then.as_unix_micros() / DAY == at.as_unix_micros() / DAY
            } else {
                then.as_unix_micros() / SLOT + 121 > at.as_unix_micros() / SLOT
            }
        };
        let slot = |at: Timestamp| at.as_unix_micros() / if self.is_daily() { DAY } else { SLOT };
        let mut entries: Vec<(Timestamp, i128)> = Vec::new();
        for (when, event) in &self.history {
            match event {
                Event::Take(amount) => entries.push((*when, i128::from(*amount))),
                Event::GiveBack { taken_at, amount } if counts(*taken_at, *when) => {
                    let there: i128 = entries
                        .iter()
                        .filter(|(then, _)| slot(*then) == slot(*taken_at))
                        .map(|(_, amount)| amount)
                        .sum();
                    entries.push((*taken_at, -there.min(i128::from(*amount))));
                }
                Event::Limit(_) | Event::GiveBack { .. } => {}
            }
        }
        entries
            .iter()
            .filter(|(then, _)| counts(*then, now))
            .map(|(_, amount)| amount)
            .sum()
    }

    pub(crate) fn remaining(&self, now: Timestamp) -> i64 {
        i64::try_from(self.left(now).div_euclid(MINUTE)).unwrap()
    }

    pub(crate) fn fits(&self, now: Timestamp, wants: &Wants) -> bool {
        self.left(now) >= i128::from(self.share(wants)) * MINUTE
    }

    pub(crate) fn can_ever_fit(&self, wants: &Wants) -> bool {
        self.share(wants) <= self.limit()
    }

    /// By trial, of every instant that could be the first.
    pub(crate) fn fits_from(&self, now: Timestamp, wants: &Wants) -> Timestamp {
        if self.fits(now, wants) {
            return now;
        }
        if self.is_daily() {
            return Timestamp::from_unix_micros((now.as_unix_micros() / DAY + 1) * DAY);
        }
        if self.window == Window::Sliding {
            let leaves = |at: &Timestamp| (at.as_unix_micros() / SLOT + 121) * SLOT;
            let mut ends: Vec<u64> = self.history.iter().map(|(at, _)| leaves(at)).collect();
            ends.sort_unstable();
            let mut ends = ends.into_iter().map(Timestamp::from_unix_micros);
            return ends
                .find(|&end| end > now && self.fits(end, wants))
                .unwrap();
        }
        // A bucket only rises by itself: halve the span until one microsecond is left.
        let wanted = i128::from(self.share(wants)) * MINUTE;
        let (level, full) = (self.level(now), i128::from(self.limit()) * MINUTE);
        let (mut early, mut late) = (now.as_unix_micros(), now.as_unix_micros() + (1 << 45));
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            let then = Timestamp::from_unix_micros(middle);
            if refilled(level, full, now, then) >= wanted {
                late = middle;
            } else {
                early = middle;
            }
        }
        Timestamp::from_unix_micros(late)
    }
}

fn refilled(level: i128, full: i128, from: Timestamp, to: Timestamp) -> i128 {
    let elapsed = i128::from(to.as_unix_micros() - from.as_unix_micros());
    full.min(level + elapsed * (full / MINUTE))
}

/// A set of limits with its requests in flight.
#[derive(Clone, Debug)]
pub(crate) struct NaiveQuota {
    pub(crate) meters: Vec<NaiveMeter>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) in_flight: u32,
}

impl NaiveQuota {
    pub(crate) fn new(now: Timestamp, limits: &Limits, window: Window, first_lease: u64) -> Self {
        let mut quota = Self {
            meters: Vec::new(),
            max_concurrent: None,
            in_flight: 0,
        };
        quota.set_limits(now, limits, window, first_lease);
        quota
    }

    pub(crate) fn set_limits(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        window: Window,
        first_lease: u64,
    ) {
        let mut known = std::mem::take(&mut self.meters);
        for dimension in DIMENSIONS {
            let Some(limit) = limits.get(dimension) else {
                continue;
            };
            let position = known.iter().position(|meter| meter.dimension == dimension);
            let meter = match position {
                Some(position) => {
                    let mut meter = known.remove(position);
                    meter.set_limit(now, limit);
                    meter
                }
                None => NaiveMeter::new(now, dimension, limit, window, first_lease),
            };
            self.meters.push(meter);
        }
        self.max_concurrent = limits.max_concurrent;
    }

    pub(crate) fn is_limited(&self) -> bool {
        !self.meters.is_empty() || self.max_concurrent.is_some()
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.max_concurrent.is_some_and(|max| self.in_flight >= max)
    }

    pub(crate) fn has_room(&self, now: Timestamp, wants: &Wants) -> bool {
        !self.is_busy() && self.meters.iter().all(|meter| meter.fits(now, wants))
    }

    pub(crate) fn reserve(&mut self, now: Timestamp, wants: &Wants) {
        self.in_flight += 1;
        for meter in &mut self.meters {
            meter.reserve(now, wants);
        }
    }

    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        lease: (u64, Timestamp),
        reserved: &Wants,
        used: &Wants,
    ) {
        self.in_flight -= 1;
        for meter in &mut self.meters {
            meter.settle(now, lease, reserved, used);
        }
    }
}
