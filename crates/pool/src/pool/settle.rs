//! From a lease's end to what it means for meters, health and counters.

use crate::bars::BarKind;
use crate::bounds::{COOLDOWN_DEFAULT, MODEL_DENIAL};
use crate::config::Sequential;
use crate::cooldown::hinted;
use crate::key::{Handles, Key, Place};
use crate::lease::{Lease, Ticket};
use crate::meter::Amounts;
use crate::outcome::{Charge, CooldownScope, Outcome, Suspicion, Verdict};
use crate::output::AlertKind;
use crate::slab::Handle;
use crate::time::Timestamp;

use super::Pool;
use super::request::traffic;

/// An operator should hear when a key falls below this score.
const HEALTH_LOW: u8 = 80;

impl Charge {
    /// What the meters are charged in place of a reservation.
    const fn amounts(self, reserved: &Amounts) -> Amounts {
        match self {
            Self::AsReserved => *reserved,
            Self::Actual {
                input_tokens,
                output_tokens,
            }
            | Self::Estimated {
                input_tokens,
                output_tokens,
            } => Amounts {
                requests: reserved.requests,
                input_tokens,
                output_tokens,
            },
            Self::RequestOnly => Amounts {
                requests: reserved.requests,
                input_tokens: 0,
                output_tokens: 0,
            },
            Self::Nothing => Amounts {
                requests: 0,
                input_tokens: 0,
                output_tokens: 0,
            },
        }
    }
}

impl Pool {
    /// Takes a lease back with what became of its attempt. A lease of another pool is charged there
    /// as if dropped; one whose key has been removed meanwhile changes nothing but its group.
    pub fn handle_outcome(&mut self, now: Timestamp, lease: Lease, outcome: &Outcome) {
        self.begin(now);
        let Some(ticket) = lease.into_ticket(&self.drop_box) else {
            return;
        };
        self.settle_ticket(&ticket, outcome);
    }

