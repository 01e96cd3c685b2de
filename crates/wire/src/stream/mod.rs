//! What the events of a streamed answer mean: may the head still be held back, what did it cost,
//! did it end or merely stop.
//!
//! Two mistakes cost most here. An error that comes as the first event of a `200` is still curable
//! with another key, but only while nothing has gone to the client; and a stream that breaks looks
//! like the whole answer to most SDKs. So every event is classified, cheaply: only those that carry
//! usage, an end or an error are parsed.

mod chat;
mod error;
mod gemini;
mod messages;
mod responses;

use chat::ChoiceSet;
pub use error::{StreamError, error_of_answer};

use crate::dialect::Endpoint;
use crate::json::is_json_object;
use crate::sse::SseEvent;
use crate::state::MadeState;
use crate::usage::{GeminiUsage, Usage, UsageSource, UsageTally, guessed_tokens};

/// What one event means to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A comment, a ping: the connection is alive, and nothing is said about the answer.
    KeepAlive,
    /// Nothing of the answer yet (`message_start`, a chunk with only the role): the head may still be
    /// held back.
    Preamble,
    /// Part of the answer, or an event not known here: relay it.
    Content,
    /// The usage chunk the gateway asked for in the client's name: drop it.
    UsageOnly,
    /// The provider gave up.
    Error(StreamError),
    /// The answer is whole.
    End,
    /// What no client can read: data that is no JSON object, a block that is no event at all, nor an error.
    Garbage,
}

/// How a stream ended by its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With the dialect's end marker.
    Complete,
    /// With the dialect's error event.
    Failed,
}

/// Watches one streamed answer go by.
#[derive(Debug)]
pub struct StreamMeter {
    reader: Reader,
    progress: Progress,
    events: u64,
}

#[derive(Debug)]
enum Reader {
    Messages,
    Chat { usage_injected: bool },
    Responses,
    Gemini,
}

/// What has been learned so far, in whichever dialect.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes of text, tool arguments and thinking seen in deltas.
    delta_bytes: u64,
    /// The provider's figures so far.
    told: Usage,
    input_told: bool,
    /// The bytes that had gone by when the provider stated its output last; `None` until it did.
    output_told_at: Option<u64>,
    has_content: bool,
    /// Gemini's figures so far, as it states them.
    gemini_usage: GeminiUsage,
    /// The choices of a chat completion, or Gemini's candidates, that were seen, and those that are
    /// finished.
    choices_seen: ChoiceSet,
    choices_finished: ChoiceSet,
    end: Option<StreamEnd>,
    /// State of the account that the answer made.
    made: MadeState,
}

impl Progress {
    fn tell(&mut self, usage: Usage) {
        self.told = usage;
        self.input_told = true;
        self.output_is_told();
    }

    fn output_is_told(&mut self) {
        self.output_told_at = Some(self.delta_bytes);
    }

    fn fail(&mut self, error: StreamError) -> EventKind {
        self.end = Some(StreamEnd::Failed);
        EventKind::Error(error)
    }

    fn complete(&mut self) -> EventKind {
        self.end = Some(StreamEnd::Complete);
        EventKind::End
    }

    fn content(&mut self) -> EventKind {
        self.has_content = true;
        EventKind::Content
    }
}

impl StreamMeter {
    /// A meter for a stream of that endpoint. `usage_injected` says that the gateway, and not the
    /// client, asked for the usage chunk.
    #[must_use]
    pub fn new(endpoint: Endpoint, usage_injected: bool) -> Self {
        let reader = match endpoint {
            Endpoint::Messages | Endpoint::CountTokens => Reader::Messages,
            Endpoint::ChatCompletions | Endpoint::Embeddings => Reader::Chat { usage_injected },
            Endpoint::Responses => Reader::Responses,
            Endpoint::GenerateContent
            | Endpoint::CountContentTokens
            | Endpoint::EmbedContent
            | Endpoint::BatchEmbedContents => Reader::Gemini,
        };
        Self {
            reader,
            progress: Progress::default(),
            events: 0,
        }
    }

    /// Takes the next event and says what it means.
    pub fn observe(&mut self, event: &SseEvent<'_>) -> EventKind {
        if let Some(lines) = event.foreign {
            return match error::bare(lines) {
                Some(error) => self.progress.fail(error),
                None => EventKind::Garbage,
            };
        }
        if event.is_comment_only || is_keep_alive(event) {
            return EventKind::KeepAlive;
        }
        self.events += 1;
        let progress = &mut self.progress;
        match self.reader {
            Reader::Messages => messages::observe(progress, event),
            Reader::Chat { usage_injected } => chat::observe(progress, event, usage_injected),
            Reader::Responses => responses::observe(progress, event),
            Reader::Gemini => gemini::observe(progress, event),
        }
    }

    /// What the provider says the answer cost; `None` until it has said so for input and output.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let progress = &self.progress;
        (progress.input_told && progress.output_told_at.is_some()).then_some(progress.told)
    }

    /// What the answer cost as far as can be said now: the provider's figures where they came, else
    /// `input_tokens_estimate` and a guess from the bytes of text that went by. A figure that came before
    /// the end of an answer that broke off has the text after it added.
    #[must_use]
    pub fn tally(&self, input_tokens_estimate: u64) -> UsageTally {
        let progress = &self.progress;
        let mut tally = UsageTally::measured(progress.told);
        if !progress.input_told {
            tally.input = UsageSource::Estimated;
            tally.usage.input_tokens = input_tokens_estimate;
        }
        let since_told = match progress.output_told_at {
            Some(_) if self.is_complete() => 0,
            told_at => progress.delta_bytes - told_at.unwrap_or(0),
        };
        if progress.output_told_at.is_none() || since_told > 0 {
            tally.output = UsageSource::Estimated;
            let guess = guessed_tokens(since_told);
            tally.usage.output_tokens = tally.usage.output_tokens.saturating_add(guess);
        }
        tally
    }

    /// A guess at the output tokens that went by, from the bytes of text.
    #[must_use]
    pub fn output_tokens_so_far(&self) -> u64 {
        guessed_tokens(self.progress.delta_bytes)
    }

    /// Whether the whole answer has gone by. A stream that stops before is broken and must not be
    /// ended cleanly.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.progress.end == Some(StreamEnd::Complete)
            || (self.progress.end.is_none() && chat::is_finished(&self.progress))
    }

    /// How the stream ended by its own words; `None` while it goes on, or when it broke off.
    #[must_use]
    pub fn end(&self) -> Option<StreamEnd> {
        self.progress.end
    }

    /// The number that the next event of a Responses stream carries (`sequence_number`): its events are
    /// numbered from 0.
    #[must_use]
    pub fn next_sequence_number(&self) -> u64 {
        self.events
    }

    /// The state of an account that the answer has made so far, in the numbers of
    /// [`state_ids_of_answer`](crate::state_ids_of_answer). At most
    /// [`STATE_IDS_MAX`](crate::limits::STATE_IDS_MAX).
    #[must_use]
    pub fn made_state(&self) -> &[u64] {
        self.progress.made.ids()
    }

    /// Whether any content has gone by.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.progress.has_content
    }
}

/// Events that some vendors send in place of comments, whatever is in them.
fn is_keep_alive(event: &SseEvent<'_>) -> bool {
    matches!(
        event.name,
        b"ping" | b"keepalive" | b"keep-alive" | b"heartbeat"
    ) || (event.name.is_empty() && event.data.is_empty())
}

/// Whether no client can read the data of an event that all of them parse.
fn is_garbage(event: &SseEvent<'_>) -> bool {
    !is_json_object(event.data)
}

#[cfg(test)]
mod tests;
