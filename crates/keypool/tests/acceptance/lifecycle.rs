//! Reload, removal and stop while requests are in flight: nothing is lost.

use std::time::Duration;

use keypool_sim::Spread;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Api, OpenAnswer, Setup, World, anthropic_key, eventually, mask, openai_key, put,
};

/// Streams that last for about half a second, from keys used in order.
fn slow_streams() -> Setup {
    Setup::both(2)
        .with_sim_keys("anthropic", 3)
        .strategy("fill-first")
        .sim(|sim| {
            sim.answer.output_tokens = Spread::Fixed(40);
            sim.answer.chunk_delay = Duration::from_millis(50);
        })
}

/// A stream of each kind, all begun.
async fn begun(world: &World) -> Vec<(Api, OpenAnswer)> {
    let mut streams = Vec::new();
    for api in Api::STREAMED {
        let mut stream = world.ask_stream(api).open().await;
        assert_eq!(stream.headers["x-keypool-key"], mask(&api.key(1)).as_str());
        stream.event().await;
        streams.push((api, stream));
    }
    streams
}

/// Fails unless each of them comes to its proper end.
async fn finish(streams: Vec<(Api, OpenAnswer)>) {
    for (api, stream) in streams {
        let events = stream.whole().await.events();
        let last = events.last().unwrap();
        let is_end = last.name == api.last_event() || last.data == api.last_event();
        assert!(is_end, "{api:?}: {last:?}");
    }
}

/// The configuration of [`slow_streams`] without its first keys, and with a third one of Anthropic.
fn without_first_keys(world: &World) -> Value {
    let mut config = world.config.clone();
    let anthropic = json!([{ "key": anthropic_key(2) }, { "key": anthropic_key(3) }]);
    put(
        &mut config,
        "/ApiKeyPool/providers/anthropic/keys",
        anthropic,
    );
    put(
        &mut config,
        "/ApiKeyPool/providers/openai/keys",
        json!([{ "key": openai_key(2) }]),
    );
    config
}

async fn assert_first_keys_are_gone(world: &World) {
    eventually("the new keys are in force", async || {
        let keys = world.shown("health").await["anthropic"]["keys"].take();
        (keys[0]["key"] == mask(&anthropic_key(2)) && keys[1]["key"] == mask(&anthropic_key(3)))
            .then_some(())
    })
    .await;
    assert_eq!(
        world.ask(Api::Messages).await.key(),
        mask(&anthropic_key(2))
    );
    assert_eq!(world.ask(Api::Chat).await.key(), mask(&openai_key(2)));
}

#[tokio::test]
async fn streams_finish_when_their_keys_are_taken_out_of_the_file() {
    for how in ["signal", "call", "file alone"] {
        let world = slow_streams().start().await;
        let streams = begun(&world).await;
        world.write_config(without_first_keys(&world));
        match how {
            "signal" => world.signal(Signal::HUP),
            "call" => world.post("/api/config/reload").await.assert_ok(),
            _ => {}
        }
        assert_first_keys_are_gone(&world).await;
        finish(streams).await;
    }
}

#[tokio::test]
async fn streams_finish_when_their_provider_is_taken_out_of_the_file() {
    let world = slow_streams().start().await;
    let streams = begun(&world).await;
    let mut config = world.config.clone();
    config
        .pointer_mut("/ApiKeyPool/providers")
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove("openai");
    world.write_config(config);
    let reloaded = world.post("/api/config/reload").await.data();
    assert_eq!(reloaded["providersRemoved"], json!(["openai"]));
    assert_eq!(world.ask(Api::Chat).await.status, 404);
    finish(streams).await;
}

#[tokio::test]
async fn streams_finish_when_their_keys_are_removed_by_call() {
    let world = slow_streams().start().await;
    let streams = begun(&world).await;
    world
        .remove("anthropic", &anthropic_key(1))
        .await
        .assert_ok();
    world.remove("openai", &openai_key(1)).await.assert_ok();
    assert_eq!(
        world.ask(Api::Messages).await.key(),
        mask(&anthropic_key(2))
    );
    finish(streams).await;
}

#[tokio::test]
async fn keys_that_stay_keep_their_health_through_a_reload() {
    let world = Setup::anthropic(2).strategy("fill-first").start().await;
    world.fault(&anthropic_key(1), keypool_sim::Fault::rate_limited(60));
    world.ask(Api::Messages).await.assert_ok();
    let mut config = world.config.clone();
    put(
        &mut config,
        "/ApiKeyPool/providers/anthropic/keys/0/priority",
        50.into(),
    );
    world.write_config(config);
    world.post("/api/config/reload").await.assert_ok();
    let health = world.health(&anthropic_key(1)).await;
    assert_eq!(
        (&health["health"], &health["priority"]),
        (&json!("rate-limited"), &json!(50))
    );
    assert_eq!(world.health(&anthropic_key(2)).await["requestCount"], 1);
}

#[tokio::test]
async fn a_wrong_file_leaves_the_running_configuration_in_force_and_says_so() {
    let world = Setup::anthropic(1).start().await;
    let mut config = world.config.clone();
    put(&mut config, "/ApiKeyPool/strategy", "fastest".into());
    world.write_config(config);
    let refused = world.post("/api/config/reload").await;
    assert_eq!(
        (refused.status, &refused.error()["code"]),
        (422, &json!("invalid_config"))
    );
    assert!(
        refused.text().contains("ApiKeyPool.strategy"),
        "{}",
        refused.text()
    );
    world.signal(Signal::HUP);
    world
        .log_line(&["the running configuration stays in force"])
        .await;
    world.ask(Api::Messages).await.assert_ok();
    assert_eq!(world.shown("strategy").await["strategy"], "least-loaded");
}

#[tokio::test]
async fn asked_to_stop_it_finishes_its_streams_takes_no_new_ones_and_ends_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut world = slow_streams().start().await;
        let streams = begun(&world).await;
        let plain = world.ask(Api::Messages).spawn();
        eventually("it is in flight", async || {
            (world.served(&anthropic_key(1)) == 2).then_some(())
        })
        .await;
        world.signal(signal);
        world.log_line(&["stopping"]).await;
        eventually("new connections are refused", async || {
            let address = world.url().strip_prefix("http://").unwrap();
            tokio::net::TcpStream::connect(address)
                .await
                .is_err()
                .then_some(())
        })
        .await;
        finish(streams).await;
        plain.await.unwrap().assert_ok();
        assert_eq!(world.gateway.exit_code().await, Some(0), "{signal:?}");
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let setup = Setup::anthropic(1).set("/ApiKeyPool/timeouts/drain", 300);
    let mut world = setup.start().await;
    world.fault(&anthropic_key(1), keypool_sim::Fault::Hang);
    let hanging = world.ask(Api::Messages).spawn();
    eventually("it hangs", async || {
        (world.counted(&anthropic_key(1)).in_flight == 1).then_some(())
    })
    .await;
    world.signal(Signal::TERM);
    assert_eq!(world.gateway.exit_code().await, Some(0));
    hanging.abort();
}
