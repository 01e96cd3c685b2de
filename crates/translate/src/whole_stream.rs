//! A whole answer as the stream that its client asked for.
//!
//! What it prevents: some servers answer a request for a stream with one JSON object. SDKs find no event in it, and
//! tell their caller that the model said nothing. Here nothing of the answer is left out: what has no event of its
//! own stays where the API's streams have it whole.

use serde_json::{Map, Value, json};

use crate::api::Api;

type Members = Map<String, Value>;

/// The events that say what a whole answer says, in the API of both; `None` if it is no answer of that API.
#[must_use]
pub fn answer_as_stream(api: Api, body: &[u8]) -> Option<Vec<u8>> {
    let answer: Members = serde_json::from_slice(body).ok()?;
    let mut events = Events::default();
    match api {
        Api::Messages => messages(answer, &mut events)?,
        Api::ChatCompletions => chat(answer, &mut events)?,
        Api::Responses => responses(&answer, &mut events)?,
        // Each event is an answer there.
        Api::GenerateContent => events.unnamed(&answer.into()),
    }
    Some(events.out)
}

#[derive(Default)]
struct Events {
    out: Vec<u8>,
    count: u64,
}

impl Events {
    fn unnamed(&mut self, data: &Value) {
        // What is written by serde_json in this form has no line ends.
        self.out
            .extend_from_slice(format!("data: {data}\n\n").as_bytes());
    }

    /// An event that is named in its data, too.
    fn named(&mut self, name: &str, mut data: Value) {
        if let Some(members) = data.as_object_mut() {
            members.insert("type".to_owned(), name.into());
        }
        self.out
            .extend_from_slice(format!("event: {name}\n").as_bytes());
        self.unnamed(&data);
    }

    /// The same with its number among the stream's events.
    fn numbered(&mut self, name: &str, mut data: Value) {
        if let Some(members) = data.as_object_mut() {
            members.insert("sequence_number".to_owned(), self.count.into());
        }
        self.count += 1;
        self.named(name, data);
    }
}

/// One chunk that holds all of it.
fn chat(mut chunk: Members, events: &mut Events) -> Option<()> {
    chunk.insert("object".to_owned(), "chat.completion.chunk".into());
    for choice in chunk.get_mut("choices")?.as_array_mut()? {
        let choice = choice.as_object_mut()?;
        let mut delta = choice.remove("message")?;
        let calls = delta.get_mut("tool_calls").and_then(Value::as_array_mut);
        for (index, call) in calls.into_iter().flatten().enumerate() {
            call.as_object_mut()?
                .insert("index".to_owned(), index.into());
        }
        choice.insert("delta".to_owned(), delta);
    }
    events.unnamed(&chunk.into());
    events.out.extend_from_slice(b"data: [DONE]\n\n");
    Some(())
}

fn messages(mut message: Members, events: &mut Events) -> Option<()> {
    let Some(Value::Array(blocks)) = message.insert("content".to_owned(), json!([])) else {
        return None;
    };
    let mut end = Members::new();
    for name in ["stop_reason", "stop_sequence", "stop_details"] {
        if let Some(value) = message.get_mut(name) {
            end.insert(name.to_owned(), value.take());
        }
    }
    let usage = message.get("usage").cloned();
    events.named("message_start", json!({ "message": message }));
    for (index, block) in blocks.into_iter().enumerate() {
        let Value::Object(mut block) = block else {
            return None;
        };
        let deltas = deltas_of(&mut block);
        events.named(
            "content_block_start",
            json!({ "index": index, "content_block": block }),
        );
        for delta in deltas {
            events.named(
                "content_block_delta",
                json!({ "index": index, "delta": delta }),
            );
        }
        events.named("content_block_stop", json!({ "index": index }));
    }
    events.named("message_delta", json!({ "delta": end, "usage": usage }));
    events.named("message_stop", json!({}));
    Some(())
}

