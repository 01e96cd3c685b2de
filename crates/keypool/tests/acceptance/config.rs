//! Group A: what may stand in the configuration file, and what follows from it.

use std::time::Duration;

use keypool_sim::Fault;
use serde_json::{Value, json};

use crate::support::{
    Api, CANARY, Clock, Setup, World, anthropic_key, eventually, guide_example, mask, openai_key,
};

/// Where the first key stands in the configurations of these tests.
const FIRST_KEY: &str = "ApiKeyPool.providers.anthropic.keys[0]";

// acceptance 1
#[tokio::test]
async fn the_pool_is_active_only_where_it_is_enabled() {
    let keys = json!([{ "key": anthropic_key(1) }, { "key": anthropic_key(2) }]);
    for (enabled, pool_is_used) in [(Some(true), true), (Some(false), false), (None, false)] {
        let plain = json!({ "name": "anthropic", "api_key": anthropic_key(3) });
        let mut config = json!({ "Providers": [plain] });
        if let Some(enabled) = enabled {
            let providers = json!({ "anthropic": { "keys": keys } });
            config["ApiKeyPool"] = json!({ "enabled": enabled, "providers": providers });
        }
        let setup = Setup::empty()
            .with_sim_keys("anthropic", 3)
            .with_config(config);
        let world = setup.start().await;
        for _ in 0..6 {
            world.ask(Api::Messages).await.assert_ok();
        }
        let pooled = world.served(&anthropic_key(1)) + world.served(&anthropic_key(2));
        assert_eq!(pooled > 0, pool_is_used, "enabled: {enabled:?}");
    }
}

