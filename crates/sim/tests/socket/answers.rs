//! Answers over real sockets: shapes, event order, headers, errors, as each provider sends them.

use crate::client::{
    ANTHROPIC, CHAT, CHAT_STREAM, MESSAGE, MESSAGE_STREAM, OPENAI, config, message, openai, send,
    start,
};
use keypool_sim::{AnswerConfig, Limits, SimConfig, Spread};
use serde_json::Value;

#[tokio::test]
async fn a_message_has_the_shape_usage_and_headers_of_the_real_one() {
    let server = start(config()).await;
    let answer = message(server.addr(), MESSAGE).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert!(body["id"].as_str().unwrap().starts_with("msg_01"));
    assert_eq!(body["type"], "message");
    assert_eq!(body["model"], "claude-test");
    assert_eq!(body["content"][0]["type"], "text");
    assert_eq!(body["stop_reason"], "end_turn");
    assert_eq!(body["usage"]["input_tokens"], MESSAGE.len().div_ceil(4));
    assert_eq!(body["usage"]["output_tokens"], 16);
    assert!(answer.header("request-id").unwrap().starts_with("req_011C"));
    assert_eq!(
        answer.header("anthropic-organization-id").unwrap().len(),
        36
    );
}

#[tokio::test]
async fn a_streamed_message_has_its_events_in_the_real_order() {
    let server = start(config()).await;
    let answer = message(server.addr(), MESSAGE_STREAM).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(answer.event_names(), expected);
    let data: Vec<Value> = answer
        .events()
        .iter()
        .map(|(_, data)| serde_json::from_str(data).unwrap())
        .collect();
    for (name, data) in expected.iter().zip(&data) {
        assert_eq!(data["type"], *name);
    }
    assert_eq!(data[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(data[8]["usage"]["output_tokens"], 16);
    assert!(answer.is_whole);
}

#[tokio::test]
async fn an_answer_stops_at_max_tokens_and_says_so() {
    let server = start(config()).await;
    let body = MESSAGE.replace("100", "5");
    let answer = message(server.addr(), &body).await.json();
    assert_eq!(answer["stop_reason"], "max_tokens");
    assert_eq!(answer["usage"]["output_tokens"], 5);
}

#[tokio::test]
async fn a_chat_stream_carries_usage_only_when_it_was_asked_for() {
    let server = start(config()).await;
    let plain = openai(server.addr(), "/v1/chat/completions", CHAT_STREAM).await;
    assert!(!plain.body.contains("usage"));
    let asking = CHAT_STREAM.replace(
        "\"stream\":true",
        r#""stream":true,"stream_options":{"include_usage":true}"#,
    );
    let answer = openai(server.addr(), "/v1/chat/completions", &asking).await;
    let events = answer.events();
    let chunk = |index: usize| -> Value { serde_json::from_str(&events[index].1).unwrap() };
    assert_eq!(events.last().unwrap().1, "[DONE]");
    assert_eq!(chunk(0)["choices"][0]["delta"]["role"], "assistant");
    assert!(chunk(0)["usage"].is_null());
    let last = events.len() - 2;
    assert_eq!(chunk(last - 1)["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunk(last)["choices"].as_array().unwrap().len(), 0);
    assert_eq!(chunk(last)["usage"]["completion_tokens"], 16);
    assert!(chunk(0)["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(
        events[..=last]
            .iter()
            .all(|(_, data)| data.contains(chunk(0)["id"].as_str().unwrap()))
    );
}

#[tokio::test]
async fn a_streamed_response_counts_its_events_and_ends_with_the_whole_response() {
    let server = start(config()).await;
    let body = r#"{"model":"gpt-test","stream":true,"input":"hi"}"#;
    let answer = openai(server.addr(), "/v1/responses", body).await;
    let names = answer.event_names();
    assert_eq!(
        names[..4],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added"
        ]
    );
    assert!(
        names[4..8]
            .iter()
            .all(|name| name == "response.output_text.delta")
    );
    assert_eq!(
        names[8..],
        [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    let mut text = String::new();
    let mut last = Value::Null;
    for (number, (name, data)) in answer.events().iter().enumerate() {
        last = serde_json::from_str(data).unwrap();
        assert_eq!(last["type"], *name);
        assert_eq!(last["sequence_number"], number);
        text.push_str(last["delta"].as_str().unwrap_or_default());
    }
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], text);
    assert_eq!(last["response"]["usage"]["output_tokens"], 16);
}

#[tokio::test]
async fn whoever_speaks_like_openai_takes_a_key_in_azures_header_too() {
    let server = start(config()).await;
    let headers = [("api-key", OPENAI)];
    let path = "/v1/chat/completions";
    let answer = send(server.addr(), "POST", path, &headers, CHAT).await;
    assert_eq!(answer.status, 200);
    assert_eq!(server.sim().counters().key(OPENAI).completed, 1);
}

#[tokio::test]
async fn free_endpoints_answer_in_the_dialect_of_the_client() {
    let server = start(config()).await;
    let bearer = format!("Bearer {OPENAI}");
    let openai = send(
        server.addr(),
        "GET",
        "/v1/models",
        &[("authorization", &bearer)],
        "",
    )
    .await;
    assert_eq!(openai.json()["object"], "list");
    let bearer = format!("Bearer {ANTHROPIC}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("anthropic-version", "2026-10-21"),
    ];
    let anthropic = send(server.addr(), "GET", "/v1/models", &headers, "")
        .await
        .json();
    assert_eq!(anthropic["data"][0]["type"], "model");
    assert_eq!(anthropic["has_more"], false);
    let count = send(
        server.addr(),
        "POST",
        "/v1/messages/count_tokens",
        &headers,
        MESSAGE,
    )
    .await
    .json();
    assert_eq!(count["input_tokens"], MESSAGE.len().div_ceil(4));
    let counters = server.sim().counters();
    assert_eq!(counters.total(|key| key.requests), 3);
    assert_eq!(counters.total(|key| key.free), 3);
    assert_eq!(counters.total(|key| key.admitted), 0);
}

#[tokio::test]
async fn a_missing_wrong_or_double_credential_is_refused_as_the_provider_does() {
    let server = start(config()).await;
    let version = ("anthropic-version", "2023-06-01");
    let refused = async |headers: &[(&str, &str)], path| {
        let answer = send(server.addr(), "POST", path, headers, MESSAGE).await;
        assert_eq!(answer.status, 401);
        let error = answer.json()["error"].clone();
        (
            error["type"].clone(),
            error["message"].as_str().unwrap().to_owned(),
        )
    };
    let messages = "/v1/messages";
    let (kind, text) = refused(&[version], messages).await;
    assert_eq!(
        (kind, text.as_str()),
        (
            "authentication_error".into(),
            "x-api-key header is required"
        )
    );
    assert_eq!(
        refused(&[version, ("x-api-key", "no")], messages).await.1,
        "invalid x-api-key"
    );
    let both = [
        version,
        ("x-api-key", ANTHROPIC),
        ("authorization", "Bearer sk-ant-test"),
    ];
    assert!(refused(&both, messages).await.1.contains("only one"));
    let wrong = [("authorization", "Bearer sk-proj-this-is-not-a-known-key")];
    let (kind, text) = refused(&wrong, "/v1/chat/completions").await;
    assert_eq!(kind, "invalid_request_error");
    assert!(
        text.starts_with("Incorrect API key provided: sk-proj-***"),
        "{text}"
    );
    assert!(!text.contains("not-a-known"));
}

#[tokio::test]
async fn a_bad_body_unknown_model_and_unknown_path_get_the_providers_own_words() {
    let mut config = config();
    config.organisations[0].models = vec!["claude-only".to_owned()];
    let server = start(config).await;
    let addr = server.addr();
    let broken = message(addr, "{").await;
    assert_eq!(
        (broken.status, broken.json()["error"]["type"].as_str()),
        (400, Some("invalid_request_error"))
    );
    let no_version = send(
        addr,
        "POST",
        "/v1/messages",
        &[("x-api-key", ANTHROPIC)],
        MESSAGE,
    )
    .await;
    assert_eq!(
        no_version.json()["error"]["message"],
        "anthropic-version: header is required"
    );
    let unknown = message(addr, MESSAGE).await;
    assert_eq!(
        (unknown.status, unknown.json()["error"]["message"].as_str()),
        (404, Some("model: claude-test"))
    );
    let path = openai(addr, "/v1/nothing", CHAT).await;
    assert_eq!(path.status, 404);
    assert_eq!(
        path.json()["error"]["message"],
        "Invalid URL (POST /v1/nothing)"
    );
    let bearer = format!("Bearer {OPENAI}");
    let method = send(
        addr,
        "GET",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        "",
    )
    .await;
    assert_eq!(
        (method.status, method.json()["error"]["code"].as_str()),
        (405, Some("method_not_supported"))
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_gets_413() {
    let mut config = config();
    config.max_body_bytes = 1000;
    let server = start(config).await;
    let long = MESSAGE.replace("hi", &"x".repeat(2000));
    let answer = message(server.addr(), &long).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["type"].as_str()),
        (413, Some("request_too_large"))
    );
}

#[tokio::test]
async fn a_refusal_shows_the_empty_counter_and_a_true_wait() {
    let server = start(SimConfig::anthropic(&[ANTHROPIC], Limits::per_minute(1))).await;
    assert_eq!(message(server.addr(), MESSAGE).await.status, 200);
    let refused = message(server.addr(), MESSAGE).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert_eq!(
        refused.header("anthropic-ratelimit-requests-remaining"),
        Some("0")
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((55..=60).contains(&wait), "{wait}");
    assert_eq!(server.sim().counters().key(ANTHROPIC).limited, 1);
}

#[tokio::test]
async fn openai_refusals_carry_both_waits_and_durations() {
    let server = start(SimConfig::openai(&[OPENAI], Limits::per_minute(1))).await;
    let chat = "/v1/chat/completions";
    assert_eq!(openai(server.addr(), chat, CHAT).await.status, 200);
    let refused = openai(server.addr(), chat, CHAT).await;
    let error = refused.json()["error"].clone();
    assert_eq!(
        (error["code"].as_str(), error["type"].as_str()),
        (Some("rate_limit_exceeded"), Some("requests"))
    );
    let millis: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(seconds, millis.div_ceil(1000));
    assert!(
        refused
            .header("x-ratelimit-reset-requests")
            .unwrap()
            .ends_with('s')
    );
}

#[tokio::test]
async fn the_answers_text_and_length_are_configurable() {
    let answer = AnswerConfig {
        text: Some("Exactly this.".to_owned()),
        output_tokens: Spread::Fixed(3),
        chunk_tokens: 1,
        ..AnswerConfig::default()
    };
    let server = start(config().with_answer(answer)).await;
    assert_eq!(
        message(server.addr(), MESSAGE).await.json()["content"][0]["text"],
        "Exactly this."
    );
    let stream = message(server.addr(), MESSAGE_STREAM).await;
    let deltas = stream
        .event_names()
        .iter()
        .filter(|name| *name == "content_block_delta")
        .count();
    assert_eq!(deltas, 3);
}

#[tokio::test]
async fn received_requests_are_kept_byte_for_byte() {
    let server = start(config()).await;
    let body = MESSAGE.replace("\"hi\"", "\"  h\\u0069 \"");
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
        ("Anthropic-Beta", "one, two"),
    ];
    send(
        server.addr(),
        "POST",
        "/v1/messages?beta=true",
        &headers,
        &body,
    )
    .await;
    let received = server.sim().requests().pop().unwrap();
    assert_eq!(received.body, body.as_bytes());
    assert_eq!(received.path_and_query, "/v1/messages?beta=true");
    assert_eq!(received.header("anthropic-beta"), Some("one, two"));
    assert_eq!(received.key.as_deref(), Some(ANTHROPIC));
}
