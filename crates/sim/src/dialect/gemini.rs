//! Google's Gemini API: paths, requests, answers.
//!
//! The model and the method stand in the path (`/v1beta/models/gemini-2.5-flash:generateContent`). A stream is
//! one JSON array, or, with `alt=sse`, events of `data:` lines that end in CRLF; it has no end marker but
//! the last chunk's `finishReason`, and each chunk states the usage so far.

use bytes::Bytes;
use fastrand::Rng;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::embeddings::{list_of, unit_vector};
use super::errors::{self, ProviderError};
use super::ids::Ids;
use super::request::tokens;
use super::stream::Frame;
use super::{AnswerFacts, Dialect, Endpoint, Usage, json};
use crate::model::Request;

/// A path of the API that runs a method of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) endpoint: Endpoint,
    model: String,
    stream: bool,
}

impl Path {
    /// Reads a path; `None` if it is none of these.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let rest = path
            .strip_prefix("/v1beta/")
            .or_else(|| path.strip_prefix("/v1/"))?;
        let (model, method) = rest.strip_prefix("models/")?.rsplit_once(':')?;
        let (endpoint, stream) = match method {
            "generateContent" => (Endpoint::GenerateContent, false),
            "streamGenerateContent" => (Endpoint::GenerateContent, true),
            "countTokens" => (Endpoint::CountContentTokens, false),
            "embedContent" => (Endpoint::EmbedContent, false),
            "batchEmbedContents" => (Endpoint::BatchEmbedContents, false),
            _ => return None,
        };
        Some(Self {
            endpoint,
            model: model.to_owned(),
            stream,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    contents: Option<Vec<IgnoredAny>>,
    generate_content_request: Option<Box<Body>>,
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    content: Option<IgnoredAny>,
    requests: Option<Vec<EmbedRequest>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<i64>,
}

#[derive(Deserialize)]
struct EmbedRequest {
    model: Option<String>,
    content: Option<IgnoredAny>,
}

/// Reads the body of a request to this path, with the query behind it.
pub(crate) fn read(
    path: &Path,
    query: Option<&str>,
    body: &[u8],
) -> Result<Request, ProviderError> {
    let parsed: Body =
        serde_json::from_slice(body).map_err(|error| errors::bad_json(Dialect::Gemini, &error))?;
    require(path, &parsed)?;
    let config = parsed.generation_config;
    let max_tokens = config.and_then(|config| config.max_output_tokens);
    if max_tokens.is_some_and(|max| max < 1) {
        return Err(errors::max_tokens_too_small(Dialect::Gemini));
    }
    let mut parameters = query.into_iter().flat_map(|query| query.split('&'));
    let as_events = parameters.any(|parameter| parameter == "alt=sse");
    Ok(Request {
        model: path.model.clone(),
        stream: path.stream,
        as_array: path.stream && !as_events,
        max_tokens: max_tokens.and_then(|max| u64::try_from(max).ok()),
        embedding_inputs: parsed.requests.map_or(1, |requests| requests.len() as u64),
        input_tokens: tokens(body.len()),
        ..Request::default()
    })
}

fn require(path: &Path, body: &Body) -> Result<(), ProviderError> {
    let present = |there: bool, field: &'static str| {
        if there {
            Ok(())
        } else {
            Err(errors::missing_field(Dialect::Gemini, field))
        }
    };
    let has_contents = |body: &Body| {
        body.contents
            .as_ref()
            .is_some_and(|contents| !contents.is_empty())
    };
    match path.endpoint {
        Endpoint::CountContentTokens => {
            let nested = body.generate_content_request.as_deref();
            present(
                has_contents(body) || nested.is_some_and(has_contents),
                "contents",
            )
        }
        Endpoint::EmbedContent => present(body.content.is_some(), "content"),
        Endpoint::BatchEmbedContents => {
            let requests = body.requests.as_deref().unwrap_or_default();
            present(!requests.is_empty(), "requests")?;
            let named = format!("models/{}", path.model);
            for request in requests {
                present(request.content.is_some(), "content")?;
                if request.model.as_ref() != Some(&named) {
                    return Err(errors::other_model(&named));
                }
            }
            Ok(())
        }
        _ => present(has_contents(body), "contents"),
    }
}

fn finish_reason(facts: &AnswerFacts<'_>) -> &'static str {
    if facts.cut_short {
        "MAX_TOKENS"
    } else {
        "STOP"
    }
}

/// What stands at the end of an answer and of each chunk, when so much was written.
fn tail(usage: Usage, output: u64, model: &str, id: &str) -> String {
    let prompt = usage.whole_input();
    let cached = match usage.cache_read {
        0 => String::new(),
        cached => format!(r#""cachedContentTokenCount":{cached},"#),
    };
    format!(
        r#""usageMetadata":{{"promptTokenCount":{prompt},{cached}"candidatesTokenCount":{output},"totalTokenCount":{},"promptTokensDetails":[{{"modality":"TEXT","tokenCount":{prompt}}}]}},"modelVersion":{},"responseId":{}"#,
        prompt + output,
        json(model),
        json(id)
    )
}

/// The answer to `:generateContent`.
pub(crate) fn content(facts: &AnswerFacts<'_>) -> Bytes {
    let id = Ids::new(facts.seed).gemini_response();
    let text = facts.text.piece(0, facts.usage.output);
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":{}}}],"role":"model"}},"finishReason":"{}","index":0}}],{}}}"#,
        json(&text),
        finish_reason(facts),
        tail(facts.usage, facts.usage.output, facts.model, &id),
    )
    .into()
}

/// The chunks of a streamed answer.
pub(crate) fn frame(request: &Request, facts: &AnswerFacts<'_>) -> Frame {
    let id = Ids::new(facts.seed).gemini_response();
    let (usage, chunk_tokens) = (facts.usage, facts.chunk_tokens.max(1));
    let as_array = request.as_array;
    let last = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":""}}],"role":"model"}},"finishReason":"{}","index":0}}],{}}}"#,
        finish_reason(facts),
        tail(usage, usage.output, facts.model, &id)
    );
    let chunks = usage.output.div_ceil(chunk_tokens);
    let mut last = framed(as_array, chunks == 0, &last);
    if as_array {
        last.push(']');
    }
    let model = facts.model.to_owned();
    Frame {
        prologue: Vec::new(),
        render: Box::new(move |ordinal, text| {
            let written = usage.output.min((ordinal + 1).saturating_mul(chunk_tokens));
            let chunk = format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":{}}}],"role":"model"}},"index":0}}],{}}}"#,
                json(text),
                tail(usage, written, &model, &id)
            );
            framed(as_array, ordinal == 0, &chunk).into()
        }),
        epilogue: vec![last.into()],
    }
}

