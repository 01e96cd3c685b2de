//! Group G: what N keys give, against a provider that enforces every key's limit.

use std::time::{Duration, Instant};

use keypool_sim::{Fault, Limits};
use serde_json::json;

use crate::support::{Api, Clock, Setup, World, anthropic_key, mask};

/// Keys with quotas of their own, declared and enforced, on a clock that is moved by hand.
async fn pool(keys: usize, per_minute: u64) -> (World, Clock) {
    Setup::anthropic(keys)
        .every_key("rateLimit", &json!({ "requestsPerMinute": per_minute }))
        .set("/ApiKeyPool/providers/anthropic/window", "sliding")
        .sim_limits(Limits::per_minute(per_minute))
        .without_waiting()
        .start_with_manual_clock()
        .await
}

/// Offers this many requests within one minute; returns how many were served.
async fn served_of(world: &World, offered: usize) -> usize {
    let answers = world.burst(Api::Messages, offered).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 200 | 429))
    );
    let refused = world.sim.sim().counters().with_status(429);
    assert_eq!(
        refused, 0,
        "nothing was sent that the provider would refuse"
    );
    served
}

// acceptance 63
#[tokio::test]
async fn one_key_of_50_a_minute_serves_50_three_serve_150_and_five_250() {
    for (keys, expected) in [(1, 50), (3, 150), (5, 250)] {
        let (world, clock) = pool(keys, 50).await;
        for minute in 1..=2 {
            assert_eq!(
                served_of(&world, expected + 30).await,
                expected,
                "{keys}: {minute}"
            );
            clock.advance(61);
            // The provider's minute is over as well.
            world.sim.sim().reset();
        }
    }
}

// acceptance 64
#[tokio::test]
async fn four_to_ten_keys_on_quotas_of_their_own_serve_four_to_ten_times_as_much() {
    for keys in [1, 4, 10] {
        let (world, _clock) = pool(keys, 10).await;
        assert_eq!(served_of(&world, 120).await, 10 * keys);
    }
}

// acceptance 64
#[tokio::test]
async fn keys_that_share_one_quota_serve_no_more_than_one_of_them() {
    let limit = json!({ "org-a": { "rateLimit": { "requestsPerMinute": 10 } } });
    let (world, _clock) = Setup::anthropic(4)
        .every_key("quotaGroup", &"org-a".into())
        .set("/ApiKeyPool/providers/anthropic/quotaGroups", limit)
        .without_waiting()
        .start_with_manual_clock()
        .await;
    assert_eq!(served_of(&world, 40).await, 10);
}

// acceptance 64
#[test]
fn the_readme_says_that_quotas_must_be_independent() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap().to_lowercase();
    for words in ["quota group", "independent"] {
        assert!(
            readme.contains(words),
            "README.md does not speak of {words:?}"
        );
    }
}

// acceptance 65
#[tokio::test]
async fn load_within_the_declared_limits_meets_no_429() {
    for keys in [3, 5] {
        let (world, _clock) = pool(keys, 20).await;
        assert_eq!(served_of(&world, 20 * keys).await, 20 * keys);
    }
}

// acceptance 66
#[tokio::test]
async fn failover_takes_less_than_a_second() {
    let faults = [
        Fault::rate_limited(1),
        Fault::status(500),
        Fault::ResetBeforeHead,
    ];
    let mut times = Vec::new();
    for fault in faults {
        for _ in 0..5 {
            let world = Setup::anthropic(2).strategy("fill-first").start().await;
            world.fault(&anthropic_key(1), fault.clone());
            let began = Instant::now();
            let answer = world.ask(Api::Messages).await;
            times.push(began.elapsed());
            assert_eq!(answer.key(), mask(&anthropic_key(2)));
        }
    }
    // Of so few the slowest one is the 99th percentile.
    let slowest = times.iter().max().unwrap();
    assert!(*slowest < Duration::from_secs(1), "{slowest:?}");
}

// acceptance 68
#[tokio::test]
async fn rate_limit_episodes_pass_without_a_hand_being_moved() {
    let (world, clock) = pool(3, 50).await;
    for episode in 0..5 {
        let struck = anthropic_key(episode % 3 + 1);
        world.fault(
            &struck,
            keypool_sim::FaultWindow::next(1, Fault::rate_limited(20)),
        );
        for answer in world.burst(Api::Messages, 12).await {
            answer.assert_ok();
        }
        clock.advance(61);
    }
    assert_eq!(world.shown("stats").await["healthyKeys"], 3);
}

// acceptance 69
#[tokio::test]
async fn equal_keys_get_equal_shares_under_least_loaded() {
    let world = Setup::anthropic(5).start().await;
    for _ in 0..8 {
        for answer in world.burst(Api::Messages, 25).await {
            answer.assert_ok();
        }
    }
    let shares = world.shown("distribution?provider=anthropic").await;
    for key in shares["keys"].as_array().unwrap() {
        let share = key["requestShare"].as_f64().unwrap();
        // Within a tenth of an equal share, which is 20 %.
        assert!((18.0..=22.0).contains(&share), "{shares}");
    }
}
