//! Group C: the admin API with the guide's shapes to the letter, and `/v1/messages`.

use std::time::Duration;

use keypool_sim::{Fault, Spread};
use serde_json::{Value, json};

use crate::support::{Api, Setup, World, anthropic_key, eventually, mask, openai_key};

/// The names of an object's fields.
fn fields(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[track_caller]
fn assert_has_fields(value: &Value, names: &[&str]) {
    let present = fields(value);
    for name in names {
        assert!(present.contains(name), "{name} is missing in {value}");
    }
}

async fn serve(world: &World, api: Api, count: usize) {
    for _ in 0..count {
        world.ask(api).await.assert_ok();
    }
}

fn sum(numbers: &Value) -> f64 {
    numbers
        .as_object()
        .unwrap()
        .values()
        .map(|number| number.as_f64().unwrap())
        .sum()
}

// acceptance 26, 27
#[tokio::test]
async fn stats_have_the_fields_of_the_guide_and_they_add_up() {
    let world = Setup::anthropic(3).start().await;
    world.fault(&anthropic_key(1), Fault::rate_limited(60));
    serve(&world, Api::Messages, 7).await;
    let stats = world.shown("stats").await;
    let counts = [
        "healthyKeys",
        "degradedKeys",
        "rateLimitedKeys",
        "unavailableKeys",
    ];
    assert_has_fields(&stats, &counts);
    assert_has_fields(&stats, &["totalKeys", "totalRequests", "totalErrors"]);
    assert_has_fields(&stats, &["averageHealthScore", "keyUtilization"]);
    let counted: u64 = counts
        .iter()
        .map(|state| stats[state].as_u64().unwrap())
        .sum();
    assert_eq!((counted, &stats["totalKeys"]), (3, &json!(3)));
    assert_eq!(stats["rateLimitedKeys"], 1);
    assert_eq!(
        stats["totalRequests"], 8,
        "seven, and the one that moved on"
    );
    assert!(
        (sum(&stats["keyUtilization"]) - 100.0).abs() < 0.01,
        "{stats}"
    );
}

// acceptance 28
#[tokio::test]
async fn stats_cover_one_provider_or_all() {
    let world = Setup::both(2).start().await;
    serve(&world, Api::Messages, 3).await;
    serve(&world, Api::Chat, 1).await;
    for (query, keys, requests) in [
        ("", 4, 4),
        ("?provider=anthropic", 2, 3),
        ("?provider=openai", 2, 1),
    ] {
        let stats = world.shown(&format!("stats{query}")).await;
        assert_eq!(stats["totalKeys"], keys, "{query}");
        assert_eq!(stats["totalRequests"], requests, "{query}");
        assert_eq!(
            stats["keyUtilization"].as_object().unwrap().len(),
            keys,
            "{query}"
        );
    }
}

// acceptance 29
#[tokio::test]
async fn health_shows_every_key_of_every_provider_as_the_guide_does() {
    let world = Setup::both(2).start().await;
    serve(&world, Api::Messages, 2).await;
    let health = world.shown("health").await;
    assert_eq!(fields(&health), ["anthropic", "openai"]);
    for provider in health.as_object().unwrap().values() {
        assert_has_fields(
            provider,
            &["totalKeys", "healthyKeys", "averageHealthScore", "keys"],
        );
        let keys = provider["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        for key in keys {
            assert_has_fields(
                key,
                &["key", "enabled", "priority", "health", "healthScore"],
            );
            assert_has_fields(key, &["requestCount", "errorCount"]);
        }
    }
    let first = world.health(&anthropic_key(1)).await;
    assert_eq!(
        (&first["requestCount"], &first["errorCount"]),
        (&json!(1), &json!(0))
    );
}

// acceptance 30
#[tokio::test]
async fn the_strategy_is_changed_by_one_call_and_an_unknown_one_changes_nothing() {
    let world = Setup::both(1).start().await;
    let changed = world
        .admin("strategy", &json!({ "strategy": "round-robin" }))
        .await;
    assert_eq!(
        (changed.status, &changed.data()["strategy"]),
        (200, &json!("round-robin"))
    );
    let refused = world
        .admin("strategy", &json!({ "strategy": "fastest" }))
        .await;
    assert_eq!(
        (refused.status, &refused.error()["field"]),
        (400, &json!("strategy"))
    );
    let body = json!({ "strategy": "lru", "provider": "openai" });
    world.admin("strategy", &body).await.assert_ok();
    let current = world.shown("strategy").await["current"].take();
    assert_eq!(
        current,
        json!({ "anthropic": "round-robin", "openai": "lru" })
    );
    let available = world.shown("strategy").await["available"].take();
    assert!(available.as_array().unwrap().contains(&json!("weighted")));
}

// acceptance 31
#[tokio::test]
async fn a_health_check_needs_no_body_and_no_content_type() {
    let world = Setup::anthropic(2).start().await;
    world.fault(&anthropic_key(1), Fault::rate_limited(1));
    world.ask(Api::Messages).await.assert_ok();
    let checked = world.post("/api/apikeys/health-check").await;
    assert_eq!(
        (checked.status, &checked.data()["checkedKeys"]),
        (200, &json!(2))
    );
}

// acceptance 32
#[tokio::test]
async fn an_added_key_is_used_by_the_next_request() {
    let setup = Setup::anthropic(1)
        .with_sim_keys("anthropic", 2)
        .strategy("lru");
    let world = setup.start().await;
    serve(&world, Api::Messages, 2).await;
    let limit = json!({ "requestsPerMinute": 50, "tokensPerMinute": 40_000 });
    let key = json!({
        "provider": "anthropic", "key": anthropic_key(2), "rateLimit": limit,
        "priority": 7, "enabled": true, "tags": ["production"],
    });
    assert_eq!(world.admin("add", &key).await.status, 201);
    assert_eq!(
        world.ask(Api::Messages).await.key(),
        mask(&anthropic_key(2))
    );
    let details = world.details("anthropic", &anthropic_key(2)).await;
    assert_eq!(details["config"]["rateLimit"]["requestsPerMinute"], 50);
    assert_eq!(details["config"]["tags"], json!(["production"]));
    assert_eq!(details["priority"], 7);
}

// acceptance 33
#[tokio::test]
async fn a_key_can_be_added_with_little_and_not_without_key_or_provider() {
    let world = Setup::anthropic(1)
        .with_sim_keys("anthropic", 2)
        .start()
        .await;
    let key = anthropic_key(2);
    let little = json!({ "provider": "anthropic", "key": key, "priority": 10, "enabled": true });
    for (missing, body) in [
        ("key", json!({ "provider": "anthropic" })),
        ("provider", json!({ "key": key })),
    ] {
        let refused = world.admin("add", &body).await;
        assert_eq!(
            (refused.status, &refused.error()["field"]),
            (400, &json!(missing))
        );
    }
    assert_eq!(world.admin("add", &little).await.status, 201);
    let again = world.admin("add", &little).await;
    assert_eq!(
        (again.status, &again.error()["code"]),
        (409, &json!("duplicate_key"))
    );
}

// acceptance 34
#[tokio::test]
async fn a_removed_key_is_not_used_again_and_its_requests_finish() {
    let world = Setup::anthropic(2).strategy("fill-first");
    let world = world
        .sim(|sim| sim.answer.chunk_delay = Duration::from_millis(50))
        .start()
        .await;
    let mut stream = world.ask_stream(Api::Messages).open().await;
    assert_eq!(
        stream.headers["x-keypool-key"],
        mask(&anthropic_key(1)).as_str()
    );
    stream.event().await;
    world
        .remove("anthropic", &anthropic_key(1))
        .await
        .assert_ok();
    assert_eq!(
        world.ask(Api::Messages).await.key(),
        mask(&anthropic_key(2))
    );
    let events = stream.whole().await.events();
    assert_eq!(events.last().unwrap().name, "message_stop");
    assert_eq!(world.shown("stats").await["totalKeys"], 1);
}

// acceptance 34
#[tokio::test]
async fn removing_what_is_not_there_leaves_all_intact() {
    let world = Setup::both(2).start().await;
    for (provider, code) in [
        ("anthropic", "unknown_key"),
        ("mistral", "unknown_provider"),
    ] {
        let refused = world.remove(provider, &openai_key(1)).await;
        assert_eq!(
            (refused.status, &refused.error()["code"]),
            (404, &json!(code))
        );
    }
    assert_eq!(world.shown("stats").await["totalKeys"], 4);
    // A key may be named by its id as well.
    let id = world.health(&openai_key(1)).await["id"].take();
    world
        .admin("remove", &json!({ "provider": "openai", "id": id }))
        .await
        .assert_ok();
    assert_eq!(world.shown("stats?provider=openai").await["totalKeys"], 1);
}

// acceptance 35
#[tokio::test]
async fn the_provider_details_tell_which_key_has_errors() {
    let world = Setup::anthropic(2).strategy("round-robin").start().await;
    world.fault(&anthropic_key(2), Fault::status(500));
    serve(&world, Api::Messages, 4).await;
    let failing = world.details("anthropic", &anthropic_key(2)).await;
    assert!(failing["metrics"]["errors"].as_u64().unwrap() > 0);
    assert_eq!(
        failing["metrics"]["errorsByClass"]["serverError"],
        failing["metrics"]["errors"]
    );
    assert_eq!(failing["lastError"]["status"], 500);
    let sound = world.details("anthropic", &anthropic_key(1)).await;
    assert_eq!(sound["metrics"]["errors"], 0);
    assert_eq!(sound["metrics"]["successes"], 4);
}

// acceptance 36
#[tokio::test]
async fn rotate_sends_the_next_request_to_another_key_and_names_it() {
    let world = Setup::anthropic(3).strategy("fill-first").start().await;
    let before = world.ask(Api::Messages).await.key();
    let rotated = world
        .admin("rotate", &json!({ "provider": "anthropic" }))
        .await
        .data();
    let after = world.ask(Api::Messages).await.key();
    assert_ne!(after, before);
    assert_eq!(
        (&rotated["key"], &rotated["health"]),
        (&json!(after), &json!("healthy"))
    );
}

// acceptance 36
#[tokio::test]
async fn rotate_says_so_when_there_is_no_other_key() {
    let world = Setup::anthropic(1).start().await;
    world.ask(Api::Messages).await.assert_ok();
    let refused = world
        .admin("rotate", &json!({ "provider": "anthropic" }))
        .await;
    assert_eq!(
        (refused.status, &refused.error()["code"]),
        (409, &json!("no_other_key"))
    );
}

// acceptance 37
#[tokio::test]
async fn distribution_gives_each_keys_share_of_requests_and_tokens() {
    let world = Setup::both(2).strategy("round-robin").start().await;
    serve(&world, Api::Messages, 4).await;
    serve(&world, Api::Chat, 2).await;
    let shares = world.shown("distribution?provider=anthropic").await;
    assert_eq!(shares["totalRequests"], 4);
    assert_eq!(shares["imbalance"], 1);
    for key in shares["keys"].as_array().unwrap() {
        assert_eq!(
            (&key["requests"], &key["requestShare"]),
            (&json!(2), &json!(50))
        );
        assert_eq!(key["tokenShare"], 50);
    }
    let all = world.shown("distribution").await;
    assert_eq!(
        (&all["totalRequests"], &all["totalErrors"]),
        (&json!(6), &json!(0))
    );
    assert_eq!(all["keys"].as_array().unwrap().len(), 4);
}

// acceptance 38
#[tokio::test]
async fn every_answer_is_json_with_success_and_every_error_has_one_shape() {
    let world = Setup::anthropic(1).start().await;
    for path in [
        "stats",
        "health",
        "strategy",
        "provider/anthropic",
        "distribution",
    ] {
        let answer = world.get(&format!("/api/apikeys/{path}")).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        answer.data();
    }
    let refused = [
        (world.get("/api/apikeys/stats?provider=nope"), 404),
        (world.get("/api/apikeys/provider/nope"), 404),
        (world.get("/api/apikeys/distribution?provider=nope"), 404),
        (world.get("/api/no/such/route"), 404),
        (world.get("/api/apikeys/rotate"), 405),
        (world.post("/api/apikeys/rotate"), 400),
        (world.post("/api/apikeys/add").json(&json!([])), 400),
        (world.post("/api/apikeys/remove").body("{ no json"), 400),
        (
            world
                .post("/api/apikeys/strategy")
                .json(&json!({ "strategy": 7 })),
            400,
        ),
        (
            world
                .post("/api/apikeys/health-check")
                .json(&json!({ "provider": "nope" })),
            404,
        ),
    ];
    for (call, status) in refused {
        let answer = call.await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        let error = answer.error();
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{error}"
        );
        assert!(answer.json()["timestamp"].is_string());
    }
}

