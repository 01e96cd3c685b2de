//! The queue at work: who goes when there is room.
//!
//! Requests wait for exactly as long as they must: the pool knows the instant at which the next of them
//! fits, and each settlement is offered to them at once. Nothing polls. The heads of the lanes are tried
//! in the order of service; one that does not fit *books* the quota that will have room for it first,
//! and those behind it may use that quota only as far as this does not make it wait any longer. So small
//! requests pass a large one that blocks the way, and never starve it.
//!
//! Worked example: a key with 400 tokens left, refilling by 100 a second. A request for 1000 comes first
//! and books it for six seconds from now. One for 300 behind it would put that off by three seconds, so
//! it waits; where the key's window is cleared at the turn of the minute instead, it goes: the large one
//! has to wait for the turn anyway.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::bounds::{BOOKING_LOOKS_MAX, CONCURRENCY_RETRY, SERVED_WHOLE_MAX, UNBOOKED_RETRY};
use crate::chooser::{Booking, Wanted};
use crate::key::Handles;
use crate::lease::Lease;
use crate::meter::Amounts;
use crate::queue::WaiterId;
use crate::refusal::{RefusalReason, Turn};
use crate::slab::Handle;
use crate::time::Timestamp;
use crate::unit::Unit;
use crate::urgency::Urgency;

use super::Pool;
use super::home::Home;

/// What may have room since the queue was served last.
#[derive(Clone, Debug, Default)]
pub(super) struct Gains {
    everything: bool,
    units: SmallVec<[Unit; 4]>,
}

impl Gains {
    pub(super) const fn everything(&mut self) {
        self.everything = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.everything && self.units.is_empty()
    }

    fn unit(&mut self, unit: Unit) {
        if self.units.len() >= self.units.inline_size() {
            self.everything = true;
        } else if !self.units.contains(&unit) {
            self.units.push(unit);
        }
    }
}

type Whose = (u64, Urgency);
type Place = (bool, Timestamp, WaiterId);
pub(super) type Booked = SmallVec<[Booking; 4]>;

impl Pool {
    /// A key has got room, or its group has.
    pub(super) fn gained(&mut self, handle: Handle) {
        if self.queue.is_empty() {
            return;
        }
        let group = self.keys.get(handle).and_then(|key| key.group);
        self.gains
            .unit(group.map_or(Unit::Key(handle), Unit::Group));
    }

    /// Room that is saved for those that wait and do not have to give way to one of them.
    pub(super) fn booked_by_others(&self, than: Option<WaiterId>) -> Booked {
        if self.bookings.is_empty() {
            return Booked::new();
        }
        let than = than.and_then(|id| self.arrival(id));
        let bars = |booking: &&Booking| {
            self.arrival(booking.waiter)
                .is_some_and(|(whose, at)| than.is_none_or(|(of, place)| whose != of || at < place))
        };
        self.bookings.iter().filter(bars).copied().collect()
    }

    /// Whose a waiting request is, and its place among those of the same tenant and urgency.
    fn arrival(&self, id: WaiterId) -> Option<(Whose, Place)> {
        let entry = self.queue.get(id)?;
        let place = (!entry.resumed, entry.since, id);
        Some(((entry.tenant, entry.urgency), place))
    }

    /// Lets go whoever fits now.
    pub(super) fn serve(&mut self) {
        let gains = std::mem::take(&mut self.gains);
        let due = self.queue_wake.is_none_or(|at| at <= self.now);
        let few = self.keys.len() <= SERVED_WHOLE_MAX && !gains.is_empty();
        if gains.everything || due || few {
            self.serve_all();
        } else {
            for unit in gains.units {
                self.serve_from(unit);
            }
        }
    }

