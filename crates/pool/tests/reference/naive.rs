//! The naive pool: a list, searched in full for each answer.

use std::collections::BTreeMap;
use std::time::Duration;

use keypool_pool::{
    CooldownScope, KeyConfig, KeyId, Limits, Refusal, RefusalReason, Strategy, Suspicion,
    Timestamp, Window,
};

use crate::naive_estimate::NaiveEstimates;
use crate::naive_key::{Cause, NaiveKey, Trial};
use crate::naive_meter::{NaiveQuota, Wants};
use crate::steps::Judged;

/// A demand, with all that can be asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// None: any key will do, as for a rotation.
    pub(crate) model: Option<String>,
    pub(crate) asked: Wants,
    /// What is reserved for it.
    pub(crate) wants: Wants,
    pub(crate) tags: Vec<String>,
    pub(crate) excluded: Vec<KeyId>,
}

/// What the model remembers of a lease.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) number: u64,
    pub(crate) key: KeyId,
    pub(crate) incarnation: u64,
    pub(crate) group: Option<String>,
    pub(crate) model: String,
    pub(crate) asked: Wants,
    pub(crate) wants: Wants,
    pub(crate) at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Naive {
    pub(crate) strategy: Strategy,
    pub(crate) window: Window,
    pub(crate) keys: Vec<NaiveKey>,
    pub(crate) groups: BTreeMap<String, NaiveQuota>,
    pub(crate) estimates: NaiveEstimates,
    pub(crate) next_position: u64,
    pub(crate) next_lease: u64,
    pub(crate) cursor: Option<u64>,
    pub(crate) last_granted: Option<KeyId>,
    pub(crate) rotation: Option<(Option<KeyId>, KeyId)>,
    /// Probes that are wanted since the last look.
    pub(crate) probes: Vec<KeyId>,
}

impl Naive {
    pub(crate) fn new(strategy: Strategy, window: Window) -> Self {
        Self {
            strategy,
            window,
            keys: Vec::new(),
            groups: BTreeMap::new(),
            estimates: NaiveEstimates::default(),
            next_position: 0,
            next_lease: 1,
            cursor: None,
            last_granted: None,
            rotation: None,
            probes: Vec::new(),
        }
    }

    pub(crate) fn add_group(&mut self, now: Timestamp, name: &str, limits: &Limits) {
        let quota = NaiveQuota::new(now, limits, self.window, self.next_lease, true);
        self.groups.insert(name.to_owned(), quota);
    }

    pub(crate) fn add(&mut self, now: Timestamp, config: KeyConfig) {
        let owns = config.quota_group.is_none();
        let quota = NaiveQuota::new(now, &config.limits, self.window, self.next_lease, owns);
        let position = self.next_position;
        self.next_position += 1;
        self.keys
            .push(NaiveKey::new(now, config, position, position, quota));
    }

    pub(crate) fn key(&mut self, id: KeyId) -> Option<&mut NaiveKey> {
        self.keys.iter_mut().find(|key| key.config.id == id)
    }

    fn group_of(&self, key: &NaiveKey) -> Option<&NaiveQuota> {
        self.groups.get(key.config.quota_group.as_ref()?)
    }

    fn has_room(&self, now: Timestamp, key: &NaiveKey, wants: &Wants) -> bool {
        !matches!(key.trial, Trial::Running { .. })
            && key.quota.has_room(now, wants)
            && self
                .group_of(key)
                .is_none_or(|group| group.has_room(now, wants))
    }

    fn is_eligible(&self, now: Timestamp, key: &NaiveKey, request: &Request) -> bool {
        let model_fits = request
            .model
            .as_ref()
            .is_none_or(|model| lists(key, model) && key.bar_for(model, now).is_none());
        model_fits
            && request.tags.iter().all(|tag| key.config.tags.contains(tag))
            && key.config.enabled
            && !key.is_out()
            && !request.excluded.contains(&key.config.id)
            && self.has_room(now, key, &request.wants)
    }

