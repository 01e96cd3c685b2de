//! Answers in an encoding that nobody asked for: read as any other, and passed on without it.

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::script::{Step, answer, chunk, end, head};
use super::words::{begun, closing, marker, plain, shown, whole};
use super::{ALL, STATED, STREAMED, Stage, own_error};
use crate::support::{Api, mask};

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// The parts, each flushed so that it can be decoded as soon as it is there, and the end.
async fn encoded(coding: &str, parts: &[&str]) -> Vec<Vec<u8>> {
    macro_rules! encode {
        ($encoder:ident) => {{
            let mut encoder = $encoder::with_quality(Vec::new(), Level::Precise(5));
            let mut pieces = Vec::new();
            for part in parts {
                encoder.write_all(part.as_bytes()).await.unwrap();
                encoder.flush().await.unwrap();
                pieces.push(std::mem::take(encoder.get_mut()));
            }
            encoder.shutdown().await.unwrap();
            pieces.push(encoder.into_inner());
            pieces
        }};
    }
    match coding {
        "gzip" => encode!(GzipEncoder),
        "deflate" => encode!(ZlibEncoder),
        "br" => encode!(BrotliEncoder),
        "zstd" => encode!(ZstdEncoder),
        _ => panic!("{coding}"),
    }
}

fn header(coding: &str) -> String {
    format!("content-encoding: {coding}\r\n")
}

// acceptance 70
#[tokio::test]
async fn an_encoded_plain_answer_is_decoded_and_counted() {
    for api in ALL {
        let stage = Stage::of(api).await;
        let body = plain(api).to_string();
        for coding in CODINGS {
            let bytes = encoded(coding, &[&body]).await.concat();
            stage.plays(vec![answer(
                "200 OK",
                "application/json",
                &header(coding),
                &bytes,
            )]);
            let answer = stage.ask().await;
            answer.assert_ok();
            assert_eq!(answer.text(), body, "{api:?} {coding}");
            assert!(!answer.headers.contains_key("content-encoding"));
            assert_eq!(answer.header("content-type"), "application/json");
        }
        let counted = stage.counted().await;
        let expected = (4 * super::INPUT, 4 * super::CACHED, 4 * super::OUTPUT);
        assert_eq!((counted.input, counted.cached, counted.output), expected);
        assert_eq!((counted.guessed_input, counted.guessed_output), (0, 0));
        assert_eq!(stage.blamed().await, (100, json!({})));
    }
}

// acceptance 70
#[tokio::test]
async fn an_encoded_stream_is_decoded_as_it_comes() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        for coding in CODINGS {
            let rest = closing(api) + &marker(api);
            let [first, second, last] = encoded(coding, &[&begun(api), &rest])
                .await
                .try_into()
                .unwrap();
            let mut steps = vec![
                head("text/event-stream", &header(coding)),
                chunk(first),
                Step::Wait,
            ];
            steps.push(chunk(second));
            // Not even brotli's end may be empty.
            steps.extend((!last.is_empty()).then(|| chunk(last)));
            steps.push(end());
            stage.plays(steps);
            let mut answer = stage.open().await;
            assert!(!answer.headers.contains_key("content-encoding"));
            // The first part is there before the second is sent.
            let mut events = vec![answer.event().await];
            events.push(answer.event().await);
            stage.upstream.go_on();
            let ending = answer.ending().await;
            events.extend(ending.events());
            let expected = crate::support::events(shown(&whole(api)).as_bytes());
            assert_eq!(events, expected, "{api:?} {coding}");
        }
        let counted = stage.counted().await;
        assert_eq!(
            (counted.output, counted.guessed_output),
            (4 * super::OUTPUT, 0)
        );
        assert_eq!(stage.blamed().await, (100, json!({})));
    }
}

#[tokio::test]
async fn an_encoded_error_is_judged_as_any_other() {
    for api in [Api::Messages, Api::Chat] {
        let stage = Stage::of(api).await;
        let error = json!({"type": "error", "error": {"type": "invalid_request_error",
            "message": "prompt is too long", "code": "context_length_exceeded"}});
        let bytes = encoded("gzip", &[&error.to_string()]).await.concat();
        let refused = answer(
            "400 Bad Request",
            "application/json",
            &header("gzip"),
            &bytes,
        );
        stage.plays(vec![refused]);
        let refused = stage.ask().await;
        assert_eq!((refused.status, refused.json()), (400, error));
        assert!(!refused.headers.contains_key("content-encoding"));
        assert_eq!(stage.blamed().await, (100, json!({ "clientError": 1 })));
        assert_eq!(stage.upstream.requests(), 1);
    }
}

