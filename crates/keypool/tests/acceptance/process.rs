//! What happens to the process and to what it stands on: stopped, killed, out of file descriptors, on a machine
//! whose clock is wrong, in front of names and ports that lead nowhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keypool_sim::{Fault, Spread};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::raw_http2::{self, HEADERS, RawHttp2};
use crate::support::{Api, Raw, Setup, World, anthropic_key, eventually, mask, post_whole};

#[tokio::test]
async fn while_it_stops_it_says_so_to_whoever_can_still_ask_and_streams_end_whole() {
    let setup = Setup::anthropic(1).sim(|sim| {
        sim.answer.output_tokens = Spread::Fixed(40);
        sim.answer.chunk_delay = Duration::from_millis(50);
    });
    let mut world = setup.start().await;
    let mut client = RawHttp2::open(&world, &[]).await;
    let streamed = Api::Messages.streamed().to_string();
    client.send(&raw_http2::get(1, "/ready")).await;
    assert!(client.body(1).await.contains("ready"));
    client.send(&raw_http2::post(3, &streamed)).await;
    client.next(HEADERS).await.unwrap();
    world.signal(Signal::TERM);
    world.log_line(&["stopping"]).await;
    // The connection is told to end, and takes what comes until its client knows.
    client.send(&raw_http2::get(5, "/ready")).await;
    let ready = client.next_of(5).await;
    assert!(ready.contains("draining"), "{ready}");
    client.send(&raw_http2::post(7, &streamed)).await;
    let refused = client.next_of(7).await;
    assert!(refused.contains("stopping"), "{refused}");
    let rest = client.body(3).await;
    assert!(rest.contains("message_stop"), "{rest}");
    drop(client);
    assert_eq!(world.gateway.exit_code().await, Some(0));
}

