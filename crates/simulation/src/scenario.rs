//! What is simulated, as plain data: the same data give the same run, to the microsecond.
//!
//! Everything that could be forgotten has a default, so that a scenario shows only what it is about.

use keypool_pool::{Sequential, Strategy, Urgency, Window};
use keypool_sim::{Algorithm, Dialect, Endpoint, FaultWindow, HeaderStyle, Limits};
use keypool_wire::ProviderKind;
use serde::{Deserialize, Serialize};

use crate::Size;

/// One simulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    /// What people call it.
    pub name: String,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How long requests arrive, in milliseconds; what is under way then is served to its end.
    pub duration_ms: u64,
    /// What happens before is not in the ratios of the report, in milliseconds.
    pub warm_up_ms: u64,
    /// Whose API it is.
    pub provider: Provider,
    /// How the provider counts.
    pub limiter: Algorithm,
    /// The quotas that there are: one per organisation at the provider.
    pub quotas: Vec<Quota>,
    /// The keys.
    pub keys: Vec<KeyPlan>,
    /// What the pool is told of the limits.
    pub declared: Declared,
    /// How the pool is configured.
    pub pool: PoolPlan,
    /// Who asks for what.
    pub traffic: Traffic,
    /// Time on the way to the provider, and back, in milliseconds: evenly from the first to the second.
    pub transit_ms: (u64, u64),
    /// How long a client waits for its answer to begin, in milliseconds.
    pub patience_ms: u64,
    /// How long an answer may take to begin, and a stream to go on, in milliseconds.
    pub silence_ms: u64,
    /// How closely the run is watched.
    pub checks: Checks,
}

/// A quota at the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Its true limits.
    pub limits: Limits,
    /// The name of the quota group by which the pool knows it; `None`: it takes each key for
    /// independent, rightly or wrongly.
    #[serde(default)]
    pub group: Option<String>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPlan {
    /// What people call it.
    #[serde(default)]
    pub name: Option<String>,
    /// Which of the scenario's quotas it draws from.
    pub quota: usize,
    /// Narrower limits of its own.
    #[serde(default)]
    pub limits: Limits,
    /// The models that it serves, as the configuration says it; all if there are none.
    #[serde(default)]
    pub models: Vec<String>,
    /// What goes wrong with it.
    #[serde(default)]
    pub faults: Vec<FaultWindow>,
}

/// Whose API is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Real input and output count; cache reads are free; every answer shows the quota.
    Anthropic,
    /// The larger of `max_tokens` and prompt is charged at admission; every answer shows the quota.
    OpenAi,
    /// As OpenAI, with its own headers.
    Azure,
    /// Speaks like Anthropic, and says nothing about quotas.
    Silent,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anthropic, Self::OpenAi, Self::Azure, Self::Silent];

    /// As the gateway's side knows it.
    #[must_use]
    pub const fn kind(self) -> ProviderKind {
        match self {
            Self::Anthropic | Self::Silent => ProviderKind::Anthropic,
            Self::OpenAi => ProviderKind::OpenAi,
            Self::Azure => ProviderKind::Azure,
        }
    }

    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Anthropic | Self::Silent => Dialect::Anthropic,
            Self::OpenAi | Self::Azure => Dialect::OpenAi,
        }
    }

    pub(crate) const fn endpoint(self) -> Endpoint {
        match self.dialect() {
            Dialect::Anthropic => Endpoint::Messages,
            Dialect::OpenAi => Endpoint::ChatCompletions,
            Dialect::Gemini => Endpoint::GenerateContent,
        }
    }

    pub(crate) const fn wire_endpoint(self) -> keypool_wire::Endpoint {
        match self.dialect() {
            Dialect::Anthropic => keypool_wire::Endpoint::Messages,
            Dialect::OpenAi => keypool_wire::Endpoint::ChatCompletions,
            Dialect::Gemini => keypool_wire::Endpoint::GenerateContent,
        }
    }

    pub(crate) const fn header_style(self) -> HeaderStyle {
        match self {
            Self::Anthropic | Self::OpenAi => HeaderStyle::Dialect,
            Self::Azure => HeaderStyle::Azure,
            Self::Silent => HeaderStyle::None,
        }
    }
}

