//! The configuration a gateway runs on: complete, checked, with every reference resolved.
//!
//! Where it comes from (a file, a test, the demo) is not this crate's business. Defaults are those of
//! the documented configuration file.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keypool_pool::{KeyId, Limits, Priority, Strategy, Timestamp, Urgency, Window};
use keypool_wire::{Dialect, KeyPlace, ProviderKind};

pub use keypool_pool::{AffinityConfig, Sequential};

use crate::credentials::{AwsSecret, ServiceAccount};
use crate::secret::Secret;

/// Everything a running gateway needs to know.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where client traffic (and, without an address of its own, the admin API) is served.
    pub listen: SocketAddr,
    /// The gateway's own key that clients present. Without it and without tenants traffic is open, on
    /// loopback only.
    pub client_key: Option<Secret>,
    /// Clients with keys of their own; names and keys are unique, and no name is [`DEFAULT_TENANT`].
    pub tenants: Vec<TenantConfig>,
    /// Who may use the admin API, and where it listens.
    pub admin: AdminConfig,
    /// Host names, besides loopback names and the listening address, that a `Host` header may carry.
    pub known_hosts: Vec<String>,
    /// How often suspect keys are looked at and timers are re-evaluated.
    pub health_check_interval: Duration,
    /// Waiting for room instead of refusing.
    pub queue: QueueConfig,
    /// Keeping a conversation on one key.
    pub affinity: AffinityConfig,
    /// Bounds on one request's attempts.
    pub retry: RetryConfig,
    /// The clocks of one attempt.
    pub timeouts: Timeouts,
    /// Bounds on what clients may send.
    pub bounds: Bounds,
    /// TLS roots and proxy of the upstream connections.
    pub network: NetworkConfig,
    /// Whether answers carry the `x-keypool-*` headers.
    pub answer_headers: bool,
    /// Providers in configuration order; names are unique.
    pub providers: Vec<ProviderConfig>,
    /// Which targets serve which kind of request.
    pub router: RouterConfig,
    /// Alias → targets: the first is wanted, the rest are fallbacks, in order. None is an alias.
    pub aliases: Vec<(String, Vec<String>)>,
    /// Where changes made through the admin API are kept across restarts; `None` keeps them in memory only.
    pub state_file: Option<PathBuf>,
    /// Seed of every random choice, so that a run can be repeated.
    pub seed: u64,
}

/// Which targets serve which kind of request whose model is a bare name, as in claude-code-router. Each is a
/// list of model forms such as `anthropic,claude-…`, none of them an alias: the first is wanted, the rest are
/// fallbacks, in order. An empty list is no rule.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// For models that no provider lists.
    pub default: Vec<String>,
    /// For the small models with which Claude Code does things in the background.
    pub background: Vec<String>,
    /// For requests that ask for reasoning.
    pub think: Vec<String>,
    /// For prompts of more tokens than the threshold.
    pub long_context: Vec<String>,
    /// The longest prompt that is not a long one, in tokens.
    pub long_context_threshold: u64,
    /// For requests with the provider's web search.
    pub web_search: Vec<String>,
    /// For requests with pictures.
    pub image: Vec<String>,
}

/// Access to the admin API.
#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// The admin token. When set, the client key opens no admin route.
    pub token: Option<Secret>,
    /// A listener of its own for the admin API; `None` serves it beside the traffic.
    pub listen: Option<SocketAddr>,
}

/// The name of the tenant that clients are which present no tenant's key.
pub const DEFAULT_TENANT: &str = "default";

/// A group of clients with a key of its own and a share of its own when requests have to wait.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// What people call it.
    pub name: String,
    /// The key that its clients present. It opens traffic, never the admin API.
    pub key: Secret,
    /// Its share beside the other tenants' while requests wait; 1 to 1000, the default tenant has 1.
    pub weight: u32,
    /// The urgency of its requests that name none.
    pub urgency: Urgency,
}

