//! A provider that gives up in words of its own.

use serde_json::json;

use super::script::{chunk, end, stream_head};
use super::words::{begun, error, failed, marker, overloaded, piece, preamble, shown, whole};
use super::{Counted, STATED, STREAMED, Stage, own_error};
use crate::support::{Api, mask};

/// An error as OpenRouter words it.
fn openrouter_error() -> String {
    let error = json!({"code": 502, "message": "Provider disconnected"});
    let choice = json!({"index": 0, "delta": {"content": ""}, "finish_reason": "error"});
    format!(
        "data: {}\n\n",
        json!({"id": "gen-1", "error": error, "choices": [choice]})
    )
}

/// A response that failed, with what it has used.
fn failed_response() -> String {
    let error = json!({"code": "server_error", "message": "Sorry."});
    let response = json!({"id": "resp_1", "status": "failed", "error": error,
        "usage": super::words::usage(Api::Responses)});
    let event = json!({"type": "response.failed", "sequence_number": 3, "response": response});
    format!("event: response.failed\ndata: {event}\n\n")
}

/// All ways in which a stream can say that it failed.
fn errors() -> Vec<(Api, &'static str, String)> {
    let mut errors = vec![
        (Api::Chat, "openrouter", openrouter_error()),
        (Api::Responses, "openai", failed_response()),
    ];
    for api in STREAMED {
        for code in [failed(api), overloaded(api)] {
            errors.push((api, api.provider(), error(api, code)));
        }
    }
    errors
}

// acceptance 59
#[tokio::test]
async fn an_error_before_the_client_has_a_byte_is_cured_by_another_key() {
    for (api, provider, error) in errors() {
        let stage = Stage::with(api, provider, |setup| setup).await;
        stage.second_is_sound();
        for script in [
            vec![chunk(&error)],
            // Behind what is held back.
            vec![chunk(format!(": comment\n\n{}{error}", preamble(api)))],
            // With text, none of which has gone out.
            vec![chunk(preamble(api)), chunk(begun(api) + &error)],
            // Without the blank line that would end it.
            vec![chunk(error.trim_end())],
        ] {
            let mut steps = vec![stream_head()];
            steps.extend(script);
            steps.push(end());
            stage.plays(steps);
            let answer = stage.open().await;
            assert_eq!(answer.headers["x-keypool-key"], mask(&api.key(2)).as_str());
            assert_eq!(answer.headers["x-keypool-attempts"], "2");
            let ending = answer.ending().await;
            assert!(!ending.broken);
            let text = str::from_utf8(&ending.body).unwrap();
            assert_eq!(text, shown(&whole(api)), "{api:?} {provider}: {error}");
        }
    }
}

// acceptance 59
#[tokio::test]
async fn an_error_after_text_ends_the_answer_whatever_the_provider_sends_after_it() {
    for (api, provider, error) in errors() {
        let stage = Stage::with(api, provider, |setup| setup).await;
        let more = piece(api, "more") + &marker(api);
        // In one piece with the text before it and what comes after it, or apart, or unfinished at first.
        let (head, tail) = error.split_at(error.len() / 2);
        for rest in [
            vec![chunk(format!("{error}{more}"))],
            vec![chunk(&error), chunk(&more)],
            vec![chunk(head), chunk(format!("{tail}{more}"))],
        ] {
            let mut steps = vec![stream_head(), chunk(begun(api)), super::Step::Wait];
            steps.extend(rest);
            // It even stays open.
            steps.push(super::Step::Silence);
            stage.plays(steps);
            let mut answer = stage.open().await;
            answer.event().await;
            stage.upstream.go_on();
            let ending = answer.ending().await;
            assert!(!ending.broken);
            let text = String::from_utf8(ending.body.to_vec()).unwrap();
            // The first event was read before.
            let expected = begun(api) + &error;
            assert!(
                expected.ends_with(&text) && text.ends_with(&error),
                "{text}"
            );
        }
        let (score, blamed) = stage.blamed().await;
        if error.contains("overloaded") || error.contains("UNAVAILABLE") {
            assert_eq!(
                (score, blamed),
                (100, json!({ "overloaded": 3 })),
                "{error}"
            );
        } else {
            assert_eq!(
                (score, blamed),
                (85, json!({ "serverError": 3 })),
                "{error}"
            );
        }
        let each = if error == failed_response() {
            STATED
        } else {
            stage.guess()
        };
        assert_eq!(stage.counted().await, three_times(each), "{api:?}: {error}");
    }
}

/// An error as it is written where no stream was asked for, in each form in which it may come.
fn bare_errors(code: &str) -> [String; 3] {
    let error = json!({"error": {"type": code, "status": code, "message": "Sorry."}});
    [
        error.to_string(),
        format!("{error:#}"),
        format!("{:#}", json!([error])),
    ]
}

#[tokio::test]
async fn a_bare_error_where_an_event_should_be_is_judged_by_its_words_and_told_as_an_event() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        stage.second_is_sound();
        let mut count = 0;
        for error in bare_errors(overloaded(api)) {
            let (head, tail) = error.split_at(error.len() / 2);
            let more = whole(api);
            for rest in [
                vec![chunk(begun(api) + &error), end()],
                vec![
                    chunk(begun(api)),
                    chunk(format!("{error}\n\n{more}")),
                    end(),
                ],
                vec![
                    chunk(begun(api) + head),
                    chunk(tail),
                    chunk("\r\n\r\n"),
                    super::Step::Silence,
                ],
            ] {
                count += 1;
                stage.plays([vec![stream_head()], rest].concat());
                let (stream, broken) = stage.stream().await;
                assert!(!broken);
                let code = own_error(api, &stream, &begun(api));
                assert_eq!(code, "upstream_stream_error", "{api:?} {error}");
                assert!(String::from_utf8_lossy(&stream).contains("Sorry."));
            }
            // Before the client has a byte, another key cures it.
            count += 1;
            stage.plays(vec![
                stream_head(),
                chunk(preamble(api)),
                chunk(&error),
                end(),
            ]);
            let (stream, _) = stage.stream().await;
            assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        }
        assert_eq!(
            stage.blamed().await,
            (100, json!({ "overloaded": count })),
            "{api:?}"
        );
    }
}

fn three_times(counted: Counted) -> Counted {
    Counted {
        input: 3 * counted.input,
        cached: 3 * counted.cached,
        output: 3 * counted.output,
        guessed_input: 3 * counted.guessed_input,
        guessed_output: 3 * counted.guessed_output,
    }
}

// acceptance 86
#[tokio::test]
async fn an_error_that_quotes_the_key_is_passed_on_without_it() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        let quoting =
            error(api, failed(api)).replace("Sorry.", &format!("wrong key {}", api.key(1)));
        stage.plays(vec![
            stream_head(),
            chunk(begun(api)),
            super::Step::Wait,
            chunk(&quoting),
            end(),
        ]);
        let mut answer = stage.open().await;
        answer.event().await;
        stage.upstream.go_on();
        let text = answer.ending().await.body;
        let masked = quoting.replace(&api.key(1), &mask(&api.key(1)));
        assert!(text.ends_with(masked.as_bytes()), "{text:?}");
    }
}
