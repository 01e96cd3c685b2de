//! Gemini's API, in which a status means little: a dead key is a 400, and a day's quota that is gone asks to come
//! back in seconds (providers.md §4.3).

use keypool_sim::Fault;
use serde_json::{Value, json};

use crate::meets::{Meets, fault, gemini, sound, verbatim};
use crate::row::Client::{Ours, Partial, Theirs};
use crate::row::Leaves::{Barred, Limited, Out, Scored, Sound};
use crate::row::{GENERATE, GENERATE_STREAM, Group, Row};

/// Google writes some errors so where it was asked for events.
const BARE_ERROR_AFTER_TEXT: &str = concat!(
    r#"data: {"candidates":[{"content":{"parts":[{"text":"The quick"}],"role":"model"},"index":0}]}"#,
    "\r\n\r\n",
    r#"{"error":{"code":503,"message":"This model is overloaded.","status":"UNAVAILABLE"}}"#,
);

/// At most a day: to midnight in California.
const A_DAY: u64 = 25 * 3600;

const BOTH: [crate::row::Asked; 2] = [GENERATE, GENERATE_STREAM];

fn reason(reason: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
        "domain": "googleapis.com"}])
}

fn quota(id: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": id, "quotaValue": "10"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}])
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = refused();
    rows.extend(limits());
    rows.extend(failing());
    rows.extend(streams());
    rows.extend(client());
    rows
}

fn refused() -> Vec<Row> {
    let invalid = "API key not valid. Please pass a valid API key.";
    let disabled =
        "Generative Language API has not been used in project 1 before or it is disabled.";
    let no_credit = "Billing account has no credit.";
    let mut rows = Vec::new();
    for asked in BOTH {
        rows.push(
            Row::new(Group::Refused, "The key is not valid", asked).cured(
                gemini(400, "API_KEY_INVALID", invalid, &reason("API_KEY_INVALID")).everywhere(),
                Out("invalid_key"),
            ),
        );
    }
    let cured =
        |group, trouble, meets, leaves| Row::new(group, trouble, GENERATE).cured(meets, leaves);
    rows.extend([
        cured(
            Group::Refused,
            "The project may not use the API",
            gemini(
                403,
                "SERVICE_DISABLED",
                disabled,
                &reason("SERVICE_DISABLED"),
            )
            .everywhere(),
            Out("project_disabled"),
        ),
        cured(
            Group::Refused,
            "The key may not use the model",
            gemini(
                403,
                "PERMISSION_DENIED",
                "You do not have permission to access the model.",
                &Value::Null,
            ),
            Barred,
        ),
        cured(
            Group::Refused,
            "The account is limited for breaches of policy",
            verbatim(
                "200 `PUP_LIMITED_DISABLED`",
                200,
                "application/json",
                r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED","index":0}]}"#,
            )
            .everywhere(),
            Out("account_limited"),
        ),
        cured(
            Group::Money,
            "The billing account is empty",
            gemini(402, "RESOURCE_EXHAUSTED", no_credit, &Value::Null),
            Out("out_of_credit"),
        ),
    ]);
    rows
}

fn limits() -> Vec<Row> {
    let exceeded = "You exceeded your current quota.";
    let minute = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
    let day = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
    let mut rows = Vec::new();
    for asked in BOTH {
        rows.push(
            Row::new(Group::Limits, "The key is over a limit", asked).cured(
                gemini(429, minute, exceeded, &quota(minute)),
                Limited(20..=22),
            ),
        );
    }
    rows.push(
        Row::new(
            Group::Limits,
            "The day's quota is gone, whatever delay the answer asks for",
            GENERATE,
        )
        .cured(gemini(429, day, exceeded, &quota(day)), Limited(1..=A_DAY)),
    );
    rows.push(
        Row::new(
            Group::Limits,
            "The only key is over a limit for longer than requests wait",
            GENERATE,
        )
        .keys([(
            fault("429, `retryDelay: 40s`", Fault::rate_limited(40)),
            Limited(38..=40),
        )])
        .gets(Ours(429, "no_room"))
        .retry_after(38..=40),
    );
    rows.push(
        Row::new(Group::Limits, "The model is not offered to the key's tier", GENERATE).cured(
            gemini(
                429,
                "RESOURCE_EXHAUSTED",
                "Quota exceeded for metric: generate_content_free_tier_requests, limit: 0, model: x",
                &Value::Null,
            )
            .quoting("limit: 0"),
            Barred,
        ),
    );
    rows
}

