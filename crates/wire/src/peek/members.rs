//! The top-level members of a request body, each as a slice of the body.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::estimate::Part;
use super::identity::{Role, SessionForm, session};
use super::kind::{RequestKind, ThinkingForm, asks_to_think};
use super::walk::{Piece, Walk, check_depth};
use super::{ModelField, PeekError, UsageSlot};
use crate::dialect::{Dialect, Endpoint};
use crate::limits::STATE_IDS_MAX;
use crate::state::StateKind;

/// What a member means at this endpoint.
#[derive(Clone, Copy)]
enum Member {
    Model,
    Stream,
    StreamOptions,
    MaxOutput(MaxOutput),
    Weighed(Part, Role),
    Session(SessionForm),
    State(StateKind),
    /// Gemini's settings of the answer.
    Generation,
    /// The model of the path, once more.
    RepeatedModel,
    /// Several of Gemini's requests for vectors, each with the model of the path.
    Requests,
    /// A whole request for content, whose tokens are to be counted.
    ContentRequest,
    Thinking(ThinkingForm),
    WebSearch,
    Other,
}

/// The names of the bound on the answer, in rising order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MaxOutput {
    Tokens,
    CompletionTokens,
    OutputTokens,
    Generation,
}

impl MaxOutput {
    const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "max_tokens",
            Self::CompletionTokens => "max_completion_tokens",
            Self::OutputTokens => "max_output_tokens",
            Self::Generation => "generationConfig.maxOutputTokens",
        }
    }
}

fn member(endpoint: Endpoint, name: &str) -> Member {
    use Endpoint as E;
    if endpoint.dialect() == Dialect::Gemini {
        return gemini_member(endpoint, name);
    }
    match (name, endpoint) {
        ("model", _) => Member::Model,
        ("stream", _) => Member::Stream,
        ("stream_options", E::ChatCompletions) => Member::StreamOptions,
        ("max_tokens", E::Messages | E::ChatCompletions) => Member::MaxOutput(MaxOutput::Tokens),
        ("max_completion_tokens", E::ChatCompletions) => {
            Member::MaxOutput(MaxOutput::CompletionTokens)
        }
        ("max_output_tokens", E::Responses) => Member::MaxOutput(MaxOutput::OutputTokens),
        ("messages", E::Messages | E::CountTokens | E::ChatCompletions)
        | ("input", E::Responses) => Member::Weighed(Part::Text, Role::Turns),
        ("system", E::Messages | E::CountTokens) | ("instructions", E::Responses) => {
            Member::Weighed(Part::Text, Role::System)
        }
        ("input", E::Embeddings) => Member::Weighed(Part::TextOrTokenIds, Role::Apart),
        ("tools", E::Messages | E::CountTokens | E::ChatCompletions | E::Responses)
        | ("functions", E::ChatCompletions) => Member::Weighed(Part::Schema, Role::Tools),
        ("output_config", E::Messages | E::CountTokens)
        | ("response_format", E::ChatCompletions)
        | ("text", E::Responses) => Member::Weighed(Part::Schema, Role::Apart),
        ("metadata", E::Messages) => Member::Session(SessionForm::Metadata),
        ("prompt_cache_key", E::ChatCompletions | E::Responses) => {
            Member::Session(SessionForm::Key)
        }
        ("previous_response_id", E::Responses) => Member::State(StateKind::Response),
        ("conversation", E::Responses) => Member::State(StateKind::Conversation),
        ("container", E::Messages) => Member::State(StateKind::Container),
        ("thinking", E::Messages | E::CountTokens) => Member::Thinking(ThinkingForm::Thinking),
        ("reasoning_effort", E::ChatCompletions) => Member::Thinking(ThinkingForm::Effort),
        // OpenRouter takes the object in Chat Completions, too.
        ("reasoning", E::ChatCompletions | E::Responses) => {
            Member::Thinking(ThinkingForm::Reasoning)
        }
        ("web_search_options", E::ChatCompletions) => Member::WebSearch,
        _ => Member::Other,
    }
}

