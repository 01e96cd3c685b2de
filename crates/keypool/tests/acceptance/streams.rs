//! Streams and plain answers that break, stall, lie or come in odd shapes, word by word: what the client
//! gets, whom it is blamed on, and what is counted, to the token.

mod clocks;
mod cut;
mod encoded;
mod failed;
mod garbage;
mod leaving;
mod plain;
mod script;
mod words;

use keypool_wire::Endpoint;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Event, OpenAnswer, Setup, World, eventually, mask, put};
use script::{Step, Upstream, chunk, end, stream_head};
use words::{CACHED, GUESSED_OUTPUT, INPUT, OUTPUT};

/// All APIs for which models answer.
const ALL: [Api; 5] = [
    Api::Messages,
    Api::Chat,
    Api::Responses,
    Api::Embeddings,
    Api::Gemini,
];

/// Those that can answer as a stream.
const STREAMED: [Api; 4] = [Api::Messages, Api::Chat, Api::Responses, Api::Gemini];

/// A gateway before an upstream that plays scripts.
struct Stage {
    world: World,
    upstream: Upstream,
    provider: &'static str,
    api: Api,
}

/// Tokens that are counted of a key: input, from the cache, output; and of input and output those that
/// are guesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    input: u64,
    cached: u64,
    output: u64,
    guessed_input: u64,
    guessed_output: u64,
}

/// What the provider states of a whole answer.
const STATED: Counted = Counted {
    input: INPUT,
    cached: CACHED,
    output: OUTPUT,
    guessed_input: 0,
    guessed_output: 0,
};

impl Stage {
    /// Two keys of the provider whose API it is, used in order.
    async fn of(api: Api) -> Self {
        Self::with(api, api.provider(), |setup| setup).await
    }

    /// Two keys of some provider, and a changed configuration.
    async fn with(api: Api, provider: &'static str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::start().await;
        let keys = [1, 2].map(|number| json!({ "key": api.key(number) }));
        let base_url = match api {
            Api::Messages => upstream.url().to_owned(),
            Api::Chat | Api::Responses | Api::Embeddings => format!("{}/v1", upstream.url()),
            Api::Gemini => format!("{}/v1beta", upstream.url()),
        };
        let mut config = json!({ "ApiKeyPool": { "enabled": true, "strategy": "fill-first" } });
        let of_provider = json!({ "keys": keys, "baseUrl": base_url });
        put(
            &mut config,
            &format!("/ApiKeyPool/providers/{provider}"),
            of_provider,
        );
        let setup = change(Setup::empty().with_config(config));
        // Its clock stands still: limits refill in no time.
        let (world, _) = setup.start_with_manual_clock().await;
        Self {
            world,
            upstream,
            provider,
            api,
        }
    }

    /// What requests with the first key are answered from now on; those with the second get `whole`.
    fn plays(&self, steps: Vec<Step>) {
        self.upstream.plays(&self.api.key(1), steps);
    }

    /// The second key's answer is whole.
    fn second_is_sound(&self) {
        let sound = vec![stream_head(), chunk(words::whole(self.api)), end()];
        self.upstream.plays(&self.api.key(2), sound);
    }

    fn body(&self, streamed: bool) -> Value {
        let mut body = self.api.body();
        body["model"] = format!("{},{}", self.provider, self.api.model()).into();
        if streamed {
            body["stream"] = true.into();
        }
        body
    }

    /// Asks for a stream and reads what comes first.
    async fn open(&self) -> OpenAnswer {
        let asked = self.world.send(self.api, &self.body(true));
        asked.open().await
    }

    /// Asks for a stream, which may end as it will.
    async fn stream(&self) -> (Vec<u8>, bool) {
        let ending = self.open().await.ending().await;
        (ending.body.to_vec(), ending.broken)
    }

    /// Asks for a plain answer.
    async fn ask(&self) -> Answer {
        self.world.send(self.api, &self.body(false)).await
    }

    /// The counters of the `number`-th key, once nothing is in flight with it.
    async fn settled(&self, number: usize) -> Value {
        let secret = self.api.key(number);
        eventually("the lease is settled", async || {
            let metrics = self.world.details(self.provider, &secret).await["metrics"].take();
            (metrics["inFlight"] == 0).then_some(metrics)
        })
        .await
    }

    /// What was counted with the first key, once nothing is in flight with it.
    async fn counted(&self) -> Counted {
        let tokens = self.settled(1).await["tokens"].take();
        let number = |name: &str| tokens[name].as_u64().unwrap();
        let guessed = async |kind: &str| {
            let labels = format!(
                "provider=\"{}\",key=\"{}\"",
                self.provider,
                mask(&self.api.key(1))
            );
            let series = format!("keypool_tokens_estimated_total{{{labels},kind=\"{kind}\"}}");
            let guessed = self.world.metric(&series).await.expect("the series");
            format!("{guessed}").parse().unwrap()
        };
        Counted {
            input: number("input"),
            cached: number("cacheRead"),
            output: number("output"),
            guessed_input: guessed("input").await,
            guessed_output: guessed("output").await,
        }
    }

    /// The score of the first key, and how often it is blamed for what.
    async fn blamed(&self) -> (u64, Value) {
        let classes = self.settled(1).await["errorsByClass"].take();
        let blamed = classes.as_object().unwrap().iter();
        let blamed = blamed.filter(|(_, count)| **count != 0);
        let blamed = blamed.map(|(class, count)| (class.clone(), count.clone()));
        (self.world.score(&self.api.key(1)).await, blamed.collect())
    }

    /// The prompt's tokens, as they are estimated from the request.
    fn estimated_input(&self) -> u64 {
        let endpoint = match self.api {
            Api::Messages => Endpoint::Messages,
            Api::Chat => Endpoint::ChatCompletions,
            Api::Responses => Endpoint::Responses,
            Api::Embeddings => Endpoint::Embeddings,
            Api::Gemini => Endpoint::GenerateContent,
        };
        let body = self.body(true).to_string();
        keypool_wire::peek(endpoint, body.as_bytes())
            .unwrap()
            .input_tokens
    }

    /// What is counted of an answer that broke off after its text: what the provider has stated by then,
    /// and guesses.
    fn guess(&self) -> Counted {
        match self.api {
            Api::Messages | Api::Gemini => Counted {
                output: GUESSED_OUTPUT,
                guessed_output: GUESSED_OUTPUT,
                ..STATED
            },
            Api::Chat | Api::Responses | Api::Embeddings => Counted {
                input: self.estimated_input(),
                cached: 0,
                output: GUESSED_OUTPUT,
                guessed_input: self.estimated_input(),
                guessed_output: GUESSED_OUTPUT,
            },
        }
    }
}

/// The text of a stream that begins as it came and goes on with an error of keypool's own, which is its
/// end: its code.
#[track_caller]
fn own_error(api: Api, stream: &[u8], begins: &str) -> String {
    let text = str::from_utf8(stream).unwrap();
    let rest = text
        .strip_prefix(begins)
        .unwrap_or_else(|| panic!("{text}"));
    let [event] = <[Event; 1]>::try_from(crate::support::events(rest.as_bytes())).expect(rest);
    let body = event.json();
    match api {
        Api::Responses => {
            assert_eq!(
                (event.name.as_str(), &body["type"]),
                ("error", &json!("error"))
            );
            body["code"].as_str().unwrap().to_owned()
        }
        Api::Messages | Api::Chat | Api::Embeddings | Api::Gemini => {
            let name = if api == Api::Messages { "error" } else { "" };
            assert_eq!(event.name, name);
            api.error_code_in(&body)
        }
    }
}
