//! OpenAI's Chat Completions, for the second opinion.

use serde_json::{Value, json};

use super::{
    Answer, Call, Conversation, bytes, count, joined, list, parse, parsed, pieces, text_of,
};

pub fn answer(answer: &Answer) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text});
    if !answer.calls.is_empty() {
        message["tool_calls"] = write_calls(&answer.calls);
    }
    if !answer.thoughts.is_empty() {
        message["reasoning_content"] = json!(answer.thoughts);
    }
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{
            "index": 0, "message": message,
            "finish_reason": reason(answer.is_cut, &answer.calls),
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

fn reason(is_cut: bool, calls: &[Call]) -> &'static str {
    match (is_cut, calls) {
        (true, _) => "length",
        (false, []) => "stop",
        (false, _) => "tool_calls",
    }
}

pub fn read_answer(value: &Value) -> Answer {
    let usage = &value["usage"];
    let message = &value["choices"][0]["message"];
    let finish_reason = &value["choices"][0]["finish_reason"];
    let is_cut = finish_reason == "length";
    assert_eq!(finish_reason, reason(is_cut, &read_calls(message)));
    Answer {
        thoughts: text_of(&message["reasoning_content"]),
        is_cut,
        text: text_of(&message["content"]),
        calls: read_calls(message),
        input: count(&usage["prompt_tokens"]),
        cached: count(&usage["prompt_tokens_details"]["cached_tokens"]),
        output: count(&usage["completion_tokens"]),
        reasoning: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
    }
}

pub fn request(talk: &Conversation) -> Value {
    let results = || talk.calls.iter().zip(&talk.results);
    let mut messages = vec![
        json!({"role": "system", "content": talk.system}),
        json!({"role": "user", "content": talk.question}),
        json!({
            "role": "assistant", "content": talk.answer,
            "tool_calls": write_calls(&talk.calls),
        }),
    ];
    messages.extend(
        results().map(
            |(call, result)| json!({"role": "tool", "tool_call_id": call.id, "content": result}),
        ),
    );
    messages.push(json!({"role": "user", "content": talk.follow_up}));
    json!({"model": "m", "max_completion_tokens": 1000, "messages": messages})
}

pub fn read_request(value: &Value) -> Conversation {
    let messages = list(&value["messages"]);
    let [system, question, answer, results @ .., follow_up] = messages else {
        panic!("{messages:?}");
    };
    Conversation {
        system: joined(&system["content"], "text"),
        question: joined(&question["content"], "text"),
        answer: joined(&answer["content"], "text"),
        calls: read_calls(answer),
        results: results
            .iter()
            .map(|r| joined(&r["content"], "text"))
            .collect(),
        follow_up: joined(&follow_up["content"], "text"),
    }
}

pub fn stream(answer: &Answer) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut chunk = |delta: Value, reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        events.push(json!({"id": "c", "model": "m", "choices": [choice]}));
    };
    chunk(json!({"role": "assistant", "content": ""}), Value::Null);
    for piece in pieces(&answer.thoughts) {
        chunk(json!({"reasoning_content": piece}), Value::Null);
    }
    for piece in pieces(&answer.text) {
        chunk(json!({"content": piece}), Value::Null);
    }
    for (at, call) in answer.calls.iter().enumerate() {
        let function = json!({"name": call.name, "arguments": ""});
        let first = json!({"index": at, "id": call.id, "type": "function", "function": function});
        chunk(json!({"tool_calls": [first]}), Value::Null);
        for piece in pieces(&call.arguments.to_string()) {
            let more = json!({"index": at, "function": {"arguments": piece}});
            chunk(json!({"tool_calls": [more]}), Value::Null);
        }
    }
    chunk(json!({}), json!(reason(answer.is_cut, &answer.calls)));
    let whole = self::answer(answer);
    events.push(json!({"id": "c", "model": "m", "choices": [], "usage": whole["usage"]}));
    let mut events = bytes(&events);
    events.push(b"[DONE]".to_vec());
    events
}

pub fn read_stream(events: &[Vec<u8>]) -> Answer {
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, b"[DONE]");
    let (mut thoughts, mut text) = (String::new(), String::new());
    let mut calls: Vec<Value> = Vec::new();
    let mut usage = json!(null);
    let mut finished = Value::Null;
    for chunk in chunks {
        let chunk = parse(chunk);
        if !chunk["usage"].is_null() {
            assert!(finished.is_string() && usage.is_null());
            usage = chunk["usage"].clone();
        }
        for choice in list(&chunk["choices"]) {
            assert!(finished.is_null(), "a choice after its end");
            let delta = &choice["delta"];
            text.push_str(delta["content"].as_str().unwrap_or_default());
            thoughts.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
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
            finished = choice["finish_reason"].clone();
        }
    }
    let message = json!({"content": text, "reasoning_content": thoughts, "tool_calls": calls});
    let choice = json!({"message": message, "finish_reason": finished});
    let whole = json!({"choices": [choice], "usage": usage});
    read_answer(&whole)
}

fn write_calls(calls: &[Call]) -> Value {
    let call = |call: &Call| {
        let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
        json!({"id": call.id, "type": "function", "function": function})
    };
    calls.iter().map(call).collect()
}

fn read_calls(message: &Value) -> Vec<Call> {
    let call = |call: &Value| Call {
        id: text_of(&call["id"]),
        name: text_of(&call["function"]["name"]),
        arguments: parsed(&call["function"]["arguments"]),
    };
    list(&message["tool_calls"]).iter().map(call).collect()
}
