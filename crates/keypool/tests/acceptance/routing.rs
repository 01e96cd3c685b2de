//! From the model that a client names to the provider that serves it.

use keypool_sim::Fault;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Setup, World, anthropic_key, mask, openai_key};

/// Asks for this model; returns the answer and the model that the provider was asked for.
async fn ask_for(world: &World, api: Api, model: &str) -> (Answer, String) {
    world.sim.sim().reset();
    let mut body = api.body();
    body["model"] = model.into();
    let call = world
        .post(api.path())
        .header("anthropic-version", "2023-06-01");
    let answer = call.json(&body).await;
    answer.assert_ok();
    let received = world.received().pop().unwrap();
    let received: Value = serde_json::from_slice(&received.body).unwrap();
    (answer, received["model"].as_str().unwrap().to_owned())
}

// contract §2, model forms
#[tokio::test]
async fn a_model_may_be_named_with_its_provider_by_an_alias_or_bare() {
    let listed =
        json!([{ "name": "openai", "api_key": openai_key(2), "models": ["gpt-only-here"] }]);
    let world = Setup::both(1)
        .with_sim_keys("openai", 2)
        .set("/Providers", listed)
        .set("/Aliases", json!({ "fast": ["anthropic,claude-fast"] }))
        .start()
        .await;
    for (api, named, model) in [
        (Api::Messages, "anthropic,claude-x", "claude-x"),
        (Api::Messages, "anthropic/claude-x", "claude-x"),
        (Api::Messages, "fast", "claude-fast"),
        (Api::Messages, "claude-bare", "claude-bare"),
        (Api::Chat, "gpt-only-here", "gpt-only-here"),
        // Split at the first comma; slashes are the model's own unless a provider has that name.
        (Api::Chat, "openai,a,b", "a,b"),
        (Api::Chat, "meta/llama", "meta/llama"),
    ] {
        let (answer, received) = ask_for(&world, api, named).await;
        assert_eq!(
            answer.header("x-keypool-provider"),
            api.provider(),
            "{named}"
        );
        assert_eq!(received, model, "{named}");
    }
}

#[tokio::test]
async fn where_nothing_else_tells_the_routers_default_is_taken() {
    let setup =
        Setup::anthropic(1).set("/Router", json!({ "default": "anthropic,claude-default" }));
    let world = setup.start().await;
    assert_eq!(
        ask_for(&world, Api::Messages, "whatever").await.1,
        "claude-default"
    );
}

#[tokio::test]
async fn an_aliass_fallbacks_serve_when_its_first_target_cannot() {
    let mirror = json!({
        "protocol": "anthropic", "baseUrl": "$SIM", "keys": [{ "key": anthropic_key(2) }],
    });
    let world = Setup::anthropic(1)
        .with_sim_keys("anthropic", 2)
        .set("/ApiKeyPool/providers/mirror", mirror)
        .set(
            "/Aliases",
            json!({ "big": ["anthropic,claude-big", "mirror,claude-mirrored"] }),
        )
        .start()
        .await;
    assert_eq!(ask_for(&world, Api::Messages, "big").await.1, "claude-big");
    for fault in [
        Fault::status(500),
        Fault::rate_limited(60),
        Fault::Unauthorized,
    ] {
        world.fault(&anthropic_key(1), fault.clone());
        let (answer, model) = ask_for(&world, Api::Messages, "big").await;
        assert_eq!(answer.key(), mask(&anthropic_key(2)), "{fault:?}");
        assert_eq!(model, "claude-mirrored", "{fault:?}");
    }
}

#[tokio::test]
async fn a_provider_that_serves_nobody_from_here_is_left_at_once_and_its_keys_are_not_blamed() {
    let mirror = json!({
        "protocol": "openai", "baseUrl": "$SIM", "keys": [{ "key": openai_key(3) }],
    });
    let world = Setup::openai(2)
        .with_sim_keys("openai", 3)
        .set("/ApiKeyPool/providers/mirror", mirror)
        .set(
            "/Aliases",
            json!({ "big": ["openai,gpt-big", "mirror,gpt-mirrored"] }),
        )
        .start()
        .await;
    let refused = Fault::Status {
        status: 403,
        code: Some("unsupported_country_region_territory".to_owned()),
        message: Some("Country, region, or territory not supported".to_owned()),
        retry_after: None,
    };
    for number in [1, 2] {
        world.fault(&openai_key(number), refused.clone());
    }
    let (answer, model) = ask_for(&world, Api::Chat, "big").await;
    assert_eq!(answer.key(), mask(&openai_key(3)));
    assert_eq!(
        (answer.header("x-keypool-attempts"), &*model),
        ("2", "gpt-mirrored")
    );

    let alone = world.ask(Api::Chat).await;
    Api::Chat.assert_error(&alone, 403, "unsupported_country_region_territory");
    assert_eq!(alone.header("x-keypool-attempts"), "1");
    for number in [1, 2] {
        assert_eq!(world.score(&openai_key(number)).await, 100);
        assert_eq!(world.state(&openai_key(number)).await, "healthy");
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_provider_and_cost_no_quota() {
    let limit = json!({ "tokensPerMinute": 1000 });
    let world = Setup::anthropic(1).key(1, "rateLimit", limit).start().await;
    let call = world
        .post("/v1/messages/count_tokens")
        .header("anthropic-version", "2023-06-01");
    let mut body = Api::Messages.body();
    body.as_object_mut().unwrap().remove("max_tokens");
    let counted = call.json(&body).await;
    counted.assert_ok();
    assert!(counted.json()["input_tokens"].as_u64().unwrap() > 0);
    let meters = world.details("anthropic", &anthropic_key(1)).await["meters"].take();
    assert_eq!(meters[0]["used"], 0);
}
