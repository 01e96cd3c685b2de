//! What the model answers: a grant, a refusal, or a fault in place of an answer.

use std::time::Duration;

use super::charging::Tariff;
use super::{ProviderError, Request, Usage};
use crate::dialect::errors;
use crate::dialect::ids;
use crate::{AnswerConfig, Dialect, Endpoint, Fault};

/// The credentials that came with a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credential<'a> {
    /// The `x-api-key` header.
    pub api_key: Option<&'a str>,
    /// The token of an `authorization: Bearer` header.
    pub bearer: Option<&'a str>,
}

impl<'a> Credential<'a> {
    /// The secret to look up. Anthropic takes either header but refuses both; OpenAI sees only the
    /// bearer token.
    pub fn secret(&self, dialect: Dialect) -> Result<&'a str, ProviderError> {
        match (dialect, self.api_key, self.bearer) {
            (Dialect::Anthropic, Some(_), Some(_)) => Err(errors::two_credentials()),
            (Dialect::Anthropic, Some(secret), None) | (_, _, Some(secret)) => Ok(secret),
            _ => Err(errors::no_credential(dialect)),
        }
    }

    pub(crate) fn is_bearer(&self) -> bool {
        self.api_key.is_none()
    }
}

/// What the provider does with a request.
#[derive(Debug)]
pub struct Verdict {
    /// Seed of the ids in the answer.
    pub seed: u64,
    /// Time until the head.
    pub wait: Duration,
    /// To be given to [`super::Model::finish`] in the end; `None` when no key was known.
    pub ticket: Option<Ticket>,
    /// The answer.
    pub reply: Reply,
}

impl Verdict {
    /// The grant, if the request is served; its `usage` says what the answer reports.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match &self.reply {
            Reply::Grant(grant) => Some(grant),
            _ => None,
        }
    }

    /// The refusal, if it is one: by a limit, by a fault, or of the request itself.
    #[must_use]
    pub fn refusal(&self) -> Option<&ProviderError> {
        match &self.reply {
            Reply::Refusal(error) => Some(error),
            _ => None,
        }
    }

    /// The id in `request-id` or `x-request-id`, and in the body of Anthropic's errors.
    #[must_use]
    pub fn request_id(&self, dialect: Dialect) -> String {
        ids::request_id(dialect, self.seed).1
    }

    pub(crate) fn refused(seed: u64, error: ProviderError) -> Self {
        Self {
            seed,
            wait: Duration::ZERO,
            ticket: None,
            reply: Reply::Refusal(error),
        }
    }
}

/// The answer, or what comes instead of one.
#[derive(Debug)]
pub enum Reply {
    /// The request is served.
    Grant(Grant),
    /// An error in the dialect's shape.
    Refusal(ProviderError),
    /// These bytes.
    Verbatim {
        /// The HTTP status.
        status: u16,
        /// Headers in order.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// Nothing, ever.
    Hang,
    /// A TCP reset.
    Reset,
}

impl Reply {
    /// The status of the head, if there will be one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Grant(grant) => Some(grant.error_status.unwrap_or(200)),
            Self::Refusal(error) => Some(error.status),
            Self::Verbatim { status, .. } => Some(*status),
            Self::Hang | Self::Reset => None,
        }
    }
}

/// A request that is served, and how the answer may still go wrong.
#[derive(Debug)]
pub struct Grant {
    /// What the answer reports.
    pub usage: Usage,
    /// The answer ends because `max_tokens` was reached.
    pub cut_short: bool,
    /// Where the answer breaks.
    pub broken: Option<Break>,
    /// Time between events, instead of the configured one.
    pub chunk_delay: Option<Duration>,
    /// Output tokens in one event of a stream; the last one may carry fewer. At least 1.
    pub chunk_tokens: u64,
    /// Time between two events that carry text, a fault's slowness included.
    pub pace: Duration,
    /// The content type is a wrong one.
    pub wrong_content_type: bool,
    is_stream: bool,
    error_status: Option<u16>,
}

/// How and where an answer breaks off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Break {
    /// Connection reset after so many events.
    Reset(u64),
    /// A clean end after so many events.
    Truncate(u64),
    /// Silence after so many events.
    Stall(u64),
    /// An error event after so many events, with this code.
    Error(u64, Option<String>),
}

impl Break {
    /// Events that are sent before.
    #[must_use]
    pub fn after(&self) -> u64 {
        match self {
            Self::Reset(events)
            | Self::Truncate(events)
            | Self::Stall(events)
            | Self::Error(events, _) => *events,
        }
    }
}

