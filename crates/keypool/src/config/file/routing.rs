//! The sections `Providers`, `Router` and `fallback`, in the form of claude-code-router, and `Aliases`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
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

/// Which target serves which kind of request whose model is a bare name. Each is `provider,model` or an alias, or a
/// list of them of which the first is wanted and the rest are fallbacks, in order. An empty text is none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct RouterFile {
    /// For a model that no provider lists, when no other rule holds.
    pub(crate) default: Option<RouteFile>,
    /// For models of the family claude haiku, with which Claude Code does things in the background.
    pub(crate) background: Option<RouteFile>,
    /// For requests that ask for reasoning.
    pub(crate) think: Option<RouteFile>,
    /// For prompts of more than longContextThreshold tokens.
    pub(crate) long_context: Option<RouteFile>,
    /// The longest prompt that is not a long one, in tokens by estimate; default 60000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) long_context_threshold: Option<u64>,
    /// For requests with the provider's web search tool.
    pub(crate) web_search: Option<RouteFile>,
    /// For requests with images.
    pub(crate) image: Option<RouteFile>,
}

/// One target, or several in order of preference.
#[derive(Debug, Default)]
pub(crate) struct RouteFile {
    /// The targets as they are written; an empty text is none.
    pub(crate) targets: Vec<String>,
    /// Whether they stand in a list.
    pub(crate) is_list: bool,
}

impl<'de> Deserialize<'de> for RouteFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(String),
            List(Vec<String>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::One(target) => Self {
                targets: vec![target],
                is_list: false,
            },
            Written::List(targets) => Self {
                targets,
                is_list: true,
            },
        })
    }
}

impl JsonSchema for RouteFile {
    fn schema_name() -> Cow<'static, str> {
        "RouteFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`provider,model` or an alias, or a list of them in order of preference.",
            "type": ["string", "array"],
            "items": { "type": "string" },
            "maxItems": TARGETS_MAX,
        })
    }
}

/// Further targets for the rules of Router, in order, as claude-code-router writes them: they follow those of the rule
/// of the same name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct FallbackFile {
    /// After Router.default.
    #[schemars(length(max = TARGETS_MAX))]
    pub(crate) default: Vec<String>,
    /// After Router.background.
    #[schemars(length(max = TARGETS_MAX))]
    pub(crate) background: Vec<String>,
    /// After Router.think.
    #[schemars(length(max = TARGETS_MAX))]
    pub(crate) think: Vec<String>,
    /// After Router.longContext.
    #[schemars(length(max = TARGETS_MAX))]
    pub(crate) long_context: Vec<String>,
    /// After Router.webSearch.
    #[schemars(length(max = TARGETS_MAX))]
    pub(crate) web_search: Vec<String>,
    /// After Router.image.
    #[schemars(length(max = TARGETS_MAX))]
    pub(crate) image: Vec<String>,
}

/// Names for lists of targets: the first is wanted, the rest are fallbacks, in order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Targets(
    /// The targets, each `provider,model`.
    #[schemars(length(min = 1, max = TARGETS_MAX))]
    pub(crate) Vec<String>,
);

/// Most targets of one request: the wanted one and its fallbacks.
pub(crate) const TARGETS_MAX: usize = 16;
