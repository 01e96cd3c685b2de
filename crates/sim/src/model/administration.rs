//! Changing the simulated provider while it runs, and asking what it counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::meters::Cost;
use super::state::KeyState;
use super::state::OrganisationState;
use super::{FaultScript, Model};
use crate::{
    AnswerConfig, ConfigError, Counters, Dialect, FaultWindow, Limits, OrganisationCounters,
    SimKey, SimTime,
};

/// The length of a real minute; any other one is a scaled one.
const REAL_MINUTE: Duration = Duration::from_mins(1);

/// A key or an organisation is not simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no key and no organisation is called {0:?}")]
pub struct UnknownName(pub String);

/// What the headers of an answer say about the owner of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIdentity {
    /// The organisation's name.
    pub organisation: String,
    /// The workspace or project of the key.
    pub workspace: Option<String>,
}

impl Model {
    /// Adds a key at run time.
    pub fn add_key(&mut self, now: SimTime, key: &SimKey) -> Result<(), ConfigError> {
        let index = self.keys.len();
        let mut organisations = self.organisations.iter().enumerate();
        let named = organisations.find(|(_, state)| state.config.name == key.organisation);
        let Some((organisation, state)) = named else {
            let name = key.organisation.clone();
            return Err(ConfigError::UnknownOrganisation { index, name });
        };
        if self.by_secret.contains_key(&key.secret) {
            return Err(ConfigError::DuplicateSecret { index });
        }
        self.keys.push(KeyState::new(key, organisation, state, now));
        self.by_secret.insert(key.secret.clone(), index);
        Ok(())
    }

    fn position(&self, secret: &str) -> Result<usize, UnknownName> {
        self.by_secret
            .get(secret)
            .copied()
            .ok_or_else(|| UnknownName(secret.to_owned()))
    }

    /// Replaces the faults of one key.
    pub fn set_faults(
        &mut self,
        now: SimTime,
        secret: &str,
        windows: Vec<FaultWindow>,
    ) -> Result<(), UnknownName> {
        let position = self.position(secret)?;
        self.parties(position).0.faults = FaultScript::new(windows, now);
        Ok(())
    }

    /// Replaces the faults that strike every key.
    pub fn set_faults_of_all(&mut self, now: SimTime, windows: Vec<FaultWindow>) {
        self.faults = FaultScript::new(windows, now);
    }

    /// Takes all faults away.
    pub fn clear_faults(&mut self) {
        self.faults = FaultScript::default();
        for key in &mut self.keys {
            key.faults = FaultScript::default();
        }
    }

    /// Lets a key be refused with 401 from now on, or be good again.
    pub fn set_revoked(&mut self, secret: &str, revoked: bool) -> Result<(), UnknownName> {
        let position = self.position(secret)?;
        self.parties(position).0.revoked = revoked;
        Ok(())
    }

    /// Replaces the limits of an organisation, named itself or by one of its keys.
    pub fn set_limits(
        &mut self,
        now: SimTime,
        name: &str,
        limits: Limits,
    ) -> Result<(), UnknownName> {
        self.organisation_of(name)?.set_limits(limits, now);
        Ok(())
    }

    /// An organisation, named itself or by one of its keys.
    fn organisation_of(&mut self, name: &str) -> Result<&mut OrganisationState, UnknownName> {
        let mut states = self.organisations.iter();
        let position = states.position(|state| state.config.name == name);
        let position = match position {
            Some(position) => Ok(position),
            None => self
                .position(name)
                .map(|key| self.parties(key).0.organisation),
        }?;
        self.organisations
            .get_mut(position)
            .ok_or_else(|| UnknownName(name.to_owned()))
    }

    /// Spends quota of an organisation, named itself or by one of its keys, on somebody else's
    /// behalf: a colleague's script that shares the account and not the gateway. It counts in the
    /// limits of models without a class, and never into debt, as what does not fit would have been
    /// refused to them too; no key's counters see it.
    pub fn consume(
        &mut self,
        now: SimTime,
        organisation: &str,
        requests: u64,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Result<(), UnknownName> {
        let cost = Cost::of_use(requests, input_tokens, output_tokens);
        self.organisation_of(organisation)?.consume(now, "", &cost);
        Ok(())
    }

    /// The same in the limits of the class that `model` belongs to.
    pub fn consume_of_model(
        &mut self,
        now: SimTime,
        organisation: &str,
        model: &str,
        requests: u64,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Result<(), UnknownName> {
        let cost = Cost::of_use(requests, input_tokens, output_tokens);
        self.organisation_of(organisation)?
            .consume(now, model, &cost);
        Ok(())
    }

    /// Replaces a key's own limits, below those of its organisation.
    pub fn set_key_limits(
        &mut self,
        now: SimTime,
        secret: &str,
        limits: Limits,
    ) -> Result<(), UnknownName> {
        let position = self.position(secret)?;
        let (key, organisation) = self.parties(position);
        key.limits = limits;
        key.meters.replace(&limits, organisation.counting, now);
        Ok(())
    }

    /// Changes how answers look.
    pub fn set_answer(&mut self, answer: AnswerConfig) {
        self.answer = answer;
    }

    /// How answers look at present.
    #[must_use]
    pub fn answer(&self) -> &AnswerConfig {
        &self.answer
    }

    /// Whether the minute is not a real one, so that waits keep fractions of a second.
    #[must_use]
    pub fn is_scaled(&self) -> bool {
        self.minute != REAL_MINUTE
    }

    /// Whose key this is.
    pub fn identity(&mut self, ticket: &super::Ticket) -> KeyIdentity {
        let (key, organisation) = self.parties(ticket.key);
        KeyIdentity {
            organisation: organisation.config.name.clone(),
            workspace: key.workspace.clone(),
        }
    }

    /// The models which the key's organisation names, or a few well-known ones.
    pub fn models(&mut self, ticket: &super::Ticket, dialect: Dialect) -> Vec<String> {
        let (_, organisation) = self.parties(ticket.key);
        if organisation.config.models.is_empty() {
            crate::dialect::models::well_known(dialect)
        } else {
            organisation.config.models.clone()
        }
    }

    /// What was counted; the numbers of connections are the server's to fill in.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut organisations: BTreeMap<String, OrganisationCounters> = BTreeMap::new();
        for key in &self.keys {
            if let Some(state) = self.organisations.get(key.organisation) {
                organisations
                    .entry(state.config.name.clone())
                    .or_default()
                    .add(&key.counters);
            }
        }
        let keys = self
            .keys
            .iter()
            .map(|key| (key.secret.clone(), key.counters.clone()));
        Counters {
            connections: 0,
            open_connections: 0,
            requests: self.requests,
            unknown_key: self.unknown_key,
            keys: keys.collect(),
            organisations,
        }
    }

    /// Sets counters to zero and refills every limit; keys, faults and limits stay. Requests in
    /// flight go on and are still counted as such.
    pub fn reset(&mut self, now: SimTime) {
        for organisation in &mut self.organisations {
            organisation.refill(now);
        }
        for position in 0..self.keys.len() {
            let (key, organisation) = self.parties(position);
            key.refill(organisation.counting, now);
            key.counters.reset();
        }
        self.requests = 0;
        self.unknown_key = 0;
    }
}
