//! The pure model of a provider: plain data and a seed in, decisions out, `now` in every call.
//!
//! A request is begun with [`Model::begin`], which says what the provider does with it. While the
//! answer is written, [`Model::produce`] counts its output; [`Model::finish`] ends it. The server
//! around it adds nothing but bytes and waiting, so that the same model can judge a pool in virtual
//! time.
//!
//! ```
//! use keypool_sim::model::{Ending, Model, Request};
//! use keypool_sim::{Endpoint, Limits, SimConfig, SimTime};
//!
//! let mut now = SimTime::from_unix_micros(1_800_000_000_000_000);
//! let config = SimConfig::anthropic(&["sk-1"], Limits::per_minute(50));
//! let mut model = Model::new(now, &config)?;
//! let request = Request::plain("claude-test", 1200, Some(500)).with_cache_prefix(7, 1024);
//! let mut verdict = model.ask(now, Endpoint::Messages, "sk-1", &request);
//! now = now + verdict.wait; // when the head is there
//! let headers = model.headers_of(now, &verdict); // as the server would send them
//! let pieces = verdict.grant().map(|grant| (grant.chunks().collect::<Vec<_>>(), grant.pace));
//! let refused = verdict.refusal().map(|error| (error.status, error.wait()));
//! if let Some(mut ticket) = verdict.ticket.take() {
//!     for (tokens, pace) in pieces.iter().flat_map(|(all, pace)| all.iter().map(move |n| (*n, *pace))) {
//!         now = now + pace;
//!         model.produce(now, &mut ticket, tokens);
//!     }
//!     model.finish(now, ticket, Ending::Complete);
//! }
//! assert_eq!((headers.len(), refused), (4, None));
//! # Ok::<(), keypool_sim::ConfigError>(())
//! ```

mod administration;
mod admission;
pub(crate) mod cache;
pub(crate) mod charging;
pub mod counters;
mod faults;
mod grant;
mod headers;
mod limiter;
pub(crate) mod meters;
mod ramp;
mod refusals;
mod reply;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;

pub use crate::dialect::Usage;
pub use crate::dialect::errors::ProviderError;
pub use crate::dialect::quota_headers::{Header, Quota};
pub use crate::dialect::request::{CachePrefix, Request, VectorFormat};
pub use crate::dialect::thinking::ThinkingSignature;
pub use administration::{KeyIdentity, UnknownName};
pub use grant::{Break, BreakKind, Grant, Oddity};
pub use meters::Level;
pub use reply::{Credential, Ending, Reply, Ticket, Verdict};

use crate::dialect::errors;
use crate::{AnswerConfig, ConfigError, Endpoint, Fault, SimConfig, SimTime};
use faults::{Due, FaultScript};
use state::{KeyState, OrganisationState};

/// All organisations and keys, with their counters.
#[derive(Debug)]
pub struct Model {
    organisations: Vec<OrganisationState>,
    /// Keys are never taken out, so a position stays valid.
    keys: Vec<KeyState>,
    by_secret: HashMap<String, usize>,
    answer: AnswerConfig,
    faults: FaultScript,
    minute: Duration,
    rng: Rng,
    /// Decides which quota headers are odd: apart, so that looking at headers changes no verdict.
    odd_rng: Rng,
    requests: u64,
    unknown_key: u64,
}

impl Model {
    /// A provider that nobody has used yet.
    pub fn new(now: SimTime, config: &SimConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let organisation = |config_of| OrganisationState::new(config_of, config.minute, now);
        let mut model = Self {
            organisations: config.organisations.iter().map(organisation).collect(),
            keys: Vec::with_capacity(config.keys.len()),
            by_secret: HashMap::new(),
            answer: config.answer.clone(),
            faults: FaultScript::new(config.faults.clone(), now),
            minute: config.minute,
            rng: Rng::with_seed(config.seed),
            odd_rng: Rng::with_seed(!config.seed),
            requests: 0,
            unknown_key: 0,
        };
        for key in &config.keys {
            model.add_key(now, key)?;
        }
        Ok(model)
    }

