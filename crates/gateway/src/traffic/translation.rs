//! Requests for providers that speak another API than the client.
//!
//! Each target gets the client's own request in its own words, never a translation of a translation.
//! What comes back is judged and counted in the provider's words, as ever, and turned into the client's at
//! the last moment. Where both speak the same API nothing here touches a byte.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use keypool_pool::Timestamp;
use keypool_translate::{
    AnthropicVersion, Api, ChatFlavour, ClientRequest as ReadRequest, EmbeddingApi,
    EmbeddingRequest, EmbeddingSettings, Failure as ForeignFailure, NamespacedTool, Refusal,
    ServerTools, Settings, StreamTranslator, Target as WrittenFor, Translated, VectorEncoding,
    answer_as_stream, carries_foreign_state, translate_answer, translate_embeddings,
    without_foreign_state,
};
use keypool_wire::{Dialect, Endpoint, OwnError, Peek, ProviderKind};
use smallvec::SmallVec;

use crate::routing::Target;
use crate::traffic::attempt::{takes_stream_options, wants_usage};
use crate::traffic::headers::ANTHROPIC_VERSION;

/// What a provider that speaks `speaks` is asked for when a client asks at `asked`; `None` where there is
/// no counterpart.
#[must_use]
pub(crate) fn endpoint_at(
    speaks: Dialect,
    serves_responses: bool,
    asked: Endpoint,
) -> Option<Endpoint> {
    match (asked, speaks) {
        (Endpoint::Messages | Endpoint::GenerateContent, Dialect::OpenAi) => {
            Some(Endpoint::ChatCompletions)
        }
        (Endpoint::Responses, Dialect::OpenAi) if !serves_responses => {
            Some(Endpoint::ChatCompletions)
        }
        (
            Endpoint::ChatCompletions | Endpoint::Responses | Endpoint::GenerateContent,
            Dialect::Anthropic,
        ) => Some(Endpoint::Messages),
        (Endpoint::Messages | Endpoint::ChatCompletions | Endpoint::Responses, Dialect::Gemini) => {
            Some(Endpoint::GenerateContent)
        }
        (Endpoint::Embeddings, Dialect::Gemini) => Some(Endpoint::BatchEmbedContents),
        (Endpoint::EmbedContent | Endpoint::BatchEmbedContents, Dialect::OpenAi) => {
            Some(Endpoint::Embeddings)
        }
        _ => (asked.dialect() == speaks).then_some(asked),
    }
}

/// From which API into which a model's answer goes.
#[derive(Debug)]
struct Words {
    provider_s: Api,
    client_s: Api,
    stream_usage: bool,
    /// The functions that the client keeps in namespaces.
    namespaced: Vec<NamespacedTool>,
}

/// A request as one target gets it.
#[derive(Debug)]
pub(super) struct Outbound {
    /// What the target is asked for, in its own API.
    pub endpoint: Endpoint,
    /// The body.
    pub body: Bytes,
    /// Whether the usage chunk was asked for on the client's behalf, and has to be taken out.
    pub usage_injected: bool,
    /// The most tokens of output that the body asks for.
    pub max_output_tokens: Option<u64>,
    /// The state of the provider's accounts that the body carries. In the client's API it is behind marks.
    pub state_ids: SmallVec<[u64; 4]>,
    /// How the answer comes back, if the target speaks another API.
    pub translation: Option<Arc<Translation>>,
}

/// The way of an answer from a provider's API into the client's.
#[derive(Debug)]
pub(super) struct Translation {
    way: Way,
    model: String,
    told: HeaderValue,
}

/// What kind of answer comes back, from which API into which.
#[derive(Debug)]
enum Way {
    /// A model's.
    Words(Words),
    /// Texts as vectors.
    Vectors {
        provider_s: EmbeddingApi,
        client_s: EmbeddingApi,
        encoding: VectorEncoding,
    },
}

