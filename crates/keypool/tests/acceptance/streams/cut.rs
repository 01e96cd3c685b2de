//! Streams that end before their end marker, and streams that are whole though their connection breaks.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::script::{Step, chunk, end, send, stream_head};
use super::words::{begun, closing, finish, piece, shown, whole};
use super::{Counted, STATED, STREAMED, Stage, own_error};
use crate::support::Api;

/// How a stream can break off after its text, by what follows; and what the client is told.
fn breaks(api: Api) -> Vec<(&'static str, Vec<Step>, &'static str)> {
    let next = piece(api, "never seen");
    let half = &next[..next.len() / 2];
    vec![
        (
            "it ends as if it were complete",
            vec![end()],
            "upstream_cut",
        ),
        (
            "it ends within an event",
            vec![chunk(half), end()],
            "upstream_cut",
        ),
        (
            "the connection is reset",
            vec![Step::Reset],
            "upstream_reset",
        ),
        (
            "the connection is reset within an event",
            vec![chunk(half), Step::Reset],
            "upstream_reset",
        ),
        ("the connection is closed", Vec::new(), "upstream_reset"),
        (
            "the connection is closed within a chunk",
            vec![send(format!("{:x}\r\n{half}", next.len()))],
            "upstream_reset",
        ),
        (
            "the framing is broken",
            vec![send("zz\r\nnonsense\r\n")],
            "upstream_reset",
        ),
    ]
}

// acceptance 59, 70
#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_the_dialects_error_and_counts_as_failed() {
    for api in STREAMED {
        for (how, rest, code) in breaks(api) {
            let stage = Stage::of(api).await;
            let mut steps = vec![stream_head(), chunk(begun(api))];
            steps.extend(rest);
            stage.plays(steps);
            let (stream, broken) = stage.stream().await;
            assert!(!broken, "{api:?}: {how}");
            assert_eq!(own_error(api, &stream, &begun(api)), code, "{api:?}: {how}");
            let blamed = (95, json!({ "reset": 1 }));
            assert_eq!(stage.blamed().await, blamed, "{api:?}: {how}");
            assert_eq!(stage.counted().await, stage.guess(), "{api:?}: {how}");
            assert_eq!(stage.upstream.requests(), 1, "{api:?}: {how}");
        }
    }
}

// acceptance 70
#[tokio::test]
async fn traces_tell_whether_the_figures_of_an_answer_are_guesses() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        let mut records = stage.world.get("/api/trace").open().await;
        for (stream, counted) in [(begun(api), stage.guess()), (whole(api), STATED)] {
            stage.plays(vec![stream_head(), chunk(stream), end()]);
            stage.stream().await;
            let record: Value = serde_json::from_str(&records.line().await).unwrap();
            let told = (
                &record["inputTokens"],
                &record["cachedTokens"],
                &record["outputTokens"],
            );
            let Counted {
                input,
                cached,
                output,
                ..
            } = counted;
            assert_eq!(
                told,
                (&json!(input + cached), &json!(cached), &json!(output)),
                "{record}"
            );
            let estimated = if counted == STATED {
                Value::Null
            } else {
                json!(true)
            };
            assert_eq!(record["estimated"], estimated, "{record}");
        }
    }
}

#[tokio::test]
async fn nothing_but_the_end_marker_is_missing_and_still_it_is_cut() {
    for api in [Api::Messages, Api::Responses, Api::Gemini] {
        let stage = Stage::of(api).await;
        let all = begun(api) + &closing(api);
        stage.plays(vec![stream_head(), chunk(&all), end()]);
        let (stream, _) = stage.stream().await;
        assert_eq!(own_error(api, &stream, &all), "upstream_cut");
        // Anthropic has stated all of it by then.
        let counted = if api == Api::Messages {
            STATED
        } else {
            stage.guess()
        };
        assert_eq!(stage.counted().await, counted, "{api:?}");
        assert_eq!(stage.blamed().await, (95, json!({ "reset": 1 })));
    }
}

#[tokio::test]
async fn a_chat_completion_is_whole_once_it_is_finished_marker_or_not() {
    let api = Api::Chat;
    let without_usage = begun(api) + &finish();
    for (stream, how, counted) in [
        (begun(api) + &closing(api), vec![end()], Some(STATED)),
        (begun(api) + &closing(api), vec![Step::Reset], Some(STATED)),
        (without_usage.clone(), vec![end()], None),
        (without_usage, vec![Step::Reset], None),
    ] {
        let stage = Stage::of(api).await;
        let mut steps = vec![stream_head(), chunk(&stream)];
        steps.extend(how);
        stage.plays(steps);
        let (seen, broken) = stage.stream().await;
        assert!(!broken);
        assert_eq!(str::from_utf8(&seen).unwrap(), shown(&stream));
        assert_eq!(stage.blamed().await, (100, json!({})));
        assert_eq!(
            stage.counted().await,
            counted.unwrap_or_else(|| stage.guess())
        );
    }
}

#[tokio::test]
async fn what_is_whole_stays_whole_whatever_the_connection_does_after_it() {
    for api in STREAMED {
        for (how, rest) in [
            ("in good order", vec![end()]),
            ("reset", vec![Step::Reset]),
            ("closed", Vec::new()),
            ("garbage", vec![chunk("data: {\"x\n\n"), end()]),
            ("half an event", vec![chunk("data: {\"x"), end()]),
            ("left open", vec![Step::Silence]),
        ] {
            let stage = Stage::of(api).await;
            let mut steps = vec![stream_head(), chunk(whole(api))];
            steps.extend(rest);
            stage.plays(steps);
            let began = Instant::now();
            let (stream, broken) = stage.stream().await;
            // Open streams are not waited for long; the idle time is two minutes.
            assert!(began.elapsed() < Duration::from_secs(30), "{api:?}: {how}");
            assert!(!broken, "{api:?}: {how}");
            assert_eq!(
                str::from_utf8(&stream).unwrap(),
                shown(&whole(api)),
                "{how}"
            );
            assert_eq!(stage.blamed().await, (100, json!({})), "{api:?}: {how}");
            assert_eq!(stage.counted().await, STATED, "{api:?}: {how}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_relayed_byte_for_byte_however_it_is_cut_into_chunks() {
    for api in STREAMED {
        let stage = Stage::of(api).await;
        for size in [1, 7, 100] {
            let mut steps = vec![stream_head()];
            steps.extend(whole(api).as_bytes().chunks(size).map(chunk));
            steps.push(end());
            stage.plays(steps);
            let (stream, _) = stage.stream().await;
            assert_eq!(
                str::from_utf8(&stream).unwrap(),
                shown(&whole(api)),
                "{size}"
            );
        }
        let counted = stage.counted().await;
        assert_eq!(
            (counted.output, counted.guessed_output),
            (3 * super::OUTPUT, 0)
        );
    }
}

#[tokio::test]
async fn what_was_stated_before_a_failover_is_counted() {
    let api = Api::Messages;
    for rest in [vec![Step::Reset], vec![end()]] {
        let stage = Stage::of(api).await;
        stage.second_is_sound();
        let mut steps = vec![stream_head(), chunk(super::words::preamble(api))];
        steps.extend(rest);
        stage.plays(steps);
        let (stream, _) = stage.stream().await;
        assert_eq!(str::from_utf8(&stream).unwrap(), whole(api));
        let counted = Counted {
            output: 0,
            ..STATED
        };
        assert_eq!(stage.counted().await, counted);
        assert_eq!(stage.blamed().await, (95, json!({ "reset": 1 })));
    }
}
