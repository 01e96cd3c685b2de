//! Anthropic's Messages, for the second opinion.

use serde_json::{Value, json};

use super::{
    Answer, Call, Conversation, bytes, count, joined, list, parse, parsed, pieces, text_of,
};

pub fn answer(answer: &Answer) -> Value {
    let mut content = Vec::new();
    if !answer.thoughts.is_empty() {
        content.push(json!({
            "type": "thinking", "thinking": answer.thoughts, "signature": "EqQB",
        }));
    }
    content.push(json!({"type": "text", "text": answer.text}));
    content.extend(answer.calls.iter().map(|call| {
        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
    }));
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": content,
        "stop_reason": reason(answer.is_cut, &answer.calls),
        "usage": {
            "input_tokens": answer.input - answer.cached,
            "cache_read_input_tokens": answer.cached,
            "output_tokens": answer.output,
            "output_tokens_details": {"thinking_tokens": answer.reasoning},
        },
    })
}

fn reason(is_cut: bool, calls: &[Call]) -> &'static str {
    match (is_cut, calls) {
        (true, _) => "max_tokens",
        (false, []) => "end_turn",
        (false, _) => "tool_use",
    }
}

pub fn read_answer(value: &Value) -> Answer {
    let usage = &value["usage"];
    let is_cut = value["stop_reason"] == "max_tokens";
    let calls = read_calls(&value["content"]);
    assert_eq!(value["stop_reason"], reason(is_cut, &calls));
    let cached = count(&usage["cache_read_input_tokens"]);
    Answer {
        thoughts: joined(&value["content"], "thinking"),
        text: joined(&value["content"], "text"),
        calls,
        is_cut,
        input: count(&usage["input_tokens"]) + cached,
        cached,
        output: count(&usage["output_tokens"]),
        reasoning: count(&usage["output_tokens_details"]["thinking_tokens"]),
    }
}

pub fn request(talk: &Conversation) -> Value {
    let results = || talk.calls.iter().zip(&talk.results);
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

pub fn read_request(value: &Value) -> Conversation {
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
        calls: read_calls(&answer["content"]),
        results: results
            .iter()
            .map(|r| joined(&r["content"], "text"))
            .collect(),
        follow_up: joined(&Value::Array(of_type(&rest["content"], "text")), "text"),
    }
}

pub fn stream(answer: &Answer) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let message = json!({
        "id": "msg_1", "model": "m", "content": [],
        "usage": {
            "input_tokens": answer.input - answer.cached,
            "cache_read_input_tokens": answer.cached, "output_tokens": 1,
        },
    });
    events.push(json!({"type": "message_start", "message": message}));
    let mut at = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        events.push(json!({"type": "content_block_start", "index": at, "content_block": start}));
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": at, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": at}));
        at += 1;
    };
    if !answer.thoughts.is_empty() {
        let thought = |piece| json!({"type": "thinking_delta", "thinking": piece});
        let mut deltas: Vec<_> = pieces(&answer.thoughts).into_iter().map(thought).collect();
        deltas.push(json!({"type": "signature_delta", "signature": "EqQB"}));
        let start = json!({"type": "thinking", "thinking": "", "signature": ""});
        block(start, deltas);
    }
    let text = |piece| json!({"type": "text_delta", "text": piece});
    let deltas = pieces(&answer.text).into_iter().map(text).collect();
    block(json!({"type": "text", "text": ""}), deltas);
    for call in &answer.calls {
        let json = |piece| json!({"type": "input_json_delta", "partial_json": piece});
        let deltas = pieces(&call.arguments.to_string())
            .into_iter()
            .map(json)
            .collect();
        let start = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
        block(start, deltas);
    }
    let reason = reason(answer.is_cut, &answer.calls);
    events.push(json!({
        "type": "message_delta", "delta": {"stop_reason": reason},
        "usage": {
            "output_tokens": answer.output,
            "output_tokens_details": {"thinking_tokens": answer.reasoning},
        },
    }));
    events.push(json!({"type": "message_stop"}));
    bytes(&events)
}

pub fn read_stream(events: &[Vec<u8>]) -> Answer {
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
                for key in ["text", "thinking", "partial_json"] {
                    blocks[at]
                        .1
                        .push_str(event["delta"][key].as_str().unwrap_or_default());
                }
            }
            "content_block_stop" => blocks[at].2 = true,
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
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
            "thinking" => block["thinking"] = json!(text),
            "tool_use" => block["input"] = parsed(&json!(text)),
            _ => {}
        }
    }
    message["content"] = blocks.into_iter().map(|block| block.0).collect();
    read_answer(&message)
}

fn read_calls(content: &Value) -> Vec<Call> {
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
