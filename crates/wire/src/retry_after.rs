//! How long a provider says to wait, in all the forms providers say it in.
//!
//! A wait read too short earns another 429, one not read at all sidelines a key for the default
//! minute; so every form seen is understood here: whole and fractional seconds, milliseconds, HTTP
//! dates, RFC 3339 instants, Go's `6m0s`, epoch seconds, and sentences.

use std::time::Duration;

use crate::dates::parse_instant;
use crate::headers::Headers;
use crate::limits::RETRY_AFTER_MAX;

/// How long the headers of an answer say to wait; `None` when they do not say.
///
/// `retry-after-ms` comes first, as it is the finer one, then `retry-after`, then the reset of each
/// limit of which nothing remains (the latest of them). A negative or senseless value is ignored;
/// one beyond [`RETRY_AFTER_MAX`] is cut to it; an instant that has passed means no wait.
#[must_use]
pub fn retry_after(headers: &dyn Headers, now_unix_micros: u64) -> Option<Duration> {
    retry_after_ms(headers)
        .or_else(|| retry_after_header(headers, now_unix_micros))
        .or_else(|| exhausted_reset(headers, now_unix_micros))
        .map(|wait| wait.min(RETRY_AFTER_MAX))
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

/// The latest reset among the limits of which nothing remains.
fn exhausted_reset(headers: &dyn Headers, now_unix_micros: u64) -> Option<Duration> {
    ANTHROPIC_DIMENSIONS
        .iter()
        .chain(&OPENAI_DIMENSIONS)
        .filter(|(remaining, _)| {
            headers
                .get(remaining)
                .is_some_and(|left| left.trim() == "0")
        })
        .filter_map(|(_, reset)| reset_value(headers.get(reset)?.trim(), now_unix_micros))
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

/// The wait an OpenAI message states: "please try again in 6m0s." (in lower case).
pub(crate) fn stated_in_message(lower_message: &str) -> Option<Duration> {
    const LEAD: &str = "try again in ";
    let at = lower_message.find(LEAD)?;
    let stated = lower_message.get(at + LEAD.len()..)?;
    let end = stated
        .find(|c: char| !c.is_alphanumeric() && c != '.')
        .unwrap_or(stated.len());
    let word = stated.get(..end)?.trim_end_matches('.');
    if let Ok(number) = word.parse::<f64>() {
        let unit = stated.get(end..)?.trim_start();
        let factor = if unit.starts_with("minute") {
            60.0
        } else {
            1.0
        };
        return seconds(number * factor);
    }
    go_duration(word)
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
