//! An error that came where there is no status to go by: as an event of a stream, or in the body of a 200.

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::gemini::ACCOUNT_LIMITED;
use crate::limits::ERROR_BODY_BYTES_MAX;
use crate::provider::ProviderKind;
use crate::taxonomy::{ErrorBody, Judgement, judge_body};

/// What a provider said when it gave up in the middle of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamError {
    /// The status the same error would have had as an answer of its own.
    pub status: u16,
    /// The provider's own code or type for it; empty if it gave none.
    pub code: String,
    /// A short excerpt of its message, with anything that looks like a key masked.
    pub message: String,
    body: Box<ErrorBody>,
}

impl StreamError {
    /// Reads an error event's data.
    pub(super) fn read(data: &[u8]) -> Self {
        let body = Box::new(ErrorBody::read(data));
        let code = body.codes().next().unwrap_or_default().to_owned();
        let message = body.excerpt().to_owned();
        Self {
            status: status_of(&body),
            code,
            message,
            body,
        }
    }

    /// What it means for the key and for the request, by the same table as an error answer.
    #[must_use]
    pub fn judge(&self, provider: ProviderKind, now_unix_micros: u64) -> Judgement {
        let no_headers: [(&str, &str); 0] = [];
        judge_body(
            provider,
            self.status,
            &no_headers,
            &self.body,
            now_unix_micros,
        )
    }
}

/// The error that stands bare where an event should: an object with an `error`, or a list of one such. Google
/// writes some so, over several lines and after others that were events (googleapis/js-genai issue 1973,
/// googleapis/python-genai issue 1162).
pub(super) fn bare(lines: &[u8]) -> Option<StreamError> {
    if lines.len() > ERROR_BODY_BYTES_MAX {
        return None;
    }
    let mut body = serde_json::from_slice::<Value>(lines).ok()?;
    if let Value::Array(listed) = body {
        let [one] = <[Value; 1]>::try_from(listed).ok()?;
        body = one;
    }
    let is_error = body
        .get("error")
        .is_some_and(|error| error.is_object() || error.is_string());
    is_error.then(|| StreamError::read(lines))
}

/// The error in a whole (not streamed) answer that came with a success status; `None` for an answer.
///
/// A gateway between us and the model has answered before it knew (`OpenRouter`, in `choices[0].error`
/// or at the top), the answer is an object that can fail (the Responses API's `status: "failed"`), or it says that there
/// is none since the account is limited (Gemini's `finishReason`).
#[must_use]
pub fn error_of_answer(body: &[u8]) -> Option<StreamError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
        #[serde(borrow, default)]
        choices: Option<Vec<Choice<'a>>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    if memmem::find(body, ACCOUNT_LIMITED).is_some()
        && let Ok(answer) = serde_json::from_slice::<Candidates<'_>>(body)
        && answer
            .candidates
            .iter()
            .any(Candidate::is_of_limited_account)
    {
        return Some(StreamError::read(body));
    }
    // Most answers have no such word in them, and are not parsed for it.
    memmem::find(body, b"\"error\"")?;
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    let mut of_choices = answer.choices.into_iter().flatten();
    let error = answer
        .error
        .or_else(|| of_choices.find_map(|choice| choice.error))?;
    Some(StreamError::read(error.get().as_bytes()))
}

/// Gemini's answer, as far as it tells why there is none.
#[derive(Deserialize)]
struct Candidates<'a> {
    #[serde(borrow)]
    candidates: Vec<Candidate<'a>>,
}

#[derive(Deserialize)]
struct Candidate<'a> {
    #[serde(borrow, default, rename = "finishReason")]
    finish_reason: Option<&'a str>,
}

impl Candidate<'_> {
    fn is_of_limited_account(&self) -> bool {
        self.finish_reason.map(str::as_bytes) == Some(ACCOUNT_LIMITED)
    }
}

/// The status that goes with a code. Codes and types are those of providers.md §3 and §4.
fn status_of(body: &ErrorBody) -> u16 {
    const TABLE: &[(u16, &[&str])] = &[
        (529, &["overloaded_error"]),
        (
            503,
            &["server_is_overloaded", "provider_overloaded", "UNAVAILABLE"],
        ),
        (
            429,
            &[
                "rate_limit_error",
                "rate_limit_exceeded",
                "insufficient_quota",
                "credit_balance_exhausted",
                "billing_hard_limit_reached",
                "organization_spend_limit_exceeded",
                "organization_usage_limit_exceeded",
                "project_spend_limit_exceeded",
                "slow_down",
                "RESOURCE_EXHAUSTED",
                "too_many_requests",
            ],
        ),
        (402, &["billing_error"]),
        (
            401,
            &["authentication_error", "invalid_api_key", "UNAUTHENTICATED"],
        ),
        (
            403,
            &[
                "permission_error",
                "PERMISSION_DENIED",
                "PUP_LIMITED_DISABLED",
            ],
        ),
        (404, &["not_found_error", "model_not_found", "NOT_FOUND"]),
        (413, &["request_too_large"]),
        (504, &["timeout_error", "DEADLINE_EXCEEDED"]),
        (
            400,
            &[
                "invalid_request_error",
                "context_length_exceeded",
                "invalid_prompt",
                "content_policy_violation",
                "content_filter",
                "INVALID_ARGUMENT",
            ],
        ),
        // What a failed response says of the pictures that it was sent (O-py, `response_error.py`).
        (
            400,
            &[
                "invalid_image",
                "invalid_image_format",
                "invalid_base64_image",
                "invalid_image_url",
                "image_too_large",
                "image_too_small",
                "image_parse_error",
                "image_content_policy_violation",
                "invalid_image_mode",
                "image_file_too_large",
                "unsupported_image_media_type",
                "empty_image_file",
                "failed_to_download_image",
                "image_file_not_found",
            ],
        ),
        (
            500,
            &["api_error", "server_error", "internal_error", "INTERNAL"],
        ),
    ];
    body.codes()
        .find_map(|code| {
            TABLE
                .iter()
                .find(|(_, known)| known.contains(&code))
                .map(|&(status, _)| status)
        })
        .or_else(|| body.numeric_code())
        .unwrap_or(500)
}
