//! What an answer says it cost.
//!
//! Each API counts in its own words: Anthropic's `input_tokens` excludes cached ones, OpenAI's
//! `prompt_tokens` includes them, some vendors put the figures elsewhere. All are brought to one
//! [`Usage`], in which nothing is counted twice.

use std::fmt;
use std::marker::PhantomData;

use memchr::memmem;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::dialect::{Dialect, Endpoint};
use crate::peek::{Piece, Walk};

/// Tokens of one answer, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens that were neither read from nor written to the provider's prompt cache.
    pub input_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write_tokens: u64,
}

impl Usage {
    /// All input, cached or not.
    #[must_use]
    pub const fn total_input_tokens(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
    }
}

/// Whether a figure is the provider's or a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageSource {
    /// The provider stated it.
    Measured,
    /// Guessed from the bytes seen, since the provider's figure never came.
    Estimated,
}

/// A usage as far as it is known, and how far it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageTally {
    /// All figures.
    pub usage: Usage,
    /// Where those of the input are from.
    pub input: UsageSource,
    /// Where that of the output is from.
    pub output: UsageSource,
}

impl UsageTally {
    /// The provider's own figures.
    #[must_use]
    pub const fn measured(usage: Usage) -> Self {
        Self {
            usage,
            input: UsageSource::Measured,
            output: UsageSource::Measured,
        }
    }

    /// A guess at all of it.
    #[must_use]
    pub const fn estimated(input_tokens: u64, output_tokens: u64) -> Self {
        Self {
            usage: Usage {
                input_tokens,
                output_tokens,
                cache_read_tokens: 0,
                cache_write_tokens: 0,
            },
            input: UsageSource::Estimated,
            output: UsageSource::Estimated,
        }
    }

    /// Whether any of it is a guess.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        [self.input, self.output].contains(&UsageSource::Estimated)
    }

    /// The figures that are guesses, as (input, output) tokens; 0 for one that the provider stated.
    #[must_use]
    pub fn guesses(&self) -> (u64, u64) {
        let guess = |source, figure| match source {
            UsageSource::Measured => 0,
            UsageSource::Estimated => figure,
        };
        (
            guess(self.input, self.usage.input_tokens),
            guess(self.output, self.usage.output_tokens),
        )
    }
}

/// Bytes of an answer's text per output token, used only where the provider's count never came.
const TEXT_BYTES_PER_TOKEN: u64 = 4;

/// A guess at the tokens of so many bytes of text.
pub(crate) const fn guessed_tokens(text_bytes: u64) -> u64 {
    text_bytes.div_ceil(TEXT_BYTES_PER_TOKEN)
}

/// What a whole (not streamed) answer cost: as it states, else `input_tokens_estimate` and a guess from
/// its text.
#[must_use]
pub fn tally_of_answer(endpoint: Endpoint, body: &[u8], input_tokens_estimate: u64) -> UsageTally {
    usage_of_answer(endpoint, body).map_or_else(
        || UsageTally::estimated(input_tokens_estimate, guessed_output(endpoint, body)),
        UsageTally::measured,
    )
}

/// The members in which the dialects have what a model wrote.
const WRITTEN: [&[u8]; 7] = [
    b"text",
    b"content",
    b"thinking",
    b"reasoning",
    b"reasoning_content",
    b"refusal",
    b"arguments",
];

fn guessed_output(endpoint: Endpoint, body: &[u8]) -> u64 {
    if !endpoint.streams() {
        // Vectors and counts are no output.
        return 0;
    }
    let mut name: &[u8] = b"";
    let mut bytes = 0;
    for piece in Walk::new(body) {
        match piece {
            Piece::Name(found) => name = found,
            Piece::Text(text) if WRITTEN.contains(&name) => bytes += text.bytes.len() as u64,
            Piece::Text(_) | Piece::Number(_) | Piece::Open | Piece::Close => {}
        }
    }
    guessed_tokens(bytes)
}

