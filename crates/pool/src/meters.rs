//! All limits of one key, or of one quota group: its meters, and its requests in flight.

use smallvec::SmallVec;

use crate::bounds::CONCURRENCY_RETRY;
use crate::flow::{Flow, Pace};
use crate::learned::{Answered, ClassMeters, Declared, Learned, Lessons, Mark};
use crate::limits::{Dimension, Dimensions, Limits};
use crate::meter::{Amounts, Counting, Meter};
use crate::quota_class::QuotaClass;
use crate::report::QuotaReading;
use crate::snapshot::MeterSnapshot;
use crate::time::Timestamp;

/// Requests in flight with which a quota begins whose limits are known, whose limits are not, and one
/// that returns from trouble. All double every quarter of a second.
const SLOW_START_LIMITED: u32 = 64;
const SLOW_START_UNLIMITED: u32 = 16;
const SLOW_START_RETURNING: u32 = 8;

/// Requests sent in this minute and the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    minute: u64,
    this: u32,
    before: u32,
}

impl Sent {
    const MINUTE_MICROS: u64 = 60_000_000;

    const fn add(&mut self, now: Timestamp) {
        self.advance(now);
        self.this = self.this.saturating_add(1);
    }

    const fn advance(&mut self, now: Timestamp) {
        let minute = now.as_unix_micros() / Self::MINUTE_MICROS;
        if minute != self.minute {
            self.before = if minute == self.minute + 1 {
                self.this
            } else {
                0
            };
            self.this = 0;
            self.minute = minute;
        }
    }

    /// About how many were sent in the last 60 seconds.
    fn last_minute(mut self, now: Timestamp) -> u32 {
        self.advance(now);
        let into = now.as_unix_micros() % Self::MINUTE_MICROS;
        let left = Self::MINUTE_MICROS - into;
        let share = u64::from(self.before) * left / Self::MINUTE_MICROS;
        self.this
            .saturating_add(u32::try_from(share).unwrap_or(u32::MAX))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Meters {
    /// Declared limits, for all model classes that answers say nothing about.
    each: SmallVec<[Meter; 3]>,
    in_flight: u32,
    max_concurrent: Option<u32>,
    /// One request at a time, whatever the limits.
    pub(crate) one_at_a_time: bool,
    /// How many requests may be in flight while little is known.
    pub(crate) flow: Flow,
    /// How fast it may grow after the provider refused growth.
    pub(crate) pace: Option<Box<Pace>>,
    /// When a 429 last taught something.
    refused_at: Timestamp,
    /// How many requests were sent lately.
    sent: Sent,
    /// What answers taught; only on the owner of a quota.
    learned: Option<Box<Learned>>,
    /// Whether any answer has stated a limit: until then a pick need not look behind the pointer.
    taught: bool,
}

/// Why a demand does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// It exceeds a whole limit.
    TooLarge(Dimension),
    /// There is room at that instant, as far as is known.
    Until(Dimension, Timestamp),
}

impl Meters {
    pub(crate) fn new(
        now: Timestamp,
        limits: &Limits,
        counting: Counting,
        next_lease: u64,
    ) -> Self {
        let mut meters = Self {
            each: SmallVec::new(),
            in_flight: 0,
            max_concurrent: None,
            one_at_a_time: false,
            flow: Flow::open(),
            pace: None,
            refused_at: Timestamp::default(),
            sent: Sent::default(),
            learned: None,
            taught: false,
        };
        meters.reconfigure(now, limits, counting, next_lease);
        meters
    }

    /// A quota that nothing has been sent on yet is not flooded: even less so where no limit is known.
    pub(crate) fn start_slowly(&mut self) {
        let initial = if self.is_limited() {
            SLOW_START_LIMITED
        } else {
            SLOW_START_UNLIMITED
        };
        self.flow = Flow::slow_start(initial);
    }

    /// A quota comes back from trouble.
    pub(crate) fn restart_slowly(&mut self, now: Timestamp) {
        self.flow.restart(now, SLOW_START_RETURNING);
    }