/// Google's parsers take a name in either case.
fn gemini_member(endpoint: Endpoint, name: &str) -> Member {
    use Endpoint as E;
    match (name, endpoint) {
        ("model", _) => Member::RepeatedModel,
        ("contents", E::GenerateContent | E::CountContentTokens) => {
            Member::Weighed(Part::Text, Role::Turns)
        }
        ("systemInstruction" | "system_instruction", E::GenerateContent) => {
            Member::Weighed(Part::Text, Role::System)
        }
        ("tools", E::GenerateContent) => Member::Weighed(Part::Schema, Role::Tools),
        ("generationConfig" | "generation_config", E::GenerateContent) => Member::Generation,
        ("cachedContent" | "cached_content", E::GenerateContent) => {
            Member::State(StateKind::CachedContent)
        }
        ("content", E::EmbedContent) => Member::Weighed(Part::Text, Role::Apart),
        ("generateContentRequest" | "generate_content_request", E::CountContentTokens) => {
            Member::ContentRequest
        }
        ("requests", E::BatchEmbedContents) => Member::Requests,
        _ => Member::Other,
    }
}

/// What matters of Gemini's settings of the answer.
#[derive(Deserialize)]
struct Generation<'a> {
    #[serde(borrow, rename = "maxOutputTokens", alias = "max_output_tokens")]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow, rename = "responseSchema", alias = "response_schema")]
    schema: Option<&'a RawValue>,
    #[serde(borrow, rename = "responseJsonSchema", alias = "response_json_schema")]
    json_schema: Option<&'a RawValue>,
    #[serde(borrow, rename = "thinkingConfig", alias = "thinking_config")]
    thinking: Option<&'a RawValue>,
}

