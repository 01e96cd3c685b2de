//! The questions a pick asks about a key: does it fit, and how loaded is it?

use smallvec::SmallVec;

use crate::demand::Demand;
use crate::group::Group;
use crate::id::KeyId;
use crate::key::Key;
use crate::meter::Amounts;
use crate::ready::Candidates;
use crate::ready::least_loaded::Load;
use crate::recent::era_of;
use crate::slab::Slab;
use crate::time::Timestamp;

/// A demand as the pool sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Without one any key will do, whatever its models.
    pub(crate) model: Option<&'a str>,
    pub(crate) amounts: Amounts,
    pub(crate) tags: &'a [String],
    pub(crate) excluded: &'a [KeyId],
    /// A key to avoid, when the next grant is to go to another.
    pub(crate) avoided: Option<KeyId>,
}

impl<'a> Wanted<'a> {
    pub(crate) const fn of(demand: &Demand<'a>) -> Self {
        Self {
            model: Some(demand.model),
            amounts: Amounts {
                requests: 1,
                input_tokens: demand.input_tokens,
                output_tokens: demand.output_tokens,
            },
            tags: demand.tags,
            excluded: demand.excluded,
            avoided: None,
        }
    }

    /// The least that any request could want.
    pub(crate) const fn anything() -> Self {
        Self {
            model: None,
            amounts: Amounts::SMALLEST,
            tags: &[],
            excluded: &[],
            avoided: None,
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
    pub(crate) blocked: AllBlocked,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(
        now: Timestamp,
        wanted: &'a Wanted<'a>,
        keys: &'a Slab<Key>,
        groups: &'a Slab<Group>,
    ) -> Self {
        let era = era_of(now);
        Self {
            now,
            era,
            wanted,
            keys,
            groups,
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
                    .is_none_or(|model| key.bars.get(model, self.now).is_none()))
    }

    fn note_if_blocked(&mut self, index: usize, key: &Key) {
        let until = key.meters.metered_until(self.now, &Amounts::SMALLEST);
        if key.meters.is_busy() || key.health.is_on_trial() {
            self.blocked.push(Blocked {
                index,
                until: None,
                by_group: false,
            });
        } else if until.is_some_and(|until| until > self.now) {
            self.blocked.push(Blocked {
                index,
                until,
                by_group: false,
            });
        }
    }

    /// A busy group is not noted: it may have room again after the very next outcome.
    fn note_if_group_blocked(&mut self, index: usize, group: &Group) {
        let until = group.meters.metered_until(self.now, &Amounts::SMALLEST);
        if until.is_some_and(|until| until > self.now) {
            self.blocked.push(Blocked {
                index,
                until,
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
        if key.health.is_on_trial() || !key.meters.fits(self.now, &self.wanted.amounts) {
            self.note_if_blocked(index, key);
            return false;
        }
        let groups = self.groups;
        if let Some(group) = key.group.and_then(|group| groups.get(group))
            && !group.meters.fits(self.now, &self.wanted.amounts)
        {
            self.note_if_group_blocked(index, group);
            return false;
        }
        true
    }

    fn load(&self, index: usize) -> Load {
        match self.keys.at(index) {
            Some(key) => load_of(key, self.groups, self.now, self.era),
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
pub(crate) fn ratio_of(key: &Key, groups: &Slab<Group>, now: Timestamp) -> f64 {
    let own = key.meters.load(now);
    let group = key.group.and_then(|group| groups.get(group));
    group.map_or(own, |group| own.max(group.meters.load(now)))
}

pub(crate) fn load_of(key: &Key, groups: &Slab<Group>, now: Timestamp, era: u64) -> Load {
    let ratio = ratio_of(key, groups, now);
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