/// A chunk as an event, or as an element of the array.
fn framed(as_array: bool, is_first: bool, chunk: &str) -> String {
    match (as_array, is_first) {
        (true, true) => format!("[{chunk}\n"),
        (true, false) => format!(",\r\n{chunk}\n"),
        (false, _) => event(chunk),
    }
}

/// An event as Google writes it.
pub(crate) fn event(data: &str) -> String {
    format!("data: {data}\r\n\r\n")
}

/// The answer to `:countTokens`.
pub(crate) fn token_count(tokens: u64) -> Bytes {
    format!(
        r#"{{"totalTokens":{tokens},"promptTokensDetails":[{{"modality":"TEXT","tokenCount":{tokens}}}]}}"#
    )
    .into()
}

/// The answer to `:embedContent`, or to `:batchEmbedContents`.
pub(crate) fn embeddings(is_batch: bool, request: &Request, facts: &AnswerFacts<'_>) -> Bytes {
    let mut rng = Rng::with_seed(facts.seed);
    let mut vector = || format!(r#"{{"values":{}}}"#, list_of(&unit_vector(&mut rng)));
    let tokens = facts.usage.whole_input();
    let usage = format!(r#""usageMetadata":{{"promptTokenCount":{tokens}}}"#);
    if is_batch {
        let all: Vec<String> = (0..request.embedding_inputs).map(|_| vector()).collect();
        format!(r#"{{"embeddings":[{}],{usage}}}"#, all.join(",")).into()
    } else {
        format!(r#"{{"embedding":{},{usage}}}"#, vector()).into()
    }
}
