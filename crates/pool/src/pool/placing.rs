//! Keeping each key where it belongs: in or out of the ready structures, with its timer set and its
//! state told.

use crate::bounds::RAMP;
use crate::chooser::ratio_of;
use crate::key::{Key, Place};
use crate::output::{AlertKind, Output, StateChange};
use crate::quota_class::QuotaClasses;
use crate::ramp::{PeerLoad, Ramp};
use crate::ready::Ranking;
use crate::recent::era_of;
use crate::slab::Handle;
use crate::strategy::Strategy;
use crate::time::Timestamp;

use super::Pool;

/// Ready keys that stand for all when a key joins them.
const PEERS_SAMPLED: usize = 16;

impl Key {
    pub(super) fn ranking(&self) -> Ranking {
        Ranking {
            class: self.class,
            position: self.position,
            last_grant: self.last_grant,
            weight: self.weight(),
        }
    }

    /// Where it belongs now. A parked key is asked whether it is still short.
    fn due_place(&self, now: Timestamp, classes: &QuotaClasses) -> Place {
        if !self.config.enabled || self.health.is_out() {
            return Place::Out;
        }
        if self.meters.is_busy() || self.health.is_on_trial() {
            return Place::Parked(None);
        }
        match self.place {
            Place::Parked(_) => match self.meters.smallest_until(now, classes.all()) {
                until if until > now => Place::Parked(Some(until)),
                _ => Place::Ready,
            },
            Place::Ready | Place::Out => Place::Ready,
        }
    }
}

impl Pool {
    /// After anything happened to a key: tells its state if it changed, sets its timer, and puts it
    /// where it belongs.
    pub(super) fn refresh(&mut self, handle: Handle, reason: &str) {
        self.refused = None;
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let state = key.state();
        if state != key.shown {
            let change = StateChange {
                key: key.id,
                from: key.shown,
                to: state,
                reason: reason.to_owned(),
            };
            key.shown = state;
            self.emit(Output::StateChanged(change));
        }
        self.reschedule(handle);
        self.replace(handle);
    }

    /// Puts a key where it belongs.
    pub(super) fn replace(&mut self, handle: Handle) {
        let now = self.now;
        let Some(key) = self.keys.get(handle) else {
            return;
        };
        let (from, to) = (key.place, key.due_place(now, &self.classes));
        if from == Place::Out && to != Place::Out {
            self.start_ramp(handle);
            self.return_slowly(handle);
        }
        self.move_to(handle, to);
        if to == Place::Ready {
            self.gained(handle);
        }
    }

    /// Takes a key out of the structures for a change to its rank; [`Self::refresh`] puts it back.
    pub(super) fn lift(&mut self, handle: Handle) {
        if self
            .keys
            .get(handle)
            .is_some_and(|key| key.place != Place::Out)
        {
            self.move_to(handle, Place::Parked(None));
        }
    }

    pub(super) fn move_to(&mut self, handle: Handle, to: Place) {
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let from = std::mem::replace(&mut key.place, to);
        if from == to {
            return;
        }
        let ranking = key.ranking();
        match (from, to) {
            (Place::Ready, _) => self.selector.remove(handle.index(), &ranking),
            (_, Place::Ready) => self.selector.insert(handle.index(), &ranking),
            _ => {}
        }
        if let Place::Parked(Some(until)) = to {
            self.parked.push(until, handle);
        }
    }

    /// Lets parked keys back whose time has come.
    pub(super) fn wake_parked(&mut self) {
        while let Some((at, handle)) = self.parked.pop_due(self.now) {
            if self
                .keys
                .get(handle)
                .is_some_and(|key| key.place == Place::Parked(Some(at)))
            {
                self.move_to(handle, Place::Ready);
            }
        }
        if self.parked.is_bloated(self.keys.len()) {
            let live = self
                .keys
                .iter()
                .filter_map(|(handle, key)| match key.place {
                    Place::Parked(Some(until)) => Some((until, handle)),
                    Place::Parked(None) | Place::Ready | Place::Out => None,
                });
            self.parked.rebuild(live);
        }
    }

