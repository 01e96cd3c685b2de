//! From headers to readings: figures, resets, and the period where the header leaves it open.

use std::time::Duration;

use super::table::{Oddity, Row, Window};
use super::{Counted, Period, QuotaReading, QuotaReadings};
use crate::headers::Headers;
use crate::limits::{QUOTA_MAX, RETRY_AFTER_MAX};
use crate::provider::ProviderKind;
use crate::retry_after::reset_value;

const DAY: Duration = Duration::from_hours(24);

/// A limit per minute is whole again within a minute; the rest is for rounding and slow answers.
const MINUTE_RESET_MAX: Duration = Duration::from_secs(75);

/// How far a day worked out from a rounded reset may be off.
const DAY_TOLERANCE_PERCENT: u128 = 3;

/// Smaller numbers are durations, not milliseconds since the epoch.
const EPOCH_MILLISECONDS_MIN: u64 = 1_000_000_000_000;

/// What the headers of one row say.
pub(super) fn reading(
    row: &Row,
    headers: &dyn Headers,
    now_unix_micros: u64,
) -> Option<QuotaReading> {
    // A negative or senseless figure means that the one beside it is not to be believed either.
    let limit = figure(headers.get(row.limit)).ok()?;
    let remaining = figure(headers.get(row.remaining)).ok()?;
    let reset = headers.get(row.reset).map(str::trim);
    if row.oddity == Oddity::EpochResetOnly && !reset.is_some_and(is_epoch_milliseconds) {
        return None;
    }
    let is_below_one = headers
        .get(row.limit)
        .is_some_and(|limit| limit.contains('.'));
    let is_unknown = row.oddity == Oddity::ZeroIsUnknown || is_below_one;
    if limit == Some(0) && (remaining != Some(0) || is_unknown) {
        return None;
    }
    if limit.is_none() && remaining.is_none() {
        return None;
    }
    let remaining = remaining.map(|remaining| remaining.min(limit.unwrap_or(u64::MAX)));
    let resets_in = reset
        .and_then(|reset| reset_value(reset, now_unix_micros))
        .filter(|&wait| wait < RETRY_AFTER_MAX);
    Some(QuotaReading {
        counted: row.counted,
        period: period(row.window, limit, remaining, resets_in),
        limit,
        remaining,
        resets_in,
        grain: row.grain,
    })
}

fn is_epoch_milliseconds(reset: &str) -> bool {
    reset
        .parse::<u64>()
        .is_ok_and(|reset| reset >= EPOCH_MILLISECONDS_MIN)
}

/// What is written where a figure should be, and is none.
struct Senseless;

/// A header's figure, if the header is there.
fn figure(value: Option<&str>) -> Result<Option<u64>, Senseless> {
    let Some(value) = value.map(str::trim) else {
        return Ok(None);
    };
    // What remains may be a fraction where limits are low.
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    match whole.parse::<u64>() {
        Ok(whole) if whole <= QUOTA_MAX && fraction.bytes().all(|digit| digit.is_ascii_digit()) => {
            Ok(Some(whole))
        }
        _ => Err(Senseless),
    }
}

fn period(
    window: Window,
    limit: Option<u64>,
    remaining: Option<u64>,
    resets_in: Option<Duration>,
) -> Period {
    let (usual, is_refilling) = match window {
        Window::Named(period) => return period,
        Window::Refilling(period) => (period, true),
        Window::Usual(period) => (period, false),
    };
    let is_day = resets_in.is_some_and(|reset| {
        reset > MINUTE_RESET_MAX || (is_refilling && refills_in_a_day(limit, remaining, reset))
    });
    if is_day { Period::Day } else { usual }
}

/// Whether a limit of which a known part comes back within `reset` comes back whole in a day.
fn refills_in_a_day(limit: Option<u64>, remaining: Option<u64>, reset: Duration) -> bool {
    let (Some(limit), Some(remaining)) = (limit, remaining) else {
        return false;
    };
    if remaining == 0 || remaining >= limit {
        return false;
    }
    let whole = reset.as_micros() * u128::from(limit) / u128::from(limit - remaining);
    whole.abs_diff(DAY.as_micros()) * 100 <= DAY.as_micros() * DAY_TOLERANCE_PERCENT
}

/// Drops Anthropic's figure for all tokens where it only repeats others.
///
/// It shows the most restrictive limit in force, or else the sum of those on input and output, and
/// does not say which. A meter for both together, fed with the limit of one of them, would refuse
/// what the provider allows. So it counts only where it is the only figure on tokens, or where it
/// is a limit of its own, lower than each of the others.
pub(super) fn drop_redundant_tokens(provider: ProviderKind, readings: &mut QuotaReadings) {
    if provider.dialect() != crate::dialect::Dialect::Anthropic {
        return;
    }
    let limits_of_parts = readings
        .iter()
        .filter(|reading| {
            matches!(
                reading.counted,
                Counted::InputTokens | Counted::OutputTokens
            )
        })
        .map(|reading| reading.limit.unwrap_or(0))
        .min();
    let Some(smallest) = limits_of_parts else {
        return;
    };
    readings.retain(|reading| {
        reading.counted != Counted::Tokens || reading.limit.is_some_and(|limit| limit < smallest)
    });
}
