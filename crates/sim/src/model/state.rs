//! What the model keeps of each organisation and key.

use std::time::Duration;

use super::cache::PromptCache;
use super::faults::FaultScript;
use super::meters::MeterSet;
use crate::config::names;
use crate::{Algorithm, KeyCounters, Limits, ModelClass, Organisation, SimKey, SimTime};

/// An organisation: its counters, one set per model class, and its prompt cache.
#[derive(Debug)]
pub(crate) struct OrganisationState {
    pub(crate) config: Organisation,
    pub(crate) cache: PromptCache,
    /// For models without a class.
    pub(crate) default_meters: MeterSet,
    /// In the order of `config.model_classes`.
    class_meters: Vec<MeterSet>,
}

impl OrganisationState {
    pub(crate) fn new(config: &Organisation, minute: Duration, now: SimTime) -> Self {
        let set = |limits| MeterSet::new(limits, config.algorithm, micros(minute), now);
        Self {
            config: config.clone(),
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

    pub(crate) fn set_limits(&mut self, limits: Limits, minute: Duration, now: SimTime) {
        self.config.limits = limits;
        self.default_meters
            .replace(&limits, self.config.algorithm, micros(minute), now);
    }

    /// Makes every counter full and the cache empty.
    pub(crate) fn refill(&mut self, minute_us: u64, now: SimTime) {
        let algorithm = self.config.algorithm;
        self.cache.clear();
        self.default_meters
            .refill(&self.config.limits, algorithm, minute_us, now);
        for (meters, class) in self.class_meters.iter_mut().zip(&self.config.model_classes) {
            meters.refill(&class.limits, algorithm, minute_us, now);
        }
    }
}

/// A key: its own counters below those of its organisation, its faults, its counts.
#[derive(Debug)]
pub(crate) struct KeyState {
    pub(crate) secret: String,
    pub(crate) workspace: Option<String>,
    pub(crate) organisation: usize,
    pub(crate) limits: Limits,
    pub(crate) meters: MeterSet,
    pub(crate) faults: FaultScript,
    pub(crate) revoked: bool,
    pub(crate) counters: KeyCounters,
}

impl KeyState {
    pub(crate) fn new(
        key: &SimKey,
        organisation: usize,
        algorithm: Algorithm,
        minute: Duration,
        now: SimTime,
    ) -> Self {
        Self {
            secret: key.secret.clone(),
            workspace: key.workspace.clone(),
            organisation,
            limits: key.limits,
            meters: MeterSet::new(&key.limits, algorithm, micros(minute), now),
            faults: FaultScript::new(key.faults.clone(), now),
            revoked: false,
            counters: KeyCounters::default(),
        }
    }

    /// Makes every counter full.
    pub(crate) fn refill(&mut self, algorithm: Algorithm, minute_us: u64, now: SimTime) {
        self.meters.refill(&self.limits, algorithm, minute_us, now);
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
