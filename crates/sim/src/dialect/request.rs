//! Reading a request body as a provider does, down to its words about what is missing.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::errors::{self, ProviderError};
use super::thinking::{self, ThinkingSignature};
use super::{Dialect, Endpoint};

/// Bytes of body that count as one input token.
const BYTES_PER_TOKEN: u64 = 4;

/// Cache breakpoints that one request may set.
const BREAKPOINTS_MAX: usize = 4;

/// What the simulator needs to know of a request.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The model's name; empty where the endpoint takes none.
    pub model: String,
    /// The answer is wanted as a stream of events.
    pub stream: bool,
    /// The stream is wanted as one JSON array (Gemini, without `alt=sse`).
    pub as_array: bool,
    /// The most output tokens that the client will take.
    pub max_tokens: Option<u64>,
    /// A chunk with usage is wanted at the end of the stream (OpenAI chat).
    pub include_usage: bool,
    /// Padding of stream chunks is wanted (OpenAI; on by default there).
    pub obfuscate: bool,
    /// Number of texts to embed.
    pub embedding_inputs: u64,
    /// How vectors are wanted.
    pub vectors: VectorFormat,
    /// Input tokens: a quarter of the body's bytes.
    pub input_tokens: u64,
    /// The prompt's prefixes that the client marked for caching, shortest first.
    pub cache_prefixes: Vec<CachePrefix>,
    /// The response that this one goes on from (Responses).
    pub previous_response: Option<String>,
    /// The thinking blocks that the client hands back (Messages).
    pub thinking: Vec<ThinkingSignature>,
}

impl Request {
    /// A request by its numbers alone, for virtual time: no body is ever made.
    #[must_use]
    pub fn plain(model: &str, input_tokens: u64, max_tokens: Option<u64>) -> Self {
        Self {
            model: model.to_owned(),
            max_tokens,
            input_tokens,
            embedding_inputs: 1,
            obfuscate: true,
            ..Self::default()
        }
    }

    /// Wants the answer as a stream of events.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.stream = true;
        self
    }

    /// Marks the first `tokens` of the input for caching. Prefixes with the same `id` are the same
    /// text; add the shortest first. Fewer than 1024 tokens are not cached, as at the providers.
    #[must_use]
    pub fn with_cache_prefix(mut self, id: u64, tokens: u64) -> Self {
        self.cache_prefixes.push(CachePrefix { hash: id, tokens });
        self
    }

    /// Goes on from the response with this id; see [`crate::model::Model::response_id`].
    #[must_use]
    pub fn after_response(mut self, id: &str) -> Self {
        self.previous_response = Some(id.to_owned());
        self
    }

    /// Hands back a thinking block with this signature, as the first block of the second message;
    /// see [`crate::model::Model::thinking_signature`].
    #[must_use]
    pub fn after_thinking(mut self, signature: &str) -> Self {
        self.thinking.push(ThinkingSignature {
            message: 1,
            block: self.thinking.len(),
            signature: signature.to_owned(),
        });
        self
    }
}

/// How an embedding's vector is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VectorFormat {
    /// A list of numbers.
    #[default]
    Floats,
    /// Little-endian 32-bit floats in base64, as the SDKs ask for.
    Base64,
}

