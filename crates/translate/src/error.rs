//! Errors of a provider in the words of the client's API.
//!
//! The status stays as it was: SDKs choose their exception by it. The message stays, too, as far as
//! it is short and holds no key; the provider's own name for the case travels in the place each API
//! has for machine-readable detail.

use keypool_wire::{Dialect, excerpt};
use serde_json::Value;

use crate::api::Api;
use crate::json::{Object, object};

/// Bytes of an error body that are looked at; real ones have a few kilobytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Code of an answer that broke off.
const BROKEN: &str = "upstream_broke_off";

/// Code of an answer that is not in the shape of its API.
const UNREADABLE: &str = "upstream_unreadable";

/// Why a request failed, in no API's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status, or the one that it would have had if it had not come inside an answer.
    pub status: u16,
    /// The provider's name of the case; may be empty.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
    /// The request's id at the provider, where the body names it.
    pub request_id: Option<String>,
}

impl Failure {
    /// A failure that the translation itself has to tell.
    pub(crate) fn own(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: None,
        }
    }

    /// The answer broke off: what came so far is not the whole.
    pub(crate) fn broken() -> Self {
        Self::own(
            502,
            BROKEN,
            "the provider's answer broke off before its end",
        )
    }

    /// The provider sent something that is not an answer in its API.
    pub(crate) fn unreadable() -> Self {
        Self::own(
            502,
            UNREADABLE,
            "the provider's answer is not in the shape of its API",
        )
    }

    /// Whether what came is no answer in the provider's API, and not one that says of itself that it failed, or that
    /// the client's API cannot hold.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        matches!(&*self.code, BROKEN | UNREADABLE)
    }

    /// Reads the body of an error, whoever wrote it. Without a status of its own it is told by the
    /// body's code.
    #[must_use]
    pub fn read(status: Option<u16>, body: &[u8]) -> Self {
        let body = body.get(..BODY_BYTES_MAX).unwrap_or(body);
        let mut root: Value = serde_json::from_slice(body).unwrap_or_default();
        // Gemini wraps some errors in an array of one.
        if let Some(first) = root.get_mut(0) {
            root = first.take();
        }
        let error = [&["error"][..], &["response", "error"], &["detail"]]
            .iter()
            .find_map(|path| at(&root, path).filter(|error| !error.is_null()))
            .unwrap_or(&root);
        let code = code_of(error);
        let status = status
            .or_else(|| numeric_status(error))
            .unwrap_or_else(|| status_of_code(&code));
        let message = error
            .as_str()
            .or_else(|| error.get("message").and_then(Value::as_str))
            .map(excerpt)
            .filter(|message| !message.is_empty());
        Self {
            status,
            code,
            message: message
                .unwrap_or_else(|| format!("the provider answered {status} and gave no reason")),
            request_id: root.get("request_id").and_then(Value::as_str).map(excerpt),
        }
    }

    /// The body of an error answer in a client's API.
    #[must_use]
    pub fn body(&self, api: Api) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(api, &mut out);
        out
    }

    pub(crate) fn write(&self, api: Api, out: &mut Vec<u8>) {
        object(out, |root| match api.dialect() {
            Dialect::Anthropic => self.anthropic(root),
            Dialect::OpenAi => self.openai(root),
            Dialect::Gemini => self.gemini(root),
        });
    }

    fn anthropic(&self, root: &mut Object<'_>) {
        root.put("type", "error").object("error", |error| {
            error
                .put("type", anthropic_type(self.status))
                .put("message", &self.message);
            if !self.code.is_empty() {
                error.object("details", |details| {
                    details.put("error_code", &self.code);
                });
            }
        });
        root.maybe("request_id", self.request_id.as_ref());
    }

    fn openai(&self, root: &mut Object<'_>) {
        root.object("error", |error| {
            error
                .put("message", &self.message)
                .put("type", openai_type(self.status))
                .null("param")
                .put("code", self.code());
        });
    }

    fn gemini(&self, root: &mut Object<'_>) {
        root.object("error", |error| {
            error
                .put("code", u64::from(self.status))
                .put("message", &self.message)
                .put("status", gemini_status(self.status));
            if let Some(code) = self.code() {
                error.array("details", |details| {
                    details.object(|info| {
                        info.put("@type", "type.googleapis.com/google.rpc.ErrorInfo")
                            .put("reason", code.to_ascii_uppercase())
                            .put("domain", "keypool");
                    });
                });
            }
        });
    }

    /// The provider's name of the case, if it gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        Some(&*self.code).filter(|code| !code.is_empty())
    }
}

fn at<'v>(root: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, name| value.get(name))
}

/// The most specific name that a body gives its error.
fn code_of(error: &Value) -> String {
    const PATHS: &[&[&str]] = &[
        &["details", "error_code"],
        &["innererror", "code"],
        &["metadata", "error_type"],
        &["code"],
        &["type"],
        &["status"],
    ];
    let reasons = error.get("details").and_then(Value::as_array);
    let reason = reasons
        .into_iter()
        .flatten()
        .find_map(|detail| detail.get("reason"));
    let named = PATHS.iter().filter_map(|path| at(error, path));
    reason
        .into_iter()
        .chain(named)
        .find_map(|code| code.as_str().filter(|code| !matches!(*code, "" | "error")))
        .map(excerpt)
        .unwrap_or_default()
}

fn numeric_status(error: &Value) -> Option<u16> {
    let code = error.get("code").and_then(Value::as_u64)?;
    u16::try_from(code)
        .ok()
        .filter(|code| (400..600).contains(code))
}

/// The status that goes with a code in a stream (providers.md, 3 and 4).
fn status_of_code(code: &str) -> u16 {
    match code {
        "overloaded_error" => 529,
        "server_is_overloaded" | "provider_overloaded" | "UNAVAILABLE" => 503,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "insufficient_quota"
        | "slow_down"
        | "RESOURCE_EXHAUSTED" => 429,
        "timeout_error" | "DEADLINE_EXCEEDED" => 504,
        "authentication_error" | "invalid_api_key" | "UNAUTHENTICATED" => 401,
        "billing_error" => 402,
        "permission_error" | "PERMISSION_DENIED" => 403,
        "not_found_error" | "model_not_found" | "NOT_FOUND" => 404,
        "request_too_large" => 413,
        "invalid_request_error"
        | "invalid_prompt"
        | "context_length_exceeded"
        | "INVALID_ARGUMENT" => 400,
        _ => 500,
    }
}

/// Anthropic's `error.type` of a status.
pub(crate) const fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// OpenAI's `error.type` of a status.
const fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// Google's canonical status name of an HTTP status.
const fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 429 => "RESOURCE_EXHAUSTED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        502 | 503 | 529 => "UNAVAILABLE",
        408 | 504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}
