//! Drives the real pool and the naive one with the same steps, and compares them after each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use keypool_pool::{
    AdminError, Admission, Applied, Charge, Command, Demand, ErrorNote, KeyConfig, KeyId, KeyPatch,
    KeyState, Lease, Outcome, Pool, PoolConfig, ProbeResult, Strategy, Timestamp, Verdict, Window,
};

use crate::compare::sorted;
use crate::naive::{Granted, Naive, Request};
use crate::naive_key::NaiveKey;
use crate::naive_meter::Wants;
use crate::steps::{Charged, Judged, Step};
use crate::world::{MODELS, START, TAG, config, groups, id, limits};

pub(crate) struct Driver {
    pub(crate) now: Timestamp,
    pub(crate) pool: Pool,
    pub(crate) naive: Naive,
    window: Window,
    leases: Vec<(Lease, Granted)>,
    dropped: Vec<Granted>,
    /// Each key's state as the outputs told it.
    pub(crate) told: BTreeMap<KeyId, KeyState>,
    pub(crate) probes: Vec<KeyId>,
    pub(crate) history: String,
}

impl Driver {
    pub(crate) fn new(strategy: Strategy, window: Window, seed: u64) -> Self {
        let keys: Vec<KeyConfig> = (0..5).map(config).collect();
        let mut naive = Naive::new(strategy, window);
        for (name, limits) in groups() {
            naive.add_group(START, &name, &limits);
        }
        for key in keys.clone() {
            naive.add(START, key);
        }
        let config = PoolConfig {
            strategy,
            window,
            quota_groups: groups(),
            keys,
            seed,
            ..PoolConfig::default()
        };
        Self {
            now: START,
            pool: Pool::new(START, config).unwrap(),
            naive,
            window,
            leases: Vec::new(),
            dropped: Vec::new(),
            told: BTreeMap::new(),
            probes: Vec::new(),
            history: String::new(),
        }
    }

    pub(crate) fn history(self) -> String {
        self.history
    }

    pub(crate) fn step(&mut self, step: Step) {
        if let Step::Wait { millis } = step {
            self.now = self.now + Duration::from_millis(millis);
        }
        self.begin();
        match step {
            Step::Wait { .. } => {}
            Step::Request {
                model,
                input,
                output,
                tagged,
                excluded,
            } => {
                self.request(
                    model,
                    Wants {
                        requests: 1,
                        input,
                        output,
                    },
                    tagged,
                    excluded,
                );
            }
            Step::Settle {
                lease,
                verdict,
                charge,
            } => self.settle(lease, verdict, charge),
            Step::Drop { lease } => {
                if let Some((lease, granted)) = self.take_lease(lease) {
                    drop(lease);
                    self.dropped.push(granted);
                    self.begin();
                }
            }
            Step::Probe { key, passed } => self.probe(id(key), passed),
            Step::Strategy(strategy) => {
                self.pool
                    .handle_admin(self.now, Command::SetStrategy(strategy))
                    .unwrap();
                self.naive.strategy = strategy;
            }
            Step::Rotate => self.rotate(),
            Step::HealthCheck => self.health_check(),
            Step::Add { .. }
            | Step::Remove { .. }
            | Step::Enable { .. }
            | Step::Limits { .. }
            | Step::Reload { .. } => self.configure(&step),
        }
        self.naive.note_returns(self.now);
        self.compare();
    }

    /// What the pool does at the start of each call.
    fn begin(&mut self) {
        for granted in std::mem::take(&mut self.dropped) {
            self.settle_naive_quota(&granted, Charged::AsReserved);
            self.naive
                .judge(self.now, &granted, Judged::Cancelled, None);
        }
        for key in &mut self.naive.keys {
            if key.elapse(self.now) {
                self.probes.push(key.config.id);
            }
        }
        self.naive.note_returns(self.now);
    }

