//! Servers of the operator's own that speak like somebody known: Ollama, vLLM, LM Studio and the rest.

use serde_json::{Value, json};

use super::world;
use crate::support::cloud::{Reply, Server};
use crate::support::{Api, CANARY};

fn chat_of(provider: &str) -> Value {
    let mut body = Api::Chat.body();
    body["model"] = format!("{provider},llama3.3").into();
    body
}

#[tokio::test]
async fn a_server_that_asks_for_no_key_is_sent_none() {
    let server = Server::start(|_| Reply::chat()).await;
    let base_url = format!("{}/v1", server.url());
    let world = world(json!({
        "ollama": { "baseUrl": base_url },
        "mine": { "baseUrl": base_url, "protocol": "openai", "keys": [{ "key": "none" }] },
    }))
    .await;
    for provider in ["ollama", "mine"] {
        let call = world.post(Api::Chat.path()).json(&chat_of(provider));
        let answer = call.header("x-api-key", CANARY).await;
        answer.assert_ok();
        assert_eq!(answer.key(), "none");
    }
    for request in server.received() {
        assert_eq!(request.method, "POST");
        assert_eq!(request.target, "/v1/chat/completions");
        assert_eq!(request.credentials(), []);
    }
    let shown = world.shown("provider/ollama").await;
    assert_eq!(shown["keys"][0]["key"], "none");
}

#[tokio::test]
async fn each_of_several_machines_without_keys_is_a_key_of_its_own() {
    let broken = Server::start(|_| Reply::json(500, &json!({"error": {"message": "no"}}))).await;
    let sound = Server::start(|_| Reply::chat()).await;
    let url = |server: &Server| json!({ "baseUrl": format!("{}/v1", server.url()) });
    let world = world(json!({ "vllm": { "keys": [url(&broken), url(&sound)] } })).await;
    let answer = world.post(Api::Chat.path()).json(&chat_of("vllm")).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-attempts"), "2");
    assert_eq!((broken.received().len(), sound.received().len()), (1, 1));
    let keys = world.shown("provider/vllm").await["keys"].clone();
    assert_ne!(keys[0]["id"], keys[1]["id"]);
}

#[tokio::test]
async fn a_server_that_wants_a_key_after_all_is_given_it() {
    let server = Server::start(|_| Reply::chat()).await;
    let key = format!("token-{CANARY}-1");
    let base_url = format!("{}/v1", server.url());
    let world =
        world(json!({ "lmstudio": { "baseUrl": base_url, "keys": [{ "key": key }] } })).await;
    let answer = world
        .post(Api::Chat.path())
        .json(&chat_of("lmstudio"))
        .await;
    answer.assert_ok();
    let expected = format!("Bearer {key}");
    assert_eq!(
        server.only().credentials(),
        [("authorization", expected.as_str())]
    );
}

#[tokio::test]
async fn what_a_server_can_do_may_be_said() {
    let server = Server::start(|_| Reply::chat()).await;
    let base_url = format!("{}/v1", server.url());
    let world = world(json!({
        "vllm": { "baseUrl": base_url, "responses": false, "maxOutputTokens": 2048 },
    }))
    .await;
    let body = json!({"model": "vllm,llama3.3", "input": "Hello", "max_output_tokens": 9000});
    let answer = world.post(Api::Responses.path()).json(&body).await;
    answer.assert_ok();
    let sent = server.only();
    assert_eq!(sent.target, "/v1/chat/completions");
    assert_eq!(sent.json()["max_tokens"], 2048);
}
