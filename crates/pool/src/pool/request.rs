//! From a demand to a lease, a place in the queue, or a refusal.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bounds::REFUSAL_MEMORY_ABOVE;
use crate::chooser::{AllBlocked, Blocked, Chooser, Wanted};
use crate::demand::Demand;
use crate::id::KeyId;
use crate::key::Place;
use crate::lease::{Lease, Ticket};
use crate::meter::Amounts;
use crate::quota_class::QuotaClass;
use crate::ready::Candidates;
use crate::recent::{era_of, weight};
use crate::refusal::{Admission, Refusal, RefusalReason};
use crate::time::Timestamp;
use crate::unit::Unit;
use crate::urgency::Urgency;

use super::Pool;
use super::home::Home;

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
    class_name: String,
    class: QuotaClass,
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
            && self.class == wanted.class
            && wanted.only.is_none()
            && self.tags == wanted.tags
            && self.excluded.as_slice() == wanted.excluded
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            model: Some(&self.model),
            class_name: &self.class_name,
            class: self.class,
            amounts: self.amounts,
            tags: &self.tags,
            excluded: &self.excluded,
            avoided: None,
            only: None,
            booked: &[],
        }
    }

    /// Some key has room from that instant on.
    pub(super) fn hold_until(&mut self, at: Option<Timestamp>) {
        let known = self.refusal.retry_at;
        self.refusal.retry_at = [known, at].into_iter().flatten().min();
    }
}

impl Pool {
    /// Grants a key that can take the demand now, with its quota reserved; or, if it may wait and there
    /// will be room in time, takes it into the queue; or tells why neither, and when there could be room.
    pub fn handle_request(&mut self, now: Timestamp, demand: &Demand<'_>) -> Admission {
        self.begin(now);
        if let Some(refusal) = self.barred(demand.model) {
            return Admission::Refused(refusal);
        }
        if demand.is_retry {
            return self.admit_retry(demand);
        }
        self.admit(demand)
    }

    /// As [`Self::handle_request`], for a demand that may be looked at.
    pub(super) fn admit(&mut self, demand: &Demand<'_>) -> Admission {
        self.wake_parked();
        let others_wait = !self.queue.is_empty();
        if others_wait {
            // Room that they were not offered yet is theirs.
            self.serve();
        }
        let class = self.class_of(demand);
        let home = self.home_of(demand);
        let wait = demand.wait;
        let entry = wait
            .filter(|_| others_wait)
            .map(|wait| self.entry(demand, class, &home, &wait));
        if let Some(entry) = entry.as_ref()
            && self.queue.head_of(&entry.lane).is_some()
        {
            return self.queue_up(entry.clone(), class);
        }
        let refusal = match self.grant_now(demand, class, &home) {
            Ok(lease) => return Admission::Granted(lease),
            Err(refusal) => refusal,
        };
        match wait {
            Some(wait)
                if refusal.reason == RefusalReason::NoRoom
                    && refusal.retry_at.is_some_and(|at| at <= wait.until) =>
            {
                let entry = entry.unwrap_or_else(|| self.entry(demand, class, &home, &wait));
                self.queue_up(entry, class)
            }
            _ => {
                let urgency = wait.map_or_else(Urgency::default, |wait| wait.urgency);
                Admission::Refused(self.behind_others(refusal, class, urgency))
            }
        }
    }