/// What the pool is told of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Declared {
    /// The truth.
    #[default]
    Right,
    /// Nothing: it has to learn.
    Nothing,
    /// This many percent of the truth.
    Percent(u64),
}

/// How the pool is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolPlan {
    /// Which key goes next.
    pub strategy: Strategy,
    /// How the pool takes the provider to count; as it does when absent.
    pub window: Option<Window>,
    /// Requests that may wait.
    pub queue_length: usize,
    /// Whether sessions are kept.
    pub affinity: bool,
    /// One request at a time.
    pub sequential: Sequential,
    /// Whether limits declared a little too low are raised.
    pub correct_limits: bool,
}

impl Default for PoolPlan {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            window: None,
            queue_length: 10_000,
            affinity: true,
            sequential: Sequential::Off,
            correct_limits: true,
        }
    }
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// When requests arrive.
    pub arrivals: Arrivals,
    /// Tokens of a prompt, where there are no sessions.
    pub input: Size,
    /// Tokens of an answer.
    pub output: Size,
    /// The client's bound on output; the answer is cut to it.
    pub max_tokens: Option<u64>,
    /// The share of requests whose answers are streams.
    pub stream_share: f64,
    /// Milliseconds until an answer begins.
    pub head_ms: Size,
    /// How fast it is written then.
    pub tokens_per_second: u64,
    /// The gateway's estimate of a prompt in percent of the truth.
    pub estimate_percent: u64,
    /// By how many percent of that it varies from prompt to prompt, up or down.
    pub estimate_noise_percent: u64,
    /// Conversations, whose prompts grow and are cached.
    pub sessions: Option<Sessions>,
    /// Tenants, with weights 1, 2, 3, …
    pub tenants: u32,
    /// Whether all urgencies occur.
    pub urgencies: bool,
    /// Models that are asked for, each with a quota of its own; at least 1.
    pub models: u32,
    /// The share of clients that leave early.
    pub leaving_share: f64,
}

/// Conversations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// How many are going on at one time.
    pub count: u32,
    /// Tokens with which each begins.
    pub first_tokens: u64,
    /// Tokens by which the prompt grows from turn to turn.
    pub growth_tokens: u64,
    /// Turns after which another begins.
    pub turns: u32,
}

/// When requests arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Arrivals {
    /// As a factor of what the quotas allow.
    Offered {
        /// 1.0 is all that they allow.
        factor: f64,
        /// How they come.
        pattern: Pattern,
    },
    /// So many a minute.
    PerMinute {
        /// Requests per minute on average.
        rate: f64,
        /// How they come.
        pattern: Pattern,
    },
    /// As they came once.
    Trace {
        /// The requests, in the order of their arrival.
        items: Vec<TraceItem>,
        /// How many times as fast.
        speed: f64,
    },
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Pattern {
    /// At equal distances.
    Even,
    /// Independently of each other.
    Poisson,
    /// All of them within the first part of each period, independently of each other.
    #[serde(rename_all = "camelCase")]
    Bursts {
        /// Milliseconds in which they come.
        on_ms: u64,
        /// Milliseconds in which none comes.
        off_ms: u64,
    },
}

/// A request as it once came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceItem {
    /// Microseconds after the first.
    pub offset_us: u64,
    /// The model.
    pub model: String,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Of those, what came from the cache.
    pub cached_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// The client's bound on them.
    pub max_output_tokens: Option<u64>,
    /// Whether it was a stream.
    pub stream: bool,
    /// The conversation.
    pub session: Option<u64>,
    /// Whose it was.
    pub tenant: u64,
    /// How urgent it was.
    pub urgency: Urgency,
    /// How long the answer took, in milliseconds.
    pub latency_ms: u64,
}

