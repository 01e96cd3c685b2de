//! Clients of one API served by providers of another: what the provider gets, what the client gets back,
//! and what is counted. Same APIs are proved untouched in [`crate::relay`].

mod answers;
mod breaks;
mod counting;
mod embeddings;
mod requests;
mod tools;

use serde_json::{Value, json};

use crate::support::{Answer, Api, Call, Event, Setup, World, openai_key};

/// A client's API, and the one in which a provider is asked.
#[derive(Clone, Copy, Debug)]
struct Pair {
    client: Api,
    provider: Api,
    /// The provider's configured name.
    name: &'static str,
    /// Where its keys begin in the simulator's count.
    keys_after: usize,
}

const PAIRS: [Pair; 9] = [
    Pair::of(Api::Messages, Api::Chat),
    Pair::of(Api::Chat, Api::Messages),
    Pair::of(Api::Responses, Api::Messages),
    // It has no Responses API, though it speaks the client's dialect.
    Pair {
        client: Api::Responses,
        provider: Api::Chat,
        name: "deepseek",
        keys_after: 2,
    },
    Pair::of(Api::Messages, Api::Gemini),
    Pair::of(Api::Chat, Api::Gemini),
    Pair::of(Api::Responses, Api::Gemini),
    Pair::of(Api::Gemini, Api::Messages),
    Pair::of(Api::Gemini, Api::Chat),
];

impl Pair {
    const fn of(client: Api, provider: Api) -> Self {
        let name = match provider {
            Api::Messages => "anthropic",
            Api::Chat | Api::Responses | Api::Embeddings => "openai",
            Api::Gemini => "gemini",
        };
        Self {
            client,
            provider,
            name,
            keys_after: 0,
        }
    }

    /// All providers, with so many keys each, of which two at most.
    fn setup(keys: usize) -> Setup {
        let others: Vec<Value> = (1..=keys)
            .map(|number| json!({ "key": openai_key(number + 2) }))
            .collect();
        Setup::all(keys)
            .with_sim_keys("openai", keys + 2)
            .set("/ApiKeyPool/providers/deepseek/keys", others)
    }

    /// A gateway before all providers, one key each.
    async fn world() -> World {
        Self::setup(1).without_waiting().start().await
    }

    /// The smallest request of the client's for the other provider.
    fn body(self) -> Value {
        let mut body = self.client.body();
        body["model"] = self.model().into();
        body
    }

    fn streamed(self) -> Value {
        let mut body = self.body();
        body["stream"] = true.into();
        body
    }

    fn post(self, world: &World, body: &Value) -> Call {
        world.send(self.client, body)
    }

    /// The model in the form that leads to the provider.
    fn model(self) -> String {
        format!("{},{}", self.name, self.provider.model())
    }

    /// The provider's first key.
    fn key(self) -> String {
        self.key_number(1)
    }

    fn key_number(self, number: usize) -> String {
        self.provider.key(number + self.keys_after)
    }

    /// What the answer's header says where nothing was lost.
    fn told(self) -> String {
        format!("{} to {}", name(self.client), name(self.provider))
    }

    /// Tokens that were counted with the provider's key: input and output.
    async fn counted(self, world: &World) -> (u64, u64) {
        let details = world.details(self.name, &self.key()).await;
        let tokens = &details["metrics"]["tokens"];
        let number = |name: &str| tokens[name].as_u64().unwrap();
        (number("input"), number("output"))
    }
}

fn name(api: Api) -> &'static str {
    match api {
        Api::Messages => "Anthropic Messages",
        Api::Chat => "OpenAI Chat Completions",
        Api::Responses => "OpenAI Responses",
        Api::Gemini => "Gemini generateContent",
        Api::Embeddings => unreachable!("no model answers"),
    }
}

/// The text of a plain answer.
#[track_caller]
fn text_of(api: Api, answer: &Answer) -> String {
    let body = answer.json();
    let text = match api {
        Api::Messages => &body["content"][0]["text"],
        Api::Chat => &body["choices"][0]["message"]["content"],
        Api::Responses => &body["output"][0]["content"][0]["text"],
        Api::Gemini => &body["candidates"][0]["content"]["parts"][0]["text"],
        Api::Embeddings => unreachable!("no model answers"),
    };
    text.as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

/// The tokens that an answer, or an event of it, states: input and output.
fn usage_of(api: Api, body: &Value) -> (u64, u64) {
    if api == Api::Gemini {
        let names = ["promptTokenCount", "candidatesTokenCount"];
        let [input, output] = names.map(|name| body["usageMetadata"][name].as_u64());
        return (input.unwrap_or_default(), output.unwrap_or_default());
    }
    let names = match api {
        Api::Messages | Api::Responses => ["input_tokens", "output_tokens"],
        Api::Chat | Api::Embeddings | Api::Gemini => ["prompt_tokens", "completion_tokens"],
    };
    let [input, output] = names.map(|name| body["usage"][name].as_u64().unwrap_or_default());
    (input, output)
}

/// The text in an event; empty in all others.
fn piece_of(api: Api, event: &Event) -> String {
    let body = event.json();
    let text = match api {
        Api::Messages => &body["delta"]["text"],
        Api::Chat => &body["choices"][0]["delta"]["content"],
        Api::Responses if event.name == "response.output_text.delta" => &body["delta"],
        Api::Responses => &Value::Null,
        Api::Gemini => &body["candidates"][0]["content"]["parts"][0]["text"],
        Api::Embeddings => unreachable!("no model answers"),
    };
    text.as_str().unwrap_or_default().to_owned()
}

/// The text of a stream so far.
fn text_in(api: Api, events: &[Event]) -> String {
    events.iter().map(|event| piece_of(api, event)).collect()
}

/// Whether an event ends a whole stream.
fn is_end(api: Api, event: &Event) -> bool {
    if api == Api::Gemini {
        return event.json()["candidates"][0]["finishReason"].is_string();
    }
    event.name == api.last_event() || event.data == api.last_event()
}

/// Whether an event is the API's error.
fn is_error(api: Api, event: &Event) -> bool {
    match api {
        Api::Messages => event.name == "error" && event.json()["type"] == "error",
        Api::Chat | Api::Gemini => event.json()["error"]["message"].is_string(),
        Api::Responses => matches!(event.name.as_str(), "error" | "response.failed"),
        Api::Embeddings => unreachable!("it has no streams"),
    }
}

/// The body in which the provider got the last request.
fn sent(world: &World) -> Value {
    let request = world.received().pop().expect("a request");
    serde_json::from_slice(&request.body).unwrap()
}

/// One function, as each API describes it.
fn with_tool(api: Api, mut body: Value) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    body["tools"] = match api {
        Api::Messages => json!([{"name": "weather", "input_schema": schema}]),
        Api::Chat => {
            json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}])
        }
        Api::Responses => json!([{"type": "function", "name": "weather", "parameters": schema}]),
        Api::Gemini => {
            json!([{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": schema}]}])
        }
        Api::Embeddings => unreachable!("no model answers"),
    };
    body
}