impl Outbound {
    /// Writes a request, of which `peek` was read, for a target of another API; `None` if it speaks the client's.
    ///
    /// Fails if the target's API cannot express it; the client has to change it, or go elsewhere.
    pub(super) fn translated(
        asked: Endpoint,
        body: &Bytes,
        peek: &Peek,
        target: &Target,
    ) -> Result<Option<Self>, OwnError> {
        let at = target.endpoint;
        let vectors = (
            EmbeddingApi::of_endpoint(asked),
            EmbeddingApi::of_endpoint(at),
        );
        let words = (Api::of_endpoint(asked), Api::of_endpoint(at));
        let written = match (vectors, words) {
            ((Some(client_s), Some(provider_s)), _) if client_s != provider_s => {
                Self::vectors(client_s, provider_s, body, target)
            }
            (_, (Some(client_s), Some(provider_s))) if client_s != provider_s => {
                Self::words(client_s, provider_s, body, peek, target)
            }
            _ => return Ok(None),
        };
        written.map(Some).map_err(|refusal| refused(&refusal))
    }

    fn words(
        client_s: Api,
        provider_s: Api,
        body: &Bytes,
        peek: &Peek,
        target: &Target,
    ) -> Result<Self, Refusal> {
        let kind = target.provider.settings().kind;
        // Gemini's clients ask for a stream in the path.
        let request = ReadRequest::read(client_s, body)?.with_stream(peek.stream);
        let translated = request.write(&WrittenFor {
            // No header of the client's names one.
            anthropic_version: AnthropicVersion::from_header(ANTHROPIC_VERSION),
            chat: chat_flavour(kind),
            stream_options: takes_stream_options(kind),
            output_tokens_max: target.provider.settings().output_tokens_max,
            server_tools: if target.provider.settings().drops_server_tools {
                ServerTools::Drop
            } else {
                ServerTools::Refuse
            },
            ..WrittenFor::new(provider_s, &target.model)
        })?;
        let way = Way::Words(Words {
            provider_s,
            client_s,
            stream_usage: request.wants_stream_usage(),
            namespaced: request.namespaced().to_vec(),
        });
        let names = [client_s.name(), provider_s.name()];
        let mut written = Self::written(translated, way, names, target);
        if carries_foreign_state(body) {
            let peek = keypool_wire::peek(target.endpoint, &written.body);
            written.state_ids = peek.map(|peek| peek.state_ids).unwrap_or_default();
        }
        Ok(written)
    }

    fn vectors(
        client_s: EmbeddingApi,
        provider_s: EmbeddingApi,
        body: &Bytes,
        target: &Target,
    ) -> Result<Self, Refusal> {
        let request = EmbeddingRequest::read(client_s, body)?;
        let translated = request.write(provider_s, &target.model)?;
        let way = Way::Vectors {
            provider_s,
            client_s,
            encoding: request.encoding(),
        };
        let names = [client_s.name(), provider_s.name()];
        Ok(Self::written(translated, way, names, target))
    }

    fn written(translated: Translated, way: Way, [from, to]: [&str; 2], target: &Target) -> Self {
        let told = if translated.losses.is_empty() {
            format!("{from} to {to}")
        } else {
            format!("{from} to {to}; {}", translated.losses)
        };
        Self {
            endpoint: target.endpoint,
            body: translated.body.into(),
            usage_injected: false,
            max_output_tokens: translated.max_output_tokens,
            state_ids: SmallVec::new(),
            translation: Some(Arc::new(Translation {
                way,
                model: target.model.clone(),
                told: HeaderValue::try_from(told)
                    .unwrap_or_else(|_| HeaderValue::from_static("translated")),
            })),
        }
    }

