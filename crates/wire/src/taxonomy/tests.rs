use proptest::prelude::*;

use super::*;
use crate::headers::Headers;
use crate::provider::ProviderKind;
use ProviderKind as P;
use RequestVerdict::{Client, NextKey, SameKeyOnce};

/// 2026-11-22T10:00:00Z
const NOW: u64 = 1_795_341_600_000_000;
const DECEMBER: Option<u64> = Some(1_796_083_200_000_000);

fn see(provider: ProviderKind, status: u16, headers: &[(&str, &str)], body: &str) -> Judgement {
    judge(
        provider,
        status,
        &headers as &dyn Headers,
        body.as_bytes(),
        NOW,
    )
}

fn anthropic(kind: &str, code: &str, message: &str) -> String {
    let details = if code.is_empty() {
        String::new()
    } else {
        format!(r#","details":{{"error_code":"{code}"}}"#)
    };
    format!(
        r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"{details}}},"request_id":"req_1"}}"#
    )
}

fn openai(kind: &str, code: &str, message: &str) -> String {
    format!(r#"{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":"{code}"}}}}"#)
}

#[track_caller]
fn check(judged: &Judgement, key: KeyVerdict, request: RequestVerdict, code: &str) {
    assert_eq!(
        (judged.key, judged.request, judged.code.as_str()),
        (key, request, code)
    );
}

const fn limited(after_seconds: Option<u64>, scope: Scope) -> KeyVerdict {
    KeyVerdict::RateLimited {
        until_unix_micros: match after_seconds {
            Some(seconds) => Some(NOW + seconds * 1_000_000),
            None => None,
        },
        scope,
    }
}

const fn broke(until_unix_micros: Option<u64>) -> KeyVerdict {
    KeyVerdict::OutOfCredit {
        until_unix_micros,
        scope: Scope::Group,
    }
}

/// Status, type, code, message, and what follows from them.
type Case = (
    u16,
    &'static str,
    &'static str,
    &'static str,
    KeyVerdict,
    RequestVerdict,
    &'static str,
);

const INVALID: &str = "invalid_request_error";
const AUTH: &str = "authentication_error";
const DENIED: &str = "permission_error";
const RATE: &str = "rate_limit_error";
/// 2026-12-05T00:00:00Z, in seconds from `NOW`.
const FIFTH_OF_DECEMBER: u64 = 13 * 86_400 - 10 * 3_600;

#[rustfmt::skip]
const ANTHROPIC_CASES: &[Case] = &[
    (400, INVALID, "", "prompt is too long: 210000 tokens > 200000 maximum",
        KeyVerdict::Blameless, Client, "invalid_request"),
    (400, INVALID, "", "You have reached your specified API usage limits. You will regain access on 2026-12-05 at 00:00 UTC.",
        limited(Some(FIFTH_OF_DECEMBER), Scope::Group), NextKey, "spend_limit"),
    (400, INVALID, "", "You have reached your specified workspace API usage limits.",
        KeyVerdict::RateLimited { until_unix_micros: DECEMBER, scope: Scope::Group }, NextKey, "spend_limit"),
    (400, INVALID, "", "Your credit balance is too low to access the Anthropic API.",
        broke(None), NextKey, "out_of_credit"),
    (402, "billing_error", "", "Payment required",
        broke(None), NextKey, "out_of_credit"),
    (402, "billing_error", "linked_organization_spend_limit_reached", "x",
        KeyVerdict::Blameless, Client, "linked_organization"),
    (400, INVALID, "organization_on_hold", "x",
        KeyVerdict::Invalid, NextKey, "organization_on_hold"),
    (400, INVALID, "", "This organization has been disabled.",
        KeyVerdict::Invalid, NextKey, "organization_disabled"),
    (400, INVALID, "cmek_key_disabled", "x",
        KeyVerdict::Invalid, NextKey, "key_misconfigured"),
    (401, AUTH, "", "invalid x-api-key",
        KeyVerdict::Invalid, NextKey, "invalid_key"),
    (401, AUTH, "", "CORS requests are not allowed for this Organization",
        KeyVerdict::Blameless, NextKey, "cors_refused"),
    (403, DENIED, "", "Your API key does not have permission to use the specified resource.",
        KeyVerdict::ModelDenied, NextKey, "model_denied"),
    (403, DENIED, "", "This API key has been revoked.",
        KeyVerdict::Invalid, NextKey, "invalid_key"),
    (404, "not_found_error", "", "model: claude-x",
        KeyVerdict::Suspect, NextKey, "not_found"),
    (409, "conflict_error", "", "x",
        KeyVerdict::Blameless, SameKeyOnce, "conflict_or_timeout"),
    (413, "request_too_large", "", "x",
        KeyVerdict::Blameless, Client, "request_too_large"),
    (422, INVALID, "", "x",
        KeyVerdict::Blameless, Client, "invalid_request"),
    (429, RATE, "enforced_spend_limit_reached", "x",
        broke(DECEMBER), NextKey, "monthly_spend_limit"),
    (429, RATE, "contract_spend_limit_reached", "x",
        broke(None), NextKey, "contract_spend_limit"),
    (429, RATE, "", "x",
        limited(None, Scope::Key), NextKey, "rate_limited"),
    (500, "api_error", "", "x",
        KeyVerdict::Fault, NextKey, "upstream_error"),
    (504, "timeout_error", "", "x",
        KeyVerdict::Fault, NextKey, "upstream_timeout"),
    (529, "overloaded_error", "", "Overloaded",
        KeyVerdict::Overloaded, NextKey, "overloaded"),
    (500, "overloaded_error", "", "Overloaded",
        KeyVerdict::Overloaded, NextKey, "overloaded"),
];

#[test]
fn anthropics_errors_mean_what_their_bodies_say() {
    for &(status, kind, code, message, key, request, name) in ANTHROPIC_CASES {
        let body = anthropic(kind, code, message);
        for provider in [P::Anthropic, P::Generic(crate::Dialect::Anthropic)] {
            check(&see(provider, status, &[], &body), key, request, name);
        }
    }
}

// acceptance 51
#[test]
fn a_429_holds_as_long_as_the_provider_says() {
    let body = anthropic("rate_limit_error", "", "x");
    let headers = [("retry-after", "17")];
    let judged = see(P::Anthropic, 429, &headers, &body);
    check(
        &judged,
        limited(Some(17), Scope::GroupModel),
        NextKey,
        "rate_limited",
    );

    let ramp = anthropic("rate_limit_error", "ramp_limit_exceeded", "x");
    let judged = see(P::Anthropic, 429, &headers, &ramp);
    check(
        &judged,
        limited(Some(17), Scope::Group),
        NextKey,
        "ramp_limit",
    );

    let body = openai(
        "",
        "rate_limit_exceeded",
        "Rate limit reached: Limit 3, Used 3, Requested 1. Please try again in 20s.",
    );
    let judged = see(P::OpenAi, 429, &[], &body);
    check(
        &judged,
        limited(Some(20), Scope::GroupModel),
        NextKey,
        "rate_limited",
    );
    let headers = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6m0s"),
    ];
    let judged = see(P::OpenAi, 429, &headers, &body);
    check(
        &judged,
        limited(Some(360), Scope::GroupModel),
        NextKey,
        "rate_limited",
    );
}

#[test]
fn a_retry_after_of_zero_is_no_hint() {
    let headers = [("retry-after", "0")];
    let judged = see(
        P::OpenAi,
        429,
        &headers,
        &openai("", "rate_limit_exceeded", "x"),
    );
    check(&judged, limited(None, Scope::Key), NextKey, "rate_limited");
}

#[rustfmt::skip]
const OPENAI_CASES: &[Case] = &[
    (400, INVALID, "context_length_exceeded", "x",
        KeyVerdict::Blameless, Client, "invalid_request"),
    (400, INVALID, "content_policy_violation", "x",
        KeyVerdict::Blameless, Client, "invalid_request"),
    (400, INVALID, "invalid_value", "service_tier flex is not allowed for this project",
        KeyVerdict::Blameless, NextKey, "service_tier_denied"),
    (401, INVALID, "invalid_api_key", "Incorrect API key provided: sk-a****",
        KeyVerdict::Invalid, NextKey, "invalid_key"),
    (401, INVALID, "ip_not_authorized", "Your request IP address is not on the list",
        KeyVerdict::Invalid, NextKey, "ip_not_allowed"),
    (403, "request_forbidden", "unsupported_country_region_territory", "x",
        KeyVerdict::Blameless, Client, "unsupported_region"),
    (403, "request_forbidden", "", "Country, region, or territory not supported",
        KeyVerdict::Blameless, Client, "unsupported_region"),
    (403, INVALID, "model_not_found", "Project does not have access to model gpt-5",
        KeyVerdict::ModelDenied, NextKey, "model_denied"),
    (403, INVALID, "account_deactivated", "Your account has been deactivated",
        KeyVerdict::Invalid, NextKey, "invalid_key"),
    (404, INVALID, "model_not_found", "The model does not exist",
        KeyVerdict::Suspect, NextKey, "not_found"),
    (408, "", "", "x",
        KeyVerdict::Blameless, SameKeyOnce, "conflict_or_timeout"),
    (409, "", "", "x",
        KeyVerdict::Blameless, SameKeyOnce, "conflict_or_timeout"),
    (413, "", "", "x",
        KeyVerdict::Blameless, Client, "request_too_large"),
    (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota",
        broke(None), NextKey, "out_of_credit"),
    (429, "insufficient_quota", "credit_balance_exhausted", "x",
        broke(None), NextKey, "out_of_credit"),
    (429, "", "billing_hard_limit_reached", "x",
        broke(None), NextKey, "out_of_credit"),
    (429, "insufficient_quota", "organization_spend_limit_exceeded", "x",
        broke(DECEMBER), NextKey, "monthly_spend_limit"),
    (429, "insufficient_quota", "project_spend_limit_exceeded", "x",
        broke(DECEMBER), NextKey, "project_spend_limit"),
    (429, "", "slow_down", "x",
        limited(None, Scope::Group), NextKey, "slow_down"),
    (429, "tokens", "rate_limit_exceeded", "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000.",
        KeyVerdict::Blameless, NextKey, "larger_than_limit"),
    (429, "tokens", "rate_limit_exceeded", "Rate limit reached on TPM: Limit 30000, Used 0, Requested 40000.",
        KeyVerdict::Blameless, NextKey, "larger_than_limit"),
    (429, "tokens", "rate_limit_exceeded", "Rate limit reached on TPM: Limit 30000, Used 29000, Requested 2000.",
        limited(None, Scope::Key), NextKey, "rate_limited"),
    (500, "server_error", "", "x",
        KeyVerdict::Fault, NextKey, "upstream_error"),
    (503, "server_error", "server_is_overloaded", "x",
        KeyVerdict::Overloaded, NextKey, "overloaded"),
    (503, "server_error", "", "x",
        KeyVerdict::Fault, NextKey, "upstream_error"),
];

#[test]
fn openais_errors_mean_what_their_bodies_say() {
    for &(status, kind, code, message, key, request, name) in OPENAI_CASES {
        check(
            &see(P::OpenAi, status, &[], &openai(kind, code, message)),
            key,
            request,
            name,
        );
    }
}

#[test]
fn azures_own_cases_are_known() {
    let body = openai(
        "",
        "DeploymentNotFound",
        "The API deployment does not exist",
    );
    check(
        &see(P::Azure, 404, &[], &body),
        KeyVerdict::ModelDenied,
        NextKey,
        "model_denied",
    );
    let body = r#"{"error":{"message":"filtered","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
    check(
        &see(P::Azure, 400, &[], body),
        KeyVerdict::Blameless,
        Client,
        "invalid_request",
    );
    let headers = [("retry-after-ms", "1500")];
    let judged = see(
        P::Azure,
        429,
        &headers,
        &openai("", "429", "The service is in high demand"),
    );
    let until = KeyVerdict::RateLimited {
        until_unix_micros: Some(NOW + 1_500_000),
        scope: Scope::Key,
    };
    check(&judged, until, NextKey, "rate_limited");
}

#[test]
fn geminis_errors_mean_what_their_details_say() {
    let gemini = |code: u16, message: &str, details: &str| {
        format!(
            r#"{{"error":{{"code":{code},"message":"{message}","status":"X","details":[{details}]}}}}"#
        )
    };
    let dead = gemini(
        400,
        "API key not valid.",
        r#"{"@type":"ErrorInfo","reason":"API_KEY_INVALID"}"#,
    );
    check(
        &see(P::Gemini, 400, &[], &dead),
        KeyVerdict::Invalid,
        NextKey,
        "invalid_key",
    );
    let in_array = format!("[{dead}]");
    check(
        &see(P::Gemini, 400, &[], &in_array),
        KeyVerdict::Invalid,
        NextKey,
        "invalid_key",
    );
    let client = gemini(400, "Unknown field", "");
    check(
        &see(P::Gemini, 400, &[], &client),
        KeyVerdict::Blameless,
        Client,
        "invalid_request",
    );

    let minute = gemini(
        429,
        "Quota exceeded",
        r#"{"@type":"Help"},{"@type":"RetryInfo","retryDelay":"22s"},{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}"#,
    );
    let judged = see(P::Gemini, 429, &[], &minute);
    check(
        &judged,
        limited(Some(22), Scope::GroupModel),
        NextKey,
        "rate_limited",
    );

    let day = gemini(
        429,
        "Quota exceeded",
        r#"{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"@type":"RetryInfo","retryDelay":"22s"}"#,
    );
    let judged = see(P::Gemini, 429, &[], &day);
    check(
        &judged,
        limited(Some(22 * 3600), Scope::GroupModel),
        NextKey,
        "daily_limit",
    );

    let none = gemini(429, "Quota exceeded, limit: 0, model: x", "");
    check(
        &see(P::Gemini, 429, &[], &none),
        KeyVerdict::ModelDenied,
        NextKey,
        "model_denied",
    );
}

#[test]
fn vendors_own_codes_come_before_the_status() {
    let router = |source: &str| {
        format!(
            r#"{{"error":{{"code":402,"message":"x","metadata":{{"limit_source":"{source}"}}}}}}"#
        )
    };
    let headers = [("retry-after", "3")];
    let judged = see(
        P::OpenRouter,
        402,
        &headers,
        &router("openrouter_in_flight_budget"),
    );
    check(
        &judged,
        limited(Some(3), Scope::Group),
        NextKey,
        "in_flight_budget",
    );
    let judged = see(P::OpenRouter, 402, &[], &router("openrouter_key_limit"));
    let key_limit = KeyVerdict::OutOfCredit {
        until_unix_micros: None,
        scope: Scope::Key,
    };
    check(&judged, key_limit, NextKey, "key_spend_limit");
    check(
        &see(P::OpenRouter, 402, &[], &router("openrouter_credits")),
        broke(None),
        NextKey,
        "out_of_credit",
    );

    let judged = see(
        P::Mistral,
        429,
        &[],
        r#"{"object":"error","message":"Requests rate limit exceeded"}"#,
    );
    check(
        &judged,
        limited(Some(1), Scope::GroupModel),
        NextKey,
        "rate_limited",
    );
    assert_eq!(judged.message, "Requests rate limit exceeded");
    check(
        &see(P::DeepSeek, 402, &[], "{}"),
        broke(None),
        NextKey,
        "out_of_credit",
    );
    check(
        &see(P::Groq, 498, &[], "{}"),
        KeyVerdict::Overloaded,
        NextKey,
        "overloaded",
    );
    let judged = see(
        P::Xai,
        400,
        &[],
        r#"{"code":"x","error":"Incorrect API key provided: xai-abcdefgh1234"}"#,
    );
    check(&judged, KeyVerdict::Invalid, NextKey, "invalid_key");
    assert_eq!(judged.message, "Incorrect API key provided: xai-****1234");
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
            (400, KeyVerdict::Blameless, Client),
            (401, KeyVerdict::Invalid, NextKey),
            (404, KeyVerdict::Suspect, NextKey),
            (418, KeyVerdict::Blameless, Client),
            (429, limited(None, Scope::Key), NextKey),
            (502, KeyVerdict::Fault, NextKey),
            (520, KeyVerdict::Fault, NextKey),
            (529, KeyVerdict::Overloaded, NextKey),
        ] {
            let judged = see(P::OpenAi, status, &[], body);
            assert_eq!(
                (judged.key, judged.request),
                (key, request),
                "{status} {body}"
            );
            assert!(!judged.message.contains("sk-ant"), "{}", judged.message);
            assert!(!judged.message.is_empty());
        }
    }
    let judged = see(P::Anthropic, 403, &[], html);
    assert_eq!(
        judged.key,
        KeyVerdict::Fault,
        "a CDN's refusal says nothing of the key"
    );
}

