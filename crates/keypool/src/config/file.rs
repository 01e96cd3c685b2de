//! `config.json` as people write it. These types are the one source of what is accepted: the loader reads
//! by them, and `keypool schema` prints the JSON Schema derived from them, comments included.

mod pool;
mod routing;
mod tenants;

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub(crate) use pool::{
    AffinityFile, AuthName, KeyFile, PoolFile, PoolProviderFile, Protocol, QueueFile, RetryFile,
    TimeoutsFile,
};
pub(crate) use routing::{FallbackFile, ProviderFile, RouteFile, RouterFile, TARGETS_MAX, Targets};
pub(crate) use tenants::TenantFile;

/// The configuration of keypool. Everything has a default but the keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "keypool configuration")]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// Where editors find this schema; not read.
    #[serde(rename = "$schema")]
    pub(crate) schema: Option<String>,
    /// The IP address to listen on, or `localhost`. Any other than a loopback address needs an APIKEY, or
    /// Tenants and an Admin.token.
    #[serde(rename = "HOST")]
    pub(crate) host: String,
    /// The port to listen on; 0 takes a free one.
    #[serde(rename = "PORT")]
    pub(crate) port: u16,
    /// The gateway's own key, which clients present (and operators, unless Admin.token is set).
    #[serde(rename = "APIKEY")]
    pub(crate) api_key: Option<SecretText>,
    /// Groups of clients with keys of their own, which present them instead of APIKEY. While requests wait for
    /// room, each gets its share.
    #[serde(rename = "Tenants")]
    #[schemars(with = "Vec<TenantFile>", length(max = 1000))]
    pub(crate) tenants: Vec<Option<TenantFile>>,
    /// Access to the admin API.
    #[serde(rename = "Admin")]
    pub(crate) admin: AdminFile,
    /// The pools of keys. Absent or disabled: a plain gateway with one key per provider from Providers.
    #[serde(rename = "ApiKeyPool")]
    pub(crate) api_key_pool: Option<PoolFile>,
    /// Providers with one key each, in the form of claude-code-router.
    #[serde(rename = "Providers")]
    #[schemars(with = "Vec<ProviderFile>")]
    pub(crate) providers: Vec<Option<ProviderFile>>,
    /// Which model serves which kind of request.
    #[serde(rename = "Router")]
    pub(crate) router: RouterFile,
    /// As in claude-code-router: further targets for the rules of Router.
    pub(crate) fallback: FallbackFile,
    /// Names for lists of targets: the first is wanted, the rest are fallbacks, in order.
    #[serde(rename = "Aliases")]
    pub(crate) aliases: BTreeMap<String, Targets>,
    /// How the providers are reached.
    #[serde(rename = "Network")]
    pub(crate) network: NetworkFile,
    /// Whether answers carry the `x-keypool-*` headers.
    #[serde(rename = "AnswerHeaders")]
    pub(crate) answer_headers: bool,
    /// Further host names, without port, that a Host header may carry; loopback names and the listening
    /// address are always known. Any other name is refused, which defeats DNS rebinding.
    #[serde(rename = "KnownHosts")]
    pub(crate) known_hosts: Vec<String>,
    /// Where keys added at run time survive a restart; relative to this file. Default: beside this file, with
    /// the ending `.state.json`.
    #[serde(rename = "StateFile")]
    #[schemars(length(min = 1))]
    pub(crate) state_file: Option<String>,
    /// Bounds on what clients may send.
    #[serde(rename = "Bounds")]
    pub(crate) bounds: BoundsFile,
    /// Seed of every random choice, so that a run can be repeated; random by default.
    #[serde(rename = "Seed")]
    pub(crate) seed: Option<u64>,
    /// As in claude-code-router: false logs errors only.
    #[serde(rename = "LOG")]
    pub(crate) log: Option<bool>,
    /// As in claude-code-router: how much is logged, unless the command line says so.
    #[serde(rename = "LOG_LEVEL")]
    pub(crate) log_level: Option<LogLevel>,
    /// As in claude-code-router: the same as Network.proxy.
    #[serde(rename = "PROXY_URL")]
    pub(crate) proxy_url: Option<SecretText>,
    /// As in claude-code-router: the same as ApiKeyPool.timeouts.firstByte, in milliseconds.
    #[serde(rename = "API_TIMEOUT_MS")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) api_timeout_ms: Option<u64>,
    /// As in claude-code-router, whose launcher reads it; keypool has no use for it.
    #[serde(rename = "NON_INTERACTIVE_MODE")]
    pub(crate) non_interactive_mode: Option<bool>,
}

/// Access to the admin API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminFile {
    /// The admin token. When set, APIKEY opens no admin route. A tenant's key never does.
    pub(crate) token: Option<SecretText>,
    /// Address of a listener of its own for the admin API; default: HOST.
    pub(crate) host: Option<String>,
    /// Port of that listener; default: PORT. Without host and port the admin API is served beside the traffic.
    pub(crate) port: Option<u16>,
}

/// How the providers are reached.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NetworkFile {
    /// A PEM file of roots to trust besides the public ones; relative to this file.
    #[schemars(length(min = 1))]
    pub(crate) ca_file: Option<String>,
    /// The proxy through which providers are reached: `http://[user:password@]host:port`. Literal or `$VAR`.
    pub(crate) proxy: Option<SecretText>,
}

/// Bounds on what clients may send and hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct BoundsFile {
    /// Largest body of a request in bytes; default 33554432 (32 MiB).
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(crate) body_bytes: Option<u64>,
    /// Most bytes that the bodies of all requests, and what is sent in their place, may hold in memory together; at
    /// least `bodyBytes`. Default 536870912 (512 MiB).
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub(crate) body_bytes_in_flight: Option<u64>,
    /// Most connections of clients at a time, fewer where the system allows fewer open files; read at the
    /// start. Default 16384.
    #[schemars(range(min = 8, max = 1_000_000))]
    pub(crate) connections: Option<u64>,
    /// How many milliseconds a worker may be late with what it has to do. Later for a while, it is overloaded and
    /// refuses new requests. Default 5.
    #[schemars(range(min = 2, max = 86_400_000))]
    pub(crate) delay: Option<u64>,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The same as error.
    Fatal,
    /// What needs a person.
    Error,
    /// What may need one.
    Warn,
    /// One line per failover, state change and recovery.
    Info,
    /// One line per request.
    Debug,
    /// Everything.
    Trace,
}

/// A text that is a secret or leads to one: a literal, `$VAR`, `${VAR}` or `file:/path`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretText(pub(crate) String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl Serialize for SecretText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("****")
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A literal, $VAR or ${VAR} (from the environment), or file:/path (read again on reload).",
            "type": "string",
            "minLength": 1,
            // Marks values that are masked wherever they are shown.
            "writeOnly": true,
        })
    }
}

impl Default for ConfigFile {
    fn default() -> Self {
        Self {
            schema: None,
            host: "127.0.0.1".to_owned(),
            port: 3456,
            api_key: None,
            tenants: Vec::new(),
            admin: AdminFile::default(),
            api_key_pool: None,
            providers: Vec::new(),
            router: RouterFile::default(),
            fallback: FallbackFile::default(),
            aliases: BTreeMap::new(),
            network: NetworkFile::default(),
            answer_headers: true,
            known_hosts: Vec::new(),
            state_file: None,
            bounds: BoundsFile::default(),
            seed: None,
            log: None,
            log_level: None,
            proxy_url: None,
            api_timeout_ms: None,
            non_interactive_mode: None,
        }
    }
}
