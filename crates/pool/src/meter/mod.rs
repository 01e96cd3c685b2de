//! Meters: how much of one limit is used, and when there will be room.
//!
//! A grant *reserves* its estimate at once, so that a burst cannot pass a limit together; settling
//! replaces the reservation by what was really used. More than reserved puts the meter into debt.
//! A reservation belongs to the instant of its grant: what has left the window (or the day) since
//! cannot be given back, and what exceeds it is charged when it becomes known.

mod bucket;
mod day;
mod sliding;

use bucket::Bucket;
use day::Day;
use sliding::Sliding;

use crate::config::Window;
use crate::limits::Dimension;
use crate::snapshot::MeterSnapshot;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
enum Count {
    Bucket(Bucket),
    /// Boxed: it is the larger and the rarer kind, and a key should stay small.
    Sliding(Box<Sliding>),
    Day(Day),
}

impl Count {
    fn new(now: Timestamp, dimension: Dimension, limit: u64, window: Window) -> Self {
        match dimension {
            Dimension::RequestsPerDay | Dimension::TokensPerDay => Self::Day(Day::new(now, limit)),
            _ if window == Window::Sliding => Self::Sliding(Box::new(Sliding::new(limit))),
            _ => Self::Bucket(Bucket::new(now, limit)),
        }
    }
}

/// A request's requests (0 or 1) and tokens, reserved or charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) requests: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
}

impl Amounts {
    /// The least that any request needs.
    pub(crate) const SMALLEST: Self = Self {
        requests: 1,
        input_tokens: 0,
        output_tokens: 0,
    };

    pub(crate) const fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// What counts in a dimension.
    pub(crate) const fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::RequestsPerMinute | Dimension::RequestsPerDay | Dimension::MaxConcurrent => {
                self.requests
            }
            Dimension::TokensPerMinute | Dimension::TokensPerDay => self.tokens(),
            Dimension::InputTokensPerMinute => self.input_tokens,
            Dimension::OutputTokensPerMinute => self.output_tokens,
        }
    }
}

/// The use of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    dimension: Dimension,
    /// Counted for requests in flight. Kept beside the count, which holds it too.
    reserved: u64,
    /// Leases with a lower number were granted before this meter was there: it never counted
    /// them, so it has nothing to settle for them.
    since_lease: u64,
    count: Count,
}

impl Meter {
    pub(crate) fn new(
        now: Timestamp,
        dimension: Dimension,
        limit: u64,
        window: Window,
        since_lease: u64,
    ) -> Self {
        let count = Count::new(now, dimension, limit, window);
        Self {
            dimension,
            reserved: 0,
            since_lease,
            count,
        }
    }

    pub(crate) const fn dimension(&self) -> Dimension {
        self.dimension
    }

    pub(crate) fn fits(&self, now: Timestamp, amounts: &Amounts) -> bool {
        let amount = amounts.of(self.dimension);
        match &self.count {
            Count::Bucket(bucket) => bucket.fits(now, amount),
            Count::Sliding(sliding) => sliding.fits(now, amount),
            Count::Day(day) => day.fits(now, amount),
        }
    }

    /// The first instant at which the amounts fit; `None` when they exceed the whole limit.
    pub(crate) fn ready_at(&self, now: Timestamp, amounts: &Amounts) -> Option<Timestamp> {
        let amount = amounts.of(self.dimension);
        match &self.count {
            Count::Bucket(bucket) => bucket.ready_at(now, amount),
            Count::Sliding(sliding) => sliding.ready_at(now, amount),
            Count::Day(day) => day.ready_at(now, amount),
        }
    }

    const fn limit(&self) -> u64 {
        match &self.count {
            Count::Bucket(bucket) => bucket.limit(),
            Count::Sliding(sliding) => sliding.limit(),
            Count::Day(day) => day.limit(),
        }
    }

    pub(crate) const fn can_ever_fit(&self, amounts: &Amounts) -> bool {
        amounts.of(self.dimension) <= self.limit()
    }

    pub(crate) fn reserve(&mut self, now: Timestamp, amounts: &Amounts) {
        let amount = amounts.of(self.dimension);
        self.reserved = self.reserved.saturating_add(amount);
        self.take(now, amount);
    }

    /// Replaces what lease number `lease` reserved at `granted_at` by what it really used.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        (lease, granted_at): (u64, Timestamp),
        reserved: &Amounts,
        used: &Amounts,
    ) {
        if lease < self.since_lease {
            return;
        }
        let (reserved, used) = (reserved.of(self.dimension), used.of(self.dimension));
        self.reserved = self.reserved.saturating_sub(reserved);
        if used > reserved {
            self.take(now, used - reserved);
        } else if used < reserved {
            self.give_back(now, granted_at, reserved - used);
        }
    }

    fn take(&mut self, now: Timestamp, amount: u64) {
        match &mut self.count {
            Count::Bucket(bucket) => bucket.take(now, amount),
            Count::Sliding(sliding) => sliding.take(now, amount),
            Count::Day(day) => day.take(now, amount),
        }
    }

    fn give_back(&mut self, now: Timestamp, taken_at: Timestamp, amount: u64) {
        match &mut self.count {
            Count::Bucket(bucket) => bucket.give_back(now, amount),
            Count::Sliding(sliding) => sliding.give_back(now, taken_at, amount),
            Count::Day(day) => day.give_back(now, taken_at, amount),
        }
    }

    /// Used share of the limit, above 1 in debt.
    pub(crate) fn load(&self, now: Timestamp) -> f64 {
        match &self.count {
            Count::Bucket(bucket) => bucket.load(now),
            Count::Sliding(sliding) => sliding.load(now),
            Count::Day(day) => day.load(now),
        }
    }

    /// Another limit or kind of window; what is used stays used.
    pub(crate) fn reconfigure(&mut self, now: Timestamp, limit: u64, window: Window) {
        let used = self
            .limit()
            .saturating_add_signed(self.remaining(now).saturating_neg());
        let fresh = Count::new(now, self.dimension, limit, window);
        match (&mut self.count, fresh) {
            (Count::Bucket(bucket), Count::Bucket(_)) => bucket.set_limit(now, limit),
            (Count::Sliding(sliding), Count::Sliding(_)) => sliding.set_limit(limit),
            (Count::Day(day), Count::Day(_)) => day.set_limit(limit),
            (count, fresh) => {
                *count = fresh;
                self.take(now, used);
            }
        }
    }

    /// What is left, rounded down; negative in debt.
    fn remaining(&self, now: Timestamp) -> i64 {
        let left = |used: u64| {
            let used = i64::try_from(used).unwrap_or(i64::MAX);
            i64::try_from(self.limit())
                .unwrap_or(i64::MAX)
                .saturating_sub(used)
        };
        match &self.count {
            Count::Bucket(bucket) => bucket.remaining(now),
            Count::Sliding(sliding) => left(sliding.used(now)),
            Count::Day(day) => left(day.used(now)),
        }
    }

    pub(crate) fn snapshot(&self, now: Timestamp) -> MeterSnapshot {
        let remaining = self.remaining(now);
        let counted = self
            .limit()
            .saturating_add_signed(remaining.saturating_neg());
        // A reservation may have left the window while its request is still in flight.
        let reserved = self.reserved.min(counted);
        MeterSnapshot {
            dimension: self.dimension,
            limit: self.limit(),
            used: counted - reserved,
            reserved,
            remaining,
            resets_at: match &self.count {
                Count::Bucket(bucket) => bucket.full_at(now),
                Count::Sliding(sliding) => sliding.empty_at(now),
                Count::Day(day) => day.empty_at(now),
            },
        }
    }
}
