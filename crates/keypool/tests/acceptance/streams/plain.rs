//! Plain answers that are errors, are cut off, or are too large to be held.

use serde_json::{Value, json};

use super::script::{Step, answer, chunk, end, head, send};
use super::words::plain;
use super::{ALL, Counted, GUESSED_OUTPUT, INPUT, Stage};
use crate::support::{Api, mask};

fn ok(body: &Value) -> Vec<Step> {
    vec![answer(
        "200 OK",
        "application/json",
        "",
        body.to_string().as_bytes(),
    )]
}

#[tokio::test]
async fn an_error_in_a_200_is_cured_by_another_key() {
    let in_choice = json!({"id": "gen-1", "choices": [{"index": 0, "finish_reason": "error",
        "message": {"role": "assistant", "content": ""}, "error": {"code": 502, "message": "gone"}}]});
    let failed = json!({"id": "resp_1", "status": "failed", "output": [],
        "error": {"code": "server_error", "message": "Sorry."}});
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Sorry."}});
    for (api, provider, error, score) in [
        (Api::Chat, "openrouter", in_choice, 95),
        (
            Api::Chat,
            "openai",
            json!({"error": {"code": "server_error", "message": "x"}}),
            95,
        ),
        (Api::Messages, "anthropic", overloaded, 100),
        (Api::Responses, "openai", failed, 95),
    ] {
        let stage = Stage::with(api, provider, |setup| setup).await;
        stage.plays(ok(&error));
        stage.upstream.plays(&api.key(2), ok(&plain(api)));
        let served = stage.ask().await;
        assert_eq!(
            (served.key(), served.json()),
            (mask(&api.key(2)), plain(api)),
            "{error}"
        );
        assert_eq!(stage.blamed().await.0, score, "{error}");
        assert_eq!(
            stage.counted().await,
            Counted::default(),
            "no work was done"
        );
    }
}

// acceptance 49
#[tokio::test]
async fn a_response_that_failed_for_what_was_asked_is_the_answer() {
    let api = Api::Responses;
    let stage = Stage::of(api).await;
    let failed = json!({"id": "resp_1", "status": "failed", "output": [],
        "error": {"code": "invalid_prompt", "message": "No."}, "usage": super::words::usage(api)});
    stage.plays(ok(&failed));
    let served = stage.ask().await;
    assert_eq!((served.status, served.json()), (200, failed));
    assert_eq!(stage.blamed().await, (100, json!({ "clientError": 1 })));
    assert_eq!(stage.counted().await, super::STATED);
    assert_eq!(stage.upstream.requests(), 1);
}

#[tokio::test]
async fn a_plain_answer_that_is_cut_off_is_cured_by_another_key() {
    for api in ALL {
        let body = plain(api).to_string();
        // It ends with a bracket of an inner object.
        let inner = &body[..=body[..body.len() - 1].rfind('}').unwrap()];
        let short = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{inner}",
            body.len()
        );
        let until_closed = format!("HTTP/1.1 200 OK\r\n\r\n{inner}");
        for (how, steps, class) in [
            (
                "an early end",
                vec![head("application/json", ""), chunk(inner), end()],
                "garbage",
            ),
            ("no length, closed", vec![send(until_closed)], "garbage"),
            ("shorter than its length", vec![send(&*short)], "reset"),
            ("reset", vec![send(&*short), Step::Reset], "reset"),
            (
                "no end",
                vec![head("application/json", ""), chunk(inner)],
                "reset",
            ),
            (
                "nothing",
                vec![head("application/json", ""), end()],
                "reset",
            ),
        ] {
            let stage = Stage::of(api).await;
            stage.plays(steps);
            stage.upstream.plays(&api.key(2), ok(&plain(api)));
            let served = stage.ask().await;
            assert_eq!(
                (served.key(), served.text()),
                (mask(&api.key(2)), body.clone()),
                "{how}"
            );
            assert_eq!(
                stage.blamed().await,
                (95, json!({ class: 1 })),
                "{api:?}: {how}"
            );
        }
    }
}

// acceptance 70
#[tokio::test]
async fn an_answer_without_usage_is_counted_by_guesses_that_are_marked() {
    for api in ALL {
        let stage = Stage::of(api).await;
        let mut body = plain(api);
        let members = body.as_object_mut().unwrap();
        members.retain(|name, _| !name.starts_with("usage"));
        stage.plays(ok(&body));
        stage.ask().await.assert_ok();
        // The body asks for no stream, and is a little shorter.
        let input = stage.settled(1).await["tokens"]["input"].as_u64().unwrap();
        assert!((1..=stage.estimated_input()).contains(&input), "{input}");
        let output = if api == Api::Embeddings {
            0
        } else {
            GUESSED_OUTPUT
        };
        let expected = Counted {
            input,
            cached: 0,
            output,
            guessed_input: input,
            guessed_output: output,
        };
        assert_eq!(stage.counted().await, expected, "{api:?}");
    }
}

/// Embeddings of so many bytes, usage at the end.
fn large(bytes: usize) -> String {
    let numbers = "0.0625,".repeat(bytes / 7);
    let usage = super::words::usage(Api::Embeddings);
    format!(r#"{{"object":"list","data":[{{"embedding":[{numbers}1]}}],"usage":{usage}}}"#)
}

#[tokio::test]
async fn an_answer_too_large_to_be_held_is_passed_on_and_counted() {
    const MIB: usize = 1024 * 1024;
    let stage = Stage::of(Api::Embeddings).await;
    let body = large(9 * MIB);
    let mut steps = vec![head("application/json", "")];
    steps.extend(body.as_bytes().chunks(MIB).map(chunk));
    let mut whole = steps.clone();
    whole.push(end());
    stage.plays(whole);
    let served = stage.ask().await;
    assert!(served.text() == body);
    let counted = stage.counted().await;
    assert_eq!((counted.input, counted.guessed_input), (INPUT, 0));
    assert_eq!(stage.blamed().await, (100, json!({})));

    // What has begun to go out can only be cut off, and never ends in good order.
    let cut = steps.len() - 1;
    for (rest, what) in [
        (vec![end()], "an early end"),
        (vec![Step::Reset], "a reset"),
    ] {
        let stage = Stage::of(Api::Embeddings).await;
        let mut steps = steps[..cut].to_vec();
        steps.extend(rest);
        stage.plays(steps);
        let asked = stage
            .world
            .post(Api::Embeddings.path())
            .json(&stage.body(false));
        let ending = asked.open().await.ending().await;
        assert!(ending.broken, "{what}");
        assert_eq!(stage.blamed().await, (95, json!({ "reset": 1 })), "{what}");
        let counted = stage.counted().await;
        assert_eq!(counted.input, counted.guessed_input, "{what}");
    }
}
