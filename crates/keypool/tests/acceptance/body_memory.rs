//! What the bodies of requests take in memory, and what is sent in their place.

use keypool_sim::Fault;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Answer, Api, Setup, World, anthropic_key, eventually, openai_key};
use crate::waiting::waiting;

/// What a request is charged besides its body.
const OVERHEAD: usize = 16 * 1024;

/// One request at a time reaches each provider, and is never answered.
async fn stuck() -> World {
    let one = json!({ "maxConcurrent": 1 });
    let world = Setup::both(1).every_key("rateLimit", &one).start().await;
    world.fault(&anthropic_key(1), Fault::Hang);
    world.fault(&openai_key(1), Fault::Hang);
    world
}

/// A request of the Messages API for a model of some provider, with a prompt of so many bytes.
fn large(model: &str, bytes: usize) -> Value {
    let mut body = Api::Messages.body_of(&"x".repeat(bytes));
    body["model"] = model.into();
    body
}

fn send(world: &World, body: &Value) -> JoinHandle<Answer> {
    world.over_http1().send(Api::Messages, body).spawn()
}

async fn reaches(world: &World, secret: &str) {
    eventually("it reached the provider", async || {
        (world.counted(secret).in_flight == 1).then_some(())
    })
    .await;
}

/// Waits until the bodies take so much, as the metric says.
async fn held(world: &World, expected: std::ops::RangeInclusive<usize>) {
    let what = format!("bodies take {expected:?} bytes");
    eventually(&what, async || {
        let held = world.metric("keypool_request_body_bytes").await.unwrap();
        let held = format!("{held}").parse().unwrap();
        expected.contains(&held).then_some(())
    })
    .await;
}

#[tokio::test]
async fn those_who_wait_hold_no_copy_of_their_bodies() {
    const EACH: usize = 2 * 1024 * 1024;
    const COUNT: usize = 24;
    let world = stuck().await;
    // The model's name has to be written anew.
    let body = large("anthropic,claude-x", EACH);
    let _first = send(&world, &body);
    reaches(&world, &anthropic_key(1)).await;
    let before = world.resident_bytes();
    for count in 1..=COUNT {
        send(&world, &body);
        waiting(&world, count as u64).await;
    }
    let grown = usize::try_from(world.resident_bytes() - before).unwrap();
    println!("{grown} bytes for {COUNT} bodies of {EACH}");
    assert!(grown < 2 * COUNT * EACH, "{grown}");
}

#[tokio::test]
async fn what_is_sent_in_the_place_of_a_body_is_counted_with_it() {
    const BODY: usize = 100_000;
    let own = BODY + OVERHEAD..=BODY + OVERHEAD + 1000;
    let twice = 2 * BODY + OVERHEAD..=2 * BODY + OVERHEAD + 1000;
    for (model, secret, waits) in [
        // Written when the key is there.
        ("anthropic,claude-x", anthropic_key(1), &own),
        // Written before, to know what to set aside.
        ("openai,gpt-x", openai_key(1), &twice),
    ] {
        let world = stuck().await;
        let body = large(model, BODY);
        let attempted = send(&world, &body);
        reaches(&world, &secret).await;
        held(&world, twice.clone()).await;
        let waits_still = send(&world, &body);
        waiting(&world, 1).await;
        held(
            &world,
            twice.start() + waits.start()..=twice.end() + waits.end(),
        )
        .await;
        waits_still.abort();
        held(&world, twice.clone()).await;
        attempted.abort();
        held(&world, 0..=0).await;
    }
    let world = stuck().await;
    let _sent_as_it_is = send(&world, &large("claude-x", BODY));
    reaches(&world, &anthropic_key(1)).await;
    held(&world, own).await;
}

#[tokio::test]
async fn what_has_no_room_beside_its_body_is_refused_in_the_askers_api_and_costs_no_key() {
    const LARGE: usize = 40_000;
    const SMALL: usize = 10_000;
    // The small body has room, and not once more beside it.
    let bound = 2 * LARGE + SMALL + 2 * OVERHEAD + 3000;
    let world = Setup::both(1)
        .set("/Bounds/bodyBytes", 50_000)
        .set("/Bounds/bodyBytesInFlight", bound)
        .start()
        .await;
    world.fault(&openai_key(1), Fault::Hang);
    let _large = send(&world, &large("openai,gpt-x", LARGE));
    reaches(&world, &openai_key(1)).await;
    for model in ["openai,gpt-x", "anthropic,claude-x"] {
        let refused = world.send(Api::Messages, &large(model, SMALL)).await;
        Api::Messages.assert_error(&refused, 503, "memory_full");
        assert_eq!(refused.header("retry-after"), "1");
    }
    // What is sent as it came takes no more.
    world
        .send(Api::Messages, &large("claude-x", SMALL))
        .await
        .assert_ok();
    let metrics = world.details("anthropic", &anthropic_key(1)).await["metrics"].take();
    assert_eq!(
        (&metrics["inFlight"], &metrics["successes"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn a_request_that_is_alone_has_room_however_large_it_may_be() {
    let world = Setup::both(1)
        .set("/Bounds/bodyBytes", 100_000)
        .set("/Bounds/bodyBytesInFlight", 100_000)
        .start()
        .await;
    for model in ["openai,gpt-x", "anthropic,claude-x"] {
        let answer = world.send(Api::Messages, &large(model, 99_000)).await;
        answer.assert_ok();
    }
}
