//! The sections `Providers` and `Router`, in the form of claude-code-router.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Protocol, SecretText};

/// A provider with one key, as claude-code-router writes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderFile {
    /// The provider's name.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// Its base URL, or the full URL of its endpoint; `$VAR` is understood. Needed unless the name is a known one.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) api_base_url: Option<String>,
    /// Its key. `ApiKeyPool.providers.<name>` adds further ones.
    #[serde(default)]
    pub(crate) api_key: Option<SecretText>,
    /// Models it serves.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// The dialect it speaks; default: what the name or the URL tells, else openai.
    #[serde(default)]
    pub(crate) protocol: Option<Protocol>,
    /// claude-code-router's request transformers. Not applied: bodies pass unchanged.
    #[serde(default)]
    pub(crate) transformer: Option<Value>,
}

/// Which target serves which kind of request; each is `provider,model` or an alias. An empty text is none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct RouterFile {
    /// For a request whose model names no provider.
    pub(crate) default: Option<String>,
    /// For small requests in the background.
    pub(crate) background: Option<String>,
    /// For requests with extended thinking.
    pub(crate) think: Option<String>,
    /// For requests longer than longContextThreshold.
    pub(crate) long_context: Option<String>,
    /// Input tokens from which a request is a long one; default 60000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) long_context_threshold: Option<u64>,
    /// For requests with the web search tool.
    pub(crate) web_search: Option<String>,
    /// For requests with images.
    pub(crate) image: Option<String>,
}
