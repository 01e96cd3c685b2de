//! Clients that take all they can get, or do nothing at all: each meets a limit with a clear end, and nobody else
//! notices.

use std::time::Duration;

use keypool_sim::{Fault, Spread};
use tokio::time::{Instant, sleep};

use crate::support::{Api, End, Raw, Setup, World, anthropic_key, eventually, post, post_whole};

#[tokio::test]
async fn requests_sent_at_once_on_one_connection_are_answered_one_after_the_other() {
    let world = Setup::anthropic(1).start().await;
    let prompts: Vec<String> = (0..20).map(|number| format!("number {number}")).collect();
    let requests: Vec<u8> = prompts
        .iter()
        .flat_map(|prompt| post_whole(&Api::Messages.body_of(prompt)))
        .collect();
    let mut client = Raw::sent(&world, &requests).await;
    for _ in &prompts {
        assert_eq!(client.answer().await.status, 200);
    }
    let received = world.received();
    assert_eq!(received.len(), prompts.len());
    for (received, prompt) in received.iter().zip(&prompts) {
        let body = String::from_utf8_lossy(&received.body);
        assert!(body.contains(&format!("\"{prompt}\"")), "{body}");
    }
}

/// Half a second for a head, and a second and a half without a request.
fn short_clocks() -> Setup {
    Setup::anthropic(1)
        .set("/ApiKeyPool/timeouts/clientHead", 500)
        .set("/ApiKeyPool/timeouts/clientIdle", 1500)
}

#[tokio::test]
async fn a_head_that_never_ends_and_a_client_that_says_nothing_lose_their_connection() {
    let world = short_clocks().start().await;
    let begun = Instant::now();
    let mut silent = Raw::open(&world).await;
    let mut slow = Raw::sent(&world, b"POST /v1/messages HTTP/1.1\r\n").await;
    // A byte now and then does not buy more time.
    while begun.elapsed() < Duration::from_millis(400) {
        slow.send(b"x").await;
        sleep(Duration::from_millis(50)).await;
    }
    assert!(slow.rest().await.0.is_empty());
    assert!(silent.rest().await.0.is_empty());
    let took = begun.elapsed();
    assert!((400..5000).contains(&took.as_millis()), "{took:?}");
    let closed = world
        .metric("keypool_client_connections_closed_total{reason=\"slow_head\"}")
        .await;
    assert_eq!(closed, Some(2.0));
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_for_longer_than_a_head_may_take() {
    let world = short_clocks().start().await;
    let mut client = Raw::sent(&world, &post_whole(&Api::Messages.body())).await;
    assert_eq!(client.answer().await.status, 200);
    client.assert_silent_for(Duration::from_millis(800)).await;
    client.send(&post_whole(&Api::Messages.body())).await;
    assert_eq!(client.answer().await.status, 200);
    // Now its next head begins, and does not end.
    client.send(b"POST").await;
    let begun = Instant::now();
    assert!(client.rest().await.0.is_empty());
    assert!(begun.elapsed() < Duration::from_millis(1400), "{begun:?}");

    let mut idle = Raw::sent(&world, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    assert_eq!(idle.rest().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn a_request_that_takes_longer_than_any_of_these_clocks_is_served() {
    let setup = short_clocks().set("/ApiKeyPool/timeouts/clientIdle", 500);
    let world = setup.start().await;
    let delay = Duration::from_millis(1200);
    world.fault(&anthropic_key(1), Fault::SlowHead { delay });
    let mut client = Raw::sent(&world, &post_whole(&Api::Messages.body())).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_body_that_trickles_is_a_408() {
    let world = Setup::anthropic(1).start().await;
    let mut client = Raw::sent(&world, &post("content-length: 1000\r\n", "{")).await;
    let begun = Instant::now();
    for _ in 0..10 {
        client.send(b" ").await;
        sleep(Duration::from_millis(200)).await;
    }
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (408, "body_too_slow")
    );
    assert!(begun.elapsed() < Duration::from_secs(9), "{begun:?}");
    assert!(client.rest().await.0.is_empty());
    assert!(world.received().is_empty());
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    // A socket that is closed with unread bytes is reset, and the reset takes the answer with it.
    let world = Setup::anthropic(1)
        .set("/APIKEY", "the-gateway-key")
        .set("/Bounds/bodyBytes", 2048)
        .start()
        .await;
    let body = " ".repeat(3 << 20);
    let headers = format!("content-length: {}\r\n", body.len());
    for (headers, status, code) in [
        (headers.clone(), 401, "invalid_gateway_key"),
        (
            format!("x-api-key: the-gateway-key\r\n{headers}"),
            413,
            "body_too_large",
        ),
    ] {
        let mut client = Raw::sent(&world, &post(&headers, &body)).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code)
        );
        client.end().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Closed), "{code}");
    }
}

/// Streams larger than what sockets hold, and half a second for a client to take something of them.
pub(crate) fn large_streams() -> Setup {
    Setup::anthropic(1)
        .set("/ApiKeyPool/timeouts/idle", 500)
        .sim(|sim| {
            sim.answer.output_tokens = Spread::Fixed(2_000_000);
            sim.answer.chunk_tokens = 1000;
        })
}

pub(crate) fn large_stream() -> serde_json::Value {
    let mut body = Api::Messages.streamed();
    body["max_tokens"] = 4_000_000.into();
    body
}

pub(crate) async fn nothing_is_in_flight(world: &World) {
    eventually(
        "the stream is given up, here and at the provider",
        async || {
            let shown = world.details("anthropic", &anthropic_key(1)).await;
            let counted = world.counted(&anthropic_key(1));
            (shown["metrics"]["inFlight"] == 0 && counted.in_flight == 0).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_loses_it() {
    let world = large_streams().start().await;
    let mut client = Raw::open_narrow(&world).await;
    client.send(&post_whole(&large_stream())).await;
    eventually("its connection is closed", async || {
        let closed = "keypool_client_connections_closed_total{reason=\"slow_reader\"}";
        (world.metric(closed).await == Some(1.0)).then_some(())
    })
    .await;
    nothing_is_in_flight(&world).await;
    assert_eq!(world.counted(&anthropic_key(1)).cancelled, 1);
    assert_eq!(
        world.score(&anthropic_key(1)).await,
        100,
        "it is no key's fault"
    );
}

#[tokio::test]
async fn a_client_that_ends_its_side_after_its_last_request_is_served() {
    let world = Setup::anthropic(1).start().await;
    let delay = Duration::from_millis(100);
    world.fault(&anthropic_key(1), Fault::SlowHead { delay });
    let body = Api::Messages.body().to_string();
    let length = format!("content-length: {}\r\n", body.len());
    let in_http_1_0 =
        format!("POST /v1/messages HTTP/1.0\r\nhost: localhost\r\n{length}\r\n{body}").into_bytes();
    for request in [
        post(&format!("{length}connection: close\r\n"), &body),
        in_http_1_0,
    ] {
        let mut client = Raw::sent(&world, &request).await;
        client.end().await;
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    }
}

#[tokio::test]
async fn a_client_that_ends_its_side_of_a_connection_to_be_kept_has_left() {
    let world = Setup::anthropic(1).start().await;
    world.fault(&anthropic_key(1), Fault::Hang);
    let mut client = Raw::sent(&world, &post_whole(&Api::Messages.body())).await;
    eventually("it is served", async || {
        (world.counted(&anthropic_key(1)).in_flight == 1).then_some(())
    })
    .await;
    client.end().await;
    assert!(client.rest().await.0.is_empty());
    nothing_is_in_flight(&world).await;
}
