//! Meters: how much of one limit is used, and when there will be room.
//!
//! A grant *reserves* its estimate at once, so that a burst cannot pass a limit together; settling
//! replaces the reservation by what was really used. More than reserved puts the meter into debt.
//! A reservation belongs to the instant of its grant: what has left the window (or the day) since
//! cannot be given back, and what exceeds it is charged when it becomes known.

mod bucket;
mod day;
mod fixed;
mod sliding;

use std::time::Duration;

use bucket::Bucket;
use day::Day;
use fixed::Fixed;
use sliding::Sliding;

use crate::bounds::{TRIM_PERCENT, TRIM_RECOVERY};
use crate::config::Window;
use crate::day_rule::DayRule;
use crate::limits::Dimension;
use crate::snapshot::MeterSnapshot;
use crate::time::Timestamp;

/// How a provider counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counting {
    pub(crate) window: Window,
    pub(crate) day: DayRule,
}

#[derive(Clone, Debug)]
enum Count {
    Bucket(Bucket),
    Fixed(Fixed),
    /// Boxed: it is the larger and the rarer kind, and a key should stay small.
    Sliding(Box<Sliding>),
    Day(Day),
}

impl Count {
    fn new(now: Timestamp, dimension: Dimension, limit: u64, counting: Counting) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_mins(1);
        let by_second = matches!(
            dimension,
            Dimension::RequestsPerSecond | Dimension::TokensPerSecond
        );
        match (dimension, counting.window) {
            (Dimension::RequestsPerDay | Dimension::TokensPerDay, _) => {
                Self::Day(Day::new(now, limit, counting.day))
            }
            (_, Window::Fixed | Window::Slices) if by_second => {
                Self::Fixed(Fixed::whole(now, limit, SECOND))
            }
            _ if by_second => Self::Bucket(Bucket::new(now, limit, SECOND)),
            (_, Window::Sliding) => Self::Sliding(Box::new(Sliding::new(limit))),
            (Dimension::RequestsPerMinute, Window::Slices) => {
                Self::Fixed(Fixed::sliced(now, limit, MINUTE))
            }
            (_, Window::Fixed | Window::Slices) => Self::Fixed(Fixed::whole(now, limit, MINUTE)),
            (_, Window::Bucket) => Self::Bucket(Bucket::new(now, limit, MINUTE)),
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

    pub(crate) const fn plus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
        }
    }

    pub(crate) const fn minus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
        }
    }

    pub(crate) const fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// What counts in a dimension.
    pub(crate) const fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::RequestsPerSecond
            | Dimension::RequestsPerMinute
            | Dimension::RequestsPerDay
            | Dimension::MaxConcurrent => self.requests,
            Dimension::TokensPerSecond | Dimension::TokensPerMinute | Dimension::TokensPerDay => {
                self.tokens()
            }
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
    /// What the limit is unless refusals say otherwise; the count has the one in force.
    stated: u64,
    /// When an unforeseen refusal last took something off the limit.
    trimmed_at: Timestamp,
    count: Count,
}

/// Calls the same method of whichever kind of count is inside.
macro_rules! each {
    ($count:expr, $inner:ident => $call:expr) => {
        match $count {
            Count::Bucket($inner) => $call,
            Count::Fixed($inner) => $call,
            Count::Sliding($inner) => $call,
            Count::Day($inner) => $call,
        }
    };
}

impl Meter {
    pub(crate) fn new(
        now: Timestamp,
        dimension: Dimension,
        limit: u64,
        counting: Counting,
        since_lease: u64,
    ) -> Self {
        Self {
            dimension,
            reserved: 0,
            since_lease,
            stated: limit,
            trimmed_at: Timestamp::default(),
            count: Count::new(now, dimension, limit, counting),
        }
    }

    pub(crate) const fn dimension(&self) -> Dimension {
        self.dimension
    }

    pub(crate) fn fits(&self, now: Timestamp, amounts: &Amounts) -> bool {
        let amount = amounts.of(self.dimension);
        each!(&self.count, inner => inner.fits(now, amount))
    }

    /// The first instant at which the amounts fit; `None` when they exceed the whole limit.
    pub(crate) fn ready_at(&self, now: Timestamp, amounts: &Amounts) -> Option<Timestamp> {
        let amount = amounts.of(self.dimension);
        each!(&self.count, inner => inner.ready_at(now, amount))
    }

