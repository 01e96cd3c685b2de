//! State that belongs to an organisation, and quota that somebody else spends, over sockets.

use std::time::Duration;

use crate::client::{
    ANTHROPIC, CHAT, GEMINI, GENERATE, MESSAGE, MESSAGE_STREAM, OPENAI, gemini, message, openai,
    send, start,
};
use keypool_sim::model::{Ending, Model, Request};
use keypool_sim::{Dialect, Endpoint, HeaderStyle, Limits, SimConfig, SimTime};
use serde_json::{Value, json};

const FOREIGN: &str = "sk-of-another-organisation";

/// Two Anthropic organisations that think, and two of OpenAI.
fn thinking() -> SimConfig {
    SimConfig::anthropic(&[ANTHROPIC, FOREIGN], Limits::NONE).with_thinking()
}

/// A Messages request that hands `content` back as the assistant's.
fn going_on_from(content: &Value) -> String {
    json!({
        "model": "claude-test",
        "max_tokens": 100,
        "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": content },
            { "role": "user", "content": "go on" },
        ],
    })
    .to_string()
}

#[tokio::test]
async fn a_thinking_block_comes_with_a_signature_that_another_organisation_refuses() {
    let server = start(thinking()).await;
    let answer = message(server.addr(), MESSAGE).await.json();
    let content = &answer["content"];
    assert_eq!(content[0]["type"], "thinking");
    assert!(content[0]["signature"].as_str().unwrap().len() > 40);
    assert_eq!(content[1]["type"], "text");
    let next = going_on_from(content);
    assert_eq!(message(server.addr(), &next).await.status, 200);
    let headers = [("x-api-key", FOREIGN), ("anthropic-version", "2023-06-01")];
    let refused = send(server.addr(), "POST", "/v1/messages", &headers, &next).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["error"]["message"],
        "messages.1.content.0: Invalid `signature` in `thinking` block"
    );
    let altered = next.replace("\"signature\":\"", "\"signature\":\"x");
    assert_eq!(message(server.addr(), &altered).await.status, 400);
}

#[tokio::test]
async fn a_stream_thinks_before_it_speaks() {
    let server = start(thinking()).await;
    let answer = message(server.addr(), MESSAGE_STREAM).await;
    let events: Vec<Value> = answer
        .events()
        .iter()
        .map(|(_, data)| serde_json::from_str(data).unwrap())
        .collect();
    let told: Vec<(&str, &str, Option<u64>)> = events
        .iter()
        .map(|event| {
            let delta = event["delta"]["type"].as_str();
            let block = event["content_block"]["type"].as_str();
            let kind = event["type"].as_str().unwrap();
            (kind, delta.or(block).unwrap_or(""), event["index"].as_u64())
        })
        .collect();
    let expected = [
        ("message_start", "", None),
        ("content_block_start", "thinking", Some(0)),
        ("ping", "", None),
        ("content_block_delta", "thinking_delta", Some(0)),
        ("content_block_delta", "signature_delta", Some(0)),
        ("content_block_stop", "", Some(0)),
        ("content_block_start", "text", Some(1)),
        ("content_block_delta", "text_delta", Some(1)),
    ];
    assert_eq!(told[..8], expected);
    let end = [
        ("content_block_stop", "", Some(1)),
        ("message_delta", "", None),
        ("message_stop", "", None),
    ];
    assert_eq!(told[told.len() - 3..], end);
    let content = json!([{
        "type": "thinking",
        "thinking": events[3]["delta"]["thinking"],
        "signature": events[4]["delta"]["signature"],
    }]);
    let next = going_on_from(&content);
    assert_eq!(message(server.addr(), &next).await.status, 200);
}

#[tokio::test]
async fn a_response_is_found_by_the_organisation_that_made_it_only() {
    let server = start(SimConfig::openai(&[OPENAI, FOREIGN], Limits::NONE)).await;
    let path = "/v1/responses";
    let first = openai(server.addr(), path, r#"{"model":"gpt-test","input":"hi"}"#).await;
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), "resp_".len() + 48);
    let next = json!({ "model": "gpt-test", "input": "go on", "previous_response_id": id });
    let next = next.to_string();
    assert_eq!(openai(server.addr(), path, &next).await.status, 200);
    let bearer = format!("Bearer {FOREIGN}");
    let headers = [("authorization", bearer.as_str())];
    let refused = send(server.addr(), "POST", path, &headers, &next).await;
    let error = refused.json()["error"].clone();
    assert_eq!(
        (
            refused.status,
            error["code"].as_str(),
            error["param"].as_str()
        ),
        (
            404,
            Some("previous_response_not_found"),
            Some("previous_response_id")
        )
    );
    assert_eq!(
        error["message"],
        format!("Previous response with id '{id}' not found.")
    );
}

