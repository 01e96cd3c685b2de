//! Errors as the providers send them: status, type, code and words.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use super::quota_headers::Header;
use super::thinking::ThinkingSignature;
use super::{Dialect, json};

/// An error answer, before it is given a request id and quota headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// The HTTP status.
    pub status: u16,
    /// `error.type`.
    pub kind: Cow<'static, str>,
    /// OpenAI's `error.code`; Anthropic's `error.details.error_code`; Gemini's `quotaId` or `reason` in its
    /// details.
    pub code: Option<Box<str>>,
    /// OpenAI's `error.param`.
    pub param: Option<&'static str>,
    /// `error.message`.
    pub message: String,
    /// The limit that Gemini tells beside the id of a quota.
    pub quota: Option<NonZeroU32>,
    /// The `retry-after` header, as it is sent; for Gemini, the seconds in its body.
    pub retry_after: Option<Box<str>>,
    /// The `retry-after-ms` header, as it is sent.
    pub retry_after_ms: Option<u64>,
    /// Whether the answer shows the state of the quota.
    pub quota_headers: bool,
}

impl ProviderError {
    pub(crate) fn new(
        status: u16,
        kind: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind: kind.into(),
            code: None,
            param: None,
            message: message.into(),
            quota: None,
            retry_after: None,
            retry_after_ms: None,
            quota_headers: true,
        }
    }

    fn code(mut self, code: impl Into<Box<str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// The wait that the answer names: `retry-after-ms`, else `retry-after` where it is a number of
    /// seconds; `None` when it names none, or one in another notation that a script asked for.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        if let Some(millis) = self.retry_after_ms {
            return Some(Duration::from_millis(millis));
        }
        let seconds: f64 = self.retry_after.as_deref()?.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The headers that name the wait. Gemini has none.
    #[must_use]
    pub fn headers(&self, dialect: Dialect) -> Vec<Header> {
        if dialect == Dialect::Gemini {
            return Vec::new();
        }
        let seconds = self.retry_after.as_deref();
        let seconds = seconds.map(|wait| ("retry-after", wait.to_owned()));
        let millis = self.retry_after_ms;
        let millis = millis.map(|wait| ("retry-after-ms", wait.to_string()));
        seconds.into_iter().chain(millis).collect()
    }

    /// The body of an error answer, and of Anthropic's `error` event. `request_id` stands in
    /// Anthropic's only; see [`crate::model::Verdict::request_id`].
    #[must_use]
    pub fn body(&self, dialect: Dialect, request_id: &str) -> String {
        let kind = json(&self.kind);
        let message = json(&self.message);
        match dialect {
            Dialect::Anthropic => {
                let details = self.code.as_deref().map_or_else(String::new, |code| {
                    format!(r#","details":{{"error_code":{}}}"#, json(code))
                });
                format!(
                    r#"{{"type":"error","error":{{"type":{kind},"message":{message}{details}}},"request_id":{}}}"#,
                    json(request_id)
                )
            }
            Dialect::OpenAi => {
                let or_null = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), json);
                format!(
                    r#"{{"error":{{"message":{message},"type":{kind},"param":{},"code":{}}}}}"#,
                    or_null(self.param),
                    or_null(self.code.as_deref())
                )
            }
            Dialect::Gemini => {
                let details = self.google_details();
                let details = if details.is_empty() {
                    String::new()
                } else {
                    format!(r#","details":[{}]"#, details.join(","))
                };
                format!(
                    r#"{{"error":{{"code":{},"message":{message},"status":{kind}{details}}}}}"#,
                    self.status
                )
            }
        }
    }

    /// What Google adds: which quota is used up or why the request is refused, and when to come back.
    fn google_details(&self) -> Vec<String> {
        let type_of = |name| format!(r#""@type":"type.googleapis.com/google.rpc.{name}""#);
        let code = self.code.as_deref().map(|code| {
            if !code.contains("Per") {
                let (kind, reason) = (type_of("ErrorInfo"), json(code));
                return format!(r#"{{{kind},"reason":{reason},"domain":"googleapis.com"}}"#);
            }
            let value = self
                .quota
                .map_or_else(String::new, |quota| format!(r#","quotaValue":"{quota}""#));
            let (kind, id) = (type_of("QuotaFailure"), json(code));
            format!(r#"{{{kind},"violations":[{{"quotaId":{id}{value}}}]}}"#)
        });
        let delay = self.retry_after.as_deref().map(|seconds| {
            let (kind, delay) = (type_of("RetryInfo"), json(&format!("{seconds}s")));
            format!(r#"{{{kind},"retryDelay":{delay}}}"#)
        });
        code.into_iter().chain(delay).collect()
    }
}

/// The `error.type` that goes with a status when nothing more is known.
pub(crate) fn kind_of(dialect: Dialect, status: u16) -> &'static str {
    match (dialect, status) {
        (Dialect::Anthropic, 401) => "authentication_error",
        (Dialect::Anthropic, 402) => "billing_error",
        (Dialect::Anthropic, 403) => "permission_error",
        (Dialect::Anthropic, 404) => "not_found_error",
        (Dialect::Anthropic, 409) => "conflict_error",
        (Dialect::Anthropic, 413) => "request_too_large",
        (Dialect::Anthropic, 429) => "rate_limit_error",
        (Dialect::Anthropic, 504) => "timeout_error",
        (Dialect::Anthropic, 529) => "overloaded_error",
        (Dialect::Anthropic, 500..) => "api_error",
        (Dialect::Gemini, 401) => "UNAUTHENTICATED",
        (Dialect::Gemini, 403) => "PERMISSION_DENIED",
        (Dialect::Gemini, 404) => "NOT_FOUND",
        (Dialect::Gemini, 409) => "ABORTED",
        (Dialect::Gemini, 402 | 429) => "RESOURCE_EXHAUSTED",
        (Dialect::Gemini, 503 | 529) => "UNAVAILABLE",
        (Dialect::Gemini, 504) => "DEADLINE_EXCEEDED",
        (Dialect::Gemini, 500..) => "INTERNAL",
        (Dialect::Gemini, _) => "INVALID_ARGUMENT",
        (Dialect::OpenAi, 429) => "requests",
        (Dialect::OpenAi, 500..) => "server_error",
        _ => "invalid_request_error",
    }
}

/// The credential is missing.
pub(crate) fn no_credential(dialect: Dialect) -> ProviderError {
    let message = match dialect {
        Dialect::Anthropic => "x-api-key header is required",
        Dialect::OpenAi => {
            "You didn't provide an API key. You need to provide your API key in an Authorization \
             header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        }
        Dialect::Gemini => {
            let message = "Method doesn't allow unregistered callers (callers without established \
                           identity). Please use API Key or other form of API consumer identity to call \
                           this API.";
            return gemini(403, message);
        }
    };
    ProviderError::new(401, kind_of(dialect, 401), message)
}

/// An error of Gemini's whose name follows from its status.
fn gemini(status: u16, message: impl Into<String>) -> ProviderError {
    ProviderError::new(status, kind_of(Dialect::Gemini, status), message)
}

/// Both kinds of credential came at once.
pub(crate) fn two_credentials() -> ProviderError {
    let message = "only one of x-api-key and authorization may be sent";
    ProviderError::new(401, kind_of(Dialect::Anthropic, 401), message)
}

/// The credential is unknown, or was revoked. OpenAI quotes a part of it, as it really does.
pub(crate) fn invalid_key(dialect: Dialect, secret: &str, bearer: bool) -> ProviderError {
    let mut error = match dialect {
        Dialect::Anthropic => {
            let message = if bearer {
                "Invalid bearer token"
            } else {
                "invalid x-api-key"
            };
            ProviderError::new(401, "authentication_error", message)
        }
        Dialect::OpenAi => {
            let message = format!(
                "Incorrect API key provided: {}. You can find your API key at \
                 https://platform.openai.com/account/api-keys.",
                quoted_key(secret)
            );
            ProviderError::new(401, "invalid_request_error", message).code("invalid_api_key")
        }
        Dialect::Gemini => {
            gemini(400, "API key not valid. Please pass a valid API key.").code("API_KEY_INVALID")
        }
    };
    error.quota_headers = false;
    error
}

/// First and last letters with stars between.
fn quoted_key(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    if letters.len() < 16 {
        return "*".repeat(letters.len());
    }
    let head: String = letters.iter().take(8).collect();
    let tail: String = letters.iter().skip(letters.len() - 4).collect();
    format!("{head}{}{tail}", "*".repeat(letters.len() - 12))
}

/// `anthropic-version` is missing.
pub(crate) fn no_version() -> ProviderError {
    ProviderError::new(
        400,
        "invalid_request_error",
        "anthropic-version: header is required",
    )
}

/// The key may not do this.
pub(crate) fn forbidden(dialect: Dialect, model: &str) -> ProviderError {
    match dialect {
        Dialect::Anthropic => {
            let message = "Your API key does not have permission to use the specified resource.";
            ProviderError::new(403, "permission_error", message)
        }
        Dialect::OpenAi => {
            let message = format!("Project does not have access to model `{model}`");
            ProviderError::new(403, "invalid_request_error", message).code("model_not_found")
        }
        Dialect::Gemini => gemini(403, "You do not have permission to access the model."),
    }
}

/// The body is not JSON, or a field has the wrong type.
pub(crate) fn bad_json(dialect: Dialect, error: &serde_json::Error) -> ProviderError {
    let message = match dialect {
        Dialect::Anthropic => format!("The request body is not valid JSON: {error}"),
        Dialect::OpenAi => {
            format!("We could not parse the JSON body of your request: {error}")
        }
        Dialect::Gemini => {
            return gemini(400, format!("Invalid JSON payload received. {error}"));
        }
    };
    ProviderError::new(400, "invalid_request_error", message)
}

/// A required field is missing.
pub(crate) fn missing_field(dialect: Dialect, field: &'static str) -> ProviderError {
    let error = |message: String| ProviderError::new(400, "invalid_request_error", message);
    match (dialect, field) {
        (Dialect::Anthropic, _) => error(format!("{field}: Field required")),
        (Dialect::OpenAi, "model") => error("you must provide a model parameter".to_owned()),
        (Dialect::OpenAi, _) => error(format!("Missing required parameter: '{field}'."))
            .param(field)
            .code("missing_required_parameter"),
        (Dialect::Gemini, _) => gemini(400, format!("* {field}: {field} is not specified\n")),
    }
}

/// A request of Gemini's batch that names another model than the path.
pub(crate) fn other_model(named: &str) -> ProviderError {
    gemini(
        400,
        format!("* BatchEmbedContentsRequest.requests[0].model: must be {named}\n"),
    )
}

/// A conversation without messages.
pub(crate) fn empty_messages(dialect: Dialect) -> ProviderError {
    match dialect {
        Dialect::Anthropic => {
            let message = "messages: at least one message is required";
            ProviderError::new(400, "invalid_request_error", message)
        }
        Dialect::OpenAi => {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length \
                           1, but got an empty array instead.";
            ProviderError::new(400, "invalid_request_error", message)
                .param("messages")
                .code("empty_array")
        }
        Dialect::Gemini => missing_field(dialect, "contents"),
    }
}

/// `max_tokens` below one.
pub(crate) fn max_tokens_too_small(dialect: Dialect) -> ProviderError {
    match dialect {
        Dialect::Anthropic => {
            let message = "max_tokens: must be greater than or equal to 1";
            ProviderError::new(400, "invalid_request_error", message)
        }
        Dialect::OpenAi => {
            let message =
                "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1.";
            ProviderError::new(400, "invalid_request_error", message)
                .param("max_tokens")
                .code("integer_below_min_value")
        }
        Dialect::Gemini => gemini(400, "max_output_tokens must be positive."),
    }
}

/// The model is not offered to this organisation.
pub(crate) fn unknown_model(dialect: Dialect, model: &str) -> ProviderError {
    match dialect {
        Dialect::Anthropic => ProviderError::new(404, "not_found_error", format!("model: {model}")),
        Dialect::OpenAi => {
            let message =
                format!("The model `{model}` does not exist or you do not have access to it.");
            ProviderError::new(404, "invalid_request_error", message).code("model_not_found")
        }
        Dialect::Gemini => {
            let message = format!(
                "models/{model} is not found for API version v1beta, or is not supported for \
                 generateContent. Call ListModels to see the list of available models and their supported \
                 methods."
            );
            gemini(404, message)
        }
    }
}

/// The response to go on from is not one of this organisation's.
pub(crate) fn unknown_response(id: &str) -> ProviderError {
    let message = format!("Previous response with id '{id}' not found.");
    ProviderError::new(404, "invalid_request_error", message)
        .param("previous_response_id")
        .code("previous_response_not_found")
}

/// A thinking block that another organisation signed, or nobody.
pub(crate) fn foreign_thinking(at: &ThinkingSignature) -> ProviderError {
    let (message, block) = (at.message, at.block);
    let message =
        format!("messages.{message}.content.{block}: Invalid `signature` in `thinking` block");
    ProviderError::new(400, "invalid_request_error", message)
}

/// Use grows faster than the provider allows.
pub(crate) fn growing_too_fast(dialect: Dialect) -> ProviderError {
    match dialect {
        Dialect::Anthropic => {
            let message = "This request would exceed your organization's maximum usage increase \
                           rate. Please scale up your usage more gradually.";
            ProviderError::new(429, "rate_limit_error", message).code("ramp_limit_exceeded")
        }
        Dialect::OpenAi => {
            let message = "Your requests are growing too fast. Slow down, keep a steady rate for a \
                           while, then raise it gradually.";
            ProviderError::new(429, "requests", message).code("slow_down")
        }
        Dialect::Gemini => gemini(429, "Resource has been exhausted (e.g. check quota)."),
    }
}

/// The path is unknown.
pub(crate) fn unknown_path(dialect: Dialect, method: &str, path: &str) -> ProviderError {
    match dialect {
        Dialect::Anthropic => ProviderError::new(404, "not_found_error", "Not Found"),
        Dialect::OpenAi => {
            let message = format!("Invalid URL ({method} {path})");
            ProviderError::new(404, "invalid_request_error", message)
        }
        Dialect::Gemini => gemini(404, "Requested entity was not found."),
    }
}

/// The path does not take this method.
pub(crate) fn wrong_method(dialect: Dialect, method: &str, path: &str) -> ProviderError {
    match dialect {
        Dialect::Anthropic => {
            ProviderError::new(405, "invalid_request_error", "Method Not Allowed")
        }
        Dialect::OpenAi => {
            let message = format!("Not allowed to {method} on {path}.");
            ProviderError::new(405, "invalid_request_error", message).code("method_not_supported")
        }
        Dialect::Gemini => gemini(405, format!("{method} is not allowed at {path}.")),
    }
}

/// The body exceeds the provider's size limit.
pub(crate) fn too_large(dialect: Dialect) -> ProviderError {
    let message = "Request exceeds the maximum size";
    ProviderError::new(413, kind_of(dialect, 413), message)
}

/// The body ended before it was whole.
pub(crate) fn broken_body(dialect: Dialect) -> ProviderError {
    ProviderError::new(
        400,
        kind_of(dialect, 400),
        "The request body could not be read.",
    )
}

/// An error that a script asks for by status and code.
pub(crate) fn scripted(
    dialect: Dialect,
    status: u16,
    code: Option<&str>,
    message: Option<String>,
) -> ProviderError {
    let message = message.unwrap_or_else(|| match (status, code) {
        (_, Some(code)) => format!("The request was refused: {code}."),
        (429, None) => "This request would exceed your rate limit.".to_owned(),
        (529, None) => "Overloaded".to_owned(),
        (500.., None) => "Internal server error".to_owned(),
        (_, None) => "The request was refused.".to_owned(),
    });
    // OpenAI repeats this one code as the type; elsewhere the type follows from the status.
    let kind = match (dialect, code) {
        (Dialect::OpenAi, Some("insufficient_quota")) => "insufficient_quota",
        _ => kind_of(dialect, status),
    };
    let mut error = ProviderError::new(status, kind, message);
    let usual = match (dialect, status) {
        (Dialect::OpenAi, 401) => Some("invalid_api_key"),
        (Dialect::OpenAi, 429) => Some("rate_limit_exceeded"),
        (Dialect::OpenAi, 503 | 529) => Some("server_is_overloaded"),
        _ => None,
    };
    error.code = code.or(usual).map(Into::into);
    error
}

/// The error that a stream carries under this code: Anthropic's `error.type`, OpenAI's `error.code`, Gemini's
/// `error.status`.
pub(crate) fn of_code(dialect: Dialect, code: Option<&str>) -> ProviderError {
    match dialect {
        Dialect::Anthropic => {
            let kind = code.unwrap_or("overloaded_error");
            let status = match kind {
                "overloaded_error" => 529,
                "rate_limit_error" => 429,
                "invalid_request_error" => 400,
                "authentication_error" => 401,
                "permission_error" => 403,
                "timeout_error" => 504,
                _ => 500,
            };
            let message = if status == 529 {
                "Overloaded"
            } else {
                "The stream was broken off."
            };
            ProviderError::new(status, kind.to_owned(), message)
        }
        Dialect::OpenAi => {
            let code = code.unwrap_or("server_is_overloaded");
            let status = match code {
                "server_is_overloaded" | "slow_down" => 503,
                "rate_limit_exceeded" | "insufficient_quota" => 429,
                _ => 500,
            };
            let message = "The server had an error while processing your request.";
            ProviderError::new(status, kind_of(dialect, status), message).code(code)
        }
        Dialect::Gemini => {
            let kind = code.unwrap_or("UNAVAILABLE");
            let (status, message) = match kind {
                "UNAVAILABLE" => (503, "The model is overloaded. Please try again later."),
                "RESOURCE_EXHAUSTED" => (429, "Resource has been exhausted (e.g. check quota)."),
                "INVALID_ARGUMENT" => (400, "Request contains an invalid argument."),
                "PERMISSION_DENIED" => (403, "The caller does not have permission"),
                "DEADLINE_EXCEEDED" => (504, "The request timed out. Please try again."),
                _ => (500, "An internal error has occurred. Please retry."),
            };
            ProviderError::new(status, kind.to_owned(), message)
        }
    }
}
