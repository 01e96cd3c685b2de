//! Who the providers are: names, default base URLs, dialects, and how each takes its key.

use crate::dialect::{Dialect, Endpoint};

/// A provider whose habits are known, or one that merely speaks a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// Anthropic's own API.
    Anthropic,
    /// OpenAI's own API.
    OpenAi,
    /// OpenAI models on Azure.
    Azure,
    /// Google's Gemini API.
    Gemini,
    /// OpenRouter.
    OpenRouter,
    /// DeepSeek.
    DeepSeek,
    /// Groq.
    Groq,
    /// Mistral.
    Mistral,
    /// Together.
    Together,
    /// xAI.
    Xai,
    /// Fireworks.
    Fireworks,
    /// Cerebras.
    Cerebras,
    /// Models on Amazon Bedrock.
    Bedrock,
    /// Models on Google's Vertex AI.
    Vertex,
    /// Ollama, on a machine of the operator's.
    Ollama,
    /// vLLM's server.
    Vllm,
    /// LM Studio's server.
    LmStudio,
    /// Anybody else, by the dialect spoken.
    Generic(Dialect),
}

/// The one header that carries a key to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// `x-api-key: KEY`
    XApiKey,
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-goog-api-key: KEY`
    XGoogApiKey,
    /// `api-key: KEY` (Azure)
    ApiKey,
}

impl AuthScheme {
    /// The header's name, in lower case.
    #[must_use]
    pub const fn header_name(self) -> &'static str {
        match self {
            Self::XApiKey => "x-api-key",
            Self::Bearer => "authorization",
            Self::XGoogApiKey => "x-goog-api-key",
            Self::ApiKey => "api-key",
        }
    }

    /// What stands before the key in the header's value.
    #[must_use]
    pub const fn value_prefix(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer ",
            Self::XApiKey | Self::XGoogApiKey | Self::ApiKey => "",
        }
    }

    /// The scheme that goes with a dialect when nothing else is known.
    #[must_use]
    pub const fn of_dialect(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Anthropic => Self::XApiKey,
            Dialect::OpenAi => Self::Bearer,
            Dialect::Gemini => Self::XGoogApiKey,
        }
    }
}

/// One line per known provider: (kind, name in the configuration, base URL as its SDK takes it).
/// On the clouds there is none: where requests go is said key by key.
const TABLE: [(ProviderKind, &str, Option<&str>); 17] = {
    use ProviderKind as P;
    [
        (P::Anthropic, "anthropic", Some("https://api.anthropic.com")),
        (P::OpenAi, "openai", Some("https://api.openai.com/v1")),
        (P::Azure, "azure", None),
        (
            P::Gemini,
            "gemini",
            Some("https://generativelanguage.googleapis.com/v1beta"),
        ),
        (
            P::OpenRouter,
            "openrouter",
            Some("https://openrouter.ai/api/v1"),
        ),
        (P::DeepSeek, "deepseek", Some("https://api.deepseek.com/v1")),
        (P::Groq, "groq", Some("https://api.groq.com/openai/v1")),
        (P::Mistral, "mistral", Some("https://api.mistral.ai/v1")),
        (P::Together, "together", Some("https://api.together.xyz/v1")),
        (P::Xai, "xai", Some("https://api.x.ai/v1")),
        (
            P::Fireworks,
            "fireworks",
            Some("https://api.fireworks.ai/inference/v1"),
        ),
        (P::Cerebras, "cerebras", Some("https://api.cerebras.ai/v1")),
        (P::Bedrock, "bedrock", None),
        (P::Vertex, "vertex", None),
        (P::Ollama, "ollama", Some("http://localhost:11434/v1")),
        (P::Vllm, "vllm", Some("http://localhost:8000/v1")),
        (P::LmStudio, "lmstudio", Some("http://localhost:1234/v1")),
    ]
};

impl ProviderKind {
    /// The provider of that name, in any case; `None` for names that are the operator's own.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(_, known, _)| known.eq_ignore_ascii_case(name))
            .map(|&(kind, ..)| kind)
    }

    /// All names [`Self::from_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|&(_, name, _)| name)
    }

    /// The base URL its own SDK uses, where there is one for all customers.
    #[must_use]
    pub fn default_base_url(self) -> Option<&'static str> {
        TABLE
            .iter()
            .find(|&&(kind, ..)| kind == self)
            .and_then(|&(_, _, url)| url)
    }

    /// The dialect it speaks unless configured otherwise.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Anthropic | Self::Bedrock | Self::Vertex => Dialect::Anthropic,
            Self::Gemini => Dialect::Gemini,
            Self::Generic(dialect) => dialect,
            Self::OpenAi
            | Self::Azure
            | Self::OpenRouter
            | Self::DeepSeek
            | Self::Groq
            | Self::Mistral
            | Self::Together
            | Self::Xai
            | Self::Fireworks
            | Self::Cerebras
            | Self::Ollama
            | Self::Vllm
            | Self::LmStudio => Dialect::OpenAi,
        }
    }

    /// Whether it serves whoever can reach it unless it was told otherwise, so that it may have keys
    /// without a secret.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Ollama | Self::Vllm | Self::LmStudio)
    }

    /// Whether it is each key that says where the provider is.
    #[must_use]
    pub const fn is_placed_by_key(self, dialect: Dialect) -> bool {
        match self {
            Self::Azure => matches!(dialect, Dialect::OpenAi),
            Self::Bedrock => matches!(dialect, Dialect::Anthropic | Dialect::OpenAi),
            Self::Vertex => true,
            _ => false,
        }
    }

    /// Whether the Responses API is to be had from it in `OpenAI`'s dialect. Those named here serve chat
    /// completions alone; of providers that are not known it is assumed. Ollama has it since 0.13.3 only,
    /// and keeps no state, so that chat completions are the safer choice.
    #[must_use]
    pub const fn serves_responses(self) -> bool {
        !matches!(
            self,
            Self::Gemini
                | Self::DeepSeek
                | Self::Mistral
                | Self::Together
                | Self::Cerebras
                | Self::Bedrock
                | Self::Vertex
                | Self::Ollama
        )
    }

    /// Whether it has a counterpart of an endpoint of the dialect that it speaks. Bedrock counts tokens in
    /// another way than Messages do.
    #[must_use]
    pub const fn serves(self, endpoint: Endpoint) -> bool {
        !matches!((self, endpoint), (Self::Bedrock, Endpoint::CountTokens))
    }

    /// Whether its errors are worded as the dialect has it. A cloud in front of a model has words of its own.
    #[must_use]
    pub const fn words_errors_as_its_dialect(self) -> bool {
        !matches!(self, Self::Bedrock | Self::Vertex)
    }

    /// How it takes its key when spoken to in `dialect`. Gemini's OpenAI dialect wants a bearer,
    /// and so do the others' second dialects; on the clouds the header does not follow the dialect.
    #[must_use]
    pub const fn auth_scheme(self, dialect: Dialect) -> AuthScheme {
        match self {
            Self::Azure => AuthScheme::ApiKey,
            Self::Bedrock | Self::Vertex => AuthScheme::Bearer,
            _ => AuthScheme::of_dialect(dialect),
        }
    }
}
