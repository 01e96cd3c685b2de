//! The 429 of a limit, in the words of each provider, with a wait that is true.

use std::time::Duration;

use super::meters::Blocked;
use crate::dialect::errors::ProviderError;
use crate::dialect::ids::organisation_uuid;
use crate::dialect::quota_headers::go_duration;
use crate::{Dialect, Dimension, SimTime};

/// Who is limited, and what was asked.
pub(crate) struct Context<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) organisation: &'a str,
    pub(crate) model: &'a str,
    pub(crate) scaled: bool,
}

pub(crate) fn limit_reached(now: SimTime, blocked: &Blocked, at: &Context<'_>) -> ProviderError {
    let wait = blocked.ready_at.map(|ready_at| ready_at.since(now));
    match at.dialect {
        Dialect::Anthropic => anthropic(blocked, wait, at),
        Dialect::OpenAi => openai(blocked, wait, at),
    }
}

/// What is counted, as Anthropic puts it.
fn counted(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Requests => "requests per minute",
        Dimension::InputTokens => "input tokens per minute",
        Dimension::OutputTokens => "output tokens per minute",
        Dimension::Tokens => "tokens per minute",
        Dimension::RequestsPerDay => "requests per day",
        Dimension::TokensPerDay => "tokens per day",
    }
}

fn anthropic(blocked: &Blocked, wait: Option<Duration>, at: &Context<'_>) -> ProviderError {
    let message = match blocked.dimension {
        Some(dimension) => format!(
            "This request would exceed your organization's rate limit of {} {} (org: {}, model: {}).",
            blocked.limit,
            counted(dimension),
            organisation_uuid(at.organisation),
            at.model,
        ),
        None => "Number of concurrent connections has exceeded your rate limit.".to_owned(),
    };
    let mut error = ProviderError::new(429, "rate_limit_error", message);
    error.retry_after = wait.map(|wait| seconds(wait, at.scaled).into());
    error
}

/// What is counted, as OpenAI puts it: words, abbreviation, `error.type`.
fn counted_by_openai(dimension: Dimension) -> (&'static str, &'static str) {
    match dimension {
        Dimension::Requests => ("requests per min (RPM)", "requests"),
        Dimension::InputTokens => ("input tokens per min (ITPM)", "tokens"),
        Dimension::OutputTokens => ("output tokens per min (OTPM)", "tokens"),
        Dimension::Tokens => ("tokens per min (TPM)", "tokens"),
        Dimension::RequestsPerDay => ("requests per day (RPD)", "requests"),
        Dimension::TokensPerDay => ("tokens per day (TPD)", "tokens"),
    }
}

fn openai(blocked: &Blocked, wait: Option<Duration>, at: &Context<'_>) -> ProviderError {
    let Context {
        organisation,
        model,
        ..
    } = at;
    let Blocked {
        limit,
        used,
        requested,
        ..
    } = blocked;
    let Some(dimension) = blocked.dimension else {
        let message = format!("Too many concurrent requests for {model}: limit {limit}.");
        return with_code(ProviderError::new(429, "requests", message));
    };
    let (words, kind) = counted_by_openai(dimension);
    let message = match wait {
        Some(wait) => format!(
            "Rate limit reached for {model} in organization {organisation} on {words}: Limit {limit}, \
             Used {used}, Requested {requested}. Please try again in {}.",
            go_duration(wait)
        ),
        None => format!(
            "Request too large for {model} in organization {organisation} on {words}: Limit {limit}, \
             Requested {requested}. The input or output tokens must be reduced in order to run \
             successfully."
        ),
    };
    let mut error = with_code(ProviderError::new(429, kind, message));
    error.retry_after = wait.map(|wait| seconds(wait, at.scaled).into());
    error.retry_after_ms =
        wait.map(|wait| u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX));
    error
}

fn with_code(mut error: ProviderError) -> ProviderError {
    error.code = Some("rate_limit_exceeded".into());
    error
}

/// Whole seconds, rounded up; where the minute is shortened, with milliseconds, since there a second
/// may be the whole window.
fn seconds(wait: Duration, scaled: bool) -> String {
    let millis = wait.as_micros().div_ceil(1000);
    if scaled {
        format!("{}.{:03}", millis / 1000, millis % 1000)
    } else {
        millis.div_ceil(1000).to_string()
    }
}
