//! Abuses of HTTP/2 (RFC 9113, 10.5), written frame by frame.

use keypool_sim::Fault;
use std::time::Duration;
use tokio::time::Instant;

use crate::hostile::{large_stream, large_streams, nothing_is_in_flight};
use crate::support::raw_http2::{
    self, ACK, CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, PING, REFUSED_STREAM, RST_STREAM, RawHttp2, SETTINGS, frame, literal,
};
use crate::support::{Api, Setup, anthropic_key, eventually};

#[tokio::test]
async fn an_http2_stream_whose_client_takes_nothing_is_reset_and_the_others_go_on() {
    let world = large_streams().start().await;
    let mut client = RawHttp2::open(&world, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    client
        .send(&raw_http2::post(1, &large_stream().to_string()))
        .await;
    let head = client.next(HEADERS).await.unwrap();
    assert_eq!(head.stream, 1);
    let reset = client.next(RST_STREAM).await.unwrap();
    assert_eq!(reset.stream, 1);
    nothing_is_in_flight(&world).await;
    // Refused for its body, so the answer fits into no window either; its head does.
    client.send(&raw_http2::post(3, "{}")).await;
    assert_eq!(client.next(HEADERS).await.unwrap().stream, 3);
}

#[tokio::test]
async fn http2_streams_beyond_the_bound_are_refused() {
    let world = Setup::anthropic(1).start().await;
    world.fault(&anthropic_key(1), Fault::Hang);
    let mut client = RawHttp2::open(&world, &[]).await;
    let settings = client.next(SETTINGS).await.unwrap();
    let bound = settings
        .payload
        .chunks(6)
        .find(|setting| setting[..2] == [0, 3])
        .unwrap();
    assert_eq!(bound[2..], 128_u32.to_be_bytes());
    client.send(&frame(SETTINGS, ACK, 0, &[])).await;
    let body = Api::Messages.body().to_string();
    for number in 0..=128 {
        client.send(&raw_http2::post(2 * number + 1, &body)).await;
    }
    let refused = client.next(RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.error()), (257, REFUSED_STREAM));
    eventually("the others are served", async || {
        (world.counted(&anthropic_key(1)).in_flight == 128).then_some(())
    })
    .await;
}

#[tokio::test]
async fn http2_streams_that_are_reset_as_fast_as_they_are_opened_end_their_connection() {
    // CVE-2023-44487.
    let world = Setup::anthropic(1).start().await;
    let mut client = RawHttp2::open(&world, &[]).await;
    let flood: Vec<u8> = (0..5000)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    stream,
                    &raw_http2::block("POST", "/v1/messages"),
                ),
                raw_http2::reset(stream),
            ]
        })
        .flatten()
        .collect();
    client.send(&flood).await;
    if let Some(goodbye) = client.next(GOAWAY).await {
        assert_eq!(goodbye.error(), ENHANCE_YOUR_CALM);
    }
    assert!(client.0.rest().await.0.is_empty());
    assert!(world.received().is_empty());
    world.over_h2c().ask(Api::Messages).await.assert_ok();
}

#[tokio::test]
async fn http2_headers_without_end_close_the_connection() {
    let world = Setup::anthropic(1).start().await;
    // Frame after frame of one header block, which no stream is opened for before it ends.
    let mut client = RawHttp2::open(&world, &[]).await;
    let piece = literal("x-flood", &"y".repeat(100));
    let begun = frame(
        HEADERS,
        END_STREAM,
        1,
        &raw_http2::block("POST", "/v1/messages"),
    );
    client.send(&begun).await;
    client
        .send(&frame(CONTINUATION, 0, 1, &piece).repeat(50_000))
        .await;
    if let Some(goodbye) = client.next(GOAWAY).await {
        assert_eq!(goodbye.error(), ENHANCE_YOUR_CALM);
    }
    // A header that is sent once and named a thousand times.
    let mut client = RawHttp2::open(&world, &[]).await;
    let mut bomb = raw_http2::block("POST", "/v1/messages");
    // RFC 7541, 6.2.1: literal with incremental indexing; 6.1: index 62 is the newest entry.
    bomb.extend([0x40]);
    bomb.extend(&literal("x", &"y".repeat(126))[1..]);
    bomb.extend([0x80 | 0x3e].repeat(4000));
    client
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb))
        .await;
    let answer = client.next_but(&[SETTINGS]).await.unwrap();
    match answer.kind {
        // 431, in the one byte of an indexed name and a value of three digits.
        HEADERS => assert!(
            answer.payload.windows(3).any(|three| three == b"431"),
            "{answer:?}"
        ),
        kind => assert!([RST_STREAM, GOAWAY].contains(&kind), "{answer:?}"),
    }
    assert!(world.received().is_empty());
    world.over_h2c().ask(Api::Messages).await.assert_ok();
}

#[tokio::test]
async fn floods_of_pings_and_settings_take_no_memory_and_hold_up_nobody() {
    let world = Setup::anthropic(1).start().await;
    world.ask(Api::Messages).await.assert_ok();
    let before = world.resident_bytes();
    for flood in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
        // It reads none of the answers that each of these frames demands.
        let client = RawHttp2::open(&world, &[]).await;
        let block = flood.repeat(4000);
        let (mut sent, mut at) = (0, 0);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            let taken = client.0.try_send(&block[at..]);
            (sent, at) = (sent + taken, (at + taken) % block.len());
            tokio::task::yield_now().await;
        }
        assert!(sent > block.len(), "{sent}");
        world.ask(Api::Messages).await.assert_ok();
    }
    let more = world.resident_bytes().saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes more");
}