/// What of a block comes piece by piece. It is taken out of it.
fn deltas_of(block: &mut Members) -> Vec<Value> {
    let mut deltas = Vec::new();
    for name in ["text", "thinking", "signature"] {
        if let Some(Value::String(text)) = block.get_mut(name) {
            let text = std::mem::take(text);
            deltas.push(json!({ "type": format!("{name}_delta"), name: text }));
        }
    }
    if let Some(input) = block.get_mut("input") {
        let input = std::mem::replace(input, json!({}));
        deltas.push(json!({ "type": "input_json_delta", "partial_json": input.to_string() }));
    }
    deltas
}

fn responses(answer: &Members, events: &mut Events) -> Option<()> {
    let items = answer.get("output")?.as_array()?;
    let mut begun = answer.clone();
    for (name, value) in [
        ("status", "in_progress".into()),
        ("output", json!([])),
        ("usage", Value::Null),
        ("error", Value::Null),
        ("incomplete_details", Value::Null),
    ] {
        begun.insert(name.to_owned(), value);
    }
    events.numbered("response.created", json!({ "response": begun }));
    for (index, item) in items.iter().enumerate() {
        responses_item(index, item.as_object()?, events);
    }
    let end = match answer.get("status").and_then(Value::as_str) {
        Some("failed") => "response.failed",
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    events.numbered(end, json!({ "response": answer }));
    Some(())
}

fn responses_item(index: usize, item: &Members, events: &mut Events) {
    let id = item.get("id").cloned().unwrap_or_default();
    let mut begun = item.clone();
    let parts = match begun.get_mut("content") {
        Some(Value::Array(parts)) if text_of(item, "type") == Some("message") => {
            std::mem::take(parts)
        }
        _ => Vec::new(),
    };
    let arguments = match begun.get_mut("arguments") {
        Some(Value::String(arguments)) => Some(std::mem::take(arguments)),
        _ => None,
    };
    let at = |mut data: Value| {
        if let Some(members) = data.as_object_mut() {
            members.insert("output_index".to_owned(), index.into());
            members.insert("item_id".to_owned(), id.clone());
        }
        data
    };
    events.numbered("response.output_item.added", at(json!({ "item": begun })));
    for (number, part) in parts.iter().enumerate() {
        responses_part(part, events, |mut data| {
            if let Some(members) = data.as_object_mut() {
                members.insert("content_index".to_owned(), number.into());
            }
            at(data)
        });
    }
    if let Some(arguments) = arguments {
        let name = "response.function_call_arguments";
        events.numbered(&format!("{name}.delta"), at(json!({ "delta": arguments })));
        events.numbered(
            &format!("{name}.done"),
            at(json!({ "arguments": arguments })),
        );
    }
    events.numbered("response.output_item.done", at(json!({ "item": item })));
}

/// Part of a message: text, or why there is none.
fn responses_part(part: &Value, events: &mut Events, at: impl Fn(Value) -> Value) {
    let mut begun = part.clone();
    let said = [
        ("text", "response.output_text"),
        ("refusal", "response.refusal"),
    ]
    .into_iter()
    .find_map(|(name, event)| match begun.get_mut(name) {
        Some(Value::String(text)) => Some((name, event, std::mem::take(text))),
        _ => None,
    });
    events.numbered("response.content_part.added", at(json!({ "part": begun })));
    if let Some((name, event, text)) = said {
        let logprobs = json!([]);
        events.numbered(
            &format!("{event}.delta"),
            at(json!({ "delta": text, "logprobs": logprobs })),
        );
        events.numbered(
            &format!("{event}.done"),
            at(json!({ name: text, "logprobs": logprobs })),
        );
    }
    events.numbered("response.content_part.done", at(json!({ "part": part })));
}

fn text_of<'m>(members: &'m Members, name: &str) -> Option<&'m str> {
    members.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of the events of an answer.
    fn events(api: Api, answer: &Value) -> Vec<Value> {
        let stream = answer_as_stream(api, answer.to_string().as_bytes()).unwrap();
        let stream = String::from_utf8(stream).unwrap();
        let lines = stream
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        lines
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    #[test]
    fn a_message_s_blocks_come_one_after_the_other_and_unknown_ones_whole() {
        let search = json!({ "type": "web_search_tool_result", "tool_use_id": "s", "content": [] });
        let answer = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [
                { "type": "thinking", "thinking": "Hm.", "signature": "c2ln" },
                search,
                { "type": "text", "text": "Yes.\n" },
                { "type": "tool_use", "id": "t", "name": "f", "input": { "a": 1 } },
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 9, "output_tokens": 3 },
        });
        let events = events(Api::Messages, &answer);
        let kinds: Vec<&str> = events
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        let (start, delta, stop) = (
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
        );
        let expected = [
            "message_start",
            start,
            delta,
            delta,
            stop,
            start,
            stop,
            start,
            delta,
            stop,
            start,
            delta,
            stop,
            "message_delta",
            "message_stop",
        ];
        assert_eq!(kinds, expected);
        assert_eq!(events[0]["message"]["content"], json!([]));
        assert_eq!(events[0]["message"]["stop_reason"], Value::Null);
        assert_eq!(
            events[2]["delta"],
            json!({ "type": "thinking_delta", "thinking": "Hm." })
        );
        assert_eq!(events[3]["delta"]["signature"], "c2ln");
        assert_eq!(events[5]["content_block"], search);
        assert_eq!(events[8]["delta"]["text"], "Yes.\n");
        assert_eq!(events[10]["content_block"]["input"], json!({}));
        assert_eq!(events[11]["delta"]["partial_json"], "{\"a\":1}");
        assert_eq!(events[13]["delta"]["stop_reason"], "tool_use");
        assert_eq!(events[13]["usage"], answer["usage"]);
    }

    #[test]
    fn a_completion_s_choices_come_in_one_chunk() {
        let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
        let answer = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [
                { "index": 0, "message": { "role": "assistant", "content": "A", "tool_calls": [call, call] },
                    "logprobs": { "content": [] }, "finish_reason": "tool_calls" },
                { "index": 1, "message": { "role": "assistant", "content": "B" }, "finish_reason": "stop" },
            ],
            "usage": { "total_tokens": 12 },
        });
        let chunk = &events(Api::ChatCompletions, &answer)[0];
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["usage"], answer["usage"]);
        assert_eq!(chunk["choices"][0]["delta"]["tool_calls"][1]["index"], 1);
        assert_eq!(chunk["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(chunk["choices"][0]["logprobs"], json!({ "content": [] }));
        assert_eq!(chunk["choices"][1]["delta"]["content"], "B");
    }

    #[test]
    fn a_response_s_items_come_one_after_the_other_and_then_the_whole() {
        let text = json!({ "type": "output_text", "text": "Yes.", "annotations": [] });
        let answer = json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "m",
            "output": [
                { "id": "rs_1", "type": "reasoning", "summary": [] },
                { "id": "msg_1", "type": "message", "role": "assistant", "content": [text] },
                { "id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
            ],
            "usage": { "total_tokens": 12 },
        });
        let events = events(Api::Responses, &answer);
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
        }
        let find = |kind: &str| {
            let mut found = events.iter().filter(|event| event["type"] == kind);
            found.next().unwrap()
        };
        assert_eq!(events[0]["response"]["output"], json!([]));
        assert_eq!(find("response.content_part.added")["part"]["text"], "");
        assert_eq!(find("response.output_text.delta")["delta"], "Yes.");
        assert_eq!(find("response.output_text.delta")["item_id"], "msg_1");
        assert_eq!(
            find("response.function_call_arguments.delta")["delta"],
            "{}"
        );
        let done = events
            .iter()
            .filter(|event| event["type"] == "response.output_item.done")
            .map(|event| &event["item"]);
        assert!(done.eq(answer["output"].as_array().unwrap()));
        assert_eq!(events.last().unwrap()["type"], "response.completed");
        assert_eq!(events.last().unwrap()["response"], answer);
    }

    #[test]
    fn what_is_no_answer_has_no_stream() {
        for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
            for body in [
                "{}",
                "[]",
                "{\"choices\":[{}],\"content\":[1],\"output\":[1]}",
            ] {
                assert_eq!(
                    answer_as_stream(api, body.as_bytes()),
                    None,
                    "{api:?} {body}"
                );
            }
        }
    }
}
