//! What the answers of a provider taught about one quota, model class by model class.
//!
//! A declared limit is a guess, and one number for all models; the provider's answers are the truth, and
//! speak of the class of the request. So the first answer of a class makes meters of its own for it,
//! which stand in place of the declared ones from then on.
//!
//! An answer's `remaining` is late by the way back, and does not tell which of the requests in flight it
//! counts: one may have overtaken another. It therefore bounds what is left rather than sets it: at most
//! what it says (plus what has refilled since the grant), at least that minus all that is in flight or was
//! granted after the request it answers. Within those bounds the pool's own count is the better one, as it
//! is newer.
//!
//! Worked example: limit 50 a minute. Request 8 is granted, then 9 and 10; the answer to 8 says that 42
//! remain. If the provider had 9 and 10 by then, 42 is right, else 40 will be. The pool counts 40:
//! within bounds, so it stays. Had it counted 45, somebody else would have used three.

use smallvec::SmallVec;

use crate::bounds::{
    CLASSES_PER_QUOTA_MAX, DECLARED_SHARE_MAX, FOREIGN_USE_PERCENT, FOREIGN_USE_SILENCE, LIMIT_MAX,
};
use crate::limits::{Dimension, Dimensions};
use crate::meter::{Amounts, Counting, Meter};
use crate::quota_class::QuotaClass;
use crate::report::{Lesson, QuotaReading};
use crate::time::Timestamp;

/// The classes that were used on one quota. Mostly it is one, which a pick then finds at the first glance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned(SmallVec<[ClassMeters; 1]>);

/// One model class on one quota.
#[derive(Clone, Debug)]
pub(crate) struct ClassMeters {
    pub(crate) class: QuotaClass,
    /// Those with a limit that answers stated.
    pub(crate) each: SmallVec<[Meter; 3]>,
    pub(crate) dimensions: Dimensions,
    /// All that was ever granted.
    granted: Amounts,
    in_flight: Amounts,
    last_lease: u64,
    /// The last lease whose answer stated anything.
    last_report: u64,
    told: Dimensions,
    foreign: ForeignUse,
}

#[derive(Clone, Copy, Debug, Default)]
struct ForeignUse {
    since: Timestamp,
    requests: u64,
    told_at: Option<Timestamp>,
}

/// The request that an answer answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) lease: u64,
    pub(crate) granted_at: Timestamp,
    /// The number of the next lease: those before it are on no meter that begins now.
    pub(crate) next_lease: u64,
    pub(crate) reserved: Amounts,
    /// Whether the provider took it, so that it counts in what is left.
    pub(crate) admitted: bool,
    pub(crate) mark: Mark,
}

/// What there was of a class when a lease was granted, the lease itself left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// All that had been granted.
    granted: Amounts,
    /// What was in flight.
    in_flight: Amounts,
}

/// How declared limits bear on what is learned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared<'a> {
    pub(crate) meters: &'a [Meter],
    /// Raise them where they are a little too low.
    pub(crate) correct: bool,
}

/// What the pool's own count of a meter is worth beside an answer.
#[derive(Clone, Copy, Debug)]
struct Trust {
    /// The limit is a share of the quota that is kept on purpose.
    is_share: bool,
    /// The meter begins with this answer, and has counted nothing.
    is_new: bool,
}

pub(crate) type Lessons = SmallVec<[(Dimension, Lesson); 1]>;

impl Learned {
    pub(crate) fn get(&self, class: QuotaClass) -> Option<&ClassMeters> {
        self.0.iter().find(|known| known.class == class)
    }

