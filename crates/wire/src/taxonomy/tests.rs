//! What each answer means, a case per row of the notes on providers (§4), in the bodies that the
//! providers send. The cases stand in one file per provider; here is what holds for all.

mod anthropic;
mod clouds;
mod gemini;
mod openai;
mod vendors;

use proptest::prelude::*;

use super::judge::Case;
use super::table::ROWS;
use super::*;
use crate::headers::Headers;
use crate::provider::ProviderKind;
use KeyVerdict::{Blameless, Fault, ModelDenied, NotServed, Overloaded, Suspect};
use ProviderKind as P;
use RequestVerdict::{Client, NextKey, NextProvider, SameKeyOnce};
use Scope::{Group, GroupModel, Key, KeyModel};

/// 2026-11-22T10:00:00Z, a Sunday.
const NOW: u64 = 1_795_341_600_000_000;
/// 2026-12-01T00:00:00Z
const DECEMBER: Instant = At(1_796_083_200_000_000);
/// 2026-12-05T00:00:00Z
const FIFTH_OF_DECEMBER: Instant = At(1_796_428_800_000_000);
/// The midnight after `NOW` in UTC, which is a Monday's.
const MIDNIGHT: Instant = Seconds(14 * 3_600);
/// The midnight after `NOW` in US Pacific time: it is 2 o'clock there.
const PACIFIC_MIDNIGHT: Instant = Seconds(22 * 3_600);

/// When a verdict ends.
#[derive(Clone, Copy)]
enum Instant {
    Unknown,
    Seconds(u64),
    Milliseconds(u64),
    At(u64),
}

use Instant::{At, Milliseconds, Seconds, Unknown};

impl Instant {
    const fn unix_micros(self) -> Option<u64> {
        match self {
            Unknown => None,
            Seconds(seconds) => Some(NOW + seconds * 1_000_000),
            Milliseconds(milliseconds) => Some(NOW + milliseconds * 1_000),
            At(unix_micros) => Some(unix_micros),
        }
    }
}

const fn limited(scope: Scope, until: Instant) -> KeyVerdict {
    KeyVerdict::RateLimited {
        until_unix_micros: until.unix_micros(),
        scope,
    }
}

const fn broke(scope: Scope, until: Instant) -> KeyVerdict {
    KeyVerdict::OutOfCredit {
        until_unix_micros: until.unix_micros(),
        scope,
    }
}

const fn dead(scope: Scope) -> KeyVerdict {
    KeyVerdict::Invalid { scope }
}

/// An answer, and what it means.
struct Expected {
    provider: ProviderKind,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    key: KeyVerdict,
    request: RequestVerdict,
    code: &'static str,
    growth: bool,
}

const fn case(
    provider: ProviderKind,
    status: u16,
    body: &'static str,
    key: KeyVerdict,
    request: RequestVerdict,
    code: &'static str,
) -> Expected {
    Expected {
        provider,
        status,
        headers: &[],
        body,
        key,
        request,
        code,
        growth: false,
    }
}

impl Expected {
    const fn with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    const fn on_growth(mut self) -> Self {
        self.growth = true;
        self
    }
}

fn all_cases() -> impl Iterator<Item = &'static Expected> {
    [
        anthropic::CASES,
        openai::CASES,
        gemini::CASES,
        vendors::CASES,
        clouds::CASES,
    ]
    .into_iter()
    .flatten()
}

fn see(provider: ProviderKind, status: u16, headers: &[(&str, &str)], body: &str) -> Judgement {
    let headers = &headers as &dyn Headers;
    judge(provider, status, headers, body.as_bytes(), NOW)
}

// acceptance 51
#[test]
fn each_answer_means_what_its_body_says_for_the_key_and_for_the_request() {
    for case in all_cases() {
        let judged = see(case.provider, case.status, case.headers, case.body);
        let seen = (
            judged.key,
            judged.request,
            judged.code.as_str(),
            judged.growth,
        );
        assert_eq!(
            seen,
            (case.key, case.request, case.code, case.growth),
            "{:?} {} {}",
            case.provider,
            case.status,
            case.body
        );
    }
}

#[test]
fn every_row_of_the_table_speaks_of_some_case() {
    let mut is_used = vec![false; ROWS.len()];
    for case in all_cases() {
        let named = case
            .headers
            .iter()
            .find(|(name, _)| *name == "x-amzn-errortype");
        let body =
            ErrorBody::read(case.body.as_bytes()).with_header(named.map(|(_, value)| *value));
        let row = Case::new(case.provider, case.status, &case.headers, &body, NOW).row();
        if let Some(index) = ROWS.iter().position(|known| std::ptr::eq(known, row)) {
            is_used[index] = true;
        }
    }
    for (row, is_used) in ROWS.iter().zip(is_used) {
        assert!(is_used, "no case for a row of {}", row.code);
    }
}

#[test]
fn codes_are_names_in_snake_case() {
    for row in ROWS {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(row.code.chars().all(plain), "{}", row.code);
    }
}

