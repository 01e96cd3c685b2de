//! The dialects of the LLM APIs, and the endpoints that are spoken in each.

use serde::{Deserialize, Serialize};

/// A family of wire formats: the shape of requests, answers, streams and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// The Messages API.
    Anthropic,
    /// Chat completions, responses, embeddings, and all who imitate them.
    OpenAi,
    /// `generateContent` and its relatives.
    Gemini,
}

/// One kind of request that passes through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/embeddings`
    Embeddings,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 5] = [
        Self::CountTokens,
        Self::Messages,
        Self::ChatCompletions,
        Self::Responses,
        Self::Embeddings,
    ];

    /// The dialect its requests and answers are written in.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
            Self::ChatCompletions | Self::Responses | Self::Embeddings => Dialect::OpenAi,
        }
    }

    /// The path relative to the base URL as the provider's own SDK takes it: Anthropic's has no
    /// version segment, OpenAI's has.
    #[must_use]
    pub const fn upstream_path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::ChatCompletions => "/chat/completions",
            Self::Responses => "/responses",
            Self::Embeddings => "/embeddings",
        }
    }

    /// The path after the version segment.
    pub(crate) const fn tail(self) -> &'static str {
        match self {
            Self::Messages => "/messages",
            Self::CountTokens => "/messages/count_tokens",
            Self::ChatCompletions | Self::Responses | Self::Embeddings => self.upstream_path(),
        }
    }

    /// Whether answers can be streamed at all.
    #[must_use]
    pub const fn streams(self) -> bool {
        match self {
            Self::Messages | Self::ChatCompletions | Self::Responses => true,
            Self::CountTokens | Self::Embeddings => false,
        }
    }
}