    /// After a group was given something back: its keys may have room again.
    pub(super) fn wake_group(&mut self, group: Handle) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(group).filter(|group| group.has_parked) else {
            return;
        };
        if group.meters.smallest_until(now, self.classes.all()) > now {
            return;
        }
        group.has_parked = false;
        for member in group.members.clone() {
            if self
                .keys
                .get(member)
                .is_some_and(|key| matches!(key.place, Place::Parked(_)))
            {
                self.replace(member);
            }
        }
    }

    /// Lets all keys back that wait for their meters: for a request of a kind that none was asked for
    /// before.
    pub(super) fn unpark_all(&mut self) {
        let parked: Vec<Handle> = self
            .keys
            .iter()
            .filter(|(_, key)| matches!(key.place, Place::Parked(Some(_))))
            .map(|(handle, _)| handle)
            .collect();
        for handle in parked {
            self.move_to(handle, Place::Ready);
        }
    }

    /// Sets a key's timer to its next change.
    pub(super) fn reschedule(&mut self, handle: Handle) {
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let at = key.next_change().map(|(at, _)| at);
        if at != key.timer {
            key.timer = at;
            if let Some(at) = at {
                self.timers.push(at, handle);
            }
        }
    }

    pub(super) fn run_timers(&mut self) {
        while let Some((at, handle)) = self.timers.pop_due(self.now) {
            let due = self
                .keys
                .get_mut(handle)
                .filter(|key| key.timer == Some(at));
            if let Some(key) = due {
                key.timer = None;
                self.elapse(handle);
            }
        }
        if self.timers.is_bloated(self.keys.len()) {
            let live = self
                .keys
                .iter()
                .filter_map(|(handle, key)| Some((key.timer?, handle)));
            self.timers.rebuild(live);
        }
    }

    pub(super) fn elapse(&mut self, handle: Handle) {
        let now = self.now;
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let elapsed = key
            .health
            .elapse(now, key.config.expires_at, key.config.enabled);
        let cooled = key.bars.elapse(now).then_some("its reset time has come");
        let id = key.id;
        if elapsed.probe {
            self.emit(Output::Probe(id));
        }
        if elapsed.expired {
            let message = "its configured end has come; it is no longer used".to_owned();
            self.alert(id, AlertKind::KeyExpired, message);
        }
        let reason = elapsed.reason.or(cooled).unwrap_or("time has passed");
        self.refresh(handle, reason);
        self.reweigh(handle);
    }

    /// Tells the weighted strategy a key's weight.
    pub(super) fn reweigh(&mut self, handle: Handle) {
        if let Some(key) = self
            .keys
            .get(handle)
            .filter(|key| key.place == Place::Ready)
        {
            self.selector.reweigh(handle.index(), &key.ranking());
        }
    }

    /// A key that was used before and was out is not flooded when it returns.
    fn return_slowly(&mut self, handle: Handle) {
        let now = self.now;
        let Some(key) = self.keys.get_mut(handle).filter(|key| key.last_grant > 0) else {
            return;
        };
        let group = key.group;
        match group.and_then(|group| self.groups.get_mut(group)) {
            Some(group) if group.meters.in_flight() == 0 => group.meters.restart_slowly(now),
            Some(_) => {}
            None => key.meters.restart_slowly(now),
        }
    }

    /// Starts a key that joins the ready ones at their load.
    fn start_ramp(&mut self, handle: Handle) {
        if self.selector.strategy() != Strategy::LeastLoaded {
            return;
        }
        let peers = self.peer_load();
        let (now, era) = (self.now, era_of(self.now));
        if let Some(key) = self.keys.get_mut(handle) {
            key.recent.raise_to(era, peers.recent);
            let loaded = peers.ratio > 0.0 || peers.in_flight > 0.0;
            key.ramp = loaded.then(|| Ramp::new(now, &peers));
        }
    }

    /// The least load in a sample of ready keys. Worked out once for all keys that join within a
    /// small part of the ramp: a hundred thousand may come back at one instant.
    fn peer_load(&mut self) -> PeerLoad {
        let (now, class) = (self.now, self.classes.latest());
        if let Some((at, peers)) = self.peers
            && now.saturating_duration_since(at) < RAMP / 60
            && era_of(at) == era_of(now)
        {
            return peers;
        }
        let sample = self.selector.sample(PEERS_SAMPLED);
        let loads = sample.into_iter().filter_map(|index| {
            let key = self.keys.at(index)?;
            Some(PeerLoad {
                ratio: ratio_of(key, &self.groups, now, class),
                in_flight: f64::from(key.meters.in_flight()),
                recent: key.recent.weighted_in(era_of(now)),
            })
        });
        let least = loads.reduce(|least, other| PeerLoad {
            ratio: least.ratio.min(other.ratio),
            in_flight: least.in_flight.min(other.in_flight),
            recent: least.recent.min(other.recent),
        });
        let peers = least.unwrap_or_default();
        self.peers = Some((now, peers));
        peers
    }
}