// acceptance 2
#[tokio::test]
async fn the_quick_start_of_the_guide_starts_the_server() {
    let text = guide_example("quick_start.json");
    // A free port, since others may use the guide's.
    let text = text.replacen('{', r#"{ "PORT": 0,"#, 1);
    let world = Setup::empty().with_text(&text).start().await;
    let details = world.shown("provider/anthropic").await;
    assert_eq!(details["totalKeys"], 2);
    assert_eq!(details["strategy"], "least-loaded");
    for key in details["keys"].as_array().unwrap() {
        assert_eq!(key["config"]["rateLimit"]["requestsPerMinute"], 50);
        assert_eq!(key["config"]["rateLimit"]["tokensPerMinute"], 40_000);
        assert_eq!(
            (&key["priority"], &key["enabled"]),
            (&json!(10), &json!(true))
        );
    }
}

// acceptance 3
#[tokio::test]
async fn every_strategy_of_the_guide_is_taken_and_without_one_it_is_least_loaded() {
    for strategy in ["round-robin", "lru", "least-loaded", "weighted"] {
        let world = Setup::anthropic(1).strategy(strategy).start().await;
        assert_eq!(world.shown("strategy").await["strategy"], strategy);
    }
    let world = Setup::anthropic(1).start().await;
    assert_eq!(world.shown("strategy").await["strategy"], "least-loaded");
}

// acceptance 3
#[tokio::test]
async fn any_other_strategy_stops_the_start_and_names_the_field() {
    let refused = Setup::anthropic(1).strategy("fastest").refused().await;
    assert_eq!(refused.code, Some(2));
    for word in ["ApiKeyPool.strategy", "fastest", "least-loaded"] {
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
}

// acceptance 4
#[tokio::test]
async fn the_health_check_interval_sets_how_soon_a_dead_key_is_looked_at_again() {
    let setup = Setup::anthropic(2).set("/ApiKeyPool/healthCheckInterval", 100);
    let world = setup.start().await;
    let dead = anthropic_key(1);
    world.sim.sim().revoke(&dead).unwrap();
    while world.state(&dead).await != "unavailable" {
        world.ask(Api::Messages).await.assert_ok();
    }
    let refused = world.counted(&dead).with_status(401);
    eventually("it was looked at again", async || {
        (world.counted(&dead).with_status(401) > refused).then_some(())
    })
    .await;
    world.sim.sim().restore(&dead).unwrap();
    world.becomes(&dead, "healthy").await;
}

// acceptance 4
#[tokio::test]
async fn by_default_a_dead_key_is_looked_at_after_a_minute() {
    let (world, clock) = Setup::anthropic(1).start_with_manual_clock().await;
    let dead = anthropic_key(1);
    world.fault(&dead, Fault::Unauthorized);
    assert_eq!(world.ask(Api::Messages).await.status, 503);
    world.sim.sim().clear_faults();
    clock.advance(59);
    // The driver has had its chance once an answer came by.
    assert_eq!(world.state(&dead).await, "unavailable");
    assert_eq!(
        world.counted(&dead).requests,
        2,
        "the request, and a probe at once"
    );
    clock.advance(2);
    world.becomes(&dead, "healthy").await;
}

// acceptance 5
#[tokio::test]
async fn providers_work_side_by_side_and_never_share_keys() {
    let world = Setup::both(2).start().await;
    for _ in 0..4 {
        for api in Api::ALL {
            world.ask(api).await.assert_ok();
        }
    }
    for request in world.received() {
        let prefix = if request.path_and_query == "/v1/messages" {
            "sk-ant-"
        } else {
            "sk-proj-"
        };
        assert!(
            request.key.unwrap().starts_with(prefix),
            "{}",
            request.path_and_query
        );
    }
    for secret in [
        anthropic_key(1),
        anthropic_key(2),
        openai_key(1),
        openai_key(2),
    ] {
        assert!(world.served(&secret) > 0, "{}", mask(&secret));
    }
}

// acceptance 6, 10
#[tokio::test]
async fn a_key_needs_no_more_than_its_secret_and_has_priority_10() {
    let setup = Setup::anthropic(2).key(2, "priority", 5);
    let world = setup.start().await;
    let first = world.health(&anthropic_key(1)).await;
    assert_eq!(
        (&first["priority"], &first["enabled"]),
        (&json!(10), &json!(true))
    );
    assert_eq!(world.health(&anthropic_key(2)).await["priority"], 5);
}

// acceptance 6
#[tokio::test]
async fn an_entry_without_its_secret_is_refused() {
    let keys = json!([{ "priority": 5 }]);
    let refused = Setup::anthropic(1)
        .set("/ApiKeyPool/providers/anthropic/keys", keys)
        .refused();
    let refused = refused.await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains(FIRST_KEY), "{}", refused.stderr);
}

/// Sends small requests until one is refused for want of room; returns how many were served.
async fn until_refused(world: &World) -> u64 {
    for served in 0..100 {
        let answer = world.ask(Api::Messages).await;
        if answer.status == 429 {
            return served;
        }
        answer.assert_ok();
    }
    panic!("nothing limits this pool");
}

/// Two keys with this limit, on a clock that is moved by hand.
async fn limited(limit: &Value) -> (World, Clock) {
    Setup::anthropic(2)
        .every_key("rateLimit", limit)
        .set("/ApiKeyPool/providers/anthropic/window", "sliding")
        .without_waiting()
        .start_with_manual_clock()
        .await
}

// acceptance 7, 8, 9
#[tokio::test]
async fn each_key_has_its_limits_over_a_minute_or_a_day() {
    const MINUTE: u64 = 60;
    const DAY: u64 = 86_400;
    let cases = [
        (json!({ "requestsPerMinute": 3 }), MINUTE),
        (json!({ "tokensPerMinute": 400 }), MINUTE),
        (json!({ "requestsPerDay": 3 }), DAY),
    ];
    for (limit, window) in cases {
        let (world, clock) = limited(&limit).await;
        let served = until_refused(&world).await;
        let [first, second] = [1, 2].map(|number| world.counted(&anthropic_key(number)));
        assert_eq!(first.admitted, second.admitted, "{limit}");
        match limit["tokensPerMinute"].as_u64() {
            Some(tokens) => assert!(first.input_tokens + first.output_tokens <= tokens),
            None => assert_eq!(first.admitted, 3, "{limit}"),
        }
        clock.advance(window - 10);
        assert_eq!(
            until_refused(&world).await,
            0,
            "{limit}: the window is not over"
        );
        clock.advance(12);
        assert_eq!(until_refused(&world).await, served, "{limit}: a new window");
    }
}

// acceptance 10
#[tokio::test]
async fn priorities_go_from_1_to_100() {
    for priority in [0, 101] {
        let refused = Setup::anthropic(1)
            .key(1, "priority", priority)
            .refused()
            .await;
        assert_eq!(refused.code, Some(2));
        let field = format!("{FIRST_KEY}.priority");
        assert!(refused.stderr.contains(&field), "{}", refused.stderr);
    }
    let world = Setup::anthropic(2)
        .key(1, "priority", 1)
        .key(2, "priority", 100)
        .start()
        .await;
    assert_eq!(world.health(&anthropic_key(2)).await["priority"], 100);
}

// acceptance 11
#[tokio::test]
async fn a_disabled_key_is_listed_and_never_selected() {
    let world = Setup::anthropic(2).key(1, "enabled", false).start().await;
    for _ in 0..10 {
        world.ask(Api::Messages).await.assert_ok();
    }
    assert_eq!(world.health(&anthropic_key(1)).await["enabled"], false);
    assert_eq!(world.served(&anthropic_key(1)), 0);
    assert_eq!(world.served(&anthropic_key(2)), 10);
}

// acceptance 12
#[tokio::test]
async fn tags_are_shown_in_the_provider_details() {
    let tags = json!(["production", "high-priority"]);
    let world = Setup::anthropic(1)
        .key(1, "tags", tags.clone())
        .start()
        .await;
    let details = world.details("anthropic", &anthropic_key(1)).await;
    assert_eq!(details["config"]["tags"], tags);
}

// acceptance 13
#[tokio::test]
async fn the_weighted_example_of_the_guide_loads_with_its_comments() {
    let example = guide_example("strategy_weighted.json");
    assert!(example.contains("// Higher priority"));
    let world = Setup::empty()
        .with_text(&format!(r#"{{ "PORT": 0, "ApiKeyPool": {example} }}"#))
        .start()
        .await;
    assert_eq!(world.shown("strategy").await["strategy"], "weighted");
    assert_eq!(world.health(&anthropic_key(2)).await["priority"], 5);
}

// acceptance 14, 87
#[tokio::test]
async fn keys_may_come_from_environment_variables() {
    let world = Setup::anthropic(2)
        .key(1, "key", "$FIRST_KEY")
        .key(2, "key", "${SECOND_KEY}")
        .environment("FIRST_KEY", &anthropic_key(1))
        .environment("SECOND_KEY", &anthropic_key(2))
        .strategy("round-robin")
        .start()
        .await;
    for _ in 0..2 {
        world.ask(Api::Messages).await.assert_ok();
    }
    assert_eq!(world.served(&anthropic_key(1)), 1);
    assert_eq!(world.served(&anthropic_key(2)), 1);
    let file = std::fs::read_to_string(world.config_path()).unwrap();
    assert!(!file.contains(CANARY));
}

// acceptance 14
#[tokio::test]
async fn an_unset_variable_is_an_error_and_not_a_literal_key() {
    for reference in ["$NO_SUCH_KEY", "${NO_SUCH_KEY}"] {
        let refused = Setup::anthropic(1).key(1, "key", reference).refused().await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("NO_SUCH_KEY"), "{}", refused.stderr);
        assert!(refused.stderr.contains(FIRST_KEY), "{}", refused.stderr);
    }
}

// acceptance 15
#[tokio::test]
async fn the_complete_example_of_the_guide_loads_as_it_is_and_serves() {
    let example: Value = serde_json::from_str(&guide_example("complete.json")).unwrap();
    let setup = Setup::empty()
        .with_sim_keys("anthropic", 1)
        .with_sim_keys("openai", 1);
    let world = setup.with_config(example).start().await;
    for api in Api::ALL {
        world.ask(api).await.assert_ok();
    }
    let anthropic = world.details("anthropic", &anthropic_key(1)).await;
    assert_eq!(anthropic["config"]["rateLimit"]["requestsPerDay"], 5000);
    assert_eq!(
        anthropic["config"]["tags"],
        json!(["production", "high-priority"])
    );
    let openai = world.details("openai", &openai_key(1)).await;
    assert_eq!(openai["config"]["rateLimit"]["requestsPerMinute"], 60);
    assert_eq!(openai["config"]["rateLimit"]["requestsPerDay"], Value::Null);
}

// acceptance 16: that the documented commands build and start it is checked by `.ci/run`, which runs
// them.
#[tokio::test]
async fn the_pool_is_live_after_a_restart_with_the_keys_added_at_run_time() {
    let world = Setup::anthropic(1)
        .with_sim_keys("anthropic", 2)
        .start()
        .await;
    assert_eq!(world.add("anthropic", &anthropic_key(2)).await.status, 201);
    let world = world.restart().await;
    for _ in 0..4 {
        world.ask(Api::Messages).await.assert_ok();
    }
    assert!(world.served(&anthropic_key(1)) > 0);
    assert!(world.served(&anthropic_key(2)) > 0);
}

// acceptance 9: a limit over a day is no hindrance to a short wait elsewhere.
#[tokio::test]
async fn a_wait_until_tomorrow_is_not_advised_to_clients_that_would_sleep_through_it() {
    let (world, _clock) = limited(&json!({ "requestsPerDay": 1 })).await;
    until_refused(&world).await;
    let answer = world.ask(Api::Messages).await;
    assert_eq!(answer.header("x-should-retry"), "false");
    let wait = Duration::from_secs(answer.header("retry-after").parse().unwrap());
    assert!(wait > Duration::from_secs(86_000), "{wait:?}");
}

#[tokio::test]
async fn a_key_that_was_pasted_where_none_belongs_is_not_shown() {
    // acceptance 86
    for (pointer, value) in [
        ("/HOST", json!(anthropic_key(1))),
        ("/Aliases", json!({ "a": [anthropic_key(1)] })),
        ("/Aliases", json!({ (openai_key(1)): ["nobody,x"] })),
        ("/Aliases", json!({ "": [format!("{},x", openai_key(1))] })),
        ("/Router", json!({ "default": anthropic_key(1) })),
        ("/Router", json!({ (anthropic_key(1)): "x" })),
        ("/KnownHosts", json!([format!("{}/", anthropic_key(1))])),
        (
            "/ApiKeyPool/providers/anthropic/baseUrl",
            json!(anthropic_key(1)),
        ),
        (
            "/ApiKeyPool/providers/anthropic/keys/0/expiresAt",
            json!(anthropic_key(1)),
        ),
        (
            "/ApiKeyPool/providers/anthropic/keys/0/quotaGroup",
            json!(anthropic_key(1)),
        ),
        ("/ApiKeyPool/strategy", json!(anthropic_key(1))),
    ] {
        // What it says is searched for the canary when it has ended.
        let refused = Setup::anthropic(1).set(pointer, value).refused().await;
        assert_eq!(refused.code, Some(2), "{pointer}");
    }
}
