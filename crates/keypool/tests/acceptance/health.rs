//! Group D: scores, states, bands and colours.

use keypool_sim::{Fault, FaultWindow};
use serde_json::json;

use crate::support::{Api, Setup, World, anthropic_key, eventually, mask, openai_key};

const DEGRADED: usize = 2;
const LIMITED: usize = 3;
const DEAD: usize = 4;

/// Four keys, one in each state.
async fn one_of_each() -> World {
    let world = Setup::anthropic(4).start().await;
    world.fault(
        &anthropic_key(DEGRADED),
        FaultWindow::next(7, Fault::status(500)),
    );
    world.fault(&anthropic_key(LIMITED), Fault::rate_limited(60));
    world.fault(&anthropic_key(DEAD), Fault::Unauthorized);
    eventually("all faults have struck", async || {
        world.ask(Api::Messages).await.assert_ok();
        let struck = |number| world.counted(&anthropic_key(number)).faults;
        (struck(DEGRADED) == 7 && struck(LIMITED) > 0 && struck(DEAD) > 0).then_some(())
    })
    .await;
    world
}

// acceptance 43, 48
#[tokio::test]
async fn the_four_states_are_reported_each_with_its_colour() {
    let world = one_of_each().await;
    let expected = [
        (1, "healthy", "green"),
        (DEGRADED, "degraded", "yellow"),
        (LIMITED, "rate-limited", "orange"),
        (DEAD, "unavailable", "red"),
    ];
    for (number, state, color) in expected {
        let health = world.health(&anthropic_key(number)).await;
        assert_eq!(
            (&health["health"], &health["healthColor"]),
            (&json!(state), &json!(color))
        );
    }
    let stats = world.shown("stats").await;
    for state in [
        "healthyKeys",
        "degradedKeys",
        "rateLimitedKeys",
        "unavailableKeys",
    ] {
        assert_eq!(stats[state], 1, "{state}");
    }
}

// acceptance 44
#[tokio::test]
async fn healthy_and_degraded_keys_serve_and_the_others_are_excluded() {
    let world = one_of_each().await;
    world.sim.sim().clear_faults();
    world.sim.sim().reset();
    for _ in 0..12 {
        world.ask(Api::Messages).await.assert_ok();
    }
    for (number, serves) in [(1, true), (DEGRADED, true), (LIMITED, false), (DEAD, false)] {
        let secret = anthropic_key(number);
        assert_eq!(world.served(&secret) > 0, serves, "{}", mask(&secret));
    }
}

// acceptance 45, 46, 47
#[tokio::test]
async fn the_score_falls_with_failures_rises_with_successes_and_stays_within_0_and_100() {
    let world = Setup::anthropic(1)
        .set("/ApiKeyPool/retry/maxAttempts", 1)
        .start()
        .await;
    let key = anthropic_key(1);
    assert_eq!(world.score(&key).await, 100);
    world.ask(Api::Messages).await.assert_ok();
    assert_eq!(world.score(&key).await, 100, "never above");

    world.fault(&key, Fault::status(500));
    let mut last = 100;
    for _ in 0..22 {
        // The circuit breaker would end it after ten.
        world.post("/api/circuit-breaker/reset").await.data();
        assert_eq!(world.ask(Api::Messages).await.status, 500);
        let health = world.health(&key).await;
        let score = health["healthScore"].as_u64().unwrap();
        assert!(score < last || last == 0, "{score} after {last}");
        let band = match score {
            90.. => "excellent",
            70.. => "good",
            50.. => "degraded",
            _ => "poor",
        };
        assert_eq!(health["healthBand"], band, "{score}");
        let is_degraded = health["health"] == "degraded";
        assert_eq!(is_degraded, score < 70, "{score}: {}", health["health"]);
        last = score;
    }
    assert_eq!(last, 0, "never below");

    world.sim.sim().clear_faults();
    world.ask(Api::Messages).await.assert_ok();
    assert_eq!(world.score(&key).await, 1);
}

// acceptance 47
#[tokio::test]
async fn the_average_score_is_the_mean_over_keys() {
    let world = Setup::anthropic(2).start().await;
    world.fault(&anthropic_key(1), FaultWindow::next(1, Fault::status(500)));
    while world.counted(&anthropic_key(1)).faults == 0 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let scores = [
        world.score(&anthropic_key(1)).await,
        world.score(&anthropic_key(2)).await,
    ];
    assert_eq!(scores, [95, 100]);
    assert_eq!(world.shown("stats").await["averageHealthScore"], 97.5);
    assert_eq!(
        world.shown("health").await["anthropic"]["averageHealthScore"],
        97.5
    );
}

// acceptance 49
#[tokio::test]
async fn a_clients_mistake_lowers_no_score_and_is_tried_once() {
    for api in [Api::Messages, Api::Chat] {
        for status in [400, 413, 422] {
            let world = Setup::both(2).start().await;
            world
                .sim
                .sim()
                .set_faults_of_all(vec![Fault::status(status).into()]);
            assert_eq!(world.ask(api).await.status, status);
            for secret in [api.key(1), api.key(2)] {
                assert_eq!(world.score(&secret).await, 100, "{api:?} {status}");
            }
            assert_eq!(
                world.sim.sim().counters().requests,
                1,
                "no other key can cure it"
            );
        }
    }
}

// acceptance 49
#[tokio::test]
async fn a_model_that_no_key_knows_lowers_no_score() {
    let world = Setup::both(2).start().await;
    for api in [Api::Messages, Api::Chat] {
        world
            .sim
            .sim()
            .set_faults_of_all(vec![Fault::status(404).into()]);
        assert_eq!(world.ask(api).await.status, 404);
    }
    for secret in [
        anthropic_key(1),
        anthropic_key(2),
        openai_key(1),
        openai_key(2),
    ] {
        assert_eq!(world.score(&secret).await, 100);
        assert_eq!(world.health(&secret).await["errorCount"], 0);
    }
    world.sim.sim().clear_faults();
    world.ask(Api::Messages).await.assert_ok();
    world.ask(Api::Chat).await.assert_ok();
}
