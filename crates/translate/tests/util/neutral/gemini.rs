//! Gemini's `generateContent`, for the second opinion.

use serde_json::{Value, json};

use super::{Answer, Call, Conversation, bytes, count, joined, list, parse, pieces, text_of};

pub fn answer(answer: &Answer) -> Value {
    let mut parts = vec![json!({"text": answer.text})];
    parts.extend(answer.calls.iter().map(write_call));
    response(&parts, answer)
}

fn response(parts: &[Value], answer: &Answer) -> Value {
    let content = json!({"parts": parts, "role": "model"});
    json!({
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
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

pub fn read_answer(value: &Value) -> Answer {
    let usage = &value["usageMetadata"];
    let candidate = &value["candidates"][0];
    assert_eq!(candidate["finishReason"], "STOP");
    let parts = &candidate["content"]["parts"];
    let reasoning = count(&usage["thoughtsTokenCount"]);
    Answer {
        text: joined(parts, "text"),
        calls: read_calls(parts),
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
    let texts = pieces(&answer.text)
        .into_iter()
        .map(|piece| json!({"text": piece}));
    let mut events: Vec<_> = texts
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
