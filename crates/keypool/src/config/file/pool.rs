//! The `ApiKeyPool` section.

use std::collections::BTreeMap;

use keypool_pool::{Limits, Sequential, Strategy, Window};
use keypool_wire::Dialect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretText;

/// The pools of keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PoolFile {
    /// false leaves a plain gateway: one key per provider from Providers, no rotation.
    pub(crate) enabled: bool,
    /// How a key is chosen among those that have room.
    pub(crate) strategy: StrategyName,
    /// The period of the health check, in milliseconds: a key that is out is probed after 1, 5 and 30 periods,
    /// then after every 60.
    #[schemars(range(min = 10, max = 86_400_000))]
    pub(crate) health_check_interval: u64,
    /// Keeping a conversation on one key, whose prompt cache is warm.
    pub(crate) affinity: AffinityFile,
    /// Waiting for room instead of refusing.
    pub(crate) queue: QueueFile,
    /// Bounds on the attempts of one request.
    pub(crate) retry: RetryFile,
    /// The clocks of a request.
    pub(crate) timeouts: TimeoutsFile,
    /// Providers and their keys, by name. Names whose habits are known: anthropic, openai, azure, gemini, openrouter,
    /// deepseek, groq, mistral, together, xai, fireworks, cerebras, bedrock, vertex, ollama, vllm, lmstudio.
    pub(crate) providers: BTreeMap<String, PoolProviderFile>,
}

/// Keeping a conversation on one key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct AffinityFile {
    /// Whether it is on.
    pub(crate) enabled: bool,
    /// How long a conversation remembers its key after its last request, in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) ttl: u64,
    /// How many times as busy as the average a key may be and still keep its conversations.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(crate) load_factor: f64,
}

/// Waiting for room instead of refusing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct QueueFile {
    /// Whether requests wait.
    pub(crate) enabled: bool,
    /// How long one may wait, in milliseconds.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub(crate) max_wait: u64,
    /// After so many milliseconds of waiting a streamed request's answer begins and is kept alive until there
    /// is room; what goes wrong from then on is told as an event of the stream, no longer as a status. For
    /// clients behind proxies that close silent connections, and a `maxWait` beyond their patience. Default:
    /// never.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) keep_alive: Option<u64>,
    /// How many may wait at one provider.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) max_length: u64,
    /// Most bytes that the bodies of requests that wait at one provider may hold in memory together.
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub(crate) max_bytes: u64,
}

/// Bounds on the attempts of one request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct RetryFile {
    /// Most attempts; default: as many as there are keys and fallbacks.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_attempts: Option<u32>,
    /// How often a request may be sent again after its body was sent and the connection broke or nothing
    /// came in time. The provider may have worked on it, and may bill it twice. Default: as often as there
    /// are keys; 0 means never.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) max_replays: Option<u32>,
    /// Milliseconds after a request's arrival from which no further attempt begins; default 600000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) deadline: Option<u64>,
}

/// The clocks of a request, in milliseconds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TimeoutsFile {
    /// Connecting to a provider, TLS included; default 5000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) connect: Option<u64>,
    /// From the request sent to the first byte that says something; blank lines and keep-alives do not. Default
    /// 600000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) first_byte: Option<u64>,
    /// Between two pieces of an answer, as the provider sends and as the client takes them; default 120000. Five
    /// times as long with nothing but keep-alives.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) idle: Option<u64>,
    /// From the attempt's begin to the answer's end; default 3600000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) total: Option<u64>,
    /// Reading a request's head from the client; default 30000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) client_head: Option<u64>,
    /// Reading a request's body from the client; default 60000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) client_body: Option<u64>,
    /// How long a client's connection may be idle; longer than what stands in front of keypool keeps its
    /// connections. Default 75000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) client_idle: Option<u64>,
    /// How long requests in flight may go on after a stop was asked for; default 30000.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub(crate) drain: Option<u64>,
}

