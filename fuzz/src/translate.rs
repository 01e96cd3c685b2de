//! Translations: whatever a client or a provider sends, what goes to the other side is well formed in the
//! other side's API and of bounded size, and a stream ends once.

use keypool_translate::{
    AnthropicVersion, Api, ChatFlavour, ClientRequest, Failure, ServerTools, Settings,
    StreamTranslator, Target, translate_answer, without_foreign_state,
};
use keypool_wire::{SseEvent, SseSplitter};
use serde_json::Value;

use crate::json;

/// What one byte of a body may become: the shortest items of a list grow most when the other API has more
/// to say of each.
const GROWTH_MAX: usize = 24;

/// What is written whatever was read.
const FRAME_BYTES_MAX: usize = 4096;

/// Takes the bytes for a request, for an answer and for a stream, from each API into each.
pub fn check(data: &[u8]) {
    for from in Api::ALL {
        request(from, data);
        uncut(from, data);
        for to in Api::ALL {
            answer(from, to, data);
            stream(from, to, data);
        }
    }
    failure(data);
}

/// Targets of an API that differ in all that makes a difference.
fn targets(api: Api) -> [Target<'static>; 3] {
    let models = match api {
        Api::Messages => ["claude-sonnet-4-5", "claude-opus-4-8", "claude-3-5-haiku"],
        Api::ChatCompletions | Api::Responses => ["gpt-5.2", "gpt-4o", "deepseek-chat"],
        Api::GenerateContent => ["gemini-3.5-flash", "gemini-2.5-pro", "gemma"],
    };
    let [first, second, third] = models.map(|model| Target::new(api, model));
    [
        first,
        Target {
            server_tools: ServerTools::Drop,
            chat: ChatFlavour::Compatible,
            ..second
        },
        Target {
            server_tools: ServerTools::Drop,
            anthropic_version: AnthropicVersion::V20261021,
            stream_options: false,
            output_tokens_max: Some(4_000),
            ..third
        },
    ]
}

fn request(from: Api, data: &[u8]) {
    let Ok(request) = ClientRequest::read(from, data) else {
        return;
    };
    for target in Api::ALL.into_iter().flat_map(targets) {
        let Ok(translated) = request.write(&target) else {
            continue;
        };
        let body = &translated.body;
        let object = object(body);
        if target.api != Api::GenerateContent {
            assert_eq!(text(&object, "/model"), target.model);
        }
        assert_bounded(body, data.len());
        let again = ClientRequest::read(target.api, body);
        assert!(again.is_ok(), "{again:?} of {}", lossy(body));
        let losses = translated.losses.to_string();
        assert!(losses.chars().all(|c| (' '..='~').contains(&c)), "{losses}");
    }
}

/// What is cut out of a body for its own API leaves a body.
fn uncut(api: Api, data: &[u8]) {
    if let Some(cut) = without_foreign_state(api, data) {
        object(&cut);
        assert!(cut.len() <= data.len());
        assert_eq!(without_foreign_state(api, &cut), None, "{}", lossy(&cut));
    }
}

const fn settings(from: Api, to: Api) -> Settings<'static> {
    Settings {
        from,
        to,
        model: "model",
        id: "id",
        created_unix_s: 1_764_000_000,
        stream_usage: true,
        namespaced: &[],
    }
}

fn answer(from: Api, to: Api, data: &[u8]) {
    match translate_answer(&settings(from, to), data) {
        Ok(answer) => {
            object(&answer);
            assert_bounded(&answer, data.len());
            let again = translate_answer(&settings(to, from), &answer);
            assert!(again.is_ok(), "{again:?} of {}", lossy(&answer));
        }
        Err(failure) => assert_failure(&failure, to),
    }
}

fn failure(data: &[u8]) {
    for status in [None, Some(400), Some(529)] {
        let failure = Failure::read(status, data);
        for api in Api::ALL {
            assert_failure(&failure, api);
        }
    }
}

fn assert_failure(failure: &Failure, api: Api) {
    assert!(failure.status >= 400, "{failure:?}");
    let body = failure.body(api);
    object(&body);
    assert!(body.len() <= 2 * FRAME_BYTES_MAX, "{}", body.len());
}