/// The members that matter, still unparsed.
pub(super) struct Members<'a> {
    model: Option<&'a RawValue>,
    model_repeated: bool,
    stream: Option<&'a RawValue>,
    stream_options: Option<&'a RawValue>,
    max_output: Option<(MaxOutput, &'a RawValue)>,
    session: Option<(SessionForm, &'a RawValue)>,
    kind: RequestKind,
    pub(super) state: SmallVec<[(StateKind, &'a RawValue); 2]>,
    pub(super) weighed: SmallVec<[(Part, Role, &'a RawValue); 4]>,
    /// The strings in which the model of the path stands again.
    repeated_models: SmallVec<[&'a str; 1]>,
    too_deep: bool,
    pub(super) count: usize,
}

impl<'a> Members<'a> {
    /// Checks that the text is one JSON object and splits it.
    pub(super) fn read(endpoint: Endpoint, text: &'a str) -> Result<Self, PeekError> {
        if text.trim_ascii().is_empty() {
            return Err(PeekError::Empty);
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json
            .deserialize_map(MembersVisitor(endpoint))
            .and_then(|members| json.end().map(|()| members))
            .map_err(|e| PeekError::from_json(&e))?;
        if members.too_deep {
            return Err(PeekError::TooDeep);
        }
        Ok(members)
    }

    fn take(&mut self, member: Member, value: &'a RawValue) {
        self.count += 1;
        match member {
            Member::Model => self.model_repeated = self.model.replace(value).is_some(),
            Member::Stream => self.stream = Some(value),
            Member::StreamOptions => self.stream_options = Some(value),
            // A null says nothing, and must not hide the older name beside it.
            Member::MaxOutput(which) => {
                if value.get() != "null" && self.max_output.is_none_or(|(known, _)| known <= which)
                {
                    self.max_output = Some((which, value));
                }
            }
            Member::Weighed(part, role) => {
                self.weighed.push((part, role, value));
                return;
            }
            Member::Session(form) => self.session = Some((form, value)),
            Member::State(kind) => {
                if self.state.len() < STATE_IDS_MAX {
                    self.state.push((kind, value));
                }
            }
            Member::Generation => self.take_generation(value),
            Member::RepeatedModel => {
                if value.get().starts_with('"') {
                    self.repeated_models.push(value.get());
                }
            }
            Member::Requests => {
                self.repeated_models.extend(models_of_requests(value.get()));
                self.weighed.push((Part::Request, Role::Apart, value));
                return;
            }
            Member::ContentRequest => {
                if self.take_content_request(value) {
                    return;
                }
            }
            Member::Thinking(form) => self.kind.thinks = asks_to_think(form, value),
            Member::WebSearch => self.kind.searches_web = value.get() != "null",
            Member::Other => {}
        }
        self.too_deep |= check_depth(value.get()).is_err();
    }

    fn take_generation(&mut self, value: &'a RawValue) {
        // Of what is not understood the provider will complain. Serde would take an array, too.
        let Some(generation) = value
            .get()
            .starts_with('{')
            .then(|| serde_json::from_str::<Generation<'a>>(value.get()))
            .and_then(Result::ok)
        else {
            return;
        };
        let max = generation.max_output_tokens;
        self.max_output = max.map(|max| (MaxOutput::Generation, max));
        let thinking = generation.thinking;
        self.kind.thinks = thinking.is_some_and(|it| asks_to_think(ThinkingForm::Config, it));
        let schemas = generation.schema.into_iter().chain(generation.json_schema);
        let weighed = schemas.map(|schema| (Part::Schema, Role::Apart, schema));
        self.weighed.extend(weighed);
    }

    /// The members of a request in this one, as if they were its own. What bounds an answer is none of it: there will
    /// be none. Whether there is such a request.
    fn take_content_request(&mut self, value: &'a RawValue) -> bool {
        let mut json = serde_json::Deserializer::from_str(value.get());
        let visitor = MembersVisitor(Endpoint::GenerateContent);
        // Of what is not understood the provider will complain.
        let Ok(inside) = json.deserialize_map(visitor) else {
            return false;
        };
        self.weighed.extend(inside.weighed);
        self.state.extend(inside.state);
        self.kind.thinks |= inside.kind.thinks;
        self.repeated_models.extend(inside.repeated_models);
        self.too_deep |= inside.too_deep;
        true
    }

    /// Where the model of the path stands again in the body.
    pub(super) fn repeated_models(&self, text: &str) -> SmallVec<[Range<usize>; 1]> {
        let repeated = self.repeated_models.iter();
        repeated.map(|string| place_of(string, text)).collect()
    }

    pub(super) fn model(&self, text: &str) -> Result<Option<ModelField>, PeekError> {
        let Some(value) = self.model else {
            return Ok(None);
        };
        if self.model_repeated {
            return Err(PeekError::Duplicate { field: "model" });
        }
        let expected = if value.get().starts_with('"') {
            "a string of valid Unicode characters"
        } else {
            "a string"
        };
        let name =
            serde_json::from_str(value.get()).map_err(|_| wrong_type("model", expected, value))?;
        Ok(Some(ModelField {
            name,
            range: range_of(value, text),
        }))
    }

    pub(super) fn session(&self) -> Option<u64> {
        let (form, value) = self.session?;
        session(form, value)
    }

    /// What is told by members that are not weighed.
    pub(super) const fn kind(&self) -> RequestKind {
        self.kind
    }

    pub(super) fn stream(&self) -> Result<bool, PeekError> {
        optional_bool("stream", self.stream)
    }

    pub(super) fn max_output_tokens(&self) -> Result<Option<u64>, PeekError> {
        let Some((which, value)) = self.max_output else {
            return Ok(None);
        };
        // Google's parsers take a number in a string, too.
        let quoted: Option<String> = (which == MaxOutput::Generation)
            .then(|| serde_json::from_str(value.get()).ok())
            .flatten();
        serde_json::from_str(quoted.as_deref().unwrap_or(value.get()))
            .map_err(|_| wrong_type(which.name(), "a whole number of tokens", value))
    }

    pub(super) fn usage_slot(&self, text: &str) -> Result<UsageSlot, PeekError> {
        let Some(options) = self.stream_options else {
            return Ok(UsageSlot::Absent);
        };
        let place = range_of(options, text);
        if options.get() == "null" {
            return Ok(UsageSlot::Null(place));
        }
        let found = serde_json::Deserializer::from_str(options.get())
            .deserialize_map(IncludeUsageVisitor)
            .map_err(|_| wrong_type("stream_options", "an object", options))?;
        let asks = optional_bool("stream_options.include_usage", found.value)?;
        Ok(match found.value {
            Some(_) if asks => UsageSlot::Present,
            Some(value) => UsageSlot::Value(range_of(value, text)),
            None => UsageSlot::Object {
                after_brace: place.start + 1,
                is_empty: found.is_empty,
            },
        })
    }
}

fn optional_bool(field: &'static str, value: Option<&RawValue>) -> Result<bool, PeekError> {
    match value.map(RawValue::get) {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(PeekError::WrongType {
            field,
            expected: "true or false",
            found: kind_of(other),
        }),
    }
}

fn wrong_type(field: &'static str, expected: &'static str, value: &RawValue) -> PeekError {
    PeekError::WrongType {
        field,
        expected,
        found: kind_of(value.get()),
    }
}

/// What a valid JSON value is, in words.
fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'-') => "a negative number",
        _ if json.contains(['.', 'e', 'E']) => "a fraction",
        _ => "a number",
    }
}

/// Where a value borrowed from `text` stands in it.
fn range_of(value: &RawValue, text: &str) -> Range<usize> {
    place_of(value.get(), text)
}

/// Where a part of `text` stands in it.
fn place_of(part: &str, text: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

/// The models in a list of requests, each a string with its quotes.
fn models_of_requests(json: &str) -> impl Iterator<Item = &str> {
    const REQUEST_DEPTH: usize = 2;
    let (mut depth, mut name) = (0_usize, &b""[..]);
    Walk::new(json.as_bytes()).filter_map(move |piece| {
        match piece {
            Piece::Name(found) => name = found,
            Piece::Open => (depth, name) = (depth + 1, b""),
            Piece::Close => (depth, name) = (depth.saturating_sub(1), b""),
            Piece::Text(raw) if depth == REQUEST_DEPTH && name == b"model" => {
                let start = raw.bytes.as_ptr().addr() - json.as_ptr().addr();
                return json.get(start - 1..start + raw.bytes.len() + 1);
            }
            Piece::Text(_) | Piece::Number(_) => {}
        }
        None
    })
}

struct MembersVisitor(Endpoint);

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members {
            model: None,
            model_repeated: false,
            stream: None,
            stream_options: None,
            max_output: None,
            session: None,
            kind: RequestKind::default(),
            state: SmallVec::new(),
            weighed: SmallVec::new(),
            repeated_models: SmallVec::new(),
            too_deep: false,
            count: 0,
        };
        while let Some(member) = map.next_key_seed(Name(|name: &str| member(self.0, name)))? {
            members.take(member, map.next_value()?);
        }
        Ok(members)
    }
}

#[derive(Clone, Copy)]
struct IncludeUsage<'a> {
    value: Option<&'a RawValue>,
    is_empty: bool,
}

struct IncludeUsageVisitor;

impl<'de> Visitor<'de> for IncludeUsageVisitor {
    type Value = IncludeUsage<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IncludeUsage<'de>, A::Error> {
        let mut found = IncludeUsage {
            value: None,
            is_empty: true,
        };
        while let Some(is_it) = map.next_key_seed(Name(|name: &str| name == "include_usage"))? {
            found.is_empty = false;
            if is_it {
                found.value = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Looks at a member's name without keeping it.
struct Name<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Name<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Name<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<T, E> {
        Ok((self.0)(name))
    }
}
