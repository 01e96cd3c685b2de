//! From a demand to a lease or a refusal.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bounds::REFUSAL_MEMORY_ABOVE;
use crate::chooser::{AllBlocked, Blocked, Chooser, Wanted};
use crate::demand::Demand;
use crate::id::KeyId;
use crate::key::Place;
use crate::lease::{Lease, Ticket};
use crate::meter::Amounts;
use crate::ready::Candidates;
use crate::refusal::{Admission, Refusal, RefusalReason};
use crate::time::Timestamp;

use super::Pool;

/// An operator's wish that the next grant goes to another key than the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    pub(super) from: Option<KeyId>,
    pub(super) to: KeyId,
}

/// The last refusal of a large pool, and the demand that met it.
#[derive(Debug)]
pub(super) struct RememberedRefusal {
    model: String,
    tags: Vec<String>,
    excluded: SmallVec<[KeyId; 4]>,
    amounts: Amounts,
    refusal: Refusal,
}

impl RememberedRefusal {
    fn answers(&self, wanted: &Wanted<'_>, now: Timestamp) -> bool {
        self.refusal.retry_at.is_none_or(|at| now < at)
            && self.amounts == wanted.amounts
            && wanted.model == Some(self.model.as_str())
            && self.tags == wanted.tags
            && self.excluded.as_slice() == wanted.excluded
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            model: Some(&self.model),
            amounts: self.amounts,
            tags: &self.tags,
            excluded: &self.excluded,
            avoided: None,
        }
    }

    /// Some key has room from that instant on.
    pub(super) fn hold_until(&mut self, at: Option<Timestamp>) {
        let known = self.refusal.retry_at;
        self.refusal.retry_at = [known, at].into_iter().flatten().min();
    }
}

impl Pool {
    /// Grants a key that can take the demand now, with its quota reserved, or tells why none can
    /// and when one could.
    pub fn handle_request(&mut self, now: Timestamp, demand: &Demand<'_>) -> Admission {
        self.begin(now);
        self.wake_parked();
        let wanted = Wanted::of(demand);
        if let Some(known) = &self.refused
            && known.answers(&wanted, self.now)
        {
            return Admission::Refused(known.refusal);
        }
        let picked = self.choose_and_park(&wanted);
        let lease = picked.and_then(|index| self.grant(index, demand));
        match lease {
            Some(lease) => Admission::Granted(lease),
            None => Admission::Refused(self.refuse(&wanted)),
        }
    }

    /// [`Self::choose`], with what was learnt on the way put to use.
    fn choose_and_park(&mut self, wanted: &Wanted<'_>) -> Option<usize> {
        let mut blocked = AllBlocked::new();
        let chosen = self.choose(wanted, &mut blocked);
        for blocked in blocked {
            self.park(&blocked);
        }
        chosen
    }

    /// The key that serves a demand, by rotation or strategy; and those that were found unable to
    /// serve any.
    pub(super) fn choose(
        &mut self,
        wanted: &Wanted<'_>,
        blocked: &mut AllBlocked,
    ) -> Option<usize> {
        let matching = self.selector.matching(wanted.model);
        if let Some(rotation) = self.rotation {
            let promised = self.promised(&rotation, &matching, wanted);
            let elsewhere = Wanted {
                avoided: rotation.from,
                ..*wanted
            };
            let other = promised.or_else(|| self.pick(&matching, &elsewhere, blocked));
            if other.is_some() {
                return other;
            }
        }
        self.pick(&matching, wanted, blocked)
    }

    fn promised(
        &self,
        rotation: &Rotation,
        matching: &[usize],
        wanted: &Wanted<'_>,
    ) -> Option<usize> {
        let handle = *self.by_id.get(&rotation.to)?;
        let key = self.keys.get(handle)?;
        let ready = key.place == Place::Ready && matching.contains(&key.class);
        let mut chooser = Chooser::new(self.now, wanted, &self.keys, &self.groups);
        (ready && chooser.fits(handle.index())).then(|| handle.index())
    }

    pub(super) fn pick(
        &mut self,
        matching: &[usize],
        wanted: &Wanted<'_>,
        blocked: &mut AllBlocked,
    ) -> Option<usize> {
        let mut chooser = Chooser::new(self.now, wanted, &self.keys, &self.groups);
        let picked = self.selector.pick(matching, &mut chooser);
        blocked.append(&mut chooser.blocked);
        picked
    }

    /// Takes a key out of the ready ones until it can serve again.
    fn park(&mut self, blocked: &Blocked) {
        let Some(handle) = self.keys.handle_at(blocked.index) else {
            return;
        };
        if blocked.by_group
            && let Some(group) = self.keys.get(handle).and_then(|key| key.group)
            && let Some(group) = self.groups.get_mut(group)
        {
            group.has_parked = true;
        }
        self.move_to(handle, Place::Parked(blocked.until));
    }

    fn grant(&mut self, index: usize, demand: &Demand<'_>) -> Option<Lease> {
        let now = self.now;
        let reserved = Wanted::of(demand).amounts;
        let handle = self.keys.handle_at(index)?;
        let number = self.next_lease;
        let key = self.keys.get_mut(handle)?;
        self.next_lease += 1;
        self.rotation = None;
        self.last_granted = Some(key.id);

        let before = key.ranking();
        key.last_grant = number;
        self.selector.granted(index, &before, &key.ranking());
        key.meters.reserve(now, &reserved);
        key.recent.add(now, traffic(&reserved));
        key.ramp = key.ramp.filter(|ramp| ramp.surcharge(now).is_some());
        key.record.granted(now);
        key.health.granted(number, now);
        let (id, group) = (key.id, key.group);
        let (on_trial, full) = (key.health.is_on_trial(), key.meters.is_busy());
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.meters.reserve(now, &reserved);
        }
        if on_trial {
            self.reschedule(handle);
        }
        if on_trial || full {
            self.move_to(handle, Place::Parked(None));
        }
        let ticket = Ticket {
            number,
            key: id,
            slot: handle,
            group,
            reserved,
            granted_at: now,
            model: Some(self.models.share(demand.model)),
        };
        Some(Lease::new(ticket, Arc::clone(&self.drop_box)))
    }

    fn refuse(&mut self, wanted: &Wanted<'_>) -> Refusal {
        let refusal = self.refusal(wanted);
        // A tried key may have room this instant: such an answer would be stale at once.
        if self.keys.len() > REFUSAL_MEMORY_ABOVE && refusal.reason != RefusalReason::AllTried {
            self.refused = Some(RememberedRefusal {
                model: wanted.model.unwrap_or_default().to_owned(),
                tags: wanted.tags.to_vec(),
                excluded: wanted.excluded.into(),
                amounts: wanted.amounts,
                refusal,
            });
        }
        refusal
    }
}

/// Traffic as least-loaded counts it: requests and tokens.
#[expect(
    clippy::cast_precision_loss,
    reason = "a load is compared, not accounted"
)]
pub(super) fn traffic(amounts: &Amounts) -> f64 {
    amounts.requests as f64 + amounts.tokens() as f64
}