// acceptance 39
#[tokio::test]
async fn keys_are_masked_and_equal_masks_stay_apart() {
    let twin = anthropic_key(1).replace("sk-ant-", "sk-api-");
    let world = Setup::anthropic(1).start().await;
    world.add("anthropic", &twin).await;
    world.add("anthropic", "short-key").await;
    let stats = world.shown("stats").await;
    assert_eq!(
        fields(&stats["keyUtilization"]),
        ["****", "sk-a****key1", "sk-a****key1#2"]
    );
}

/// A world whose gateway asks its clients for this key.
async fn guarded(client_key: &str) -> World {
    Setup::anthropic(2).set("/APIKEY", client_key).start().await
}

// acceptance 40
#[tokio::test]
async fn a_request_with_the_gateways_key_is_served_with_a_pooled_one() {
    let client_key = "gateway-key-0123456789";
    let world = guarded(client_key).await;
    let answer = world
        .ask(Api::Messages)
        .header("x-api-key", client_key)
        .await;
    answer.assert_ok();
    assert_eq!(answer.json()["type"], "message");
    let [received] = world.received().try_into().unwrap();
    assert_eq!(received.key, Some(anthropic_key(1)));
    let sent = format!("{:?} {:?}", received.headers, received.body);
    assert!(!sent.contains(client_key), "{sent}");
    let model = serde_json::from_slice::<Value>(&received.body).unwrap()["model"].take();
    assert_eq!(model, "claude-3-5-sonnet-20241022");
}