    /// A key and its organisation, by the key's position.
    #[allow(
        clippy::indexing_slicing,
        reason = "positions come from the model and stay valid"
    )]
    fn parties(&mut self, key: usize) -> (&mut KeyState, &mut OrganisationState) {
        let key = &mut self.keys[key];
        let organisation = &mut self.organisations[key.organisation];
        (key, organisation)
    }

    /// Decides what becomes of a request that has arrived whole. `request` is what its body says, or
    /// the error that the body deserves.
    pub fn begin(
        &mut self,
        now: SimTime,
        endpoint: Endpoint,
        credential: Credential<'_>,
        request: &Result<Request, ProviderError>,
    ) -> Verdict {
        self.answer_to(now, endpoint, credential, request.as_ref())
    }

    /// The same for a request that is known to be well-formed and comes with a key where its API wants it:
    /// the way in for virtual time.
    pub fn ask(
        &mut self,
        now: SimTime,
        endpoint: Endpoint,
        secret: &str,
        request: &Request,
    ) -> Verdict {
        let credential = Credential {
            api_key: None,
            bearer: Some(secret),
            google: Some(secret),
        };
        self.answer_to(now, endpoint, credential, Ok(request))
    }

    fn answer_to(
        &mut self,
        now: SimTime,
        endpoint: Endpoint,
        credential: Credential<'_>,
        request: Result<&Request, &ProviderError>,
    ) -> Verdict {
        self.requests += 1;
        let seed = self.rng.u64(..);
        let position = match self.identify(endpoint, credential) {
            Ok(position) => position,
            Err(error) => {
                self.unknown_key += 1;
                return Verdict::refused(seed, error);
            }
        };
        let latency = Duration::from_millis(self.answer.latency_ms.draw(&mut self.rng));
        let model = request.map_or("", |request| request.model.as_str());
        let (key, organisation) = self.parties(position);
        key.counters.enter();
        key.counters.free += u64::from(!endpoint.is_inference());
        let mut ticket = Ticket {
            key: position,
            endpoint,
            seed,
            class: organisation.class_of(model),
            admitted: None,
        };
        let (reply, delay) = self.decide(now, credential, request, &mut ticket);
        self.count_head(position, &reply);
        Verdict {
            seed,
            wait: latency.saturating_add(delay),
            ticket: Some(ticket),
            reply,
        }
    }

    /// The position of the key that the credential names.
    fn identify(
        &mut self,
        endpoint: Endpoint,
        credential: Credential<'_>,
    ) -> Result<usize, ProviderError> {
        let dialect = endpoint.dialect();
        let secret = credential.secret(dialect)?;
        let refused = || errors::invalid_key(dialect, secret, credential.is_bearer());
        let position = *self.by_secret.get(secret).ok_or_else(refused)?;
        let (_, organisation) = self.parties(position);
        let other_provider = organisation.config.dialect != dialect;
        if other_provider {
            Err(refused())
        } else {
            Ok(position)
        }
    }

    /// The reply, and what a fault adds to the time before it.
    fn decide(
        &mut self,
        now: SimTime,
        credential: Credential<'_>,
        request: Result<&Request, &ProviderError>,
        ticket: &mut Ticket,
    ) -> (Reply, Duration) {
        let endpoint = ticket.endpoint;
        let dialect = endpoint.dialect();
        if self.parties(ticket.key).0.revoked {
            let revoked = reply::of_fault(dialect, Fault::Unauthorized, credential, "");
            return (revoked, Duration::ZERO);
        }
        let model = request.map_or("", |request| request.model.as_str());
        let due = self.due(now, ticket.key, endpoint, model);
        let (instead, beside) = match due {
            Some(due) if due.fault.replaces_the_answer() => (Some(due), None),
            due => (None, due),
        };
        if let Some(due) = instead {
            self.struck(&due, ticket.key);
            self.charge_failure(now, ticket);
            let reply = reply::of_fault(dialect, due.fault, credential, model);
            return (reply, Duration::ZERO);
        }
        let admitted = match request {
            Ok(request) => self.admit(now, request, ticket),
            Err(error) => {
                self.charge_failure(now, ticket);
                Err(error.clone())
            }
        };
        match admitted {
            Err(error) => (Reply::Refusal(error), Duration::ZERO),
            Ok(mut grant) => {
                let delay = beside.map_or(Duration::ZERO, |due| {
                    self.struck(&due, ticket.key);
                    grant.take_fault(dialect, due.fault)
                });
                (Reply::Grant(grant), delay)
            }
        }
    }

    /// The fault that is due for this key: its own script goes first.
    fn due(&mut self, now: SimTime, key: usize, endpoint: Endpoint, model: &str) -> Option<Due> {
        let mut rng = self.rng.fork();
        let own = self
            .parties(key)
            .0
            .faults
            .due(now, endpoint, model, &mut rng);
        own.or_else(|| {
            self.faults
                .due(now, endpoint, model, &mut rng)
                .map(Due::of_all_keys)
        })
    }

    fn struck(&mut self, due: &Due, key: usize) {
        let state = self.parties(key).0;
        state.counters.faults += 1;
        if due.is_own() {
            state.faults.struck(due);
        } else {
            self.faults.struck(due);
        }
    }

    fn count_head(&mut self, key: usize, reply: &Reply) {
        let counters = &mut self.parties(key).0.counters;
        match reply.status() {
            Some(status) => *counters.by_status.entry(status).or_default() += 1,
            None => counters.unanswered += 1,
        }
    }
}