    fn get_mut(&mut self, class: QuotaClass) -> Option<&mut ClassMeters> {
        self.0.iter_mut().find(|known| known.class == class)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ClassMeters> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut ClassMeters> {
        self.0.iter_mut()
    }

    fn entry(&mut self, class: QuotaClass) -> &mut ClassMeters {
        if let Some(position) = self.0.iter().position(|known| known.class == class) {
            #[expect(clippy::indexing_slicing, reason = "found there")]
            return &mut self.0[position];
        }
        if self.0.len() >= CLASSES_PER_QUOTA_MAX {
            let oldest = self.0.iter().enumerate();
            let oldest = oldest.min_by_key(|(_, known)| known.last_lease);
            if let Some((position, _)) = oldest {
                self.0.swap_remove(position);
            }
        }
        self.0.push(ClassMeters::new(class));
        let last = self.0.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "just pushed")]
        &mut self.0[last]
    }

    /// Counts a grant; tells what there was of the class before.
    pub(crate) fn reserve(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        lease: u64,
        amounts: &Amounts,
    ) -> Mark {
        let known = self.entry(class);
        let mark = Mark {
            granted: known.granted,
            in_flight: known.in_flight,
        };
        known.last_lease = lease;
        known.granted = known.granted.plus(amounts);
        known.in_flight = known.in_flight.plus(amounts);
        for meter in &mut known.each {
            meter.reserve(now, amounts);
        }
        mark
    }

    pub(crate) fn reserve_more(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        lease: u64,
        amounts: &Amounts,
    ) {
        if let Some(known) = self.get_mut(class) {
            known.granted = known.granted.plus(amounts);
            known.in_flight = known.in_flight.plus(amounts);
            for meter in &mut known.each {
                meter.reserve_more(now, lease, amounts);
            }
        }
    }

    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        lease: (u64, Timestamp),
        reserved: &Amounts,
        used: &Amounts,
    ) {
        if let Some(known) = self.get_mut(class) {
            known.in_flight = known.in_flight.minus(reserved);
            for meter in &mut known.each {
                meter.settle(now, lease, reserved, used);
            }
        }
    }

    /// Whether the answer to a lease stated anything about the class's limits.
    pub(crate) fn was_reported(&self, class: QuotaClass, lease: u64) -> bool {
        self.get(class)
            .is_some_and(|known| known.last_report == lease && lease > 0)
    }

    /// Takes what an answer states.
    pub(crate) fn report(
        &mut self,
        now: Timestamp,
        class: QuotaClass,
        answered: &Answered,
        readings: &[QuotaReading],
        declared: Declared<'_>,
        counting: Counting,
    ) -> Lessons {
        let known = self.entry(class);
        known.last_report = answered.lease;
        let mut lessons = Lessons::new();
        for reading in readings {
            known.take_reading(now, answered, reading, declared, counting, &mut lessons);
        }
        lessons
    }

    /// For another owner of the quota: what is in flight settles elsewhere.
    pub(crate) fn disowned(self, next_lease: u64) -> Self {
        let disown = |known: ClassMeters| ClassMeters {
            each: known
                .each
                .into_iter()
                .map(|meter| meter.disowned(next_lease))
                .collect(),
            in_flight: Amounts::default(),
            ..known
        };
        Self(self.0.into_iter().map(disown).collect())
    }
}

impl ClassMeters {
    fn new(class: QuotaClass) -> Self {
        Self {
            class,
            each: SmallVec::new(),
            dimensions: Dimensions::default(),
            granted: Amounts::default(),
            in_flight: Amounts::default(),
            last_lease: 0,
            last_report: 0,
            told: Dimensions::default(),
            foreign: ForeignUse::default(),
        }
    }

    /// Forgets a limit, so that the next answer decides anew.
    pub(crate) fn forget(&mut self, dimension: Dimension) {
        self.each.retain(|meter| meter.dimension() != dimension);
        self.dimensions.remove(dimension);
        self.told.remove(dimension);
    }

    fn position(&self, dimension: Dimension) -> Option<usize> {
        self.each
            .iter()
            .position(|meter| meter.dimension() == dimension)
    }

    fn take_reading(
        &mut self,
        now: Timestamp,
        answered: &Answered,
        reading: &QuotaReading,
        declared: Declared<'_>,
        counting: Counting,
        lessons: &mut Lessons,
    ) {
        let dimension = reading.dimension;
        if dimension == Dimension::MaxConcurrent {
            // No meter counts it.
            return;
        }
        let of_file = declared
            .meters
            .iter()
            .find(|meter| meter.dimension() == dimension);
        let known = self.position(dimension);
        let stated = reading.limit.filter(|&limit| limit > 0);
        let stated = stated.map(|limit| limit.min(LIMIT_MAX));
        let Some(stated) = stated
            .or_else(|| known.and_then(|at| Some(self.each.get(at)?.stated())))
            .or_else(|| of_file.map(Meter::stated))
        else {
            return;
        };
        let (limit, lesson) = verdict_on(of_file.map(Meter::stated), stated, declared.correct);
        let is_share = limit < stated;
        let position = if let Some(position) = known {
            self.follow(now, position, limit, lessons);
            position
        } else {
            let mut meter = of_file.map_or_else(
                || Meter::new(now, dimension, limit, counting, answered.next_lease),
                // What other classes have in flight settles on the declared meter alone.
                |declared| declared.of_part(self.in_flight.of(dimension)),
            );
            if meter.stated() != limit {
                meter.restate(now, limit);
            }
            if let Some(lesson) = lesson {
                self.tell(dimension, lesson, lessons);
            }
            self.each.push(meter);
            self.dimensions.insert(dimension);
            self.each.len() - 1
        };
        let is_new = known.is_none() && of_file.is_none();
        let trust = Trust { is_share, is_new };
        let foreign = self.correct(now, position, answered, reading, trust);
        if dimension == Dimension::RequestsPerMinute && foreign > 0 && known.is_some() {
            self.note_foreign(now, foreign, limit, lessons);
        }
    }

    /// What was granted after the request that is answered.
    const fn granted_since(&self, answered: &Answered) -> Amounts {
        self.granted
            .minus(&answered.mark.granted)
            .minus(&answered.reserved)
    }