    /// The provider refused since traffic grew too fast.
    pub(crate) fn slow_down(&mut self, now: Timestamp, granted_at: Timestamp) {
        let echo = self
            .pace
            .as_ref()
            .is_some_and(|pace| granted_at < pace.began());
        if !echo {
            self.pace = Some(Box::new(Pace::new(now, self.sent.last_minute(now))));
        }
    }

    /// Other limits. Dimensions that stay keep what was used; new ones count from now on. Where a
    /// declaration changed, what answers taught about it is learned anew.
    pub(crate) fn reconfigure(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        counting: Counting,
        next_lease: u64,
    ) {
        self.max_concurrent = limits.max_concurrent;
        self.each
            .retain(|meter| limits.get(meter.dimension()).is_some());
        for dimension in Dimension::METERED {
            let Some(limit) = limits.get(dimension) else {
                continue;
            };
            match self
                .each
                .iter_mut()
                .find(|meter| meter.dimension() == dimension)
            {
                Some(meter) => {
                    if meter.stated() != limit {
                        for class in self
                            .learned
                            .iter_mut()
                            .flat_map(|learned| learned.iter_mut())
                        {
                            class.forget(dimension);
                        }
                    }
                    meter.reconfigure(now, limit, counting);
                }
                None => {
                    self.each
                        .push(Meter::new(now, dimension, limit, counting, next_lease));
                }
            }
        }
        self.each.sort_by_key(Meter::dimension);
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn is_limited(&self) -> bool {
        !self.each.is_empty() || self.max_concurrent.is_some()
    }

    /// Whether the end of a request in flight must be waited for.
    pub(crate) fn is_busy(&self) -> bool {
        self.max_concurrent.is_some_and(|max| self.in_flight >= max)
            || (self.one_at_a_time && self.in_flight > 0)
    }

    fn class(&self, class: QuotaClass) -> Option<&ClassMeters> {
        self.learned.as_ref().filter(|_| self.taught)?.get(class)
    }

    /// The meters that count a class: what was learned, and what was declared where nothing was.
    fn of_class(&self, class: QuotaClass) -> impl Iterator<Item = &Meter> {
        let learned = self.class(class);
        let dimensions = learned.map_or(Dimensions::default(), |learned| learned.dimensions);
        let own = learned.map_or(&[][..], |learned| learned.each.as_slice());
        let declared = self
            .each
            .iter()
            .filter(move |meter| !dimensions.contains(meter.dimension()));
        own.iter().chain(declared)
    }

    pub(crate) fn fits(&self, now: Timestamp, class: QuotaClass, amounts: &Amounts) -> bool {
        !self.is_busy()
            && self.flow.allows(now, self.in_flight)
            && self.pace.as_ref().is_none_or(|pace| pace.allows(now))
            && self.of_class(class).all(|meter| meter.fits(now, amounts))
    }

    /// When flow and pace alone would let one more go.
    fn growth_until(&self, now: Timestamp) -> Timestamp {
        let flow = if self.flow.allows(now, self.in_flight) {
            now
        } else {
            self.flow
                .opens_at(now, self.in_flight)
                .unwrap_or(now + CONCURRENCY_RETRY)
        };
        let pace = self.pace.as_ref().map(|pace| pace.ready_at(now));
        flow.max(pace.unwrap_or(now))
    }

    /// When the meters of a class could take the amounts; `None` when they never can.
    pub(crate) fn metered_until(
        &self,
        now: Timestamp,
        class: QuotaClass,
        amounts: &Amounts,
    ) -> Option<Timestamp> {
        let begin = self.growth_until(now);
        self.of_class(class).try_fold(begin, |latest, meter| {
            Some(latest.max(meter.ready_at(now, amounts)?))
        })
    }

    /// When the amounts will fit if `others` are taken now.
    pub(crate) fn metered_after(
        &self,
        now: Timestamp,
        class: QuotaClass,
        others: &Amounts,
        amounts: &Amounts,
    ) -> Option<Timestamp> {
        self.of_class(class).try_fold(now, |latest, meter| {
            Some(latest.max(meter.ready_after(now, others, amounts)?))
        })
    }

    /// When any of the classes could take the smallest demand; `now` where that cannot be said at
    /// little cost.
    pub(crate) fn smallest_until(
        &self,
        now: Timestamp,
        classes: impl ExactSizeIterator<Item = QuotaClass>,
    ) -> Timestamp {
        /// More classes than that are not asked one by one.
        const CLASSES_ASKED: usize = 8;
        if classes.len() == 0 || classes.len() > CLASSES_ASKED {
            return now;
        }
        let until = |class| self.metered_until(now, class, &Amounts::SMALLEST);
        classes.filter_map(until).min().unwrap_or(now)
    }

    /// What stands against the amounts: first what no waiting cures, then what lasts longest.
    pub(crate) fn shortage(
        &self,
        now: Timestamp,
        class: QuotaClass,
        amounts: &Amounts,
    ) -> Option<Shortage> {
        let too_small = |meter: &&Meter| !meter.can_ever_fit(amounts);
        if let Some(meter) = self.of_class(class).find(too_small) {
            return Some(Shortage::TooLarge(meter.dimension()));
        }
        let busy = self
            .is_busy()
            .then(|| (now + CONCURRENCY_RETRY, Dimension::MaxConcurrent));
        let growth = (self.growth_until(now), Dimension::MaxConcurrent);
        let waits = self.of_class(class).filter_map(|meter| {
            meter
                .ready_at(now, amounts)
                .map(|until| (until, meter.dimension()))
        });
        let longest = waits
            .chain(busy)
            .chain([growth])
            .max_by_key(|&(until, _)| until);
        longest
            .filter(|&(until, _)| until > now)
            .map(|(until, dimension)| Shortage::Until(dimension, until))
    }

    /// Counts a grant.
    pub(crate) fn reserve(&mut self, now: Timestamp, amounts: &Amounts) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.sent.add(now);
        self.flow.started(now);
        if let Some(pace) = &mut self.pace {
            pace.took(now);
            if pace.ends_at() <= now {
                self.pace = None;
            }
        }
        for meter in &mut self.each {
            meter.reserve(now, amounts);
        }
    }

