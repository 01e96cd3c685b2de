//! What the model keeps of each organisation and key.

use std::time::Duration;

use super::cache::PromptCache;
use super::faults::FaultScript;
use super::limiter::Counting;
use super::meters::{Cost, MeterSet};
use super::ramp::Growth;
use crate::config::names;
use crate::dialect::ids;
use crate::{Dialect, KeyCounters, Limits, ModelClass, Organisation, SimKey, SimTime};

/// The cache scope of keys without a workspace.
const WHOLE_ORGANISATION: u64 = 0;

/// An organisation: its counters, one set per model class, and its prompt cache.
#[derive(Debug)]
pub(crate) struct OrganisationState {
    pub(crate) config: Organisation,
    /// The UUID under which Anthropic shows it.
    pub(crate) uuid: String,
    /// What marks the state that it makes: ids of responses, signatures of thinking.
    pub(crate) mark: ids::Mark,
    pub(crate) counting: Counting,
    pub(crate) growth: Option<Growth>,
    pub(crate) cache: PromptCache,
    /// For models without a class.
    pub(crate) default_meters: MeterSet,
    /// In the order of `config.model_classes`.
    class_meters: Vec<MeterSet>,
}

impl OrganisationState {
    pub(crate) fn new(config: &Organisation, minute: Duration, now: SimTime) -> Self {
        let counting = Counting {
            algorithm: config.algorithm,
            minute_us: micros(minute),
            day_reset: config.day_reset,
        };
        let set = |limits| MeterSet::new(limits, counting, now);
        Self {
            config: config.clone(),
            uuid: ids::organisation_uuid(&config.name),
            mark: ids::Mark::of(&config.name),
            counting,
            growth: config.ramp.as_ref().map(Growth::new),
            cache: PromptCache::new(minute),
            default_meters: set(&config.limits),
            class_meters: config
                .model_classes
                .iter()
                .map(|class| set(&class.limits))
                .collect(),
        }
    }

    /// Whether the organisation may use this model.
    pub(crate) fn offers(&self, model: &str) -> bool {
        self.config.models.is_empty() || self.config.models.iter().any(|known| known == model)
    }

    /// The class of a model: a position for [`Self::meters`]; one past the end means "no class".
    pub(crate) fn class_of(&self, model: &str) -> usize {
        let holds = |class: &ModelClass| class.models.iter().any(|name| names(name, model));
        let classes = &self.config.model_classes;
        classes.iter().position(holds).unwrap_or(classes.len())
    }

    pub(crate) fn meters(&mut self, class: usize) -> &mut MeterSet {
        self.class_meters
            .get_mut(class)
            .unwrap_or(&mut self.default_meters)
    }

    pub(crate) fn set_limits(&mut self, limits: Limits, now: SimTime) {
        self.config.limits = limits;
        self.default_meters.replace(&limits, self.counting, now);
    }

    /// Counts somebody else's use in the class of `model`.
    pub(crate) fn consume(&mut self, now: SimTime, model: &str, cost: &Cost) {
        let class = self.class_of(model);
        let requests = self.meters(class).spend(now, cost);
        if let Some(growth) = &mut self.growth {
            growth.charge(now, requests);
        }
    }

    /// Makes every counter full and the cache empty.
    pub(crate) fn refill(&mut self, now: SimTime) {
        self.cache.clear();
        if let Some(growth) = &mut self.growth {
            growth.clear();
        }
        self.default_meters
            .refill(&self.config.limits, self.counting, now);
        for (meters, class) in self.class_meters.iter_mut().zip(&self.config.model_classes) {
            meters.refill(&class.limits, self.counting, now);
        }
    }
}

/// A key: its own counters below those of its organisation, its faults, its counts.
#[derive(Debug)]
pub(crate) struct KeyState {
    pub(crate) secret: String,
    pub(crate) workspace: Option<String>,
    /// The part of the organisation's prompt cache that the key sees: since 2026 Anthropic's is one
    /// per workspace, OpenAI's one per organisation.
    pub(crate) cache_scope: u64,
    pub(crate) organisation: usize,
    pub(crate) limits: Limits,
    pub(crate) meters: MeterSet,
    pub(crate) faults: FaultScript,
    pub(crate) revoked: bool,
    pub(crate) counters: KeyCounters,
}

impl KeyState {
    /// A key of `organisation`, which stands at `position`.
    pub(crate) fn new(
        key: &SimKey,
        position: usize,
        organisation: &OrganisationState,
        now: SimTime,
    ) -> Self {
        Self {
            secret: key.secret.clone(),
            workspace: key.workspace.clone(),
            cache_scope: match (organisation.config.dialect, &key.workspace) {
                (Dialect::Anthropic, Some(workspace)) => ids::fingerprint_of(workspace),
                _ => WHOLE_ORGANISATION,
            },
            organisation: position,
            limits: key.limits,
            meters: MeterSet::new(&key.limits, organisation.counting, now),
            faults: FaultScript::new(key.faults.clone(), now),
            revoked: false,
            counters: KeyCounters::default(),
        }
    }

    /// Makes every counter full.
    pub(crate) fn refill(&mut self, counting: Counting, now: SimTime) {
        self.meters.refill(&self.limits, counting, now);
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