    /// The keys that may be granted, rotation and all but the strategy considered.
    pub(crate) fn legal(&self, now: Timestamp, request: &Request) -> Vec<&NaiveKey> {
        let eligible: Vec<&NaiveKey> = self
            .keys
            .iter()
            .filter(|key| self.is_eligible(now, key, request))
            .collect();
        let Some((from, to)) = self.rotation else {
            return eligible;
        };
        if let Some(&promised) = eligible.iter().find(|key| key.config.id == to) {
            return vec![promised];
        }
        let others: Vec<&NaiveKey> = eligible
            .iter()
            .copied()
            .filter(|key| Some(key.config.id) != from)
            .collect();
        if others.is_empty() { eligible } else { others }
    }

    /// The one key that the strategy takes of those, where it leaves no choice.
    pub(crate) fn choice(&self, legal: &[&NaiveKey]) -> Option<KeyId> {
        let by_position = |key: &&&NaiveKey| key.position;
        let chosen = match self.strategy {
            Strategy::RoundRobin => {
                let behind = |key: &&&NaiveKey| self.cursor.is_none_or(|at| key.position > at);
                legal
                    .iter()
                    .filter(behind)
                    .min_by_key(by_position)
                    .or_else(|| legal.iter().min_by_key(by_position))
            }
            Strategy::Lru => legal
                .iter()
                .min_by_key(|key| (key.last_grant, key.position)),
            Strategy::FillFirst => legal.iter().min_by_key(by_position),
            Strategy::LeastLoaded | Strategy::Weighted => None,
        };
        chosen.map(|key| key.config.id)
    }

    pub(crate) fn grant(&mut self, now: Timestamp, id: KeyId, request: &Request) -> Granted {
        let number = self.next_lease;
        self.next_lease += 1;
        self.rotation = None;
        self.last_granted = Some(id);
        let key = self
            .keys
            .iter_mut()
            .find(|key| key.config.id == id)
            .unwrap();
        self.cursor = Some(key.position);
        key.last_grant = number;
        key.requests += 1;
        key.quota.reserve(now, &request.wants);
        if key.trial == Trial::Wanted {
            key.trial = Trial::Running {
                lease: number,
                since: now,
            };
        }
        let granted = Granted {
            number,
            key: id,
            incarnation: key.incarnation,
            group: key.config.quota_group.clone(),
            model: request.model.clone().unwrap_or_default(),
            asked: request.asked,
            wants: request.wants,
            at: now,
        };
        if let Some(group) = granted
            .group
            .as_ref()
            .and_then(|name| self.groups.get_mut(name))
        {
            group.reserve(now, &request.wants);
        }
        granted
    }

    /// The refusal, by sifting the keys step by step.
    pub(crate) fn refusal(&self, now: Timestamp, request: &Request) -> Refusal {
        let model = request.model.as_deref().unwrap_or_default();
        let refuse = |reason, retry_at| Refusal { reason, retry_at };
        let mut left: Vec<&NaiveKey> = self.keys.iter().collect();
        if left.is_empty() {
            return refuse(RefusalReason::NoKeys, None);
        }
        left.retain(|key| {
            lists(key, model) && key.bar_for(model, now).is_none_or(|bar| !bar.denied)
        });
        if left.is_empty() {
            return refuse(RefusalReason::NoKeyForModel, None);
        }
        left.retain(|key| request.tags.iter().all(|tag| key.config.tags.contains(tag)));
        if left.is_empty() {
            return refuse(RefusalReason::NoKeyForTags, None);
        }
        let returns = left.iter().filter(|key| key.config.enabled && !key.expired);
        let returns = returns.filter(|key| !key.is_tried()).filter_map(|key| {
            key.outage
                .as_ref()
                .map(|outage| outage.ends_at.unwrap_or(outage.next_probe))
        });
        let first_return = returns.min();
        left.retain(|key| {
            key.config.enabled && !key.expired && (key.outage.is_none() || key.is_tried())
        });
        if left.is_empty() {
            return refuse(RefusalReason::AllUnavailable, first_return);
        }
        let ready = |keys: &[&NaiveKey]| {
            keys.iter()
                .filter_map(|key| self.ready_at(now, key, request))
                .min()
        };
        let tried = ready(&left);
        left.retain(|key| !request.excluded.contains(&key.config.id));
        if left.is_empty() {
            return refuse(RefusalReason::AllTried, tried);
        }
        left.retain(|key| self.can_ever_fit(key, &request.wants));
        if left.is_empty() {
            return refuse(RefusalReason::TooLarge, None);
        }
        refuse(RefusalReason::NoRoom, ready(&left))
    }