#[tokio::test]
async fn somebody_else_can_spend_the_quota_by_handle_and_over_http() {
    let server = start(SimConfig::anthropic(&[ANTHROPIC], Limits::per_minute(50))).await;
    server.sim().consume("org-1", 20, 0, 0).unwrap();
    let body = format!(r#"{{"name":"{ANTHROPIC}","requests":15}}"#);
    let command = send(server.addr(), "POST", "/__sim/consume", &[], &body).await;
    assert_eq!((command.status, command.body.as_str()), (200, "{}"));
    let answer = message(server.addr(), MESSAGE).await;
    assert_eq!(
        answer.header("anthropic-ratelimit-requests-remaining"),
        Some("14")
    );
    let all = r#"{"name":"org-1","model":"claude-test","requests":1000,"inputTokens":5}"#;
    send(server.addr(), "POST", "/__sim/consume", &[], all).await;
    assert_eq!(message(server.addr(), MESSAGE).await.status, 429);
    let unknown = send(
        server.addr(),
        "POST",
        "/__sim/consume",
        &[],
        r#"{"name":"who"}"#,
    )
    .await;
    assert_eq!(unknown.status, 404);
    assert!(server.sim().consume("who", 1, 0, 0).is_err());
}

#[tokio::test]
async fn an_organisations_limits_are_lowered_and_raised_over_http() {
    let server = start(SimConfig::anthropic(&[ANTHROPIC], Limits::per_minute(1))).await;
    let addr = server.addr();
    let limit = async |requests: u64| {
        let body = format!(r#"{{"name":"org-1","limits":{{"requestsPerMinute":{requests}}}}}"#);
        send(addr, "POST", "/__sim/limits", &[], &body).await.status
    };
    let status = async || message(addr, MESSAGE).await.status;
    assert_eq!((status().await, status().await), (200, 429));
    assert_eq!(limit(3).await, 200);
    assert_eq!((status().await, status().await), (200, 200));
    assert_eq!(status().await, 429);
    assert_eq!(limit(2).await, 200);
    assert_eq!(status().await, 429);
}

#[tokio::test]
async fn the_server_sends_the_headers_that_the_model_renders() {
    let limits = Limits {
        requests_per_minute: Some(1),
        requests_per_day: Some(10),
        tokens_per_minute: Some(100_000),
        ..Limits::NONE
    };
    for style in [
        HeaderStyle::Dialect,
        HeaderStyle::None,
        HeaderStyle::Azure,
        HeaderStyle::Groq,
        HeaderStyle::Together,
    ] {
        for dialect in [Dialect::Anthropic, Dialect::OpenAi, Dialect::Gemini] {
            let mut config = SimConfig::empty()
                .with_keys(dialect, &[ANTHROPIC, OPENAI, GEMINI], limits)
                .with_headers(style);
            config.keys[0].workspace = Some("space".to_owned());
            config.keys[1].workspace = Some("space".to_owned());
            let server = start(config.clone()).await;
            let mut model = Model::new(SimTime::default(), &config).unwrap();
            for expected in [200, 429] {
                let answer = match dialect {
                    Dialect::Anthropic => message(server.addr(), MESSAGE).await,
                    Dialect::OpenAi => openai(server.addr(), "/v1/chat/completions", CHAT).await,
                    Dialect::Gemini => gemini(server.addr(), "generateContent", GENERATE).await,
                };
                assert_eq!(answer.status, expected);
                let rendered = rendered(&mut model, dialect);
                for (name, value) in &rendered {
                    let sent = answer.header(name);
                    // Times pass over a socket, and tokens refill meanwhile; everything else is the same to
                    // the letter.
                    let is_time = name.contains("reset") || name.contains("retry-after");
                    let is_level = name.contains("remaining") && name.contains("tokens");
                    let is_near = |sent: &str| {
                        let number = |text: &str| text.parse::<u64>().ok();
                        let (sent, told) = (number(sent), number(value));
                        is_level && sent.zip(told).is_some_and(|(a, b)| a.abs_diff(b) < 5_000)
                    };
                    let same = sent.is_some_and(|sent| is_time || sent == value || is_near(sent));
                    assert!(same, "{style:?} {name}: {value}, sent {sent:?}");
                }
                let quota = |name: &str| name.contains("ratelimit") || name.contains("retry-after");
                let sent = answer.head.lines().filter(|line| quota(line)).count();
                let told = rendered.iter().filter(|(name, _)| quota(name)).count();
                assert_eq!(sent, told, "{style:?} {dialect:?}");
            }
        }
    }
}

/// The headers of the next exchange with the model alone, a moment later.
#[cfg(test)]
fn rendered(model: &mut Model, dialect: Dialect) -> Vec<keypool_sim::model::Header> {
    let (endpoint, secret, body) = match dialect {
        Dialect::Anthropic => (Endpoint::Messages, ANTHROPIC, MESSAGE),
        Dialect::OpenAi => (Endpoint::ChatCompletions, OPENAI, CHAT),
        Dialect::Gemini => (Endpoint::GenerateContent, GEMINI, GENERATE),
    };
    let now = SimTime::default() + Duration::from_millis(1);
    let request = Request::plain("some-model", body.len().div_ceil(4) as u64, None);
    let verdict = model.ask(now, endpoint, secret, &request);
    let error = verdict.refusal().cloned();
    let output = verdict.grant().map_or(0, |grant| grant.usage.output);
    let mut ticket = verdict.ticket.unwrap();
    let headers = match &error {
        Some(error) => model.refusal_headers(now, &ticket, error),
        None => model.headers(now, &ticket),
    };
    model.produce(now, &mut ticket, output);
    model.finish(now, ticket, Ending::Complete);
    headers
}
