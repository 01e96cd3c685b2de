//! What a model answered.

use super::request::Part;
use crate::json::Str;

/// One whole answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) id: Str<'a>,
    pub(crate) model: Str<'a>,
    /// Text, refusals, reasoning and tool calls.
    pub(crate) parts: Vec<Part<'a>>,
    pub(crate) stop: Stop<'a>,
    pub(crate) usage: Usage,
}

impl Answer<'_> {
    /// Whether the model declined in words of its own.
    pub(crate) fn has_refusal(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Refusal(_)))
    }

    fn has_calls(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::ToolCall(_)))
    }

    /// The answer with the reason to stop that its parts tell, where the API has none for them.
    pub(crate) fn with_told_stop(mut self) -> Self {
        let stop = std::mem::take(&mut self.stop);
        self.stop = stop
            .with_calls(self.has_calls())
            .with_refusal(self.has_refusal());
        self
    }
}

/// Why the model stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop<'a> {
    /// It had said what it had to say.
    #[default]
    EndTurn,
    /// `max_output_tokens` were reached.
    MaxTokens,
    /// The model's context is full.
    ContextWindow,
    /// One of the client's stop sequences; which one, if that was told.
    Sequence(Option<Str<'a>>),
    /// It waits for the results of tools.
    ToolUse,
    /// It, or a filter, declined.
    Refusal,
    /// A long turn was interrupted and may be continued.
    Pause,
}

impl Stop<'_> {
    pub(crate) fn into_owned(self) -> Stop<'static> {
        match self {
            Stop::Sequence(sequence) => {
                Stop::Sequence(sequence.map(|text| text.to_string().into()))
            }
            Stop::EndTurn => Stop::EndTurn,
            Stop::MaxTokens => Stop::MaxTokens,
            Stop::ContextWindow => Stop::ContextWindow,
            Stop::ToolUse => Stop::ToolUse,
            Stop::Refusal => Stop::Refusal,
            Stop::Pause => Stop::Pause,
        }
    }

    /// The reason, when the API tells calls of tools only by their presence.
    pub(crate) fn with_calls(self, has_calls: bool) -> Self {
        match self {
            Stop::EndTurn if has_calls => Stop::ToolUse,
            stop => stop,
        }
    }

    /// The reason, when the model declined in words of its own.
    pub(crate) fn with_refusal(self, has_refusal: bool) -> Self {
        match self {
            Stop::EndTurn if has_refusal => Stop::Refusal,
            stop => stop,
        }
    }
}

/// Tokens of an answer, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Input that was neither read from nor written to the prompt cache.
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    /// Output, reasoning included.
    pub(crate) output: u64,
    /// How many of the output tokens were reasoning, where that is told.
    pub(crate) reasoning: u64,
}

impl Usage {
    /// All input, cached or not.
    pub(crate) const fn total_input(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total_input().saturating_add(self.output)
    }

    /// From figures in which the input includes what was cached.
    pub(crate) fn from_inclusive(input: u64, read: u64, write: u64, output: u64) -> Self {
        let cache_read = read.min(input);
        let cache_write = write.min(input - cache_read);
        Self {
            input: input - cache_read - cache_write,
            cache_read,
            cache_write,
            output,
            reasoning: 0,
        }
    }
}
