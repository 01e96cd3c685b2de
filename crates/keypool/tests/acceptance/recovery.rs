//! Group E: how keys come back. The clock is moved by hand.

use keypool_sim::{Fault, FaultWindow};
use serde_json::json;

use crate::support::{Api, Clock, Setup, World, anthropic_key, eventually, mask, openai_key};

/// One key, on a clock that is moved by hand. A request is sent once, so that each failure shows.
async fn one_key() -> (World, Clock) {
    Setup::anthropic(1)
        .without_waiting()
        .set("/ApiKeyPool/retry/maxAttempts", 1)
        .start_with_manual_clock()
        .await
}

/// Fails the only key until it is degraded.
async fn degrade(world: &World) {
    world.fault(&anthropic_key(1), FaultWindow::next(7, Fault::status(500)));
    for _ in 0..7 {
        assert_eq!(world.ask(Api::Messages).await.status, 500);
    }
    assert_eq!(world.state(&anthropic_key(1)).await, "degraded");
}

// acceptance 50
#[tokio::test]
async fn without_a_word_from_the_provider_a_limited_key_returns_after_a_minute() {
    let (world, clock) = one_key().await;
    world.fault(
        &anthropic_key(1),
        FaultWindow::next(1, Fault::rate_limited_bare()),
    );
    assert_eq!(world.ask(Api::Messages).await.status, 429);
    clock.advance(58);
    assert_eq!(world.state(&anthropic_key(1)).await, "rate-limited");
    let refused = world.ask(Api::Messages).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "2"));
    clock.advance(2);
    world.ask(Api::Messages).await.assert_ok();
    assert_eq!(world.state(&anthropic_key(1)).await, "healthy");
    assert_eq!(
        world.counted(&anthropic_key(1)).requests,
        2,
        "nothing was tried in vain"
    );
}

// acceptance 51
#[tokio::test]
async fn the_reset_time_is_read_in_all_its_forms() {
    // The clock stands at 2027-01-01 00:00 UTC.
    let anthropic: [(&[(&str, &str)], &str); 6] = [
        (&[("retry-after", "90")], "00:01:30"),
        (&[("retry-after", "1.5")], "00:00:01.5"),
        (
            &[("retry-after", "Fri, 01 Jan 2027 00:02:00 GMT")],
            "00:02:00",
        ),
        (&[("retry-after-ms", "2500")], "00:00:02.5"),
        (
            &[
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2027-01-01T00:00:45Z"),
            ],
            "00:00:45",
        ),
        (
            &[
                ("x-ratelimit-reset-requests", "6m0s"),
                ("retry-after", "20"),
            ],
            "00:00:20",
        ),
    ];
    for (headers, until) in anthropic {
        assert_limited_until(Api::Messages, headers, until).await;
    }
    let openai: [(&[(&str, &str)], &str); 3] = [
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "6m0s"),
            ],
            "00:06:00",
        ),
        (
            &[
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "1h2m3s"),
            ],
            "01:02:03",
        ),
        (
            &[("retry-after-ms", "2500"), ("retry-after", "3")],
            "00:00:02.5",
        ),
    ];
    for (headers, until) in openai {
        assert_limited_until(Api::Chat, headers, until).await;
    }
}