#[tokio::test]
async fn a_damaged_or_unknown_encoding_is_garbage() {
    for api in [Api::Messages, Api::Chat] {
        let stage = Stage::of(api).await;
        let body = plain(api).to_string();
        let sound = answer("200 OK", "application/json", "", body.as_bytes());
        stage.upstream.plays(&api.key(2), vec![sound]);
        let gzip = encoded("gzip", &[&body]).await.concat();
        let mut damaged = gzip.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xFF;
        let cut = &gzip[..gzip.len() - 12];
        for (coding, bytes) in [
            ("gzip", &damaged[..]),
            ("zstd", &gzip),
            ("br", &gzip),
            ("deflate", &gzip),
            ("compress", &gzip),
            ("gzip, br", &gzip),
            ("gzip", cut),
        ] {
            stage.plays(vec![answer(
                "200 OK",
                "application/json",
                &header(coding),
                bytes,
            )]);
            let answer = stage.ask().await;
            assert_eq!(
                (answer.status, answer.key()),
                (200, mask(&api.key(2))),
                "{coding}"
            );
            assert_eq!(answer.text(), body);
        }
        // The last one was cut off rather than damaged.
        let blamed = (65, json!({ "garbage": 6, "reset": 1 }));
        assert_eq!(stage.blamed().await, blamed, "{api:?}");
    }
}

#[tokio::test]
async fn an_encoded_stream_that_breaks_off_ends_in_the_dialects_error() {
    for api in STREAMED {
        let [first, ..] = &encoded("gzip", &[&begun(api)]).await[..] else {
            panic!("no parts")
        };
        for (rest, code) in [
            (vec![end()], "upstream_reset"),
            (vec![Step::Reset], "upstream_reset"),
            (vec![chunk([0xFF; 64]), end()], "upstream_garbage"),
        ] {
            let stage = Stage::of(api).await;
            let mut steps = vec![head("text/event-stream", &header("gzip")), chunk(first)];
            steps.extend(rest);
            stage.plays(steps);
            let (stream, _) = stage.stream().await;
            assert_eq!(own_error(api, &stream, &begun(api)), code);
            assert_eq!(stage.counted().await, stage.guess(), "{api:?}");
        }
        // Its end marker says that it is whole, whatever becomes of the encoding's own end.
        let stage = Stage::of(api).await;
        let mut parts = encoded("gzip", &[&whole(api)]).await;
        parts.truncate(1);
        let parts = vec![
            head("text/event-stream", &header("gzip")),
            chunk(&parts[0]),
            end(),
        ];
        stage.plays(parts);
        let (stream, _) = stage.stream().await;
        assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        assert_eq!(stage.counted().await, STATED);
    }
}

#[tokio::test]
async fn a_decompression_bomb_gets_nowhere() {
    const MIB: usize = 1024 * 1024;
    let api = Api::Messages;
    let stage = Stage::of(api).await;
    let body = plain(api).to_string();
    let sound = answer("200 OK", "application/json", "", body.as_bytes());
    for coding in CODINGS {
        let zeros = "0".repeat(8 * MIB);
        let bomb = encoded(coding, &[r#"{"content":[{"text":""#, &zeros])
            .await
            .concat();
        assert!(bomb.len() < 16 * 1024, "{coding}: {}", bomb.len());
        stage.plays(vec![answer(
            "200 OK",
            "application/json",
            &header(coding),
            &bomb,
        )]);
        stage.upstream.plays(&api.key(2), vec![sound.clone()]);
        let answer = stage.ask().await;
        assert_eq!(
            (answer.status, answer.key()),
            (200, mask(&api.key(2))),
            "{coding}"
        );

        let events = comments(8 * MIB);
        let bomb = encoded(coding, &[&begun(api), &events]).await.concat();
        stage.plays(vec![
            head("text/event-stream", &header(coding)),
            chunk(bomb),
            end(),
        ]);
        let (stream, _) = stage.stream().await;
        assert!(stream.len() < 8 * MIB, "{coding}: {}", stream.len());
        let end = stream.len().saturating_sub(2048);
        let last = crate::support::events(&stream[end..]).pop().unwrap();
        assert_eq!(
            api.error_code_in(&last.json()),
            "upstream_garbage",
            "{coding}"
        );
    }
    let metrics = stage.settled(1).await;
    assert_eq!(
        metrics["errorsByClass"],
        stage.settled(1).await["errorsByClass"]
    );
    assert_eq!(metrics["errorsByClass"]["garbage"], 8);
}

/// So many bytes of events that say nothing.
fn comments(bytes: usize) -> String {
    let comment = format!(": {}\n\n", "0".repeat(64 * 1024));
    comment.repeat(bytes / comment.len())
}