    fn request(&mut self, model: u8, wants: Wants, tagged: bool, excluded: u8) {
        let model = MODELS[usize::from(model) % MODELS.len()];
        let tags: Vec<String> = tagged.then(|| TAG.to_owned()).into_iter().collect();
        let excluded: Vec<KeyId> = (0..6)
            .filter(|number| excluded & (1 << number) != 0)
            .map(id)
            .collect();
        let demand = Demand {
            model,
            input_tokens: wants.input,
            output_tokens: wants.output,
            tags: &tags,
            excluded: &excluded,
            ..Demand::default()
        };
        let foreseen = self.pool.explain(self.now, &demand);
        let admission = self.pool.handle_request(self.now, &demand);
        let request = Request {
            model: Some(model.to_owned()),
            asked: wants,
            wants: self.naive.estimates.reserve(model, &wants),
            tags: tags.clone(),
            excluded: excluded.clone(),
        };
        let legal = self.naive.legal(self.now, &request);
        match admission {
            Admission::Granted(lease) => {
                let key = lease.key();
                assert!(
                    legal.iter().any(|legal| legal.config.id == key),
                    "{key} for {request:?}"
                );
                if let Some(choice) = self.naive.choice(&legal) {
                    assert_eq!(key, choice, "{} {request:?}", self.naive.strategy);
                }
                assert_eq!(foreseen.refusal, None);
                let chosen = foreseen.keys.iter().find(|(_, standing)| {
                    matches!(standing, keypool_pool::Standing::Chosen { .. })
                });
                assert_eq!(chosen.map(|(key, _)| *key), Some(key), "as explained");
                let granted = self.naive.grant(self.now, key, &request);
                assert_eq!(granted.number, lease.id());
                assert_eq!(
                    (request.wants.input, request.wants.output),
                    lease.reserved()
                );
                self.leases.push((lease, granted));
                self.check_within_limits(key);
                writeln!(self.history, "{key}").unwrap();
            }
            Admission::Queued(_) => panic!("it may not wait"),
            Admission::Refused(refusal) => {
                let legal: Vec<KeyId> = legal.iter().map(|key| key.config.id).collect();
                assert_eq!(legal, [], "refused although these have room: {refusal:?}");
                assert_eq!(
                    refusal,
                    self.naive.refusal(self.now, &request),
                    "{request:?}"
                );
                assert_eq!(foreseen.refusal, Some(refusal));
                writeln!(self.history, "{refusal:?}").unwrap();
            }
        }
    }

    fn take_lease(&mut self, which: usize) -> Option<(Lease, Granted)> {
        let count = self.leases.len();
        (count > 0).then(|| self.leases.remove(which % count))
    }

    fn settle(&mut self, which: usize, judged: Judged, charged: Charged) {
        let Some((lease, granted)) = self.take_lease(which) else {
            return;
        };
        let judged = self.with_visible_end(&granted, judged);
        let at = |seconds| self.now + Duration::from_secs(seconds);
        let verdict = match judged {
            Judged::Success => Verdict::Success,
            Judged::ClientError => Verdict::ClientError,
            Judged::Cancelled => Verdict::Cancelled,
            Judged::Overloaded => Verdict::Overloaded,
            Judged::Fault(kind) => Verdict::Fault(kind),
            Judged::Suspected(suspicion) => Verdict::Suspected(suspicion),
            Judged::RateLimited { until, scope } => Verdict::RateLimited {
                until: until.map(at),
                scope,
            },
            Judged::Invalid => Verdict::Invalid,
            Judged::OutOfCredit { until, scope } => Verdict::OutOfCredit {
                until: until.map(at),
                scope,
            },
            Judged::ModelDenied => Verdict::ModelDenied,
        };
        let charge = match charged {
            Charged::AsReserved => Charge::AsReserved,
            Charged::Percent(_) => {
                let used = used(&granted.wants, charged);
                Charge::Actual {
                    input_tokens: used.input,
                    output_tokens: used.output,
                }
            }
            Charged::RequestOnly => Charge::RequestOnly,
            Charged::Nothing => Charge::Nothing,
        };
        let outcome = Outcome {
            latency: Duration::from_millis(100),
            ..Outcome::of(verdict, charge)
        };
        self.pool.handle_outcome(self.now, lease, &outcome);
        self.settle_naive_quota(&granted, charged);
        let real = used(&granted.wants, charged);
        let is_measured = matches!(charged, Charged::Percent(_));
        self.naive
            .learn(self.now, &granted, judged, is_measured.then_some(&real));
        let shown = self.pool.key_snapshot(self.now, granted.key);
        let observed = shown.and_then(|shown| shown.rate_limited_until);
        self.naive.judge(self.now, &granted, judged, observed);
    }