/// Waiting for room instead of refusing.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// Whether requests wait at all.
    pub enabled: bool,
    /// How long one may wait.
    pub max_wait: Duration,
    /// After so long in the queue a streamed request's answer begins, kept alive until there is room; from
    /// then on it has no status code any more. `None`: an answer begins when it is known.
    pub keep_alive: Option<Duration>,
    /// How many may wait per provider.
    pub max_length: usize,
    /// Most bytes that the bodies of those who wait may hold in memory together.
    pub max_bytes: usize,
}

/// Bounds on the attempts of one request.
#[derive(Debug, Clone)]
pub struct RetryConfig {
    /// Most attempts; `None` means as many as there are keys and fallbacks.
    pub max_attempts: Option<NonZeroU32>,
    /// How often a request may be sent again whose body had been sent and whose answer did not come: the
    /// provider may have worked on it, and may bill it twice. `None` means as often as there are keys.
    pub max_replays: Option<u32>,
    /// Time from the request's arrival after which no further attempt begins.
    pub deadline: Duration,
}

/// The clocks of one attempt.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// TCP connect plus TLS handshake.
    pub connect: Duration,
    /// From the request sent to the first byte of the answer that says something.
    pub first_byte: Duration,
    /// Between two chunks of an answer, whatever they say, and between two that its client takes.
    pub idle: Duration,
    /// From the attempt's begin to the answer's end.
    pub total: Duration,
    /// Reading a request's head from the client.
    pub client_head: Duration,
    /// Reading a request's body from the client.
    pub client_body: Duration,
    /// How long a client's connection may be idle.
    pub client_idle: Duration,
    /// How long requests in flight may go on after a stop was asked for.
    pub drain: Duration,
}

/// Bounds on what clients may send and hold.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Largest request body in bytes.
    pub body_bytes: usize,
    /// Most bytes that the bodies of all requests, and what is sent in their place, may hold in memory together,
    /// from the first byte read until an answer has begun.
    pub body_bytes_in_flight: usize,
    /// Most connections of clients at a time; fewer where the system allows fewer open files.
    pub connections: usize,
    /// How late a worker may be with what it has to do. Later for a while, it is overloaded and refuses new requests.
    pub delay: Duration,
}

/// How upstreams are reached.
#[derive(Debug, Clone, Default)]
pub struct NetworkConfig {
    /// A PEM file of additional trusted roots.
    pub ca_file: Option<PathBuf>,
    /// An HTTP(S) proxy, `http://[user:password@]host:port`, through which upstreams are reached.
    pub proxy: Option<String>,
}

/// One provider and its keys.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// The name that model forms, admin calls and metrics use.
    pub name: String,
    /// Which provider's error rows, quota headers and charging rule apply.
    pub kind: ProviderKind,
    /// The dialect its endpoints speak.
    pub dialect: Dialect,
    /// Base URL in the form that the provider's own SDK takes (Anthropic without `/v1`, OpenAI with it);
    /// `None` where each key says where it is.
    pub base_url: Option<String>,
    /// How a key is chosen.
    pub strategy: Strategy,
    /// How its limits per minute are counted; `None`: as the provider is known to count.
    pub window: Option<Window>,
    /// Whether declared limits that the provider's answers contradict are corrected upwards too. A limit
    /// that is higher than the provider's is lowered in any case.
    pub correct_limits: bool,
    /// Whether requests are sent one at a time.
    pub sequential: Sequential,
    /// Quotas that several keys share, by name.
    pub quota_groups: Vec<(String, Limits)>,
    /// Its keys, in configuration order.
    pub keys: Vec<KeyEntry>,
    /// Models it is known to serve; may be empty.
    pub models: Vec<String>,
    /// Whether it serves the Responses API in OpenAI's dialect. Where not, such requests become chat
    /// completions.
    pub serves_responses: bool,
    /// The most tokens of output that its models can be asked for in a translated request; `None`: what
    /// most can.
    pub output_tokens_max: Option<u64>,
    /// Whether a translated request goes without the tools that the client's provider would run itself. Where
    /// not, it is refused.
    pub drops_server_tools: bool,
}

