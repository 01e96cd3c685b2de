//! An error that came as an event of a stream, where there is no status to go by.

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
        (403, &["permission_error", "PERMISSION_DENIED"]),
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
