//! A request that is served, and how the answer may still go wrong.

use std::time::Duration;

use super::{Request, Usage};
use crate::dialect::errors;
use crate::{AnswerConfig, ContentEncoding, Dialect, Fault};

/// A request that is served, and how the answer may still go wrong.
#[derive(Debug)]
pub struct Grant {
    /// What the answer reports.
    pub usage: Usage,
    /// The answer ends because `max_tokens` was reached.
    pub cut_short: bool,
    /// Where the answer breaks off.
    pub broken: Option<Break>,
    /// What is odd about an answer that goes on to its end.
    pub oddity: Option<Oddity>,
    /// Time between events, instead of the configured one.
    pub chunk_delay: Option<Duration>,
    /// Output tokens in one event of a stream; the last one may carry fewer. At least 1.
    pub chunk_tokens: u64,
    /// Time between two events that carry text, a fault's slowness included.
    pub pace: Duration,
    is_stream: bool,
    error_status: Option<u16>,
}

/// How and where an answer breaks off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Events that are sent before. An answer that is no stream breaks after half its body, or before
    /// it with 0.
    pub after: u64,
    /// How it breaks.
    pub how: BreakKind,
}

/// How an answer breaks off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakKind {
    /// The connection is reset.
    Reset,
    /// The connection is closed, though the answer's framing promises more.
    Close,
    /// A clean end.
    Truncate,
    /// Silence.
    Stall,
    /// A line without end.
    EndlessLine,
    /// An error event with this code; an error status where there is no stream.
    Error(Option<String>),
}

/// What is odd about an answer that goes on to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// The content type is a wrong one.
    WrongContentType,
    /// One piece of JSON where a stream was asked for.
    NotStreamed,
    /// Bytes that are no JSON after so many events, or in the middle of JSON.
    Garbage(u64),
    /// A stream without its last event.
    NoEndMarker,
    /// A content encoding.
    Compressed(ContentEncoding),
    /// Blanks before the answer.
    KeepAlive {
        /// How many; without end, and without an answer, when absent.
        times: Option<u64>,
        /// Time before each, and before the answer.
        every: Duration,
    },
    /// Small pieces.
    Trickle {
        /// The size of a piece.
        bytes: usize,
        /// Time between two.
        delay: Duration,
    },
}

impl Grant {
    pub(crate) fn new(usage: Usage, request: &Request, answer: &AnswerConfig) -> Self {
        Self {
            chunk_tokens: answer.chunk_tokens.max(1),
            pace: answer.chunk_delay,
            usage,
            cut_short: request.max_tokens == Some(usage.output),
            broken: None,
            oddity: None,
            chunk_delay: None,
            is_stream: request.stream,
            error_status: None,
        }
    }

    /// The status of the head.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.error_status.unwrap_or(200)
    }

    /// The output tokens of each event of a stream that carries text, in order: what
    /// [`super::Model::produce`] is to be told, `pace` apart. They sum to `usage.output`.
    pub fn chunks(&self) -> impl Iterator<Item = u64> + use<> {
        let (output, chunk) = (self.usage.output, self.chunk_tokens.max(1));
        (0..output.div_ceil(chunk)).map(move |number| chunk.min(output - number * chunk))
    }

    /// Applies a fault that leaves the grant standing; returns what it adds to the time to the head.
    pub(crate) fn take_fault(&mut self, dialect: Dialect, fault: Fault) -> Duration {
        let mut break_off = |after, how| self.broken = Some(Break { after, how });
        match fault {
            Fault::SlowHead { delay } => return delay,
            Fault::SlowEvents { delay } => {
                self.chunk_delay = Some(delay);
                self.pace = delay;
            }
            Fault::ResetMidStream { after_events } => break_off(after_events, BreakKind::Reset),
            Fault::CloseMidStream { after_events } => break_off(after_events, BreakKind::Close),
            Fault::TruncateStream { after_events } => break_off(after_events, BreakKind::Truncate),
            Fault::StallStream { after_events } => break_off(after_events, BreakKind::Stall),
            Fault::EndlessLine { after_events } => break_off(after_events, BreakKind::EndlessLine),
            Fault::StreamError { after_events, code } => {
                if !self.is_stream {
                    self.error_status = Some(errors::of_code(dialect, code.as_deref()).status);
                }
                self.broken = Some(Break {
                    after: after_events,
                    how: BreakKind::Error(code),
                });
            }
            Fault::GarbageEvent { after_events } => {
                self.oddity = Some(Oddity::Garbage(after_events));
            }
            Fault::NoEndMarker => self.oddity = Some(Oddity::NoEndMarker),
            Fault::WrongContentType => self.oddity = Some(Oddity::WrongContentType),
            Fault::NotStreamed => self.oddity = Some(Oddity::NotStreamed),
            Fault::Compressed { encoding } => self.oddity = Some(Oddity::Compressed(encoding)),
            Fault::KeepAlive { times, every } => {
                self.oddity = Some(Oddity::KeepAlive { times, every });
            }
            Fault::Trickle { bytes, delay } => {
                self.oddity = Some(Oddity::Trickle { bytes, delay });
            }
            // These were answered before anything was granted.
            Fault::Unauthorized
            | Fault::Forbidden
            | Fault::RateLimited { .. }
            | Fault::Status { .. }
            | Fault::Verbatim { .. }
            | Fault::Hang
            | Fault::ResetBeforeHead
            | Fault::CloseBeforeHead
            | Fault::HalfHead
            | Fault::GarbageHead
            | Fault::Garbage
            | Fault::HtmlGateway => {}
        }
        Duration::ZERO
    }
}
