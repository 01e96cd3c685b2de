//! The 429 of a limit, in the words of each provider, with a wait that is true.

use std::num::NonZeroU32;
use std::time::Duration;

use super::meters::Blocked;
use crate::dialect::errors::{self, ProviderError};
use crate::dialect::quota_headers::go_duration;
use crate::{Dialect, Dimension, HeaderStyle, SimTime};

/// Who is limited, and what was asked.
pub(crate) struct Context<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) organisation: &'a str,
    /// The organisation as Anthropic names it.
    pub(crate) uuid: &'a str,
    pub(crate) model: &'a str,
    pub(crate) style: HeaderStyle,
    pub(crate) scaled: bool,
}

pub(crate) fn limit_reached(now: SimTime, blocked: &Blocked, at: &Context<'_>) -> ProviderError {
    let wait = blocked.ready_at.map(|ready_at| ready_at.since(now));
    let mut error = match at.dialect {
        Dialect::Anthropic => anthropic(blocked, at),
        Dialect::OpenAi => openai(blocked, wait, at),
        Dialect::Gemini => gemini(blocked, wait, at),
    };
    name_wait(&mut error, wait, at);
    error
}

/// The 429 of the bound on growth, with the wait until one more request fits.
pub(crate) fn ramp_reached(wait: Option<Duration>, at: &Context<'_>) -> ProviderError {
    let mut error = errors::growing_too_fast(at.dialect);
    name_wait(&mut error, wait, at);
    error
}

/// Puts the wait into the headers that this provider has for it.
fn name_wait(error: &mut ProviderError, wait: Option<Duration>, at: &Context<'_>) {
    error.retry_after = wait.map(|wait| seconds(wait, at.scaled).into());
    let has_millis = match at.style {
        HeaderStyle::Dialect | HeaderStyle::None => at.dialect == Dialect::OpenAi,
        HeaderStyle::Azure => true,
        HeaderStyle::Groq | HeaderStyle::Together => false,
    };
    error.retry_after_ms = wait
        .filter(|_| has_millis)
        .map(|wait| u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX));
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

fn anthropic(blocked: &Blocked, at: &Context<'_>) -> ProviderError {
    let message = match blocked.dimension {
        Some(dimension) => format!(
            "This request would exceed your organization's rate limit of {} {} (org: {}, model: {}).",
            blocked.limit,
            counted(dimension),
            at.uuid,
            at.model,
        ),
        None => "Number of concurrent connections has exceeded your rate limit.".to_owned(),
    };
    ProviderError::new(429, "rate_limit_error", message)
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
    with_code(ProviderError::new(429, kind, message))
}

/// The id of a quota, as Google writes it.
const fn quota_id(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Requests => "GenerateRequestsPerMinutePerProjectPerModel",
        Dimension::RequestsPerDay => "GenerateRequestsPerDayPerProjectPerModel",
        Dimension::InputTokens | Dimension::OutputTokens | Dimension::Tokens => {
            "GenerateContentInputTokensPerModelPerMinute"
        }
        Dimension::TokensPerDay => "GenerateContentInputTokensPerModelPerDay",
    }
}

fn gemini(blocked: &Blocked, wait: Option<Duration>, at: &Context<'_>) -> ProviderError {
    let Some(dimension) = blocked.dimension else {
        return errors::growing_too_fast(Dialect::Gemini);
    };
    let (limit, model) = (blocked.limit, at.model);
    let retry = wait.map_or_else(String::new, |wait| {
        format!("\nPlease retry in {}s.", seconds(wait, at.scaled))
    });
    let message = format!(
        "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for \
         metric: generativelanguage.googleapis.com/generate_content_requests, limit: {limit}, model: \
         {model}{retry}"
    );
    let mut error = ProviderError::new(429, "RESOURCE_EXHAUSTED", message);
    error.code = Some(quota_id(dimension).into());
    error.quota = u32::try_from(limit).ok().and_then(NonZeroU32::new);
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
