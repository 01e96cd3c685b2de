//! The handle by which tests and demos script the simulator and ask what it saw.

use std::sync::Arc;

use super::log::ReceivedRequest;
use super::shared::Shared;
use crate::model::UnknownName;
use crate::{AnswerConfig, ConfigError, Counters, FaultWindow, Limits, SimKey};

/// A running simulator. Cloning gives another handle on the same one.
#[derive(Debug, Clone)]
pub struct Sim(Arc<Shared>);

impl Sim {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Replaces the faults of one key; their times count from now.
    pub fn set_faults(&self, secret: &str, windows: Vec<FaultWindow>) -> Result<(), UnknownName> {
        self.0
            .with_model(|model, now| model.set_faults(now, secret, windows))
    }

    /// Replaces the faults that strike every key; their times count from now.
    pub fn set_faults_of_all(&self, windows: Vec<FaultWindow>) {
        self.0
            .with_model(|model, now| model.set_faults_of_all(now, windows));
    }

    /// Takes all faults away, those of single keys too.
    pub fn clear_faults(&self) {
        self.0.with_model(|model, _| model.clear_faults());
    }

    /// From now on the key is refused with 401.
    pub fn revoke(&self, secret: &str) -> Result<(), UnknownName> {
        self.0
            .with_model(|model, _| model.set_revoked(secret, true))
    }

    /// The key is good again.
    pub fn restore(&self, secret: &str) -> Result<(), UnknownName> {
        self.0
            .with_model(|model, _| model.set_revoked(secret, false))
    }

    /// Replaces the limits of an organisation, named itself or by one of its keys. What was used
    /// stays used, up to the new limit.
    pub fn set_limits(&self, name: &str, limits: Limits) -> Result<(), UnknownName> {
        self.0
            .with_model(|model, now| model.set_limits(now, name, limits))
    }

    /// Replaces a key's own limits, which hold on top of its organisation's.
    pub fn set_key_limits(&self, secret: &str, limits: Limits) -> Result<(), UnknownName> {
        self.0
            .with_model(|model, now| model.set_key_limits(now, secret, limits))
    }

    /// Spends quota of an organisation, named itself or by one of its keys, on somebody else's behalf;
    /// never into debt. See [`crate::model::Model::consume`].
    pub fn consume(
        &self,
        organisation: &str,
        requests: u64,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Result<(), UnknownName> {
        self.0.with_model(|model, now| {
            model.consume(now, organisation, requests, input_tokens, output_tokens)
        })
    }

    /// The same in the limits of the class that `model` belongs to.
    pub fn consume_of_model(
        &self,
        organisation: &str,
        model: &str,
        requests: u64,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Result<(), UnknownName> {
        self.0.with_model(|state, now| {
            state.consume_of_model(
                now,
                organisation,
                model,
                requests,
                input_tokens,
                output_tokens,
            )
        })
    }

    /// Adds a key to an organisation that is there.
    pub fn add_key(&self, key: &SimKey) -> Result<(), ConfigError> {
        self.0.with_model(|model, now| model.add_key(now, key))
    }

    /// Changes how answers look from the next request on.
    pub fn set_answer(&self, answer: AnswerConfig) {
        self.0.with_model(|model, _| model.set_answer(answer));
    }

    /// What was counted since the start or the last reset.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }

    /// The latest requests received, oldest first, as many as the configuration keeps.
    #[must_use]
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.0.log.all()
    }

    /// Sets counters to zero, refills every limit and empties the log. Keys, faults and limits stay.
    pub fn reset(&self) {
        self.0.reset();
    }
}
