//! Conversations and answers in no API's words, and a second opinion on how each API writes them:
//! these builders and readers share nothing with the crate.

mod chat;
mod gemini;
mod messages;
mod responses;

use keypool_translate::Api;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: Value,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Reasoning that is shown; may be empty.
    pub thoughts: String,
    pub text: String,
    pub calls: Vec<Call>,
    /// Whether it reached the most tokens that it may have; then it has no calls.
    pub is_cut: bool,
    pub input: u64,
    pub cached: u64,
    pub output: u64,
    pub reasoning: u64,
}

/// A conversation of one round with tools.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub system: String,
    pub question: String,
    pub answer: String,
    pub calls: Vec<Call>,
    /// One for each call.
    pub results: Vec<String>,
    pub follow_up: String,
}

fn text() -> impl Strategy<Value = String> {
    "[ -~äß漢🦀\n\t]{1,40}".prop_filter("blank texts are dropped by rule", |text| {
        !text.trim().is_empty()
    })
}

fn arguments() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[ -~é\n\"]{0,12}".prop_map(Value::from),
        Just(Value::Null),
        prop::collection::vec(any::<u32>(), 0..3).prop_map(Value::from),
    ];
    prop::collection::vec(("[a-z_\"]{1,8}", scalar), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

fn calls(range: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Call>> {
    let call = (
        "[A-Za-z0-9_-]{1,12}",
        "[a-zA-Z_][a-zA-Z0-9_]{0,12}",
        arguments(),
    );
    prop::collection::vec(call, range).prop_map(|calls| {
        let number = |(at, (id, name, arguments)): (usize, (String, String, Value))| Call {
            id: format!("{id}{at}"),
            name,
            arguments,
        };
        calls.into_iter().enumerate().map(number).collect()
    })
}

pub fn answers() -> impl Strategy<Value = Answer> {
    (
        prop_oneof![Just(String::new()), text()],
        text(),
        calls(0..4),
        any::<bool>(),
        0..5000_u64,
        0..5000_u64,
        0..5000_u64,
        0..5000_u64,
    )
        .prop_map(
            |(thoughts, text, calls, may_be_cut, uncached, cached, said, reasoning)| Answer {
                thoughts,
                text,
                is_cut: may_be_cut && calls.is_empty(),
                calls,
                input: uncached + cached,
                cached,
                output: said + reasoning,
                reasoning,
            },
        )
}

pub fn conversations() -> impl Strategy<Value = Conversation> {
    (text(), text(), text(), calls(1..4), text(), text()).prop_map(
        |(system, question, answer, calls, result, follow_up)| Conversation {
            system,
            question,
            answer,
            results: (0..calls.len()).map(|at| format!("{result}{at}")).collect(),
            calls,
            follow_up,
        },
    )
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn parsed(value: &Value) -> Value {
    serde_json::from_str(value.as_str().unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Texts of content, which may be a string.
fn joined(content: &Value, key: &str) -> String {
    match content {
        Value::String(text) => text.clone(),
        content => list(content)
            .iter()
            .map(|part| text_of(&part[key]))
            .collect(),
    }
}

/// The answer's body in an API.
pub fn answer_body(api: Api, answer: &Answer) -> Vec<u8> {
    let body = match api {
        Api::Messages => messages::answer(answer),
        Api::ChatCompletions => chat::answer(answer),
        Api::Responses => responses::answer(answer),
        Api::GenerateContent => gemini::answer(answer),
    };
    body.to_string().into_bytes()
}

/// The answer that a body holds.
pub fn read_answer(api: Api, body: &[u8]) -> Answer {
    let body = parse(body);
    match api {
        Api::Messages => messages::read_answer(&body),
        Api::ChatCompletions => chat::read_answer(&body),
        Api::Responses => responses::read_answer(&body),
        Api::GenerateContent => gemini::read_answer(&body),
    }
}

/// The conversation's request in an API.
pub fn request_body(api: Api, talk: &Conversation) -> Vec<u8> {
    let body = match api {
        Api::Messages => messages::request(talk),
        Api::ChatCompletions => chat::request(talk),
        Api::Responses => responses::request(talk),
        Api::GenerateContent => gemini::request(talk),
    };
    body.to_string().into_bytes()
}

/// The conversation that a request holds.
pub fn read_request(api: Api, body: &[u8]) -> Conversation {
    let body = parse(body);
    match api {
        Api::Messages => messages::read_request(&body),
        Api::ChatCompletions => chat::read_request(&body),
        Api::Responses => responses::read_request(&body),
        Api::GenerateContent => gemini::read_request(&body),
    }
}

/// The answer as a stream, in pieces of a few characters.
pub fn stream_events(api: Api, answer: &Answer) -> Vec<Vec<u8>> {
    match api {
        Api::Messages => messages::stream(answer),
        Api::ChatCompletions => chat::stream(answer),
        Api::Responses => responses::stream(answer),
        Api::GenerateContent => gemini::stream(answer),
    }
}

/// The answer that a stream holds. Panics where the API's order is not kept.
pub fn read_stream(api: Api, events: &[Vec<u8>]) -> Answer {
    match api {
        Api::Messages => messages::read_stream(events),
        Api::ChatCompletions => chat::read_stream(events),
        Api::Responses => responses::read_stream(events),
        Api::GenerateContent => gemini::read_stream(events),
    }
}

fn bytes(events: &[Value]) -> Vec<Vec<u8>> {
    let bytes = |event: &Value| event.to_string().into_bytes();
    events.iter().map(bytes).collect()
}

/// A text in pieces of five characters.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(5)
        .map(|piece| piece.iter().collect())
        .collect()
}

fn parse(event: &[u8]) -> Value {
    serde_json::from_slice(event)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(event)))
}
