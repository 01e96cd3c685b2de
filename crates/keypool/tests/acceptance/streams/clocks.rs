//! Answers that stop without ending: silence, and signs of life that say nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::LocalSet;

use super::script::{Step, answer, chunk, end, head, send, stream_head};
use super::words::{begun, closing, marker, piece, plain, preamble, shown, whole};
use super::{ALL, STATED, STREAMED, Stage, own_error};
use crate::support::{Api, mask};

const IDLE_MS: u64 = 500;
const FIRST_BYTE_MS: u64 = 1000;

/// Far more than any clock here allows, and far less than the default ones.
const SOON: Duration = Duration::from_secs(20);

/// Chunks that keep a stream alive and say nothing: comments, pings, blank lines.
const SIGNS_OF_LIFE: [&[u8]; 3] = [
    b"e\r\n: keep-alive\n\n\r\n",
    b"24\r\nevent: ping\ndata: {\"type\": \"ping\"}\n\n\r\n",
    b"2\r\n\n\n\r\n",
];

async fn stage(api: Api) -> Stage {
    Stage::with(api, api.provider(), |setup| {
        setup
            .set("/ApiKeyPool/timeouts/idle", IDLE_MS)
            .set("/ApiKeyPool/timeouts/firstByte", FIRST_BYTE_MS)
    })
    .await
}

/// A sign of life far more often than the idle time, and without end.
fn without_end(sign: &'static [u8]) -> Step {
    Step::Repeat(sign, usize::MAX, 20)
}

/// Runs cases at once, since each takes its time.
async fn at_once<F>(cases: impl IntoIterator<Item = F>)
where
    F: Future<Output = ()> + 'static,
{
    let all = LocalSet::new();
    let running: Vec<_> = cases
        .into_iter()
        .map(|case| all.spawn_local(case))
        .collect();
    all.await;
    for case in running {
        case.await.unwrap();
    }
}

