//! Group F: what goes wrong upstream, and how little of it a client sees.

use std::time::{Duration, Instant};

use keypool_sim::{Fault, FaultWindow, Spread};
use serde_json::json;

use crate::support::{Api, Setup, World, anthropic_key, mask};

/// A pool that would always take its first key, so that the first key's fault is always met.
async fn first_key_with(fault: Fault) -> World {
    let world = Setup::both(2).strategy("fill-first").start().await;
    for api in [Api::Messages, Api::Chat] {
        world.fault(&api.key(1), fault.clone());
    }
    world
}

// acceptance 57
#[tokio::test]
async fn after_a_429_the_next_key_serves_the_same_request() {
    let world = first_key_with(Fault::rate_limited(30)).await;
    for api in Api::ALL {
        let answer = world.ask(api).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&api.key(2)), "{api:?}");
    }
    // Remembered by the next requests, for each model: at the provider they have limits of their own.
    for (api, models) in [(Api::Messages, 1), (Api::Chat, 2)] {
        assert_eq!(world.state(&api.key(1)).await, "rate-limited");
        assert_eq!(world.counted(&api.key(1)).requests, models, "{api:?}");
    }
}

// acceptance 58
#[tokio::test]
async fn after_a_401_the_key_is_out_an_alert_is_logged_and_the_client_sees_no_error() {
    let world = first_key_with(Fault::Unauthorized).await;
    for api in Api::ALL {
        let answer = world.ask(api).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&api.key(2)), "{api:?}");
    }
    for api in [Api::Messages, Api::Chat] {
        assert_eq!(world.state(&api.key(1)).await, "unavailable");
        assert_eq!(world.score(&api.key(1)).await, 0);
        world
            .log_line(&["[API-KEY-POOL]", "alert", &mask(&api.key(1))])
            .await;
    }
}

// acceptance 58
#[tokio::test]
async fn a_403_that_names_the_key_or_account_puts_it_out_and_others_serve() {
    for api in [Api::Messages, Api::Chat] {
        let world = Setup::both(2).strategy("fill-first").start().await;
        let message = "This organization has been disabled.";
        let error = json!({ "type": "permission_error", "message": message });
        let body = json!({ "type": "error", "error": error }).to_string();
        world.fault(
            &api.key(1),
            Fault::Verbatim {
                status: 403,
                headers: Vec::new(),
                body,
            },
        );
        world.ask(api).await.assert_ok();
        assert_eq!(world.state(&api.key(1)).await, "unavailable", "{api:?}");
    }
}

// acceptance 58, contract §4: 403 for one model bars that key for that model only.
#[tokio::test]
async fn a_403_for_a_model_bars_the_key_for_that_model_alone() {
    for api in [Api::Messages, Api::Chat] {
        let world = Setup::both(2).strategy("fill-first").start().await;
        world.fault(&api.key(1), FaultWindow::next(1, Fault::Forbidden));
        world.ask(api).await.assert_ok();
        assert_eq!(world.state(&api.key(1)).await, "healthy");
        assert_eq!(world.ask(api).await.key(), mask(&api.key(2)), "{api:?}");
        let mut body = api.body();
        body["model"] = format!("{},another-model", api.provider()).into();
        let call = world
            .post(api.path())
            .header("anthropic-version", "2023-06-01");
        assert_eq!(call.json(&body).await.key(), mask(&api.key(1)), "{api:?}");
    }
}

// acceptance 59
#[tokio::test]
async fn after_a_5xx_the_score_is_lower_and_the_next_key_serves_the_same_request() {
    for status in [500, 502, 503] {
        let world = first_key_with(Fault::status(status)).await;
        for api in [Api::Messages, Api::Chat] {
            let answer = world.ask(api).await;
            answer.assert_ok();
            assert_eq!(answer.header("x-keypool-attempts"), "2");
            let expected = if api == Api::Chat && status == 503 {
                100
            } else {
                95
            };
            assert_eq!(world.score(&api.key(1)).await, expected, "{api:?} {status}");
        }
    }
}