#[test]
fn an_instant_that_is_over_or_far_off_is_not_believed() {
    let resets = |at: &str| {
        let body = format!(
            r#"{{"error":{{"code":403,"message":"x","metadata":{{"limit_source":"openrouter_key_limit","resets_at":"{at}"}}}}}}"#
        );
        see(P::OpenRouter, 403, &[], &body).key
    };
    assert_eq!(resets("2026-11-22T09:59:59Z"), broke(Key, Unknown));
    let month = Seconds(31 * 24 * 3_600);
    assert_eq!(resets("2036-11-22T10:00:00Z"), broke(Key, month));

    let spend_limit = |until: &str| {
        let body = format!(
            r#"{{"error":{{"message":"You have reached your specified API usage limits. You will regain access on {until}."}}}}"#
        );
        see(P::Anthropic, 400, &[], &body).key
    };
    assert_eq!(spend_limit("2026-11-01"), broke(Group, DECEMBER));
    assert_eq!(spend_limit("2099-12-31"), broke(Group, month));
}

#[test]
fn what_is_no_error_body_is_judged_by_its_status() {
    let html = "<html><body>502 Bad Gateway sk-ant-api03-aaaaaaaaaaaaaaaa</body></html>";
    for body in [
        "",
        html,
        "null",
        "[]",
        "\"x\"",
        "{\"error\":null}",
        "{\"error\":{\"message\":7}}",
    ] {
        for (status, key, request) in [
            (400, Blameless, Client),
            (401, dead(Key), NextKey),
            (403, Fault, NextKey),
            (404, Suspect, NextKey),
            (418, Blameless, Client),
            (429, limited(Key, Unknown), NextKey),
            (502, Fault, NextKey),
            (520, Fault, NextKey),
            (529, Overloaded, NextKey),
        ] {
            for provider in [P::OpenAi, P::Anthropic, P::Gemini, P::OpenRouter] {
                // A bare string is a message, and so says something.
                if (status, body) == (403, "\"x\"") {
                    continue;
                }
                let judged = see(provider, status, &[], body);
                assert_eq!(
                    (judged.key, judged.request),
                    (key, request),
                    "{provider:?} {status} {body}"
                );
                assert!(!judged.message.contains("sk-ant"), "{}", judged.message);
                assert!(!judged.message.is_empty());
            }
        }
    }
}

#[test]
fn a_body_cut_off_or_huge_is_judged_by_its_status() {
    let huge = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(1_000_000));
    let judged = see(P::OpenAi, 500, &[], &huge);
    assert_eq!(
        (judged.key, judged.code.as_str()),
        (Fault, "upstream_error")
    );
    assert_eq!(judged.message, "HTTP 500 without a readable error message");
}

#[test]
fn the_message_is_one_short_line_with_keys_masked() {
    let body = format!(
        r#"{{"error":{{"message":"Incorrect key sk-proj-abcdefgh12345678\n\n{}"}}}}"#,
        "word ".repeat(100)
    );
    let judged = see(P::OpenAi, 401, &[], &body);
    let start = "Incorrect key sk-p****5678 word word";
    assert!(judged.message.starts_with(start), "{}", judged.message);
    assert!(judged.message.chars().count() <= 200);

    let body = r#"{"code":"x","error":"Incorrect API key provided: xai-abcdefgh1234"}"#;
    let judged = see(P::Xai, 400, &[], body);
    assert_eq!(judged.message, "Incorrect API key provided: xai-****1234");
}

#[test]
fn a_month_ends_when_it_does_for_the_provider() {
    // The provider's clock is nine days ahead of ours: there, the month's last minute has begun.
    let headers = [("date", "Mon, 30 Nov 2026 23:59:00 GMT")];
    let body = r#"{"error":{"type":"insufficient_quota","code":"project_spend_limit_exceeded"}}"#;
    let until = |headers: &[(&str, &str)]| match see(P::OpenAi, 429, headers, body).key {
        KeyVerdict::OutOfCredit {
            until_unix_micros, ..
        } => until_unix_micros,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&[]), crate::dates::next_month(NOW));
    assert_eq!(until(&headers), Seconds(60).unix_micros());
}

proptest! {
    #[test]
    fn any_answer_is_judged_without_panic(
        status in any::<u16>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
        retry in ".{0,20}",
        now in any::<u64>(),
    ) {
        let headers = [("retry-after", retry.as_str())];
        for kind in ProviderKind::names().filter_map(ProviderKind::from_name) {
            let judged = judge(kind, status, &headers, &body, now);
            prop_assert!(!judged.code.is_empty() && judged.message.chars().count() <= 200);
        }
    }

    #[test]
    fn any_message_is_judged_without_panic(status in 400_u16..530, message in ".*", code in ".{0,30}") {
        let body = serde_json::json!({"error": {"message": message, "code": code,
            "details": [{"retryDelay": code, "violations": [{"quotaId": message}]}]}});
        for kind in [P::Anthropic, P::OpenAi, P::Gemini, P::Mistral] {
            _ = judge(kind, status, &[("x", "y")], body.to_string().as_bytes(), NOW);
        }
    }
}