    fn can_ever_fit(&self, key: &NaiveKey, wants: &Wants) -> bool {
        let own = key.quota.meters.iter();
        let shared = self
            .group_of(key)
            .into_iter()
            .flat_map(|group| &group.meters);
        own.chain(shared).all(|meter| meter.can_ever_fit(wants))
    }

    fn ready_at(&self, now: Timestamp, key: &NaiveKey, request: &Request) -> Option<Timestamp> {
        if !self.can_ever_fit(key, &request.wants) {
            return None;
        }
        let quotas = [Some(&key.quota), self.group_of(key)];
        let mut ready = now;
        for quota in quotas.into_iter().flatten() {
            for meter in &quota.meters {
                ready = ready.max(meter.fits_from(now, &request.wants));
            }
            ready = ready.max(quota.flow.allows_from(now, quota.in_flight));
            if quota.is_busy() {
                ready = ready.max(now + Duration::from_secs(1));
            }
        }
        if matches!(key.trial, Trial::Running { .. }) {
            ready = ready.max(now + Duration::from_secs(1));
        }
        let model = request.model.as_deref().unwrap_or_default();
        let bar = key.bar_for(model, now).map(|bar| bar.until);
        ready = [key.cooldown, key.rest, bar]
            .into_iter()
            .flatten()
            .fold(ready, Timestamp::max);
        key.config
            .expires_at
            .is_none_or(|end| ready < end)
            .then_some(ready)
    }

    /// What a settlement teaches about estimates and flow, whatever became of the key.
    pub(crate) fn learn(
        &mut self,
        now: Timestamp,
        lease: &Granted,
        verdict: Judged,
        real: Option<&Wants>,
    ) {
        if !matches!(verdict, Judged::Success) {
            return;
        }
        if let Some(real) = real {
            self.estimates.learn(&lease.model, &lease.asked, real);
        }
        if let Some(owner) = self.owner_of(lease) {
            owner.flow.succeeded(now, owner.in_flight + 1);
        }
    }

    /// Whose quota a lease was granted on: its group's, or the key's own.
    fn owner_of(&mut self, lease: &Granted) -> Option<&mut NaiveQuota> {
        if let Some(group) = &lease.group {
            return self.groups.get_mut(group);
        }
        let alive = |key: &&mut NaiveKey| key.incarnation == lease.incarnation;
        let key = self.key(lease.key).filter(alive)?;
        Some(&mut key.quota)
    }

    /// A key that was used before and comes back is not flooded, nor is its group if it was idle.
    pub(crate) fn note_returns(&mut self, now: Timestamp) {
        for key in &mut self.keys {
            let is_out = !key.config.enabled || key.is_out();
            let was_out = std::mem::replace(&mut key.was_out, is_out);
            if !was_out || key.was_out || key.last_grant == 0 {
                continue;
            }
            let group = key.config.quota_group.as_ref();
            match group.and_then(|name| self.groups.get_mut(name)) {
                Some(group) if group.in_flight == 0 => group.flow.comes_back(now),
                Some(_) => {}
                None => key.quota.flow.comes_back(now),
            }
        }
    }

