//! Group G: who goes first of those that wait, and how many go at one time.

use std::time::Duration;

use keypool_sim::{Fault, FaultWindow, Spread};
use serde_json::{Value, json};

use crate::support::{Api, Setup, World, anthropic_key, eventually};
use crate::waiting::{named, one_at_a_time, order, waiting};

// acceptance 78
#[tokio::test]
async fn of_a_backlog_the_most_urgent_go_first_and_batch_goes_in_the_end() {
    let names = ["batch", "low", "normal", "high", "critical"];
    let world = one_at_a_time(300).start().await;
    let first = world.ask(Api::Messages).spawn();
    eventually("the key is taken", async || {
        (world.served(&anthropic_key(1)) == 1).then_some(())
    })
    .await;
    let mut clients = vec![first];
    for name in names {
        let call = named(&world, name).header("x-keypool-priority", name);
        clients.push(call.spawn());
    }
    waiting(&world, 5).await;
    for client in clients {
        client.await.unwrap().assert_ok();
    }
    let mut urgent_first = names;
    urgent_first.reverse();
    assert_eq!(order(&world, &names), urgent_first);
}

// acceptance 78
#[tokio::test]
async fn who_has_waited_for_a_minute_goes_before_a_critical_one_that_comes_now() {
    let (world, clock) = one_at_a_time(0)
        .set("/ApiKeyPool/queue/maxWait", 600_000)
        .start_with_manual_clock()
        .await;
    world.fault(
        &anthropic_key(1),
        FaultWindow::next(
            1,
            Fault::SlowHead {
                delay: Duration::from_millis(1500),
            },
        ),
    );
    let first = world.ask(Api::Messages).spawn();
    eventually("the key is taken", async || {
        (world.counted(&anthropic_key(1)).requests == 1).then_some(())
    })
    .await;
    let batch = named(&world, "batch")
        .header("x-keypool-priority", "batch")
        .spawn();
    waiting(&world, 1).await;
    clock.advance(61);
    let critical = named(&world, "critical")
        .header("x-keypool-priority", "critical")
        .spawn();
    waiting(&world, 2).await;
    for client in [first, batch, critical] {
        client.await.unwrap().assert_ok();
    }
    assert_eq!(order(&world, &["batch", "critical"]), ["batch", "critical"]);
}

// acceptance 78
#[tokio::test]
async fn tenants_share_a_backlog_by_their_weights() {
    const HEAVY: &str = "heavy-canary-7f3a9c51e2-key";
    const LIGHT: &str = "light-canary-7f3a9c51e2-key";
    let tenants = json!([
        { "name": "heavy", "key": HEAVY, "weight": 2 },
        { "name": "light", "key": LIGHT, "weight": 1 },
    ]);
    let world = one_at_a_time(60)
        .set("/Tenants", tenants)
        .set("/Admin/token", "admin-canary-7f3a9c51e2-token")
        .start()
        .await;
    let admin = |path: &str| {
        world
            .get(path)
            .header("authorization", "Bearer admin-canary-7f3a9c51e2-token")
    };
    let mut clients = Vec::new();
    for _ in 0..12 {
        for (key, name) in [(LIGHT, "light"), (HEAVY, "heavy")] {
            clients.push(named(&world, name).header("x-api-key", key).spawn());
        }
    }
    eventually("the backlog stands", async || {
        let length = admin("/api/queue/status").await.data()["length"].as_u64();
        (length.unwrap() + world.served(&anthropic_key(1)) >= 24).then_some(())
    })
    .await;
    for client in clients {
        client.await.unwrap().assert_ok();
    }
    let order = order(&world, &["heavy", "light"]);
    // Those that were served before all had come may be of either.
    let heavy = order[..15].iter().filter(|name| **name == "heavy").count();
    assert!((9..=11).contains(&heavy), "{order:?}");
}

/// The status of shin mode.
async fn shin(world: &World) -> Value {
    world.get("/api/shin/status").await.data()["providers"]["anthropic"].take()
}

async fn served_by_two_keys(world: &World, clients: usize) {
    for answer in world.burst(Api::Messages, clients).await {
        answer.assert_ok();
    }
}

// acceptance 76
#[tokio::test]
async fn in_shin_mode_each_key_serves_one_request_at_a_time_and_a_restart_remembers() {
    let world = Setup::anthropic(2)
        .sim(|sim| sim.answer.latency_ms = Spread::Fixed(40))
        .start()
        .await;
    assert_eq!(shin(&world).await["mode"], "off");
    let enabled = world.post("/api/shin/enable").await.data();
    assert_eq!(enabled["providers"]["anthropic"]["mode"], "key");
    let peaks = |world: &World| [1, 2].map(|n| world.counted(&anthropic_key(n)).in_flight_peak);
    served_by_two_keys(&world, 10).await;
    assert_eq!(peaks(&world), [1, 1]);
    let world = world.restart().await;
    assert_eq!(shin(&world).await["enabled"], true);
    served_by_two_keys(&world, 10).await;
    assert_eq!(peaks(&world), [1, 1]);
    world.post("/api/shin/disable").await.data();
    assert_eq!(shin(&world).await["enabled"], false);
    served_by_two_keys(&world, 10).await;
    assert!(peaks(&world).iter().all(|&peak| peak > 1));
}

// acceptance 76
#[tokio::test]
async fn in_shin_mode_of_a_provider_one_request_is_served_at_a_time_in_all() {
    let world = Setup::anthropic(2)
        .sim(|sim| sim.answer.latency_ms = Spread::Fixed(40))
        .start()
        .await;
    let wrong = world
        .post("/api/shin/enable")
        .json(&json!({ "mode": "both" }));
    assert_eq!(wrong.await.error()["code"], "unknown_mode");
    let mode = json!({ "provider": "anthropic", "mode": "provider" });
    world.post("/api/shin/enable").json(&mode).await.data();
    served_by_two_keys(&world, 10).await;
    let received = world.received();
    let mut begun: Vec<Duration> = received.iter().map(|request| request.at).collect();
    begun.sort_unstable();
    for pair in begun.windows(2) {
        assert!(
            pair[1].saturating_sub(pair[0]) >= Duration::from_millis(38),
            "{begun:?}"
        );
    }
    let used = [1, 2].map(|number| world.served(&anthropic_key(number)));
    assert!(used.iter().all(|&served| served > 0), "{used:?}");
}
