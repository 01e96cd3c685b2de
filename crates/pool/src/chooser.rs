//! The questions a pick asks about a key: does it fit, and how loaded is it?

use smallvec::SmallVec;

use crate::group::Group;
use crate::id::KeyId;
use crate::key::Key;
use crate::meter::Amounts;
use crate::meters::Meters;
use crate::queue::WaiterId;
use crate::quota_class::{QuotaClass, QuotaClasses};
use crate::ready::Candidates;
use crate::ready::least_loaded::Load;
use crate::recent::era_of;
use crate::slab::Slab;
use crate::time::Timestamp;
use crate::unit::Unit;

/// A demand as the pool sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Without one any key will do, whatever its models.
    pub(crate) model: Option<&'a str>,
    pub(crate) class_name: &'a str,
    pub(crate) class: QuotaClass,
    pub(crate) amounts: Amounts,
    pub(crate) tags: &'a [String],
    pub(crate) excluded: &'a [KeyId],
    /// A key to avoid, when the next grant is to go to another.
    pub(crate) avoided: Option<KeyId>,
    /// The only quota that will do.
    pub(crate) only: Option<Unit>,
    /// Room that is being saved for requests that have waited for longer.
    pub(crate) booked: &'a [Booking],
}

/// Room on one quota that an older request waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booking {
    pub(crate) waiter: WaiterId,
    pub(crate) unit: Unit,
    pub(crate) class: QuotaClass,
    pub(crate) amounts: Amounts,
    /// When it will have it.
    pub(crate) at: Timestamp,
}

impl Wanted<'_> {
    /// The least that any request could want, of a class that nothing is known of.
    pub(crate) fn anything(classes: &QuotaClasses) -> Self {
        Self {
            model: None,
            class_name: "",
            class: classes.known(""),
            amounts: Amounts::SMALLEST,
            tags: &[],
            excluded: &[],
            avoided: None,
            only: None,
            booked: &[],
        }
    }
}

/// A ready key found unable to take even the smallest demand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocked {
    pub(crate) index: usize,
    /// Until when; `None` until a request in flight ends.
    pub(crate) until: Option<Timestamp>,
    /// By its group's meters rather than its own.
    pub(crate) by_group: bool,
}

pub(crate) type AllBlocked = SmallVec<[Blocked; 4]>;

/// Answers a pick's questions, and remembers which keys need not be asked again for a while.
pub(crate) struct Chooser<'a> {
    pub(crate) now: Timestamp,
    pub(crate) era: u64,
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) keys: &'a Slab<Key>,
    pub(crate) groups: &'a Slab<Group>,
    pub(crate) classes: &'a QuotaClasses,
    pub(crate) blocked: AllBlocked,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(
        now: Timestamp,
        wanted: &'a Wanted<'a>,
        keys: &'a Slab<Key>,
        groups: &'a Slab<Group>,
        classes: &'a QuotaClasses,
    ) -> Self {
        let era = era_of(now);
        Self {
            now,
            era,
            wanted,
            keys,
            groups,
            classes,
            blocked: AllBlocked::new(),
        }
    }

    /// Whether nothing but room stands against it: the cheap questions first.
    fn suits(&self, key: &Key) -> bool {
        let wanted = self.wanted;
        !wanted.excluded.contains(&key.id)
            && wanted.avoided != Some(key.id)
            && (wanted.tags.is_empty() || key.has_tags(wanted.tags))
            && (key.bars.is_empty()
                || wanted
                    .model
                    .is_none_or(|model| key.bars.get(model, wanted.class_name, self.now).is_none()))
    }

    /// Whether a grant would take room that an older request is about to get.
    fn is_booked(&self, unit: Unit, meters: &Meters) -> bool {
        self.wanted.booked.iter().any(|booking| {
            booking.unit == unit
                && meters
                    .metered_after(
                        self.now,
                        booking.class,
                        &self.wanted.amounts,
                        &booking.amounts,
                    )
                    .is_none_or(|at| at > booking.at)
        })
    }

    fn note_if_blocked(&mut self, index: usize, key: &Key) {
        let until = key.meters.smallest_until(self.now, self.classes.all());
        if key.meters.is_busy() || key.health.is_on_trial() {
            self.blocked.push(Blocked {
                index,
                until: None,
                by_group: false,
            });
        } else if until > self.now {
            self.blocked.push(Blocked {
                index,
                until: Some(until),
                by_group: false,
            });
        }
    }

    /// A busy group is not noted: it may have room again after the very next outcome.
    fn note_if_group_blocked(&mut self, index: usize, group: &Group) {
        let until = group.meters.smallest_until(self.now, self.classes.all());
        if until > self.now && !group.meters.is_busy() {
            self.blocked.push(Blocked {
                index,
                until: Some(until),
                by_group: true,
            });
        }
    }
}

impl Candidates for Chooser<'_> {
    fn fits(&mut self, index: usize) -> bool {
        let keys = self.keys;
        let Some(key) = keys.at(index) else {
            return false;
        };
        if !self.suits(key) {
            return false;
        }
        let (now, wanted) = (self.now, self.wanted);
        if key.health.is_on_trial() || !key.meters.fits(now, wanted.class, &wanted.amounts) {
            self.note_if_blocked(index, key);
            return false;
        }
        let groups = self.groups;
        let group = key
            .group
            .and_then(|handle| groups.get(handle).map(|group| (handle, group)));
        if let Some((_, group)) = group
            && !group.meters.fits(now, wanted.class, &wanted.amounts)
        {
            self.note_if_group_blocked(index, group);
            return false;
        }
        if wanted.booked.is_empty() && wanted.only.is_none() {
            return true;
        }
        let (unit, meters) = match group {
            Some((handle, group)) => (Some(Unit::Group(handle)), &group.meters),
            None => (keys.handle_at(index).map(Unit::Key), &key.meters),
        };
        unit.is_some_and(|unit| {
            wanted.only.is_none_or(|only| only == unit) && !self.is_booked(unit, meters)
        })
    }

    fn load(&self, index: usize) -> Load {
        match self.keys.at(index) {
            Some(key) => load_of(key, self.groups, self.now, self.era, self.wanted.class),
            None => Load {
                ratio: f64::INFINITY,
                in_flight: f64::INFINITY,
                recent: f64::INFINITY,
                last_grant: u64::MAX,
                position: u64::MAX,
            },
        }
    }
}

/// Used share of the tightest limit of a key and its group.
pub(crate) fn ratio_of(key: &Key, groups: &Slab<Group>, now: Timestamp, class: QuotaClass) -> f64 {
    let own = key.meters.load(now, class);
    let group = key.group.and_then(|group| groups.get(group));
    group.map_or(own, |group| own.max(group.meters.load(now, class)))
}

pub(crate) fn load_of(
    key: &Key,
    groups: &Slab<Group>,
    now: Timestamp,
    era: u64,
    class: QuotaClass,
) -> Load {
    let ratio = ratio_of(key, groups, now, class);
    let in_flight = f64::from(key.meters.in_flight());
    let surcharge = key
        .ramp
        .and_then(|ramp| ramp.surcharge(now))
        .unwrap_or_default();
    Load {
        ratio: ratio + surcharge.0,
        in_flight: in_flight + surcharge.1,
        recent: key.recent.weighted_in(era),
        last_grant: key.last_grant,
        position: key.position,
    }
}
