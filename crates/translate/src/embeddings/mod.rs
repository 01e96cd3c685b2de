//! Embeddings, between OpenAI and Gemini.

mod gemini;
mod openai;

use keypool_wire::Endpoint;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::error::Failure;
use crate::json::Str;
use crate::losses::{Losses, Refusal};
use crate::request::Translated;
use crate::rules::FieldSet;

/// An API in which texts are turned into vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmbeddingApi {
    /// OpenAI's `/embeddings`.
    OpenAi,
    /// Gemini's `embedContent`: one text.
    GeminiOne,
    /// Gemini's `batchEmbedContents`.
    GeminiBatch,
}

impl EmbeddingApi {
    /// The API of an endpoint; `None` for those that make no vectors.
    #[must_use]
    pub fn of_endpoint(endpoint: Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::Embeddings => Some(Self::OpenAi),
            Endpoint::EmbedContent => Some(Self::GeminiOne),
            Endpoint::BatchEmbedContents => Some(Self::GeminiBatch),
            _ => None,
        }
    }

    /// The name users know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI embeddings",
            Self::GeminiOne => "Gemini embedContent",
            Self::GeminiBatch => "Gemini batchEmbedContents",
        }
    }

    /// The API with the same rules.
    const fn rules(self) -> Api {
        match self {
            Self::OpenAi => Api::ChatCompletions,
            Self::GeminiOne | Self::GeminiBatch => Api::GenerateContent,
        }
    }
}

/// A client's request, read. It borrows from the body.
#[derive(Clone, Debug, Default)]
pub struct EmbeddingRequest<'a> {
    texts: Vec<Str<'a>>,
    dimensions: Option<u64>,
    encoding: VectorEncoding,
    user: Option<Str<'a>>,
    fields: FieldSet,
    losses: Losses,
}

/// How a client wants the vectors written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VectorEncoding {
    /// Numbers.
    #[default]
    Numbers,
    /// Base64 of 32-bit floats, little end first. OpenAI's SDKs ask for it unasked.
    Base64,
}

impl<'a> EmbeddingRequest<'a> {
    /// Reads a body in the client's API.
    pub fn read(api: EmbeddingApi, body: &'a [u8]) -> Result<Self, Refusal> {
        match api {
            EmbeddingApi::OpenAi => openai::read_request(body),
            EmbeddingApi::GeminiOne => gemini::read_one(body),
            EmbeddingApi::GeminiBatch => gemini::read_batch(body),
        }
    }

    /// How the client wants the vectors written.
    #[must_use]
    pub const fn encoding(&self) -> VectorEncoding {
        self.encoding
    }

    /// Writes it for a target and a model, as the provider names it. Of several texts Gemini takes
    /// a batch, so that is what a target should be.
    pub fn write(&self, api: EmbeddingApi, model: &str) -> Result<Translated, Refusal> {
        let mut losses = self.losses.clone();
        let judged = self.fields.judge(api.rules(), false, &mut losses);
        judged.map_err(|field| Refusal::Field {
            field,
            target: api.name(),
            found: None,
        })?;
        let mut body = Vec::new();
        match (api, self.texts.as_slice()) {
            (EmbeddingApi::OpenAi, _) => openai::write_request(self, model, &mut body),
            (EmbeddingApi::GeminiBatch, _) => gemini::write_batch(self, model, &mut body),
            (EmbeddingApi::GeminiOne, [text]) => gemini::write_one(self, text, model, &mut body),
            (EmbeddingApi::GeminiOne, _) => {
                return Err(Refusal::Shape {
                    api: api.name(),
                    message: "it takes one text".to_owned(),
                });
            }
        }
        Ok(Translated {
            body,
            losses,
            max_output_tokens: None,
        })
    }
}

/// Vectors and what they cost.
#[derive(Clone, Debug, Default)]
struct Embeddings<'a> {
    vectors: Vec<Vector<'a>>,
    input_tokens: u64,
}

/// One vector, as its provider wrote it.
#[derive(Clone, Debug)]
enum Vector<'a> {
    Numbers(&'a RawValue),
    Base64(Str<'a>),
}

/// What is known of an answer beside its body.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingSettings<'s> {
    /// The API it is written in.
    pub from: EmbeddingApi,
    /// The client's API.
    pub to: EmbeddingApi,
    /// The model that was asked.
    pub model: &'s str,
    /// How the client wants the vectors written.
    pub encoding: VectorEncoding,
}

/// Translates the body of a successful answer.
pub fn translate_embeddings(
    settings: &EmbeddingSettings<'_>,
    body: &[u8],
) -> Result<Vec<u8>, Failure> {
    let answer = match settings.from {
        EmbeddingApi::OpenAi => openai::read_answer(body),
        EmbeddingApi::GeminiOne | EmbeddingApi::GeminiBatch => gemini::read_answer(body),
    }?;
    let mut out = Vec::with_capacity(body.len());
    match settings.to {
        EmbeddingApi::OpenAi => openai::write_answer(&answer, settings, &mut out)?,
        EmbeddingApi::GeminiOne => gemini::write_answer_to_one(&answer, &mut out)?,
        EmbeddingApi::GeminiBatch => gemini::write_answer_to_batch(&answer, &mut out)?,
    }
    Ok(out)
}