/// How a key proves itself to its provider.
#[derive(Debug, Clone, Default)]
pub enum Credential {
    /// By the secret, in the header in which the provider takes it.
    #[default]
    Key,
    /// By the secret as a bearer token, whatever is usual.
    Bearer,
    /// Not at all: the server serves whoever reaches it.
    Open,
    /// By a signature of each request with an access key of AWS. The secret is then the access key's id, of
    /// which people may see the mask.
    Aws(AwsSecret),
    /// By a token that a service account of Google's is exchanged for. The secret is then what names the
    /// account's private key, which people may see.
    ServiceAccount(Arc<ServiceAccount>),
}

/// One API key of a provider.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// The key itself.
    pub secret: Secret,
    /// How it is used.
    pub credential: Credential,
    /// A name for people.
    pub name: Option<String>,
    /// The quota group it shares, by name; `None` gives it a quota of its own.
    pub quota_group: Option<String>,
    /// Limits of this key alone.
    pub limits: Limits,
    /// Weight for the weighted strategy.
    pub priority: Priority,
    /// Whether it may be selected at all.
    pub enabled: bool,
    /// Labels.
    pub tags: Vec<String>,
    /// Globs of the models it may serve; empty means all.
    pub models: Vec<String>,
    /// Where its account is.
    pub place: KeyPlace,
    /// Instant from which it is no longer used.
    pub expires_at: Option<Timestamp>,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            default: Vec::new(),
            background: Vec::new(),
            think: Vec::new(),
            long_context: Vec::new(),
            long_context_threshold: 60_000,
            web_search: Vec::new(),
            image: Vec::new(),
        }
    }
}

impl KeyEntry {
    /// What stands in place of a key for a server that asks for none.
    pub const NO_KEY: &'static str = "none";

    /// A key of which nothing is said but itself.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let credential = if secret.expose() == Self::NO_KEY {
            Credential::Open
        } else {
            Credential::Key
        };
        Self {
            secret,
            credential,
            name: None,
            quota_group: None,
            limits: Limits::default(),
            priority: Priority::default(),
            enabled: true,
            tags: Vec::new(),
            models: Vec::new(),
            place: KeyPlace::default(),
            expires_at: None,
        }
    }

    /// A key that is a service account.
    #[must_use]
    pub fn of_account(account: ServiceAccount) -> Self {
        let key_id = Secret::new(account.key_id());
        Self {
            credential: Credential::ServiceAccount(Arc::new(account)),
            ..Self::new(key_id)
        }
    }

    /// The stable id: of the secret, and of the place where the secret alone does not tell keys apart.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let place = match self.credential {
            Credential::Open => self.place.base_url.clone(),
            Credential::Key
            | Credential::Bearer
            | Credential::Aws(_)
            | Credential::ServiceAccount(_) => self.place.identity(),
        };
        place.map_or_else(|| self.secret.id(), |place| self.secret.id_at(&place))
    }

    /// What people are shown.
    #[must_use]
    pub fn mask(&self) -> String {
        match self.credential {
            Credential::Key
            | Credential::Bearer
            | Credential::Aws(_)
            | Credential::ServiceAccount(_) => self.secret.mask(),
            Credential::Open => Self::NO_KEY.to_owned(),
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_wait: Duration::from_secs(30),
            keep_alive: None,
            max_length: 10_000,
            max_bytes: 256 * 1024 * 1024,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: None,
            max_replays: None,
            deadline: Duration::from_mins(10),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_mins(10),
            idle: Duration::from_mins(2),
            total: Duration::from_hours(1),
            client_head: Duration::from_secs(30),
            client_body: Duration::from_mins(1),
            // Above the 60 s of common load balancers and clients: the side that sends requests should be
            // the one to close, or it may send one into a connection that is being closed.
            client_idle: Duration::from_secs(75),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: 32 * 1024 * 1024,
            body_bytes_in_flight: 512 * 1024 * 1024,
            connections: 16_384,
            // An answer of a model takes seconds: nobody notices it.
            delay: Duration::from_millis(5),
        }
    }
}
