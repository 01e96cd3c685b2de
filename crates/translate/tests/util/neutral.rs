//! Conversations and answers in no API's words, and a second opinion on how each API writes them:
//! these builders and readers share nothing with the crate.

use keypool_translate::Api;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

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
    pub text: String,
    pub calls: Vec<Call>,
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
        text(),
        calls(0..4),
        0..5000_u64,
        0..5000_u64,
        0..5000_u64,
        0..5000_u64,
    )
        .prop_map(|(text, calls, uncached, cached, said, reasoning)| Answer {
            text,
            calls,
            input: uncached + cached,
            cached,
            output: said + reasoning,
            reasoning,
        })
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
    let value = match api {
        Api::Messages => {
            let mut content = vec![json!({"type": "text", "text": answer.text})];
            content.extend(answer.calls.iter().map(|call| {
                json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
            }));
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": content,
                "stop_reason": if answer.calls.is_empty() { "end_turn" } else { "tool_use" },
                "usage": {
                    "input_tokens": answer.input - answer.cached,
                    "cache_read_input_tokens": answer.cached,
                    "output_tokens": answer.output,
                    "output_tokens_details": {"thinking_tokens": answer.reasoning},
                },
            })
        }
        Api::ChatCompletions => {
            let mut message = json!({"role": "assistant", "content": answer.text});
            if !answer.calls.is_empty() {
                message["tool_calls"] = chat_calls(&answer.calls);
            }
            json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{
                    "index": 0, "message": message,
                    "finish_reason": if answer.calls.is_empty() { "stop" } else { "tool_calls" },
                }],
                "usage": {
                    "prompt_tokens": answer.input,
                    "completion_tokens": answer.output,
                    "total_tokens": answer.input + answer.output,
                    "prompt_tokens_details": {"cached_tokens": answer.cached},
                    "completion_tokens_details": {"reasoning_tokens": answer.reasoning},
                },
            })
        }
    };
    value.to_string().into_bytes()
}

fn chat_calls(calls: &[Call]) -> Value {
    let call = |call: &Call| {
        let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
        json!({"id": call.id, "type": "function", "function": function})
    };
    calls.iter().map(call).collect()
}

fn read_chat_calls(message: &Value) -> Vec<Call> {
    let call = |call: &Value| Call {
        id: text_of(&call["id"]),
        name: text_of(&call["function"]["name"]),
        arguments: parsed(&call["function"]["arguments"]),
    };
    list(&message["tool_calls"]).iter().map(call).collect()
}

fn read_messages_calls(content: &Value) -> Vec<Call> {
    let calls = list(content)
        .iter()
        .filter(|block| block["type"] == "tool_use");
    let call = |block: &Value| Call {
        id: text_of(&block["id"]),
        name: text_of(&block["name"]),
        arguments: block["input"].clone(),
    };
    calls.map(call).collect()
}

/// The answer that a body holds.
pub fn read_answer(api: Api, body: &[u8]) -> Answer {
    let value: Value = serde_json::from_slice(body).unwrap();
    let usage = &value["usage"];
    match api {
        Api::Messages => {
            let cached = count(&usage["cache_read_input_tokens"]);
            Answer {
                text: joined(&value["content"], "text"),
                calls: read_messages_calls(&value["content"]),
                input: count(&usage["input_tokens"]) + cached,
                cached,
                output: count(&usage["output_tokens"]),
                reasoning: count(&usage["output_tokens_details"]["thinking_tokens"]),
            }
        }
        Api::ChatCompletions => {
            let message = &value["choices"][0]["message"];
            Answer {
                text: text_of(&message["content"]),
                calls: read_chat_calls(message),
                input: count(&usage["prompt_tokens"]),
                cached: count(&usage["prompt_tokens_details"]["cached_tokens"]),
                output: count(&usage["completion_tokens"]),
                reasoning: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
            }
        }
    }
}