fn each_sign() -> impl Iterator<Item = (Api, &'static [u8])> {
    let apis = STREAMED.into_iter();
    apis.flat_map(|api| SIGNS_OF_LIFE.map(|sign| (api, sign)))
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_in_an_error_and_is_cancelled_upstream() {
    at_once(STREAMED.map(async |api| {
        let stage = stage(api).await;
        stage.plays(vec![stream_head(), chunk(begun(api)), Step::Silence]);
        let (stream, broken) = stage.stream().await;
        assert!(!broken);
        assert_eq!(own_error(api, &stream, &begun(api)), "upstream_stalled");
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        assert_eq!(stage.counted().await, stage.guess(), "{api:?}");
        stage.upstream.sees(|seen| seen.left == 1).await;
    }))
    .await;
}

#[tokio::test]
async fn signs_of_life_alone_do_not_keep_a_dead_stream_going() {
    at_once(each_sign().map(async |(api, sign)| {
        let stage = stage(api).await;
        let began = Instant::now();
        stage.plays(vec![stream_head(), chunk(begun(api)), without_end(sign)]);
        let (stream, _) = stage.stream().await;
        assert!(began.elapsed() < SOON);
        let text = str::from_utf8(&stream).unwrap();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        // Google writes reasons in capitals.
        assert!(last.to_lowercase().contains("upstream_stalled"), "{text}");
        // They do count, but not for ever.
        assert!(last.contains("nothing but keep-alives"), "{text}");
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        assert_eq!(stage.counted().await, stage.guess(), "{api:?}");
        stage.upstream.sees(|seen| seen.left == 1).await;
    }))
    .await;
}

#[tokio::test]
async fn signs_of_life_before_the_answer_do_not_stand_for_its_first_byte() {
    at_once(each_sign().map(async |(api, sign)| {
        let stage = stage(api).await;
        stage.second_is_sound();
        stage.plays(vec![stream_head(), without_end(sign)]);
        let (stream, _) = stage.stream().await;
        assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        stage.upstream.sees(|seen| seen.left == 1).await;
    }))
    .await;
}

#[tokio::test]
async fn blank_lines_before_a_plain_answer_do_not_stand_for_its_first_byte() {
    at_once(ALL.map(async |api| {
        let stage = stage(api).await;
        let body = plain(api).to_string();
        let sound = answer("200 OK", "application/json", "", body.as_bytes());
        stage.upstream.plays(&api.key(2), vec![sound]);
        let blanks = without_end(b"1\r\n\n\r\n");
        stage.plays(vec![head("application/json", ""), blanks]);
        let served = stage.ask().await;
        assert_eq!((served.key(), served.text()), (mask(&api.key(2)), body));
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        stage.upstream.sees(|seen| seen.left == 1).await;
    }))
    .await;
}

#[tokio::test]
async fn blank_lines_before_an_answer_keep_it_alive_and_do_no_harm() {
    at_once(ALL.map(async |api| {
        let patient = |setup: crate::support::Setup| {
            let setup = setup.set("/ApiKeyPool/timeouts/idle", 1000);
            setup.set("/ApiKeyPool/timeouts/firstByte", 20_000)
        };
        let stage = Stage::with(api, api.provider(), patient).await;
        let body = plain(api).to_string();
        // For longer than the idle time, which they break.
        let blanks = || Step::Repeat(b"4\r\n\r\n \n\r\n", 5, 250);
        let begins = vec![head("application/json", ""), blanks()];
        stage.plays([begins, vec![chunk(format!("\n\n{body}")), end()]].concat());
        let answer = stage.ask().await;
        answer.assert_ok();
        assert_eq!(answer.text(), body, "{api:?}");
        let counted = stage.counted().await;
        assert_eq!(
            (counted.input, counted.cached),
            (STATED.input, STATED.cached)
        );
        assert_eq!((counted.guessed_input, counted.guessed_output), (0, 0));
        if api != Api::Embeddings {
            stage.plays(vec![stream_head(), blanks(), chunk(whole(api)), end()]);
            let (stream, _) = stage.stream().await;
            assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        }
        assert_eq!(stage.blamed().await, (100, json!({})));
    }))
    .await;
}

#[tokio::test]
async fn a_plain_answer_that_stops_is_cured_by_another_key() {
    at_once(ALL.map(async |api| {
        let stage = stage(api).await;
        let body = plain(api).to_string();
        let sound = answer("200 OK", "application/json", "", body.as_bytes());
        stage.upstream.plays(&api.key(2), vec![sound]);
        for begins in [
            vec![send("HTTP/1.1 200 OK\r\ncontent-type: app")],
            vec![head("application/json", "")],
            vec![head("application/json", ""), chunk(&body[..body.len() / 2])],
        ] {
            stage.plays([begins, vec![Step::Silence]].concat());
            let served = stage.ask().await;
            let expected = (mask(&api.key(2)), body.clone());
            assert_eq!((served.key(), served.text()), expected);
        }
        assert_eq!(stage.blamed().await, (85, json!({ "timeout": 3 })));
        stage.upstream.sees(|seen| seen.left == 3).await;
    }))
    .await;
}

#[tokio::test]
async fn a_stream_that_stops_before_its_first_text_is_cured_by_another_key() {
    at_once(STREAMED.map(async |api| {
        let stage = stage(api).await;
        stage.second_is_sound();
        stage.plays(vec![stream_head(), chunk(preamble(api)), Step::Silence]);
        let (stream, _) = stage.stream().await;
        assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        stage.upstream.sees(|seen| seen.left == 1).await;
    }))
    .await;
}

/// A stream that has said all, in pieces, and then keeps its connection open, in silence or with signs of life.
fn left_open(api: Api) -> Vec<Vec<Step>> {
    let said = || {
        vec![
            stream_head(),
            chunk(begun(api)),
            chunk(closing(api) + &marker(api)),
        ]
    };
    let signs = SIGNS_OF_LIFE.map(without_end);
    let rests = [Step::Silence].into_iter().chain(signs);
    rests.map(|rest| [said(), vec![rest]].concat()).collect()
}

#[tokio::test]
async fn an_answer_that_has_said_all_is_ended_though_its_connection_stays_open() {
    let cases = STREAMED
        .into_iter()
        .flat_map(|api| left_open(api).into_iter().map(move |steps| (api, steps)));
    at_once(cases.map(async |(api, steps)| {
        // With the default clocks, by which it would take minutes.
        let stage = Stage::of(api).await;
        stage.plays(steps);
        let ended = tokio::time::timeout(SOON, stage.stream()).await;
        let (stream, broken) = ended.expect("it goes on");
        assert!(!broken);
        let text = str::from_utf8(&stream).unwrap();
        assert!(text.starts_with(&shown(&whole(api))), "{text}");
        assert!(!text.contains("error"), "{text}");
        assert_eq!(stage.blamed().await, (100, json!({})), "{api:?}");
        assert_eq!(stage.counted().await, STATED, "{api:?}");
        stage.upstream.sees(|seen| seen.left == 1).await;
    }))
    .await;
}

#[tokio::test]
async fn where_no_marker_ends_an_answer_it_is_ended_for_clients_of_every_api() {
    let clients = [Api::Messages, Api::Chat, Api::Responses];
    let of_chat = [Api::Messages].map(|client| (client, Api::Chat));
    let of_gemini = clients.map(|client| (client, Api::Gemini));
    at_once(
        of_gemini
            .into_iter()
            .chain(of_chat)
            .map(async |(client, api)| {
                let stage = Stage::of(api).await;
                // Of a chat completion `[DONE]` is left out, as some providers do.
                let last = match api {
                    Api::Chat => closing(api),
                    _ => marker(api),
                };
                stage.plays(vec![
                    stream_head(),
                    chunk(begun(api)),
                    chunk(last),
                    Step::Silence,
                ]);
                let mut body = client.streamed();
                body["model"] = format!("{},{}", stage.provider, api.model()).into();
                let answer = stage.world.send(client, &body).await;
                answer.assert_ok();
                assert!(
                    answer.text().contains(client.last_event()),
                    "{}",
                    answer.text()
                );
                assert_eq!(stage.blamed().await, (100, json!({})), "{client:?}");
                assert_eq!(stage.counted().await, STATED, "{client:?}");
            }),
    )
    .await;
}

#[tokio::test]
async fn what_still_comes_of_an_answer_that_has_said_all_is_passed_on() {
    let api = Api::Gemini;
    let stage = Stage::of(api).await;
    let more = piece(api, " And more.");
    stage.plays(vec![
        stream_head(),
        chunk(begun(api)),
        chunk(marker(api)),
        Step::Wait,
        chunk(&more),
        end(),
    ]);
    let mut answer = stage.open().await;
    for _ in 0..4 {
        answer.event().await;
    }
    stage.upstream.go_on();
    let ending = answer.ending().await;
    assert_eq!(str::from_utf8(&ending.body).unwrap(), more);
}