    /// What a verdict does to keys; the quota has been settled. Where the real pool jitters its
    /// back-off, `observed` tells what it came to.
    pub(crate) fn judge(
        &mut self,
        now: Timestamp,
        lease: &Granted,
        verdict: Judged,
        observed: Option<Timestamp>,
    ) {
        let alive = |key: &&mut NaiveKey| key.incarnation == lease.incarnation;
        let Some(key) = self.key(lease.key).filter(alive) else {
            return;
        };
        match verdict {
            Judged::Success => key.successes += 1,
            Judged::ClientError | Judged::Cancelled | Judged::Suspected(Suspicion::ModelDenied) => {
                key.forgiven += 1;
            }
            _ => key.errors += 1,
        }
        match verdict {
            Judged::Success => {
                key.praise();
                if !key.is_echo(lease.at) {
                    key.in_a_row = 0;
                }
                if key.end_trial(lease.number, true) && key.is_tried() {
                    key.outage = None;
                }
            }
            Judged::ClientError | Judged::Suspected(Suspicion::ModelDenied) => {
                key.accept(lease.number);
            }
            Judged::Cancelled | Judged::Overloaded | Judged::Suspected(Suspicion::Fault(_)) => {
                key.end_trial(lease.number, false);
            }
            Judged::Fault(_) => {
                key.end_trial(lease.number, false);
                let id = lease.key;
                let others_serve = self.others_serve(id);
                let key = self.key(id).unwrap();
                key.fault(now, others_serve);
            }
            Judged::Invalid => {
                key.end_trial(lease.number, false);
                key.condemn(now);
            }
            Judged::Suspected(suspicion) => {
                key.end_trial(lease.number, false);
                let scope = match suspicion {
                    Suspicion::AccountInvalid => CooldownScope::Group,
                    _ => CooldownScope::Key,
                };
                let mut probes = Vec::new();
                for key in self.reached(lease, scope) {
                    key.last_error = now;
                    if key.outage.is_none() || key.is_tried() {
                        key.go_out(now, Cause::Suspected, None);
                        probes.extend(Some(key.config.id).filter(|_| key.config.enabled));
                    }
                }
                self.probes.extend(probes);
            }
            Judged::ModelDenied => {
                key.accept(lease.number);
                key.bar(&lease.model, true, now + Duration::from_hours(1), now);
            }
            Judged::RateLimited { until, scope } => {
                let until = until.map(|seconds| now + Duration::from_secs(seconds));
                self.rate_limited(now, lease, until, scope, observed);
            }
            Judged::OutOfCredit { until, scope } => {
                let until = until.map(|seconds| now + Duration::from_secs(seconds));
                self.out_of_credit(now, lease, until, scope);
            }
        }
    }

    fn others_serve(&self, id: KeyId) -> bool {
        let mut others = self.keys.iter().filter(|key| key.config.id != id);
        others.any(|key| key.config.enabled && !key.is_out())
    }

    /// A probe found something, or nothing.
    pub(crate) fn probed(&mut self, now: Timestamp, id: KeyId, passed: Option<bool>) {
        let enabled = self.keys.iter().filter(|key| key.config.enabled);
        let all = enabled.clone().count();
        let suspects = enabled.filter(|key| key.is_suspected()).count();
        let Some(key) = self.key(id) else {
            return;
        };
        let was_suspected = key.is_suspected();
        let Some(outage) = &mut key.outage else {
            return;
        };
        match passed {
            Some(true) if outage.probed && outage.cause != Cause::OutOfCredit => key.come_back(),
            Some(true) => {}
            None if was_suspected => key.come_back(),
            None => outage.next_probe = now + outage.wait(),
            Some(false) if !outage.probed => {}
            Some(false) => {
                outage.failed += 1;
                outage.next_probe = now + outage.wait();
                if was_suspected && (all < 2 || suspects * 2 <= all) {
                    key.condemn(now);
                }
            }
        }
        if was_suspected && passed == Some(true) {
            for key in &mut self.keys {
                if key.config.enabled && !key.expired && key.is_suspected() {
                    let outage = key.outage.as_mut().unwrap();
                    outage.probed = true;
                    outage.next_probe = now + outage.wait();
                    self.probes.push(key.config.id);
                }
            }
        }
    }

