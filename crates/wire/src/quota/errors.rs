//! Quotas as error bodies tell them.
//!
//! A refusal names the limit it ran into, often the only place where it is ever told: Gemini has
//! no quota headers at all, and OpenAI's show one limit of several.

use serde_json::Value;

use super::{Counted, Period, QuotaReading, QuotaReadings, add};
use crate::dialect::Dialect;
use crate::limits::{ERROR_BODY_BYTES_MAX, QUOTA_MAX};
use crate::provider::ProviderKind;
use crate::taxonomy::ErrorBody;

/// Who writes what.
enum Form {
    Sentence,
    Violations,
    Nothing,
}

const fn form(provider: ProviderKind) -> Form {
    use ProviderKind as P;
    match provider {
        P::Gemini | P::Generic(Dialect::Gemini) => Form::Violations,
        P::OpenAi
        | P::Azure
        | P::Groq
        | P::Mistral
        | P::Together
        | P::Xai
        | P::Fireworks
        | P::Cerebras
        | P::Generic(Dialect::OpenAi) => Form::Sentence,
        P::Anthropic
        | P::OpenRouter
        | P::DeepSeek
        | P::Bedrock
        | P::Vertex
        | P::Ollama
        | P::Vllm
        | P::LmStudio
        | P::Generic(Dialect::Anthropic) => Form::Nothing,
    }
}

pub(super) fn readings(provider: ProviderKind, status: u16, body: &[u8]) -> QuotaReadings {
    if !matches!(status, 413 | 429) {
        return QuotaReadings::new();
    }
    match form(provider) {
        Form::Sentence => sentence(ErrorBody::read(body).message())
            .into_iter()
            .collect(),
        Form::Violations => violations(body),
        Form::Nothing => QuotaReadings::new(),
    }
}

/// How sentences call a limit (in lower case), the longer names before those they contain.
/// V/S: answers of OpenAI and Groq.
const SENTENCES: &[(&[&str], Counted, Period)] = &[
    (
        &["(itpm)", "input tokens per min"],
        Counted::InputTokens,
        Period::Minute,
    ),
    (
        &["(otpm)", "output tokens per min"],
        Counted::OutputTokens,
        Period::Minute,
    ),
    (
        &["(tpm)", "tokens per min"],
        Counted::Tokens,
        Period::Minute,
    ),
    (&["(tpd)", "tokens per day"], Counted::Tokens, Period::Day),
    (
        &["(rpm)", "requests per min"],
        Counted::Requests,
        Period::Minute,
    ),
    (
        &["(rpd)", "requests per day"],
        Counted::Requests,
        Period::Day,
    ),
    (
        &["(rps)", "requests per sec"],
        Counted::Requests,
        Period::Second,
    ),
];

/// "… on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000."
fn sentence(message: &str) -> Option<QuotaReading> {
    let lower = message.to_ascii_lowercase();
    let &(_, counted, period) = SENTENCES
        .iter()
        .find(|(names, ..)| names.iter().any(|name| lower.contains(name)))?;
    let limit = number_after(&lower, "limit").filter(|&limit| 0 < limit && limit <= QUOTA_MAX)?;
    Some(QuotaReading {
        counted,
        period,
        limit: Some(limit),
        remaining: number_after(&lower, "used").map(|used| limit.saturating_sub(used)),
        resets_in: None,
        grain: 1,
    })
}

/// The first whole number that follows the word, with nothing but a colon or spaces between them:
/// `30000` or `30,000`, but not `1.5` or `30k`.
pub(crate) fn number_after(lower_message: &str, word: &str) -> Option<u64> {
    lower_message.match_indices(word).find_map(|(at, _)| {
        let after = lower_message.get(at + word.len()..)?;
        whole_number(after.trim_start_matches([':', ' ']))
    })
}

fn whole_number(text: &str) -> Option<u64> {
    let mut number: Option<u64> = None;
    let mut rest = text;
    loop {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        if number.is_some() && digits.len() != 3 {
            return None;
        }
        let scale = 10_u64.checked_pow(u32::try_from(digits.len()).ok()?)?;
        number = Some(
            number
                .unwrap_or(0)
                .checked_mul(scale)?
                .checked_add(digits.parse().ok()?)?,
        );
        let mut following = after.chars();
        let (next, one_later) = (following.next(), following.next());
        let goes_on = one_later.is_some_and(|c| c.is_ascii_digit());
        match next {
            Some(',') if goes_on => rest = following_comma(after),
            Some('.') if goes_on => return None,
            Some(c) if c.is_alphanumeric() => return None,
            _ => return number,
        }
    }
}

fn following_comma(text: &str) -> &str {
    text.strip_prefix(',').unwrap_or(text)
}

/// Gemini's `QuotaFailure`: the id tells what is counted and over what time, the value is the
/// limit, and there is nothing left of it. V: G-obs.
fn violations(body: &[u8]) -> QuotaReadings {
    let mut readings = QuotaReadings::new();
    let body = body.get(..ERROR_BODY_BYTES_MAX).unwrap_or(body);
    let Ok(root) = serde_json::from_slice::<Value>(body) else {
        return readings;
    };
    // Some errors come in an array of one.
    let root = root.get(0).unwrap_or(&root);
    let details = root
        .get("error")
        .and_then(|error| error.get("details"))
        .and_then(Value::as_array);
    let violations = details
        .into_iter()
        .flatten()
        .filter_map(|detail| detail.get("violations")?.as_array())
        .flatten();
    for violation in violations {
        if let Some(reading) = violation_reading(violation) {
            add(&mut readings, reading);
        }
    }
    readings
}

fn violation_reading(violation: &Value) -> Option<QuotaReading> {
    let id = violation.get("quotaId")?.as_str()?;
    let counted = if id.contains("InputTokens") {
        Counted::InputTokens
    } else if id.contains("Requests") {
        Counted::Requests
    } else {
        return None;
    };
    let period = if id.contains("PerDay") {
        Period::Day
    } else if id.contains("PerMinute") {
        Period::Minute
    } else {
        return None;
    };
    let limit = violation
        .get("quotaValue")
        .and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        })
        .filter(|&limit: &u64| limit <= QUOTA_MAX);
    Some(QuotaReading {
        counted,
        period,
        limit,
        remaining: Some(0),
        resets_in: None,
        grain: 1,
    })
}