    /// For a target that speaks the client's API: the client's own bytes, but for the model's name, the
    /// wish for usage, and what the API of an earlier target has sealed.
    pub(super) fn untouched(asked: Endpoint, body: &Bytes, peek: &Peek, target: &Target) -> Self {
        let kind = target.provider.settings().kind;
        let endpoint = target.endpoint;
        // What is counted is a conversation, too.
        let api = match asked {
            Endpoint::CountTokens => Some(Api::Messages),
            Endpoint::CountContentTokens => Some(Api::GenerateContent),
            _ => Api::of_endpoint(asked),
        };
        let usage_injected = wants_usage(endpoint, peek) && takes_stream_options(kind);
        let model = Some(target.model.as_str());
        let cut = api.and_then(|api| without_foreign_state(api, body));
        let cut = cut.and_then(|cut| {
            let peek = keypool_wire::peek(endpoint, &cut).ok()?;
            Some((Bytes::from(cut), peek))
        });
        let body = match &cut {
            Some((body, peek)) => keypool_wire::upstream_body(body, peek, model, usage_injected),
            None => keypool_wire::upstream_body(body, peek, model, usage_injected),
        };
        Self {
            endpoint,
            body,
            usage_injected,
            max_output_tokens: peek.max_output_tokens,
            state_ids: peek.state_ids.clone(),
            translation: None,
        }
    }
}

impl Translation {
    /// What the client is told of it: from what to what, and what was lost on the way.
    pub(super) const fn told(&self) -> &HeaderValue {
        &self.told
    }

    /// The whole of a successful answer in the client's words. `id` is for answers without one.
    pub(super) fn answer(
        &self,
        body: &[u8],
        id: &str,
        at: Timestamp,
    ) -> Result<Bytes, ForeignFailure> {
        let translated = match &self.way {
            Way::Words(words) => translate_answer(&self.settings(words, id, at), body),
            Way::Vectors {
                provider_s,
                client_s,
                encoding,
            } => translate_embeddings(
                &EmbeddingSettings {
                    from: *provider_s,
                    to: *client_s,
                    model: &self.model,
                    encoding: *encoding,
                },
                body,
            ),
        };
        translated.map(Bytes::from)
    }

    /// What turns a stream into the client's, event by event; vectors come whole.
    pub(super) fn stream(&self, id: &str, at: Timestamp) -> Option<StreamTranslator> {
        match &self.way {
            Way::Words(words) => Some(StreamTranslator::new(&self.settings(words, id, at))),
            Way::Vectors { .. } => None,
        }
    }

    fn settings<'s>(&'s self, words: &'s Words, id: &'s str, at: Timestamp) -> Settings<'s> {
        Settings {
            from: words.provider_s,
            to: words.client_s,
            model: &self.model,
            id,
            created_unix_s: at.as_unix_micros() / 1_000_000,
            stream_usage: words.stream_usage,
            namespaced: &words.namespaced,
        }
    }
}

/// An error of a provider that was asked at `answered` in the words of the client, who asked at `asked`;
/// `None` if these are the same. A cloud has words of its own (`is_own` is false).
#[must_use]
pub(super) fn foreign_error(
    asked: Endpoint,
    answered: Endpoint,
    is_own: bool,
    status: u16,
    body: &[u8],
) -> Option<Bytes> {
    let is_foreign = !is_own || asked.dialect() != answered.dialect();
    is_foreign.then(|| told_at(asked, &ForeignFailure::read(Some(status), body)))
}

/// A failure in the words of a client who asked at `asked`.
#[must_use]
pub(super) fn told_at(asked: Endpoint, failure: &ForeignFailure) -> Bytes {
    // Errors are the same at all endpoints of a dialect.
    let client_s = match asked.dialect() {
        Dialect::Anthropic => Api::Messages,
        Dialect::OpenAi => Api::ChatCompletions,
        Dialect::Gemini => Api::GenerateContent,
    };
    failure.body(client_s).into()
}

/// A whole answer as the stream that a client asked for at `asked`.
#[must_use]
pub(super) fn as_stream(asked: Endpoint, whole: &[u8]) -> Option<Bytes> {
    let api = Api::of_endpoint(asked)?;
    answer_as_stream(api, whole).map(Bytes::from)
}

fn refused(refusal: &Refusal) -> OwnError {
    OwnError {
        status: 400,
        code: refusal.code(),
        message: refusal.to_string(),
    }
}

const fn chat_flavour(kind: ProviderKind) -> ChatFlavour {
    match kind {
        ProviderKind::OpenAi | ProviderKind::Azure => ChatFlavour::OpenAi,
        _ => ChatFlavour::Compatible,
    }
}