    fn reached(&mut self, lease: &Granted, scope: CooldownScope) -> Vec<&mut NaiveKey> {
        let key = self.key(lease.key).unwrap();
        let group = match scope {
            CooldownScope::Group | CooldownScope::GroupModel => key.config.quota_group.clone(),
            CooldownScope::Key | CooldownScope::KeyModel => None,
        };
        let id = lease.key;
        let reached = |key: &&mut NaiveKey| match &group {
            Some(group) => key.config.quota_group.as_ref() == Some(group),
            None => key.config.id == id,
        };
        self.keys.iter_mut().filter(reached).collect()
    }

    fn rate_limited(
        &mut self,
        now: Timestamp,
        lease: &Granted,
        until: Option<Timestamp>,
        scope: CooldownScope,
        observed: Option<Timestamp>,
    ) {
        let groups = self.groups.clone();
        let key = self.key(lease.key).unwrap();
        let group = key
            .config
            .quota_group
            .as_ref()
            .and_then(|name| groups.get(name));
        let declared = key.quota.is_limited() || group.is_some_and(NaiveQuota::is_limited);
        if let Some(owner) = self.owner_of(lease) {
            owner.refused(now, lease.at);
        }
        let key = self.key(lease.key).unwrap();
        key.end_trial(lease.number, false);
        if matches!(scope, CooldownScope::KeyModel | CooldownScope::GroupModel) {
            if declared && key.bar_for(&lease.model, now).is_none() {
                key.blame(now);
            }
            let at_least = now + Duration::from_secs(1);
            let until = until.map_or(now + Duration::from_mins(1), |until| until.max(at_least));
            for key in self.reached(lease, scope) {
                key.bar(&lease.model, false, until, now);
            }
            return;
        }
        let echo = key.is_echo(lease.at);
        if !echo {
            if declared {
                key.blame(now);
            }
            key.in_a_row += 1;
            key.refused_at = Some(now);
        }
        let keeps = until.is_none() && echo && key.cooldown.is_some();
        if !keeps {
            let until = match until {
                Some(until) => until.max(now + Duration::from_secs(1)),
                None => backed_off(now, key, observed),
            };
            key.cooldown = key.cooldown.max(Some(until));
        }
        let until = key.cooldown;
        for key in self.reached(lease, scope) {
            key.cooldown = key.cooldown.max(until);
        }
    }

    fn out_of_credit(
        &mut self,
        now: Timestamp,
        lease: &Granted,
        until: Option<Timestamp>,
        scope: CooldownScope,
    ) {
        if matches!(scope, CooldownScope::KeyModel | CooldownScope::GroupModel) {
            let until = until.unwrap_or(now + Duration::from_hours(1));
            for key in self.reached(lease, scope) {
                key.bar(&lease.model, false, until, now);
            }
        } else {
            let ends_at = until.filter(|&until| until > now);
            for key in self.reached(lease, scope) {
                match &mut key.outage {
                    None => key.go_out(now, Cause::OutOfCredit, ends_at),
                    Some(outage) if outage.cause == Cause::OutOfCredit => {
                        outage.ends_at = outage.ends_at.max(ends_at);
                        if outage.probed {
                            outage.probed = false;
                            outage.next_probe = now + outage.wait();
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        self.key(lease.key).unwrap().end_trial(lease.number, false);
    }
}

fn lists(key: &NaiveKey, model: &str) -> bool {
    let patterns = &key.config.models;
    patterns.is_empty()
        || patterns
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => model.starts_with(start),
                None => pattern == model,
            })
}

/// The first cool-down without a hint is a minute; later ones are taken as observed, if they are
/// within their bounds.
fn backed_off(now: Timestamp, key: &NaiveKey, observed: Option<Timestamp>) -> Timestamp {
    let full = Duration::from_mins(1) * (1 << (key.in_a_row.max(1) - 1).min(8));
    let full = full.min(Duration::from_mins(10));
    if key.in_a_row <= 1 {
        return now + full;
    }
    let observed = observed.unwrap();
    if Some(observed) == key.cooldown {
        return observed;
    }
    assert!(
        observed <= now + full && observed >= now + full.mul_f64(0.8),
        "{observed} at {now}"
    );
    observed
}
