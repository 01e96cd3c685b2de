//! How the providers speak: their paths, requests, answers, streams, errors and headers.
//!
//! Everything here is a function of its arguments; ids come from a seed and times from the caller.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod embeddings;
pub(crate) mod errors;
pub(crate) mod gemini;
mod header_styles;
pub(crate) mod ids;
pub(crate) mod models;
pub(crate) mod odd_headers;
pub(crate) mod quota_headers;
pub(crate) mod request;
pub(crate) mod responses;
pub(crate) mod stream;
pub(crate) mod text;
pub(crate) mod thinking;

use serde::{Deserialize, Serialize};

/// The API that an organisation's provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// The Anthropic Messages API.
    Anthropic,
    /// The OpenAI API: chat completions, responses, embeddings.
    OpenAi,
    /// Google's Gemini API.
    Gemini,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`: free of charge.
    CountTokens,
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    GenerateContent,
    /// `POST /v1beta/models/{model}:countTokens`: free of charge.
    CountContentTokens,
    /// `POST /v1beta/models/{model}:embedContent`.
    EmbedContent,
    /// `POST /v1beta/models/{model}:batchEmbedContents`.
    BatchEmbedContents,
    /// `GET /v1/models` and `GET /v1/models/{id}`, for Gemini also under `/v1beta`: free of charge.
    Models(Dialect),
}

impl Endpoint {
    /// The dialect in which this endpoint answers.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
            Self::ChatCompletions | Self::Responses | Self::Embeddings => Dialect::OpenAi,
            Self::GenerateContent
            | Self::CountContentTokens
            | Self::EmbedContent
            | Self::BatchEmbedContents => Dialect::Gemini,
            Self::Models(dialect) => dialect,
        }
    }

    /// Whether a model runs, so that limits count the request.
    #[must_use]
    pub const fn is_inference(self) -> bool {
        match self {
            Self::Messages
            | Self::ChatCompletions
            | Self::Responses
            | Self::Embeddings
            | Self::GenerateContent
            | Self::EmbedContent
            | Self::BatchEmbedContents => true,
            Self::CountTokens | Self::CountContentTokens | Self::Models(_) => false,
        }
    }

    /// Whether texts are turned into vectors, so that there is no output.
    #[must_use]
    pub const fn embeds(self) -> bool {
        matches!(
            self,
            Self::Embeddings | Self::EmbedContent | Self::BatchEmbedContents
        )
    }
}

/// Counts and facts that an answer reports about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input tokens, without those read from or written to the prompt cache.
    pub input: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Output tokens of the whole answer.
    pub output: u64,
}

impl Usage {
    /// All input tokens, cached or not.
    #[must_use]
    pub const fn whole_input(&self) -> u64 {
        self.input + self.cache_write + self.cache_read
    }
}

/// All that an answer is written from.
#[derive(Debug)]
pub(crate) struct AnswerFacts<'a> {
    pub(crate) model: &'a str,
    pub(crate) usage: Usage,
    /// The answer ends because `max_tokens` was reached.
    pub(crate) cut_short: bool,
    /// Seconds since the Unix epoch.
    pub(crate) created: u64,
    /// Seed of this answer's ids.
    pub(crate) seed: u64,
    /// What the organisation leaves in the state that the answer makes.
    pub(crate) mark: &'a ids::Mark,
    /// The answer begins with a thinking block (Messages API).
    pub(crate) thinking: bool,
    pub(crate) text: &'a text::AnswerText,
    pub(crate) chunk_tokens: u64,
}

/// A string as a JSON literal, quotes included.
pub(crate) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