/// Adds keys one after the other until the gateway is gone; notes those that it said it has added.
async fn add_keys(
    mut raw: Raw,
    numbers: impl Iterator<Item = usize>,
    added: Arc<Mutex<Vec<usize>>>,
) {
    for number in numbers {
        let body = json!({ "provider": "anthropic", "key": anthropic_key(number) }).to_string();
        let head = format!(
            "POST /api/apikeys/add HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        raw.send(format!("{head}{body}").as_bytes()).await;
        if !raw.answered().await {
            return;
        }
        assert_eq!(raw.answer().await.status, 201);
        added.lock().unwrap().push(number);
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_changes_it_has_all_that_it_said_it_had() {
    let mut world = Setup::anthropic(1).strategy("round-robin").start().await;
    world
        .post("/api/apikeys/strategy")
        .json(&json!({ "provider": "anthropic", "strategy": "fill-first" }))
        .await
        .assert_ok();
    world
        .remove("anthropic", &anthropic_key(1))
        .await
        .assert_ok();
    let added = Arc::new(Mutex::new(Vec::new()));
    for round in 1..=3 {
        let mut writers = JoinSet::new();
        for writer in 0..3 {
            let first = 1000 * round + 100 * writer;
            // Connected before the kill, which comes when a few are added, by whomever.
            let raw = Raw::open(&world.over_http1()).await;
            writers.spawn(add_keys(raw, first..first + 100, added.clone()));
        }
        eventually("some are added", async || {
            (added.lock().unwrap().len() >= 5 * round).then_some(())
        })
        .await;
        world.signal(Signal::KILL);
        writers.join_all().await;
        world = world.restart().await;
        let shown = world.shown("provider/anthropic").await;
        let shown = shown["keys"].as_array().unwrap();
        for number in added.lock().unwrap().iter() {
            let mask = mask(&anthropic_key(*number));
            assert!(shown.iter().any(|key| key["key"] == mask), "{mask} is lost");
        }
        // Of what was not answered yet, each writer may have had one change under way.
        assert!(shown.len() <= added.lock().unwrap().len() + 3 * round);
        assert!(
            !shown
                .iter()
                .any(|key| key["key"] == mask(&anthropic_key(1)))
        );
        assert_eq!(world.shown("strategy").await["strategy"], "fill-first");
    }
}

// The connections' bound leaves room for this; here the limit is lowered under a running gateway.
#[tokio::test]
async fn out_of_file_descriptors_it_serves_what_it_has_and_recovers() {
    let setup = Setup::anthropic(2).strategy("fill-first").sim(|sim| {
        sim.answer.output_tokens = Spread::Fixed(400);
        sim.answer.chunk_delay = Duration::from_millis(30);
    });
    let world = setup.start().await;
    let mut stream = world.ask_stream(Api::Messages).open().await;
    stream.event().await;
    world.limit_open_files(world.open_files() + 8);
    // All that are left, and more. None of them is idle: none can make room.
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(Raw::sent(&world, &post_whole(&Api::Messages.streamed())).await);
    }
    world
        .log_line(&["a connection could not be accepted"])
        .await;
    let before = world.cpu_time();
    for _ in 0..10 {
        sleep(Duration::from_millis(100)).await;
        stream.event().await;
    }
    let used = world.cpu_time().saturating_sub(before);
    assert!(used < Duration::from_millis(500), "it spins: {used:?}");
    let lines = world.log().matches("could not be accepted").count();
    assert!(lines <= 2, "{lines} lines");
    drop(clients);
    eventually("new clients are served", async || {
        let mut client = Raw::sent(&world, &post_whole(&Api::Messages.body())).await;
        client.answered().await.then_some(())
    })
    .await;
    assert!(
        stream
            .ending()
            .await
            .events()
            .iter()
            .any(|event| event.name == "message_stop")
    );
    for number in [1, 2] {
        let score = world.score(&anthropic_key(number)).await;
        assert_eq!(score, 100, "a want of the gateway's own is no key's fault");
    }
}

fn real_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

const DAY: u64 = 86_400;

#[tokio::test]
async fn a_key_cools_down_for_as_long_as_its_provider_means_however_wrong_the_clock_is() {
    for start in [real_now() - DAY, real_now() + DAY] {
        let setup = Setup::both(1).without_waiting();
        let (world, clock) = setup.start_with_clock_at(start).await;
        for api in [Api::Messages, Api::Chat] {
            // The instant in half a minute, by the provider's clock.
            let date = http_date(real_now() + 30);
            let fault = Fault::RateLimited {
                retry_after: Some(date),
                code: None,
                bare: true,
            };
            world.fault(&api.key(1), fault);
            assert_eq!(world.ask(api).await.status, 429);
            world.sim.sim().set_faults(&api.key(1), Vec::new()).unwrap();
            let refused = world.ask(api).await;
            assert_eq!(refused.status, 429, "it cools down");
            let wait: u64 = refused.header("retry-after").parse().unwrap();
            assert!((20..=31).contains(&wait), "{wait} s");
        }
        clock.advance(31);
        for api in [Api::Messages, Api::Chat] {
            world.ask(api).await.assert_ok();
        }
    }
}

#[tokio::test]
async fn a_clock_that_jumps_a_day_ahead_stops_nothing() {
    let setup = Setup::anthropic(2).every_key(
        "rateLimit",
        &json!({ "requestsPerMinute": 5, "requestsPerDay": 100 }),
    );
    let (world, clock) = setup.start_with_manual_clock().await;
    world.fault(&anthropic_key(1), Fault::rate_limited(60));
    for _ in 0..3 {
        world.ask(Api::Messages).await.assert_ok();
    }
    world
        .sim
        .sim()
        .set_faults(&anthropic_key(1), Vec::new())
        .unwrap();
    let waiting: Vec<_> = (0..8).map(|_| world.ask(Api::Messages).spawn()).collect();
    clock.advance(DAY);
    for asked in waiting {
        asked.await.unwrap().assert_ok();
    }
    clock.advance(60);
    for number in [1, 2] {
        world.becomes(&anthropic_key(number), "healthy").await;
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(unix_seconds: u64) -> String {
    let date = jiff::Timestamp::from_second(unix_seconds.try_into().unwrap()).unwrap();
    date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The two keys of an Anthropic pool, the first of which is to be used first and leads to `base_url`.
fn first_key_at(base_url: &str) -> Setup {
    Setup::anthropic(2)
        .strategy("fill-first")
        .key(1, "baseUrl", base_url)
        .set("/ApiKeyPool/timeouts/connect", 1000)
        .set("/ApiKeyPool/timeouts/firstByte", 500)
}

async fn assert_second_key_serves(world: &World) {
    for call in [world.ask(Api::Messages), world.ask_stream(Api::Messages)] {
        let answer = call.await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&anthropic_key(2)));
        assert_eq!(answer.header("x-keypool-attempts"), "2");
    }
}

#[tokio::test]
async fn a_host_whose_name_leads_nowhere_is_left_for_a_key_with_another_one() {
    // RFC 6761: there is no such name, ever.
    let world = first_key_at("http://api.invalid").start().await;
    assert_second_key_serves(&world).await;
}

#[tokio::test]
async fn a_port_that_accepts_and_never_answers_is_left_for_a_key_with_another_one() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    // Over TLS its handshake does not come about, over plain HTTP no answer does.
    for scheme in ["http", "https"] {
        let world = first_key_at(&format!("{scheme}://{address}")).start().await;
        let answer = world.ask(Api::Messages).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&anthropic_key(2)), "{scheme}");
    }
    drop(silent);
}

/// What an upstream does with each connection that it gets.
#[derive(Debug, Clone, Copy)]
enum Upstream {
    /// It ends its side before it answers.
    EndsUnanswered,
    /// It answers, says nothing of an end, and ends its side.
    EndsAfterAnswer,
}

/// Starts an upstream that can do no more than this.
async fn upstream(habit: Upstream) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, habit));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, habit: Upstream) -> std::io::Result<()> {
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": "end_turn", "usage": { "input_tokens": 3, "output_tokens": 1 },
    });
    let answer = answer.to_string();
    let mut request = vec![0; 16 * 1024];
    // It comes in one piece.
    let _ = stream.read(&mut request).await?;
    if matches!(habit, Upstream::EndsAfterAnswer) {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream
            .write_all(format!("{head}{answer}").as_bytes())
            .await?;
    }
    stream.shutdown().await?;
    // Its other side stays open for as long as the gateway's does.
    while stream.read(&mut request).await? > 0 {}
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_ends_its_side_is_heard_out_and_connected_to_anew() {
    let address = upstream(Upstream::EndsAfterAnswer).await;
    let world = first_key_at(&format!("http://{address}")).start().await;
    for _ in 0..3 {
        let answer = world.ask(Api::Messages).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&anthropic_key(1)));
        assert_eq!(answer.header("x-keypool-attempts"), "1");
    }
    let address = upstream(Upstream::EndsUnanswered).await;
    let world = first_key_at(&format!("http://{address}")).start().await;
    let answer = world.ask(Api::Messages).await;
    answer.assert_ok();
    assert_eq!(answer.key(), mask(&anthropic_key(2)));
}
