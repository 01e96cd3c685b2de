//! Group B: which key is chosen.

use std::time::Duration;

use keypool_sim::{Fault, FaultWindow, Limits, Spread};
use serde_json::json;

use crate::support::{Answer, Api, Setup, World, anthropic_key, eventually, mask};

/// The masks of the keys that served `count` requests, one after the other.
async fn keys_of(world: &World, count: usize) -> Vec<String> {
    let mut keys = Vec::new();
    for _ in 0..count {
        let answer = world.ask(Api::Messages).await;
        answer.assert_ok();
        keys.push(answer.key());
    }
    keys
}

fn masks(numbers: &[usize]) -> Vec<String> {
    numbers
        .iter()
        .map(|number| mask(&anthropic_key(*number)))
        .collect()
}

/// A request whose prompt is about this many tokens long.
async fn ask_with_tokens(world: &World, tokens: usize) -> Answer {
    let body = Api::Messages.body_of(&"word ".repeat(tokens * 4 / 5));
    let call = world
        .post(Api::Messages.path())
        .header("anthropic-version", "2023-06-01");
    let answer = call.json(&body).await;
    answer.assert_ok();
    answer
}

// acceptance 17
#[tokio::test]
async fn least_loaded_counts_tokens_used() {
    let limits = [
        json!({}),
        json!({ "requestsPerMinute": 1000, "tokensPerMinute": 40_000 }),
    ];
    for limits in limits {
        let world = Setup::anthropic(2)
            .every_key("rateLimit", &limits)
            .start()
            .await;
        let burdened = ask_with_tokens(&world, 2000).await.key();
        let next = keys_of(&world, 5).await;
        assert!(
            !next.contains(&burdened),
            "{limits}: {next:?} after {burdened}"
        );
    }
}

// acceptance 17
#[tokio::test]
async fn least_loaded_counts_requests_in_flight() {
    let world = Setup::anthropic(2).sim(|sim| sim.answer.latency_ms = Spread::Fixed(300));
    let world = world.start().await;
    let slow = world.ask(Api::Messages).spawn();
    eventually("it is in flight", async || {
        (world.sim.sim().counters().total(|key| key.in_flight) == 1).then_some(())
    })
    .await;
    let next = world.ask(Api::Messages).await.key();
    assert_ne!(next, slow.await.unwrap().key());
}

// acceptance 18
#[tokio::test]
async fn with_mixed_sizes_least_loaded_spreads_tokens_more_evenly_than_round_robin() {
    let mut unevenness = Vec::new();
    for strategy in ["round-robin", "least-loaded"] {
        let world = Setup::anthropic(2).strategy(strategy).start().await;
        for _ in 0..10 {
            // Short of what a provider caches: a prompt that it caches goes where it is cached.
            ask_with_tokens(&world, 500).await;
            ask_with_tokens(&world, 10).await;
        }
        let [first, second] = [1, 2].map(|number| world.counted(&anthropic_key(number)));
        unevenness.push(first.input_tokens.abs_diff(second.input_tokens));
    }
    assert!(unevenness[1] * 2 < unevenness[0], "{unevenness:?}");
}