    /// Counts a grant in its class, on the owner of the quota; tells what there was of the class before.
    pub(crate) fn reserve_class(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        lease: u64,
        amounts: &Amounts,
    ) -> Mark {
        let learned = self.learned.get_or_insert_default();
        learned.reserve(now, class, lease, amounts)
    }

    /// Counts what a running answer needs beyond its reservation.
    pub(crate) fn reserve_more(&mut self, now: Timestamp, lease: u64, amounts: &Amounts) {
        for meter in &mut self.each {
            meter.reserve_more(now, lease, amounts);
        }
    }

    /// The same in its class, on the owner of the quota.
    pub(crate) fn reserve_more_of_class(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        lease: u64,
        amounts: &Amounts,
    ) {
        if let Some(learned) = &mut self.learned {
            learned.reserve_more(now, class, lease, amounts);
        }
    }

    /// Replaces what lease number `lease` reserved at `granted_at` by what it really used.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        lease: (u64, Timestamp),
        reserved: &Amounts,
        used: &Amounts,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for meter in &mut self.each {
            meter.settle(now, lease, reserved, used);
        }
    }

    /// The same in its class, on the owner of the quota.
    pub(crate) fn settle_class(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        lease: (u64, Timestamp),
        reserved: &Amounts,
        used: &Amounts,
    ) {
        if let Some(learned) = &mut self.learned {
            learned.settle(now, class, lease, reserved, used);
        }
    }