impl Grant {
    pub(crate) fn new(usage: Usage, request: &Request, answer: &AnswerConfig) -> Self {
        Self {
            chunk_tokens: answer.chunk_tokens.max(1),
            pace: answer.chunk_delay,
            usage,
            cut_short: request.max_tokens == Some(usage.output),
            broken: None,
            chunk_delay: None,
            wrong_content_type: false,
            is_stream: request.stream,
            error_status: None,
        }
    }

    /// The output tokens of each event of a stream that carries text, in order: what
    /// [`super::Model::produce`] is to be told, `pace` apart. They sum to `usage.output`.
    pub fn chunks(&self) -> impl Iterator<Item = u64> + use<> {
        let (output, chunk) = (self.usage.output, self.chunk_tokens.max(1));
        (0..output.div_ceil(chunk)).map(move |number| chunk.min(output - number * chunk))
    }

    /// Applies a fault that leaves the grant standing; returns what it adds to the time to the head.
    pub(crate) fn take_fault(&mut self, dialect: Dialect, fault: Fault) -> Duration {
        match fault {
            Fault::SlowHead { delay } => return delay,
            Fault::SlowEvents { delay } => {
                self.chunk_delay = Some(delay);
                self.pace = delay;
            }
            Fault::ResetMidStream { after_events } => {
                self.broken = Some(Break::Reset(after_events));
            }
            Fault::TruncateStream { after_events } => {
                self.broken = Some(Break::Truncate(after_events));
            }
            Fault::StallStream { after_events } => self.broken = Some(Break::Stall(after_events)),
            Fault::StreamError { after_events, code } => {
                if !self.is_stream {
                    self.error_status = Some(errors::of_code(dialect, code.as_deref()).status);
                }
                self.broken = Some(Break::Error(after_events, code));
            }
            Fault::WrongContentType => self.wrong_content_type = true,
            // These were answered before anything was granted.
            Fault::Unauthorized
            | Fault::Forbidden
            | Fault::RateLimited { .. }
            | Fault::Status { .. }
            | Fault::Verbatim { .. }
            | Fault::Hang
            | Fault::ResetBeforeHead
            | Fault::Garbage
            | Fault::HtmlGateway => {}
        }
        Duration::ZERO
    }
}

/// A request that is under way. Not `Clone`: it is finished once.
#[derive(Debug)]
#[must_use = "a request that is never finished stays in flight"]
pub struct Ticket {
    pub(crate) key: usize,
    pub(crate) endpoint: Endpoint,
    pub(crate) seed: u64,
    /// The class of the model that was asked for.
    pub(crate) class: usize,
    pub(crate) admitted: Option<Admitted>,
}

/// What an admitted request has to do with the counters.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) tariff: Tariff,
    /// The input has not been corrected yet.
    pub(crate) uncorrected: Option<Usage>,
}

/// How a request came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The whole answer was handed over.
    Complete,
    /// The client went away first.
    Cancelled,
    /// The simulator broke the answer off, as its script says.
    Broken,
}

/// The reply that a fault puts in the place of an answer.
pub(crate) fn of_fault(
    dialect: Dialect,
    fault: Fault,
    credential: Credential<'_>,
    model: &str,
) -> Reply {
    match fault {
        Fault::Unauthorized => {
            let secret = credential.secret(dialect).unwrap_or_default();
            Reply::Refusal(errors::invalid_key(dialect, secret, credential.is_bearer()))
        }
        Fault::Forbidden => Reply::Refusal(errors::forbidden(dialect, model)),
        Fault::RateLimited {
            retry_after,
            code,
            bare,
        } => {
            let mut error = errors::scripted(dialect, 429, code.as_deref(), None);
            error.retry_after = retry_after.map(Into::into);
            error.quota_headers = !bare;
            Reply::Refusal(error)
        }
        Fault::Status {
            status,
            code,
            message,
            retry_after,
        } => {
            let mut error = errors::scripted(dialect, status, code.as_deref(), message);
            error.retry_after = retry_after.map(Into::into);
            Reply::Refusal(error)
        }
        Fault::Verbatim {
            status,
            headers,
            body,
        } => Reply::Verbatim {
            status,
            headers,
            body,
        },
        Fault::Garbage => verbatim(200, "application/json", "\u{1}\u{2}\u{3} no JSON at all }{"),
        Fault::HtmlGateway => verbatim(
            502,
            "text/html",
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
             <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n",
        ),
        Fault::Hang => Reply::Hang,
        Fault::ResetBeforeHead
        | Fault::SlowHead { .. }
        | Fault::SlowEvents { .. }
        | Fault::ResetMidStream { .. }
        | Fault::TruncateStream { .. }
        | Fault::StallStream { .. }
        | Fault::StreamError { .. }
        | Fault::WrongContentType => Reply::Reset,
    }
}

fn verbatim(status: u16, content_type: &str, body: &str) -> Reply {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Reply::Verbatim {
        status,
        headers,
        body: body.to_owned(),
    }
}