    fn settle_ticket(&mut self, ticket: &Ticket, outcome: &Outcome) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.settle_meters(ticket, outcome.charge);
        self.learn_from(ticket, outcome);
        self.settle_key(ticket, outcome);
        if self.sequential == Sequential::Provider {
            self.gains.everything();
        }
        self.gained(ticket.slot);
    }

    pub(super) fn settle_dropped(&mut self) {
        for ticket in self.drop_box.drain() {
            let outcome = Outcome::of(Verdict::Cancelled, Charge::AsReserved);
            self.settle_ticket(&ticket, &outcome);
        }
    }

    fn settle_meters(&mut self, ticket: &Ticket, charge: Charge) {
        let now = self.now;
        let lease = (ticket.number, ticket.granted_at);
        let used = charge.amounts(&ticket.reserved);
        let correction = traffic(&used) - traffic(&ticket.reserved);
        if let Some(key) = self.keys.get_mut(ticket.slot) {
            key.meters.settle(now, lease, &ticket.reserved, &used);
            if ticket.group.is_none() {
                key.meters
                    .settle_class(now, ticket.class, lease, &ticket.reserved, &used);
            }
            if correction != 0.0 {
                key.recent.add(ticket.granted_at, correction);
            }
        }
        if correction != 0.0 {
            self.recent.add(ticket.granted_at, correction);
            self.correct_traffic(ticket, correction);
        }
        if let Some(handle) = ticket.group
            && let Some(group) = self.groups.get_mut(handle)
        {
            group.meters.settle(now, lease, &ticket.reserved, &used);
            group
                .meters
                .settle_class(now, ticket.class, lease, &ticket.reserved, &used);
            group.recent.add(ticket.granted_at, correction);
            self.refused = None;
            self.wake_group(handle);
        }
    }

    fn settle_key(&mut self, ticket: &Ticket, outcome: &Outcome) {
        let now = self.now;
        let Some(key) = self.keys.get_mut(ticket.slot) else {
            return;
        };
        key.record.ended(now, outcome);
        let (id, score) = (key.id, key.health.score());
        self.learn_trust(id, &outcome.verdict);
        let Some(key) = self.keys.get_mut(ticket.slot) else {
            return;
        };
        match outcome.verdict {
            Verdict::Success => {
                key.health.succeeded(ticket.number, ticket.granted_at);
            }
            Verdict::ClientError => key.health.unblamed(ticket.number, true),
            Verdict::Cancelled | Verdict::Overloaded => key.health.unblamed(ticket.number, false),
            Verdict::NotServed => {
                key.health.unblamed(ticket.number, false);
                let note = outcome.error.as_ref().map_or("", |error| &error.message);
                self.tell_not_served(id, note);
            }
            Verdict::Fault(_) => {
                key.health.unblamed(ticket.number, false);
                self.fault(ticket.slot);
            }
            Verdict::RateLimited { until, scope } => self.rate_limited(ticket, until, scope),
            Verdict::Invalid => {
                key.health.unblamed(ticket.number, false);
                let note = outcome.error.as_ref().map_or("", |error| &error.message);
                self.condemn(ticket.slot, note);
            }
            Verdict::OutOfCredit { until, scope } => self.out_of_credit(ticket, until, scope),
            Verdict::ModelDenied => {
                key.health.unblamed(ticket.number, true);
                if let Some(model) = &ticket.model {
                    key.bar_model(now, model, BarKind::Denied, now + MODEL_DENIAL);
                }
            }
            Verdict::Suspected(suspicion) => {
                let answered = suspicion == Suspicion::ModelDenied;
                key.health.unblamed(ticket.number, answered);
                if suspicion.is_refusal() {
                    for member in self.reached(ticket.slot, reach_of(suspicion)) {
                        self.suspect(member);
                        self.refresh(member, REFUSED);
                    }
                }
            }
        }
        self.after_outcome(ticket.slot, score, outcome);
    }

    /// Brings the key's place, timer and weight in line. Most outcomes change none of them.
    fn after_outcome(&mut self, handle: Handle, score_before: u8, outcome: &Outcome) {
        let Some(key) = self.keys.get(handle) else {
            return;
        };
        let score = key.health.score();
        self.tell_low_health(handle, score_before);
        if outcome.verdict == Verdict::Success && self.is_undisturbed(handle) {
            self.note_freed(handle);
        } else {
            self.refresh(handle, reason_of(&outcome.verdict));
        }
        if score != score_before {
            self.reweigh(handle);
        }
    }

    /// Tells an operator when a key's score falls below the line.
    pub(super) fn tell_low_health(&mut self, handle: Handle, score_before: u8) {
        let Some(key) = self.keys.get(handle) else {
            return;
        };
        let (id, score) = (key.id, key.health.score());
        if score < HEALTH_LOW && score_before >= HEALTH_LOW && score > 0 {
            let message = format!("its health score fell to {score}");
            self.alert(id, AlertKind::HealthLow, message);
        }
    }

    /// Whether a key is ready, told as it is, and without a timer to set.
    fn is_undisturbed(&self, handle: Handle) -> bool {
        self.keys.get(handle).is_some_and(|key| {
            key.place == Place::Ready
                && key.shown == key.state()
                && key.next_change().map(|(at, _)| at) == key.timer
        })
    }

    /// A ready key has settled: a remembered refusal holds on, but only until this key has room.
    fn note_freed(&mut self, handle: Handle) {
        let Some(mut refused) = self.refused.take() else {
            return;
        };
        if let Some(key) = self.keys.get(handle) {
            let wanted = refused.wanted();
            let matching = self.selector.matching(wanted.model);
            let ready_at = self.appraise(key, &wanted, &matching).retry_at;
            refused.hold_until(ready_at);
        }
        self.refused = Some(refused);
    }

    /// A key's group members, or the key alone.
    pub(super) fn reached(&self, handle: Handle, scope: CooldownScope) -> Handles {
        let group = match scope {
            CooldownScope::Key | CooldownScope::KeyModel => None,
            CooldownScope::Group | CooldownScope::GroupModel => {
                self.keys.get(handle).and_then(|key| key.group)
            }
        };
        match group.and_then(|group| self.groups.get(group)) {
            Some(group) => group.members.iter().copied().collect(),
            None => std::iter::once(handle).collect(),
        }
    }

    /// Whether the limits that were declared for a key or its group promised room.
    fn declares_limits(&self, key: &Key) -> bool {
        let group = key.group.and_then(|group| self.groups.get(group));
        key.meters.is_limited() || group.is_some_and(|group| group.meters.is_limited())
    }

    fn rate_limited(&mut self, ticket: &Ticket, hint: Option<Timestamp>, scope: CooldownScope) {
        let now = self.now;
        let lease = (ticket.number, ticket.granted_at);
        let Some(key) = self.keys.get(ticket.slot) else {
            return;
        };
        let unforeseen = self.declares_limits(key);
        self.learn_from_refusal(ticket);
        let rng = self.selector.rng();
        let Some(key) = self.keys.get_mut(ticket.slot) else {
            return;
        };
        match scope {
            CooldownScope::Key | CooldownScope::Group => {
                key.health.rate_limited(now, lease, hint, unforeseen, rng);
                let until = key.health.cooling_until();
                for member in self.others_reached(ticket.slot, scope) {
                    if let (Some(key), Some(until)) = (self.keys.get_mut(member), until) {
                        key.health.cool_with_group(until);
                        self.refresh(member, "the provider refused its quota group with a 429");
                    }
                }
            }
            CooldownScope::KeyModel | CooldownScope::GroupModel => {
                let class = self.classes.name(ticket.class).unwrap_or_default();
                let model = ticket.model.as_deref();
                let known = model.is_some_and(|model| key.bars.get(model, class, now).is_some());
                key.health
                    .model_rate_limited(now, ticket.number, unforeseen && !known);
                let until = hint.map_or(now + COOLDOWN_DEFAULT, |hint| hinted(now, hint));
                self.cool_class(ticket, scope, until);
            }
        }
    }

    /// A 429 for which there was room as far as the meters knew: they learn from it.
    fn learn_from_refusal(&mut self, ticket: &Ticket) {
        let now = self.now;
        let owner = match ticket.group {
            Some(group) => self.groups.get_mut(group).map(|group| &mut group.meters),
            None => self.keys.get_mut(ticket.slot).map(|key| &mut key.meters),
        };
        if let Some(owner) = owner {
            owner.refused(now, ticket.class, (ticket.number, ticket.granted_at));
        }
        if let Some(group) = ticket.group {
            // Slices of a smaller limit fall differently.
            self.wake_group(group);
        }
    }

    /// Cools a model class of a key, or of its group, down.
    fn cool_class(&mut self, ticket: &Ticket, scope: CooldownScope, until: Timestamp) {
        let now = self.now;
        let class = self
            .classes
            .name(ticket.class)
            .unwrap_or_default()
            .to_owned();
        for member in self.reached(ticket.slot, scope) {
            if let Some(key) = self.keys.get_mut(member) {
                key.bar_model(now, &class, BarKind::Cooling, until);
                if member != ticket.slot {
                    self.refresh(member, "the provider refused its quota group for a model");
                }
            }
        }
    }

    fn others_reached(&self, handle: Handle, scope: CooldownScope) -> Handles {
        let mut others = self.reached(handle, scope);
        others.retain(|&mut member| member != handle);
        others
    }

    fn out_of_credit(&mut self, ticket: &Ticket, until: Option<Timestamp>, scope: CooldownScope) {
        let now = self.now;
        match scope {
            CooldownScope::Key | CooldownScope::Group => {
                for member in self.reached(ticket.slot, scope) {
                    let Some(key) = self.keys.get_mut(member) else {
                        continue;
                    };
                    key.health.out_of_credit(now, until);
                    if key.shown != key.health.state() {
                        let id = key.id;
                        let message = "its account is out of credit".to_owned();
                        self.alert(id, AlertKind::OutOfCredit, message);
                    }
                    self.refresh(member, "out of credit");
                }
            }
            CooldownScope::KeyModel | CooldownScope::GroupModel => {
                let until = until.unwrap_or(now + MODEL_DENIAL);
                self.cool_class(ticket, scope, until);
            }
        }
        if let Some(key) = self.keys.get_mut(ticket.slot) {
            key.health.unblamed(ticket.number, false);
        }
    }
}

const REFUSED: &str = "the provider refused it; to be confirmed";

/// Which keys a refusal speaks of.
pub(super) fn reach_of(suspicion: Suspicion) -> CooldownScope {
    match suspicion {
        Suspicion::AccountInvalid => CooldownScope::Group,
        _ => CooldownScope::Key,
    }
}

const fn reason_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Success => "it works again",
        Verdict::ClientError => "a client's mistake",
        Verdict::Cancelled => "a client left",
        Verdict::Overloaded => "the provider is overloaded",
        Verdict::NotServed => "the provider serves nobody from here",
        Verdict::Fault(_) => "too many faults",
        Verdict::RateLimited { .. } => "the provider refused with a 429",
        Verdict::Invalid => "the provider refuses the key",
        Verdict::OutOfCredit { .. } => "out of credit",
        Verdict::ModelDenied => "the model was denied",
        Verdict::Suspected(suspicion) if suspicion.is_refusal() => REFUSED,
        Verdict::Suspected(_) => "a fault that may be its own",
    }
}
