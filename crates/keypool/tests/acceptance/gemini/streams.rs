//! Streams, as events and as one array.

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};

use super::{MODEL, ask, chunk, counted, events, last_chunk, plain, reason_in, stream, verbatim};
use crate::support::{Setup, eventually, gemini_key, mask};
use crate::waiting::waiting;

const ARRAY: &str = "streamGenerateContent";

#[tokio::test]
async fn a_stream_arrives_byte_for_byte_and_its_usage_is_counted_exactly() {
    let usage = json!({"promptTokenCount": 120, "cachedContentTokenCount": 100,
        "candidatesTokenCount": 9, "thoughtsTokenCount": 4});
    let first = json!({"usageMetadata": {"promptTokenCount": 120, "totalTokenCount": 120}});
    let body = events(&[
        chunk("Hel", &first),
        chunk("lo", &json!({})),
        last_chunk(&usage),
    ]);
    let world = Setup::gemini(1).start().await;
    world.fault(
        &gemini_key(1),
        verbatim(200, "text/event-stream", body.clone()),
    );
    let answer = stream(&world).await;
    answer.assert_ok();
    assert_eq!(answer.text(), body);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(counted(&world, &gemini_key(1)).await, [20, 13, 100]);
    let received = world.received().pop().unwrap();
    let path = format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse");
    assert_eq!(received.path_and_query, path);
}

