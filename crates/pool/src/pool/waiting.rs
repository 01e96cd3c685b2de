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

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::bounds::BACKLOG_TOLD_ABOVE;
use crate::chooser::{Booking, Wanted};
use crate::demand::{Demand, Wait};
use crate::lease::Lease;
use crate::limits::Dimension;
use crate::queue::{Entry, LaneKey, OwnedDemand, WaiterId};
use crate::quota_class::QuotaClass;
use crate::refusal::{Admission, Refusal, RefusalReason, Turn};
use crate::slab::Handle;
use crate::snapshot::QueueSnapshot;
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

    fn unit(&mut self, unit: Unit) {
        if self.units.len() >= self.units.inline_size() {
            self.everything = true;
        } else if !self.units.contains(&unit) {
            self.units.push(unit);
        }
    }
}

impl Pool {
    /// The next waiting request whose turn has come: it was granted, or it need not wait any longer.
    /// Call it after any other call, and at the instant of [`Self::poll_timeout`], until it is `None`.
    pub fn poll_turn(&mut self, now: Timestamp) -> Option<(WaiterId, Turn)> {
        if self.turns.is_empty() && self.queue.is_empty() {
            return None;
        }
        self.begin(now);
        if !self.queue.is_empty() {
            self.wake_parked();
            self.serve();
            self.dismiss_expired();
        }
        self.turns.pop_front()
    }

    /// A waiting request's client has left.
    pub fn cancel(&mut self, now: Timestamp, waiter: WaiterId) {
        self.begin(now);
        if self.queue.remove(waiter).is_some() {
            // It may have been the one that room was saved for.
            self.gains.everything();
        }
    }

    /// Refuses all that wait, or those of one urgency; tells how many.
    pub fn clear_queue(&mut self, now: Timestamp, urgency: Option<Urgency>) -> usize {
        self.begin(now);
        let dismissed = self.queue.clear(urgency, None);
        let count = dismissed.len();
        for (id, entry) in dismissed {
            self.dismiss(id, &entry);
        }
        self.gains.everything();
        count
    }

    /// What waits.
    #[must_use]
    pub fn queue_snapshot(&self) -> QueueSnapshot {
        QueueSnapshot {
            length: self.queue.len(),
            bytes: self.queue.bytes(),
            tokens: self.queue.tokens(),
            by_urgency: Urgency::ALL
                .into_iter()
                .zip(self.queue.by_urgency())
                .collect(),
            oldest_since: self.queue.oldest_since(),
            next_turn_at: self.queue_wake,
        }
    }

    /// A key has got room, or its group has.
    pub(super) fn gained(&mut self, handle: Handle) {
        if self.queue.is_empty() {
            return;
        }
        let group = self.keys.get(handle).and_then(|key| key.group);
        self.gains
            .unit(group.map_or(Unit::Key(handle), Unit::Group));
    }

    /// Takes a request into the queue; it goes at once if it is the first of its lane and there is room.
    pub(super) fn queue_up(
        &mut self,
        demand: &Demand<'_>,
        class: QuotaClass,
        home: &Home,
        wait: &Wait,
    ) -> Admission {
        let entry = self.entry(demand, home, wait);
        let lane = entry.lane.clone();
        if let Some(refusal) = self.waits_in_vain(&entry, class, wait) {
            return Admission::Refused(refusal);
        }
        let Ok(id) = self.queue.push(entry) else {
            let wanted = self.wanted(demand, class);
            let mut refusal = self.refusal(&wanted);
            refusal.retry_at = refusal
                .retry_at
                .max(self.backlog_until(class, wait.urgency));
            return Admission::Refused(refusal);
        };
        if self.queue.head_of(&lane) != Some(id) {
            return Admission::Queued(id);
        }
        if let Some(lease) = self.try_waiter(id, None) {
            self.queue.take(self.now, id);
            return Admission::Granted(lease);
        }
        // A new head: it has a say in when the queue moves next.
        self.gains.everything();
        Admission::Queued(id)
    }

    fn entry(&self, demand: &Demand<'_>, home: &Home, wait: &Wait) -> Entry {
        let owned = OwnedDemand {
            model: Arc::from(demand.model),
            model_class: Arc::from(demand.class_name()),
            input_tokens: demand.input_tokens,
            output_tokens: demand.output_tokens,
            tags: demand.tags.to_vec(),
            excluded: SmallVec::from_slice(demand.excluded),
            session: demand.session,
            state: SmallVec::from_slice(demand.state),
            home: home.preferred().or(home.bound()),
            home_until: self.now + home.patience(),
        };
        let reserved = self.estimates.reserve(
            self.classes.known(demand.class_name()).number(),
            demand.input_tokens,
            demand.output_tokens,
            None,
        );
        Entry {
            lane: LaneKey::of(&owned),
            urgency: wait.urgency,
            tenant: wait.tenant,
            weight: wait.weight,
            tokens: reserved.0.saturating_add(reserved.1),
            bytes: wait.bytes,
            since: wait.since,
            deadline: wait.until,
            resumed: wait.resumed,
            demand: owned,
        }
    }

