//! OpenAI's Responses, for the second opinion.

use serde_json::{Value, json};

use super::{
    Answer, Call, Conversation, bytes, count, joined, list, parse, parsed, pieces, text_of,
};

pub fn answer(answer: &Answer) -> Value {
    let text = json!({"type": "output_text", "text": answer.text, "annotations": []});
    let mut output = Vec::new();
    if !answer.thoughts.is_empty() {
        let summary = json!({"type": "summary_text", "text": answer.thoughts});
        output.push(json!({"id": "rs_1", "type": "reasoning", "summary": [summary]}));
    }
    output.push(json!({
        "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [text],
    }));
    output.extend(answer.calls.iter().map(write_call));
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m",
        "status": status(answer.is_cut), "error": null,
        "incomplete_details": answer.is_cut.then(|| json!({"reason": "max_output_tokens"})),
        "output": output,
        "usage": {
            "input_tokens": answer.input,
            "input_tokens_details": {"cached_tokens": answer.cached},
            "output_tokens": answer.output,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning},
            "total_tokens": answer.input + answer.output,
        },
    })
}

const fn status(is_cut: bool) -> &'static str {
    if is_cut { "incomplete" } else { "completed" }
}

pub fn read_answer(value: &Value) -> Answer {
    let usage = &value["usage"];
    let is_cut = value["incomplete_details"]["reason"] == "max_output_tokens";
    assert_eq!(value["status"], status(is_cut));
    let items = list(&value["output"]).iter();
    let thoughts = items.map(|item| joined(&item["summary"], "text"));
    Answer {
        thoughts: thoughts.collect(),
        is_cut,
        text: texts(&value["output"], "assistant").concat(),
        calls: read_calls(&value["output"]),
        input: count(&usage["input_tokens"]),
        cached: count(&usage["input_tokens_details"]["cached_tokens"]),
        output: count(&usage["output_tokens"]),
        reasoning: count(&usage["output_tokens_details"]["reasoning_tokens"]),
    }
}

pub fn request(talk: &Conversation) -> Value {
    let results = || talk.calls.iter().zip(&talk.results);
    let mut input = vec![
        json!({"role": "user", "content": talk.question}),
        json!({"role": "assistant", "content": talk.answer}),
    ];
    input.extend(talk.calls.iter().map(write_call));
    input.extend(results().map(|(call, result)| {
        json!({"type": "function_call_output", "call_id": call.id, "output": result})
    }));
    input.push(json!({"role": "user", "content": talk.follow_up}));
    json!({"model": "m", "instructions": talk.system, "input": input})
}

pub fn read_request(value: &Value) -> Conversation {
    let input = &value["input"];
    let [question, follow_up] = &texts(input, "user")[..] else {
        panic!("{input}");
    };
    let results = list(input)
        .iter()
        .filter(|item| item["type"] == "function_call_output");
    Conversation {
        system: texts(input, "system").concat(),
        question: question.clone(),
        answer: texts(input, "assistant").concat(),
        calls: read_calls(input),
        results: results.map(|item| text_of(&item["output"])).collect(),
        follow_up: follow_up.clone(),
    }
}

pub fn stream(answer: &Answer) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let whole = self::answer(answer);
    let begun = json!({"id": "resp_1", "model": "m", "status": "in_progress", "output": []});
    events.push(json!({"type": "response.created", "response": begun}));
    for (at, item) in list(&whole["output"]).iter().enumerate() {
        let (kind, text) = match item["type"].as_str().unwrap() {
            "message" => ("response.output_text", &item["content"][0]["text"]),
            "reasoning" => (
                "response.reasoning_summary_text",
                &item["summary"][0]["text"],
            ),
            _ => ("response.function_call_arguments", &item["arguments"]),
        };
        let mut begun = item.clone();
        begun["arguments"] = json!("");
        begun["content"] = json!([]);
        begun["summary"] = json!([]);
        let added = "response.output_item.added";
        events.push(json!({"type": added, "output_index": at, "item": begun}));
        for piece in pieces(text.as_str().unwrap()) {
            let kind = format!("{kind}.delta");
            events.push(json!({"type": kind, "output_index": at, "delta": piece}));
        }
        let done = "response.output_item.done";
        events.push(json!({"type": done, "output_index": at, "item": item}));
    }
    let end = format!("response.{}", status(answer.is_cut));
    events.push(json!({"type": end, "response": whole}));
    bytes(&events)
}

/// The last event holds the whole answer; the pieces must add up to the same.
pub fn read_stream(events: &[Vec<u8>]) -> Answer {
    let events: Vec<Value> = events.iter().map(|event| parse(event)).collect();
    let mut items: Vec<Value> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        if let Some(sequence) = event["sequence_number"].as_u64() {
            assert_eq!(usize::try_from(sequence).unwrap(), at);
        }
        let index = usize::try_from(count(&event["output_index"])).unwrap();
        let kind = event["type"].as_str().unwrap();
        match kind {
            "response.output_item.added" => {
                assert_eq!(index, texts.len());
                assert_eq!(items.len(), texts.len(), "an item is still open");
                texts.push(String::new());
            }
            "response.output_item.done" => {
                assert_eq!(index, items.len());
                items.push(event["item"].clone());
            }
            _ if kind.rsplit('.').next() == Some("delta") => {
                assert_eq!(index + 1, texts.len());
                texts[index].push_str(event["delta"].as_str().unwrap());
            }
            _ => {}
        }
    }
    let last = events.last().unwrap();
    let status = last["response"]["status"].as_str().unwrap();
    assert_eq!(last["type"], format!("response.{status}"));
    assert_eq!(list(&last["response"]["output"]), items);
    for (item, text) in items.iter().zip(texts) {
        let whole = match item["type"].as_str().unwrap() {
            "message" => &item["content"][0]["text"],
            "reasoning" => &item["summary"][0]["text"],
            _ => &item["arguments"],
        };
        assert_eq!(whole, &json!(text));
    }
    read_answer(&last["response"])
}

fn write_call(call: &Call) -> Value {
    json!({
        "type": "function_call", "id": format!("fc_{}", call.id), "call_id": call.id,
        "name": call.name, "arguments": call.arguments.to_string(),
    })
}

fn read_calls(items: &Value) -> Vec<Call> {
    let calls = list(items)
        .iter()
        .filter(|item| item["type"] == "function_call");
    let call = |item: &Value| Call {
        id: text_of(&item["call_id"]),
        name: text_of(&item["name"]),
        arguments: parsed(&item["arguments"]),
    };
    calls.map(call).collect()
}

/// The texts of the messages of a role, one string for each message.
fn texts(items: &Value, role: &str) -> Vec<String> {
    let messages = list(items).iter().filter(|item| item["role"] == role);
    messages
        .map(|item| joined(&item["content"], "text"))
        .collect()
}
