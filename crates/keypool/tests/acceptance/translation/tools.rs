//! Calls of tools, there and back.

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};

use super::{PAIRS, Pair, is_end, sent, with_tool};
use crate::support::{Answer, Api, Event};

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
        Api::Gemini => call_chunk(),
        Api::Responses | Api::Embeddings => unreachable!("no provider is asked so"),
    }
}

/// Gemini never cuts a call into pieces.
fn call_chunk() -> Value {
    let call = json!({"id": "call_1", "name": "weather", "args": {"city": "Rome"}});
    let content =
        json!({"role": "model", "parts": [{"functionCall": call, "thoughtSignature": SIGNATURE}]});
    json!({"candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}})
}

/// What Gemini seals its reasoning with: base64.
const SIGNATURE: &str = "c2VhbGVk";

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
        Api::Gemini => format!("data: {}\r\n\r\n", call_chunk()),
        Api::Responses | Api::Embeddings => unreachable!("no provider is asked so"),
    }
}

/// The one of this type; sealed reasoning may come before it.
#[track_caller]
fn of_type<'v>(list: &'v Value, kind: &str) -> &'v Value {
    let mut items = list.as_array().unwrap().iter();
    items
        .find(|item| item["type"] == kind)
        .unwrap_or_else(|| panic!("no {kind} in {list}"))
}

/// Id, name and arguments of the call in a plain answer.
fn called(api: Api, answer: &Answer) -> (Value, Value, Value) {
    let body = answer.json();
    let arguments = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
    match api {
        Api::Messages => {
            assert_eq!(body["stop_reason"], "tool_use", "{body}");
            let call = of_type(&body["content"], "tool_use");
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
            let call = of_type(&body["output"], "function_call");
            let arguments = arguments(&call["arguments"]);
            (call["call_id"].clone(), call["name"].clone(), arguments)
        }
        Api::Gemini => {
            assert_eq!(body["candidates"][0]["finishReason"], "STOP", "{body}");
            let call = &body["candidates"][0]["content"]["parts"][0]["functionCall"];
            (
                call["id"].clone(),
                call["name"].clone(),
                call["args"].clone(),
            )
        }
        Api::Embeddings => unreachable!("no model answers"),
    }
}

/// The pieces of a streamed call's arguments, put together.
fn streamed_arguments(api: Api, answer: &Answer) -> Value {
    let events = answer.events();
    assert!(is_end(api, events.last().unwrap()), "{}", answer.text());
    if api == Api::Gemini {
        let mut bodies = events.iter().map(Event::json);
        let call = |body: &Value| {
            body.pointer("/candidates/0/content/parts/0/functionCall/args")
                .cloned()
        };
        return bodies.find_map(|body| call(&body)).unwrap();
    }
    let pieces = events.iter().map(|event| {
        let body = event.json();
        let piece = match api {
            Api::Messages => &body["delta"]["partial_json"],
            Api::Chat => &body["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"],
            Api::Responses if event.name == "response.function_call_arguments.delta" => {
                &body["delta"]
            }
            Api::Responses | Api::Gemini => &Value::Null,
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
            Api::Gemini => &tool["functionDeclarations"][0]["name"],
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

/// The provider's call of the tool by another name.
fn call_by(name: &str, api: Api, streamed: bool) -> FaultWindow {
    let Fault::Verbatim {
        status,
        headers,
        body,
    } = call(api, streamed)
    else {
        unreachable!("it is word for word")
    };
    let body = body.replace("\"weather\"", &format!("\"{name}\""));
    let fault = Fault::Verbatim {
        status,
        headers,
        body,
    };
    FaultWindow::next(1, fault)
}

#[tokio::test]
async fn a_function_in_a_namespace_is_called_there_though_the_provider_knows_no_namespaces() {
    for pair in PAIRS.iter().filter(|pair| pair.client == Api::Responses) {
        let world = Pair::world().await;
        let mut body = with_tool(pair.client, pair.body());
        let functions = body["tools"].take();
        body["tools"] = json!([
            functions[0],
            {"type": "namespace", "name": "forecast", "description": "", "tools": functions},
        ]);
        for streamed in [false, true] {
            world.fault(
                &pair.key(),
                call_by("forecast__weather", pair.provider, streamed),
            );
            body["stream"] = streamed.into();
            let answer = pair.post(&world, &body).await;
            answer.assert_ok();
            let sent = sent(&world)["tools"].to_string();
            assert!(
                sent.contains("\"weather\"") && sent.contains("\"forecast__weather\""),
                "{pair:?}: {sent}"
            );
            let items: Vec<Value> = if streamed {
                let events: Vec<Value> = answer.events().iter().map(Event::json).collect();
                let whole = events.last().unwrap()["response"]["output"].clone();
                let items = events.iter().map(|event| event["item"].clone());
                let calls = items.filter(|item| item["type"] == "function_call");
                calls
                    .chain([of_type(&whole, "function_call").clone()])
                    .collect()
            } else {
                vec![of_type(&answer.json()["output"], "function_call").clone()]
            };
            assert_eq!(items.len(), if streamed { 3 } else { 1 }, "{pair:?}");
            for item in items {
                let called = (&item["namespace"], &item["name"]);
                assert_eq!(called, (&json!("forecast"), &json!("weather")), "{pair:?}");
            }
        }
        let call = json!({"type": "function_call", "call_id": "call_1", "namespace": "forecast",
            "name": "weather", "arguments": "{}"});
        let result = json!({"type": "function_call_output", "call_id": "call_1", "output": "Sun"});
        body["input"] = json!([{"role": "user", "content": "Weather?"}, call, result]);
        pair.post(&world, &body).await.assert_ok();
        let mut sent = sent(&world);
        sent["tools"].take();
        assert!(sent.to_string().contains("\"forecast__weather\""), "{sent}");
    }
}

#[tokio::test]
async fn what_gemini_seals_of_its_reasoning_comes_back_to_it_through_the_other_apis() {
    let world = Pair::world().await;
    let pair = Pair::of(Api::Messages, Api::Gemini);
    world.fault(&pair.key(), FaultWindow::next(1, call(Api::Gemini, false)));
    let mut body = with_tool(Api::Messages, pair.body());
    let answer = pair.post(&world, &body).await;
    answer.assert_ok();
    let result = json!({"type": "tool_result", "tool_use_id": "call_1", "content": "Sunny."});
    body["messages"] = json!([
        body["messages"][0],
        {"role": "assistant", "content": answer.json()["content"]},
        {"role": "user", "content": [result]},
    ]);
    pair.post(&world, &body).await.assert_ok();
    let sent_back = sent(&world);
    assert_eq!(
        sent_back["contents"][1]["parts"][0]["thoughtSignature"],
        SIGNATURE
    );
    assert_eq!(
        sent_back["contents"][2]["parts"][0]["functionResponse"]["name"],
        "weather"
    );
    // The client's own API never sees it.
    body["model"] = format!("anthropic,{}", Api::Messages.model()).into();
    world.send(Api::Messages, &body).await.assert_ok();
    assert!(!sent(&world).to_string().contains(SIGNATURE));
}
