//! What answers say about quotas: the limits of the account that a key belongs to.
//!
//! A pool that trusts its own count drifts from the provider's: other programs spend from the same
//! quota, limits change, estimates are off. What the provider writes on its answers is the truth,
//! but it is written in a dozen ways, and a figure misread is worse than none: a day taken for a
//! minute sends a thousand times too much. So the names, units and habits stand in one table, what
//! a header leaves open is worked out by one rule, and what cannot be understood is left out.
//!
//! Worked example: Groq says `x-ratelimit-limit-requests: 14400`, `-remaining-requests: 14370`,
//! `-reset-requests: 2m59.56s`. Thirty requests come back in three minutes, so all of them in
//! 86,189 s: the limit is of a day.

mod errors;
mod read;
mod table;

use std::time::Duration;

pub(crate) use errors::number_after;
use smallvec::SmallVec;

use crate::dates::now_of_provider;
use crate::headers::Headers;
use crate::limits::QUOTA_READINGS_MAX;
use crate::provider::ProviderKind;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counted {
    /// Requests, whatever their size.
    Requests,
    /// Tokens of input and output together.
    Tokens,
    /// Tokens of input.
    InputTokens,
    /// Tokens of output.
    OutputTokens,
}

/// Over what time a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// A day; which day is a rule of the provider's ([`quota_rules`](crate::quota_rules)).
    Day,
}

/// What a provider says about one limit. At least one of `limit` and `remaining` is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaReading {
    /// What the limit counts.
    pub counted: Counted,
    /// Over what time.
    pub period: Period,
    /// The limit, in what is counted. Zero only together with a `remaining` of zero.
    pub limit: Option<u64>,
    /// What is left of it, never more than `limit`.
    pub remaining: Option<u64>,
    /// From now until what the provider calls reset: for most of them the instant at which the
    /// limit is whole again, not the next at which a request fits.
    pub resets_in: Option<Duration>,
    /// `remaining` is rounded to the nearest multiple of this; 1 means that it is exact.
    pub grain: u64,
}

/// All that one answer says, at most one reading for each pair of `counted` and `period`.
pub type QuotaReadings = SmallVec<[QuotaReading; 4]>;

/// Reads the quota headers of an answer, of whatever status.
///
/// What is missing, negative, malformed or senseless is left out; of two headers for one limit the
/// tighter counts. `now_unix_micros`, or the answer's own `date` where that is far from it, turns resets
/// given as instants into durations.
#[must_use]
pub fn quota_readings(
    provider: ProviderKind,
    headers: &dyn Headers,
    now_unix_micros: u64,
) -> QuotaReadings {
    let now_unix_micros = now_of_provider(headers, now_unix_micros);
    let mut readings = QuotaReadings::new();
    for row in table::rows(provider) {
        if let Some(reading) = read::reading(row, headers, now_unix_micros) {
            add(&mut readings, reading);
        }
    }
    read::drop_redundant_tokens(provider, &mut readings);
    readings
}

/// Reads what the body of a refusal (429, or 413 for a request beyond the limit) teaches about the
/// limit that it ran into; empty for any other status and for bodies that name no figures.
///
/// Sources: `OpenAI` and those who speak like it write a sentence ("Limit 30000, Used 29000"),
/// Gemini a list of violations (providers.md §2.2, §2.3). `OpenRouter` hands on other people's
/// sentences, so its are not read.
#[must_use]
pub fn quota_readings_of_error(provider: ProviderKind, status: u16, body: &[u8]) -> QuotaReadings {
    errors::readings(provider, status, body)
}

/// Adds a reading, or keeps the tighter of two about the same limit.
fn add(readings: &mut QuotaReadings, reading: QuotaReading) {
    let same = readings
        .iter_mut()
        .find(|known| (known.counted, known.period) == (reading.counted, reading.period));
    if let Some(known) = same {
        if is_tighter(&reading, known) {
            *known = reading;
        }
    } else if readings.len() < QUOTA_READINGS_MAX {
        readings.push(reading);
    }
}

/// Whether less of `one` is left, as a share of its limit; between equal shares the smaller limit
/// is the tighter. Without figures to compare, the one known first stays.
fn is_tighter(one: &QuotaReading, other: &QuotaReading) -> bool {
    let (Some(one_left), Some(one_limit), Some(other_left), Some(other_limit)) =
        (one.remaining, one.limit, other.remaining, other.limit)
    else {
        return false;
    };
    let one_share = u128::from(one_left) * u128::from(other_limit);
    let other_share = u128::from(other_left) * u128::from(one_limit);
    (one_share, one_limit) < (other_share, other_limit)
}

#[cfg(test)]
mod tests;
