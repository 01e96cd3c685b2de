//! Calls of tools, there and back.

use keypool_sim::Fault;
use serde_json::{Value, json};

use super::{PAIRS, Pair, is_end, sent, with_tool};
use crate::support::{Answer, Api};

/// An answer of the provider's that calls the tool, plain or streamed.
fn call(api: Api, streamed: bool) -> Fault {
    let body = if streamed {
        streamed_call(api)
    } else {
        plain_call(api).to_string()
    };
    let content_type = if streamed {
        "text/event-stream"
    } else {
        "application/json"
    };
    Fault::Verbatim {
        status: 200,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body,
    }
}

fn plain_call(api: Api) -> Value {
    match api {
        Api::Messages => {
            let call = json!({"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}});
            json!({"id": "msg_1", "type": "message", "role": "assistant", "model": api.model(),
                "content": [call], "stop_reason": "tool_use", "stop_sequence": null,
                "usage": {"input_tokens": 9, "output_tokens": 5}})
        }
        Api::Chat => {
            let call = json!({"id": "call_1", "type": "function",
                "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}});
            let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": api.model(),
                "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}})
        }
        Api::Responses | Api::Embeddings => unreachable!("no provider is asked so"),
    }
}

/// The same as a stream, the arguments in two pieces.
fn streamed_call(api: Api) -> String {
    match api {
        Api::Messages => {
            let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": api.model(),
                "content": [], "stop_reason": null, "usage": {"input_tokens": 9, "output_tokens": 1}});
            let block = json!({"type": "tool_use", "id": "call_1", "name": "weather", "input": {}});
            let piece = |json: &str| {
                json!({"type": "content_block_delta", "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": json}})
            };
            let events = [
                json!({"type": "message_start", "message": message}),
                json!({"type": "content_block_start", "index": 0, "content_block": block}),
                piece("{\"city\":"),
                piece(" \"Rome\"}"),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
                    "usage": {"output_tokens": 5}}),
                json!({"type": "message_stop"}),
            ];
            let named = |event: &Value| {
                format!(
                    "event: {}\ndata: {event}\n\n",
                    event["type"].as_str().unwrap()
                )
            };
            events.iter().map(named).collect()
        }
        Api::Chat => {
            let chunk = |delta: Value, reason: Value| {
                let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
                let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                    "model": api.model(), "choices": [choice]});
                format!("data: {chunk}\n\n")
            };
            let call = |call: Value| chunk(json!({ "tool_calls": [call] }), Value::Null);
            [
                call(json!({"index": 0, "id": "call_1", "type": "function",
                    "function": {"name": "weather", "arguments": ""}})),
                call(json!({"index": 0, "function": {"arguments": "{\"city\":"}})),
                call(json!({"index": 0, "function": {"arguments": " \"Rome\"}"}})),
                chunk(json!({}), "tool_calls".into()),
                "data: [DONE]\n\n".to_owned(),
            ]
            .concat()
        }
        Api::Responses | Api::Embeddings => unreachable!("no provider is asked so"),
    }
}

/// Id, name and arguments of the call in a plain answer.
fn called(api: Api, answer: &Answer) -> (Value, Value, Value) {
    let body = answer.json();
    let arguments = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
    match api {
        Api::Messages => {
            assert_eq!(body["stop_reason"], "tool_use", "{body}");
            let call = &body["content"][0];
            (
                call["id"].clone(),
                call["name"].clone(),
                call["input"].clone(),
            )
        }
        Api::Chat => {
            assert_eq!(body["choices"][0]["finish_reason"], "tool_calls", "{body}");
            let call = &body["choices"][0]["message"]["tool_calls"][0];
            let function = &call["function"];
            let arguments = arguments(&function["arguments"]);
            (call["id"].clone(), function["name"].clone(), arguments)
        }
        Api::Responses => {
            let call = &body["output"][0];
            assert_eq!(call["type"], "function_call", "{body}");
            let arguments = arguments(&call["arguments"]);
            (call["call_id"].clone(), call["name"].clone(), arguments)
        }
        Api::Embeddings => unreachable!("no model answers"),
    }
}

/// The pieces of a streamed call's arguments, put together.
fn streamed_arguments(api: Api, answer: &Answer) -> Value {
    let events = answer.events();
    assert!(is_end(api, events.last().unwrap()), "{}", answer.text());
    let pieces = events.iter().map(|event| {
        let body = event.json();
        let piece = match api {
            Api::Messages => &body["delta"]["partial_json"],
            Api::Chat => &body["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"],
            Api::Responses if event.name == "response.function_call_arguments.delta" => {
                &body["delta"]
            }
            Api::Responses => &Value::Null,
            Api::Embeddings => unreachable!("no model answers"),
        };
        piece.as_str().unwrap_or_default().to_owned()
    });
    serde_json::from_str(&pieces.collect::<String>()).unwrap()
}

#[tokio::test]
async fn a_tool_is_offered_and_called_in_each_ones_own_words() {
    for pair in PAIRS {
        let world = Pair::world().await;
        world.fault(&pair.key(), call(pair.provider, false));
        let answer = pair
            .post(&world, &with_tool(pair.client, pair.body()))
            .await;
        answer.assert_ok();
        let wanted = (json!("call_1"), json!("weather"), json!({"city": "Rome"}));
        assert_eq!(called(pair.client, &answer), wanted, "{pair:?}");
        let tool = &sent(&world)["tools"][0];
        let name = match pair.provider {
            Api::Messages => &tool["name"],
            _ => &tool["function"]["name"],
        };
        assert_eq!(name, "weather", "{pair:?}: {tool}");
        assert_eq!(pair.counted(&world).await, (9, 5), "{pair:?}");
    }
}

#[tokio::test]
async fn a_streamed_call_of_a_tool_arrives_whole() {
    for pair in PAIRS {
        let world = Pair::world().await;
        world.fault(&pair.key(), call(pair.provider, true));
        let answer = pair
            .post(&world, &with_tool(pair.client, pair.streamed()))
            .await;
        answer.assert_ok();
        let arguments = streamed_arguments(pair.client, &answer);
        assert_eq!(arguments, json!({"city": "Rome"}), "{pair:?}");
    }
}
