//! A provider that answers with errors of its own, or is overloaded.

use keypool_sim::Fault;
use serde_json::json;

use crate::meets::{Meets, anthropic, anthropic_code, fault, openai, openrouter, sound, verbatim};
use crate::row::Client::{Ours, Theirs};
use crate::row::Leaves::{Scored, Sound};
use crate::row::{
    Asked, CHAT, CHAT_STREAM, DEEPSEEK, EMBEDDINGS, GROQ, Group, MESSAGES, MESSAGES_STREAM,
    OPENROUTER, RESPONSES, RESPONSES_STREAM, Row, TOGETHER, chat_of,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Failing, trouble, asked)
}

fn status(status: u16) -> Meets {
    fault(&status.to_string(), Fault::status(status))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for asked in [
        MESSAGES,
        MESSAGES_STREAM,
        CHAT,
        CHAT_STREAM,
        RESPONSES,
        RESPONSES_STREAM,
        EMBEDDINGS,
    ] {
        rows.push(row("The provider fails with one key", asked).cured(status(500), Scored(95)));
    }
    for (asked, meets) in in_other_words() {
        rows.push(
            row("The provider fails with one key, in other words", asked).cured(meets, Scored(95)),
        );
    }
    for (asked, meets) in overloads() {
        rows.push(row("The provider is overloaded", asked).cured(meets, Sound));
    }
    rows.extend(of_a_moment());
    rows
}

fn in_other_words() -> Vec<(Asked, Meets)> {
    let html = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n";
    let slow = "Request timed out. For long requests, please use the streaming API.";
    let cmek = "The workspace's encryption key cannot be reached.";
    vec![
        (MESSAGES, status(502)),
        (MESSAGES, anthropic(504, "timeout_error", slow)),
        (
            MESSAGES,
            anthropic_code(503, "api_error", "cmek_key_unreachable", cmek),
        ),
        (
            MESSAGES,
            verbatim("502 and a page of HTML", 502, "text/html", html),
        ),
        (
            CHAT,
            verbatim("502 and a page of HTML", 502, "text/html", html),
        ),
        (CHAT, verbatim("520 and nothing", 520, "text/plain", "")),
        (
            RESPONSES,
            openai(
                500,
                "server_error",
                Some("server_error"),
                "The server had an error.",
            ),
        ),
    ]
}

fn overloads() -> Vec<(Asked, Meets)> {
    let busy = "That model is currently overloaded with other requests.";
    let unavailable = || {
        let metadata = json!({ "error_type": "provider_unavailable", "provider_name": "Some" });
        openrouter(
            502,
            "provider_unavailable",
            "Provider returned error",
            &metadata,
        )
    };
    vec![
        (MESSAGES, fault("529", Fault::overloaded())),
        (MESSAGES_STREAM, fault("529", Fault::overloaded())),
        (
            CHAT,
            openai(
                503,
                "service_unavailable_error",
                Some("server_is_overloaded"),
                busy,
            ),
        ),
        (chat_of(OPENROUTER), unavailable()),
        (
            chat_of(GROQ),
            openai(498, "capacity_exceeded", Some("capacity_exceeded"), busy),
        ),
        (
            chat_of(DEEPSEEK),
            openai(503, "service_unavailable", None, "Busy."),
        ),
        (
            chat_of(TOGETHER),
            openai(503, "service_unavailable", None, busy),
        ),
    ]
}

/// What passes by itself.
fn of_a_moment() -> Vec<Row> {
    let conflict = "The resource is locked by another request.";
    let moved = "<html><head><title>302 Found</title></head></html>";
    let conflicting = |asked: Asked| match asked {
        MESSAGES => anthropic(409, "conflict_error", conflict),
        _ => openai(409, "invalid_request_error", Some("conflict"), conflict),
    };
    let mut rows = Vec::new();
    for asked in [MESSAGES, CHAT] {
        rows.push(
            row("The provider fails once, and there is one key", asked)
                .keys([(status(500).once(), Scored(95))])
                .attempts(2),
        );
        rows.push(
            row("A conflict that is over a moment later", asked)
                .cured(conflicting(asked).once(), Sound),
        );
        let word = match asked {
            MESSAGES => "conflict_error",
            _ => "conflict",
        };
        rows.push(
            row("A conflict that stays", asked)
                .keys([(conflicting(asked), Sound), (sound(), Sound)])
                .gets(Theirs(409, word))
                .attempts(2),
        );
    }
    rows.push(
        row("The provider sends the request elsewhere", CHAT)
            .keys([
                (
                    verbatim("302 to another host", 302, "text/html", moved)
                        .header("location", "http://127.0.0.1:1/"),
                    Sound,
                ),
                (sound(), Sound),
            ])
            .gets(Ours(502, "upstream_error")),
    );
    rows
}
