//! Answers that begin well and are none.

use keypool_sim::Fault;

use crate::meets::{Meets, fault, verbatim};
use crate::row::Client::Ours;
use crate::row::Leaves::{Scored, Sound};
use crate::row::{Asked, CHAT, EMBEDDINGS, Group, MESSAGES, OPENROUTER, RESPONSES, Row, chat_of};

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
    for (asked, meets) in [
        (chat_of(OPENROUTER), error_under_200()),
        (RESPONSES, failed_response()),
    ] {
        rows.push(row("The answer is an error under 200", asked).cured(meets, Scored(95)));
    }
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