    /// When the amounts will fit if `others` are taken now: for whoever would go before a request
    /// that has been waiting for longer.
    pub(crate) fn ready_after(
        &self,
        now: Timestamp,
        others: &Amounts,
        amounts: &Amounts,
    ) -> Option<Timestamp> {
        let (others, amount) = (others.of(self.dimension), amounts.of(self.dimension));
        match &self.count {
            Count::Bucket(bucket) => {
                let mut then = *bucket;
                then.take(now, others);
                then.ready_at(now, amount)
            }
            // Where it waits for the next turn, that comes when it comes.
            Count::Fixed(fixed) => {
                let mut then = *fixed;
                then.take(now, others);
                then.ready_at(now, amount)
            }
            Count::Day(day) => {
                let mut then = *day;
                then.take(now, others);
                then.ready_at(now, amount)
            }
            // What is taken now stays for longer than anything that is there already.
            Count::Sliding(sliding) => sliding.ready_at(now, others.saturating_add(amount)),
        }
    }

    /// The limit in force.
    pub(crate) const fn limit(&self) -> u64 {
        each!(&self.count, inner => inner.limit())
    }

    /// The limit, unless refusals say otherwise.
    pub(crate) const fn stated(&self) -> u64 {
        self.stated
    }

    pub(crate) fn can_ever_fit(&self, amounts: &Amounts) -> bool {
        let amount = amounts.of(self.dimension);
        match &self.count {
            Count::Fixed(fixed) => fixed.can_ever_fit(amount),
            Count::Bucket(_) | Count::Sliding(_) | Count::Day(_) => amount <= self.limit(),
        }
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
        self.recover(now);
    }

    /// Counts what a lease granted earlier needs beyond its reservation.
    pub(crate) fn reserve_more(&mut self, now: Timestamp, lease: u64, amounts: &Amounts) {
        if lease >= self.since_lease {
            self.reserve(now, amounts);
        }
    }

    pub(crate) fn take(&mut self, now: Timestamp, amount: u64) {
        each!(&mut self.count, inner => inner.take(now, amount));
    }

    fn give_back(&mut self, now: Timestamp, taken_at: Timestamp, amount: u64) {
        match &mut self.count {
            Count::Bucket(bucket) => bucket.give_back(now, amount),
            Count::Fixed(fixed) => fixed.give_back(now, taken_at, amount),
            Count::Sliding(sliding) => sliding.give_back(now, taken_at, amount),
            Count::Day(day) => day.give_back(now, taken_at, amount),
        }
    }

    /// Used share of the limit, above 1 in debt.
    pub(crate) fn load(&self, now: Timestamp) -> f64 {
        each!(&self.count, inner => inner.load(now))
    }

    /// Another limit or kind of window; what is used stays used.
    pub(crate) fn reconfigure(&mut self, now: Timestamp, limit: u64, counting: Counting) {
        let used = self.used(now);
        let fresh = Count::new(now, self.dimension, limit, counting);
        if std::mem::discriminant(&fresh) == std::mem::discriminant(&self.count) {
            // A change to something else does not undo what refusals taught of this limit.
            if limit != self.stated {
                self.set_limit(now, limit);
            }
        } else {
            self.count = fresh;
            self.take(now, used);
        }
        self.stated = limit;
    }

    fn set_limit(&mut self, now: Timestamp, limit: u64) {
        match &mut self.count {
            Count::Bucket(bucket) => bucket.set_limit(now, limit),
            Count::Fixed(fixed) => fixed.set_limit(limit),
            Count::Sliding(sliding) => sliding.set_limit(limit),
            Count::Day(day) => day.set_limit(limit),
        }
    }

    /// The provider states another limit.
    pub(crate) fn restate(&mut self, now: Timestamp, limit: u64) {
        self.stated = limit;
        self.set_limit(now, limit);
    }

    /// A refusal that the meter did not foresee, from a provider that says nothing of its limits.
    pub(crate) fn trim(&mut self, now: Timestamp) {
        let limit = self.limit();
        let less = limit.saturating_sub((limit * TRIM_PERCENT / 100).max(1));
        self.trimmed_at = now;
        self.set_limit(now, less.max(1));
    }

    /// Raises a trimmed limit again when there has been no refusal for a while.
    fn recover(&mut self, now: Timestamp) {
        let limit = self.limit();
        if limit < self.stated && self.trimmed_at + TRIM_RECOVERY <= now {
            let more = limit.saturating_add((limit * TRIM_PERCENT / 100).max(1));
            self.trimmed_at = now;
            self.set_limit(now, more.min(self.stated));
        }
    }

