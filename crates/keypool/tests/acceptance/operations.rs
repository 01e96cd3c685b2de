//! Group I: log, alerts, metrics, and the guide's troubleshooting with nothing but its own commands.

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};

use crate::support::{Api, Event, OpenAnswer, Setup, World, anthropic_key, mask, openai_key};

/// Lets a key go through everything that is worth a line: limited, dead, restored, moved on from.
async fn live_through_trouble(world: &World) {
    world.fault(
        &anthropic_key(1),
        FaultWindow::next(1, Fault::rate_limited(1)),
    );
    world.fault(&anthropic_key(2), Fault::Unauthorized);
    while world.state(&anthropic_key(2)).await != "unavailable" {
        world.ask(Api::Messages).await.assert_ok();
    }
    world.sim.sim().clear_faults();
    world.post("/api/apikeys/health-check").await.data();
    world.becomes(&anthropic_key(2), "healthy").await;
}

/// Words of the pool's lines.
const POOL_WORDS: [&str; 5] = [
    "failover",
    "alert",
    "unavailable",
    "rate-limited",
    "healthy",
];

// acceptance 80
#[tokio::test]
async fn every_line_about_the_pool_carries_its_prefix() {
    let world = Setup::anthropic(3).start().await;
    live_through_trouble(&world).await;
    world
        .log_line(&["[API-KEY-POOL]", "is healthy", &mask(&anthropic_key(2))])
        .await;
    for word in POOL_WORDS {
        let log = world.log();
        let mut lines = log.lines().filter(|line| line.contains(word)).peekable();
        assert!(lines.peek().is_some(), "no line speaks of {word}: {log}");
        for line in lines {
            assert!(line.contains("[API-KEY-POOL]"), "{line}");
        }
    }
}

// acceptance 80
#[tokio::test]
async fn in_the_json_log_the_prefix_is_the_component() {
    let setup = Setup::anthropic(3)
        .argument("--log-format")
        .argument("json");
    let world = setup.start().await;
    live_through_trouble(&world).await;
    world.log_line(&["API-KEY-POOL", "is healthy"]).await;
    for line in world.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = line.to_string();
        if POOL_WORDS.iter().any(|word| text.contains(word)) {
            assert_eq!(line["component"], "API-KEY-POOL", "{line}");
        }
    }
}

/// The next event of this name.
async fn next_named(events: &mut OpenAnswer, name: &str) -> Event {
    loop {
        let event = events.event().await;
        if event.name == name {
            return event;
        }
    }
}

// acceptance 81
#[tokio::test]
async fn an_operator_can_subscribe_to_the_alert_of_a_dead_key() {
    let world = Setup::anthropic(2).start().await;
    let mut events = world.get("/api/events").open().await;
    world.fault(&anthropic_key(1), Fault::Unauthorized);
    while world.counted(&anthropic_key(1)).faults == 0 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let alert = next_named(&mut events, "alert").await.json();
    assert_eq!(
        (&alert["kind"], &alert["provider"]),
        (&json!("key-invalid"), &json!("anthropic"))
    );
    assert_eq!(alert["key"], mask(&anthropic_key(1)));
    // Who looks later finds it too.
    let kept = world.get("/api/alerts").await.data();
    assert_eq!(kept["alerts"][0]["key"], mask(&anthropic_key(1)));
}