    /// A refusal for a request that no key would serve before it gives up.
    fn waits_in_vain(&mut self, entry: &Entry, class: QuotaClass, wait: &Wait) -> Option<Refusal> {
        if self.queue.head_of(&entry.lane).is_none() {
            let demand = entry.demand.view(*wait);
            let home = self.home_of(&demand);
            let wanted = Wanted {
                only: home.bound(),
                ..self.wanted(&demand, class)
            };
            let refusal = self.refusal(&wanted);
            if refusal.reason != RefusalReason::NoRoom
                || refusal.retry_at.is_none_or(|at| at > wait.until)
            {
                return Some(refusal);
            }
        }
        let until = self.backlog_until(class, wait.urgency)?;
        (until > wait.until && !wait.resumed).then_some(Refusal {
            reason: RefusalReason::NoRoom,
            retry_at: Some(until),
        })
    }

    /// When those that wait already, of the same urgency or above, will have been served as far as the
    /// limits tell.
    pub(super) fn backlog_until(
        &mut self,
        class: QuotaClass,
        urgency: Urgency,
    ) -> Option<Timestamp> {
        if self.queue.len() <= BACKLOG_TOLD_ABOVE {
            return None;
        }
        let (requests, tokens) = self.queue.ahead_of(urgency);
        let totals = self.totals_of(class);
        let seconds = totals.iter().filter_map(|total| {
            let (waiting, window) = match total.dimension {
                Dimension::RequestsPerMinute => (requests, 60),
                Dimension::RequestsPerSecond => (requests, 1),
                Dimension::TokensPerMinute | Dimension::InputTokensPerMinute => (tokens, 60),
                Dimension::TokensPerSecond => (tokens, 1),
                Dimension::OutputTokensPerMinute
                | Dimension::RequestsPerDay
                | Dimension::TokensPerDay
                | Dimension::MaxConcurrent => return None,
            };
            let beyond = waiting.saturating_sub(total.remaining.max(0).unsigned_abs());
            Some(beyond.saturating_mul(window * 1000) / total.limit.max(1))
        });
        let wait = seconds.max()?;
        Some(self.now + Duration::from_millis(wait))
    }

    /// Lets go whoever fits now.
    fn serve(&mut self) {
        let gains = std::mem::take(&mut self.gains);
        let due = self.queue_wake.is_none_or(|at| at <= self.now);
        if gains.everything || due {
            self.serve_all();
        } else {
            for unit in gains.units {
                self.serve_from(unit);
            }
        }
    }