    /// What is left, rounded down; negative in debt.
    pub(crate) fn remaining(&self, now: Timestamp) -> i64 {
        let left = |limit: u64, used: u64| {
            let used = i64::try_from(used).unwrap_or(i64::MAX);
            i64::try_from(limit)
                .unwrap_or(i64::MAX)
                .saturating_sub(used)
        };
        match &self.count {
            Count::Bucket(bucket) => bucket.remaining(now),
            Count::Fixed(fixed) => left(fixed.share_now(now), fixed.used(now)),
            Count::Sliding(sliding) => left(sliding.limit(), sliding.used(now)),
            Count::Day(day) => left(day.limit(), day.used(now)),
        }
    }

    fn used(&self, now: Timestamp) -> u64 {
        match &self.count {
            Count::Bucket(bucket) => bucket
                .limit()
                .saturating_add_signed(bucket.remaining(now).saturating_neg()),
            Count::Fixed(fixed) => fixed.used(now),
            Count::Sliding(sliding) => sliding.used(now),
            Count::Day(day) => day.used(now),
        }
    }

    /// What refills by itself from one instant to another, rounded up: nothing in windows that are
    /// cleared.
    pub(crate) fn refill_between(&self, from: Timestamp, to: Timestamp) -> u64 {
        match &self.count {
            Count::Bucket(bucket) => bucket.refill(to.saturating_duration_since(from)),
            // An entry may have left the provider's window meanwhile; how many is not known.
            Count::Sliding(sliding) => sliding.left_between(from, to),
            Count::Fixed(_) | Count::Day(_) => 0,
        }
    }

    /// Whether it refills steadily, and gets back what a lease does not use.
    pub(crate) const fn refills_for(&self, lease: u64) -> bool {
        matches!(&self.count, Count::Bucket(_)) && lease >= self.since_lease
    }

    /// Whether what a provider said was left at `stated_at` is of the window that is counted now.
    pub(crate) fn is_of_this_window(&self, stated_at: Timestamp, now: Timestamp) -> bool {
        match &self.count {
            Count::Fixed(fixed) => fixed.is_whole() && stated_at >= fixed.began_at(now),
            Count::Day(day) => day.is_today(stated_at, now),
            Count::Bucket(_) | Count::Sliding(_) => true,
        }
    }

    /// The window ends at that instant.
    pub(crate) fn align(&mut self, now: Timestamp, ends_at: Timestamp) {
        if let Count::Fixed(fixed) = &mut self.count
            && fixed.is_whole()
        {
            fixed.align(now, ends_at);
        }
    }

    /// Brings what is left within bounds that the provider's answer sets. Returns what had to be taken.
    pub(crate) fn correct(&mut self, now: Timestamp, least: i64, most: i64) -> u64 {
        let remaining = self.remaining(now);
        if remaining > most {
            let foreign = remaining.abs_diff(most);
            match &mut self.count {
                Count::Sliding(sliding) => sliding.take_unseen(now, foreign),
                Count::Bucket(_) | Count::Fixed(_) | Count::Day(_) => self.take(now, foreign),
            }
            return foreign;
        }
        if remaining < least {
            let owed = remaining.abs_diff(least);
            match &mut self.count {
                Count::Sliding(sliding) => sliding.forgive(now, owed),
                // To the whole unit: a fraction more than the provider has would be sent in vain.
                Count::Bucket(bucket) => bucket.raise_to(now, least),
                Count::Fixed(_) | Count::Day(_) => self.give_back(now, now, owed),
            }
        }
        0
    }

    /// The same count for a part of what it counts, which has so much in flight.
    pub(crate) fn of_part(&self, reserved: u64) -> Self {
        Self {
            reserved: reserved.min(self.reserved),
            ..self.clone()
        }
    }

    /// For a meter that takes this one's place: leases before `next_lease` settle here no more.
    pub(crate) fn disowned(mut self, next_lease: u64) -> Self {
        self.reserved = 0;
        self.since_lease = next_lease;
        self
    }

    pub(crate) fn snapshot(&self, now: Timestamp) -> MeterSnapshot {
        let counted = self.used(now);
        // A reservation may have left the window while its request is still in flight.
        let reserved = self.reserved.min(counted);
        MeterSnapshot {
            dimension: self.dimension,
            model_class: None,
            limit: self.limit(),
            used: counted - reserved,
            reserved,
            remaining: self.remaining(now),
            resets_at: match &self.count {
                Count::Bucket(bucket) => bucket.full_at(now),
                Count::Fixed(fixed) => fixed.empty_at(now),
                Count::Sliding(sliding) => sliding.empty_at(now),
                Count::Day(day) => day.empty_at(now),
            },
        }
    }
}