/// The conversation's request in an API.
pub fn request_body(api: Api, talk: &Conversation) -> Vec<u8> {
    let results = || talk.calls.iter().zip(&talk.results);
    let value = match api {
        Api::Messages => {
            let mut assistant = vec![json!({"type": "text", "text": talk.answer})];
            assistant.extend(talk.calls.iter().map(|call| {
                json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
            }));
            let mut user: Vec<_> = results()
                .map(|(call, result)| {
                    json!({"type": "tool_result", "tool_use_id": call.id, "content": result})
                })
                .collect();
            user.push(json!({"type": "text", "text": talk.follow_up}));
            json!({
                "model": "m", "max_tokens": 1000, "system": talk.system,
                "messages": [
                    {"role": "user", "content": talk.question},
                    {"role": "assistant", "content": assistant},
                    {"role": "user", "content": user},
                ],
            })
        }
        Api::ChatCompletions => {
            let mut messages = vec![
                json!({"role": "system", "content": talk.system}),
                json!({"role": "user", "content": talk.question}),
                json!({
                    "role": "assistant", "content": talk.answer,
                    "tool_calls": chat_calls(&talk.calls),
                }),
            ];
            messages.extend(results().map(|(call, result)| {
                json!({"role": "tool", "tool_call_id": call.id, "content": result})
            }));
            messages.push(json!({"role": "user", "content": talk.follow_up}));
            json!({"model": "m", "max_completion_tokens": 1000, "messages": messages})
        }
    };
    value.to_string().into_bytes()
}

/// The conversation that a request holds.
pub fn read_request(api: Api, body: &[u8]) -> Conversation {
    let value: Value = serde_json::from_slice(body).unwrap();
    match api {
        Api::Messages => {
            let messages = list(&value["messages"]);
            let [question, answer, rest] = messages else {
                panic!("{messages:?}");
            };
            let of_type = |content: &Value, kind: &str| -> Vec<Value> {
                let content = list(content).iter();
                content
                    .filter(|block| block["type"] == kind)
                    .cloned()
                    .collect()
            };
            let results = of_type(&rest["content"], "tool_result");
            Conversation {
                system: joined(&value["system"], "text"),
                question: joined(&question["content"], "text"),
                answer: joined(&answer["content"], "text"),
                calls: read_messages_calls(&answer["content"]),
                results: results
                    .iter()
                    .map(|r| joined(&r["content"], "text"))
                    .collect(),
                follow_up: joined(&Value::Array(of_type(&rest["content"], "text")), "text"),
            }
        }
        Api::ChatCompletions => {
            let messages = list(&value["messages"]);
            let [system, question, answer, results @ .., follow_up] = messages else {
                panic!("{messages:?}");
            };
            Conversation {
                system: joined(&system["content"], "text"),
                question: joined(&question["content"], "text"),
                answer: joined(&answer["content"], "text"),
                calls: read_chat_calls(answer),
                results: results
                    .iter()
                    .map(|r| joined(&r["content"], "text"))
                    .collect(),
                follow_up: joined(&follow_up["content"], "text"),
            }
        }
    }
}

/// The answer as a stream, in pieces of a few characters.
pub fn stream_events(api: Api, answer: &Answer) -> Vec<Vec<u8>> {
    let pieces = |text: &str| -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        chars
            .chunks(5)
            .map(|piece| piece.iter().collect())
            .collect()
    };
    let mut events = Vec::new();
    match api {
        Api::Messages => {
            let message = json!({
                "id": "msg_1", "model": "m", "content": [],
                "usage": {
                    "input_tokens": answer.input - answer.cached,
                    "cache_read_input_tokens": answer.cached, "output_tokens": 1,
                },
            });
            events.push(json!({"type": "message_start", "message": message}));
            let mut block = |at: usize, start: Value, deltas: Vec<Value>| {
                events.push(
                    json!({"type": "content_block_start", "index": at, "content_block": start}),
                );
                for delta in deltas {
                    events
                        .push(json!({"type": "content_block_delta", "index": at, "delta": delta}));
                }
                events.push(json!({"type": "content_block_stop", "index": at}));
            };
            let text = |piece| json!({"type": "text_delta", "text": piece});
            let deltas = pieces(&answer.text).into_iter().map(text).collect();
            block(0, json!({"type": "text", "text": ""}), deltas);
            for (at, call) in answer.calls.iter().enumerate() {
                let json = |piece| json!({"type": "input_json_delta", "partial_json": piece});
                let deltas = pieces(&call.arguments.to_string())
                    .into_iter()
                    .map(json)
                    .collect();
                let start =
                    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
                block(at + 1, start, deltas);
            }
            let reason = if answer.calls.is_empty() {
                "end_turn"
            } else {
                "tool_use"
            };
            events.push(json!({
                "type": "message_delta", "delta": {"stop_reason": reason},
                "usage": {
                    "output_tokens": answer.output,
                    "output_tokens_details": {"thinking_tokens": answer.reasoning},
                },
            }));
            events.push(json!({"type": "message_stop"}));
        }
        Api::ChatCompletions => {
            let mut chunk = |delta: Value, reason: Value| {
                let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
                events.push(json!({"id": "c", "model": "m", "choices": [choice]}));
            };
            chunk(json!({"role": "assistant", "content": ""}), Value::Null);
            for piece in pieces(&answer.text) {
                chunk(json!({"content": piece}), Value::Null);
            }
            for (at, call) in answer.calls.iter().enumerate() {
                let function = json!({"name": call.name, "arguments": ""});
                let first =
                    json!({"index": at, "id": call.id, "type": "function", "function": function});
                chunk(json!({"tool_calls": [first]}), Value::Null);
                for piece in pieces(&call.arguments.to_string()) {
                    let more = json!({"index": at, "function": {"arguments": piece}});
                    chunk(json!({"tool_calls": [more]}), Value::Null);
                }
            }
            let reason = if answer.calls.is_empty() {
                "stop"
            } else {
                "tool_calls"
            };
            chunk(json!({}), json!(reason));
            let whole: Value = serde_json::from_slice(&answer_body(api, answer)).unwrap();
            events.push(json!({"id": "c", "model": "m", "choices": [], "usage": whole["usage"]}));
        }
    }
    let mut events: Vec<_> = events
        .iter()
        .map(|event| event.to_string().into_bytes())
        .collect();
    if api == Api::ChatCompletions {
        events.push(b"[DONE]".to_vec());
    }
    events
}

