//! Group G: requests that find no room wait for it, and what bounds their wait.

use std::time::{Duration, Instant};

use keypool_sim::{Fault, FaultWindow, Limits, Spread};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Call, Setup, World, anthropic_key, eventually};

/// A key that serves one request at a time, each in so many milliseconds.
pub(crate) fn one_at_a_time(answer_ms: u64) -> Setup {
    Setup::anthropic(1)
        .every_key("rateLimit", &json!({ "maxConcurrent": 1 }))
        .sim(|sim| sim.answer.latency_ms = Spread::Fixed(answer_ms))
}

/// A key that serves so many requests at once and then one each second, its first requests used up.
async fn used_up(requests: u64, setup: impl FnOnce(Setup) -> Setup) -> World {
    let setup = setup(
        Setup::anthropic(1)
            .every_key("rateLimit", &json!({ "requestsPerMinute": requests }))
            .sim_limits(Limits::per_minute(requests)),
    );
    let world = setup.start().await;
    for answer in world
        .burst(Api::Messages, usize::try_from(requests).unwrap())
        .await
    {
        answer.assert_ok();
    }
    world
}

/// `data` of `GET /api/queue/status`.
pub(crate) async fn queue(world: &World) -> Value {
    world.get("/api/queue/status").await.data()
}

pub(crate) async fn waiting(world: &World, count: u64) {
    eventually(&format!("{count} requests wait"), async || {
        (queue(world).await["length"] == count).then_some(())
    })
    .await;
}

fn queued_ms(answer: &Answer) -> u64 {
    answer.header("x-keypool-queued-ms").parse().unwrap()
}

fn retry_after_ms(answer: &Answer) -> u64 {
    answer.header("retry-after-ms").parse().unwrap()
}

/// A request that names itself in its prompt.
pub(crate) fn named(world: &World, name: &str) -> Call {
    let api = Api::Messages;
    world
        .post(api.path())
        .header("anthropic-version", "2023-06-01")
        .json(&api.body_of(name))
}

