//! Errors, and answers that break: told in the client's API, blamed as ever.

use keypool_sim::Fault;

use super::{PAIRS, Pair, is_end, is_error, text_in};
use crate::support::{Api, mask};

#[tokio::test]
async fn an_error_of_the_provider_is_told_in_the_clients_api_with_its_status_and_words() {
    for pair in PAIRS {
        let world = Pair::world().await;
        for status in [400, 404, 413] {
            let fault = Fault::Status {
                status,
                code: None,
                message: Some("The prompt is no good.".to_owned()),
                retry_after: None,
            };
            world.fault(&pair.key(), fault);
            for body in [pair.body(), pair.streamed()] {
                let answer = pair.post(&world, &body).await;
                assert_eq!(answer.status, status, "{pair:?}");
                assert_eq!(answer.header("content-type"), "application/json");
                pair.client.error_code(&answer);
                assert!(answer.text().contains("The prompt is no good."), "{pair:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_the_gateway_says_of_an_unusable_pool_is_in_the_clients_api() {
    for pair in PAIRS {
        let world = Pair::world().await;
        world.fault(&pair.key(), Fault::rate_limited(60));
        let answer = pair.post(&world, &pair.body()).await;
        pair.client.assert_error(&answer, 429, "no_room");
    }
}

/// What a model of Gemini's answers that failed by itself.
fn malformed_call(streamed: bool) -> Fault {
    let body = concat!(
        r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}],"#,
        r#""usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":2}}"#
    );
    let (kind, body) = if streamed {
        ("text/event-stream", format!("data: {body}\r\n\r\n"))
    } else {
        ("application/json", body.to_owned())
    };
    Fault::Verbatim {
        status: 200,
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        body,
    }
}

#[tokio::test]
async fn a_failure_of_the_models_own_is_told_once_and_is_no_keys_fault() {
    let of_gemini = |pair: &Pair| pair.provider == Api::Gemini;
    for pair in PAIRS.into_iter().filter(of_gemini) {
        let world = Pair::setup(2).strategy("fill-first").start().await;
        for (streamed, body) in [(false, pair.body()), (true, pair.streamed())] {
            world.fault(&pair.key(), malformed_call(streamed));
            let answer = pair.post(&world, &body).await;
            assert_eq!(answer.header("x-keypool-attempts"), "1", "{pair:?}");
            let text = answer.text();
            assert!(text.contains("MALFORMED_FUNCTION_CALL"), "{pair:?} {text}");
            if streamed {
                assert!(is_error(pair.client, answer.events().last().unwrap()));
            } else {
                assert_eq!(answer.status, 502, "{pair:?} {text}");
            }
        }
        assert_eq!(world.state(&pair.key()).await, "healthy");
    }
}

#[tokio::test]
async fn an_error_before_the_client_has_a_byte_is_cured_by_another_key() {
    for pair in PAIRS {
        let world = Pair::setup(2).strategy("fill-first").start().await;
        for fault in [
            Fault::error_as_first_event(),
            Fault::ResetBeforeHead,
            Fault::TruncateStream {
                // Gemini says something in its first event.
                after_events: u64::from(pair.provider != Api::Gemini),
            },
        ] {
            world.fault(&pair.key(), fault.clone());
            let answer = pair.post(&world, &pair.streamed()).await;
            answer.assert_ok();
            assert_eq!(answer.key(), mask(&pair.key_number(2)), "{fault:?}");
            let events = answer.events();
            assert!(is_end(pair.client, events.last().unwrap()), "{fault:?}");
            assert!(!events.iter().any(|event| is_error(pair.client, event)));
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_one_error_of_the_clients_api_and_with_no_end_marker() {
    for pair in PAIRS {
        let world = Pair::world().await;
        for fault in [
            Fault::ResetMidStream { after_events: 4 },
            Fault::TruncateStream { after_events: 4 },
            Fault::StreamError {
                after_events: 4,
                code: None,
            },
        ] {
            world.fault(&pair.key(), fault.clone());
            let answer = pair.post(&world, &pair.streamed()).await;
            answer.assert_ok();
            let events = answer.events();
            let errors = events.iter().filter(|event| is_error(pair.client, event));
            assert_eq!(errors.count(), 1, "{fault:?}: {}", answer.text());
            let last = events.last().unwrap();
            assert!(is_error(pair.client, last), "{fault:?}: {}", answer.text());
            assert!(!events.iter().any(|event| is_end(pair.client, event)));
            assert!(!text_in(pair.client, &events).is_empty(), "{fault:?}");
        }
    }
}

/// An event that is JSON and no answer of the API, and lacks its blank line.
fn unreadable_end(api: Api) -> &'static str {
    match api {
        Api::Messages => r#"data: {"type":"content_block_delta","index":0,"delta":7}"#,
        Api::Chat => {
            r#"data: {"choices":[{"index":0,"delta":{"content":7},"finish_reason":"stop"}]}"#
        }
        Api::Gemini => {
            r#"data: {"candidates":[{"content":{"parts":7},"finishReason":"STOP","index":0}]}"#
        }
        Api::Responses | Api::Embeddings => unreachable!("nobody is asked in it"),
    }
}

/// An event with some text.
fn some_text(api: Api) -> &'static str {
    match api {
        Api::Messages => concat!(
            r#"data: {"type":"message_start","message":{"id":"m","content":[]}}"#,
            "\n\n",
            r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            "\n\n",
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
            "\n\n",
        ),
        Api::Chat => concat!(
            r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
            "\n\n"
        ),
        Api::Gemini => concat!(
            r#"data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"index":0}]}"#,
            "\n\n"
        ),
        Api::Responses | Api::Embeddings => unreachable!("nobody is asked in it"),
    }
}

fn streamed(body: String) -> Fault {
    Fault::Verbatim {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        body,
    }
}

#[tokio::test]
async fn a_stream_whose_end_is_no_answer_of_its_api_is_told_once_and_is_the_keys_fault() {
    for pair in PAIRS {
        let world = Pair::setup(2).strategy("fill-first").start().await;
        let [text, end] = [some_text(pair.provider), unreadable_end(pair.provider)];
        world.fault(&pair.key(), streamed(format!("{text}{end}")));
        let answer = pair.post(&world, &pair.streamed()).await;
        answer.assert_ok();
        let events = answer.events();
        assert_eq!(text_in(pair.client, &events), "Hi", "{}", answer.text());
        let errors = events.iter().filter(|event| is_error(pair.client, event));
        assert_eq!(errors.count(), 1, "{pair:?}: {}", answer.text());
        assert!(is_error(pair.client, events.last().unwrap()));
        assert_eq!(world.score(&pair.key()).await, 95, "{pair:?}");
        // Before the client has a byte it is cured.
        world.fault(&pair.key(), streamed(end.to_owned()));
        let answer = pair.post(&world, &pair.streamed()).await;
        assert_eq!(answer.key(), mask(&pair.key_number(2)), "{pair:?}");
        let details = world.details(pair.name, &pair.key()).await;
        assert_eq!(
            details["metrics"]["errorsByClass"]["garbage"], 2,
            "{pair:?}"
        );
    }
}

#[tokio::test]
async fn a_bare_error_amid_a_stream_is_told_once_in_the_clients_api() {
    for pair in PAIRS {
        let world = Pair::world().await;
        let error = r#"{"error": {"type": "overloaded_error", "message": "Overloaded."}}"#;
        let body = format!("{}{error}\n", some_text(pair.provider));
        world.fault(&pair.key(), streamed(body));
        let answer = pair.post(&world, &pair.streamed()).await;
        let events = answer.events();
        assert_eq!(text_in(pair.client, &events), "Hi", "{}", answer.text());
        let errors = events.iter().filter(|event| is_error(pair.client, event));
        assert_eq!(errors.count(), 1, "{pair:?}: {}", answer.text());
        let last = events.last().unwrap();
        assert!(is_error(pair.client, last) && last.data.contains("Overloaded."));
        assert_eq!(world.score(&pair.key()).await, 100, "{pair:?}");
    }
}

#[tokio::test]
async fn an_answer_that_was_whole_when_its_connection_broke_is_ended_in_the_clients_api() {
    let pair = PAIRS[0];
    let world = Pair::world().await;
    let fault = Fault::ResetMidStream { after_events: 6 };
    world.fault(&pair.key(), fault);
    let answer = pair.post(&world, &pair.streamed()).await;
    answer.assert_ok();
    let events = answer.events();
    assert!(
        is_end(Api::Messages, events.last().unwrap()),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_plain_answer_that_is_none_of_its_api_is_a_clear_502() {
    for pair in PAIRS {
        let world = Pair::world().await;
        for body in ["{}", r#"{"choices": 7, "content": 7}"#] {
            let fault = Fault::Verbatim {
                status: 200,
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: body.to_owned(),
            };
            world.fault(&pair.key(), fault);
            let answer = pair.post(&world, &pair.body()).await;
            pair.client.assert_error(&answer, 502, "upstream_garbage");
        }
    }
}
