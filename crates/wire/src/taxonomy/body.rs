//! Reading an error body, whoever wrote it.
//!
//! Every dialect wraps its errors differently, vendors add fields of their own, and a CDN in
//! between answers with HTML. Here all the machine-readable names in a body are gathered, the most
//! specific first, so that the table can ask for any of them.

use std::time::Duration;

use serde_json::Value;
use smallvec::SmallVec;

use crate::excerpt::excerpt;
use crate::limits::ERROR_BODY_BYTES_MAX;
use crate::retry_after::go_duration;

/// An error body, as far as it can be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    codes: SmallVec<[String; 4]>,
    numeric_code: Option<u16>,
    message: String,
    excerpt: String,
    retry_delay: Option<Duration>,
    reset: Option<String>,
}

/// Members that name an error, the most specific first, wherever they stand.
const CODE_PATHS: &[&[&str]] = &[
    &["details", "error_code"],
    &["innererror", "code"],
    &["metadata", "limit_source"],
    &["metadata", "reason"],
    &["metadata", "error_type"],
    &["metadata", "provider_code"],
    &["error_type"],
    // AWS, with the name of a namespace before it.
    &["__type"],
    &["code"],
    &["type"],
    &["status"],
];

/// Members that say when a limit starts anew.
const RESET_PATHS: &[&[&str]] = &[
    &["metadata", "resets_at"],
    &["metadata", "limit_reset"],
    // OpenRouter repeats in the body what its headers would say.
    &["metadata", "headers", "X-RateLimit-Reset"],
    &["resets_at"],
];

/// No instant or name of a period is longer.
const RESET_BYTES_MAX: usize = 64;

impl ErrorBody {
    /// Reads the body of an error answer or the data of an error event. Whatever it is, the result
    /// is usable; of a body that is not JSON it is empty.
    pub(crate) fn read(body: &[u8]) -> Self {
        let body = body.get(..ERROR_BODY_BYTES_MAX).unwrap_or(body);
        let Ok(mut root) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        // Gemini wraps some errors in an array of one.
        if let Some(first) = root.get_mut(0) {
            root = first.take();
        }
        let error = root
            .get("error")
            .or_else(|| {
                root.get("response")
                    .and_then(|response| response.get("error"))
            })
            // OpenRouter, where a provider behind it gave up.
            .or_else(|| root.pointer("/choices/0/error"))
            .unwrap_or(&root);
        let message = message_of(error)
            .or_else(|| message_of(&root))
            .unwrap_or_default();
        let mut read = Self {
            excerpt: excerpt(message),
            message: message.to_owned(),
            numeric_code: numeric_code(error),
            reset: reset_of(error),
            ..Self::default()
        };
        read.gather_codes(error);
        read.push_code(finish_reason(&root));
        if let Some(details) = error.get("details").and_then(Value::as_array) {
            for detail in details {
                read.gather_google(detail);
            }
        }
        read
    }

    fn gather_codes(&mut self, error: &Value) {
        for path in CODE_PATHS {
            self.push_code(member(error, path));
        }
    }

    /// One of Gemini's `details`: `ErrorInfo`, `QuotaFailure` or `RetryInfo`.
    fn gather_google(&mut self, detail: &Value) {
        self.push_code(detail.get("reason"));
        let violations = detail.get("violations").and_then(Value::as_array);
        for violation in violations.into_iter().flatten() {
            self.push_code(violation.get("quotaId"));
        }
        if let Some(delay) = detail.get("retryDelay").and_then(Value::as_str) {
            self.retry_delay = go_duration(delay);
        }
    }

    fn push_code(&mut self, value: Option<&Value>) {
        match value.and_then(Value::as_str) {
            // The envelope's own name says nothing.
            None | Some("" | "error") => {}
            Some(code) => {
                let bare = code.rsplit_once('#').map_or(code, |(_, name)| name);
                self.codes.push(excerpt(bare));
            }
        }
    }

    /// With the name that AWS gives an error in a header, where a URL may follow it.
    pub(crate) fn with_header(mut self, header: Option<&str>) -> Self {
        let name = header.and_then(|header| header.split(':').next());
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            self.codes.insert(0, excerpt(name));
        }
        self
    }

    /// All names the body gives its error, the most specific first.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().map(String::as_str)
    }

    /// A status written as a number in the body.
    pub(crate) fn numeric_code(&self) -> Option<u16> {
        self.numeric_code
    }

    /// The message in full, for matching only.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The message, fit to be shown.
    pub(crate) fn excerpt(&self) -> &str {
        &self.excerpt
    }

    /// Gemini's `retryDelay`.
    pub(crate) fn retry_delay(&self) -> Option<Duration> {
        self.retry_delay
    }

    /// When the limit starts anew, in the provider's form.
    pub(crate) fn reset(&self) -> Option<&str> {
        self.reset.as_deref()
    }
}

fn member<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// Why the first of a Gemini answer's candidates ended: what is said there of an account comes in a
/// success.
fn finish_reason(root: &Value) -> Option<&Value> {
    root.get("candidates")?.get(0)?.get("finishReason")
}

fn reset_of(error: &Value) -> Option<String> {
    RESET_PATHS.iter().find_map(|path| {
        let text = match member(error, path)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty() && text.len() <= RESET_BYTES_MAX).then_some(text)
    })
}

/// The text of an error: a string in its place, or one of the members that carry it. FastAPI-like
/// servers say `detail`.
fn message_of(error: &Value) -> Option<&str> {
    error.as_str().or_else(|| {
        ["message", "Message", "detail", "error"]
            .iter()
            .find_map(|name| error.get(name).and_then(Value::as_str))
    })
}

fn numeric_code(error: &Value) -> Option<u16> {
    let code = error.get("code").and_then(Value::as_u64)?;
    u16::try_from(code)
        .ok()
        .filter(|code| (400..600).contains(code))
}
