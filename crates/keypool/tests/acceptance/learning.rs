//! Group H: what the provider's answers teach of limits that were not declared, or declared wrongly.

use std::time::{Duration, Instant};

use keypool_sim::{Dialect, HeaderStyle, Limits, SimConfig, Spread};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Answer, Api, Setup, World, anthropic_key, eventually, mask};

/// The meters of one key.
async fn meters(world: &World, api: Api, number: usize) -> Vec<Value> {
    let details = world.details(api.provider(), &api.key(number)).await;
    details["meters"].as_array().unwrap().clone()
}

/// The learned limit of a key in one dimension, and the models that it is of.
async fn learned(world: &World, api: Api, number: usize, dimension: &str) -> Option<(u64, String)> {
    let meters = meters(world, api, number).await;
    let meter = meters
        .iter()
        .find(|meter| meter["dimension"] == dimension && meter["modelClass"].is_string())?;
    let class = meter["modelClass"].as_str()?.to_owned();
    Some((meter["limit"].as_u64()?, class))
}

/// The alerts of one kind.
async fn alerts(world: &World, kind: &str) -> Vec<Value> {
    let mut alerts = world.get("/api/alerts").await.data()["alerts"].take();
    let alerts = alerts.as_array_mut().unwrap();
    alerts.retain(|alert| alert["kind"] == kind);
    alerts.clone()
}

fn served(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

fn upstream_429s(world: &World) -> u64 {
    world.sim.sim().counters().with_status(429)
}

/// Keys about whose limits the configuration says nothing.
fn undeclared(api: Api, keys: usize, per_minute: u64) -> Setup {
    let setup = match api.provider() {
        "openai" => Setup::openai(keys),
        _ => Setup::anthropic(keys),
    };
    setup
        .sim_limits(Limits::per_minute(per_minute))
        .sim(|sim| sim.answer.latency_ms = Spread::Fixed(20))
}

#[tokio::test]
async fn a_limit_that_nobody_declared_is_learned_from_the_first_answer_and_kept() {
    for api in [Api::Messages, Api::Chat] {
        let world = undeclared(api, 1, 60).without_waiting().start().await;
        assert!(meters(&world, api, 1).await.is_empty());
        world.ask(api).await.assert_ok();
        let (limit, class) = learned(&world, api, 1, "requestsPerMinute").await.unwrap();
        assert_eq!(limit, 60, "{api:?}");
        assert!(!class.is_empty(), "{api:?}");
        let mut all = 1;
        for _ in 0..12 {
            all += served(&world.burst(api, 10).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!((58..=63).contains(&all), "{api:?}: {all}");
        assert_eq!(upstream_429s(&world), 0, "{api:?}");
    }
}

// acceptance 65
#[tokio::test]
async fn clients_that_ask_again_as_soon_as_they_are_answered_meet_no_429_at_the_limit() {
    let world = undeclared(Api::Messages, 1, 900)
        .every_key("rateLimit", &json!({ "requestsPerMinute": 891 }))
        .start()
        .await;
    let end = Instant::now() + Duration::from_secs(4);
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        let client = world.over_http1();
        clients.spawn(async move {
            while Instant::now() < end {
                client.ask(Api::Messages).await.assert_ok();
            }
        });
    }
    clients.join_all().await;
    assert_eq!(upstream_429s(&world), 0);
}

#[tokio::test]
async fn a_burst_at_a_key_that_nothing_is_known_of_begins_slowly() {
    let world = undeclared(Api::Messages, 1, 100)
        .without_waiting()
        .start()
        .await;
    let answers = world.burst(Api::Messages, 300).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 200 | 429))
    );
    assert!(served(&answers) >= 4);
    // What a slow start lets go before the first answer is far below what was offered.
    assert_eq!(upstream_429s(&world), 0);
}

#[tokio::test]
async fn a_limit_declared_too_high_is_lowered_and_told_once() {
    let world = undeclared(Api::Messages, 1, 50)
        .every_key("rateLimit", &json!({ "requestsPerMinute": 60 }))
        .without_waiting()
        .start()
        .await;
    let mut all = 0;
    for _ in 0..8 {
        all += served(&world.burst(Api::Messages, 10).await);
    }
    assert!((49..=52).contains(&all), "{all}");
    assert_eq!(upstream_429s(&world), 0);
    let (limit, _) = learned(&world, Api::Messages, 1, "requestsPerMinute")
        .await
        .unwrap();
    assert_eq!(limit, 50);
    let told = alerts(&world, "limit-corrected").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["key"], mask(&anthropic_key(1)));
    let message = told[0]["message"].as_str().unwrap();
    assert!(
        message.contains("60") && message.contains("50"),
        "{message}"
    );
}

#[tokio::test]
async fn a_limit_that_the_provider_changes_is_followed() {
    let world = undeclared(Api::Messages, 1, 50)
        .without_waiting()
        .start()
        .await;
    world.ask(Api::Messages).await.assert_ok();
    for limit in [40, 120] {
        let limits = Limits::per_minute(limit);
        world
            .sim
            .sim()
            .set_limits(&anthropic_key(1), limits)
            .unwrap();
        world.ask(Api::Messages).await.assert_ok();
        let (known, _) = learned(&world, Api::Messages, 1, "requestsPerMinute")
            .await
            .unwrap();
        assert_eq!(known, limit);
    }
    let mut all = 3;
    for _ in 0..16 {
        all += served(&world.burst(Api::Messages, 10).await);
    }
    assert!((112..=125).contains(&all), "{all}");
    assert_eq!(upstream_429s(&world), 0);
}