/// How closely a run is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Checks {
    /// Each grant out of so many is looked at closely; 0: none.
    pub grants_every: u64,
    /// After so many steps the queue is compared with what the pool explains; 0: never.
    pub queue_every: u64,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            grants_every: 1,
            queue_every: 16,
        }
    }
}

impl Checks {
    /// Little enough to cost nothing.
    pub const LIGHT: Self = Self {
        grants_every: 101,
        queue_every: 1009,
    };
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            arrivals: Arrivals::Offered {
                factor: 0.5,
                pattern: Pattern::Poisson,
            },
            input: Size::Fixed { tokens: 800 },
            output: Size::Fixed { tokens: 200 },
            max_tokens: Some(1000),
            stream_share: 0.5,
            head_ms: Size::Uniform { min: 200, max: 600 },
            tokens_per_second: 100,
            estimate_percent: 100,
            estimate_noise_percent: 10,
            sessions: None,
            tenants: 1,
            urgencies: false,
            models: 1,
            leaving_share: 0.0,
        }
    }
}

impl Scenario {
    /// So many independent keys with these limits, which the pool is told, under half of the load that
    /// they allow.
    #[must_use]
    pub fn steady(keys: usize, limits: Limits) -> Self {
        let quota = Quota {
            limits,
            group: None,
        };
        Self {
            name: format!("{keys} keys"),
            seed: 1,
            duration_ms: 5 * 60_000,
            warm_up_ms: 60_000,
            provider: Provider::Anthropic,
            limiter: Algorithm::Bucket,
            quotas: vec![quota; keys],
            keys: (0..keys).map(KeyPlan::of).collect(),
            declared: Declared::Right,
            pool: PoolPlan::default(),
            traffic: Traffic::default(),
            transit_ms: (1, 20),
            patience_ms: 60_000,
            silence_ms: 60_000,
            checks: Checks::default(),
        }
    }

    /// Another load, as a factor of what the quotas allow; the pattern stays.
    #[must_use]
    pub fn offered(mut self, factor: f64) -> Self {
        let pattern = self.pattern();
        self.traffic.arrivals = Arrivals::Offered { factor, pattern };
        self
    }

    /// Another pattern of arrivals; the load stays.
    #[must_use]
    pub fn arriving(mut self, how: Pattern) -> Self {
        match &mut self.traffic.arrivals {
            Arrivals::Offered { pattern, .. } | Arrivals::PerMinute { pattern, .. } => {
                *pattern = how;
            }
            Arrivals::Trace { .. } => {}
        }
        self
    }

    /// Another duration.
    #[must_use]
    pub const fn minutes(mut self, minutes: u64) -> Self {
        self.duration_ms = minutes * 60_000;
        self
    }

    /// Another seed.
    #[must_use]
    pub const fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(crate) const fn pattern(&self) -> Pattern {
        match &self.traffic.arrivals {
            Arrivals::Offered { pattern, .. } | Arrivals::PerMinute { pattern, .. } => *pattern,
            Arrivals::Trace { .. } => Pattern::Poisson,
        }
    }

    /// How the pool takes the provider to count.
    #[must_use]
    pub fn window(&self) -> Window {
        self.pool.window.unwrap_or(match self.limiter {
            Algorithm::Bucket => Window::Bucket,
            Algorithm::FixedMinute => Window::Fixed,
            Algorithm::PerSecondSlices => Window::Slices,
            Algorithm::Sliding => Window::Sliding,
        })
    }
}

impl KeyPlan {
    /// A key with nothing of its own.
    #[must_use]
    pub const fn of(quota: usize) -> Self {
        Self {
            name: None,
            quota,
            limits: Limits::NONE,
            models: Vec::new(),
            faults: Vec::new(),
        }
    }
}
