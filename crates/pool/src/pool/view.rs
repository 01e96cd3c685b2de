//! What the pool shows of itself.

use crate::chooser::{AllBlocked, Wanted, ratio_of};
use crate::demand::Demand;
use crate::explain::{Explanation, Standing};
use crate::id::KeyId;
use crate::slab::Handle;
use crate::snapshot::{GroupSnapshot, KeySnapshot, PoolSnapshot};
use crate::strategy::Strategy;
use crate::time::Timestamp;

use super::Pool;
use super::appraise::Appraisal;

impl Pool {
    /// The strategy in force.
    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        self.selector.strategy()
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
            keys: keys.map(|key| key.snapshot(now)).collect(),
            groups: groups
                .map(|group| GroupSnapshot {
                    name: group.name.clone(),
                    in_flight: group.meters.in_flight(),
                    meters: group.meters.snapshot(now),
                })
                .collect(),
        }
    }

    /// One key as it is now.
    pub fn key_snapshot(&mut self, now: Timestamp, key: KeyId) -> Option<KeySnapshot> {
        self.begin(now);
        let handle = *self.by_id.get(&key)?;
        self.keys.get(handle).map(|key| key.snapshot(self.now))
    }

    /// What [`Self::handle_request`] would do with this demand now, and why, key by key. No grant
    /// is made, and no later answer changes by it.
    pub fn explain(&mut self, now: Timestamp, demand: &Demand<'_>) -> Explanation {
        self.begin(now);
        self.wake_parked();
        let wanted = Wanted::of(demand);
        let chosen = self.foresee(&wanted);
        let matching = self.selector.matching(wanted.model);
        let keys = self.order.values().filter_map(|&handle| {
            let key = self.keys.get(handle)?;
            let appraisal = self.appraise(key, &wanted, &matching);
            let load = ratio_of(key, &self.groups, self.now);
            Some((key.id, standing(&appraisal, chosen == Some(handle), load)))
        });
        Explanation {
            keys: keys.collect(),
            refusal: chosen.is_none().then(|| self.refusal(&wanted)),
        }
    }

    /// The key that a grant would fall on. No randomness is spent and no key parked: both would
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