/// The stream as a whole, and cut off at some place: what the client has by then is the same, but for the
/// end.
fn stream(from: Api, to: Api, data: &[u8]) {
    let Some(whole) = run(from, to, data) else {
        return;
    };
    assert_stream(to, &whole.ended);
    // Each event of a writer may repeat ids and names that the provider chose.
    assert_bounded(&whole.ended, (data.len() + 1) * (whole.events + 1));
    let seed = data.iter().fold(0, |sum: usize, byte| {
        sum.wrapping_mul(31).wrapping_add((*byte).into())
    });
    let (begun, _) = data.split_at(seed % (data.len() + 1));
    let Some(cut) = run(from, to, begun) else {
        return;
    };
    assert_stream(to, &cut.ended);
    assert!(whole.ended.starts_with(&cut.running));
}

struct Stream {
    events: usize,
    /// What the client has before the provider closes.
    running: Vec<u8>,
    /// What it has in the end.
    ended: Vec<u8>,
}

/// Feeds a stream's bytes as the gateway does: the events that are whole. `None` for an event beyond all bounds.
fn run(from: Api, to: Api, data: &[u8]) -> Option<Stream> {
    let mut translator = StreamTranslator::new(&settings(from, to));
    let (mut events, mut out) = (0, Vec::new());
    let mut splitter = SseSplitter::new();
    splitter
        .feed(data, |event| {
            events += 1;
            translator.event(event.data, &mut out);
        })
        .ok()?;
    let running = out.clone();
    translator.end(&mut out);
    assert!(translator.is_over());
    let ended = out.clone();
    translator.event(b"{}", &mut out);
    translator.fail(&Failure::read(None, b""), &mut out);
    translator.end(&mut out);
    assert_eq!(ended, out, "after the end");
    Some(Stream {
        events,
        running,
        ended,
    })
}

/// A stream of the API: each event an object, its name that of its type, and one end or one error, last.
fn assert_stream(api: Api, stream: &[u8]) {
    let mut splitter = SseSplitter::new();
    let mut ends = 0;
    let mut open = false;
    let mut see = |event: SseEvent<'_>| {
        if event.is_comment_only {
            return;
        }
        assert_eq!(ends, 0, "after the end: {}", lossy(stream));
        if api == Api::ChatCompletions && event.data == b"[DONE]" {
            ends += 1;
            return;
        }
        let object = object(event.data);
        let kind = text(&object, "/type");
        match api {
            Api::Messages | Api::Responses => assert_eq!(event.name, kind.as_bytes()),
            Api::ChatCompletions | Api::GenerateContent => assert_eq!(event.name, b""),
        }
        match kind {
            "content_block_start" => assert!(!std::mem::replace(&mut open, true)),
            "content_block_delta" => assert!(open),
            "content_block_stop" => assert!(std::mem::take(&mut open)),
            "message_stop" => assert!(!open),
            _ => {}
        }
        let is_end = match api {
            Api::Messages => matches!(kind, "message_stop" | "error"),
            Api::Responses => matches!(
                kind,
                "response.completed" | "response.incomplete" | "response.failed" | "error"
            ),
            Api::ChatCompletions => has(&object, "/error"),
            Api::GenerateContent => {
                has(&object, "/error")
                    || has(&object, "/candidates/0/finishReason")
                    || has(&object, "/promptFeedback")
            }
        };
        ends += usize::from(is_end);
    };
    let fed = splitter.feed(stream, &mut see);
    assert!(fed.is_ok(), "an event too large");
    assert_eq!(fed, Ok(stream.len()), "an event without an end");
    assert_eq!(ends, 1, "{}", lossy(stream));
}

fn object(text: &[u8]) -> Value {
    let value = json::value(text);
    assert!(
        value.as_ref().is_some_and(Value::is_object),
        "{}",
        lossy(text)
    );
    value.unwrap_or_default()
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}

fn has(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .is_some_and(|value| !value.is_null())
}

fn assert_bounded(written: &[u8], read: usize) {
    let bound = FRAME_BYTES_MAX.saturating_add(read.saturating_mul(GROWTH_MAX));
    assert!(written.len() <= bound, "{} of {read}", written.len());
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
