//! Clients that leave: the upstream is cancelled at once, the lease settled once, and what came is counted.

use std::time::Duration;

use serde_json::{Value, json};

use super::script::{Step, chunk, end, head, stream_head};
use super::words::{begun, plain, preamble, whole};
use super::{ALL, Counted, INPUT, STATED, STREAMED, Stage};
use crate::support::Api;

/// The client's bound on its answer.
const MAX_TOKENS: u64 = 5000;

/// What is set aside of it while nothing is known of the answer.
const SET_ASIDE: u64 = 1024;

/// A provider whose keys have limits, so that it shows what is charged.
async fn stage(api: Api, provider: &'static str) -> Stage {
    Stage::with(api, provider, |setup| {
        let limits = json!({ "inputTokensPerMinute": 100_000, "outputTokensPerMinute": 100_000 });
        setup.every_key("rateLimit", &limits)
    })
    .await
}

impl Stage {
    fn bounded(&self, streamed: bool) -> Value {
        let mut body = self.body(streamed);
        body["max_tokens"] = MAX_TOKENS.into();
        body
    }

    /// Input and output tokens that the first key's meters were charged.
    async fn charged(&self) -> (u64, u64) {
        self.settled(1).await;
        let details = self.world.details(self.provider, &self.api.key(1)).await;
        let used = |dimension: &str| {
            let mut meters = details["meters"].as_array().unwrap().iter();
            let meter = meters.find(|meter| meter["dimension"] == dimension);
            meter.unwrap()["used"].as_u64().unwrap()
        };
        (used("inputTokensPerMinute"), used("outputTokensPerMinute"))
    }

    async fn assert_cancelled(&self) {
        self.upstream.sees(|seen| seen.left == 1).await;
        assert_eq!(self.blamed().await, (100, json!({ "cancelled": 1 })));
        assert_eq!(self.settled(1).await["requests"], 1);
        assert_eq!(self.settled(2).await["requests"], 0);
    }
}

/// Who stops when a client leaves, and who runs on; and the output that is charged at least.
const PROVIDERS: [(Api, &str, u64); 4] = [
    (Api::Messages, "anthropic", 0),
    (Api::Chat, "deepseek", 0),
    (Api::Chat, "groq", MAX_TOKENS),
    (Api::Chat, "mistral", MAX_TOKENS),
];

#[tokio::test]
async fn before_the_head_nothing_is_counted_and_what_was_set_aside_is_charged() {
    for (api, provider, owed) in PROVIDERS {
        for streamed in [false, true] {
            let stage = stage(api, provider).await;
            stage.plays(vec![Step::Silence]);
            let asked = stage.world.send(api, &stage.bounded(streamed));
            let asking = asked.spawn();
            stage.upstream.sees(|seen| seen.requests == 1).await;
            asking.abort();
            stage.assert_cancelled().await;
            assert_eq!(stage.counted().await, Counted::default());
            let (input, output) = stage.charged().await;
            assert!(input > 0);
            assert_eq!(output, owed.max(SET_ASIDE), "{provider}");
        }
    }
}

/// Leaves while the head of a stream is held back, once the gateway has had so many milliseconds to read
/// what came behind it. (Nothing tells when it has.)
async fn left_while_held_back(stage: &Stage, millis: u64) {
    let api = stage.api;
    stage.plays(vec![stream_head(), chunk(preamble(api)), Step::Wait]);
    let asked = stage.world.send(api, &stage.bounded(true));
    let asking = asked.spawn();
    stage.upstream.sees(|seen| seen.waiting == 1).await;
    tokio::time::sleep(Duration::from_millis(millis)).await;
    asking.abort();
    stage.assert_cancelled().await;
}

#[tokio::test]
async fn while_the_head_is_held_back_the_prompt_is_counted_as_stated() {
    let stated = Counted {
        output: 0,
        ..STATED
    };
    for millis in [20, 200, 2000] {
        let stage = stage(Api::Messages, "anthropic").await;
        left_while_held_back(&stage, millis).await;
        let (counted, charged) = (stage.counted().await, stage.charged().await);
        if (counted, charged) == (stated, (INPUT, 0)) {
            return;
        }
        assert_eq!(counted, Counted::default(), "it was not read yet");
    }
    panic!("what was stated is not counted");
}

#[tokio::test]
async fn while_the_head_is_held_back_those_who_run_on_are_charged_in_full() {
    for (api, provider, owed) in PROVIDERS {
        let stage = stage(api, provider).await;
        left_while_held_back(&stage, 0).await;
        let (_, output) = stage.charged().await;
        assert!(output >= owed, "{provider}: {output}");
    }
}

// acceptance 70
#[tokio::test]
async fn in_the_middle_what_came_is_counted_and_those_who_run_on_are_charged_in_full() {
    for (api, provider, owed) in PROVIDERS {
        let stage = stage(api, provider).await;
        stage.plays(vec![stream_head(), chunk(begun(api)), Step::Wait]);
        let asked = stage.world.send(api, &stage.bounded(true));
        let mut answer = asked.open().await;
        for _ in 0..3 {
            answer.event().await;
        }
        drop(answer);
        stage.assert_cancelled().await;
        let mut expected = stage.guess();
        if api == Api::Chat {
            // This body is longer by its bound.
            expected.input = stage.settled(1).await["tokens"]["input"].as_u64().unwrap();
            expected.guessed_input = expected.input;
        }
        assert_eq!(stage.counted().await, expected, "{provider}");
        let charged = (expected.input, expected.output.max(owed));
        assert_eq!(stage.charged().await, charged, "{provider}");
    }
}

#[tokio::test]
async fn an_answer_that_is_whole_is_counted_as_such_though_nobody_reads_it() {
    for api in STREAMED {
        let stage = stage(api, api.provider()).await;
        // Its upstream does not even close.
        stage.plays(vec![stream_head(), chunk(whole(api)), Step::Silence]);
        let mut answer = stage.open().await;
        answer.event().await;
        drop(answer);
        assert_eq!(stage.counted().await, STATED, "{api:?}");
        assert_eq!(stage.blamed().await, (100, json!({})));
        assert_eq!(stage.settled(1).await["successes"], 1);
    }
    for api in ALL {
        let stage = stage(api, api.provider()).await;
        let body = plain(api).to_string();
        stage.plays(vec![head("application/json", ""), chunk(body), end()]);
        let asked = stage.world.send(api, &stage.body(false));
        drop(asked.open().await);
        assert_eq!(stage.settled(1).await["successes"], 1, "{api:?}");
        assert_eq!(stage.counted().await.guessed_input, 0);
    }
}

#[tokio::test]
async fn a_plain_answer_in_the_making_is_cancelled() {
    for (api, provider, owed) in PROVIDERS {
        let stage = stage(api, provider).await;
        let body = plain(api).to_string();
        stage.plays(vec![
            head("application/json", ""),
            chunk(&body[..body.len() / 2]),
            Step::Wait,
        ]);
        let asked = stage.world.send(api, &stage.bounded(false));
        let asking = asked.spawn();
        stage.upstream.sees(|seen| seen.waiting == 1).await;
        asking.abort();
        stage.assert_cancelled().await;
        let (_, output) = stage.charged().await;
        assert_eq!(output, owed.max(SET_ASIDE), "{provider}");
    }
}