/// A prompt prefix up to one cache breakpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePrefix {
    /// Hash of the body up to the breakpoint.
    pub hash: u64,
    /// Its length in tokens.
    pub tokens: u64,
}

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    stream: Option<bool>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    max_output_tokens: Option<i64>,
    messages: Option<Vec<IgnoredAny>>,
    input: Option<Input>,
    prompt: Option<IgnoredAny>,
    stream_options: Option<StreamOptions>,
    encoding_format: Option<String>,
    previous_response_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(#[allow(dead_code, reason = "only the kind of input matters")] String),
    List(Vec<InputItem>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InputItem {
    Token(#[allow(dead_code, reason = "only the kind of input matters")] u64),
    Other(#[allow(dead_code, reason = "only the kind of input matters")] IgnoredAny),
}

impl Input {
    /// How many texts there are: a list of numbers is one text, already cut into tokens.
    fn count(&self) -> u64 {
        match self {
            Self::Text(_) => 1,
            Self::List(items) if items.iter().all(|item| matches!(item, InputItem::Token(_))) => 1,
            Self::List(items) => items.len() as u64,
        }
    }
}

#[derive(Deserialize, Default)]
struct StreamOptions {
    include_usage: Option<bool>,
    include_obfuscation: Option<bool>,
}

/// Reads the body of a request to `endpoint`.
pub(crate) fn read(endpoint: Endpoint, body: &[u8]) -> Result<Request, ProviderError> {
    let dialect = endpoint.dialect();
    let parsed: Body =
        serde_json::from_slice(body).map_err(|error| errors::bad_json(dialect, &error))?;
    let limit = parsed
        .max_tokens
        .or(parsed.max_completion_tokens)
        .or(parsed.max_output_tokens);
    require(endpoint, &parsed, limit)?;
    let options = parsed.stream_options.unwrap_or_default();
    Ok(Request {
        model: parsed.model.unwrap_or_default(),
        stream: parsed.stream.unwrap_or(false),
        as_array: false,
        max_tokens: limit.and_then(|limit| u64::try_from(limit).ok()),
        include_usage: options.include_usage.unwrap_or(false),
        obfuscate: options.include_obfuscation.unwrap_or(true),
        embedding_inputs: parsed.input.as_ref().map_or(0, Input::count),
        vectors: match parsed.encoding_format.as_deref() {
            Some("base64") => VectorFormat::Base64,
            _ => VectorFormat::Floats,
        },
        input_tokens: tokens(body.len()),
        cache_prefixes: match dialect {
            Dialect::Anthropic => cache_prefixes(body),
            Dialect::OpenAi | Dialect::Gemini => Vec::new(),
        },
        previous_response: match endpoint {
            Endpoint::Responses => parsed.previous_response_id,
            _ => None,
        },
        thinking: match endpoint {
            Endpoint::Messages => thinking::signatures(body),
            _ => Vec::new(),
        },
    })
}

pub(crate) fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN).max(1)
}

fn require(endpoint: Endpoint, body: &Body, limit: Option<i64>) -> Result<(), ProviderError> {
    let dialect = endpoint.dialect();
    let present = |there: bool, field: &'static str| {
        if there {
            Ok(())
        } else {
            Err(errors::missing_field(dialect, field))
        }
    };
    present(
        body.model.as_deref().is_some_and(|model| !model.is_empty()),
        "model",
    )?;
    match endpoint {
        Endpoint::Messages => {
            present(body.max_tokens.is_some(), "max_tokens")?;
            present(body.messages.is_some(), "messages")?;
        }
        Endpoint::CountTokens | Endpoint::ChatCompletions => {
            present(body.messages.is_some(), "messages")?;
        }
        Endpoint::Responses => present(body.input.is_some() || body.prompt.is_some(), "input")?,
        Endpoint::Embeddings => present(body.input.is_some(), "input")?,
        // Gemini's are read elsewhere.
        Endpoint::GenerateContent
        | Endpoint::CountContentTokens
        | Endpoint::EmbedContent
        | Endpoint::BatchEmbedContents
        | Endpoint::Models(_) => {}
    }
    if body.messages.as_ref().is_some_and(Vec::is_empty) {
        return Err(errors::empty_messages(dialect));
    }
    if limit.is_some_and(|limit| limit < 1) {
        return Err(errors::max_tokens_too_small(dialect));
    }
    Ok(())
}

/// The prefixes that end where a `cache_control` stands.
fn cache_prefixes(body: &[u8]) -> Vec<CachePrefix> {
    const MARK: &[u8] = b"\"cache_control\"";
    let marks = body
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK);
    let prefix = |(end, _)| {
        let mut hasher = DefaultHasher::new();
        body.get(..end).unwrap_or_default().hash(&mut hasher);
        CachePrefix {
            hash: hasher.finish(),
            tokens: tokens(end),
        }
    };
    marks.take(BREAKPOINTS_MAX).map(prefix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(endpoint: Endpoint, body: &str) -> String {
        read(endpoint, body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn a_missing_field_is_named_in_the_words_of_the_dialect() {
        assert_eq!(
            refusal(Endpoint::Messages, r#"{"model":"m","messages":[1]}"#),
            "max_tokens: Field required"
        );
        assert_eq!(
            refusal(
                Endpoint::Messages,
                r#"{"model":"m","max_tokens":1,"messages":[]}"#
            ),
            "messages: at least one message is required"
        );
        assert_eq!(
            refusal(Endpoint::ChatCompletions, r#"{"messages":[1]}"#),
            "you must provide a model parameter"
        );
        assert_eq!(
            refusal(Endpoint::Embeddings, r#"{"model":"m"}"#),
            "Missing required parameter: 'input'."
        );
        assert_eq!(
            refusal(
                Endpoint::Messages,
                r#"{"model":"m","max_tokens":0,"messages":[1]}"#
            ),
            "max_tokens: must be greater than or equal to 1"
        );
    }

    #[test]
    fn embedding_inputs_are_counted_as_texts_not_as_tokens() {
        let count = |input: &str| {
            let body = format!(r#"{{"model":"m","input":{input}}}"#);
            read(Endpoint::Embeddings, body.as_bytes())
                .unwrap()
                .embedding_inputs
        };
        assert_eq!(count(r#""one""#), 1);
        assert_eq!(count(r#"["one","two"]"#), 2);
        assert_eq!(count("[1,2,3]"), 1);
        assert_eq!(count("[[1,2],[3]]"), 2);
    }

    #[test]
    fn the_same_prefix_before_a_breakpoint_has_the_same_hash() {
        let body = |tail: &str| {
            format!(
                r#"{{"system":[{{"text":"long","cache_control":{{}}}}],"messages":["{tail}"],"model":"m","max_tokens":1}}"#
            )
        };
        let prefixes = |tail| {
            read(Endpoint::Messages, body(tail).as_bytes())
                .unwrap()
                .cache_prefixes
        };
        assert_eq!(prefixes("one"), prefixes("two"));
        assert_eq!(prefixes("one").len(), 1);
    }
}