    /// Takes another limit for a known meter. One that changed at run time is news, whoever declared what.
    fn follow(&mut self, now: Timestamp, position: usize, to: u64, lessons: &mut Lessons) {
        let Some(meter) = self.each.get_mut(position) else {
            return;
        };
        let (dimension, from) = (meter.dimension(), meter.stated());
        if from == to {
            return;
        }
        meter.restate(now, to);
        self.told.remove(dimension);
        let lesson = if to < from {
            Lesson::TooHigh { from, to }
        } else {
            Lesson::TooLow { from, to }
        };
        self.tell(dimension, lesson, lessons);
    }

    fn tell(&mut self, dimension: Dimension, lesson: Lesson, lessons: &mut Lessons) {
        if !self.told.contains(dimension) {
            self.told.insert(dimension);
            lessons.push((dimension, lesson));
        }
    }

    /// Brings a meter within the bounds that the answer sets. Returns what somebody else must have used.
    fn correct(
        &mut self,
        now: Timestamp,
        position: usize,
        answered: &Answered,
        reading: &QuotaReading,
        trust: Trust,
    ) -> u64 {
        let since = self.granted_since(answered);
        let Some(meter) = self.each.get_mut(position) else {
            return 0;
        };
        if let Some(resets_at) = reading.resets_at {
            meter.align(now, resets_at);
        }
        let Some(remaining) = reading.remaining else {
            return 0;
        };
        if !meter.is_of_this_window(answered.granted_at, now) {
            return 0;
        }
        let dimension = reading.dimension;
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        // Requests overtake each other on their way: of those that were under way together with this one
        // some may not have been counted. Its own tokens have, but at their true number: what it reserved
        // too much comes back when it settles, and must not come back twice.
        let mut own = answered.reserved;
        if answered.admitted {
            own.requests = 0;
        }
        let uncertain = since.plus(&answered.mark.in_flight).plus(&own);
        let rounding = reading.grain.div_ceil(2);
        let rounding = if reading.grain > 1 { rounding } else { 0 };
        let refilled = meter.refill_between(answered.granted_at, now);
        let most = if !answered.admitted && meter.refills_for(answered.lease) {
            // What it reserved comes back, and must not make room for it at once: so much was not there.
            // What has refilled since is less than the next whole unit.
            let whole = refilled.saturating_sub(1);
            let left = remaining.saturating_add(rounding).saturating_add(whole);
            signed(left).saturating_sub(signed(answered.reserved.of(dimension)))
        } else {
            signed(remaining.saturating_add(rounding).saturating_add(refilled))
        };
        let least = signed(remaining)
            .saturating_sub(signed(rounding))
            .saturating_sub(signed(uncertain.of(dimension)));
        if trust.is_new {
            // There is no count of our own to prefer within the bounds: what is surely left.
            return meter.correct(now, least, least);
        }
        // Of a share that is kept the rest of the quota says nothing but that it may run out.
        let least = if trust.is_share { i64::MIN } else { least };
        meter.correct(now, least, most)
    }

    fn note_foreign(&mut self, now: Timestamp, requests: u64, limit: u64, lessons: &mut Lessons) {
        let foreign = &mut self.foreign;
        if now.saturating_duration_since(foreign.since) > FOREIGN_USE_SILENCE {
            foreign.since = now;
            foreign.requests = 0;
        }
        foreign.requests = foreign.requests.saturating_add(requests);
        let quiet = |at| now.saturating_duration_since(at) > FOREIGN_USE_SILENCE;
        let noticeable =
            foreign.requests.saturating_mul(100) > limit.saturating_mul(FOREIGN_USE_PERCENT);
        if noticeable && foreign.requests > 2 && foreign.told_at.is_none_or(quiet) {
            foreign.told_at = Some(now);
            let requests = foreign.requests;
            let lesson = Lesson::ForeignUse { requests, limit };
            lessons.push((Dimension::RequestsPerMinute, lesson));
        }
    }

    /// A refusal that no meter foresaw, about which the answer said nothing: the tightest gives way.
    pub(crate) fn tightest(&mut self, now: Timestamp) -> Option<&mut Meter> {
        self.each
            .iter_mut()
            .max_by(|a, b| a.load(now).total_cmp(&b.load(now)))
    }
}

/// The limit to count by, and what is to be told of a declared one.
fn verdict_on(declared: Option<u64>, stated: u64, correct: bool) -> (u64, Option<Lesson>) {
    let Some(declared) = declared else {
        return (stated, None);
    };
    if stated < declared {
        let lesson = Lesson::TooHigh {
            from: declared,
            to: stated,
        };
        return (stated, Some(lesson));
    }
    if stated == declared {
        return (stated, None);
    }
    let (part, whole) = DECLARED_SHARE_MAX;
    let is_share = declared.saturating_mul(whole) < stated.saturating_mul(part);
    if is_share || !correct {
        (declared, Some(Lesson::KeptShare { declared, stated }))
    } else {
        let lesson = Lesson::TooLow {
            from: declared,
            to: stated,
        };
        (stated, Some(lesson))
    }
}
