//! Applying the table to one answer.

use std::time::Duration;

use super::body::ErrorBody;
use super::rule::{KeyRule, Row, Sign, Until};
use super::table::{ELSE, ROWS};
use super::{Judgement, KeyVerdict};
use crate::dates::{
    next_midnight, next_month, next_pacific_midnight, now_of_provider, stated_instant,
};
use crate::headers::Headers;
use crate::limits::RETRY_AFTER_MAX;
use crate::provider::ProviderKind;
use crate::quota::number_after;
use crate::retry_after::{exhausted_reset, retry_after, stated_in_message, stated_reset};

/// Judges an answer that is not a success.
///
/// `body` may be cut off or anything at all; what is not an error body of any known shape is
/// judged by its status alone. An instant in the judgement lies after `now_unix_micros`, by
/// [`RETRY_AFTER_MAX`] at most.
#[must_use]
pub fn judge(
    provider: ProviderKind,
    status: u16,
    headers: &dyn Headers,
    body: &[u8],
    now_unix_micros: u64,
) -> Judgement {
    judge_body(
        provider,
        status,
        headers,
        &ErrorBody::read(body).with_header(headers.get("x-amzn-errortype")),
        now_unix_micros,
    )
}

pub(crate) fn judge_body(
    provider: ProviderKind,
    status: u16,
    headers: &dyn Headers,
    body: &ErrorBody,
    now_unix_micros: u64,
) -> Judgement {
    let case = Case::new(provider, status, headers, body, now_unix_micros);
    let row = case.row();
    Judgement {
        key: case.key_verdict(row.key),
        request: row.request,
        growth: row.growth,
        code: row.code.to_owned(),
        message: case.message(),
    }
}

/// One answer, prepared for matching.
pub(super) struct Case<'a> {
    provider: ProviderKind,
    status: u16,
    body: &'a ErrorBody,
    lower_message: String,
    wait: Option<Duration>,
    now_unix_micros: u64,
    /// The same instant by the provider's clock.
    now_of_provider: u64,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        provider: ProviderKind,
        status: u16,
        headers: &dyn Headers,
        body: &'a ErrorBody,
        now_unix_micros: u64,
    ) -> Self {
        let now = now_unix_micros;
        let now_of_provider = now_of_provider(headers, now);
        let lower_message = body.message().to_ascii_lowercase();
        let wait = retry_after(headers, now)
            .or_else(|| body.retry_delay())
            .or_else(|| stated_reset(body.reset()?, now_of_provider))
            .or_else(|| stated_in_message(&lower_message))
            .or_else(|| exhausted_reset(headers, now))
            // "Now" from somebody who has just refused says nothing; obeying it is a busy loop.
            .filter(|wait| !wait.is_zero());
        Self {
            provider,
            status,
            body,
            lower_message,
            wait,
            now_unix_micros,
            now_of_provider,
        }
    }

    /// The first row that speaks of it.
    pub(super) fn row(&self) -> &'static Row {
        ROWS.iter().find(|row| self.matches(row)).unwrap_or(&ELSE)
    }

    fn matches(&self, row: &Row) -> bool {
        row.who.covers(self.provider) && row.status.covers(self.status) && self.shows(row.sign)
    }

    fn shows(&self, sign: Sign) -> bool {
        match sign {
            Sign::None => true,
            Sign::Code(codes) => self
                .body
                .codes()
                .any(|code| codes.iter().any(|known| code.eq_ignore_ascii_case(known))),
            Sign::CodePart(parts) => self
                .body
                .codes()
                .any(|code| parts.iter().any(|part| code.contains(part))),
            Sign::Starts(starts) => starts
                .iter()
                .any(|start| self.lower_message.starts_with(start)),
            Sign::Says(parts) => parts.iter().any(|part| self.lower_message.contains(part)),
            Sign::SaysBoth(first, second) => {
                self.shows(Sign::Says(first)) && self.shows(Sign::Says(second))
            }
            Sign::AsksMoreThanLimit => asks_more_than_limit(&self.lower_message),
            Sign::NoWaitStated => self.wait.is_none(),
            Sign::Unreadable => {
                self.body.excerpt().is_empty() && self.body.codes().next().is_none()
            }
        }
    }

    fn key_verdict(&self, rule: KeyRule) -> KeyVerdict {
        match rule {
            KeyRule::Blameless => KeyVerdict::Blameless,
            KeyRule::Overloaded => KeyVerdict::Overloaded,
            KeyRule::Fault => KeyVerdict::Fault,
            KeyRule::Suspect => KeyVerdict::Suspect,
            KeyRule::NotServed => KeyVerdict::NotServed,
            KeyRule::Invalid(scope) => KeyVerdict::Invalid { scope },
            KeyRule::ModelDenied => KeyVerdict::ModelDenied,
            KeyRule::RateLimited(scope, until) => KeyVerdict::RateLimited {
                until_unix_micros: self.until(until),
                scope,
            },
            KeyRule::OutOfCredit(scope, until) => KeyVerdict::OutOfCredit {
                until_unix_micros: self.until(until),
                scope,
            },
        }
    }

    fn until(&self, until: Until) -> Option<u64> {
        let theirs = self.now_of_provider;
        let told = || self.after(self.wait?);
        let instant = match until {
            Until::Unknown => None,
            Until::Told => told(),
            Until::ToldElseSecond => told().or_else(|| self.after(Duration::from_secs(1))),
            Until::ToldElseMidnight => told().or_else(|| self.ours(next_midnight(theirs)?)),
            Until::NextMonth => self.ours(next_month(theirs)?),
            Until::StatedElseNextMonth => {
                let stated = stated_instant(self.body.message()).filter(|&stated| stated > theirs);
                self.ours(stated.or_else(|| next_month(theirs))?)
            }
            Until::PacificMidnight => self.ours(next_pacific_midnight(theirs)?),
        };
        Some(instant?.min(self.after(RETRY_AFTER_MAX)?))
    }

    /// An instant of the provider's clock by ours.
    fn ours(&self, instant: u64) -> Option<u64> {
        let wait = instant.checked_sub(self.now_of_provider)?;
        self.now_unix_micros.checked_add(wait)
    }

    fn after(&self, wait: Duration) -> Option<u64> {
        let micros = u64::try_from(wait.as_micros()).ok()?;
        self.now_unix_micros.checked_add(micros)
    }

    fn message(&self) -> String {
        if self.body.excerpt().is_empty() {
            format!("HTTP {} without a readable error message", self.status)
        } else {
            self.body.excerpt().to_owned()
        }
    }
}

/// "Limit 30000, Used 0, Requested 40000": whether the request alone is larger than the limit, so
/// that no wait will ever help on this key.
fn asks_more_than_limit(lower_message: &str) -> bool {
    matches!(
        (
            number_after(lower_message, "limit"),
            number_after(lower_message, "requested")
        ),
        (Some(limit), Some(requested)) if requested > limit
    )
}