async fn assert_limited_until(api: Api, headers: &[(&str, &str)], until: &str) {
    let (world, _clock) = Setup::both(1)
        .without_waiting()
        .start_with_manual_clock()
        .await;
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    // The provider's clock agrees with the gateway's, or instants would be held against its own.
    let date = [("date", "Fri, 01 Jan 2027 00:00:00 GMT")];
    let kind = "rate_limit_error";
    let error = json!({ "type": "error", "error": { "type": kind, "message": "Slow down." } });
    world.fault(
        &api.key(1),
        Fault::Verbatim {
            status: 429,
            headers: headers.iter().chain(&date).map(own).collect(),
            body: error.to_string(),
        },
    );
    assert_eq!(world.ask(api).await.status, 429);
    let health = world.health(&api.key(1)).await;
    let shown: jiff::Timestamp = health["rateLimitedUntil"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let expected: jiff::Timestamp = format!("2027-01-01T{until}Z").parse().unwrap();
    assert_eq!(shown, expected, "{headers:?}");
}

// acceptance 52
#[tokio::test]
async fn successes_lift_a_degraded_key_until_it_is_healthy() {
    let (world, _clock) = one_key().await;
    degrade(&world).await;
    let key = anthropic_key(1);
    while world.score(&key).await <= 80 {
        assert_eq!(world.state(&key).await, "degraded");
        let before = world.score(&key).await;
        world.ask(Api::Messages).await.assert_ok();
        assert_eq!(world.score(&key).await, before + 1);
    }
    assert_eq!(world.state(&key).await, "healthy");
}

// acceptance 53, 55
#[tokio::test]
async fn a_degraded_key_is_healthy_after_five_minutes_without_errors_even_idle() {
    let (world, clock) = one_key().await;
    degrade(&world).await;
    clock.advance(299);
    assert_eq!(world.state(&anthropic_key(1)).await, "degraded");
    clock.advance(2);
    assert_eq!(world.state(&anthropic_key(1)).await, "healthy");
    world.ask(Api::Messages).await.assert_ok();
}

// acceptance 53
#[tokio::test]
async fn the_five_minutes_begin_anew_with_each_error() {
    let (world, clock) = one_key().await;
    degrade(&world).await;
    clock.advance(200);
    world.fault(&anthropic_key(1), FaultWindow::next(1, Fault::status(500)));
    assert_eq!(world.ask(Api::Messages).await.status, 500);
    clock.advance(299);
    assert_eq!(world.state(&anthropic_key(1)).await, "degraded");
    clock.advance(2);
    assert_eq!(world.state(&anthropic_key(1)).await, "healthy");
}

// acceptance 54
#[tokio::test]
async fn a_forced_check_after_the_reset_time_restores_all_limited_keys_at_once() {
    let (world, clock) = Setup::both(2)
        .without_waiting()
        .start_with_manual_clock()
        .await;
    let all = [
        anthropic_key(1),
        anthropic_key(2),
        openai_key(1),
        openai_key(2),
    ];
    for secret in &all {
        world.fault(secret, FaultWindow::next(1, Fault::rate_limited(30)));
    }
    for api in [Api::Messages, Api::Chat] {
        assert_eq!(world.ask(api).await.status, 429);
    }
    world.post("/api/apikeys/health-check").await.data();
    assert_eq!(
        world.shown("stats").await["rateLimitedKeys"],
        4,
        "not before the time"
    );
    clock.advance(31);
    world.post("/api/apikeys/health-check").await.data();
    assert_eq!(world.shown("stats").await["healthyKeys"], 4);
}

// acceptance 56
#[tokio::test]
async fn a_dead_key_stays_out_while_it_fails_and_a_check_returns_it_once_it_works() {
    let (world, clock) = Setup::anthropic(2).start_with_manual_clock().await;
    let dead = anthropic_key(1);
    world.sim.sim().revoke(&dead).unwrap();
    while world.counted(&dead).requests == 0 {
        world.ask(Api::Messages).await.assert_ok();
    }
    for _ in 0..2 {
        let checked = world.post("/api/apikeys/health-check").await.data();
        assert_eq!(checked["probing"].as_array().unwrap().len(), 1);
        clock.advance(3600);
        assert_eq!(world.state(&dead).await, "unavailable");
    }
    world.sim.sim().restore(&dead).unwrap();
    world.post("/api/apikeys/health-check").await.data();
    world.becomes(&dead, "healthy").await;
}

// contract §4
#[tokio::test]
async fn a_key_out_of_credit_is_back_once_a_request_is_served_and_not_because_it_may_list_models() {
    let (world, clock) = Setup::anthropic(2)
        .strategy("fill-first")
        .start_with_manual_clock()
        .await;
    let broke = anthropic_key(1);
    let message = "Your credit balance is too low to access the Anthropic API.";
    let error = json!({ "type": "invalid_request_error", "message": message });
    let refusal = Fault::Verbatim {
        status: 400,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: json!({ "type": "error", "error": error }).to_string(),
    };
    world.fault(&broke, refusal);
    let attempts = async || {
        let answer = world.ask(Api::Messages).await;
        answer.assert_ok();
        answer.header("x-keypool-attempts").to_owned()
    };
    assert_eq!([attempts().await, attempts().await], ["2", "1"]);

    // One request tries it, an hour later or when a check is asked for, and no other until the next time.
    for is_forced in [false, true, false] {
        if is_forced {
            world.post("/api/apikeys/health-check").await.data();
        } else {
            clock.advance(3600);
        }
        assert_eq!(world.state(&broke).await, "unavailable");
        assert_eq!([attempts().await, attempts().await], ["2", "1"]);
        assert_eq!(world.state(&broke).await, "unavailable");
    }
    let received = world.received();
    assert!(received.iter().all(|request| request.method == "POST"));
    eventually("it is told once", async || {
        let told = world.get("/api/alerts").await.data();
        (told["alerts"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;

    world.sim.sim().clear_faults();
    clock.advance(3600);
    assert_eq!(world.state(&broke).await, "unavailable");
    assert_eq!(world.ask(Api::Messages).await.key(), mask(&broke));
    assert_eq!(world.state(&broke).await, "healthy");
}

// acceptance 56
#[tokio::test]
async fn a_dead_key_that_is_removed_and_added_again_starts_anew() {
    let (world, _clock) = one_key().await;
    let key = anthropic_key(1);
    world.sim.sim().revoke(&key).unwrap();
    assert_eq!(world.ask(Api::Messages).await.status, 503);
    assert_eq!(world.state(&key).await, "unavailable");
    world.sim.sim().restore(&key).unwrap();
    world.remove("anthropic", &key).await.assert_ok();
    assert_eq!(world.add("anthropic", &key).await.status, 201);
    assert_eq!(
        (world.state(&key).await.as_str(), world.score(&key).await),
        ("healthy", 100)
    );
    world.ask(Api::Messages).await.assert_ok();
}

// acceptance 56, contract §4: one spurious 401 must not kill a key for ever.
#[tokio::test]
async fn a_key_that_was_refused_once_returns_by_itself() {
    let (world, _clock) = one_key().await;
    world.fault(&anthropic_key(1), FaultWindow::next(1, Fault::Unauthorized));
    assert_eq!(world.ask(Api::Messages).await.status, 503);
    world.becomes(&anthropic_key(1), "healthy").await;
    assert_eq!(world.score(&anthropic_key(1)).await, 100);
    world.ask(Api::Messages).await.assert_ok();
}

// acceptance 56, contract §4
#[tokio::test]
async fn a_spurious_refusal_of_the_only_key_is_not_seen_by_the_client() {
    let world = Setup::anthropic(1).start().await;
    world.fault(&anthropic_key(1), FaultWindow::next(1, Fault::Unauthorized));
    let answer = world.ask(Api::Messages).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-attempts"), "2");
    assert_eq!(world.score(&anthropic_key(1)).await, 100);
}

// acceptance 56, contract §4
#[tokio::test]
async fn a_key_that_another_did_better_than_is_left_out_until_its_probe_of_a_minute_later() {
    let (world, clock) = Setup::anthropic(2)
        .strategy("fill-first")
        .start_with_manual_clock()
        .await;
    let suspect = anthropic_key(1);
    world.fault(&suspect, FaultWindow::next(1, Fault::Unauthorized));
    world.ask(Api::Messages).await.assert_ok();
    assert_eq!(world.state(&suspect).await, "unavailable");
    assert_eq!(world.score(&suspect).await, 0);
    clock.advance(59);
    assert_eq!(world.state(&suspect).await, "unavailable");
    clock.advance(2);
    world.becomes(&suspect, "healthy").await;
}