    /// Offers all that there is to the heads of the lanes.
    fn serve_all(&mut self) {
        let mut stuck: SmallVec<[WaiterId; 8]> = SmallVec::new();
        self.bookings.clear();
        let mut wake: Option<Timestamp> = None;
        'heads: loop {
            for id in self.queue.heads() {
                if stuck.contains(&id) {
                    continue;
                }
                if let Some(lease) = self.try_waiter(id, None) {
                    self.take_turn(id, lease);
                    continue 'heads;
                }
                stuck.push(id);
                if let Some(booking) = self.book(id) {
                    wake = wake.map_or(Some(booking.at), |known| Some(known.min(booking.at)));
                    self.bookings.push(booking);
                }
                let leaves_home = self.queue.get(id).map(|entry| entry.demand.home_until);
                let leaves_home = leaves_home.filter(|&at| at > self.now);
                wake = wake.into_iter().chain(leaves_home).min();
            }
            break;
        }
        // In a pool of very many keys a look at all of them takes a while: not too often, then.
        let micros = u64::try_from(self.keys.len()).unwrap_or(u64::MAX);
        let soonest = self.now + Duration::from_micros(micros.max(1));
        self.queue_wake = wake
            .map(|at| at.max(soonest))
            .or(Some(self.now + Duration::from_secs(1)));
    }

    /// Offers the room that one quota got.
    fn serve_from(&mut self, unit: Unit) {
        let mut stuck: SmallVec<[WaiterId; 8]> = SmallVec::new();
        'heads: loop {
            for id in self.queue.heads() {
                if stuck.contains(&id) {
                    continue;
                }
                if let Some(lease) = self.try_waiter(id, Some(unit)) {
                    self.take_turn(id, lease);
                    continue 'heads;
                }
                stuck.push(id);
                if let Some(at) = self.room_on(id, unit) {
                    self.queue_wake = self.queue_wake.into_iter().chain([at]).min();
                }
            }
            break;
        }
    }

    fn take_turn(&mut self, id: WaiterId, lease: Lease) {
        self.queue.take(self.now, id);
        self.bookings.retain(|booking| booking.waiter != id);
        self.turns.push_back((id, Turn::Granted(lease)));
    }

    /// A lease for a waiting request, on any quota or on one.
    fn try_waiter(&mut self, id: WaiterId, on: Option<Unit>) -> Option<Lease> {
        let entry = self.queue.get(id)?;
        let (owned, wait) = (entry.demand.clone(), entry.wait());
        let demand = owned.view(wait);
        let class = self.class_of(&demand);
        let home = self.home_of(&demand);
        let booked: SmallVec<[Booking; 4]> = self
            .bookings
            .iter()
            .filter(|booking| booking.waiter != id)
            .copied()
            .collect();
        let wanted = Wanted {
            booked: &booked,
            ..self.wanted(&demand, class)
        };
        let elsewhere = on.is_some_and(|on| home.preferred() != Some(on));
        if !elsewhere && let Some(lease) = self.grant_at_home(&demand, &wanted, &home) {
            return Some(lease);
        }
        let stays = home.bound().or_else(|| {
            home.preferred()
                .filter(|&unit| owned.home_until > self.now && self.is_within_share(unit))
                .filter(|_| {
                    home.room_at(self, &wanted)
                        .is_some_and(|at| at <= owned.home_until)
                })
        });
        let only = match (stays, on) {
            (Some(stays), Some(on)) if stays != on => return None,
            (Some(stays), _) => Some(stays),
            (None, on) => on,
        };
        let wanted = Wanted { only, ..wanted };
        let index = self.choose_and_park(&wanted)?;
        self.grant(index, &demand, &wanted)
    }

    /// The quota that has room for a waiting request first, and when.
    fn book(&mut self, id: WaiterId) -> Option<Booking> {
        let entry = self.queue.get(id)?;
        let (owned, wait) = (entry.demand.clone(), entry.wait());
        let demand = owned.view(wait);
        let class = self.class_of(&demand);
        let only = self.home_of(&demand).bound();
        let wanted = Wanted {
            only,
            ..self.wanted(&demand, class)
        };
        let matching = self.selector.matching(wanted.model);
        let mut first: Option<(Timestamp, Unit)> = None;
        for (handle, key) in self.keys.iter() {
            let appraisal = self.appraise(key, &wanted, &matching);
            if appraisal.sieve != RefusalReason::NoRoom {
                continue;
            }
            if let Some(at) = appraisal.retry_at
                && first.is_none_or(|(known, _)| at < known)
            {
                first = Some((at, key.group.map_or(Unit::Key(handle), Unit::Group)));
            }
        }
        first.map(|(at, unit)| Booking {
            waiter: id,
            unit,
            class,
            amounts: wanted.amounts,
            at,
        })
    }

    /// When a quota has room for a waiting request.
    fn room_on(&mut self, id: WaiterId, unit: Unit) -> Option<Timestamp> {
        let entry = self.queue.get(id)?;
        let (owned, wait) = (entry.demand.clone(), entry.wait());
        let demand = owned.view(wait);
        let class = self.class_of(&demand);
        let wanted = self.wanted(&demand, class);
        let matching = self.selector.matching(wanted.model);
        let members = self.members(unit);
        let keys = members.iter().filter_map(|&member| self.keys.get(member));
        keys.map(|key| self.appraise(key, &wanted, &matching))
            .filter(|appraisal| appraisal.sieve == RefusalReason::NoRoom)
            .filter_map(|appraisal| appraisal.retry_at)
            .filter(|&at| at > self.now)
            .min()
    }

    fn dismiss_expired(&mut self) {
        while let Some((id, entry)) = self.queue.pop_expired(self.now) {
            self.dismiss(id, &entry);
            self.gains.everything();
        }
    }

    /// Tells a waiting request that it was not its turn, and when it could be.
    fn dismiss(&mut self, id: WaiterId, entry: &Entry) {
        let demand = entry.demand.view(entry.wait());
        let class = self.class_of(&demand);
        let only = self.home_of(&demand).bound();
        let wanted = Wanted {
            only,
            ..self.wanted(&demand, class)
        };
        let mut refusal = self.refusal(&wanted);
        if refusal.reason == RefusalReason::NoRoom {
            refusal.retry_at = refusal
                .retry_at
                .max(self.backlog_until(class, entry.urgency));
        }
        self.turns.push_back((id, Turn::Refused(refusal)));
    }
}

impl Entry {
    const fn wait(&self) -> Wait {
        Wait {
            until: self.deadline,
            since: self.since,
            urgency: self.urgency,
            tenant: self.tenant,
            weight: self.weight,
            bytes: self.bytes,
            resumed: self.resumed,
        }
    }
}

impl OwnedDemand {
    fn view(&self, wait: Wait) -> Demand<'_> {
        Demand {
            model: &self.model,
            model_class: Some(&self.model_class),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            tags: &self.tags,
            excluded: &self.excluded,
            session: self.session,
            state: &self.state,
            wait: Some(wait),
        }
    }
}
