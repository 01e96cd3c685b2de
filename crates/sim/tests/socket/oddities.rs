//! Answers that are right and complete, and yet not as a client expects them.

use std::io::Read;
use std::time::{Duration, Instant};

use keypool_sim::{AnswerConfig, ContentEncoding, Fault, SimServer};

use crate::client::{
    ANTHROPIC, CHAT_STREAM, MESSAGE, MESSAGE_STREAM, config, eventually, message, open, openai,
    read, start,
};

/// A server whose answers are all the same text.
async fn with_fault(fault: Fault) -> SimServer {
    let answer = AnswerConfig {
        text: Some("The quick brown fox.".to_owned()),
        ..AnswerConfig::default()
    };
    let server = start(config().with_answer(answer)).await;
    server.sim().set_faults_of_all(vec![fault.into()]);
    server
}

#[cfg(test)]
fn decoded(encoding: ContentEncoding, bytes: &[u8]) -> String {
    let mut text = String::new();
    let read = match encoding {
        ContentEncoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        ContentEncoding::Deflate => flate2::read::ZlibDecoder::new(bytes).read_to_string(&mut text),
        ContentEncoding::Br => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text),
    };
    read.unwrap();
    text
}

#[tokio::test]
async fn a_compressed_answer_is_the_same_answer_in_its_encoding() {
    for encoding in [
        ContentEncoding::Gzip,
        ContentEncoding::Deflate,
        ContentEncoding::Br,
    ] {
        let server = with_fault(Fault::Compressed { encoding }).await;
        let plain = message(server.addr(), MESSAGE).await;
        assert_eq!(plain.header("content-encoding"), Some(encoding.name()));
        assert_eq!(plain.header("content-type"), Some("application/json"));
        let text = decoded(encoding, &plain.bytes);
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["type"], "message");

        let streamed = message(server.addr(), MESSAGE_STREAM).await;
        assert_eq!(streamed.header("content-encoding"), Some(encoding.name()));
        let text = decoded(encoding, &streamed.bytes);
        assert!(text.starts_with("event: message_start\n"), "{text}");
        assert!(text.contains("event: message_stop\n"), "{text}");
        assert_eq!(server.sim().counters().key(ANTHROPIC).completed, 2);
    }
}

#[tokio::test]
async fn blanks_before_an_answer_are_lines_before_json_and_comments_before_a_stream() {
    let every = Duration::from_millis(50);
    let times = Some(3);
    let server = with_fault(Fault::KeepAlive { times, every }).await;
    let started = Instant::now();
    let plain = message(server.addr(), MESSAGE).await;
    assert!(started.elapsed() >= 4 * every);
    assert!(plain.body.starts_with("\n\n\n{"), "{}", plain.body);
    assert_eq!(plain.json()["type"], "message");

    let streamed = message(server.addr(), MESSAGE_STREAM).await;
    assert!(
        streamed
            .body
            .starts_with(": keep-alive\n\n: keep-alive\n\n: keep-alive\n\nevent: message_start\n"),
        "{}",
        streamed.body
    );
    assert!(streamed.is_whole);
}

#[tokio::test]
async fn blanks_without_end_are_all_that_comes_and_no_cancellation() {
    let every = Duration::from_millis(20);
    let server = with_fault(Fault::KeepAlive { times: None, every }).await;
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
    ];
    for body in [MESSAGE, MESSAGE_STREAM] {
        let mut stream = open(server.addr(), "POST", "/v1/messages", &headers, body).await;
        let more = tokio::time::timeout(Duration::from_millis(300), read(&mut stream)).await;
        assert!(more.is_err(), "it came to an end");
    }
    let key = || server.sim().counters().key(ANTHROPIC);
    eventually("they end with their client", || key().in_flight == 0).await;
    assert_eq!((key().cancelled, key().completed), (0, 0));
}

#[tokio::test]
async fn a_trickle_is_the_whole_answer_in_small_pieces() {
    let delay = Duration::from_millis(1);
    let server = with_fault(Fault::Trickle { bytes: 7, delay }).await;
    let plain = message(server.addr(), MESSAGE).await;
    assert_eq!(plain.json()["content"][0]["text"], "The quick brown fox.");
    let streamed = message(server.addr(), MESSAGE_STREAM).await;
    let names = streamed.event_names();
    assert_eq!(names.last().unwrap(), "message_stop");
    assert!(streamed.is_whole);
}

#[tokio::test]
async fn garbage_stands_within_an_answer_that_goes_on_behind_it() {
    let server = with_fault(Fault::GarbageEvent { after_events: 3 }).await;
    let streamed = message(server.addr(), MESSAGE_STREAM).await;
    let events = streamed.events();
    assert_eq!(events[3].0, "content_block_delta");
    assert!(events[3].1.contains("no JSON"), "{events:?}");
    assert_eq!(events.last().unwrap().0, "message_stop");
    let chat = openai(server.addr(), "/v1/chat/completions", CHAT_STREAM).await;
    let events = chat.events();
    assert!(events[3].1.contains("no JSON"), "{events:?}");
    assert_eq!(events.last().unwrap().1, "[DONE]");
    let plain = message(server.addr(), MESSAGE).await;
    assert!(plain.is_whole);
    assert!(serde_json::from_slice::<serde_json::Value>(&plain.bytes).is_err());
}

#[tokio::test]
async fn a_stream_without_its_end_marker_lacks_that_alone() {
    let server = with_fault(Fault::NoEndMarker).await;
    let streamed = message(server.addr(), MESSAGE_STREAM).await;
    assert_eq!(streamed.event_names().last().unwrap(), "message_delta");
    assert!(streamed.is_whole);
    let chat = openai(server.addr(), "/v1/chat/completions", CHAT_STREAM).await;
    assert!(chat.is_whole && !chat.body.contains("[DONE]"));
    assert!(chat.body.contains(r#""finish_reason":"stop""#));
    let body = r#"{"model":"gpt-test","stream":true,"input":"hi"}"#;
    let response = openai(server.addr(), "/v1/responses", body).await;
    assert_eq!(
        response.event_names().last().unwrap(),
        "response.output_item.done"
    );
    assert_eq!(
        message(server.addr(), MESSAGE).await.json()["type"],
        "message"
    );
}

#[tokio::test]
async fn an_answer_may_come_in_one_piece_though_a_stream_was_asked_for() {
    let server = with_fault(Fault::NotStreamed).await;
    let answer = message(server.addr(), MESSAGE_STREAM).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["type"], "message");
}