#[tokio::test]
async fn what_somebody_else_uses_is_seen_and_an_operator_is_told() {
    let world = undeclared(Api::Messages, 1, 100)
        .without_waiting()
        .start()
        .await;
    for _ in 0..5 {
        world.ask(Api::Messages).await.assert_ok();
    }
    world
        .sim
        .sim()
        .consume(&anthropic_key(1), 60, 0, 0)
        .unwrap();
    let mut all = 0;
    for _ in 0..10 {
        world.ask(Api::Messages).await.assert_ok();
        all += 1;
    }
    for _ in 0..6 {
        all += served(&world.burst(Api::Messages, 10).await);
    }
    assert!((34..=40).contains(&all), "{all}");
    assert!(upstream_429s(&world) <= 1, "{}", upstream_429s(&world));
    let told = alerts(&world, "foreign-use").await;
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_provider_that_says_nothing_of_its_limits_is_not_refused_for_ever() {
    let world = undeclared(Api::Messages, 1, 40)
        .sim(|sim| *sim = sim.clone().with_headers(HeaderStyle::None))
        .every_key("rateLimit", &json!({ "requestsPerMinute": 60 }))
        .without_waiting()
        .start()
        .await;
    let mut all = 0;
    for _ in 0..60 {
        all += usize::from(world.ask(Api::Messages).await.status == 200);
    }
    assert!((40..=43).contains(&all), "{all}");
    // The first refusal shows that the limit is lower; what comes after it is kept back.
    assert_eq!(upstream_429s(&world), 1);
    let meters = meters(&world, Api::Messages, 1).await;
    assert!(meters[0]["limit"].as_u64().unwrap() < 60, "{meters:?}");
}

/// Two keys that are taken to be independent, and are of one organisation.
fn of_one_organisation(per_minute: u64) -> Setup {
    let sim = |sim: &mut SimConfig| {
        let (one, two) = (anthropic_key(1), anthropic_key(2));
        let secrets = [one.as_str(), two.as_str()];
        let limits = Limits::per_minute(per_minute);
        *sim = SimConfig::empty().with_organisation("org-a", Dialect::Anthropic, &secrets, limits);
        sim.answer.latency_ms = Spread::Fixed(20);
    };
    Setup::anthropic(2).sim(sim)
}

#[tokio::test]
async fn keys_of_one_organisation_are_found_out_and_counted_as_one_quota() {
    let world = of_one_organisation(60)
        .every_key("rateLimit", &json!({ "requestsPerMinute": 60 }))
        .without_waiting()
        .start()
        .await;
    let mut all = 0;
    for _ in 0..2 {
        world.ask(Api::Messages).await.assert_ok();
        all += 1;
    }
    let told = eventually("it is told", async || {
        let told = alerts(&world, "shared-quota").await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
    let details = world.shown("provider/anthropic").await;
    let group = &details["quotaGroups"][0];
    assert_eq!(
        (&group["learned"], group["keys"].as_array().unwrap().len()),
        (&json!(true), 2)
    );
    for _ in 0..16 {
        all += served(&world.burst(Api::Messages, 8).await);
    }
    assert!((59..=63).contains(&all), "{all}");
    // What is left is stated in whole units, and two requests were counted apart.
    assert!(upstream_429s(&world) <= 1, "{}", upstream_429s(&world));
    assert_eq!(alerts(&world, "shared-quota").await.len(), 1);
}

#[tokio::test]
async fn keys_of_one_organisation_that_the_configuration_separates_are_told_to_be_counted_apart() {
    let world = of_one_organisation(60)
        .set(
            "/ApiKeyPool/providers/anthropic/quotaGroups",
            json!({ "a": {}, "b": {} }),
        )
        .key(1, "quotaGroup", "a")
        .key(2, "quotaGroup", "b")
        .strategy("round-robin")
        .start()
        .await;
    for _ in 0..2 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let told = eventually("it is told", async || {
        let told = alerts(&world, "shared-quota").await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("counted apart"), "{message}");
}

#[tokio::test]
async fn the_headers_of_azure_and_groq_teach_as_well() {
    let limits = Limits {
        tokens_per_minute: Some(60_000),
        ..Limits::per_minute(60)
    };
    for style in [HeaderStyle::Azure, HeaderStyle::Groq] {
        let config = json!({
            "ApiKeyPool": { "enabled": true, "providers": { "groq": {
                "baseUrl": "$SIM", "keys": [{ "key": Api::Chat.key(1) }],
            } } },
        });
        let azure = style == HeaderStyle::Azure;
        let setup = if azure {
            Setup::openai(1)
        } else {
            Setup::empty()
                .with_config(config)
                .with_sim_keys("openai", 1)
        };
        let world = setup
            .sim_limits(limits)
            .sim(|sim| *sim = sim.clone().with_headers(style))
            .start()
            .await;
        let provider = if azure { "openai" } else { "groq" };
        let mut body = Api::Chat.body();
        body["model"] = format!("{provider},gpt-4o-mini").into();
        world.post(Api::Chat.path()).json(&body).await.assert_ok();
        let details = world.details(provider, &Api::Chat.key(1)).await;
        let limit_of = |dimension: &str| {
            let mut meters = details["meters"].as_array().unwrap().iter();
            meters
                .find(|meter| meter["dimension"] == dimension)
                .and_then(|meter| meter["limit"].as_u64())
        };
        assert_eq!(
            limit_of("tokensPerMinute"),
            Some(60_000),
            "{style:?} {details}"
        );
        if azure {
            assert_eq!(limit_of("requestsPerMinute"), Some(60), "{details}");
        }
    }
}
