//! A limit that remembers everything that ever happened to it, and replays it for each question.

use std::time::Duration;

use keypool_pool::{Dimension, Limits, Timestamp, Window};

use crate::naive_flow::NaiveFlow;

const MINUTE: i128 = 60_000_000;
const SLOT: u64 = 250_000;
/// A slot counts until the whole of it is more than a minute ago.
const SLOTS: u64 = 242;
/// How long a request may be on its way.
const TRANSIT: u64 = 250_000;
const DAY: u64 = 86_400_000_000;

/// Requests, input tokens and output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) requests: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Wants {
    pub(crate) const SMALLEST: Self = Self {
        requests: 1,
        input: 0,
        output: 0,
    };
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
    /// The limit, unless refusals say otherwise.
    stated: u64,
    trimmed_at: Timestamp,
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
            stated: limit,
            trimmed_at: Timestamp::default(),
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
            Dimension::RequestsPerSecond | Dimension::TokensPerSecond => {
                panic!("no key of this world has one")
            }
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
        if limit != self.stated {
            self.stated = limit;
            self.history.push((now, Event::Limit(limit)));
        }
    }

    /// A refusal that it did not foresee takes a twentieth off its limit.
    fn trim(&mut self, now: Timestamp) {
        let limit = self.limit();
        let less = (limit - (limit / 20).max(1)).max(1);
        self.trimmed_at = now;
        self.history.push((now, Event::Limit(less)));
    }

    /// Five minutes later as much comes back, step by step.
    fn recover(&mut self, now: Timestamp) {
        let limit = self.limit();
        if limit < self.stated && now >= self.trimmed_at + Duration::from_mins(5) {
            let more = (limit + (limit / 20).max(1)).min(self.stated);
            self.trimmed_at = now;
            self.history.push((now, Event::Limit(more)));
        }
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
        self.recover(now);
    }

    /// What is left at an instant, in millionths of a unit per minute for a bucket's sake.
    fn left(&self, now: Timestamp) -> i128 {
        if self.is_bucket() {
            let (level, full, from) = self.filled(now);
            refilled(level, full, from, now)
        } else {
            (i128::from(self.share_at(now)) - self.counted(now)) * MINUTE
        }
    }

    fn is_bucket(&self) -> bool {
        self.window == Window::Bucket && !self.is_daily()
    }

    fn is_cleared(&self) -> bool {
        self.is_daily() || matches!(self.window, Window::Fixed | Window::Slices)
    }

    fn is_sliced(&self) -> bool {
        self.window == Window::Slices && self.dimension == Dimension::RequestsPerMinute
    }

    /// The level after the last event, that of a full bucket, and since when it rises from there.
    fn filled(&self, now: Timestamp) -> (i128, i128, Timestamp) {
        let (mut full, mut level, mut from) = (0, 0, Timestamp::default());
        for (when, event) in &self.history {
            assert!(*when <= now);
            level = refilled(level, full, from, *when);
            from = from.max(*when);
            match event {
                Event::Limit(limit) => {
                    let used = full - level;
                    full = i128::from(*limit) * MINUTE;
                    level = full - used;
                }
                Event::Take(amount) => {
                    if level == full && *amount > 0 {
                        from = from.max(*when + Duration::from_micros(TRANSIT));
                    }
                    level -= i128::from(*amount) * MINUTE;
                }
                Event::GiveBack { amount, .. } => {
                    level = full.min(level + i128::from(*amount) * MINUTE);
                }
            }
        }
        (level, full, from)
    }

    /// From one clearing to the next, in microseconds.
    fn turn(&self) -> u64 {
        if self.is_daily() {
            DAY
        } else if self.is_sliced() {
            1_000_000
        } else {
            60_000_000
        }
    }

    /// What may be counted at an instant: all of the limit, or the share of a second.
    fn share_at(&self, now: Timestamp) -> u64 {
        if !self.is_sliced() {
            return self.limit();
        }
        let second = now.as_unix_micros() / 1_000_000 % 60;
        self.limit() * (second + 1) / 60 - self.limit() * second / 60
    }

    /// Whether what was taken then counts at an instant.
    fn counts(&self, then: Timestamp, at: Timestamp) -> bool {
        let (then, at) = (then.as_unix_micros(), at.as_unix_micros());
        if !self.is_cleared() {
            return then / SLOT + SLOTS > at / SLOT;
        }
        let turn = self.turn();
        let same = then / turn == at / turn;
        // On its way at the turn it may arrive on either side: it counts on both.
        let margin = TRANSIT.min(turn / 50);
        let late = !self.is_daily() && turn - then % turn <= margin;
        same || (late && then / turn + 1 == at / turn)
    }

    /// What a window or day counts at an instant.
    fn counted(&self, now: Timestamp) -> i128 {
        let is_together = |a: Timestamp, b: Timestamp| {
            let unit = if self.is_cleared() { self.turn() } else { SLOT };
            a.as_unix_micros() / unit == b.as_unix_micros() / unit
        };
        let mut entries: Vec<(Timestamp, i128)> = Vec::new();
        for (when, event) in &self.history {
            match event {
                Event::Take(amount) => entries.push((*when, i128::from(*amount))),
                Event::GiveBack { taken_at, amount } => {
                    let in_time = if self.is_cleared() {
                        is_together(*taken_at, *when)
                    } else {
                        self.counts(*taken_at, *when)
                    };
                    if in_time {
                        let there: i128 = entries
                            .iter()
                            .filter(|(then, _)| is_together(*then, *taken_at))
                            .map(|(_, amount)| amount)
                            .sum();
                        entries.push((*taken_at, -there.min(i128::from(*amount))));
                    }
                }
                Event::Limit(_) => {}
            }
        }
        entries
            .iter()
            .filter(|(then, _)| self.counts(*then, now))
            .map(|(_, amount)| amount)
            .sum()
    }

    /// The used share; what a bucket holds back for the way to the provider does not count.
    #[expect(clippy::cast_precision_loss, reason = "shares are compared")]
    fn load(&self, now: Timestamp) -> f64 {
        if self.is_bucket() {
            let (level, full, from) = self.filled(now);
            let then = now + Duration::from_micros(TRANSIT);
            return 1.0 - refilled(level, full, from, then) as f64 / full as f64;
        }
        match self.share_at(now) {
            0 => 1.0,
            share => self.counted(now) as f64 / share as f64,
        }
    }

    pub(crate) fn remaining(&self, now: Timestamp) -> i64 {
        i64::try_from(self.left(now).div_euclid(MINUTE)).unwrap()
    }

    pub(crate) fn fits(&self, now: Timestamp, wants: &Wants) -> bool {
        self.left(now) >= i128::from(self.share(wants)) * MINUTE
    }

    pub(crate) fn can_ever_fit(&self, wants: &Wants) -> bool {
        let most = if self.is_sliced() {
            self.limit().div_ceil(60)
        } else {
            self.limit()
        };
        self.share(wants) <= most
    }

    /// By trial, of every instant that could be the first.
    pub(crate) fn fits_from(&self, now: Timestamp, wants: &Wants) -> Timestamp {
        if self.fits(now, wants) {
            return now;
        }
        if self.is_cleared() {
            let turn = self.turn();
            let clearings = (1..=61).map(|turns| (now.as_unix_micros() / turn + turns) * turn);
            return clearings
                .map(Timestamp::from_unix_micros)
                .find(|&at| self.fits(at, wants))
                .unwrap();
        }
        if self.window == Window::Sliding {
            let leaves = |at: &Timestamp| (at.as_unix_micros() / SLOT + SLOTS) * SLOT;
            let mut ends: Vec<u64> = self.history.iter().map(|(at, _)| leaves(at)).collect();
            ends.sort_unstable();
            let mut ends = ends.into_iter().map(Timestamp::from_unix_micros);
            return ends
                .find(|&end| end > now && self.fits(end, wants))
                .unwrap();
        }
        // A bucket only rises by itself: halve the span until one microsecond is left.
        let wanted = i128::from(self.share(wants)) * MINUTE;
        let (level, full, from) = self.filled(now);
        let (mut early, mut late) = (now.as_unix_micros(), now.as_unix_micros() + (1 << 45));
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            let then = Timestamp::from_unix_micros(middle);
            if refilled(level, full, from, then) >= wanted {
                late = middle;
            } else {
                early = middle;
            }
        }
        Timestamp::from_unix_micros(late)
    }
}