// acceptance 81
#[tokio::test]
async fn a_provider_that_serves_nobody_from_here_is_told_once_and_no_key_is_blamed() {
    let world = Setup::openai(2).strategy("fill-first").start().await;
    let mut events = world.get("/api/events").open().await;
    let error = json!({ "error": { "message": "Country, region, or territory not supported",
        "type": "request_forbidden", "param": null, "code": "unsupported_country_region_territory" } });
    let refusal = Fault::Verbatim {
        status: 403,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: error.to_string(),
    };
    world.fault(&openai_key(1), refusal);
    for _ in 0..2 {
        assert_eq!(world.ask(Api::Chat).await.status, 403);
    }
    let alert = next_named(&mut events, "alert").await.json();
    assert_eq!(
        (&alert["kind"], &alert["provider"]),
        (&json!("not-served"), &json!("openai"))
    );
    let kept = world.get("/api/alerts").await.data();
    assert_eq!(kept["alerts"].as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(world.score(&openai_key(1)).await, 100);
}

// acceptance 82
#[tokio::test]
async fn imbalance_error_rates_and_low_health_are_visible_and_the_last_is_an_alert() {
    let world = Setup::anthropic(2).strategy("fill-first").start().await;
    let mut events = world.get("/api/events").open().await;
    for _ in 0..4 {
        world.ask(Api::Messages).await.assert_ok();
    }
    assert_eq!(world.shown("distribution").await["imbalance"], 2);

    world.fault(&anthropic_key(1), FaultWindow::next(5, Fault::status(500)));
    for _ in 0..5 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let shares = world.shown("distribution").await;
    let rate = |number: usize| shares["keys"][number]["errorRate"].as_f64().unwrap();
    assert!((rate(0) - 55.56).abs() < 0.01, "{shares}");
    assert!(rate(1).abs() < 0.01);
    assert_eq!(world.score(&anthropic_key(1)).await, 75);
    let alert = next_named(&mut events, "alert").await.json();
    assert_eq!(
        (&alert["kind"], &alert["key"]),
        (&json!("health-low"), &json!("sk-a****key1"))
    );
}

// acceptance 70, 83
#[tokio::test]
async fn every_keys_requests_tokens_errors_limits_latency_and_last_use_are_measured() {
    let world = Setup::anthropic(2).strategy("round-robin").start().await;
    world.fault(
        &anthropic_key(2),
        FaultWindow::next(1, Fault::rate_limited(60)),
    );
    for _ in 0..3 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let first = world.details("anthropic", &anthropic_key(1)).await["metrics"].take();
    assert_eq!(
        (&first["requests"], &first["successes"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(
        (&first["errors"], &first["rateLimits"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(first["tokens"]["output"], 3 * 16);
    assert!(first["latencyP50Ms"].as_f64().unwrap() > 0.0);
    assert!(first["lastUsed"].is_string());
    let second = world.details("anthropic", &anthropic_key(2)).await["metrics"].take();
    assert_eq!(
        (&second["requests"], &second["rateLimits"]),
        (&json!(1), &json!(1))
    );

    let labels = r#"provider="anthropic",key="sk-a****key1""#;
    let other = r#"provider="anthropic",key="sk-a****key2""#;
    for (series, value) in [
        (
            format!(r#"keypool_requests_total{{{labels},outcome="success"}}"#),
            3.0,
        ),
        (
            format!(r#"keypool_requests_total{{{other},outcome="rate_limited"}}"#),
            1.0,
        ),
        (
            format!(r#"keypool_upstream_responses_total{{{other},status="429"}}"#),
            1.0,
        ),
        (
            format!(r#"keypool_tokens_total{{{labels},kind="output"}}"#),
            48.0,
        ),
        (
            format!(r#"keypool_key_state{{{other},state="rate-limited"}}"#),
            1.0,
        ),
        (format!("keypool_key_health_score{{{labels}}}"), 100.0),
    ] {
        assert_eq!(world.metric(&series).await, Some(value), "{series}");
    }
}

// acceptance 84: "All keys showing rate limited".
#[tokio::test]
async fn when_all_keys_are_limited_health_shows_it_and_waiting_or_another_key_cures_it() {
    let setup = Setup::anthropic(2).with_sim_keys("anthropic", 3);
    let (world, clock) = setup.start_with_manual_clock().await;
    for number in [1, 2] {
        world.fault(
            &anthropic_key(number),
            FaultWindow::next(1, Fault::rate_limited_bare()),
        );
    }
    assert_eq!(world.ask(Api::Messages).await.status, 429);
    assert_eq!(
        world.shown("health").await["anthropic"]["rateLimitedKeys"],
        2
    );
    world.add("anthropic", &anthropic_key(3)).await;
    world.ask(Api::Messages).await.assert_ok();
    clock.advance(60);
    world.post("/api/apikeys/health-check").await.data();
    assert_eq!(world.shown("health").await["anthropic"]["healthyKeys"], 3);
}

/// Requests that each key has served.
async fn distribution(world: &World) -> Vec<u64> {
    let shares = world.shown("distribution").await;
    let keys = shares["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["requests"].as_u64().unwrap())
        .collect()
}

// acceptance 84: "Keys not rotating" and "One key getting all traffic".
#[tokio::test]
async fn when_one_key_gets_all_traffic_distribution_shows_it_and_another_strategy_cures_it() {
    let uneven = [
        Setup::anthropic(2).strategy("fill-first"),
        Setup::anthropic(2)
            .strategy("weighted")
            .key(1, "priority", 100)
            .key(2, "priority", 1),
    ];
    for (setup, cure) in uneven.into_iter().zip(["round-robin", "least-loaded"]) {
        let world = setup.set("/Seed", 1).start().await;
        for _ in 0..8 {
            world.ask(Api::Messages).await.assert_ok();
        }
        let before = distribution(&world).await;
        assert!(before[0] >= 7, "{before:?}");
        world
            .admin("strategy", &json!({ "strategy": cure }))
            .await
            .assert_ok();
        for _ in 0..8 {
            world.ask(Api::Messages).await.assert_ok();
        }
        let after = distribution(&world).await;
        assert!(after[1] >= before[1] + 4, "{cure}: {after:?}");
    }
}

// acceptance 84: "High error rate on specific key".
#[tokio::test]
async fn a_bad_key_is_seen_in_the_provider_details_and_replaced() {
    let world = Setup::anthropic(2)
        .with_sim_keys("anthropic", 3)
        .start()
        .await;
    let bad = anthropic_key(2);
    world.sim.sim().revoke(&bad).unwrap();
    while world.counted(&bad).requests == 0 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let details = world.shown("provider/anthropic").await;
    let failing = |key: &&Value| key["errorCount"].as_u64().unwrap() > 0;
    let keys = details["keys"].as_array().unwrap();
    let found: Vec<&Value> = keys.iter().filter(failing).map(|key| &key["key"]).collect();
    assert_eq!(found, [&json!(mask(&bad))]);
    world.remove("anthropic", &bad).await.assert_ok();
    let new = json!({
        "provider": "anthropic", "key": anthropic_key(3), "priority": 10, "enabled": true,
    });
    assert_eq!(world.admin("add", &new).await.status, 201);
    for _ in 0..4 {
        world.ask(Api::Messages).await.assert_ok();
    }
    assert!(world.served(&anthropic_key(3)) > 0);
    assert_eq!(world.shown("stats").await["healthyKeys"], 2);
}

// acceptance 85
#[test]
fn the_documentation_carries_the_advice() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut text = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    for entry in std::fs::read_dir(format!("{root}/docs"))
        .into_iter()
        .flatten()
    {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            text += &std::fs::read_to_string(path).unwrap();
        }
    }
    let text = text.to_lowercase();
    for advice in [
        &["3 keys", "three keys"][..],
        &["equal priorities"],
        &["10 %", "10%", "tenth"],
        &["least-loaded"],
        &["30–60 days", "30-60 days", "30 to 60 days"],
        &["tag"],
    ] {
        assert!(
            advice.iter().any(|words| text.contains(words)),
            "nothing says {advice:?}"
        );
    }
}

// contract §2: liveness and readiness for load balancers, without a key.
#[tokio::test]
async fn liveness_and_readiness_need_no_key_and_metrics_do() {
    let world = Setup::anthropic(1)
        .set("/APIKEY", "client-secret")
        .start()
        .await;
    for path in ["/", "/health", "/ready"] {
        world.get(path).await.assert_ok();
        assert_eq!(world.call(http::Method::HEAD, path).await.status, 200);
    }
    assert_eq!(world.get("/metrics").await.status, 401);
}
