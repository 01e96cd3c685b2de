//! More of everything than the gateway can serve or hold: it says so, keeps what it has, and recovers.

use std::sync::Arc;
use std::time::Duration;

use keypool_sim::Fault;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::{
    Api, Client, End, PATIENCE, Raw, RawAnswer, Setup, World, anthropic_key, eventually, post,
    post_whole,
};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// How many connections the gateway closed for this reason.
async fn closed(world: &World, reason: &str) -> usize {
    let series = format!("keypool_client_connections_closed_total{{reason=\"{reason}\"}}");
    whole(world, &series).await
}

async fn connections(world: &World) -> usize {
    whole(world, "keypool_client_connections").await
}

/// How many requests the gateway refused for this reason.
async fn refused(world: &World, reason: &str) -> usize {
    let series = format!("keypool_requests_refused_total{{reason=\"{reason}\"}}");
    whole(world, &series).await
}

/// A metric that is a whole number.
async fn whole(world: &World, series: &str) -> usize {
    let value = world.metric(series).await.unwrap();
    value.to_string().parse().unwrap()
}

/// Lets this process have as many sockets as may be had; answers how many those are.
fn descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit
        .current
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap())
}

/// Two idle connections: one that has been used, and one that said nothing.
async fn idle_pair(client: Client) -> [Raw; 2] {
    let mut used = Raw::sent(&client, HEALTH).await;
    assert_eq!(used.answer().await.status, 200);
    [used, Raw::open(&client).await]
}

