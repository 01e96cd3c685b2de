//! Gemini's own API, from client to provider: what passes untouched, what is counted, what goes wrong.

mod failures;
mod requests;
mod streams;

use keypool_sim::Fault;
use serde_json::{Value, json};

use crate::support::{Answer, Call, World};

/// A model's name without its provider.
const MODEL: &str = "gemini-2.5-flash";

/// The smallest request.
fn body() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]})
}

/// A request for a method, which may have a query behind it, of a model in any form.
fn ask(world: &World, model: &str, method: &str) -> Call {
    let path = format!("/v1beta/models/{model}:{method}");
    world.post(&path).json(&body())
}

fn plain(world: &World) -> Call {
    ask(world, MODEL, "generateContent")
}

fn stream(world: &World) -> Call {
    ask(world, MODEL, "streamGenerateContent?alt=sse")
}

/// An answer word for word.
fn verbatim(status: u16, content_type: &str, body: impl Into<String>) -> Fault {
    Fault::Verbatim {
        status,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: body.into(),
    }
}

/// Events as Google writes them.
fn events(chunks: &[Value]) -> String {
    let event = |chunk: &Value| format!("data: {chunk}\r\n\r\n");
    chunks.iter().map(event).collect()
}

/// A chunk with this text, and more members.
fn chunk(text: &str, more: &Value) -> Value {
    let mut chunk = json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}]});
    chunk
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    chunk
}

/// The chunk that ends an answer.
fn last_chunk(usage: &Value) -> Value {
    let mut last = chunk("", &json!({"usageMetadata": usage}));
    last["candidates"][0]["finishReason"] = "STOP".into();
    last
}

/// Fails unless the body is an error in Google's shape; its reason, in lower case.
#[track_caller]
fn reason_in(body: &Value) -> String {
    let error = &body["error"];
    assert!(
        error["code"].is_u64() && error["status"].is_string(),
        "{body}"
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    let reason = error["details"][0]["reason"].as_str().unwrap_or_default();
    reason.to_ascii_lowercase()
}

/// Fails unless the answer is this error of keypool's own.
#[track_caller]
fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(reason_in(&answer.json()), code, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], status);
}

/// Tokens that were counted with a key: input, output, read from the cache.
async fn counted(world: &World, key: &str) -> [u64; 3] {
    let details = world.details("gemini", key).await;
    let tokens = &details["metrics"]["tokens"];
    ["input", "output", "cacheRead"]
        .map(|name| tokens[name].as_u64().unwrap_or_else(|| panic!("{tokens}")))
}
