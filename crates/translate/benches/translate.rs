//! What a translation costs: at most 20 µs for a typical request of 10 kB, at most 2 µs for an event
//! of a stream.

#![allow(clippy::expect_used, reason = "the inputs are the bench's own")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use keypool_translate::{Api, ClientRequest, Settings, StreamTranslator, Target};
use serde_json::{Value, json};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// From and to.
const PAIRS: [(Api, Api); 6] = [
    (Api::Messages, Api::ChatCompletions),
    (Api::ChatCompletions, Api::Messages),
    (Api::Messages, Api::Responses),
    (Api::Responses, Api::Messages),
    (Api::Messages, Api::GenerateContent),
    (Api::GenerateContent, Api::Messages),
];

/// A turn of a coding agent in its middle: instructions, tools, files that were read.
fn request(api: Api) -> Vec<u8> {
    let prose =
        "You are a careful engineer.\nRead the file before you change it, and say \"why\".\n";
    let code = "    let mut splitter = SseSplitter::new();\n    splitter.feed(bytes, |event| {\n";
    let schema = json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The absolute path of the file."},
            "offset": {"type": "integer", "minimum": 0},
            "limit": {"type": "integer", "minimum": 1},
        },
        "required": ["path"],
        "additionalProperties": false,
    });
    let tools: Vec<Value> = (0..6)
        .map(|at| json!({"name": format!("tool_{at}"), "description": prose, "input_schema": schema}))
        .collect();
    let mut messages = vec![json!({"role": "user", "content": "Find the bug."})];
    for at in 0..6 {
        let id = format!("toolu_{at}");
        messages.push(json!({"role": "assistant", "content": [
            {"type": "text", "text": "I'll read the next file."},
            {"type": "tool_use", "id": id, "name": "tool_1", "input": {"path": "/src/lib.rs", "offset": at}},
        ]}));
        messages.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": code.repeat(8)},
        ]}));
    }
    let body = json!({
        "model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true,
        "system": prose.repeat(20), "tools": tools, "messages": messages,
    });
    let body = body.to_string().into_bytes();
    if api == Api::Messages {
        return body;
    }
    let request = ClientRequest::read(Api::Messages, &body).expect("a request");
    let target = Target::new(api, "model");
    request.write(&target).expect("a translation").body
}

fn settings(from: Api, to: Api) -> Settings<'static> {
    Settings {
        from,
        to,
        model: "model",
        id: "id",
        created_unix_s: 1,
        stream_usage: true,
        namespaced: &[],
    }
}

#[divan::bench(args = PAIRS)]
fn a_request_of_10_kb(bencher: Bencher<'_, '_>, (from, to): (Api, Api)) {
    let body = request(from);
    let target = Target::new(to, "model");
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let request = ClientRequest::read(from, black_box(&body)).expect("a request");
        request.write(&target).expect("a translation")
    });
}

/// Events that begin an answer, and one that goes on with its text.
fn events(api: Api) -> (Vec<Vec<u8>>, Vec<u8>) {
    let text = " the next few words of an answer";
    let (start, delta) = match api {
        Api::Messages => (
            json!({"type": "message_start", "message": {"id": "m", "model": "m", "content": []}}),
            json!({
                "type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": text},
            }),
        ),
        Api::ChatCompletions => {
            let chunk = |delta: Value| {
                json!({
                    "id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1,
                    "model": "gpt-5.2", "system_fingerprint": "fp_1", "usage": null,
                    "choices": [{
                        "index": 0, "delta": delta, "logprobs": null, "finish_reason": null,
                    }],
                })
            };
            (
                chunk(json!({"role": "assistant"})),
                chunk(json!({"content": text})),
            )
        }
        Api::GenerateContent => {
            let chunk = |text: &str| {
                let content = json!({"parts": [{"text": text}], "role": "model"});
                json!({
                    "candidates": [{"content": content, "index": 0}],
                    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3},
                    "modelVersion": "gemini-3.5-flash", "responseId": "r",
                })
            };
            (chunk("A"), chunk(text))
        }
        Api::Responses => (
            json!({
                "type": "response.created", "sequence_number": 0,
                "response": {"id": "resp_1", "model": "m", "status": "in_progress", "output": []},
            }),
            json!({
                "type": "response.output_text.delta", "sequence_number": 9,
                "item_id": "msg_67", "output_index": 0, "content_index": 0,
                "delta": text, "logprobs": [],
            }),
        ),
    };
    let mut first = vec![start];
    if api == Api::Messages {
        let block = json!({"type": "text", "text": ""});
        first.push(json!({"type": "content_block_start", "index": 0, "content_block": block}));
    }
    let bytes = |event: &Value| event.to_string().into_bytes();
    (first.iter().map(bytes).collect(), bytes(&delta))
}

#[divan::bench(args = PAIRS)]
fn an_event_of_a_stream(bencher: Bencher<'_, '_>, (from, to): (Api, Api)) {
    let (first, delta) = events(from);
    let mut translator = StreamTranslator::new(&settings(from, to));
    let mut out = Vec::new();
    for event in &first {
        translator.event(event, &mut out);
    }
    bencher.bench_local(|| {
        out.clear();
        translator.event(black_box(&delta), &mut out);
        assert!(!out.is_empty());
    });
}