#[test]
fn a_body_cut_off_or_huge_is_judged_by_its_status() {
    let huge = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(1_000_000));
    let judged = see(P::OpenAi, 500, &[], &huge);
    check(&judged, KeyVerdict::Fault, NextKey, "upstream_error");
    assert_eq!(judged.message, "HTTP 500 without a readable error message");
}

#[test]
fn the_message_is_one_short_line_with_keys_masked() {
    let body = openai(
        "",
        "x",
        &format!(
            "Incorrect key sk-proj-abcdefgh12345678\\n\\n{}",
            "word ".repeat(100)
        ),
    );
    let judged = see(P::OpenAi, 401, &[], &body);
    assert!(
        judged
            .message
            .starts_with("Incorrect key sk-p****5678 word word")
    );
    assert!(judged.message.chars().count() <= 200);
}

#[test]
fn a_limit_on_growth_is_told_from_one_on_quota() {
    let limited_for_growth = |provider, status, code: &str| {
        let body = if provider == P::Anthropic {
            anthropic(RATE, code, "x")
        } else {
            openai("x", code, "x")
        };
        let judged = see(provider, status, &[("retry-after", "3")], &body);
        assert!(
            matches!(judged.key, KeyVerdict::RateLimited { .. }),
            "{code}"
        );
        judged.growth
    };
    for (provider, status, code, growth) in [
        (P::Anthropic, 429, "ramp_limit_exceeded", true),
        (P::Anthropic, 429, "", false),
        (P::OpenAi, 429, "slow_down", true),
        (P::OpenAi, 503, "slow_down", true),
        (P::OpenAi, 429, "rate_limit_exceeded", false),
        (P::Together, 429, "dynamic_request_limited", true),
        (P::Together, 429, "dynamic_token_limited", true),
        (P::Together, 429, "request_limited", false),
        (P::Groq, 429, "dynamic_request_limited", false),
    ] {
        assert_eq!(
            limited_for_growth(provider, status, code),
            growth,
            "{provider:?} {code}"
        );
    }
    let by_error_type =
        r#"{"error":{"message":"x","type":"rate_limit","error_type":"dynamic_token_limited"}}"#;
    let judged = see(P::Together, 429, &[], by_error_type);
    check(
        &judged,
        limited(None, Scope::GroupModel),
        NextKey,
        "dynamic_limit",
    );
    assert!(judged.growth);
}

#[test]
fn every_row_can_be_reached_by_some_answer() {
    use super::rule::{Sign, Status};
    use super::table::ROWS;
    // A row with neither sign nor narrower speaker than one before it would be dead.
    for (index, row) in ROWS.iter().enumerate() {
        let shadowed = ROWS.iter().take(index).any(|earlier| {
            let every_status = (100..=599)
                .filter(|&status| row.status.covers(status))
                .all(|status| earlier.status.covers(status));
            let everyone = ProviderKind::names()
                .filter_map(ProviderKind::from_name)
                .filter(|&kind| row.who.covers(kind))
                .all(|kind| earlier.who.covers(kind));
            matches!(earlier.sign, Sign::None) && every_status && everyone
        });
        assert!(
            !shadowed,
            "row {index} ({}) comes after one that covers it",
            row.code
        );
        assert!(!matches!(row.status, Status::Any) || !matches!(row.sign, Sign::None));
    }
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