#[tokio::test]
async fn ten_thousand_idle_connections_take_little_memory_and_hold_up_nobody() {
    // Where the system allows fewer open files, as many as it allows.
    let count = (descriptors() / 2).min(10_000);
    let world = Setup::anthropic(1).start().await;
    world.ask(Api::Messages).await.assert_ok();
    let before = world.resident_bytes();
    let mut idle = Vec::with_capacity(count);
    while idle.len() < count {
        let pairs: JoinSet<_> = (0..50).map(|_| idle_pair(world.over_http1())).collect();
        idle.extend(pairs.join_all().await.into_iter().flatten());
    }
    let each = (world.resident_bytes() - before) / count as u64;
    println!("{each} bytes for each of {count} idle connections");
    assert!(each < 32 * 1024, "{each} bytes for each");
    eventually("all of them are open", async || {
        (connections(&world).await >= count).then_some(())
    })
    .await;
    world.ask(Api::Messages).await.assert_ok();
    drop(idle);
    eventually("they are forgotten", async || {
        (connections(&world).await < 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_too_many_takes_the_place_of_the_one_that_was_idle_for_longest() {
    // One of them is this test's own.
    let world = Setup::anthropic(1)
        .set("/Bounds/connections", 9)
        .start()
        .await;
    world.ask(Api::Messages).await.assert_ok();
    let [mut used, mut silent] = idle_pair(world.over_http1()).await;
    world.fault(&anthropic_key(1), Fault::Hang);
    let mut busy = Vec::new();
    for _ in 0..6 {
        busy.push(Raw::sent(&world, &post_whole(&Api::Messages.body())).await);
    }
    eventually("six are busy", async || {
        (world.counted(&anthropic_key(1)).in_flight == 6).then_some(())
    })
    .await;
    // Who never asked for anything goes first.
    busy.push(Raw::sent(&world, &post_whole(&Api::Messages.body())).await);
    assert_eq!(silent.rest().await, (Vec::new(), End::Closed));
    // The used one has been idle for longer than this test's own, which has just looked.
    connections(&world).await;
    busy.push(Raw::sent(&world, &post_whole(&Api::Messages.body())).await);
    assert_eq!(used.rest().await, (Vec::new(), End::Closed));
    eventually("eight are busy", async || {
        (world.counted(&anthropic_key(1)).in_flight == 8).then_some(())
    })
    .await;
    assert_eq!(closed(&world, "for_another").await, 2);
    assert_eq!(closed(&world, "refused").await, 0);
    world.log_line(&["all 9 connections are taken"]).await;
}

#[tokio::test]
async fn when_all_connections_are_busy_new_ones_are_closed_at_once() {
    let world = Setup::anthropic(1)
        .set("/Bounds/connections", 8)
        .start()
        .await;
    world.fault(&anthropic_key(1), Fault::Hang);
    let mut busy = Vec::new();
    for _ in 0..8 {
        busy.push(Raw::sent(&world, &post_whole(&Api::Messages.body())).await);
    }
    eventually("all are busy", async || {
        (world.counted(&anthropic_key(1)).in_flight == 8).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert!(Raw::open(&world).await.rest().await.0.is_empty());
    }
    assert_eq!(world.counted(&anthropic_key(1)).in_flight, 8, "they go on");
    drop(busy);
    eventually("there is room again", async || {
        let mut client = Raw::sent(&world, HEALTH).await;
        client.answered().await.then_some(())
    })
    .await;
    assert!(closed(&world, "refused").await >= 20);
    let warnings = world.log().matches("connections are taken").count();
    assert_eq!(warnings, 1, "said once, not for each");
}

#[tokio::test]
async fn connections_that_come_and_go_by_the_thousand_leave_nothing_behind() {
    let world = Setup::anthropic(1).start().await;
    world.ask(Api::Messages).await.assert_ok();
    let before = world.open_files();
    let begun = Instant::now();
    let mut flood = JoinSet::new();
    for round in 0..4 {
        let client = world.over_http1();
        flood.spawn(async move {
            let mut count = 0;
            while begun.elapsed() < Duration::from_secs(1) {
                let bytes = match (round + count) % 3 {
                    0 => &b""[..],
                    1 => b"POST /v1/messages HTTP/1.1\r\nhost",
                    _ => HEALTH,
                };
                drop(Raw::sent(&client, bytes).await);
                count += 1;
            }
            count
        });
    }
    let mut served = 0;
    while begun.elapsed() < Duration::from_secs(1) {
        world.over_http1().ask(Api::Messages).await.assert_ok();
        served += 1;
    }
    let opened: usize = flood.join_all().await.into_iter().sum();
    assert!(opened > 100 && served > 0, "{opened} {served}");
    eventually("all are gone", async || {
        (connections(&world).await <= 2 && world.open_files() <= before + 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bodies_beyond_the_memory_for_all_of_them_are_told_to_come_back() {
    // Each takes 40 kB and 16 KiB for what goes with it: there is room for one and a half.
    let world = Setup::both(1)
        .set("/Bounds/bodyBytes", 50_000)
        .set("/Bounds/bodyBytesInFlight", 90_000)
        .start()
        .await;
    let body = Api::Messages.body_of(&"x".repeat(40_000)).to_string();
    let headers = format!("content-length: {}\r\n", body.len());
    let mut first = Raw::sent(&world, &post(&headers, &body[..body.len() - 1])).await;
    eventually("it is held in memory", async || {
        let held = whole(&world, "keypool_request_body_bytes").await;
        (held > 56_000).then_some(())
    })
    .await;
    for api in Api::ALL {
        let body = api.body_of(&"x".repeat(40_000));
        let answer = world
            .post(api.path())
            .header("anthropic-version", "2023-06-01")
            .json(&body)
            .await;
        api.assert_error(&answer, 503, "memory_full");
        assert_eq!(answer.header("retry-after"), "1");
        // What is small has room.
        world.ask(api).await.assert_ok();
    }
    assert_eq!(refused(&world, "memory").await, 4);
    first.send(b"}").await;
    assert_eq!(first.answer().await.status, 200);
    let call = world
        .post("/v1/messages")
        .header("anthropic-version", "2023-06-01");
    call.body(body).await.assert_ok();
    let held = whole(&world, "keypool_request_body_bytes").await;
    assert_eq!(held, 0, "an answer that has begun needs no replay");
}

/// Has clients send large requests that lead nowhere, again and again, until one of them is refused; its answer.
/// They are so many that what they send at once keeps a worker busy for far longer than it may be late.
async fn refused_under_load(world: &World, api: Api) -> RawAnswer {
    let numbers = "0,".repeat(50_000);
    let body = format!(r#"{{"model":"nobody,m","messages":[{numbers}0]}}"#);
    let length = body.len();
    let path = api.path();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    let request: Arc<str> = format!("{head}{body}").into();
    let begun = Instant::now();
    Raw::sent(world, request.as_bytes()).await.answer().await;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let count = Duration::from_millis(400).as_micros() / begun.elapsed().as_micros();
    let mut clients = JoinSet::new();
    for _ in 0..(usize::try_from(count).unwrap() * workers).clamp(16, 2000) {
        let (client, request) = (world.over_http1(), request.clone());
        clients.spawn(async move {
            let mut raw = Raw::open(&client).await;
            loop {
                raw.send(request.as_bytes()).await;
                let answer = raw.answer().await;
                if answer.status != 404 {
                    return answer;
                }
            }
        });
    }
    let refused = timeout(2 * PATIENCE, clients.join_next()).await;
    refused.expect("nothing was refused").unwrap().unwrap()
}

#[tokio::test]
async fn a_worker_with_more_to_do_than_it_can_refuses_requests_and_recovers() {
    let world = Setup::both(1).set("/Bounds/delay", 20).start().await;
    // What an operator needs then is not refused, only late.
    let operator = world.over_http1();
    let watching = tokio::spawn(async move {
        loop {
            for path in ["/health", "/ready", "/metrics"] {
                operator.get(path).await.assert_ok();
            }
        }
    });
    for api in [Api::Messages, Api::Chat] {
        let answer = refused_under_load(&world, api).await;
        assert_eq!(answer.status, 503);
        let body = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(api.error_code_in(&body), "overloaded");
        assert!(["1", "2"].contains(&answer.header("retry-after")));
        assert_ne!(answer.header("retry-after-ms"), "");
    }
    assert!(!watching.is_finished());
    watching.abort();
    assert!(refused(&world, "overload").await >= 2);
    eventually("it serves again", async || {
        (world.ask(Api::Messages).await.status == 200).then_some(())
    })
    .await;
}
