//! Costs of what happens to every request and to every event of a stream.

use std::hint::black_box;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use keypool_wire::{
    Endpoint, ProviderKind, SseSplitter, StreamMeter, judge, peek, upstream_body, usage_of_answer,
};

fn main() {
    divan::main();
}

/// A request like a coding agent's first: three system blocks, 24 tools, one short question.
fn agent_body(messages: usize) -> Bytes {
    let tool = r#"{"name":"Read","description":"Reads a file from the local filesystem.\n\nUsage:\n- The path must be absolute, not relative\n- By default up to 2000 lines are read from the start of the file\n- \"offset\" and \"limit\" read a part of a long file\n- Lines longer than 2000 characters are cut\n","input_schema":{"type":"object","properties":{"file_path":{"type":"string","description":"The absolute path of the file to read"},"offset":{"type":"number","description":"The line to start from"},"limit":{"type":"number","description":"How many lines"}},"required":["file_path"],"additionalProperties":false}}"#;
    let prose = r"You are an agent that helps with software. Answer briefly.\n - Use the tools you have.\n\n# Style\nWrite code like the code around it.\n".repeat(60);
    let tools = vec![tool; 82].join(",");
    let turn = r#"{"role":"user","content":[{"type":"text","text":"Why does this fail?\n```rust\nfn main() {\n    println!(\"{}\", 1);\n}\n```\n"}]},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_01","name":"Bash","input":{"command":"cargo test","description":"Run the tests"}}]}"#;
    let turns = vec![turn; messages].join(",");
    format!(
        r#"{{"model":"claude-sonnet-4-5","messages":[{turns}],"system":[{{"type":"text","text":"{prose}"}},{{"type":"text","text":"{prose}","cache_control":{{"type":"ephemeral"}}}},{{"type":"text","text":"{prose}"}}],"tools":[{tools}],"metadata":{{"user_id":"u"}},"max_tokens":64000,"stream":true}}"#
    )
    .into()
}

#[divan::bench(args = [1, 200, 2000])]
fn peek_agent_request(bencher: Bencher<'_, '_>, messages: usize) {
    let body = agent_body(messages);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| peek(Endpoint::Messages, black_box(&body)));
}

#[divan::bench]
fn peek_small_chat(bencher: Bencher<'_, '_>) {
    let body = br#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say hi"}],"max_tokens":16}"#;
    bencher.bench(|| peek(Endpoint::ChatCompletions, black_box(body)));
}

#[divan::bench]
fn splice_model(bencher: Bencher<'_, '_>) {
    let body = agent_body(1);
    let Ok(found) = peek(Endpoint::Messages, &body) else {
        unreachable!("the body is valid");
    };
    bencher.bench(|| upstream_body(black_box(&body), &found, Some("claude-haiku-4-5"), false));
}

fn messages_stream() -> Vec<u8> {
    let mut stream = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n".to_vec();
    for _ in 0..1000 {
        stream.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" and then\"}}\n\n");
    }
    stream
}

fn chat_stream() -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..1000 {
        stream.extend_from_slice(b"data: {\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\",\"created\":1741570283,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" Hello\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"aHs83ks\"}\n\n");
    }
    stream
}

/// A thousand events, in chunks of the size of a TLS record.
fn relay(endpoint: Endpoint, stream: &[u8], metered: bool) -> u64 {
    let mut splitter = SseSplitter::new();
    let mut meter = StreamMeter::new(endpoint, false);
    let mut events = 0;
    for chunk in stream.chunks(16 * 1024) {
        let fed = splitter.feed(chunk, |event| {
            events += 1;
            if metered {
                black_box(meter.observe(&event));
            }
        });
        assert!(fed.is_ok(), "the stream is within bounds");
    }
    events
}

#[divan::bench]
fn split_1000_message_events(bencher: Bencher<'_, '_>) {
    let stream = messages_stream();
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench(|| relay(Endpoint::Messages, black_box(&stream), false));
}

#[divan::bench]
fn meter_1000_message_events(bencher: Bencher<'_, '_>) {
    let stream = messages_stream();
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench(|| relay(Endpoint::Messages, black_box(&stream), true));
}

#[divan::bench]
fn meter_1000_chat_chunks(bencher: Bencher<'_, '_>) {
    let stream = chat_stream();
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench(|| relay(Endpoint::ChatCompletions, black_box(&stream), true));
}

#[divan::bench]
fn usage_of_a_plain_answer(bencher: Bencher<'_, '_>) {
    let text = "Two and two are four. ".repeat(100);
    let body = format!(
        r#"{{"id":"msg_01","type":"message","role":"assistant","content":[{{"type":"text","text":"{text}"}}],"usage":{{"input_tokens":10,"output_tokens":500}}}}"#
    );
    bencher.bench(|| usage_of_answer(Endpoint::Messages, black_box(body.as_bytes())));
}

#[divan::bench]
fn judge_a_429(bencher: Bencher<'_, '_>) {
    let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit."},"request_id":"req_1"}"#;
    let headers = [("retry-after", "17")];
    bencher.bench(|| judge(ProviderKind::Anthropic, 429, &headers, black_box(body), 1));
}