    /// The end of a jittered back-off is read off the pool, unless a model's cool-down hides it:
    /// then the refusal gets a stated end instead.
    fn with_visible_end(&mut self, granted: &Granted, judged: Judged) -> Judged {
        let now = self.now;
        match (judged, self.naive.key(granted.key)) {
            (Judged::RateLimited { until: None, scope }, Some(key))
                if key.rate_limited_until(now) != key.cooldown =>
            {
                let until = Some(30);
                Judged::RateLimited { until, scope }
            }
            _ => judged,
        }
    }

    fn settle_naive_quota(&mut self, granted: &Granted, charged: Charged) {
        let used = used(&granted.wants, charged);
        let lease = (granted.number, granted.at);
        let alive = |key: &&mut NaiveKey| key.incarnation == granted.incarnation;
        if let Some(key) = self.naive.key(granted.key).filter(alive) {
            key.quota.settle(self.now, lease, &granted.wants, &used);
        }
        let group = granted
            .group
            .as_ref()
            .and_then(|name| self.naive.groups.get_mut(name));
        if let Some(group) = group {
            group.settle(self.now, lease, &granted.wants, &used);
        }
    }

    fn probe(&mut self, id: KeyId, passed: Option<bool>) {
        let result = match passed {
            Some(true) => ProbeResult::Passed,
            Some(false) => ProbeResult::Failed(ErrorNote::default()),
            None => ProbeResult::Inconclusive,
        };
        self.pool.handle_probe(self.now, id, result);
        self.naive.probed(self.now, id, passed);
    }

    fn rotate(&mut self) {
        let anything = Request {
            model: None,
            asked: Wants::SMALLEST,
            wants: Wants::SMALLEST,
            tags: Vec::new(),
            excluded: self.naive.last_granted.into_iter().collect(),
        };
        // A rotation is no grant: an earlier one does not bear on it.
        let standing = self.naive.rotation.take();
        let legal = self.naive.legal(self.now, &anything);
        match self.pool.handle_admin(self.now, Command::Rotate) {
            Ok(Applied::Rotated { key }) => {
                assert!(legal.iter().any(|legal| legal.config.id == key), "{key}");
                if let Some(choice) = self.naive.choice(&legal) {
                    assert_eq!(key, choice);
                }
                self.naive.rotation = Some((self.naive.last_granted, key));
            }
            Err(AdminError::NoOtherKey) => {
                assert_eq!(legal.len(), 0);
                self.naive.rotation = standing;
            }
            other => panic!("{other:?}"),
        }
    }

    fn health_check(&mut self) {
        let Ok(Applied::Checked { probing, .. }) =
            self.pool.handle_admin(self.now, Command::HealthCheck)
        else {
            panic!("a check answers what it found")
        };
        let mut expected = Vec::new();
        for key in &mut self.naive.keys {
            if key.config.enabled && !key.expired && key.outage.is_some() {
                key.probe(self.now);
                if !key.is_tried() {
                    self.probes.push(key.config.id);
                }
                expected.push(key.config.id);
            }
        }
        assert_eq!(sorted(probing), sorted(expected));
    }