/// The answer that a stream holds. Panics where the API's order is not kept.
pub fn read_stream(api: Api, events: &[Vec<u8>]) -> Answer {
    match api {
        Api::Messages => read_messages_stream(events),
        Api::ChatCompletions => read_chat_stream(events),
    }
}

fn parse(event: &[u8]) -> Value {
    serde_json::from_slice(event)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(event)))
}

fn read_messages_stream(events: &[Vec<u8>]) -> Answer {
    let mut message = json!(null);
    let mut blocks: Vec<(Value, String, bool)> = Vec::new();
    let mut is_over = false;
    for event in events {
        let event = parse(event);
        assert!(!is_over, "{event} after the end");
        let at = usize::try_from(count(&event["index"])).unwrap();
        match event["type"].as_str().unwrap() {
            "message_start" => {
                assert!(message.is_null(), "a second start");
                message = event["message"].clone();
            }
            "content_block_start" => {
                assert!(blocks.iter().all(|block| block.2), "a block is still open");
                assert_eq!(at, blocks.len());
                blocks.push((event["content_block"].clone(), String::new(), false));
            }
            "content_block_delta" => {
                assert!(!blocks[at].2, "a delta of a closed block");
                for key in ["text", "partial_json"] {
                    blocks[at]
                        .1
                        .push_str(event["delta"][key].as_str().unwrap_or_default());
                }
            }
            "content_block_stop" => blocks[at].2 = true,
            "message_delta" => {
                for (key, value) in event["usage"].as_object().unwrap() {
                    message["usage"][key] = value.clone();
                }
            }
            "message_stop" => is_over = true,
            other => panic!("{other}"),
        }
    }
    assert!(is_over && blocks.iter().all(|block| block.2));
    for (block, text, _) in &mut blocks {
        match block["type"].as_str().unwrap() {
            "text" => block["text"] = json!(text),
            "tool_use" => block["input"] = parsed(&json!(text)),
            _ => {}
        }
    }
    message["content"] = blocks.into_iter().map(|block| block.0).collect();
    read_answer(Api::Messages, message.to_string().as_bytes())
}

fn read_chat_stream(events: &[Vec<u8>]) -> Answer {
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, b"[DONE]");
    let mut text = String::new();
    let mut calls: Vec<Value> = Vec::new();
    let mut usage = json!(null);
    let mut finished = false;
    for chunk in chunks {
        let chunk = parse(chunk);
        if !chunk["usage"].is_null() {
            assert!(finished && usage.is_null());
            usage = chunk["usage"].clone();
        }
        for choice in list(&chunk["choices"]) {
            assert!(!finished, "a choice after its end");
            text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
            for call in list(&choice["delta"]["tool_calls"]) {
                let at = usize::try_from(count(&call["index"])).unwrap();
                if at == calls.len() {
                    assert!(call["id"].is_string());
                    calls.push(call.clone());
                } else {
                    assert_eq!(at + 1, calls.len());
                    let more = call["function"]["arguments"].as_str().unwrap();
                    let so_far = text_of(&calls[at]["function"]["arguments"]);
                    calls[at]["function"]["arguments"] = json!(so_far + more);
                }
            }
            finished |= choice["finish_reason"].is_string();
        }
    }
    assert!(finished);
    let message = json!({"content": text, "tool_calls": calls});
    let whole = json!({"choices": [{"message": message}], "usage": usage});
    read_answer(Api::ChatCompletions, whole.to_string().as_bytes())
}
