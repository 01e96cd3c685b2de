//! Answers that no client could read, and answers that are called what they are not.

use serde_json::json;

use super::script::{Step, answer, chunk, end, head, stream_head};
use super::words::{begun, piece, plain, preamble, shown, whole};
use super::{ALL, STATED, STREAMED, Stage, own_error};
use crate::support::{Api, mask};

/// What no client can read, within a stream.
fn garbage(api: Api) -> Vec<Vec<u8>> {
    let cut_json = piece(api, "x").replace("}\n\n", "\n\n");
    let mut not_utf8 = piece(api, "x").into_bytes();
    let quote = not_utf8.iter().rposition(|&byte| byte == b'x').unwrap();
    not_utf8[quote] = 0xFF;
    vec![
        cut_json.into_bytes(),
        not_utf8,
        b"data: upstream connect error\n\n".to_vec(),
        b"<html><body>502 Bad Gateway</body></html>\n\n".to_vec(),
        b"\x00\x01\x02\xFE\xFF\n\n".to_vec(),
        // No error: nothing is said of any.
        b"{\"error\":null}\n\n".to_vec(),
    ]
}

#[tokio::test]
async fn garbage_within_a_stream_ends_it_with_an_error_and_is_not_passed_on() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        let kinds = garbage(api).len() as u64;
        for garbage in garbage(api) {
            let more = chunk([&garbage[..], whole(api).as_bytes()].concat());
            stage.plays(vec![
                stream_head(),
                chunk(begun(api)),
                Step::Wait,
                more,
                end(),
            ]);
            let mut answer = stage.open().await;
            let first = answer.event().await;
            stage.upstream.go_on();
            let ending = answer.ending().await;
            let begins = begun(api);
            let after_first = begins.split_once("\n\n").unwrap().1;
            assert!(begins.contains(&first.data));
            let code = own_error(api, &ending.body, after_first);
            assert_eq!(code, "upstream_garbage", "{api:?} {garbage:?}");
        }
        let blamed = (100 - 5 * kinds, json!({ "garbage": kinds }));
        assert_eq!(stage.blamed().await, blamed);
        let (counted, each) = (stage.counted().await, stage.guess());
        assert_eq!(counted.input, kinds * each.input, "{api:?}");
        assert_eq!(counted.output, kinds * each.output, "{api:?}");
        assert_eq!(counted.guessed_output, kinds * each.output, "{api:?}");
    }
}

#[tokio::test]
async fn garbage_before_the_client_has_a_byte_is_cured_by_another_key() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        stage.second_is_sound();
        for garbage in garbage(api) {
            let begins = chunk(preamble(api));
            stage.plays(vec![stream_head(), begins, chunk(&garbage), end()]);
            let (stream, _) = stage.stream().await;
            assert_eq!(
                str::from_utf8(&stream).unwrap(),
                shown(&whole(api)),
                "{garbage:?}"
            );
        }
        assert_eq!(stage.settled(1).await["errorsByClass"]["garbage"], 6);
    }
}

#[tokio::test]
async fn an_endless_event_is_given_up_and_a_large_one_passes() {
    const MIB: usize = 1024 * 1024;
    let api = Api::Responses;
    let stage = Stage::of(api).await;
    // A picture, as the Responses API sends it.
    let data = json!({"type": "response.image_generation_call.partial_image",
        "partial_image_b64": "A".repeat(6 * MIB)});
    let picture = format!("event: response.image_generation_call.partial_image\ndata: {data}\n\n");
    let with_picture = format!("{}{picture}", begun(api));
    let ending = whole(api).strip_prefix(&begun(api)).unwrap().to_owned();
    let with_picture = with_picture + &ending;
    stage.plays(vec![stream_head(), chunk(&with_picture), end()]);
    let (stream, _) = stage.stream().await;
    assert!(stream == with_picture.as_bytes(), "{} bytes", stream.len());
    assert_eq!(stage.counted().await, STATED);

    for api in STREAMED {
        let stage = Stage::of(api).await;
        stage.second_is_sound();
        let mut endless = vec![chunk("data: ")];
        endless.extend(std::iter::repeat_n(chunk("x".repeat(MIB)), 17));
        endless.push(Step::Silence);
        let after = |begins: Vec<Step>| [begins, endless.clone()].concat();
        stage.plays(after(vec![stream_head(), chunk(begun(api))]));
        let (stream, _) = stage.stream().await;
        assert_eq!(own_error(api, &stream, &begun(api)), "upstream_garbage");
        assert_eq!(stage.blamed().await, (95, json!({ "garbage": 1 })));
        assert_eq!(stage.counted().await, stage.guess());
        // Before the client has a byte, it is cured.
        stage.plays(after(vec![stream_head(), chunk(preamble(api))]));
        let (stream, _) = stage.stream().await;
        assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        assert_eq!(stage.blamed().await, (90, json!({ "garbage": 2 })));
    }
}

#[tokio::test]
async fn a_stream_is_told_by_its_bytes_and_its_type_is_mended() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        for content_type in [
            "text/html",
            "application/json",
            "text/plain; charset=utf-8",
            "text/event-stream",
        ] {
            stage.plays(vec![head(content_type, ""), chunk(whole(api)), end()]);
            let answer = stage.open().await;
            assert_eq!(answer.headers["content-type"], "text/event-stream");
            let body = answer.ending().await.body;
            assert_eq!(str::from_utf8(&body).unwrap(), shown(&whole(api)));
        }
        assert_eq!(stage.blamed().await, (100, json!({})));
        let counted = stage.counted().await;
        assert_eq!(
            (counted.output, counted.guessed_output),
            (4 * super::OUTPUT, 0)
        );
    }
}

#[tokio::test]
async fn a_plain_answer_is_told_by_its_bytes_and_its_type_is_mended() {
    for api in ALL {
        let stage = Stage::of(api).await;
        let body = plain(api).to_string();
        for (content_type, shown) in [
            ("text/html", "application/json"),
            ("text/event-stream", "application/json"),
            (
                "application/json; charset=utf-8",
                "application/json; charset=utf-8",
            ),
        ] {
            stage.plays(vec![answer("200 OK", content_type, "", body.as_bytes())]);
            let answer = stage.ask().await;
            assert_eq!(answer.header("content-type"), shown, "{api:?}");
            assert_eq!(answer.text(), body);
        }
        assert_eq!(stage.blamed().await, (100, json!({})));
    }
}

#[tokio::test]
async fn a_stream_that_nobody_asked_for_is_no_answer() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        for content_type in ["text/event-stream", "application/json"] {
            let unasked = vec![head(content_type, ""), chunk(whole(api)), end()];
            stage.plays(unasked);
            let body = plain(api).to_string();
            let sound = answer("200 OK", "application/json", "", body.as_bytes());
            stage.upstream.plays(&api.key(2), vec![sound]);
            let served = stage.ask().await;
            assert_eq!((served.key(), served.text()), (mask(&api.key(2)), body));
        }
        assert_eq!(stage.blamed().await, (90, json!({ "garbage": 2 })));
    }
}

#[tokio::test]
async fn a_page_of_html_is_no_answer_and_its_beginning_is_told() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        let page = answer("200 OK", "text/html", "", b"<html>Be right back!</html>");
        stage.plays(vec![page.clone()]);
        stage.upstream.plays(&api.key(2), vec![page]);
        for streamed in [false, true] {
            let asked = stage.world.send(api, &stage.body(streamed));
            let answer = asked.await;
            api.assert_error(&answer, 502, "upstream_garbage");
            assert!(
                answer.text().contains("Be right back!"),
                "{}",
                answer.text()
            );
        }
    }
}