    /// Offers all that there is to the heads of the lanes.
    fn serve_all(&mut self) {
        let mut stuck = BTreeSet::new();
        let mut looks = BOOKING_LOOKS_MAX;
        let mut wake: Option<Timestamp> = None;
        self.bookings.clear();
        while let Some(id) = self.next_head(&stuck) {
            for older in self.older_of_same_tenant(id, &stuck) {
                if looks > 0 {
                    looks = looks.saturating_sub(self.keys.len());
                    self.book(older, self.now);
                }
            }
            if let Some(lease) = self.try_waiter(id, None) {
                self.take_turn(id, lease);
                continue;
            }
            let may_look = stuck.is_empty() || looks > 0;
            stuck.insert(id);
            let at = if may_look {
                looks = looks.saturating_sub(self.keys.len());
                // What has room this instant is kept from it by those before it.
                let next = self.now + Duration::from_micros(1);
                self.book(id, next)
            } else {
                Some(self.now + UNBOOKED_RETRY)
            };
            wake = wake.into_iter().chain(at).min();
        }
        // Where nobody knows when there will be room, only what happens can tell.
        let wake = wake.unwrap_or(self.now + CONCURRENCY_RETRY);
        self.queue_wake = Some(wake.max(self.soonest()));
    }

    /// A look at all keys takes a while in a pool of very many: not too often, then.
    fn soonest(&self) -> Timestamp {
        let micros = u64::try_from(self.keys.len()).unwrap_or(u64::MAX);
        self.now + Duration::from_micros(micros.max(1))
    }

    /// The first head of a lane that is not known to be stuck.
    fn next_head(&self, stuck: &BTreeSet<WaiterId>) -> Option<WaiterId> {
        let heads = self.queue.heads();
        heads.into_iter().find(|id| !stuck.contains(id))
    }

    /// Heads of the same tenant and urgency that came before one, and of which nothing is known yet. A
    /// tenant's small requests, in a lane of their own, have sooner turns than its large one; they must not
    /// take what that one waits for all the same.
    fn older_of_same_tenant(
        &self,
        id: WaiterId,
        known: &BTreeSet<WaiterId>,
    ) -> SmallVec<[WaiterId; 4]> {
        let Some((tenant, place)) = self.arrival(id) else {
            return SmallVec::new();
        };
        let heads = self.queue.heads().into_iter();
        heads
            .filter(|head| {
                !known.contains(head)
                    && !self.bookings.iter().any(|booking| booking.waiter == *head)
                    && self
                        .arrival(*head)
                        .is_some_and(|(of, at)| of == tenant && at < place)
            })
            .collect()
    }

    /// Offers the room that one quota got; and to those behind whoever takes it, any room.
    fn serve_from(&mut self, unit: Unit) {
        let heads: BTreeSet<WaiterId> = self.queue.heads().into_iter().collect();
        let mut stuck = BTreeSet::new();
        let mut moved = false;
        while let Some(id) = self.next_head(&stuck) {
            let on = heads.contains(&id).then_some(unit);
            if let Some(lease) = self.try_waiter(id, on) {
                self.take_turn(id, lease);
                moved = true;
                continue;
            }
            stuck.insert(id);
            if let Some(at) = self.room_on(id, unit) {
                self.queue_wake = self.queue_wake.into_iter().chain([at]).min();
            }
        }
        if moved {
            // Where the new heads will have room has to be looked up.
            self.queue_wake = self.queue_wake.into_iter().chain([self.soonest()]).min();
        }
    }

    fn take_turn(&mut self, id: WaiterId, lease: Lease) {
        self.queue.take(self.now, id);
        self.turns.push_back((id, Turn::Granted(lease)));
    }

    /// A lease for a waiting request, on any quota or on one.
    pub(super) fn try_waiter(&mut self, id: WaiterId, on: Option<Unit>) -> Option<Lease> {
        let entry = self.queue.get(id)?;
        let (owned, wait) = (Arc::clone(&entry.demand), entry.wait());
        let demand = owned.view(wait);
        let class = self.class_of(&demand);
        let home = self.home_of(&demand);
        let booked = self.booked_by_others(Some(id));
        let wanted = Wanted {
            booked: &booked,
            ..self.wanted(&demand, class)
        };
        let elsewhere = on.is_some_and(|on| home.preferred() != Some(on));
        if !elsewhere && let Some(lease) = self.grant_at_home(&demand, &wanted, &home) {
            return Some(lease);
        }
        let only = match (self.stays_at(&home, &wanted, owned.home_until), on) {
            (Some(stays), Some(on)) if stays != on => return None,
            (Some(stays), _) => Some(stays),
            (None, on) => on,
        };
        let wanted = Wanted { only, ..wanted };
        let index = self.choose_avoiding(&wanted, home.avoided())?;
        self.grant(index, &demand, &wanted)
    }