// acceptance 19
#[tokio::test]
async fn round_robin_goes_through_the_keys_in_order() {
    let world = Setup::anthropic(2).strategy("round-robin").start().await;
    assert_eq!(
        keys_of(&world, 10).await,
        masks(&[1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
    );
}

// acceptance 20
#[tokio::test]
async fn lru_takes_the_key_unused_for_longest_and_new_ones_first() {
    let setup = Setup::anthropic(2)
        .with_sim_keys("anthropic", 3)
        .strategy("lru");
    let world = setup.start().await;
    assert_eq!(keys_of(&world, 3).await, masks(&[1, 2, 1]));
    world.add("anthropic", &anthropic_key(3)).await;
    assert_eq!(keys_of(&world, 4).await, masks(&[3, 2, 1, 3]));
}

// acceptance 21
#[tokio::test]
async fn weighted_draws_in_proportion_to_priority() {
    let world = Setup::anthropic(2)
        .strategy("weighted")
        .key(1, "priority", 10);
    let world = world.key(2, "priority", 5).set("/Seed", 1).start().await;
    for _ in 0..12 {
        for answer in world.burst(Api::Messages, 25).await {
            answer.assert_ok();
        }
    }
    // 300 draws with p = 2/3 have a standard deviation of 8.2; four of them are never met by chance.
    let first = world.served(&anthropic_key(1));
    assert!(first.abs_diff(200) <= 33, "{first} of 300");
}

// acceptance 22
#[tokio::test]
async fn weighted_turns_away_from_a_key_whose_score_falls() {
    let world = Setup::anthropic(2)
        .strategy("weighted")
        .set("/Seed", 1)
        .start()
        .await;
    let (failing, sound) = (anthropic_key(1), anthropic_key(2));
    // Its score falls to about 20, that of the other stays at 100.
    world.fault(&failing, FaultWindow::next(16, Fault::status(500)));
    while world.counted(&failing).faults < 16 {
        world.ask(Api::Messages).await.assert_ok();
    }
    world.sim.sim().reset();
    keys_of(&world, 40).await;
    assert!(
        world.served(&failing) * 2 < world.served(&sound),
        "{}",
        world.served(&failing)
    );
}

// acceptance 23
#[tokio::test]
async fn no_strategy_selects_a_key_that_cannot_serve() {
    const DISABLED: usize = 1;
    const DEAD: usize = 2;
    const LIMITED: usize = 3;
    const FULL: usize = 4;
    const SOUND: usize = 5;
    for strategy in [
        "round-robin",
        "lru",
        "least-loaded",
        "weighted",
        "fill-first",
    ] {
        let world = Setup::anthropic(SOUND)
            .strategy(strategy)
            .key(DISABLED, "enabled", false)
            .key(FULL, "rateLimit", json!({ "requestsPerMinute": 1 }))
            .start()
            .await;
        world.fault(&anthropic_key(DEAD), Fault::Unauthorized);
        world.fault(&anthropic_key(LIMITED), Fault::rate_limited(60));
        eventually("each key has met its fate", async || {
            world.ask(Api::Messages).await.assert_ok();
            let dead = world.state(&anthropic_key(DEAD)).await == "unavailable";
            let limited = world.state(&anthropic_key(LIMITED)).await == "rate-limited";
            (dead && limited && world.served(&anthropic_key(FULL)) == 1).then_some(())
        })
        .await;
        world.sim.sim().reset();
        assert_eq!(keys_of(&world, 6).await, masks(&[SOUND; 6]), "{strategy}");
        assert_eq!(
            world.sim.sim().counters().requests,
            6,
            "{strategy}: nothing was tried in vain"
        );
    }
}

// acceptance 24
#[tokio::test]
async fn another_strategy_holds_from_the_next_request_and_drops_none_in_flight() {
    let world = Setup::anthropic(3).strategy("fill-first");
    let world = world
        .sim(|sim| sim.answer.chunk_delay = Duration::from_millis(50))
        .start()
        .await;
    assert_eq!(keys_of(&world, 3).await, masks(&[1, 1, 1]));
    let mut stream = world.ask_stream(Api::Messages).open().await;
    stream.event().await;
    let changed = world.admin("strategy", &json!({ "strategy": "lru" })).await;
    assert_eq!(changed.data()["strategy"], "lru");
    assert_eq!(keys_of(&world, 3).await, masks(&[2, 3, 1]));
    let events = stream.whole().await.events();
    assert_eq!(events.last().unwrap().name, "message_stop");
}

// acceptance 25
#[tokio::test]
async fn a_burst_never_exceeds_a_limit() {
    let world = Setup::anthropic(3)
        .every_key("rateLimit", &json!({ "requestsPerMinute": 10 }))
        .sim_limits(Limits::per_minute(10))
        .sim(|sim| sim.answer.latency_ms = Spread::Fixed(50))
        .without_waiting()
        .start()
        .await;
    let answers = world.burst(Api::Messages, 60).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(served, 30);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 200 | 429))
    );
    for number in 1..=3 {
        let counted = world.counted(&anthropic_key(number));
        assert_eq!((counted.admitted, counted.limited), (10, 0));
    }
}

// acceptance 25
#[tokio::test]
async fn a_burst_is_spread_over_the_keys() {
    let world = Setup::anthropic(3).sim(|sim| sim.answer.latency_ms = Spread::Fixed(300));
    let world = world.start().await;
    for answer in world.burst(Api::Messages, 30).await {
        answer.assert_ok();
    }
    for number in 1..=3 {
        let peak = world.counted(&anthropic_key(number)).in_flight_peak;
        assert!((9..=11).contains(&peak), "key {number}: {peak} at a time");
    }
}