// acceptance 41
#[tokio::test]
async fn the_request_loop_of_the_guide_uses_several_keys() {
    let world = Setup::anthropic(3).start().await;
    let body = r#"{
      "model": "anthropic,claude-3-5-sonnet-20241022",
      "messages": [{"role": "user", "content": "Hello"}],
      "max_tokens": 100
    }"#;
    for _ in 0..10 {
        // No anthropic-version: the guide's curl sends none.
        let call = world
            .post("/v1/messages")
            .header("x-api-key", "YOUR_AUTH_KEY");
        call.header("content-type", "application/json")
            .body(body)
            .await
            .assert_ok();
    }
    let shares = world.shown("distribution?provider=anthropic").await;
    let used = |key: &&Value| key["requests"].as_u64().unwrap() > 0;
    assert_eq!(
        shares["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter(used)
            .count(),
        3
    );
}

// acceptance 42
#[tokio::test]
async fn polling_stats_is_current_and_costs_the_provider_nothing() {
    let world = Setup::anthropic(2).start().await;
    for sent in 1..=20 {
        world.ask(Api::Messages).await.assert_ok();
        assert_eq!(world.shown("stats").await["totalRequests"], sent);
    }
    assert_eq!(world.sim.sim().counters().requests, 20);
}

// acceptance 42
#[tokio::test]
async fn a_request_counts_from_the_moment_it_is_sent() {
    let setup = Setup::anthropic(1).sim(|sim| sim.answer.latency_ms = Spread::Fixed(300));
    let world = setup.start().await;
    let slow = world.ask(Api::Messages).spawn();
    eventually("it is shown in flight", async || {
        let metrics = world.details("anthropic", &anthropic_key(1)).await["metrics"].take();
        (metrics["inFlight"] == 1 && metrics["requests"] == 1).then_some(())
    })
    .await;
    slow.await.unwrap().assert_ok();
    let metrics = world.details("anthropic", &anthropic_key(1)).await["metrics"].take();
    assert_eq!(
        (&metrics["inFlight"], &metrics["successes"]),
        (&json!(0), &json!(1))
    );
}
