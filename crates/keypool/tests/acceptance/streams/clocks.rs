//! Answers that stop without ending: silence, and signs of life that say nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::LocalSet;

use super::script::{Step, answer, chunk, end, head, send, stream_head};
use super::words::{begun, plain, preamble, shown, whole};
use super::{STATED, Stage, own_error};
use crate::support::{Api, mask};

const IDLE_MS: u64 = 200;
const FIRST_BYTE_MS: u64 = 500;

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

#[tokio::test]
async fn a_stream_that_falls_silent_ends_in_an_error_and_is_cancelled_upstream() {
    for api in Api::STREAMED {
        let stage = stage(api).await;
        stage.plays(vec![stream_head(), chunk(begun(api)), Step::Silence]);
        let (stream, broken) = stage.stream().await;
        assert!(!broken);
        assert_eq!(own_error(api, &stream, &begun(api)), "upstream_stalled");
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        assert_eq!(stage.counted().await, stage.guess(), "{api:?}");
        stage.upstream.sees(|seen| seen.left == 1).await;
    }
}

/// Runs a case for each API and sign of life, all at once, since each takes its time.
async fn each<F>(case: impl Fn(Api, &'static [u8]) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let apis = Api::STREAMED.into_iter();
    let all = apis.flat_map(|api| SIGNS_OF_LIFE.map(|sign| (api, sign)));
    let cases = LocalSet::new();
    let running: Vec<_> = all
        .map(|(api, sign)| cases.spawn_local(case(api, sign)))
        .collect();
    cases.await;
    for case in running {
        case.await.unwrap();
    }
}

#[tokio::test]
async fn signs_of_life_alone_do_not_keep_a_dead_stream_going() {
    each(|api, sign| async move {
        let stage = stage(api).await;
        let began = Instant::now();
        let signs = Step::Repeat(sign, 20);
        stage.plays(vec![stream_head(), chunk(begun(api)), signs]);
        let (stream, _) = stage.stream().await;
        let took = began.elapsed();
        assert!(
            took > Duration::from_millis(2 * IDLE_MS),
            "they do count: {took:?}"
        );
        assert!(took < SOON);
        let text = str::from_utf8(&stream).unwrap();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.contains("upstream_stalled"), "{text}");
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        assert_eq!(stage.counted().await, stage.guess(), "{api:?}");
        stage.upstream.sees(|seen| seen.left == 1).await;
    })
    .await;
}

#[tokio::test]
async fn signs_of_life_before_the_answer_do_not_stand_for_its_first_byte() {
    each(|api, sign| async move {
        let stage = stage(api).await;
        stage.second_is_sound();
        stage.plays(vec![stream_head(), Step::Repeat(sign, 20)]);
        let (stream, _) = stage.stream().await;
        assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        stage.upstream.sees(|seen| seen.left == 1).await;
    })
    .await;
}

#[tokio::test]
async fn blank_lines_before_a_plain_answer_do_not_stand_for_its_first_byte() {
    for api in Api::ALL {
        let stage = stage(api).await;
        let body = plain(api).to_string();
        let sound = answer("200 OK", "application/json", "", body.as_bytes());
        stage.upstream.plays(&api.key(2), vec![sound]);
        stage.plays(vec![
            head("application/json", ""),
            Step::Repeat(b"1\r\n\n\r\n", 20),
        ]);
        let served = stage.ask().await;
        assert_eq!((served.key(), served.text()), (mask(&api.key(2)), body));
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        stage.upstream.sees(|seen| seen.left == 1).await;
    }
}

#[tokio::test]
async fn blank_lines_before_an_answer_do_no_harm() {
    for api in Api::ALL {
        let stage = stage(api).await;
        let body = plain(api).to_string();
        // Longer than the idle time, which they break.
        let mut steps = vec![head("application/json", "")];
        for _ in 0..6 {
            steps.extend([chunk("\n"), Step::Repeat(b"", 50), chunk("\r\n \n")]);
        }
        steps.retain(|step| !matches!(step, Step::Repeat(..)));
        steps.extend([chunk(format!("\n\n{body}")), end()]);
        stage.plays(steps);
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
            stage.plays(vec![
                stream_head(),
                chunk("\n\n\n"),
                chunk(whole(api)),
                end(),
            ]);
            let (stream, _) = stage.stream().await;
            assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        }
        assert_eq!(stage.blamed().await, (100, json!({})));
    }
}

#[tokio::test]
async fn a_plain_answer_that_stops_is_cured_by_another_key() {
    for api in Api::ALL {
        let stage = stage(api).await;
        let body = plain(api).to_string();
        let sound = answer("200 OK", "application/json", "", body.as_bytes());
        stage.upstream.plays(&api.key(2), vec![sound]);
        for begins in [
            vec![send("HTTP/1.1 200 OK\r\ncontent-type: app")],
            vec![head("application/json", "")],
            vec![head("application/json", ""), chunk(&body[..body.len() / 2])],
        ] {
            let mut steps = begins;
            steps.push(Step::Silence);
            stage.plays(steps);
            let served = stage.ask().await;
            assert_eq!(
                (served.key(), served.text()),
                (mask(&api.key(2)), body.clone())
            );
        }
        assert_eq!(stage.blamed().await, (85, json!({ "timeout": 3 })));
        stage.upstream.sees(|seen| seen.left == 3).await;
    }
}

#[tokio::test]
async fn a_stream_that_stops_before_its_first_text_is_cured_by_another_key() {
    for api in Api::STREAMED {
        let stage = stage(api).await;
        stage.second_is_sound();
        stage.plays(vec![stream_head(), chunk(preamble(api)), Step::Silence]);
        let (stream, _) = stage.stream().await;
        assert_eq!(str::from_utf8(&stream).unwrap(), shown(&whole(api)));
        assert_eq!(stage.blamed().await, (95, json!({ "timeout": 1 })));
        stage.upstream.sees(|seen| seen.left == 1).await;
    }
}
