//! keypool's own errors, in the shape the client's SDK expects.
//!
//! An SDK picks its exception class by the status and its text by the body; a body in a foreign
//! shape turns a clear message into "unknown error". The stable code travels in each dialect's own
//! place for machine-readable detail.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::{Dialect, Endpoint};

/// An error that keypool itself answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnError {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// A stable name of the case, in snake case.
    pub code: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// The error's body, as JSON in the dialect's shape.
#[must_use]
pub fn error_body(dialect: Dialect, error: &OwnError) -> String {
    body_value(dialect, error, None).to_string()
}

/// As [`error_body`], with the request's id where the dialect has a place for it (Anthropic's).
#[must_use]
pub fn error_body_with_request_id(dialect: Dialect, error: &OwnError, request_id: &str) -> String {
    body_value(dialect, error, Some(request_id)).to_string()
}

/// The event that ends a stream which cannot be continued: the dialect's own error event, and
/// nothing that could be taken for a regular end. `sequence_number` is what the Responses API numbers
/// its events with, from 0; the others have no use for it.
#[must_use]
pub fn stream_error_event(endpoint: Endpoint, error: &OwnError, sequence_number: u64) -> Bytes {
    match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => {
            format!(
                "event: error\ndata: {}\n\n",
                error_body(Dialect::Anthropic, error)
            )
        }
        Endpoint::ChatCompletions | Endpoint::Embeddings => {
            format!("data: {}\n\n", error_body(Dialect::OpenAi, error))
        }
        Endpoint::GenerateContent
        | Endpoint::CountContentTokens
        | Endpoint::EmbedContent
        | Endpoint::BatchEmbedContents => {
            format!("data: {}\r\n\r\n", error_body(Dialect::Gemini, error))
        }
        Endpoint::Responses => {
            let event = json!({
                "type": "error",
                "code": error.code,
                "message": error.message,
                "param": null,
                "sequence_number": sequence_number,
            });
            format!("event: error\ndata: {event}\n\n")
        }
    }
    .into()
}

fn body_value(dialect: Dialect, error: &OwnError, request_id: Option<&str>) -> Value {
    match dialect {
        Dialect::Anthropic => {
            let mut body = json!({
                "type": "error",
                "error": {
                    "type": anthropic_type(error.status),
                    "message": error.message,
                    "details": { "error_code": error.code },
                },
            });
            if let (Some(id), Some(members)) = (request_id, body.as_object_mut()) {
                members.insert("request_id".to_owned(), id.into());
            }
            body
        }
        Dialect::OpenAi => json!({
            "error": {
                "message": error.message,
                "type": openai_type(error.status),
                "param": null,
                "code": error.code,
            },
        }),
        Dialect::Gemini => json!({
            "error": {
                "code": error.status,
                "message": error.message,
                "status": gemini_status(error.status),
                "details": [{
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": error.code.to_ascii_uppercase(),
                    "domain": "keypool",
                }],
            },
        }),
    }
}

/// Anthropic's `error.type` of a status.
const fn anthropic_type(status: u16) -> &'static str {
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
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        502 | 503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests;