/// One provider and its keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PoolProviderFile {
    /// The base URL that the provider's own SDK takes; `$VAR` is understood. Needed unless the name is a known one.
    #[schemars(length(min = 1))]
    pub(crate) base_url: Option<String>,
    /// The dialect its endpoints speak. Needed unless the name or the URL tells.
    pub(crate) protocol: Option<Protocol>,
    /// The known name whose rules (errors, quota headers, charging, authentication) hold for it, such as azure.
    /// Default: as its own name or the URL's host tells, else those of everybody who speaks its dialect.
    pub(crate) kind: Option<String>,
    /// Whether it serves OpenAI's Responses API; default: as it is known to. Where not, such requests are
    /// translated into chat completions.
    pub(crate) responses: Option<bool>,
    /// The most tokens of output that its models can be asked for. Larger wishes of requests that are translated
    /// for it are lowered, and clients that name none get no more. Default: no bound, and 8192 for clients that
    /// name none where a figure has to be named.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) max_output_tokens: Option<u64>,
    /// Whether requests that are translated for it go without the tools that the client's provider would run itself,
    /// such as a web search; else they are refused. Default: false.
    pub(crate) drop_server_tools: Option<bool>,
    /// How a key is chosen, for this provider alone.
    pub(crate) strategy: Option<StrategyName>,
    /// How its per-minute limits are counted; default: as the provider is known to count.
    pub(crate) window: Option<WindowName>,
    /// Whether declared limits that the provider's answers contradict are corrected. Answers are the truth
    /// about a quota; a declared limit that is up to a third lower than the provider's is taken for a mistake
    /// and raised, one that is lower still is taken for a share that you want to keep to; a declared limit that
    /// is higher than the provider's is always lowered. false: declared limits are never raised. Default true.
    pub(crate) correct_limits: Option<bool>,
    /// Whether requests are sent one at a time; default off.
    pub(crate) sequential: Option<SequentialName>,
    /// Quotas that several keys share, such as those of one organisation, by name.
    pub(crate) quota_groups: BTreeMap<String, QuotaGroupFile>,
    /// The keys.
    #[schemars(with = "Vec<KeyFile>")]
    pub(crate) keys: Vec<Option<KeyFile>>,
}

/// A quota that several keys share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct QuotaGroupFile {
    /// Its limits.
    pub(crate) rate_limit: Option<RateLimitFile>,
}

/// One API key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct KeyFile {
    /// The key; `none` for a server that asks for none. Needed, but for ollama, vllm and lmstudio. For vertex the JSON of
    /// a service account, which `file:/path` leads to.
    #[serde(default)]
    pub(crate) key: Option<SecretText>,
    /// A name for people.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Name of the quota group it shares; alone in a group of its own by default.
    #[serde(default)]
    pub(crate) quota_group: Option<String>,
    /// Limits of this key. Without any it is limited only by what the provider's answers teach.
    #[serde(default)]
    pub(crate) rate_limit: Option<RateLimitFile>,
    /// Weight for the weighted strategy; default 10.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) priority: Option<u8>,
    /// false keeps it listed and never selected.
    #[serde(default = "enabled_by_default")]
    pub(crate) enabled: bool,
    /// Labels; requests may ask for keys with certain tags.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Models it may serve, with `*` for any characters; empty means all.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// Base URL for this key alone.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) base_url: Option<String>,
    /// `bearer` sends the key as `Authorization: Bearer`, whatever the provider's own header is: a token of Microsoft
    /// Entra for Azure.
    #[serde(default)]
    pub(crate) auth: Option<AuthName>,
    /// Azure: the name of the resource, as in `https://{resource}.openai.azure.com`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) resource: Option<String>,
    /// Azure: the version of its API. With a date, such as 2024-10-21, deployments stand in the paths; default: the
    /// newer form of its URLs, without.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) api_version: Option<String>,
    /// Bedrock: the id of an access key, with its secret and a region, in place of a key.
    #[serde(default)]
    pub(crate) access_key_id: Option<SecretText>,
    /// Bedrock: the secret of the access key.
    #[serde(default)]
    pub(crate) secret_access_key: Option<SecretText>,
    /// Bedrock: what goes along with temporary credentials.
    #[serde(default)]
    pub(crate) session_token: Option<SecretText>,
    /// Bedrock and Vertex: the region, such as us-east-1; on Vertex also global.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) region: Option<String>,
    /// Vertex: the project's id; default: the one that the service account names.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) project: Option<String>,
    /// What the account calls every model that deployments does not name.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) deployment: Option<String>,
    /// What the account calls models: `{"gpt-4o": "our-gpt4o"}`. Without a deployment the key serves these alone.
    #[serde(default)]
    pub(crate) deployments: BTreeMap<String, String>,
    /// Instant from which it is no longer used: a date (its first moment in UTC) or an RFC 3339 time.
    #[serde(default)]
    pub(crate) expires_at: Option<String>,
}