/// The usage that a part of an answer states: the last object of that name in it. For answers too large
/// to be held, of which only the end is at hand.
#[must_use]
pub fn usage_in_part(endpoint: Endpoint, part: &[u8]) -> Option<Usage> {
    if endpoint.dialect() == Dialect::Gemini {
        return last_object::<GeminiUsage>(part, b"\"usageMetadata\"").map(|usage| usage.read());
    }
    let raw = last_object::<RawUsage>(part, b"\"usage\"")?;
    Some(raw.read(endpoint.dialect()))
}

/// The last object in a part of JSON that stands under this name in its quotes: within a string they would be
/// escaped.
fn last_object<T: for<'de> Deserialize<'de>>(part: &[u8], quoted_name: &[u8]) -> Option<T> {
    let after = part.get(memmem::rfind(part, quoted_name)? + quoted_name.len()..)?;
    let value = after.trim_ascii_start().strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<T>();
    values.next()?.ok()
}

/// The usage a whole (not streamed) answer states; `None` when it states none or is not JSON.
///
/// White space before the JSON is skipped: `DeepSeek` sends blank lines to keep a connection open.
#[must_use]
pub fn usage_of_answer(endpoint: Endpoint, body: &[u8]) -> Option<Usage> {
    // Serde would fill a struct from an array, too.
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    if endpoint == Endpoint::CountTokens {
        let counted: RawUsage = serde_json::from_slice(body).ok()?;
        return counted
            .input_tokens
            .is_told()
            .then(|| counted.read(Dialect::Anthropic));
    }
    if endpoint == Endpoint::CountContentTokens {
        let counted: ContentTokens = serde_json::from_slice(body).ok()?;
        return counted.total_tokens.0.map(|input_tokens| Usage {
            input_tokens,
            ..Usage::default()
        });
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    answer.usage(endpoint.dialect())
}

/// What Gemini's `countTokens` answers.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ContentTokens {
    #[serde(rename = "totalTokens")]
    total_tokens: Count,
}

/// An object which may have usage in it: an answer, a chunk, an event's `message` or `response`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    usage: Object<RawUsage>,
    x_groq: Object<XGroq>,
    #[serde(rename = "usageMetadata")]
    usage_metadata: Object<GeminiUsage>,
}

/// Groq's own place for usage in chunks.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct XGroq {
    usage: Object<RawUsage>,
}

impl Answer {
    pub(crate) fn usage(&self, dialect: Dialect) -> Option<Usage> {
        match dialect {
            Dialect::Anthropic | Dialect::OpenAi => self.raw().map(|raw| raw.read(dialect)),
            Dialect::Gemini => self.usage_metadata.0.map(|usage| usage.read()),
        }
    }

    pub(crate) fn raw(&self) -> Option<&RawUsage> {
        let groqs = self.x_groq.0.as_ref();
        self.usage
            .0
            .as_ref()
            .or_else(|| groqs.and_then(|groq| groq.usage.0.as_ref()))
    }
}

/// Gemini's `usageMetadata`, as it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GeminiUsage {
    /// All of the prompt, what was cached included.
    #[serde(rename = "promptTokenCount")]
    pub(crate) prompt: Count,
    #[serde(rename = "cachedContentTokenCount")]
    pub(crate) cached: Count,
    #[serde(rename = "candidatesTokenCount")]
    pub(crate) candidates: Count,
    /// Reasoning, on top of the candidates.
    #[serde(rename = "thoughtsTokenCount")]
    pub(crate) thoughts: Count,
    /// What the provider's own tools added to the prompt.
    #[serde(rename = "toolUsePromptTokenCount")]
    pub(crate) tool_use_prompt: Count,
}

impl GeminiUsage {
    /// Whether it says anything.
    pub(crate) fn is_told(&self) -> bool {
        let Self {
            prompt,
            cached,
            candidates,
            thoughts,
            tool_use_prompt,
        } = self;
        [prompt, cached, candidates, thoughts, tool_use_prompt]
            .iter()
            .any(|count| count.is_told())
    }

    /// Whether it says how much was written.
    pub(crate) const fn tells_output(&self) -> bool {
        self.candidates.is_told() || self.thoughts.is_told()
    }