// acceptance 59
#[tokio::test]
async fn nothing_is_tried_again_once_the_client_has_a_byte() {
    for api in Api::STREAMED {
        let setup = Setup::both(2).strategy("fill-first");
        let setup = setup.sim(|sim| sim.answer.output_tokens = Spread::Fixed(40));
        let world = setup.start().await;
        // The events before the text, and two with text.
        world.fault(&api.key(1), Fault::ResetMidStream { after_events: 6 });
        let answer = world.ask_stream(api).open().await;
        assert_eq!(answer.headers["x-keypool-key"], mask(&api.key(1)).as_str());
        answer.ending().await;
        assert_eq!(world.counted(&api.key(2)).requests, 0, "{api:?}");
        assert_eq!(world.score(&api.key(1)).await, 95, "{api:?}");
    }
}

// acceptance 60
#[tokio::test]
async fn when_all_keys_are_limited_the_client_gets_a_prompt_429_with_the_earliest_reset() {
    for api in Api::ALL {
        let world = Setup::both(2).start().await;
        // Both beyond the time for which a request waits.
        world.fault(&api.key(1), Fault::rate_limited(50));
        world.fault(&api.key(2), Fault::rate_limited(40));
        for _ in 0..2 {
            let began = Instant::now();
            let answer = world.ask(api).await;
            assert!(began.elapsed() < Duration::from_secs(1));
            api.assert_error(&answer, 429, "no_room");
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((38..=40).contains(&wait), "{api:?}: {wait}");
        }
        assert_eq!(world.sim.sim().counters().requests, 2, "known from then on");
    }
}

// acceptance 60
#[tokio::test]
async fn when_all_keys_are_dead_the_client_is_told_not_to_try_again() {
    for api in Api::ALL {
        let world = Setup::both(2).start().await;
        world
            .sim
            .sim()
            .set_faults_of_all(vec![Fault::Unauthorized.into()]);
        let answer = world.ask(api).await;
        api.assert_error(&answer, 503, "all_keys_unavailable");
        assert_eq!(answer.header("x-should-retry"), "false", "{api:?}");
    }
}

// acceptance 61
#[tokio::test]
async fn an_unknown_provider_is_a_clear_error_that_names_the_known_ones() {
    let world = Setup::both(1).start().await;
    for api in Api::ALL {
        let mut body = api.body();
        body["model"] = "nonesuch,some-model".into();
        let answer = world.post(api.path()).json(&body).await;
        api.assert_error(&answer, 404, "unknown_provider");
        assert!(
            answer.text().contains("anthropic, openai"),
            "{}",
            answer.text()
        );
    }
}

// acceptance 61
#[tokio::test]
async fn a_provider_without_pooled_keys_serves_with_its_own_key_or_says_that_it_has_none() {
    let provider = json!({ "name": "anthropic", "api_key": anthropic_key(1) });
    let pool = json!({ "enabled": true, "providers": { "anthropic": { "keys": [] } } });
    let config = json!({ "ApiKeyPool": pool, "Providers": [provider] });
    let setup = Setup::empty()
        .with_sim_keys("anthropic", 1)
        .with_config(config);
    let world = setup.start().await;
    world.ask(Api::Messages).await.assert_ok();
    world
        .remove("anthropic", &anthropic_key(1))
        .await
        .assert_ok();
    let answer = world.ask(Api::Messages).await;
    Api::Messages.assert_error(&answer, 503, "no_keys");
}

// acceptance 62
#[tokio::test]
async fn every_failover_is_visible_in_metrics_and_log() {
    let world = first_key_with(Fault::status(500)).await;
    for _ in 0..3 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let page = world.get("/metrics").await.text();
    let mut lines = page
        .lines()
        .filter(|line| line.starts_with("keypool_failovers_total{"));
    let line = lines
        .find(|line| line.contains(r#"provider="anthropic""#))
        .unwrap_or(&page);
    assert!(line.ends_with(" 3"), "{line}");
    let from_to = [mask(&anthropic_key(1)), mask(&anthropic_key(2))];
    world
        .log_line(&["[API-KEY-POOL]", "failover", &from_to[0], &from_to[1]])
        .await;
    let log = world.log();
    assert_eq!(
        log.lines().filter(|line| line.contains("failover")).count(),
        3
    );
}