/// Limits of a key or a quota group. A dimension left out is limited as soon as the provider states a limit.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct RateLimitFile {
    /// Requests per second, where a provider counts so (Mistral does).
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub(crate) requests_per_second: Option<u64>,
    /// Requests per minute.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub(crate) requests_per_minute: Option<u64>,
    /// Tokens per minute, input and output together.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub(crate) tokens_per_minute: Option<u64>,
    /// Input tokens per minute.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub(crate) input_tokens_per_minute: Option<u64>,
    /// Output tokens per minute.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub(crate) output_tokens_per_minute: Option<u64>,
    /// Requests per day, which ends when the provider's does: at midnight in UTC, for Gemini in US Pacific time.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub(crate) requests_per_day: Option<u64>,
    /// Tokens per day, as above.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub(crate) tokens_per_day: Option<u64>,
    /// Requests at the same time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_concurrent: Option<u32>,
}

/// How a key is chosen among those that have room.
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StrategyName {
    /// In turn.
    RoundRobin,
    /// The one unused for longest.
    Lru,
    /// The one whose tightest limit is least used.
    #[default]
    LeastLoaded,
    /// At random, in proportion to priority and health.
    Weighted,
    /// The first until it is full, then the next.
    FillFirst,
}

/// How per-minute limits are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WindowName {
    /// In a bucket that refills continuously.
    Bucket,
    /// Over the last 60 seconds.
    Sliding,
    /// In minutes that begin anew, all at once.
    Fixed,
    /// In short slices of the minute, each with its part of the limit.
    Slices,
}

/// Whether requests are sent one at a time.
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SequentialName {
    /// As many at a time as there is room for.
    #[default]
    Off,
    /// One at a time per key.
    Key,
    /// One at a time per provider.
    Provider,
}

/// How a key is sent.
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthName {
    /// In the provider's own header.
    #[default]
    Key,
    /// As a bearer token.
    Bearer,
}

/// The dialect that a provider's endpoints speak.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// `/v1/messages`.
    Anthropic,
    /// `/v1/chat/completions` and its siblings.
    OpenAi,
    /// `/v1beta/models/{model}:generateContent`.
    Gemini,
}

fn enabled_by_default() -> bool {
    true
}

impl Default for PoolFile {
    fn default() -> Self {
        Self {
            enabled: true,
            strategy: StrategyName::default(),
            health_check_interval: 60_000,
            affinity: AffinityFile::default(),
            queue: QueueFile::default(),
            retry: RetryFile::default(),
            timeouts: TimeoutsFile::default(),
            providers: BTreeMap::new(),
        }
    }
}

impl Default for AffinityFile {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: 300_000,
            load_factor: 1.25,
        }
    }
}

impl Default for QueueFile {
    fn default() -> Self {
        Self {
            enabled: true,
            max_wait: 30_000,
            keep_alive: None,
            max_length: 10_000,
            max_bytes: 268_435_456,
        }
    }
}

impl From<StrategyName> for Strategy {
    fn from(name: StrategyName) -> Self {
        match name {
            StrategyName::RoundRobin => Self::RoundRobin,
            StrategyName::Lru => Self::Lru,
            StrategyName::LeastLoaded => Self::LeastLoaded,
            StrategyName::Weighted => Self::Weighted,
            StrategyName::FillFirst => Self::FillFirst,
        }
    }
}

impl From<WindowName> for Window {
    fn from(name: WindowName) -> Self {
        match name {
            WindowName::Bucket => Self::Bucket,
            WindowName::Sliding => Self::Sliding,
            WindowName::Fixed => Self::Fixed,
            WindowName::Slices => Self::Slices,
        }
    }
}

impl From<SequentialName> for Sequential {
    fn from(name: SequentialName) -> Self {
        match name {
            SequentialName::Off => Self::Off,
            SequentialName::Key => Self::Key,
            SequentialName::Provider => Self::Provider,
        }
    }
}

impl From<Protocol> for Dialect {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Anthropic => Self::Anthropic,
            Protocol::OpenAi => Self::OpenAi,
            Protocol::Gemini => Self::Gemini,
        }
    }
}

impl From<RateLimitFile> for Limits {
    fn from(file: RateLimitFile) -> Self {
        Self {
            requests_per_second: file.requests_per_second,
            tokens_per_second: None,
            requests_per_minute: file.requests_per_minute,
            tokens_per_minute: file.tokens_per_minute,
            input_tokens_per_minute: file.input_tokens_per_minute,
            output_tokens_per_minute: file.output_tokens_per_minute,
            requests_per_day: file.requests_per_day,
            tokens_per_day: file.tokens_per_day,
            max_concurrent: file.max_concurrent,
        }
    }
}