#[tokio::test]
async fn who_asks_for_no_events_gets_the_same_chunks_as_one_array() {
    let usage = json!({"promptTokenCount": 7, "candidatesTokenCount": 9});
    let chunks = [chunk("Hel\n", &json!({})), last_chunk(&usage)];
    let world = Setup::gemini(1).start().await;
    for method in [ARRAY, "streamGenerateContent?alt=json&x=1"] {
        world.fault(
            &gemini_key(1),
            verbatim(200, "text/event-stream", events(&chunks)),
        );
        let answer = ask(&world, MODEL, method).await;
        answer.assert_ok();
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.text(), format!("[{},\r\n{}]", chunks[0], chunks[1]));
        let path = world.received().pop().unwrap().path_and_query;
        assert!(path.contains(":streamGenerateContent?alt=sse"), "{path}");
    }
    assert_eq!(counted(&world, &gemini_key(1)).await, [14, 18, 0]);
    // A provider that does not stream: one answer is one element.
    world.fault(&gemini_key(1), Fault::NotStreamed);
    let answer = ask(&world, MODEL, ARRAY).await;
    let array: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(array[0]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(array.len(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_googles_error_and_never_as_if_it_were_whole() {
    let world = Setup::gemini(1).start().await;
    for fault in [
        Fault::ResetMidStream { after_events: 2 },
        Fault::CloseMidStream { after_events: 2 },
        Fault::TruncateStream { after_events: 2 },
        Fault::NoEndMarker,
        Fault::StreamError {
            after_events: 2,
            code: None,
        },
    ] {
        world.fault(&gemini_key(1), fault.clone());
        let answer = stream(&world).await;
        answer.assert_ok();
        assert!(!answer.text().contains("finishReason"), "{}", answer.text());
        let events = answer.events();
        let (last, before) = events.split_last().unwrap();
        reason_in(&last.json());
        assert!(
            !before.is_empty()
                && before
                    .iter()
                    .all(|event| event.json()["candidates"].is_array())
        );

        let answer = ask(&world, MODEL, ARRAY).await;
        answer.assert_ok();
        let array: Vec<Value> = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{fault:?}: {error}: {}", answer.text()));
        reason_in(array.last().unwrap());
        assert_eq!(array.len(), before.len() + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_was_whole_when_its_connection_broke_is_whole() {
    let world = Setup::gemini(1).start().await;
    for method in ["streamGenerateContent?alt=sse", ARRAY] {
        // Four chunks of text, and the one that ends it.
        world.fault(&gemini_key(1), Fault::ResetMidStream { after_events: 5 });
        let answer = ask(&world, MODEL, method).await;
        answer.assert_ok();
        assert!(answer.text().contains("finishReason") && !answer.text().contains("error"));
    }
    assert_eq!(world.score(&gemini_key(1)).await, 100);
}

#[tokio::test]
async fn an_error_before_the_first_word_is_cured_by_another_key() {
    let empty = events(&[json!({"usageMetadata": {"promptTokenCount": 9}})]);
    let world = Setup::gemini(2).strategy("fill-first").start().await;
    for fault in [
        Fault::error_as_first_event(),
        Fault::ResetBeforeHead,
        Fault::TruncateStream { after_events: 0 },
        verbatim(200, "text/event-stream", empty),
        Fault::Garbage,
    ] {
        for method in ["streamGenerateContent?alt=sse", ARRAY] {
            world.fault(&gemini_key(1), fault.clone());
            let answer = ask(&world, MODEL, method).await;
            answer.assert_ok();
            assert_eq!(answer.key(), mask(&gemini_key(2)), "{fault:?}");
            assert!(!answer.text().contains("\"error\""), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_bare_error_amid_a_stream_ends_it_in_the_form_that_the_client_asked_for() {
    let world = Setup::gemini(1).start().await;
    let error = json!({"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}});
    let body = events(&[chunk("Hello", &json!({}))]) + &format!("{:#}\r\n", json!([error]));
    world.fault(&gemini_key(1), verbatim(200, "text/event-stream", body));
    let answer = stream(&world).await;
    let [text, error] = answer.events().try_into().unwrap();
    assert!(text.data.contains("Hello"));
    assert_eq!(reason_in(&error.json()), "upstream_stream_error");
    assert_eq!(error.json()["error"]["code"], 503);
    let array = ask(&world, MODEL, ARRAY).await;
    let [text, error] = serde_json::from_slice::<[Value; 2]>(&array.body).unwrap();
    assert!(text.to_string().contains("Hello"));
    assert_eq!(reason_in(&error), "upstream_stream_error");
    // It has too much to do, whichever key asks.
    assert_eq!(world.score(&gemini_key(1)).await, 100);
}

/// A chunk that says something about the answer, and nothing of it.
fn about_the_answer() -> Value {
    json!({"candidates": [{"index": 0,
        "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}],
        "citationMetadata": {"citationSources": [{"uri": "https://example.com/a".repeat(20)}]},
        "groundingMetadata": {"groundingSupports": [{"segment": {"text": "It rains.".repeat(20)}}]}}]})
}

#[tokio::test]
async fn what_is_said_about_an_answer_is_neither_its_beginning_nor_counted_as_its_text() {
    let world = Setup::gemini(2).strategy("fill-first").start().await;
    let error = json!({"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}});
    let fails = events(&[about_the_answer(), error]);
    world.fault(&gemini_key(1), verbatim(200, "text/event-stream", fails));
    let answer = stream(&world).await;
    answer.assert_ok();
    assert_eq!(answer.key(), mask(&gemini_key(2)));

    let cut = events(&[chunk("Hello, how are you", &json!({})), about_the_answer()]);
    world.fault(&gemini_key(1), verbatim(200, "text/event-stream", cut));
    let answer = stream(&world).await;
    reason_in(&answer.events().last().unwrap().json());
    let [_, output, _] = counted(&world, &gemini_key(1)).await;
    // 18 bytes.
    assert_eq!(output, 5);
}

#[tokio::test]
async fn a_stream_that_waits_is_kept_alive_without_comments_which_googles_sdks_do_not_take() {
    let world = Setup::gemini(1)
        .every_key("rateLimit", &json!({ "maxConcurrent": 1 }))
        .set("/ApiKeyPool/queue/keepAlive", 20)
        .start()
        .await;
    world.fault(&gemini_key(1), FaultWindow::next(1, Fault::Hang));
    let first = plain(&world).spawn();
    eventually("the key is taken", async || {
        (world.counted(&gemini_key(1)).faults == 1).then_some(())
    })
    .await;
    // An array cannot begin before its first element, so it waits in silence.
    let array = ask(&world, MODEL, ARRAY).spawn();
    waiting(&world, 1).await;
    let answer = stream(&world).open().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert!(!array.is_finished());
    first.abort();
    let text = answer.whole().await.text();
    assert!(
        text.starts_with("\r\ndata: ") && text.contains("finishReason"),
        "{text}"
    );
    let array = array.await.unwrap();
    array.assert_ok();
    assert_eq!(array.key(), mask(&gemini_key(1)));
}
