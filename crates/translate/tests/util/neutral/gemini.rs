//! Gemini's `generateContent`, for the second opinion.

use serde_json::{Value, json};

use super::{Answer, Call, Conversation, bytes, count, joined, list, parse, pieces, text_of};

pub fn answer(answer: &Answer) -> Value {
    let mut parts = Vec::new();
    if !answer.thoughts.is_empty() {
        parts.push(json!({"text": answer.thoughts, "thought": true}));
    }
    parts.push(json!({"text": answer.text}));
    parts.extend(answer.calls.iter().map(write_call));
    response(&parts, answer)
}

fn response(parts: &[Value], answer: &Answer) -> Value {
    let content = json!({"parts": parts, "role": "model"});
    json!({
        "candidates": [{"content": content, "finishReason": reason(answer.is_cut), "index": 0}],
        "usageMetadata": {
            "promptTokenCount": answer.input,
            "cachedContentTokenCount": answer.cached,
            "candidatesTokenCount": answer.output - answer.reasoning,
            "thoughtsTokenCount": answer.reasoning,
            "totalTokenCount": answer.input + answer.output,
        },
        "modelVersion": "m", "responseId": "r1",
    })
}

const fn reason(is_cut: bool) -> &'static str {
    if is_cut { "MAX_TOKENS" } else { "STOP" }
}

pub fn read_answer(value: &Value) -> Answer {
    let usage = &value["usageMetadata"];
    let candidate = &value["candidates"][0];
    let is_cut = candidate["finishReason"] == "MAX_TOKENS";
    assert_eq!(candidate["finishReason"], reason(is_cut));
    let parts = &candidate["content"]["parts"];
    let texts = |is_thought: bool| {
        let parts = list(parts).iter();
        let parts = parts.filter(|part| (part["thought"] == true) == is_thought);
        parts.map(|part| text_of(&part["text"])).collect()
    };
    let reasoning = count(&usage["thoughtsTokenCount"]);
    Answer {
        thoughts: texts(true),
        text: texts(false),
        calls: read_calls(parts),
        is_cut,
        input: count(&usage["promptTokenCount"]),
        cached: count(&usage["cachedContentTokenCount"]),
        output: count(&usage["candidatesTokenCount"]) + reasoning,
        reasoning,
    }
}

pub fn request(talk: &Conversation) -> Value {
    let mut model = vec![json!({"text": talk.answer})];
    model.extend(talk.calls.iter().map(write_call));
    let mut user: Vec<_> = talk
        .calls
        .iter()
        .zip(&talk.results)
        .map(|(call, result)| {
            let response = json!({"output": result});
            json!({"functionResponse": {"id": call.id, "name": call.name, "response": response}})
        })
        .collect();
    user.push(json!({"text": talk.follow_up}));
    json!({
        "systemInstruction": {"parts": [{"text": talk.system}]},
        "contents": [
            {"role": "user", "parts": [{"text": talk.question}]},
            {"role": "model", "parts": model},
            {"role": "user", "parts": user},
        ],
    })
}

pub fn read_request(value: &Value) -> Conversation {
    let [question, answer, rest] = list(&value["contents"]) else {
        panic!("{value}");
    };
    let results = list(&rest["parts"]).iter();
    let results = results.filter(|part| part["functionResponse"].is_object());
    Conversation {
        system: joined(&value["systemInstruction"]["parts"], "text"),
        question: joined(&question["parts"], "text"),
        answer: joined(&answer["parts"], "text"),
        calls: read_calls(&answer["parts"]),
        results: results
            .map(|part| text_of(&part["functionResponse"]["response"]["output"]))
            .collect(),
        follow_up: joined(&rest["parts"], "text"),
    }
}

/// A chunk for each piece of the text, one for each call, one for the end.
pub fn stream(answer: &Answer) -> Vec<Vec<u8>> {
    let thoughts = pieces(&answer.thoughts).into_iter();
    let thoughts = thoughts.map(|piece| json!({"text": piece, "thought": true}));
    let texts = pieces(&answer.text).into_iter();
    let texts = texts.map(|piece| json!({"text": piece}));
    let mut events: Vec<_> = thoughts
        .chain(texts)
        .chain(answer.calls.iter().map(write_call))
        .map(|part| {
            let content = json!({"parts": [part], "role": "model"});
            json!({"candidates": [{"content": content}], "modelVersion": "m", "responseId": "r1"})
        })
        .collect();
    events.push(response(&[], answer));
    bytes(&events)
}

pub fn read_stream(events: &[Vec<u8>]) -> Answer {
    let mut whole = json!(null);
    let mut parts = Vec::new();
    for event in events {
        assert!(whole.is_null(), "a chunk after the end");
        let chunk = parse(event);
        parts.extend(
            list(&chunk["candidates"][0]["content"]["parts"])
                .iter()
                .cloned(),
        );
        if chunk["candidates"][0]["finishReason"].is_string() {
            whole = chunk;
        }
    }
    whole["candidates"][0]["content"]["parts"] = parts.into();
    read_answer(&whole)
}

fn write_call(call: &Call) -> Value {
    json!({"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}})
}

fn read_calls(parts: &Value) -> Vec<Call> {
    let calls = list(parts).iter().map(|part| &part["functionCall"]);
    calls
        .filter(|call| call.is_object())
        .map(|call| Call {
            id: text_of(&call["id"]),
            name: text_of(&call["name"]),
            arguments: call["args"].clone(),
        })
        .collect()
}
