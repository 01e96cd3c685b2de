//! Each rule, and which of several goes first.

use keypool_wire::Endpoint;
use serde_json::{Value, json};

use super::{
    claude_code, goes, long, ruled, searching, seeing, sent, thinking, unruled, with,
    with_all_rules, with_rules,
};
use crate::support::{Api, Setup, openai_key};

// contract §1 Router
#[tokio::test]
async fn each_kind_of_request_goes_where_its_rule_says() {
    let world = with_all_rules().start().await;
    let haiku = with(claude_code(), "model", "claude-haiku-4-5-20251001");
    for (body, rule) in [
        (claude_code(), "default"),
        (haiku, "background"),
        (thinking(claude_code()), "think"),
        (searching(claude_code()), "webSearch"),
        (long(claude_code()), "longContext"),
        (seeing(claude_code()), "image"),
    ] {
        assert_eq!(goes(&world, &body).await, ruled(rule), "{rule}");
    }
    let off = with(claude_code(), "thinking", json!({ "type": "disabled" }));
    assert_eq!(goes(&world, &off).await, ruled("default"));
}

#[tokio::test]
async fn of_several_rules_that_hold_the_first_in_claude_code_routers_order_counts() {
    let everything = seeing(searching(thinking(long(with(
        claude_code(),
        "model",
        "claude-haiku-4-5",
    )))));
    let order = [
        "image",
        "longContext",
        "background",
        "webSearch",
        "think",
        "default",
    ];
    for first in 0..order.len() {
        let mut setup = with_rules(&order[first..]);
        if first <= 1 {
            // Web search is in no other API.
            setup = setup.set("/Router/longContext", "anthropic,gpt-long");
        }
        let world = setup.start().await;
        assert_eq!(goes(&world, &everything).await, ruled(order[first]));
    }
    let without = Setup::both(1).start().await;
    assert_eq!(
        goes(&without, &everything).await,
        unruled("claude-haiku-4-5")
    );
}

#[tokio::test]
async fn a_prompt_is_long_from_one_token_above_the_threshold_on() {
    const THRESHOLD: u64 = 2000;
    let estimate = |body: &Value| {
        let body = body.to_string();
        keypool_wire::peek(Endpoint::Messages, body.as_bytes())
            .unwrap()
            .input_tokens
    };
    let mut body = claude_code();
    let mut just_below = body.clone();
    while estimate(&body) <= THRESHOLD {
        just_below = body.clone();
        let text = body["system"][2]["text"].as_str().unwrap();
        body["system"][2]["text"] = format!("{text} x").into();
    }
    assert_eq!(
        (estimate(&just_below), estimate(&body)),
        (THRESHOLD, THRESHOLD + 1)
    );
    let world = with_rules(&["default", "longContext"])
        .set("/Router/longContextThreshold", THRESHOLD)
        .start()
        .await;
    assert_eq!(goes(&world, &just_below).await, ruled("default"));
    assert_eq!(goes(&world, &body).await, ruled("longContext"));
}

// contract §2, model forms
#[tokio::test]
async fn a_name_that_says_its_provider_and_an_alias_are_under_no_rule() {
    let world = with_all_rules()
        .set("/Aliases", json!({ "mine": ["anthropic,claude-mine"] }))
        .start()
        .await;
    let everything = seeing(searching(thinking(long(claude_code()))));
    for (named, model) in [
        ("anthropic,claude-haiku-x", "claude-haiku-x"),
        ("anthropic/claude-haiku-x", "claude-haiku-x"),
        ("mine", "claude-mine"),
    ] {
        let body = with(everything.clone(), "model", named);
        assert_eq!(goes(&world, &body).await, unruled(model), "{named}");
    }
}

#[tokio::test]
async fn a_bare_name_that_one_provider_lists_goes_there_unless_its_request_is_of_a_special_kind() {
    let listed = json!([{ "name": "openai", "api_key": openai_key(1), "models": ["gpt-listed"] }]);
    let world = with_all_rules().set("/Providers", listed).start().await;
    let body = with(claude_code(), "model", "gpt-listed");
    assert_eq!(goes(&world, &body).await, unruled("gpt-listed"));
    assert_eq!(goes(&world, &thinking(body)).await, ruled("think"));
}

#[tokio::test]
async fn the_rules_hold_in_every_api_in_its_own_words() {
    let world = with_all_rules().start().await;
    let image = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "https://example.com/x.png" } }] }]);
    let picture = json!([{ "role": "user", "parts": [{ "inlineData": { "mimeType": "image/png", "data": "iVBORw0KGgo=" } }] }]);
    for (api, member, value, rule) in [
        (Api::Chat, "user", "u".into(), "default"),
        (Api::Chat, "reasoning_effort", "high".into(), "think"),
        (Api::Chat, "messages", image, "image"),
        (Api::Responses, "user", "u".into(), "default"),
        (
            Api::Responses,
            "reasoning",
            json!({ "effort": "low" }),
            "think",
        ),
        (
            Api::Responses,
            "reasoning",
            json!({ "effort": "none" }),
            "default",
        ),
        (Api::Gemini, "labels", Value::Null, "default"),
        (
            Api::Gemini,
            "generationConfig",
            json!({ "thinkingConfig": { "thinkingBudget": 2048 } }),
            "think",
        ),
        (Api::Gemini, "contents", picture, "image"),
    ] {
        let body = with(with(api.body(), "model", "gpt-bare"), member, value);
        let (_, rule_told, model) = sent(&world, api.path(), &body).await;
        assert_eq!((rule_told, model), ruled(rule), "{api:?} {member}");
    }
}

#[tokio::test]
async fn embeddings_are_under_no_rule() {
    let world = with_all_rules().start().await;
    let body = with(Api::Embeddings.body(), "model", "text-embedding-3-small");
    let (answer, rule, model) = sent(&world, Api::Embeddings.path(), &body).await;
    assert_eq!(
        (rule.as_str(), model.as_str()),
        ("", "text-embedding-3-small")
    );
    assert_eq!(answer.header("x-keypool-provider"), "openai");
}

#[tokio::test]
async fn tokens_are_counted_for_the_model_that_would_answer() {
    let world = with_all_rules().start().await;
    let mut body = thinking(claude_code());
    for member in ["stream", "max_tokens", "metadata"] {
        body.as_object_mut().unwrap().remove(member);
    }
    let (answer, rule, model) = sent(&world, "/v1/messages/count_tokens", &body).await;
    assert_eq!((rule, model), ruled("think"));
    assert!(answer.json()["input_tokens"].as_u64().unwrap() > 0);

    // Its provider counts none in this API: an estimate, and nobody is asked.
    world.sim.sim().reset();
    let call = world.post("/v1/messages/count_tokens");
    let long = long(body);
    let estimated = call
        .header("anthropic-version", "2023-06-01")
        .json(&long)
        .await;
    estimated.assert_ok();
    assert_eq!(estimated.header("x-keypool-estimated"), "true");
    assert_eq!(world.received().len(), 0);
}

#[tokio::test]
async fn a_rule_that_is_changed_in_the_file_holds_after_the_reload() {
    let world = with_rules(&["default"]).start().await;
    assert_eq!(
        goes(&world, &thinking(claude_code())).await,
        ruled("default")
    );
    let mut config = world.config.clone();
    config["Router"]["think"] = "anthropic,claude-think".into();
    world.write_config(config);
    world.post("/api/config/reload").await.assert_ok();
    assert_eq!(goes(&world, &thinking(claude_code())).await, ruled("think"));
}
