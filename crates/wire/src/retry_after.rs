//! How long a provider says to wait, in all the forms providers say it in.
//!
//! A wait read too short earns another 429, one not read at all sidelines a key for the default
//! minute; so every form seen is understood here: whole and fractional seconds, milliseconds, HTTP
//! dates, RFC 3339 instants, Go's `6m0s`, epoch seconds, and sentences.
//!
//! Two kinds must not be mixed up. A wait is the time until a request may pass; a reset is the time
//! until the whole limit is there again, which is far later where a limit refills continuously. So
//! a reset counts only if no wait is stated.

use std::time::Duration;

use crate::dates::{next_midnight, next_monday, next_month, now_of_provider, parse_instant};
use crate::headers::Headers;
use crate::limits::RETRY_AFTER_MAX;

/// The wait that the headers of an answer ask for; `None` when they do not.
///
/// `retry-after-ms` comes first, as it is the finer one, then `retry-after`. A negative or
/// senseless value is ignored; an instant that has passed means no wait. Instants are held against the
/// answer's own `date` where that is far from `now_unix_micros`.
pub(crate) fn retry_after(headers: &dyn Headers, now_unix_micros: u64) -> Option<Duration> {
    let now = now_of_provider(headers, now_unix_micros);
    retry_after_ms(headers).or_else(|| retry_after_header(headers, now))
}

fn retry_after_ms(headers: &dyn Headers) -> Option<Duration> {
    let milliseconds: f64 = headers.get("retry-after-ms")?.trim().parse().ok()?;
    seconds(milliseconds / 1000.0)
}

fn retry_after_header(headers: &dyn Headers, now_unix_micros: u64) -> Option<Duration> {
    let value = headers.get("retry-after")?.trim();
    match value.parse::<f64>() {
        Ok(number) => seconds(number),
        Err(_) => until_instant(value, now_unix_micros).or_else(|| go_duration(value)),
    }
}

/// What remains of a limit, and when it is full again: OpenAI's headers and those like them.
const OPENAI_DIMENSIONS: [(&str, &str); 5] = [
    (
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    (
        "x-ratelimit-remaining-project-tokens",
        "x-ratelimit-reset-project-tokens",
    ),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-tokenlimit-remaining", "x-tokenlimit-reset"),
];
/// The same pairs at Anthropic.
const ANTHROPIC_DIMENSIONS: [(&str, &str); 4] = [
    (
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    (
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
];

/// The latest reset among the limits of which the headers say that nothing remains.
pub(crate) fn exhausted_reset(headers: &dyn Headers, now_unix_micros: u64) -> Option<Duration> {
    let now = now_of_provider(headers, now_unix_micros);
    ANTHROPIC_DIMENSIONS
        .iter()
        .chain(&OPENAI_DIMENSIONS)
        .filter(|(remaining, _)| {
            headers
                .get(remaining)
                .is_some_and(|left| left.trim() == "0")
        })
        .filter_map(|(_, reset)| reset_value(headers.get(reset)?.trim(), now))
        .max()
}

/// A reset header: an instant, a duration, seconds from now, or seconds or milliseconds since the
/// epoch (told from a wait by their size).
pub(crate) fn reset_value(value: &str, now_unix_micros: u64) -> Option<Duration> {
    const EPOCH_SECONDS_MIN: f64 = 1e9;
    const EPOCH_MILLISECONDS_MIN: f64 = 1e12;
    let Ok(number) = value.parse::<f64>() else {
        return go_duration(value).or_else(|| until_instant(value, now_unix_micros));
    };
    // Beyond what a duration holds it is no instant, and must not pass for one that is over.
    let until = |epoch_seconds: f64| {
        let instant = Duration::try_from_secs_f64(epoch_seconds).ok()?;
        Some(instant.saturating_sub(Duration::from_micros(now_unix_micros)))
    };
    if number >= EPOCH_MILLISECONDS_MIN {
        until(number / 1000.0)
    } else if number >= EPOCH_SECONDS_MIN {
        until(number)
    } else {
        seconds(number)
    }
}

/// When a limit that an error body names starts anew: as in a reset header, or the name of its
/// period, which ends in UTC (OpenRouter's `limit_reset`).
pub(crate) fn stated_reset(value: &str, now_unix_micros: u64) -> Option<Duration> {
    let instant = match value {
        "daily" => next_midnight(now_unix_micros)?,
        "weekly" => next_monday(now_unix_micros)?,
        "monthly" => next_month(now_unix_micros)?,
        other => return reset_value(other, now_unix_micros),
    };
    let micros = instant.saturating_sub(now_unix_micros);
    Some(Duration::from_micros(micros))
}

/// A Go-style duration: a sum of numbers with units, such as `6m0s`, `1h2m3.5s`, `17ms`.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let (term, after) = go_term(rest)?;
        total += term;
        rest = after;
    }
    seconds(total)
}

/// The first term of a Go-style duration, in seconds, and what follows it.
fn go_term(text: &str) -> Option<(f64, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(unit_at);
    let unit_end = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    let unit_seconds = match unit {
        "d" => 86_400.0,
        "h" => 3_600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" | "μs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * unit_seconds, after))
}

/// The wait that a message states (in lower case): "please try again in 6m0s." (OpenAI), "please
/// retry in 22.5s." (Gemini), "please retry after 8 seconds." (Azure).
pub(crate) fn stated_in_message(lower_message: &str) -> Option<Duration> {
    const LEADS: [&str; 3] = ["try again in ", "retry in ", "retry after "];
    LEADS.iter().find_map(|lead| {
        let at = lower_message.find(lead)?;
        duration_in_words(lower_message.get(at + lead.len()..)?)
    })
}

/// `6m0s` or `8 seconds` at the start of a text.
fn duration_in_words(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 6] = [
        ("second", 1.0),
        ("minute", 60.0),
        ("hour", 3_600.0),
        ("day", 86_400.0),
        ("millisecond", 1e-3),
        ("ms", 1e-3),
    ];
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '.')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let word = word.trim_end_matches('.');
    let Ok(number) = word.parse::<f64>() else {
        return go_duration(word);
    };
    let unit = rest.trim_start();
    let factor = UNITS
        .iter()
        .find(|(name, _)| unit.starts_with(name))
        .map_or(1.0, |&(_, factor)| factor);
    seconds(number * factor)
}

fn until_instant(value: &str, now_unix_micros: u64) -> Option<Duration> {
    let instant = parse_instant(value)?;
    Some(Duration::from_micros(
        instant.saturating_sub(now_unix_micros),
    ))
}

/// A number of seconds, if it is one that can be waited.
fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok().or_else(|| {
        // Too large for a duration, yet a wait.
        (number > 0.0).then_some(RETRY_AFTER_MAX)
    })
}

#[cfg(test)]
mod tests;