    /// Takes what an answer states about the limits of a class.
    pub(crate) fn report(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        answered: &Answered,
        readings: &[QuotaReading],
        correct: bool,
        counting: Counting,
    ) -> Lessons {
        let declared = Declared {
            meters: &self.each,
            correct,
        };
        self.taught = true;
        let learned = self.learned.get_or_insert_default();
        learned.report(now, class, answered, readings, declared, counting)
    }

    /// A refusal with a 429 that the meters did not foresee. If the answer stated no limit, the tightest
    /// meter gives way; where nothing is known of any limit, fewer requests go at one time.
    pub(crate) fn refused(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        (lease, granted_at): (u64, Timestamp),
    ) {
        if granted_at < self.refused_at {
            // It was on its way when the one before it was refused.
            return;
        }
        self.refused_at = now;
        // One that was alone was not refused for the others; and it has been settled.
        if !self.blame_meter(now, class, lease) && self.in_flight > 0 {
            let in_flight = self.in_flight.saturating_add(1);
            self.flow
                .refused_for_concurrency(now, in_flight, granted_at);
        }
    }

    /// True when there is a meter that may explain the refusal.
    fn blame_meter(&mut self, now: Timestamp, class: QuotaClass, lease: u64) -> bool {
        if let Some(learned) = &mut self.learned {
            if learned.was_reported(class, lease) {
                return true;
            }
            let known = learned.iter_mut().find(|known| known.class == class);
            if let Some(meter) = known.and_then(|known| known.tightest(now)) {
                meter.trim(now);
                return true;
            }
        }
        let tightest = self
            .each
            .iter_mut()
            .max_by(|a, b| a.load(now).total_cmp(&b.load(now)));
        let found = tightest.is_some();
        if let Some(meter) = tightest {
            meter.trim(now);
        }
        found
    }

    /// What was learned, for another owner of the quota; see [`Learned::disowned`].
    pub(crate) fn take_learned(&mut self, next_lease: u64) -> Option<Box<Learned>> {
        self.taught = false;
        self.learned
            .take()
            .map(|learned| Box::new(learned.disowned(next_lease)))
    }

    pub(crate) fn inherit(&mut self, learned: Option<Box<Learned>>) {
        self.taught = learned.is_some();
        self.learned = learned;
    }

    /// Used share of the tightest limit of a class; above 1 in debt, 0 without limits.
    pub(crate) fn load(&self, now: Timestamp, class: QuotaClass) -> f64 {
        let concurrency = self
            .max_concurrent
            .map_or(0.0, |max| f64::from(self.in_flight) / f64::from(max));
        self.of_class(class)
            .fold(concurrency, |load, meter| load.max(meter.load(now)))
    }

    /// The meter that counts a class in one dimension, as it is now, if that dimension is limited.
    pub(crate) fn snapshot_of(
        &self,
        dimension: Dimension,
        class: QuotaClass,
        now: Timestamp,
    ) -> Option<MeterSnapshot> {
        let meter = self
            .of_class(class)
            .find(|meter| meter.dimension() == dimension)?;
        Some(meter.snapshot(now))
    }

    /// All meters; `name` tells what a class is called.
    pub(crate) fn snapshot(
        &self,
        now: Timestamp,
        name: impl Fn(QuotaClass) -> String,
    ) -> Vec<MeterSnapshot> {
        let concurrency = self.max_concurrent.map(|max| MeterSnapshot {
            dimension: Dimension::MaxConcurrent,
            model_class: None,
            limit: u64::from(max),
            used: 0,
            reserved: u64::from(self.in_flight),
            remaining: i64::from(max) - i64::from(self.in_flight),
            resets_at: now,
        });
        let classes = self.learned.iter().flat_map(|learned| learned.iter());
        let learned = classes.flat_map(|known| {
            let name = name(known.class);
            known.each.iter().map(move |meter| MeterSnapshot {
                model_class: Some(name.clone()),
                ..meter.snapshot(now)
            })
        });
        self.each
            .iter()
            .map(|meter| meter.snapshot(now))
            .chain(concurrency)
            .chain(learned)
            .collect()
    }
}
