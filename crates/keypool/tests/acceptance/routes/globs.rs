//! Keys that may serve some models only.

use serde_json::json;

use super::{claude_code, goes, with};
use crate::support::{Api, Setup, anthropic_key, mask, openai_key};

// contract §1 keys[].models
#[tokio::test]
async fn a_key_serves_the_models_of_its_list_whatever_form_names_them() {
    let world = Setup::anthropic(2)
        .key(1, "models", json!(["claude-opus-*"]))
        .key(2, "models", json!(["claude-sonnet-*", "*haiku*"]))
        .set(
            "/Aliases",
            json!({ "big": ["anthropic,claude-opus-x"], "small": ["anthropic,claude-haiku-x"] }),
        )
        .set("/Router", json!({ "think": "anthropic,claude-opus-y" }))
        .start()
        .await;
    for (named, number) in [
        ("anthropic,claude-opus-x", 1),
        ("anthropic/claude-opus-x", 1),
        ("claude-opus-x", 1),
        ("big", 1),
        ("anthropic,claude-sonnet-x", 2),
        ("claude-sonnet-x", 2),
        ("small", 2),
    ] {
        for _ in 0..3 {
            let body = with(Api::Messages.body(), "model", named);
            let call = world
                .post("/v1/messages")
                .header("anthropic-version", "2023-06-01");
            let answer = call.json(&body).await;
            answer.assert_ok();
            assert_eq!(answer.key(), mask(&anthropic_key(number)), "{named}");
        }
    }
    // The list speaks of the model that the provider is asked for, not of the one that the client named.
    assert_eq!(
        goes(&world, &super::thinking(claude_code())).await.1,
        "claude-opus-y"
    );
    assert_eq!(world.served(&anthropic_key(1)), 1);
}

#[tokio::test]
async fn a_model_that_no_key_may_serve_is_a_404_and_a_fallback_serves_instead() {
    let world = Setup::both(1)
        .set(
            "/ApiKeyPool/providers/anthropic/keys/0/models",
            json!(["claude-*"]),
        )
        .set(
            "/ApiKeyPool/providers/openai/keys/0/models",
            json!(["gpt-*"]),
        )
        .set(
            "/Aliases",
            json!({ "any": ["anthropic,other-x", "openai,gpt-x"] }),
        )
        .start()
        .await;
    for api in [Api::Messages, Api::Chat, Api::Responses] {
        for named in ["anthropic,other-x", "openai,other-x", "openai/o-x"] {
            let call = world
                .post(api.path())
                .header("anthropic-version", "2023-06-01");
            let answer = call.json(&with(api.body(), "model", named)).await;
            api.assert_error(&answer, 404, "no_key_for_model");
            assert_eq!(answer.header("x-should-retry"), "false");
            assert!(
                answer.text().contains("no key may serve this model"),
                "{}",
                answer.text()
            );
        }
        let call = world
            .post(api.path())
            .header("anthropic-version", "2023-06-01");
        let answer = call.json(&with(api.body(), "model", "any")).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&openai_key(1)), "{api:?}");
    }
    let asked = world.received();
    assert_eq!(asked.len(), 3, "nothing that no key may serve was sent");
}
