//! Requests that are wrong: no key is to blame, and no other key would do better.

use serde_json::json;

use crate::meets::{Meets, anthropic, anthropic_code, openai, openrouter, sound, verbatim};
use crate::row::Client::{Ours, Theirs};
use crate::row::Leaves::Sound;
use crate::row::{
    AZURE, Asked, CHAT, CHAT_STREAM, DEEPSEEK, GROQ, Group, MESSAGES, MESSAGES_STREAM, MISTRAL,
    OPENROUTER, RESPONSES, Row, Sends, chat_of,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Client, trouble, asked)
}

/// The provider's complaint goes to the client word for word after one attempt.
fn passed_on(trouble: &'static str, asked: Asked, meets: Meets, told: (u16, &'static str)) -> Row {
    let (status, word) = told;
    let row = row(trouble, asked)
        .keys([(meets, Sound), (sound(), Sound)])
        .gets(Theirs(status, word));
    match status {
        // An answer, if not the one that was hoped for; and what the provider was to ask somebody else for
        // may be there the next time.
        200 | 424 => row,
        _ => row.do_not_retry(),
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = too_long();
    rows.extend(invalid());
    rows.extend(refused_content());
    rows.extend(refusals_of_the_model());
    rows.extend(known_before_any_attempt());
    rows
}

fn too_long() -> Vec<Row> {
    const TROUBLE: &str = "The prompt is too long for the model";
    let anthropics = "prompt is too long: 214315 tokens > 200000 maximum";
    let openais = "This model's maximum context length is 128000 tokens. However, your messages \
                   resulted in 130001 tokens. Please reduce the length of the messages.";
    let kind = "invalid_request_error";
    let too_long = || anthropic(400, kind, anthropics).quoting("prompt is too long");
    let exceeded = || openai(400, kind, Some("context_length_exceeded"), openais);
    vec![
        passed_on(TROUBLE, MESSAGES, too_long(), (400, kind)),
        passed_on(TROUBLE, MESSAGES_STREAM, too_long(), (400, kind)),
        passed_on(TROUBLE, CHAT, exceeded(), (400, "context_length_exceeded")),
        passed_on(
            TROUBLE,
            CHAT_STREAM,
            exceeded(),
            (400, "context_length_exceeded"),
        ),
        passed_on(
            TROUBLE,
            RESPONSES,
            exceeded(),
            (400, "context_length_exceeded"),
        ),
        passed_on(
            TROUBLE,
            chat_of(GROQ),
            openai(400, kind, Some("context_length_exceeded"), openais),
            (400, "context_length_exceeded"),
        ),
    ]
}

fn invalid() -> Vec<Row> {
    let kind = "invalid_request_error";
    let schema = "messages.0.content.0.text: Field required";
    let size = "Request exceeds the maximum size";
    let value = "Invalid value: 'nobody'. Supported values are: 'system', 'user', 'assistant'.";
    let signature = "messages.1.content.0: Invalid `signature` in `thinking` block";
    let dependency = "Failed dependency: the remote MCP server could not be reached.";
    let mut rows = vec![
        passed_on(
            "A field is missing or wrong",
            MESSAGES,
            anthropic(400, kind, schema),
            (400, kind),
        ),
        passed_on(
            "A field is missing or wrong",
            CHAT,
            openai(400, kind, Some("invalid_value"), value),
            (400, "invalid_value"),
        ),
        passed_on(
            "A field is missing or wrong",
            MESSAGES,
            anthropic(422, kind, schema),
            (422, kind),
        ),
        passed_on(
            "A field is missing or wrong",
            chat_of(DEEPSEEK),
            openai(422, kind, Some("invalid_request_error"), value),
            (422, kind),
        ),
        passed_on(
            "A field is missing or wrong",
            chat_of(MISTRAL),
            openai(422, kind, Some("1200"), value),
            (422, "1200"),
        ),
        passed_on(
            "The body is larger than the provider takes",
            MESSAGES,
            anthropic(413, "request_too_large", size),
            (413, "request_too_large"),
        ),
        passed_on(
            "The body is larger than the provider takes",
            MESSAGES,
            anthropic_code(
                413,
                "request_too_large",
                "request_body_too_large_after_decoding",
                size,
            ),
            (413, "request_body_too_large_after_decoding"),
        ),
        passed_on(
            "The body is larger than the provider takes",
            chat_of(GROQ),
            openai(413, kind, Some("request_too_large"), size),
            (413, "request_too_large"),
        ),
        passed_on(
            "A tool that the provider was to call fails",
            chat_of(GROQ),
            openai(424, kind, Some("failed_dependency"), dependency),
            (424, "failed_dependency"),
        ),
    ];
    rows.push(
        passed_on(
            "A thinking block was altered, or comes from another account",
            MESSAGES,
            anthropic(400, kind, signature).quoting("Invalid `signature`"),
            (400, kind),
        )
        .attempts(2),
    );
    rows
}

fn refused_content() -> Vec<Row> {
    let kind = "invalid_request_error";
    let policy = "Your request was rejected as a result of our safety system.";
    let prompt =
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy.";
    let filter = "The response was filtered due to the prompt triggering Azure OpenAI's content \
                  management policy.";
    let flagged = "Your chosen model requires moderation and your input was flagged.";
    let metadata = json!({ "error_type": "moderation", "reasons": ["violence"], "flagged_input": "…", "provider_name": "Some" });
    vec![
        passed_on(
            "The provider refuses the content",
            CHAT,
            openai(400, kind, Some("content_policy_violation"), policy),
            (400, "content_policy_violation"),
        ),
        passed_on(
            "The provider refuses the content",
            RESPONSES,
            openai(400, kind, Some("invalid_prompt"), prompt),
            (400, "invalid_prompt"),
        ),
        passed_on(
            "The provider refuses the content",
            chat_of(AZURE),
            openai(400, "", Some("content_filter"), filter),
            (400, "content_filter"),
        ),
        passed_on(
            "The provider refuses the content",
            chat_of(OPENROUTER),
            openrouter(403, "moderation", flagged, &metadata),
            (403, "moderation"),
        ),
    ]
}

/// An answer is an answer, whatever it says.
fn refusals_of_the_model() -> Vec<Row> {
    let message = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"refusal","stop_details":{"category":"cyber"},"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}"#;
    let completion = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null},"finish_reason":"content_filter"}],"usage":{"prompt_tokens":9,"completion_tokens":0,"total_tokens":9}}"#;
    let response = r#"{"id":"resp_1","object":"response","created_at":1,"model":"m","status":"incomplete","error":null,"incomplete_details":{"reason":"content_filter"},"output":[],"usage":{"input_tokens":9,"output_tokens":0,"total_tokens":9}}"#;
    [
        (MESSAGES, message, "refusal"),
        (CHAT, completion, "content_filter"),
        (RESPONSES, response, "content_filter"),
    ]
    .into_iter()
    .map(|(asked, body, word)| {
        let meets = verbatim(&format!("200 `{word}`"), 200, "application/json", body);
        passed_on("The model refuses to answer", asked, meets, (200, word))
    })
    .collect()
}

