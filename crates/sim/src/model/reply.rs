//! What the model answers: a grant, a refusal, or a fault in place of an answer.

use std::time::Duration;

use super::charging::Tariff;
use super::{Grant, ProviderError, Usage};
use crate::dialect::errors;
use crate::dialect::ids;
use crate::{Dialect, Endpoint, Fault};

/// A head that breaks off within a line.
const HALF_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: applic";

/// The greeting of another protocol.
const NO_HEAD: &[u8] = b"SSH-2.0-OpenSSH_9.6\r\n";

/// The credentials that came with a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credential<'a> {
    /// The `x-api-key` header.
    pub api_key: Option<&'a str>,
    /// The token of an `authorization: Bearer` header.
    pub bearer: Option<&'a str>,
    /// The `x-goog-api-key` header, or the parameter `key` of the query.
    pub google: Option<&'a str>,
}

impl<'a> Credential<'a> {
    /// The secret to look up. Anthropic takes either header but refuses both; OpenAI sees only the
    /// bearer token, Gemini only its own header.
    pub fn secret(&self, dialect: Dialect) -> Result<&'a str, ProviderError> {
        if dialect == Dialect::Gemini {
            return self.google.ok_or_else(|| errors::no_credential(dialect));
        }
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
    /// These bytes, which are no whole head, and then the end of the connection.
    Close(&'static [u8]),
}

impl Reply {
    /// The status of the head, if there will be one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Grant(grant) => Some(grant.status()),
            Self::Refusal(error) => Some(error.status),
            Self::Verbatim { status, .. } => Some(*status),
            Self::Hang | Self::Reset | Self::Close(_) => None,
        }
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
            if dialect == Dialect::Gemini && error.retry_after.is_some() && error.code.is_none() {
                error.code = Some("GenerateRequestsPerMinutePerProjectPerModel".into());
            }
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
        Fault::CloseBeforeHead => Reply::Close(b""),
        Fault::HalfHead => Reply::Close(HALF_HEAD),
        Fault::GarbageHead => Reply::Close(NO_HEAD),
        Fault::ResetBeforeHead
        | Fault::SlowHead { .. }
        | Fault::SlowEvents { .. }
        | Fault::ResetMidStream { .. }
        | Fault::CloseMidStream { .. }
        | Fault::TruncateStream { .. }
        | Fault::StallStream { .. }
        | Fault::EndlessLine { .. }
        | Fault::GarbageEvent { .. }
        | Fault::NoEndMarker
        | Fault::StreamError { .. }
        | Fault::WrongContentType
        | Fault::NotStreamed
        | Fault::Compressed { .. }
        | Fault::KeepAlive { .. }
        | Fault::Trickle { .. } => Reply::Reset,
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