    /// Takes later figures in place of earlier ones.
    pub(crate) fn update(&mut self, later: &Self) {
        self.prompt = later.prompt.or(self.prompt);
        self.cached = later.cached.or(self.cached);
        self.candidates = later.candidates.or(self.candidates);
        self.thoughts = later.thoughts.or(self.thoughts);
        self.tool_use_prompt = later.tool_use_prompt.or(self.tool_use_prompt);
    }

    /// Brings the figures to the common form.
    pub(crate) fn read(&self) -> Usage {
        let prompt = self.prompt.get();
        let cached = self.cached.get().min(prompt);
        let tools = self.tool_use_prompt.get();
        Usage {
            input_tokens: (prompt - cached).saturating_add(tools),
            output_tokens: self.candidates.get().saturating_add(self.thoughts.get()),
            cache_read_tokens: cached,
            cache_write_tokens: 0,
        }
    }
}

/// The usage object of the other dialects, as it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawUsage {
    pub(crate) input_tokens: Count,
    pub(crate) output_tokens: Count,
    pub(crate) cache_creation_input_tokens: Count,
    pub(crate) cache_read_input_tokens: Count,
    prompt_tokens: Count,
    completion_tokens: Count,
    prompt_tokens_details: Object<Details>,
    input_tokens_details: Object<Details>,
    /// `DeepSeek`'s name for cached tokens.
    prompt_cache_hit_tokens: Count,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    cache_write_tokens: Count,
}

impl RawUsage {
    /// Brings the figures to the common form.
    pub(crate) fn read(&self, dialect: Dialect) -> Usage {
        match dialect {
            Dialect::Anthropic => Usage {
                input_tokens: self.input_tokens.get(),
                output_tokens: self.output_tokens.get(),
                cache_read_tokens: self.cache_read_input_tokens.get(),
                cache_write_tokens: self.cache_creation_input_tokens.get(),
            },
            // Gemini has an object of its own, and this is none of it.
            Dialect::OpenAi | Dialect::Gemini => {
                let details = self.prompt_tokens_details.0.or(self.input_tokens_details.0);
                let details = details.unwrap_or_default();
                let cached = details.cached_tokens.or(self.prompt_cache_hit_tokens).get();
                let written = details.cache_write_tokens.get();
                let input = self.prompt_tokens.or(self.input_tokens).get();
                let cached = cached.min(input);
                let written = written.min(input - cached);
                Usage {
                    input_tokens: input - cached - written,
                    output_tokens: self.completion_tokens.or(self.output_tokens).get(),
                    cache_read_tokens: cached,
                    cache_write_tokens: written,
                }
            }
        }
    }
}

/// An object that may be missing. Whatever is none counts as missing: serde would fill a struct from
/// an array by position, and refuse the whole answer for a number.
#[derive(Clone, Copy, Debug)]
struct Object<T>(Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|object| Object(Some(object)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Object<T>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object(None))
    }

    fn visit_unit<E>(self) -> Result<Object<T>, E> {
        Ok(Object(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Object<T>, E> {
        Ok(Object(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Object<T>, E> {
        Ok(Object(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Object<T>, E> {
        Ok(Object(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Object<T>, E> {
        Ok(Object(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Object<T>, E> {
        Ok(Object(None))
    }
}

/// A count of tokens that may be missing, null, negative or a fraction. (Azure has been seen to
/// send -1.) Whatever is not a count counts as not told: a wrong figure must not spoil the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(Option<u64>);

impl Count {
    pub(crate) const fn of(count: Option<u64>) -> Self {
        Self(count)
    }

    pub(crate) const fn is_told(self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn get(self) -> u64 {
        self.0.unwrap_or(0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    /// Takes a later figure in place of an earlier one, if there is one.
    pub(crate) fn update(self, figure: &mut u64) {
        if let Some(told) = self.0 {
            *figure = told;
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count of tokens")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count(Some(count)))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(count).ok()))
    }

    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        let whole = count as u64;
        Ok(Count((count >= 0.0).then_some(whole)))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }
}

#[cfg(test)]
mod tests;
