//! Group H: what the provider's answers teach of limits that were not declared, or declared wrongly.

use std::time::{Duration, Instant};

use keypool_sim::{Limits, Spread};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Api, Setup, World, anthropic_key};

/// Clients that each ask again as soon as they are answered, for so long.
async fn steady(world: &World, clients: usize, time: Duration) {
    let end = Instant::now() + time;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let client = world.gateway.over_http1();
        running.spawn(async move {
            while Instant::now() < end {
                client.ask(Api::Messages).await.assert_ok();
            }
        });
    }
    running.join_all().await;
}

#[tokio::test]
async fn a_steady_load_at_the_limit_meets_no_429() {
    let world = Setup::anthropic(1)
        .every_key("rateLimit", &json!({ "requestsPerMinute": 270 }))
        .sim_limits(Limits::per_minute(300))
        .sim(|sim| sim.answer.latency_ms = Spread::Fixed(50))
        .start()
        .await;
    let began = Instant::now();
    steady(&world, 16, Duration::from_secs(5)).await;
    eprintln!("{:?}", began.elapsed());
    for (n, r) in world.received().iter().enumerate().skip(260) {
        eprintln!("{n} {:?}", r.at);
    }
    eprintln!(
        "{}",
        world
            .gateway
            .log()
            .lines()
            .filter(|l| l.contains("429"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(world.counted(&anthropic_key(1)).limited, 0);
}