fn failing() -> Vec<Row> {
    let mut rows = Vec::new();
    for asked in BOTH {
        rows.push(
            Row::new(Group::Failing, "The provider is overloaded", asked).cured(
                gemini(
                    503,
                    "UNAVAILABLE",
                    "This model is overloaded.",
                    &Value::Null,
                ),
                Sound,
            ),
        );
        rows.push(
            Row::new(Group::Failing, "The provider has an internal error", asked).cured(
                gemini(
                    500,
                    "INTERNAL",
                    "An internal error has occurred.",
                    &Value::Null,
                ),
                Scored(95),
            ),
        );
    }
    rows.push(
        Row::new(Group::Garbage, "The answer is no JSON", GENERATE)
            .cured(fault("200, no JSON", Fault::Garbage), Scored(95)),
    );
    rows
}

fn streams() -> Vec<Row> {
    const SOME_TEXT: u64 = 6;
    let row = |trouble| Row::new(Group::Streams, trouble, GENERATE_STREAM);
    let error_after = |after_events| Fault::StreamError {
        after_events,
        code: None,
    };
    let broken = |trouble, words, how, code, leaves| {
        row(trouble)
            .keys([(fault(words, how), leaves), (sound(), Sound)])
            .gets(Partial(code))
    };
    vec![
        row("The first event says that the provider is overloaded")
            .cured(fault("200, error event", error_after(0)), Sound),
        row("The stream ends before its first event").cured(
            fault(
                "200, no event, the end",
                Fault::TruncateStream { after_events: 0 },
            ),
            Scored(95),
        ),
        row("The stream ends though nothing was said in it").cured(
            verbatim(
                "200, an event without candidates, the end",
                200,
                "text/event-stream",
                "data: {\"usageMetadata\":{\"promptTokenCount\":9}}\r\n\r\n",
            ),
            Scored(95),
        ),
        broken(
            "The provider gives up after some text",
            "200, text, error event",
            error_after(SOME_TEXT),
            "UNAVAILABLE",
            Sound,
        ),
        row("An error that is no event comes after some text")
            .keys([
                (
                    verbatim(
                        "200, text, a bare 503 `UNAVAILABLE`",
                        200,
                        "text/event-stream",
                        BARE_ERROR_AFTER_TEXT,
                    ),
                    Sound,
                ),
                (sound(), Sound),
            ])
            .gets(Partial("upstream_stream_error")),
        broken(
            "The connection is reset after some text",
            "200, text, reset",
            Fault::ResetMidStream {
                after_events: SOME_TEXT,
            },
            "upstream_reset",
            Scored(95),
        ),
        broken(
            "The stream ends after some text as if it were complete",
            "200, text, the end",
            Fault::TruncateStream {
                after_events: SOME_TEXT,
            },
            "upstream_cut",
            Scored(95),
        ),
        broken(
            "The stream stops after some text",
            "200, text, silence",
            Fault::StallStream {
                after_events: SOME_TEXT,
            },
            "upstream_stalled",
            Scored(95),
        ),
        broken(
            "Garbage comes after some text",
            "200, text, garbage, more",
            Fault::GarbageEvent {
                after_events: SOME_TEXT,
            },
            "upstream_garbage",
            Scored(95),
        ),
        // Its last event says why it is finished.
        broken(
            "The stream lacks nothing but its end marker",
            "200, all text, the end",
            Fault::NoEndMarker,
            "upstream_cut",
            Scored(95),
        ),
    ]
}

fn client() -> Vec<Row> {
    let theirs = |trouble, status, word, meets: Meets| {
        Row::new(Group::Client, trouble, GENERATE)
            .keys([(meets, Sound), (sound(), Sound)])
            .gets(Theirs(status, word))
    };
    let missing = "Function call is missing a thought_signature in functionCall parts.";
    let too_long = "Your input context is too long.";
    vec![
        theirs(
            "The request is malformed",
            400,
            "INVALID_ARGUMENT",
            gemini(400, "INVALID_ARGUMENT", missing, &Value::Null),
        )
        .do_not_retry(),
        theirs(
            "The prompt is too long, which is called an internal error",
            500,
            "INTERNAL",
            gemini(500, "INTERNAL", too_long, &Value::Null).quoting(too_long),
        ),
    ]
}