/// What the gateway sees for itself costs no attempt.
fn known_before_any_attempt() -> Vec<Row> {
    let mut rows = Vec::new();
    for asked in [MESSAGES, CHAT] {
        for (trouble, sends, status, code) in [
            (
                "The body is no JSON",
                Sends::Body("{".to_owned()),
                400,
                "invalid_body",
            ),
            (
                "The body is compressed",
                Sends::Header("content-encoding", "gzip"),
                415,
                "encoded_body",
            ),
            (
                "The body names no model",
                Sends::Body(r#"{"messages":[]}"#.to_owned()),
                400,
                "missing_model",
            ),
            (
                "The model's provider is unknown",
                Sends::With("model", "nonesuch,some-model".into()),
                404,
                "unknown_provider",
            ),
            (
                "An option is wrong",
                Sends::Header("x-keypool-priority", "soon"),
                400,
                "invalid_option",
            ),
        ] {
            rows.push(
                row(trouble, asked)
                    .sends(sends)
                    .keys([(sound(), Sound)])
                    .gets(Ours(status, code))
                    .do_not_retry()
                    .attempts(0),
            );
        }
        rows.push(
            row("The body is larger than the gateway takes", asked)
                .set("`Bounds.bodyBytes` 2048", "/Bounds/bodyBytes", 2048)
                .sends(Sends::With("padding", "x".repeat(4096).into()))
                .keys([(sound(), Sound)])
                .gets(Ours(413, "body_too_large"))
                .do_not_retry()
                .attempts(0),
        );
        rows.push(
            row("The gateway's own key is wrong", asked)
                .set("`APIKEY` set", "/APIKEY", "gateway-key")
                .sends(Sends::Header("x-api-key", "another-key"))
                .keys([(sound(), Sound)])
                .gets(Ours(401, "invalid_gateway_key"))
                .do_not_retry()
                .attempts(0),
        );
    }
    rows
}
