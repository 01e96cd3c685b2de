//! What the pool shows of itself.

use std::collections::BTreeMap;

use crate::chooser::{AllBlocked, Wanted, ratio_of};
use crate::config::Sequential;
use crate::demand::Demand;
use crate::explain::{Explanation, Standing};
use crate::id::KeyId;
use crate::key::Key;
use crate::slab::Handle;
use crate::snapshot::{AffinitySnapshot, GroupSnapshot, KeySnapshot, PoolSnapshot};
use crate::strategy::Strategy;
use crate::time::Timestamp;
use crate::unit::Unit;

use super::Pool;
use super::appraise::Appraisal;

impl Pool {
    /// The strategy in force.
    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        self.selector.strategy()
    }

    /// Whether one request is served at a time.
    #[must_use]
    pub const fn sequential(&self) -> Sequential {
        self.sequential
    }

    /// Requests in flight on all keys together.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// What is remembered of sessions.
    pub fn affinity_snapshot(&mut self, now: Timestamp) -> AffinitySnapshot {
        self.begin(now);
        self.pins.expire(self.now);
        self.origins.expire(self.now);
        let mut homes: BTreeMap<String, usize> = BTreeMap::new();
        for pin in self.pins.values() {
            let name = match self.resolve(pin.unit) {
                Unit::Key(handle) => self.keys.get(handle).map(|key| key.id.to_string()),
                Unit::Group(handle) => self.groups.get(handle).map(|group| group.name.clone()),
            };
            if let Some(name) = name {
                *homes.entry(name).or_default() += 1;
            }
        }
        AffinitySnapshot {
            config: self.affinity,
            sessions: self.pins.len(),
            states: self.origins.len(),
            counts: self.affinity_counts,
            homes: homes.into_iter().collect(),
        }
    }

    /// Forgets all sessions; tells how many. State that is bound to an account stays remembered.
    pub fn forget_sessions(&mut self, now: Timestamp) -> usize {
        self.begin(now);
        self.pins.expire(self.now);
        let forgotten = self.pins.len();
        self.pins.clear();
        forgotten
    }

    /// All keys and groups as they are now. Takes time in proportion to their number.
    pub fn snapshot(&mut self, now: Timestamp) -> PoolSnapshot {
        self.begin(now);
        let now = self.now;
        let keys = self
            .order
            .values()
            .filter_map(|&handle| self.keys.get(handle));
        let groups = self
            .groups_by_name
            .values()
            .filter_map(|&handle| self.groups.get(handle));
        PoolSnapshot {
            strategy: self.strategy(),
            keys: keys.map(|key| self.shown(key)).collect(),
            groups: groups
                .map(|group| GroupSnapshot {
                    name: group.name.clone(),
                    in_flight: group.meters.in_flight(),
                    is_learned: group.is_learned,
                    meters: group.meters.snapshot(now, |class| {
                        self.classes.name(class).unwrap_or_default().to_owned()
                    }),
                })
                .collect(),
        }
    }

    /// One key as it is now.
    pub fn key_snapshot(&mut self, now: Timestamp, key: KeyId) -> Option<KeySnapshot> {
        self.begin(now);
        let handle = *self.by_id.get(&key)?;
        self.keys.get(handle).map(|key| self.shown(key))
    }

    /// Whether some key's own list has the model, or some key has no list. Its state is not looked at.
    #[must_use]
    pub fn lists_model(&self, model: &str) -> bool {
        !self.selector.matching(Some(model)).is_empty()
    }

    fn shown(&self, key: &Key) -> KeySnapshot {
        let group = key.group.and_then(|group| self.groups.get(group));
        let name = group.map(|group| group.name.clone());
        key.snapshot(self.now, &self.classes, name)
    }

    /// What [`Self::handle_request`] would do with this demand now, and why, key by key. No grant
    /// is made, and no later answer changes by it.
    pub fn explain(&mut self, now: Timestamp, demand: &Demand<'_>) -> Explanation {
        self.begin(now);
        self.wake_parked();
        let class = self.class_of(demand);
        let home = self.home_of(demand);
        let booked = self.booked_by_others(None);
        let wanted = Wanted {
            only: home.bound(),
            booked: &booked,
            ..self.wanted(demand, class)
        };
        let waits = home.is_worth_waiting(self, &wanted, demand.wait.as_ref());
        let at_home = self.choice_at_home(&wanted, &home);
        let chosen = match at_home.and_then(|index| self.keys.handle_at(index)) {
            None if waits => None,
            None => self.foresee(&wanted),
            at_home => at_home,
        };
        let matching = self.selector.matching(wanted.model);
        let keys = self.order.values().filter_map(|&handle| {
            let key = self.keys.get(handle)?;
            let appraisal = self.appraise(key, &wanted, &matching);
            let load = ratio_of(key, &self.groups, self.now, class);
            Some((key.id, standing(&appraisal, chosen == Some(handle), load)))
        });
        Explanation {
            keys: keys.collect(),
            refusal: self.would_be_barred(demand.model).or_else(|| {
                chosen.is_none().then(|| {
                    if waits {
                        home.awaited(self, &wanted)
                    } else {
                        self.refusal(&wanted)
                    }
                })
            }),
        }
    }

    /// The key that a grant would fall on away from home. No randomness is spent and no key parked: both would
    /// lead the next draw elsewhere.
    fn foresee(&mut self, wanted: &Wanted<'_>) -> Option<Handle> {
        let rng = self.selector.rng().clone();
        let index = self.choose(wanted, &mut AllBlocked::new());
        *self.selector.rng() = rng;
        index.and_then(|index| self.keys.handle_at(index))
    }
}

const fn standing(appraisal: &Appraisal, chosen: bool, load: f64) -> Standing {
    match appraisal.bar {
        Some(reason) => Standing::Barred {
            reason,
            until: appraisal.until,
        },
        None if chosen => Standing::Chosen { load },
        None => Standing::Eligible { load },
    }
}
