//! Answers that begin well and are none.

use keypool_sim::Fault;

use crate::meets::{Meets, fault, sound, verbatim};
use crate::row::Client::{Ours, Theirs};
use crate::row::Leaves::{Limited, Out, Scored, Sound};
use crate::row::{
    Asked, CHAT, EMBEDDINGS, GENERATE_STREAM, Group, MESSAGES, OPENROUTER, RESPONSES,
    RESPONSES_STREAM, Row, chat_of, chat_stream_of,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Garbage, trouble, asked)
}

fn garbage() -> Meets {
    fault("200 and garbage", Fault::Garbage)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for asked in [MESSAGES, CHAT, RESPONSES, EMBEDDINGS] {
        rows.push(row("The answer is no JSON", asked).cured(garbage(), Scored(95)));
    }
    let half = |words: &str, how: Fault| fault(&format!("200, half the body, {words}"), how);
    for (asked, meets) in [
        (
            MESSAGES,
            half("reset", Fault::ResetMidStream { after_events: 1 }),
        ),
        (
            EMBEDDINGS,
            half("reset", Fault::ResetMidStream { after_events: 1 }),
        ),
        (
            CHAT,
            half("closed", Fault::CloseMidStream { after_events: 1 }),
        ),
        (
            MESSAGES,
            half("the end", Fault::TruncateStream { after_events: 1 }),
        ),
        (
            CHAT,
            half("the end", Fault::TruncateStream { after_events: 1 }),
        ),
        (
            RESPONSES,
            half("silence", Fault::StallStream { after_events: 1 }),
        ),
        (
            CHAT,
            half("garbage, the rest", Fault::GarbageEvent { after_events: 1 }),
        ),
        (
            MESSAGES,
            fault(
                "200 and no body, then silence",
                Fault::StallStream { after_events: 0 },
            ),
        ),
    ] {
        rows.push(row("The answer breaks off in its middle", asked).cured(meets, Scored(95)));
    }
    for (asked, meets) in [
        (
            CHAT,
            verbatim("200 and nothing", 200, "application/json", ""),
        ),
        (
            MESSAGES,
            verbatim(
                "200 and a page of HTML",
                200,
                "text/html",
                "<html>Welcome!</html>",
            ),
        ),
    ] {
        rows.push(row("The answer is something else", asked).cured(meets, Scored(95)));
    }
    rows.push(
        row("Every key's answer is no JSON", CHAT)
            .keys([(garbage(), Sound), (garbage(), Sound)])
            .gets(Ours(502, "upstream_garbage"))
            .attempts_within(2..=6),
    );
    rows.extend(errors_under_200());
    rows
}

/// Errors without a status of their own, in a plain answer and as the first event of a stream.
fn errors_under_200() -> Vec<Row> {
    let credits = r#"{"error":{"code":402,"message":"Insufficient credits.","metadata":{"limit_source":"openrouter_credits"}}}"#;
    let limited = r#"{"error":{"code":429,"message":"Provider returned error","metadata":{"error_type":"rate_limit_exceeded"}}}"#;
    let in_choice = r#"{"id":"gen-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","error":{"code":502,"message":"Gone.","metadata":{"error_type":"provider_unavailable"}}}]}"#;
    let closed = r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED","index":0}]}"#;
    let failed = |code: &str| {
        format!(
            r#"{{"id":"resp_1","object":"response","created_at":1,"model":"m","status":"failed","error":{{"code":"{code}","message":"Sorry."}},"output":[],"usage":null}}"#
        )
    };
    let failing = |code: &str| {
        let response = failed(code);
        format!(r#"{{"type":"response.failed","sequence_number":0,"response":{response}}}"#)
    };
    let plain = |word: &str, body: &str| {
        verbatim(&format!("200 with `{word}`"), 200, "application/json", body)
    };
    let event = |word: &str, data: &str| {
        let words = format!("200, first event with `{word}`");
        verbatim(
            &words,
            200,
            "text/event-stream",
            &format!("data: {data}\n\n"),
        )
    };
    let chat = chat_of(OPENROUTER);
    let stream = chat_stream_of(OPENROUTER);
    let (credit, rate, spend) = (
        "openrouter_credits",
        "rate_limit_exceeded",
        "organization_spend_limit_exceeded",
    );
    let mut rows: Vec<Row> = [
        (chat, error_under_200(), Scored(95)),
        (RESPONSES, failed_response(), Scored(95)),
        (chat, plain(credit, credits), Out("out_of_credit")),
        (stream, event(credit, credits), Out("out_of_credit")),
        (chat, plain(rate, limited), Limited(58..=60)),
        (stream, event(rate, limited), Limited(58..=60)),
        (stream, event("provider_unavailable", in_choice), Sound),
        (RESPONSES, plain(rate, &failed(rate)), Limited(58..=60)),
        (
            RESPONSES_STREAM,
            event(rate, &failing(rate)),
            Limited(58..=60),
        ),
        (
            RESPONSES,
            plain(spend, &failed(spend)),
            Out("monthly_spend_limit"),
        ),
        (
            RESPONSES_STREAM,
            event(spend, &failing(spend)),
            Out("monthly_spend_limit"),
        ),
        (
            GENERATE_STREAM,
            event("PUP_LIMITED_DISABLED", closed).everywhere(),
            Out("account_limited"),
        ),
    ]
    .into_iter()
    .map(|(asked, meets, leaves)| {
        row("The answer is an error under 200", asked).cured(meets, leaves)
    })
    .collect();
    let picture = "invalid_image_format";
    rows.push(
        row("The response failed for what was asked", RESPONSES)
            .keys([(plain(picture, &failed(picture)), Sound), (sound(), Sound)])
            .gets(Theirs(200, picture)),
    );
    rows.push(
        row("The response failed for what was asked", RESPONSES_STREAM)
            .keys([(event(picture, &failing(picture)), Sound), (sound(), Sound)])
            .gets(Ours(400, "upstream_stream_error"))
            .do_not_retry(),
    );
    rows
}

/// OpenRouter's answer when a provider behind it fails in the middle.
fn error_under_200() -> Meets {
    let body = r#"{"id":"gen-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"error","native_finish_reason":"error","message":{"role":"assistant","content":""},"error":{"code":500,"message":"Internal error","metadata":{"error_type":"server"}}}]}"#;
    verbatim("200 with an `error`", 200, "application/json", body)
}

/// OpenAI's answer when the model failed after the head was sent.
fn failed_response() -> Meets {
    let body = r#"{"id":"resp_1","object":"response","created_at":1,"model":"m","status":"failed","error":{"code":"server_error","message":"The model failed to generate a response."},"incomplete_details":null,"output":[],"usage":null}"#;
    verbatim("200, `status: failed`", 200, "application/json", body)
}
