//! What is simulated: organisations, their keys and limits, and how answers look.

mod behaviour;
pub(crate) mod millis;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use behaviour::{DayReset, HeaderStyle, Ramp};

use crate::{Algorithm, Dialect, FaultWindow, Limits};

/// The whole simulation. JSON uses the same names in camelCase; every field but `organisations` and
/// `keys` has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimConfig {
    /// The owners of quota.
    pub organisations: Vec<Organisation>,
    /// The keys, each belonging to an organisation.
    pub keys: Vec<SimKey>,
    /// How answers look.
    #[serde(default)]
    pub answer: AnswerConfig,
    /// Faults that strike every key.
    #[serde(default)]
    pub faults: Vec<FaultWindow>,
    /// The length of a "minute"; a day is 1440 of them. Default 60 s. Shorter ones let a demo or a
    /// test see many windows pass; then waits in headers keep their fractions of a second.
    #[serde(default = "minute", with = "millis", rename = "minuteMs")]
    pub minute: Duration,
    /// Fixes ids, latencies and shares.
    #[serde(default)]
    pub seed: u64,
    /// How many received requests are kept for inspection, the latest ones; 0 keeps none.
    #[serde(default = "log_length")]
    pub request_log: usize,
    /// The largest body taken, in bytes; beyond it 413. Default 32 MiB.
    #[serde(default = "body_bytes")]
    pub max_body_bytes: usize,
    /// Streams that one HTTP/2 connection may have open. Default 100.
    #[serde(default = "http2_streams")]
    pub max_http2_streams: u32,
}

/// An owner of quota, shared by all its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Organisation {
    /// Its name: OpenAI shows it in `openai-organization`, Anthropic a UUID made of it.
    pub name: String,
    /// The API it is a customer of.
    pub dialect: Dialect,
    /// How its counters refill.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Limits on models that no class below names.
    #[serde(default)]
    pub limits: Limits,
    /// Models with limits of their own.
    #[serde(default)]
    pub model_classes: Vec<ModelClass>,
    /// Models it may use; anything goes when empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// Anthropic's estimate of input tokens at admission in percent of the true count; corrected once
    /// the answer begins. Default 100.
    #[serde(default = "hundred")]
    pub input_estimate_percent: u64,
    /// How its answers show the quota. Default as the dialect does.
    #[serde(default)]
    pub headers: HeaderStyle,
    /// Now and then, by the seed, a header of the quota is wrong: `remaining` missing or negative, a
    /// limit of -1. A gateway must not be fooled by it.
    #[serde(default)]
    pub odd_headers: bool,
    /// A bound on how fast its use may grow. Default none.
    #[serde(default)]
    pub ramp: Option<Ramp>,
    /// Whether input that is read from the prompt cache counts in the limits. By default it does at
    /// OpenAI and does not at Anthropic; `false` at OpenAI is Groq's rule.
    #[serde(default)]
    pub cache_reads_count: Option<bool>,
    /// When daily counters start anew, whatever the algorithm of the others. By default the fixed
    /// algorithms turn at UTC midnight and the others know no midnight.
    #[serde(default)]
    pub day_reset: Option<DayReset>,
    /// Answers of the Messages API begin with a thinking block whose signature only this organisation
    /// takes back.
    #[serde(default)]
    pub thinking: bool,
}

/// Models that share counters apart from the organisation's other models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelClass {
    /// Names; a `*` at the end stands for any rest.
    pub models: Vec<String>,
    /// The limits of the class.
    pub limits: Limits,
}

/// One API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimKey {
    /// What clients send.
    pub secret: String,
    /// The name of its organisation.
    pub organisation: String,
    /// Narrower limits of its own (a workspace, a project), on top of the organisation's.
    #[serde(default)]
    pub limits: Limits,
    /// Shown in `anthropic-workspace-id` or `openai-project`.
    #[serde(default)]
    pub workspace: Option<String>,
    /// Faults that strike this key, from the start.
    #[serde(default)]
    pub faults: Vec<FaultWindow>,
}

/// How answers look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AnswerConfig {
    /// Milliseconds from the request's end to the answer's head. Default 0.
    pub latency_ms: Spread,
    /// Output tokens of an answer, fewer if `max_tokens` says so. Default 16.
    pub output_tokens: Spread,
    /// Output tokens in one event of a stream. Default 4.
    pub chunk_tokens: u64,
    /// Time between two events that carry text. Default 0: as fast as the connection takes them.
    #[serde(with = "millis", rename = "chunkDelayMs")]
    pub chunk_delay: Duration,
    /// The text, spread over the tokens; words of no meaning when absent.
    pub text: Option<String>,
}

/// A number that is always the same, or drawn evenly from a range. In JSON `20` or
/// `{"min": 10, "max": 30}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Spread {
    /// Always this.
    Fixed(u64),
    /// Each value from `min` to `max`, both included, is as likely.
    Uniform {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
}

impl Spread {
    pub(crate) fn draw(self, rng: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Fixed(value) => value,
            Self::Uniform { min, max } => rng.u64(min..=max.max(min)),
        }
    }
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            latency_ms: Spread::Fixed(0),
            output_tokens: Spread::Fixed(16),
            chunk_tokens: 4,
            chunk_delay: Duration::ZERO,
            text: None,
        }
    }
}

/// Whether a pattern names `model`; a `*` at its end stands for any rest.
pub(crate) fn names(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => model.starts_with(start),
        None => model == pattern,
    }
}

const fn minute() -> Duration {
    Duration::from_mins(1)
}

const fn log_length() -> usize {
    1000
}