fn refilled(level: i128, full: i128, from: Timestamp, to: Timestamp) -> i128 {
    let elapsed = i128::from(to.as_unix_micros().saturating_sub(from.as_unix_micros()));
    full.min(level + elapsed * (full / MINUTE))
}

/// A set of limits with its requests in flight.
#[derive(Clone, Debug)]
pub(crate) struct NaiveQuota {
    pub(crate) meters: Vec<NaiveMeter>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) in_flight: u32,
    pub(crate) flow: NaiveFlow,
    refused_at: Timestamp,
}

impl NaiveQuota {
    /// Where somebody else owns the quota, it does not start slowly by itself.
    pub(crate) fn new(
        now: Timestamp,
        limits: &Limits,
        window: Window,
        first_lease: u64,
        owns: bool,
    ) -> Self {
        let mut quota = Self {
            meters: Vec::new(),
            max_concurrent: None,
            in_flight: 0,
            flow: NaiveFlow::Free,
            refused_at: Timestamp::default(),
        };
        quota.set_limits(now, limits, window, first_lease);
        if owns {
            quota.flow = NaiveFlow::starting(if quota.is_limited() { 64 } else { 16 });
        }
        quota
    }

    /// A 429 on a quota that it owns: echoes apart, the tightest meter gives way; without any, fewer go at
    /// one time.
    pub(crate) fn refused(&mut self, now: Timestamp, granted_at: Timestamp) {
        if granted_at < self.refused_at {
            return;
        }
        self.refused_at = now;
        let loads = self.meters.iter().map(|meter| meter.load(now));
        let most = loads.fold(f64::NEG_INFINITY, f64::max);
        let tightest = self
            .meters
            .iter_mut()
            .rfind(|meter| meter.load(now) >= most);
        match tightest {
            Some(meter) => meter.trim(now),
            // It was alone: not for too many at one time.
            None if self.in_flight == 0 => {}
            None => self.flow.refused(now, self.in_flight + 1, granted_at),
        }
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
        !self.is_busy()
            && self.flow.allows(now, self.in_flight)
            && self.meters.iter().all(|meter| meter.fits(now, wants))
    }

    pub(crate) fn reserve(&mut self, now: Timestamp, wants: &Wants) {
        self.in_flight += 1;
        self.flow.began(now);
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