/// Which of these names the provider received, in this order.
pub(crate) fn order(world: &World, names: &[&'static str]) -> Vec<&'static str> {
    let received = world.received();
    let name_of = |body: &[u8]| {
        let body = String::from_utf8_lossy(body).into_owned();
        names
            .iter()
            .copied()
            .find(|name| body.contains(&format!("\"{name}\"")))
    };
    received
        .iter()
        .filter_map(|request| name_of(&request.body))
        .collect()
}

// acceptance 65, 75
#[tokio::test]
async fn load_above_the_capacity_waits_instead_of_failing() {
    let world = one_at_a_time(100).start().await;
    let clients: Vec<_> = (0..6).map(|_| world.ask(Api::Messages).spawn()).collect();
    waiting(&world, 5).await;
    let status = queue(&world).await;
    let own = &status["providers"]["anthropic"];
    assert_eq!(
        (&own["length"], &own["byPriority"]["normal"]),
        (&json!(5), &json!(5))
    );
    assert!(own["oldestSince"].is_string(), "{status}");
    let length = world.metric(r#"keypool_queue_length{provider="anthropic"} "#);
    assert!(length.await.unwrap() >= 1.0);
    let mut longest = 0;
    for client in clients {
        let answer = client.await.unwrap();
        answer.assert_ok();
        assert_eq!(answer.header("x-keypool-attempts"), "1");
        longest = longest.max(queued_ms(&answer));
    }
    assert!(longest >= 400, "{longest}");
    let count = world.metric(r#"keypool_queue_wait_seconds_count{provider="anthropic"} "#);
    assert!(count.await.unwrap() >= 5.0);
    let length = world.metric(r#"keypool_queue_length{provider="anthropic"} "#);
    assert_eq!(length.await, Some(0.0));
    let counted = world.counted(&anthropic_key(1));
    assert_eq!((counted.admitted, counted.in_flight_peak), (6, 1));
}

// acceptance 65, 75
#[tokio::test]
async fn a_wait_that_would_be_too_long_is_refused_at_once_with_an_honest_time() {
    let world = used_up(60, |setup| setup.set("/ApiKeyPool/queue/maxWait", 200)).await;
    let began = Instant::now();
    let refused = world.ask(Api::Messages).await;
    assert!(began.elapsed() < Duration::from_millis(500));
    Api::Messages.assert_error(&refused, 429, "no_room");
    assert_eq!(refused.header("x-should-retry"), "");
    let wait = retry_after_ms(&refused);
    assert!((200..=1500).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_millis(wait)).await;
    world.ask(Api::Messages).await.assert_ok();
    assert_eq!(world.counted(&anthropic_key(1)).limited, 0);
}

// acceptance 75
#[tokio::test]
async fn who_would_have_to_come_back_after_minutes_is_told_not_to_wait_for_it() {
    let (world, clock) = Setup::anthropic(1)
        .every_key("rateLimit", &json!({ "requestsPerDay": 1 }))
        .start_with_manual_clock()
        .await;
    world.ask(Api::Messages).await.assert_ok();
    let refused = world.ask(Api::Messages).await;
    Api::Messages.assert_error(&refused, 429, "no_room");
    assert_eq!(refused.header("x-should-retry"), "false");
    assert_eq!(refused.header("retry-after"), "86400");
    clock.advance(86_400);
    world.ask(Api::Messages).await.assert_ok();
}

// acceptance 75
#[tokio::test]
async fn a_clients_own_clock_bounds_its_wait() {
    let world = one_at_a_time(1500).start().await;
    let first = world.ask(Api::Messages).spawn();
    eventually("the key is taken", async || {
        (world.served(&anthropic_key(1)) == 1).then_some(())
    })
    .await;
    for (header, value, at_least) in [
        ("x-keypool-timeout-ms", "300", 250),
        ("x-stainless-timeout", "0.3", 250),
        ("x-stainless-read-timeout", "0.3", 250),
    ] {
        let began = Instant::now();
        let refused = world.ask(Api::Messages).header(header, value).await;
        let waited = began.elapsed();
        assert!(
            refused.status == 429,
            "{header}: {} {}",
            refused.status,
            refused.text()
        );
        assert!(waited < Duration::from_millis(1100), "{header}: {waited:?}");
        // A key that may be free at any moment is waited for; if that is known to take longer, not.
        assert!(
            queued_ms(&refused) >= at_least || retry_after_ms(&refused) >= 300,
            "{header}: {:?}",
            refused.headers
        );
    }
    first.await.unwrap().assert_ok();
    assert_eq!(world.received().len(), 1, "none of the others was sent");
}

// acceptance 75
#[tokio::test]
async fn a_client_that_leaves_while_it_waits_frees_its_place_and_costs_nothing() {
    let world = one_at_a_time(600).start().await;
    let first = world.ask(Api::Messages).spawn();
    eventually("the key is taken", async || {
        (world.served(&anthropic_key(1)) == 1).then_some(())
    })
    .await;
    let leaving = named(&world, "leaving").spawn();
    let staying = named(&world, "staying").spawn();
    waiting(&world, 2).await;
    leaving.abort();
    waiting(&world, 1).await;
    first.await.unwrap().assert_ok();
    staying.await.unwrap().assert_ok();
    waiting(&world, 0).await;
    assert_eq!(order(&world, &["leaving", "staying"]), ["staying"]);
    assert_eq!(world.counted(&anthropic_key(1)).requests, 2);
}

// acceptance 75
#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let world = one_at_a_time(500)
        .set("/ApiKeyPool/queue/maxLength", 1)
        .start()
        .await;
    let clients = [
        world.ask(Api::Messages).spawn(),
        world.ask(Api::Messages).spawn(),
    ];
    waiting(&world, 1).await;
    let refused = world.ask(Api::Messages).await;
    Api::Messages.assert_error(&refused, 429, "no_room");
    assert!(retry_after_ms(&refused) > 0);
    for client in clients {
        client.await.unwrap().assert_ok();
    }
}

// acceptance 75
#[tokio::test]
async fn an_operator_clears_the_queue_of_one_priority_or_of_all() {
    let world = one_at_a_time(1200).start().await;
    let first = world.ask(Api::Messages).spawn();
    eventually("the key is taken", async || {
        (world.served(&anthropic_key(1)) == 1).then_some(())
    })
    .await;
    let batch = named(&world, "b")
        .header("x-keypool-priority", "batch")
        .spawn();
    let normal = named(&world, "n").spawn();
    waiting(&world, 2).await;
    let unknown = world
        .post("/api/queue/clear")
        .json(&json!({ "priority": "urgent" }));
    assert_eq!(unknown.await.error()["code"], "unknown_priority");
    let unknown = world
        .post("/api/queue/clear")
        .json(&json!({ "provider": "nonesuch" }));
    assert_eq!(unknown.await.status, 404);
    let cleared = world
        .post("/api/queue/clear")
        .json(&json!({ "priority": "batch" }));
    assert_eq!(cleared.await.data()["cleared"], 1);
    Api::Messages.assert_error(&batch.await.unwrap(), 429, "no_room");
    assert_eq!(queue(&world).await["length"], 1);
    assert_eq!(world.post("/api/queue/clear").await.data()["cleared"], 1);
    Api::Messages.assert_error(&normal.await.unwrap(), 429, "no_room");
    first.await.unwrap().assert_ok();
    world.ask(Api::Messages).await.assert_ok();
}

// acceptance 17, 75
#[tokio::test]
async fn a_key_that_is_added_serves_those_that_wait() {
    let world = one_at_a_time(2000)
        .with_sim_keys("anthropic", 2)
        .start()
        .await;
    let first = world.ask(Api::Messages).spawn();
    let second = world.ask(Api::Messages).spawn();
    waiting(&world, 1).await;
    let added_at = Instant::now();
    assert_eq!(world.add("anthropic", &anthropic_key(2)).await.status, 201);
    let begun = async || (world.served(&anthropic_key(2)) == 1).then_some(());
    eventually("the new key serves it", begun).await;
    assert!(added_at.elapsed() < Duration::from_secs(1));
    for client in [first, second] {
        client.await.unwrap().assert_ok();
    }
}

// acceptance 75
#[tokio::test]
async fn a_stop_serves_those_that_wait_while_there_is_time() {
    let mut world = one_at_a_time(300).start().await;
    let clients: Vec<_> = (0..3).map(|_| world.ask(Api::Messages).spawn()).collect();
    waiting(&world, 2).await;
    world.signal(Signal::TERM);
    for client in clients {
        client.await.unwrap().assert_ok();
    }
    assert_eq!(world.gateway.exit_code().await, Some(0));
}

// acceptance 75
#[tokio::test]
async fn a_stop_tells_those_for_whom_there_is_no_time() {
    let mut world = one_at_a_time(1500)
        .set("/ApiKeyPool/timeouts/drain", 2400)
        .start()
        .await;
    let clients: Vec<_> = (0..3).map(|_| world.ask(Api::Messages).spawn()).collect();
    waiting(&world, 2).await;
    world.signal(Signal::TERM);
    let mut statuses = Vec::new();
    for client in clients {
        let answer = client.await.unwrap();
        if answer.status != 200 {
            Api::Messages.assert_error(&answer, 503, "stopping");
            assert_eq!(answer.header("retry-after"), "1");
        }
        statuses.push(answer.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503, 503]);
    assert_eq!(world.gateway.exit_code().await, Some(0));
}

// acceptance 60
#[tokio::test]
async fn a_moments_limit_of_all_keys_is_waited_for_out_of_the_clients_sight() {
    for api in Api::ALL {
        let world = Setup::both(2).start().await;
        for number in [1, 2] {
            world.fault(
                &api.key(number),
                FaultWindow::next(1, Fault::rate_limited(1)),
            );
        }
        let began = Instant::now();
        let answer = world.ask(api).await;
        answer.assert_ok();
        let took = began.elapsed();
        assert!((800..4000).contains(&took.as_millis()), "{api:?}: {took:?}");
        assert_eq!(answer.header("x-keypool-attempts"), "3", "{api:?}");
        assert!(queued_ms(&answer) >= 700, "{api:?}: {}", queued_ms(&answer));
    }
}

// acceptance 60
#[tokio::test]
async fn a_long_limit_of_all_keys_is_told_at_once() {
    for api in Api::ALL {
        let world = Setup::both(2).start().await;
        for number in [1, 2] {
            world.fault(&api.key(number), Fault::rate_limited(100));
        }
        let began = Instant::now();
        let answer = world.ask(api).await;
        assert!(began.elapsed() < Duration::from_secs(1));
        api.assert_error(&answer, 429, "no_room");
        assert_eq!(answer.header("x-should-retry"), "false", "{api:?}");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((98..=100).contains(&wait), "{api:?}: {wait}");
    }
}

// acceptance 60, 75
#[tokio::test]
async fn nobody_waits_for_a_target_while_a_fallback_has_room() {
    let world = one_at_a_time(400)
        .set(
            "/Aliases/either",
            json!(["anthropic,claude-haiku-4-5", "backup,claude-haiku-4-5"]),
        )
        .set(
            "/ApiKeyPool/providers/backup",
            json!({
                "protocol": "anthropic", "baseUrl": "$SIM", "keys": [{ "key": anthropic_key(2) }],
            }),
        )
        .with_sim_keys("anthropic", 2)
        .start()
        .await;
    let mut body = Api::Messages.body();
    body["model"] = "either".into();
    let ask = || {
        world
            .post("/v1/messages")
            .header("anthropic-version", "2023-06-01")
            .json(&body)
    };
    let calls = [ask().spawn(), ask().spawn()];
    let mut providers = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        answer.assert_ok();
        assert_eq!(answer.header("x-keypool-queued-ms"), "0");
        providers.push(answer.header("x-keypool-provider").to_owned());
    }
    providers.sort_unstable();
    assert_eq!(providers, ["anthropic", "backup"]);
}
