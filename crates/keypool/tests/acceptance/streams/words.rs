//! What the providers say, event by event, and what it is to count.

use serde_json::{Value, json};

use crate::support::Api;

/// The prompt in the provider's own count: what was new, and what came from its cache.
pub(super) const INPUT: u64 = 25;
pub(super) const CACHED: u64 = 100;
/// The whole answer in the provider's own count.
pub(super) const OUTPUT: u64 = 7;

/// The text of the whole answer, in two pieces.
pub(super) const TEXT: [&str; 2] = ["Hello, ", "world!"];

/// A guess at the tokens of the text.
pub(super) const GUESSED_OUTPUT: u64 = 4;

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn typed(data: &Value) -> String {
    event(data["type"].as_str().unwrap(), data)
}

fn data(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// What comes before the text.
pub(super) fn preamble(api: Api) -> String {
    match api {
        Api::Messages => {
            let usage = json!({"input_tokens": INPUT, "cache_read_input_tokens": CACHED, "output_tokens": 1});
            let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": api.model(),
                "content": [], "stop_reason": null, "usage": usage});
            typed(&json!({"type": "message_start", "message": message}))
        }
        Api::Chat => data(
            &json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": api.model(),
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}),
        ),
        Api::Responses => typed(&json!({"type": "response.created", "sequence_number": 0,
            "response": {"id": "resp_1", "status": "in_progress", "usage": null}})),
        Api::Gemini => data(
            &json!({"usageMetadata": {"promptTokenCount": INPUT + CACHED,
            "cachedContentTokenCount": CACHED}, "modelVersion": api.model()}),
        ),
        Api::Embeddings => unreachable!("it has no streams"),
    }
}

/// A piece of text.
pub(super) fn piece(api: Api, text: &str) -> String {
    match api {
        Api::Messages => typed(&json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": text}})),
        Api::Chat => data(
            &json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": api.model(),
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}),
        ),
        Api::Responses => typed(
            &json!({"type": "response.output_text.delta", "sequence_number": 1,
            "delta": text}),
        ),
        Api::Gemini => data(&gemini_chunk(text)),
        Api::Embeddings => unreachable!("it has no streams"),
    }
}

/// A chunk of Gemini's that goes on.
fn gemini_chunk(text: &str) -> Value {
    let content = json!({"role": "model", "parts": [{"text": text}]});
    json!({"candidates": [{"content": content, "index": 0}]})
}

/// The same as the last one.
fn gemini_end(text: &str) -> Value {
    let mut chunk = gemini_chunk(text);
    chunk["candidates"][0]["finishReason"] = "STOP".into();
    chunk["usageMetadata"] = usage(Api::Gemini);
    chunk
}

/// Preamble and all of the text.
pub(super) fn begun(api: Api) -> String {
    let text = TEXT.map(|text| piece(api, text)).concat();
    preamble(api) + &text
}

/// What stands between the text and the end marker, usage among it. Of the Responses API it is nothing.
pub(super) fn closing(api: Api) -> String {
    match api {
        Api::Messages => typed(
            &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": OUTPUT}}),
        ),
        Api::Chat => finish() + &chat_usage(),
        Api::Responses | Api::Embeddings | Api::Gemini => String::new(),
    }
}

/// The chunk that finishes the one choice of a chat completion.
pub(super) fn finish() -> String {
    data(
        &json!({"id": "chatcmpl-1", "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    )
}

/// The chunk with the usage of a chat completion, which a client did not ask for.
pub(super) fn chat_usage() -> String {
    data(
        &json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": usage(Api::Chat)}),
    )
}

/// The dialect's end marker.
pub(super) fn marker(api: Api) -> String {
    match api {
        Api::Messages => typed(&json!({"type": "message_stop"})),
        Api::Chat => "data: [DONE]\n\n".to_owned(),
        Api::Responses => typed(&json!({"type": "response.completed", "sequence_number": 3,
            "response": {"id": "resp_1", "status": "completed", "usage": usage(api)}})),
        Api::Gemini => data(&gemini_end("")),
        Api::Embeddings => unreachable!("it has no streams"),
    }
}

/// A whole stream.
pub(super) fn whole(api: Api) -> String {
    begun(api) + &closing(api) + &marker(api)
}

/// A stream as the client gets it that did not ask for the usage of a chat completion.
pub(super) fn shown(stream: &str) -> String {
    stream.replace(&chat_usage(), "")
}

/// The usage object of the whole answer.
pub(super) fn usage(api: Api) -> Value {
    match api {
        Api::Messages => {
            json!({"input_tokens": INPUT, "cache_read_input_tokens": CACHED, "output_tokens": OUTPUT})
        }
        Api::Chat | Api::Embeddings => {
            json!({"prompt_tokens": INPUT + CACHED, "completion_tokens": OUTPUT,
            "prompt_tokens_details": {"cached_tokens": CACHED}})
        }
        Api::Responses => json!({"input_tokens": INPUT + CACHED, "output_tokens": OUTPUT,
            "input_tokens_details": {"cached_tokens": CACHED}}),
        Api::Gemini => json!({"promptTokenCount": INPUT + CACHED, "candidatesTokenCount": OUTPUT,
            "cachedContentTokenCount": CACHED}),
    }
}

/// A whole answer that is no stream.
pub(super) fn plain(api: Api) -> Value {
    let text = TEXT.concat();
    if api == Api::Gemini {
        return gemini_end(&text);
    }
    let mut answer = match api {
        Api::Messages => {
            json!({"id": "msg_1", "type": "message", "role": "assistant", "model": api.model(),
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"})
        }
        Api::Chat => json!({"id": "chatcmpl-1", "object": "chat.completion", "model": api.model(),
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}),
        Api::Responses => {
            json!({"id": "resp_1", "object": "response", "status": "completed", "error": null,
            "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]})
        }
        Api::Embeddings | Api::Gemini => {
            json!({"object": "list", "data": [{"index": 0, "embedding": [0.5]}]})
        }
    };
    answer["usage"] = usage(api);
    answer
}

/// An error in the words of a stream.
pub(super) fn error(api: Api, code: &str) -> String {
    match api {
        Api::Messages => {
            typed(&json!({"type": "error", "error": {"type": code, "message": "Sorry."}}))
        }
        Api::Chat => {
            data(&json!({"error": {"message": "Sorry.", "type": "server_error", "code": code}}))
        }
        Api::Responses => typed(
            &json!({"type": "error", "code": code, "message": "Sorry.", "param": null,
            "sequence_number": 3}),
        ),
        Api::Gemini => data(&json!({"error": {"code": 500, "message": "Sorry.", "status": code}})),
        Api::Embeddings => unreachable!("it has no streams"),
    }
}

/// The code with which a provider says that it failed.
pub(super) fn failed(api: Api) -> &'static str {
    match api {
        Api::Messages => "api_error",
        Api::Chat | Api::Responses | Api::Embeddings => "server_error",
        Api::Gemini => "INTERNAL",
    }
}

/// The code with which a provider says that it has too much to do.
pub(super) fn overloaded(api: Api) -> &'static str {
    match api {
        Api::Messages => "overloaded_error",
        Api::Chat | Api::Responses | Api::Embeddings => "server_is_overloaded",
        Api::Gemini => "UNAVAILABLE",
    }
}