    fn configure(&mut self, step: &Step) {
        let now = self.now;
        let command = match *step {
            Step::Add { key } => Command::AddKey(config(key)),
            Step::Remove { key } => Command::RemoveKey(id(key)),
            Step::Enable { key, enabled } => {
                let patch = KeyPatch {
                    enabled: Some(enabled),
                    ..KeyPatch::default()
                };
                Command::UpdateKey(id(key), patch)
            }
            Step::Limits { key, choice } => {
                let patch = KeyPatch {
                    limits: Some(limits(choice)),
                    ..KeyPatch::default()
                };
                Command::UpdateKey(id(key), patch)
            }
            Step::Reload { reversed, without } => return self.reload(reversed, id(without)),
            _ => return,
        };
        let result = self.pool.handle_admin(now, command);
        let known = match *step {
            Step::Add { key }
            | Step::Remove { key }
            | Step::Enable { key, .. }
            | Step::Limits { key, .. } => self.naive.key(id(key)).is_some(),
            _ => false,
        };
        assert_eq!(
            result.is_ok(),
            known != matches!(step, Step::Add { .. }),
            "{step:?}"
        );
        if result.is_err() {
            return;
        }
        let (window, next_lease) = (self.window, self.naive.next_lease);
        match *step {
            Step::Add { key } => self.naive.add(now, config(key)),
            Step::Remove { key } => self.naive.keys.retain(|kept| kept.config.id != id(key)),
            Step::Enable { key, enabled } => {
                let key = self.naive.key(id(key)).unwrap();
                key.config.enabled = enabled;
                if enabled {
                    key.bars.clear();
                    if key.is_out() || key.outage.is_some() {
                        key.cooldown = None;
                        key.refused_at = None;
                        key.in_a_row = 0;
                        key.come_back();
                    }
                }
            }
            Step::Limits { key, choice } => {
                let key = self.naive.key(id(key)).unwrap();
                key.config.limits = limits(choice);
                key.quota
                    .set_limits(now, &limits(choice), window, next_lease);
            }
            _ => {}
        }
    }

    fn reload(&mut self, reversed: bool, without: KeyId) {
        let now = self.now;
        self.naive.keys.retain(|key| key.config.id != without);
        if reversed {
            self.naive.keys.reverse();
        }
        for key in &mut self.naive.keys {
            key.position = self.naive.next_position;
            self.naive.next_position += 1;
        }
        let last = self.naive.last_granted;
        let last = self
            .naive
            .keys
            .iter()
            .find(|key| Some(key.config.id) == last);
        self.naive.cursor = last.map(|key| key.position);
        let configs = self
            .naive
            .keys
            .iter()
            .map(|key| key.config.clone())
            .collect();
        let config = PoolConfig {
            strategy: self.naive.strategy,
            window: self.window,
            quota_groups: groups(),
            keys: configs,
            ..PoolConfig::default()
        };
        self.pool
            .handle_admin(now, Command::Reconfigure(config))
            .unwrap();
    }

    /// Settles what is out, and finds that nothing has leaked.
    pub(crate) fn drain_to_zero(&mut self) {
        while !self.leases.is_empty() {
            self.step(Step::Settle {
                lease: 0,
                verdict: Judged::Success,
                charge: Charged::AsReserved,
            });
        }
        let snapshot = self.pool.snapshot(self.now);
        assert!(snapshot.groups.iter().all(|group| group.in_flight == 0));
        for key in snapshot.keys {
            assert_eq!(key.in_flight, 0);
            assert!(
                key.meters.iter().all(|meter| meter.reserved == 0),
                "{:?}",
                key.meters
            );
        }
    }
}

fn used(wants: &Wants, charged: Charged) -> Wants {
    match charged {
        Charged::AsReserved => *wants,
        Charged::Percent(percent) => Wants {
            requests: 1,
            input: wants.input * percent / 100,
            output: wants.output * percent / 100,
        },
        Charged::RequestOnly => Wants {
            requests: 1,
            input: 0,
            output: 0,
        },
        Charged::Nothing => Wants {
            requests: 0,
            input: 0,
            output: 0,
        },
    }
}
