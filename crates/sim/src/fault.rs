//! What can be made to go wrong.

mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use window::FaultWindow;

use crate::Endpoint;
use crate::config::millis;

/// One way in which a provider fails. Written in JSON as `{"kind": "rate-limited", "retryAfter": "2"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Fault {
    /// 401, as for a key that was revoked. Holds for the free endpoints too.
    Unauthorized,
    /// 403: the key may not use this model.
    Forbidden,
    /// 429, whatever the counters say.
    RateLimited {
        /// The `retry-after` header word for word, so that any notation can be tried; none without.
        #[serde(default)]
        retry_after: Option<String>,
        /// Anthropic's `details.error_code` or OpenAI's `code`, e.g. `enforced_spend_limit_reached`,
        /// `insufficient_quota`.
        #[serde(default)]
        code: Option<String>,
        /// Leave out the quota headers as well.
        #[serde(default)]
        bare: bool,
    },
    /// An error of any status in the dialect's shape: 500, 503, 529, 402, …
    Status {
        /// The HTTP status, 400–599.
        status: u16,
        /// As in [`Fault::RateLimited`].
        #[serde(default)]
        code: Option<String>,
        /// The message; a plain one when absent.
        #[serde(default)]
        message: Option<String>,
        /// As in [`Fault::RateLimited`].
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Any answer at all, word for word.
    Verbatim {
        /// The HTTP status, 200–599.
        status: u16,
        /// Headers in order; `content-length` is added.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// The head comes late; the answer is fine.
    SlowHead {
        /// Added to the configured latency.
        #[serde(with = "millis", rename = "delayMs")]
        delay: Duration,
    },
    /// Each event of the stream comes late; the answer is fine.
    SlowEvents {
        /// Instead of the configured delay between events.
        #[serde(with = "millis", rename = "delayMs")]
        delay: Duration,
    },
    /// The request is taken and never answered.
    Hang,
    /// The connection is reset (TCP RST) instead of an answer. Over HTTP/2 that ends all its streams.
    ResetBeforeHead,
    /// The connection is closed (TCP FIN) without a byte of an answer, as by a server that restarts.
    CloseBeforeHead,
    /// The connection is closed in the middle of the head.
    HalfHead,
    /// What comes is not HTTP; then the connection is closed.
    GarbageHead,
    /// The connection is reset after so many events; an answer that is no stream, after half its body,
    /// or before its body with 0.
    ResetMidStream {
        /// Events sent before, whatever they carry.
        after_events: u64,
    },
    /// The connection is closed there, without the end that its framing demands.
    CloseMidStream {
        /// As in [`Fault::ResetMidStream`].
        after_events: u64,
    },
    /// The answer ends there as if it were complete, without the dialect's last events.
    TruncateStream {
        /// As in [`Fault::ResetMidStream`].
        after_events: u64,
    },
    /// The answer stays open and silent from there on. With 0, its head is all that comes.
    StallStream {
        /// As in [`Fault::ResetMidStream`].
        after_events: u64,
    },
    /// A line begins there which goes on and on: 64 MiB of it, then silence.
    EndlessLine {
        /// As in [`Fault::ResetMidStream`].
        after_events: u64,
    },
    /// Bytes that are neither JSON nor text stand there; the answer goes on behind them.
    GarbageEvent {
        /// As in [`Fault::ResetMidStream`].
        after_events: u64,
    },
    /// The stream ends in good order but for its last event, by which clients tell that the answer is
    /// complete. An answer that is no stream has none to lack.
    NoEndMarker,
    /// The stream carries an error: with 0 events before it, as the first thing in a 200. An answer
    /// that is no stream gets the error's own status.
    StreamError {
        /// Events sent before.
        after_events: u64,
        /// `error.type` of Anthropic, `error.code` of OpenAI; overloaded when absent.
        #[serde(default)]
        code: Option<String>,
    },
    /// 200, `content-type: application/json`, and a body that is none.
    Garbage,
    /// 502 and a page of HTML, as from a proxy before the provider.
    HtmlGateway,
    /// The right answer under `content-type: text/html`.
    WrongContentType,
    /// The right answer in one piece of JSON, though a stream was asked for.
    NotStreamed,
    /// The right answer in a content encoding, whether or not it was asked for.
    Compressed {
        /// Which one.
        encoding: ContentEncoding,
    },
    /// Blanks come before the right answer, as from DeepSeek under load: blank lines before JSON,
    /// comments before a stream.
    KeepAlive {
        /// How many; without end when absent, and then no answer comes.
        #[serde(default)]
        times: Option<u64>,
        /// Time before each, and before the answer.
        #[serde(with = "millis", rename = "everyMs")]
        every: Duration,
    },
    /// The right answer in small pieces, cut without regard to events and letters.
    Trickle {
        /// The size of a piece; at least 1.
        bytes: usize,
        /// Time between two.
        #[serde(with = "millis", rename = "delayMs")]
        delay: Duration,
    },
}

/// A content encoding, by its name in the `content-encoding` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentEncoding {
    /// RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950.
    Deflate,
    /// Brotli, RFC 7932.
    Br,
}

impl ContentEncoding {
    /// As it stands in the header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
        }
    }
}

impl Fault {
    /// 429 with `retry-after: seconds`.
    #[must_use]
    pub fn rate_limited(seconds: u64) -> Self {
        let retry_after = Some(seconds.to_string());
        Self::RateLimited {
            retry_after,
            code: None,
            bare: false,
        }
    }

    /// 429 without `retry-after` and without quota headers.
    #[must_use]
    pub fn rate_limited_bare() -> Self {
        Self::RateLimited {
            retry_after: None,
            code: None,
            bare: true,
        }
    }

    /// 429 with a code that says why and no `retry-after`.
    #[must_use]
    pub fn rate_limited_with_code(code: &str) -> Self {
        Self::RateLimited {
            retry_after: None,
            code: Some(code.to_owned()),
            bare: false,
        }
    }

    /// An error answer of this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            code: None,
            message: None,
            retry_after: None,
        }
    }

    /// 529 `overloaded_error`.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::status(529)
    }

    /// An error as the first event of a 200 stream.
    #[must_use]
    pub fn error_as_first_event() -> Self {
        Self::StreamError {
            after_events: 0,
            code: None,
        }
    }

    /// Whether the fault decides the whole answer, so that limits are not even asked.
    pub(crate) fn replaces_the_answer(&self) -> bool {
        match self {
            Self::Unauthorized
            | Self::Forbidden
            | Self::RateLimited { .. }
            | Self::Status { .. }
            | Self::Verbatim { .. }
            | Self::Hang
            | Self::ResetBeforeHead
            | Self::CloseBeforeHead
            | Self::HalfHead
            | Self::GarbageHead
            | Self::Garbage
            | Self::HtmlGateway => true,
            Self::SlowHead { .. }
            | Self::SlowEvents { .. }
            | Self::ResetMidStream { .. }
            | Self::CloseMidStream { .. }
            | Self::TruncateStream { .. }
            | Self::StallStream { .. }
            | Self::EndlessLine { .. }
            | Self::GarbageEvent { .. }
            | Self::NoEndMarker
            | Self::StreamError { .. }
            | Self::WrongContentType
            | Self::NotStreamed
            | Self::Compressed { .. }
            | Self::KeepAlive { .. }
            | Self::Trickle { .. } => false,
        }
    }

    fn touches(&self, endpoint: Endpoint) -> bool {
        endpoint.is_inference() || matches!(self, Self::Unauthorized)
    }
}
