//! What can be made to go wrong, and when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Endpoint;
use crate::config::{millis, names};

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
    /// The connection is reset after so many events; an answer that is no stream, after half its body.
    ResetMidStream {
        /// Events sent before, whatever they carry.
        after_events: u64,
    },
    /// The stream ends as if it were complete, without the dialect's last events.
    TruncateStream {
        /// Events sent before.
        after_events: u64,
    },
    /// The stream stays open and silent.
    StallStream {
        /// Events sent before.
        after_events: u64,
    },
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
            | Self::Garbage
            | Self::HtmlGateway => true,
            Self::SlowHead { .. }
            | Self::SlowEvents { .. }
            | Self::ResetMidStream { .. }
            | Self::TruncateStream { .. }
            | Self::StallStream { .. }
            | Self::StreamError { .. }
            | Self::WrongContentType => false,
        }
    }

    fn touches(&self, endpoint: Endpoint) -> bool {
        endpoint.is_inference() || matches!(self, Self::Unauthorized)
    }
}

/// A fault and when it strikes. Times count from the moment the window is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultWindow {
    /// When the window opens.
    #[serde(default, with = "millis", rename = "fromMs")]
    pub from: Duration,
    /// When it closes; never when absent.
    #[serde(default, with = "millis::optional", rename = "untilMs")]
    pub until: Option<Duration>,
    /// It closes after so many faulty answers.
    #[serde(default)]
    pub requests: Option<u64>,
    /// The share of requests that it strikes, 0.0 to 1.0, drawn by the seed.
    #[serde(default = "whole")]
    pub share: f64,
    /// Strike the free endpoints (models, token counting) too, not only inference.
    #[serde(default)]
    pub everywhere: bool,
    /// Strike only requests for these models; a `*` at the end stands for any rest. All when empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// What goes wrong.
    pub fault: Fault,
}

fn whole() -> f64 {
    1.0
}

impl FaultWindow {
    /// From now on, for ever.
    #[must_use]
    pub fn always(fault: Fault) -> Self {
        Self {
            from: Duration::ZERO,
            until: None,
            requests: None,
            share: whole(),
            everywhere: false,
            models: Vec::new(),
            fault,
        }
    }

    /// The next `requests` requests.
    #[must_use]
    pub fn next(requests: u64, fault: Fault) -> Self {
        Self {
            requests: Some(requests),
            ..Self::always(fault)
        }
    }

    /// From `from` until `until` after now.
    #[must_use]
    pub fn between(from: Duration, until: Duration, fault: Fault) -> Self {
        Self {
            from,
            until: Some(until),
            ..Self::always(fault)
        }
    }

    /// Only a share of the requests, 0.0 to 1.0.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Only requests for these models; a `*` at the end stands for any rest.
    #[must_use]
    pub fn for_models(mut self, models: &[&str]) -> Self {
        self.models = models.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Whether it strikes a request that comes `elapsed` after it was set, having struck `struck`.
    pub(crate) fn strikes(
        &self,
        elapsed: Duration,
        struck: u64,
        endpoint: Endpoint,
        model: &str,
    ) -> bool {
        elapsed >= self.from
            && self.until.is_none_or(|until| elapsed < until)
            && self.requests.is_none_or(|requests| struck < requests)
            && (self.everywhere || self.fault.touches(endpoint))
            && (self.models.is_empty() || self.models.iter().any(|name| names(name, model)))
    }
}

impl From<Fault> for FaultWindow {
    fn from(fault: Fault) -> Self {
        Self::always(fault)
    }
}