    /// The quota that a waiting request would not leave now.
    fn stays_at(&self, home: &Home, wanted: &Wanted<'_>, until: Timestamp) -> Option<Unit> {
        home.bound().or_else(|| {
            let room_at = home.awaited_at(self, wanted)?;
            home.preferred()
                .filter(|_| self.now < until && room_at <= until)
        })
    }

    /// Books the quota that has room for a waiting request first, from some instant on; tells when it should
    /// be tried again.
    fn book(&mut self, id: WaiterId, from: Timestamp) -> Option<Timestamp> {
        if self.is_occupied() {
            return None;
        }
        let entry = self.queue.get(id)?;
        let (owned, wait) = (Arc::clone(&entry.demand), entry.wait());
        let demand = owned.view(wait);
        let class = self.class_of(&demand);
        let home = self.home_of(&demand);
        let anywhere = self.wanted(&demand, class);
        let stays = self.stays_at(&home, &anywhere, owned.home_until);
        let at_home = home.amounts_at_home(self, &anywhere.amounts);
        let first = if let Some(unit) = stays {
            let amounts = if home.preferred() == Some(unit) {
                at_home
            } else {
                anywhere.amounts
            };
            let wanted = Wanted {
                amounts,
                ..anywhere
            };
            self.first_room(&wanted, self.members(unit).into_iter(), from)
        } else {
            let all = self.keys.iter().map(|(handle, _)| handle);
            self.first_room(&anywhere, all, from)
        };
        self.bookings.retain(|booking| booking.waiter != id);
        if let Some((at, unit, amounts)) = first {
            self.bookings.push(Booking {
                waiter: id,
                unit,
                class,
                amounts,
                at,
            });
        }
        let leaves_home = (stays.is_some() && home.bound().is_none()).then_some(owned.home_until);
        first
            .map(|(at, ..)| at)
            .into_iter()
            .chain(leaves_home)
            .min()
    }

    /// The one of these keys that has room first, by its quota; those left out that have it before an
    /// instant.
    fn first_room(
        &self,
        wanted: &Wanted<'_>,
        keys: impl Iterator<Item = Handle>,
        from: Timestamp,
    ) -> Option<(Timestamp, Unit, Amounts)> {
        let matching = self.selector.matching(wanted.model);
        let mut first: Option<(Timestamp, Unit)> = None;
        for handle in keys {
            let Some(key) = self.keys.get(handle) else {
                continue;
            };
            let appraisal = self.appraise(key, wanted, &matching);
            if appraisal.sieve == RefusalReason::NoRoom
                && let Some(at) = appraisal.retry_at
                && at >= from
                && first.is_none_or(|(known, _)| at < known)
            {
                first = Some((at, key.group.map_or(Unit::Key(handle), Unit::Group)));
            }
        }
        first.map(|(at, unit)| (at, unit, wanted.amounts))
    }

    /// When a quota has room for a waiting request.
    fn room_on(&mut self, id: WaiterId, unit: Unit) -> Option<Timestamp> {
        let entry = self.queue.get(id)?;
        let (owned, wait) = (Arc::clone(&entry.demand), entry.wait());
        let demand = owned.view(wait);
        let class = self.class_of(&demand);
        let wanted = self.wanted(&demand, class);
        let members: Handles = self.members(unit);
        let next = self.now + Duration::from_micros(1);
        self.first_room(&wanted, members.into_iter(), next)
            .map(|(at, ..)| at)
    }
}