const fn body_bytes() -> usize {
    32 << 20
}

const fn http2_streams() -> u32 {
    100
}

const fn hundred() -> u64 {
    100
}

/// Why a configuration cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key names an organisation that is not there.
    #[error("keys[{index}].organisation: no organisation is named {name:?}")]
    UnknownOrganisation {
        /// Position of the key.
        index: usize,
        /// The name it gives.
        name: String,
    },
    /// Two keys have the same secret.
    #[error("keys[{index}].secret: the same secret stands in an earlier key")]
    DuplicateSecret {
        /// Position of the second one.
        index: usize,
    },
    /// Two organisations have the same name.
    #[error("organisations[{index}].name: {name:?} stands in an earlier organisation")]
    DuplicateOrganisation {
        /// Position of the second one.
        index: usize,
        /// The name.
        name: String,
    },
    /// The minute is shorter than a millisecond.
    #[error("minuteMs: must be at least 1")]
    MinuteTooShort,
}

impl SimConfig {
    /// Nothing but defaults: add organisations and keys.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            organisations: Vec::new(),
            keys: Vec::new(),
            answer: AnswerConfig::default(),
            faults: Vec::new(),
            minute: minute(),
            seed: 0,
            request_log: log_length(),
            max_body_bytes: body_bytes(),
            max_http2_streams: http2_streams(),
        }
    }

    /// Anthropic keys, each of an organisation of its own with these limits.
    #[must_use]
    pub fn anthropic(secrets: &[&str], limits: Limits) -> Self {
        Self::empty().with_keys(Dialect::Anthropic, secrets, limits)
    }

    /// OpenAI keys, each of an organisation of its own with these limits.
    #[must_use]
    pub fn openai(secrets: &[&str], limits: Limits) -> Self {
        Self::empty().with_keys(Dialect::OpenAi, secrets, limits)
    }

    /// Gemini keys, each of a project of its own with these limits.
    #[must_use]
    pub fn gemini(secrets: &[&str], limits: Limits) -> Self {
        Self::empty().with_keys(Dialect::Gemini, secrets, limits)
    }

    /// Adds keys, each of an organisation of its own with these limits.
    #[must_use]
    pub fn with_keys(mut self, dialect: Dialect, secrets: &[&str], limits: Limits) -> Self {
        for secret in secrets {
            let name = format!("org-{}", self.organisations.len() + 1);
            self = self.with_organisation(&name, dialect, &[secret], limits);
        }
        self
    }

    /// Adds one organisation whose limits these keys share.
    #[must_use]
    pub fn with_organisation(
        mut self,
        name: &str,
        dialect: Dialect,
        secrets: &[&str],
        limits: Limits,
    ) -> Self {
        self.organisations
            .push(Organisation::new(name, dialect, limits));
        self.keys
            .extend(secrets.iter().map(|secret| SimKey::new(secret, name)));
        self
    }

    /// Counts by this algorithm in every organisation so far.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        for organisation in &mut self.organisations {
            organisation.algorithm = algorithm;
        }
        self
    }

    /// Shows the quota in this style in every organisation so far.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderStyle) -> Self {
        for organisation in &mut self.organisations {
            organisation.headers = headers;
        }
        self
    }

    /// Lets answers begin with a thinking block in every organisation so far.
    #[must_use]
    pub fn with_thinking(mut self) -> Self {
        for organisation in &mut self.organisations {
            organisation.thinking = true;
        }
        self
    }

    /// Sets the length of a minute.
    #[must_use]
    pub fn with_minute(mut self, minute: Duration) -> Self {
        self.minute = minute;
        self
    }

    /// Sets how answers look.
    #[must_use]
    pub fn with_answer(mut self, answer: AnswerConfig) -> Self {
        self.answer = answer;
        self
    }

    /// Keeps no received requests: for load tests.
    #[must_use]
    pub fn without_request_log(mut self) -> Self {
        self.request_log = 0;
        self
    }

    /// Finds what would make the simulation meaningless.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.minute < Duration::from_millis(1) {
            return Err(ConfigError::MinuteTooShort);
        }
        let mut names = BTreeSet::new();
        for (index, organisation) in self.organisations.iter().enumerate() {
            let name = organisation.name.clone();
            if !names.insert(&organisation.name) {
                return Err(ConfigError::DuplicateOrganisation { index, name });
            }
        }
        let mut secrets = BTreeSet::new();
        for (index, key) in self.keys.iter().enumerate() {
            if !names.contains(&key.organisation) {
                let name = key.organisation.clone();
                return Err(ConfigError::UnknownOrganisation { index, name });
            }
            if !secrets.insert(&key.secret) {
                return Err(ConfigError::DuplicateSecret { index });
            }
        }
        Ok(())
    }
}

impl Organisation {
    /// An organisation with a continuous bucket and any model.
    #[must_use]
    pub fn new(name: &str, dialect: Dialect, limits: Limits) -> Self {
        Self {
            name: name.to_owned(),
            dialect,
            algorithm: Algorithm::default(),
            limits,
            model_classes: Vec::new(),
            models: Vec::new(),
            input_estimate_percent: hundred(),
            headers: HeaderStyle::default(),
            odd_headers: false,
            ramp: None,
            cache_reads_count: None,
            day_reset: None,
            thinking: false,
        }
    }
}

impl SimKey {
    /// A key with no limits but its organisation's.
    #[must_use]
    pub fn new(secret: &str, organisation: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            organisation: organisation.to_owned(),
            limits: Limits::NONE,
            workspace: None,
            faults: Vec::new(),
        }
    }
}
