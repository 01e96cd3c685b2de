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
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`
    GenerateContent,
    /// `POST /v1beta/models/{model}:countTokens`
    CountContentTokens,
    /// `POST /v1beta/models/{model}:embedContent`
    EmbedContent,
    /// `POST /v1beta/models/{model}:batchEmbedContents`
    BatchEmbedContents,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 9] = [
        Self::CountTokens,
        Self::Messages,
        Self::ChatCompletions,
        Self::Responses,
        Self::Embeddings,
        Self::GenerateContent,
        Self::CountContentTokens,
        Self::EmbedContent,
        Self::BatchEmbedContents,
    ];

    /// The dialect its requests and answers are written in.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
            Self::ChatCompletions | Self::Responses | Self::Embeddings => Dialect::OpenAi,
            Self::GenerateContent
            | Self::CountContentTokens
            | Self::EmbedContent
            | Self::BatchEmbedContents => Dialect::Gemini,
        }
    }

    /// The path after the version segment; in Gemini's API, where the model stands in the path, the name of
    /// the method after it.
    pub(crate) const fn tail(self) -> &'static str {
        match self {
            Self::Messages => "/messages",
            Self::CountTokens => "/messages/count_tokens",
            Self::ChatCompletions => "/chat/completions",
            Self::Responses => "/responses",
            Self::Embeddings => "/embeddings",
            Self::GenerateContent => ":generateContent",
            Self::CountContentTokens => ":countTokens",
            Self::EmbedContent => ":embedContent",
            Self::BatchEmbedContents => ":batchEmbedContents",
        }
    }

    /// Whether answers can be streamed at all.
    #[must_use]
    pub const fn streams(self) -> bool {
        match self {
            Self::Messages | Self::ChatCompletions | Self::Responses | Self::GenerateContent => {
                true
            }
            Self::CountTokens
            | Self::Embeddings
            | Self::CountContentTokens
            | Self::EmbedContent
            | Self::BatchEmbedContents => false,
        }
    }

    /// Whether tokens are counted and no model answers.
    #[must_use]
    pub const fn counts_tokens(self) -> bool {
        matches!(self, Self::CountTokens | Self::CountContentTokens)
    }
}