    /// What a demand wants of the quota that it is not at home on.
    pub(super) fn wanted<'a>(&self, demand: &Demand<'a>, class: QuotaClass) -> Wanted<'a> {
        let (input_tokens, output_tokens) = self.estimates.reserve(
            class.number(),
            demand.input_tokens,
            demand.output_tokens,
            None,
        );
        Wanted {
            model: Some(demand.model),
            class_name: demand.class_name(),
            class,
            amounts: Amounts {
                requests: 1,
                input_tokens,
                output_tokens,
            },
            tags: demand.tags,
            excluded: demand.excluded,
            avoided: None,
            only: None,
            booked: &[],
        }
    }

    /// The demand's model class. Keys that were parked since no class known so far could use them are
    /// let back for a new one.
    pub(super) fn class_of(&mut self, demand: &Demand<'_>) -> QuotaClass {
        let (class, is_new) = self.classes.class_of(demand.class_name());
        if is_new && self.classes.all().len() > 1 {
            self.unpark_all();
        }
        class
    }

    /// A lease, or why there is none.
    fn grant_now(
        &mut self,
        demand: &Demand<'_>,
        class: QuotaClass,
        home: &Home,
    ) -> Result<Lease, Refusal> {
        let booked = self.booked_by_others(None);
        let wanted = Wanted {
            booked: &booked,
            ..self.wanted(demand, class)
        };
        if let Some(known) = &self.refused
            && known.answers(&wanted, self.now)
        {
            return Err(known.refusal);
        }
        if let Some(lease) = self.grant_at_home(demand, &wanted, home) {
            return Ok(lease);
        }
        let wanted = Wanted {
            only: home.bound(),
            ..wanted
        };
        if home.is_worth_waiting(self, &wanted, demand.wait.as_ref()) {
            return Err(home.awaited(self, &wanted));
        }
        let picked = self.choose_avoiding(&wanted, home.avoided());
        let lease = picked.and_then(|index| self.grant(index, demand, &wanted));
        lease.ok_or_else(|| self.refuse(&wanted))
    }

    /// [`Self::choose_and_park`], with another key than one if there is any.
    pub(super) fn choose_avoiding(
        &mut self,
        wanted: &Wanted<'_>,
        avoided: Option<KeyId>,
    ) -> Option<usize> {
        let elsewhere = avoided.and_then(|_| self.choose_and_park(&Wanted { avoided, ..*wanted }));
        elsewhere.or_else(|| self.choose_and_park(wanted))
    }

    /// [`Self::choose`], with what was learnt on the way put to use.
    pub(super) fn choose_and_park(&mut self, wanted: &Wanted<'_>) -> Option<usize> {
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
        if self.is_occupied() {
            return None;
        }
        if let Some(unit) = wanted.only {
            return self.best_of(unit, wanted);
        }
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
        let fits = ready && self.chooser(wanted).fits(handle.index());
        fits.then(|| handle.index())
    }

    pub(super) fn chooser<'a>(&'a self, wanted: &'a Wanted<'a>) -> Chooser<'a> {
        Chooser::new(self.now, wanted, &self.keys, &self.groups, &self.classes)
    }

    pub(super) fn pick(
        &mut self,
        matching: &[usize],
        wanted: &Wanted<'_>,
        blocked: &mut AllBlocked,
    ) -> Option<usize> {
        let mut chooser = Chooser::new(self.now, wanted, &self.keys, &self.groups, &self.classes);
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

    /// Grants a key that fits. The caller has made sure that it does.
    pub(super) fn grant(
        &mut self,
        index: usize,
        demand: &Demand<'_>,
        wanted: &Wanted<'_>,
    ) -> Option<Lease> {
        let now = self.now;
        let reserved = wanted.amounts;
        let handle = self.keys.handle_at(index)?;
        let number = self.next_lease;
        let key = self.keys.get_mut(handle)?;
        self.next_lease += 1;
        self.rotation = None;
        self.last_granted = Some(key.id);
        self.in_flight = self.in_flight.saturating_add(1);

        let before = key.ranking();
        key.last_grant = number;
        if key.place == Place::Ready {
            self.selector.granted(index, &before, &key.ranking());
        }
        key.meters.reserve(now, &reserved);
        let (era, weighted) = (era_of(now), traffic(&reserved) * weight(now));
        key.recent.add_weighted(era, weighted);
        self.recent.add_weighted(era, weighted);
        key.ramp = key.ramp.filter(|ramp| ramp.surcharge(now).is_some());
        key.record.granted(now);
        key.health.granted(number, now);
        let (id, group) = (key.id, key.group);
        let (on_trial, full) = (key.health.is_on_trial(), key.meters.is_busy());
        let owner = match group.and_then(|group| self.groups.get_mut(group)) {
            Some(group) => {
                group.meters.reserve(now, &reserved);
                group.recent.add_weighted(era, weighted);
                &mut group.meters
            }
            None => &mut key.meters,
        };
        let mark = owner.reserve_class(now, wanted.class, number, &reserved);
        if on_trial {
            self.reschedule(handle);
        }
        if on_trial || full {
            self.move_to(handle, Place::Parked(None));
        }
        let unit = group.map_or(Unit::Key(handle), Unit::Group);
        self.settle_in(demand, unit, &reserved);
        let ticket = Ticket {
            number,
            key: id,
            slot: handle,
            group,
            reserved,
            asked: Amounts {
                requests: 1,
                input_tokens: demand.input_tokens,
                output_tokens: demand.output_tokens,
            },
            class: wanted.class,
            mark,
            session: demand.session,
            state: SmallVec::from_slice(demand.state),
            granted_at: now,
            model: Some(self.models.share(demand.model)),
        };
        Some(Lease::new(ticket, Arc::clone(&self.drop_box)))
    }

    fn refuse(&mut self, wanted: &Wanted<'_>) -> Refusal {
        let refusal = self.refusal(wanted);
        // A tried key may have room this instant: such an answer would be stale at once.
        if self.keys.len() > REFUSAL_MEMORY_ABOVE
            && refusal.reason != RefusalReason::AllTried
            && wanted.only.is_none()
        {
            self.refused = Some(RememberedRefusal {
                model: wanted.model.unwrap_or_default().to_owned(),
                class_name: wanted.class_name.to_owned(),
                class: wanted.class,
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
