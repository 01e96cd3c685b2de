use proptest::prelude::*;

use super::*;
use crate::provider::ProviderKind;
use crate::sse::SseSplitter;
use crate::taxonomy::{KeyVerdict, RequestVerdict, Scope};

/// Runs a whole stream through a meter.
fn run(endpoint: Endpoint, injected: bool, stream: &str) -> (StreamMeter, Vec<EventKind>) {
    let mut splitter = SseSplitter::new();
    let mut meter = StreamMeter::new(endpoint, injected);
    let mut kinds = Vec::new();
    splitter
        .feed(stream.as_bytes(), |event| kinds.push(meter.observe(&event)))
        .unwrap();
    splitter
        .finish(|event| kinds.push(meter.observe(&event)))
        .unwrap();
    (meter, kinds)
}

fn names(kinds: &[EventKind]) -> String {
    kinds
        .iter()
        .map(|kind| match kind {
            EventKind::KeepAlive => 'k',
            EventKind::Preamble => 'p',
            EventKind::Content => 'c',
            EventKind::UsageOnly => 'u',
            EventKind::Error(_) => 'e',
            EventKind::End => 'E',
            EventKind::Garbage => 'g',
        })
        .collect()
}

fn error_of(kinds: &[EventKind]) -> &StreamError {
    kinds
        .iter()
        .find_map(|kind| match kind {
            EventKind::Error(error) => Some(error),
            EventKind::KeepAlive
            | EventKind::Preamble
            | EventKind::Content
            | EventKind::UsageOnly
            | EventKind::End
            | EventKind::Garbage => None,
        })
        .expect("there is an error event")
}

const MESSAGES: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","content":[],"usage":{"input_tokens":25,"cache_creation_input_tokens":100,"cache_read_input_tokens":2000,"output_tokens":1}}}

event: ping
data: {"type": "ping"}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello, how are you"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":10}}

event: message_delta
data: {"type":"message_delta","delta":{},"usage":{"output_tokens":15,"cache_read_input_tokens":2001}}

event: message_stop
data: {"type":"message_stop"}

"#;

#[test]
fn a_messages_stream_is_read_to_its_end() {
    let (meter, kinds) = run(Endpoint::Messages, false, MESSAGES);
    assert_eq!(names(&kinds), "pkccccccE");
    assert_eq!(
        meter.usage(),
        Some(Usage {
            input_tokens: 25,
            output_tokens: 15,
            cache_read_tokens: 2001,
            cache_write_tokens: 100
        })
    );
    assert!(meter.is_complete() && meter.has_content());
    assert_eq!(meter.end(), Some(StreamEnd::Complete));
}

#[test]
fn the_output_count_of_message_start_is_never_billed() {
    let cut = MESSAGES.split("event: content_block_stop").next().unwrap();
    let (meter, _) = run(Endpoint::Messages, false, cut);
    assert_eq!(meter.usage(), None);
    assert!(!meter.is_complete());
    let tally = meter.tally(999);
    assert_eq!(
        (tally.input, tally.output),
        (UsageSource::Measured, UsageSource::Estimated)
    );
    assert_eq!(
        (tally.usage.input_tokens, tally.usage.cache_read_tokens),
        (25, 2000),
        "the provider's own"
    );
    // 18 bytes of text and 7 of arguments.
    assert_eq!(tally.guesses(), (0, 7));
    assert!(tally.is_estimated());
}

#[test]
fn a_stream_cut_before_its_first_event_is_estimated_from_the_request() {
    let (meter, kinds) = run(Endpoint::Messages, false, "");
    assert!(kinds.is_empty() && !meter.is_complete() && !meter.has_content());
    assert_eq!(meter.tally(999), UsageTally::estimated(999, 0));
}

#[test]
fn usage_is_estimated_unless_the_provider_stated_it() {
    let (meter, _) = run(Endpoint::Messages, false, MESSAGES);
    let tally = meter.tally(999);
    assert_eq!((tally.usage.input_tokens, tally.guesses()), (25, (0, 0)));
    assert!(!tally.is_estimated());
}

#[test]
fn a_figure_before_the_end_counts_with_what_was_written_after_it() {
    let (told, _) = MESSAGES.split_once("event: message_stop").unwrap();
    let more = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"text_delta\",\"text\":\"and more\"}}\n\n";
    let (meter, _) = run(Endpoint::Messages, false, told);
    assert!(!meter.is_complete());
    assert_eq!(
        meter.tally(999),
        UsageTally::measured(meter.usage().unwrap())
    );
    let (meter, _) = run(Endpoint::Messages, false, &format!("{told}{more}"));
    let tally = meter.tally(999);
    // 15 stated, and 8 bytes since.
    assert_eq!(tally.usage.output_tokens, 17);
    assert_eq!(
        (tally.input, tally.output),
        (UsageSource::Measured, UsageSource::Estimated)
    );
    // The end makes it a figure for the whole.
    let (meter, _) = run(
        Endpoint::Messages,
        false,
        &format!("{told}{more}event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"),
    );
    assert_eq!(meter.tally(999).usage.output_tokens, 15);
    assert!(!meter.tally(999).is_estimated());
}

#[test]
fn events_without_names_are_known_by_their_type() {
    let bare: String = MESSAGES
        .lines()
        .filter(|line| !line.starts_with("event:"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let (meter, kinds) = run(Endpoint::Messages, false, &bare);
    assert_eq!(names(&kinds), "pkccccccE");
    assert_eq!(meter.usage().map(|usage| usage.output_tokens), Some(15));
}

#[test]
fn unknown_events_are_relayed_as_content() {
    let (_, kinds) = run(Endpoint::Messages, false, "event: new_thing\ndata: {}\n\n");
    assert_eq!(names(&kinds), "c");
}

#[test]
fn an_overload_as_the_first_event_is_an_error_and_blames_no_key() {
    let stream = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let (meter, kinds) = run(Endpoint::Messages, false, stream);
    assert_eq!(names(&kinds), "e");
    assert!(!meter.is_complete());
    assert_eq!(meter.end(), Some(StreamEnd::Failed));
    let error = error_of(&kinds);
    assert_eq!(
        (error.status, error.code.as_str()),
        (529, "overloaded_error")
    );
    assert_eq!(error.message, "Overloaded");
    let verdict = error.judge(ProviderKind::Anthropic, 0);
    assert_eq!(
        (verdict.key, verdict.request),
        (KeyVerdict::Overloaded, RequestVerdict::NextKey)
    );
}

#[test]
fn an_error_after_content_is_an_error_too() {
    let cut = MESSAGES.split("event: content_block_stop").next().unwrap();
    let stream = format!(
        "{cut}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"api_error\",\"message\":\"Internal server error\"}}}}\n\n"
    );
    let (meter, kinds) = run(Endpoint::Messages, false, &stream);
    assert!(names(&kinds).ends_with("cce"));
    assert!(!meter.is_complete() && meter.has_content());
    assert_eq!(error_of(&kinds).status, 500);
}

fn chat(rest: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","model":"gpt-4o","choices":[{{"index":0,"delta":{{"role":"assistant","content":"","refusal":null}},"logprobs":null,"finish_reason":null}}],"usage":null}}

data: {{"id":"chatcmpl-1","model":"gpt-4o","choices":[{{"index":0,"delta":{{"content":"Hi \"usage\" error"}},"finish_reason":null}}],"usage":null,"obfuscation":"abc"}}

data: {{"id":"chatcmpl-1","model":"gpt-4o","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":null}}

{rest}"#
    )
}

const CHAT_USAGE: &str = r#"data: {"id":"chatcmpl-1","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":2}}}

data: [DONE]

"#;

#[test]
fn the_usage_chunk_is_dropped_only_if_the_gateway_asked_for_it() {
    for (injected, expected) in [(true, "pccuE"), (false, "pcccE")] {
        let (meter, kinds) = run(Endpoint::ChatCompletions, injected, &chat(CHAT_USAGE));
        assert_eq!(names(&kinds), expected);
        assert_eq!(
            meter.usage(),
            Some(Usage {
                input_tokens: 36,
                output_tokens: 7,
                cache_read_tokens: 64,
                cache_write_tokens: 0
            })
        );
        assert!(meter.is_complete());
    }
}

#[test]
fn a_usage_chunk_with_a_choice_is_counted_and_kept() {
    let usage = r#"data: {"id":"gen-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":4}}

"#;
    let (meter, kinds) = run(Endpoint::ChatCompletions, true, &chat(usage));
    assert_eq!(names(&kinds), "pccc");
    assert_eq!(meter.usage().map(|usage| usage.output_tokens), Some(4));
}

#[test]
fn groqs_usage_is_found_in_its_own_place() {
    let usage = r#"data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.1,"prompt_tokens":12,"completion_tokens":3}}}

"#;
    let (meter, kinds) = run(Endpoint::ChatCompletions, true, usage);
    assert_eq!(names(&kinds), "c");
    assert_eq!(meter.usage().map(|usage| usage.input_tokens), Some(12));
}

#[test]
fn a_stream_without_usage_is_complete_and_estimated() {
    let (meter, kinds) = run(Endpoint::ChatCompletions, false, &chat("data: [DONE]\n\n"));
    assert_eq!(names(&kinds), "pccE");
    assert!(meter.is_complete());
    // 18 bytes as written.
    assert_eq!(meter.tally(50), UsageTally::estimated(50, 5));
}

#[test]
fn a_chat_stream_that_stops_before_its_finish_reason_is_broken() {
    let whole = chat("");
    let (meter, _) = run(Endpoint::ChatCompletions, false, &whole);
    assert!(
        meter.is_complete(),
        "all content has come, though no end marker"
    );
    let cut = whole.rsplit_once("data:").unwrap().0;
    let (meter, kinds) = run(Endpoint::ChatCompletions, false, cut);
    assert_eq!(names(&kinds), "pc");
    assert!(!meter.is_complete());
}

#[test]
fn an_answer_of_several_choices_is_whole_when_all_of_them_are() {
    let finish = |index: u32| {
        format!(
            r#"data: {{"choices":[{{"finish_reason":"stop","delta":{{"content":"x"}},"index":{index}}}]}}"#
        )
    };
    let both = r#"data: {"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}"#;
    let (meter, _) = run(
        Endpoint::ChatCompletions,
        false,
        &format!("{both}\n\n{}\n\n", finish(0)),
    );
    assert!(!meter.is_complete());
    let stream = format!("{both}\n\n{}\n\n{}\n\n", finish(0), finish(1));
    let (meter, kinds) = run(Endpoint::ChatCompletions, false, &stream);
    assert!(meter.is_complete());
    assert_eq!(names(&kinds), "ccc");
}

#[test]
fn preambles_of_every_vendor_do_not_commit() {
    for chunk in [
        r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}"#,
    ] {
        let stream = format!(": OPENROUTER PROCESSING\n\ndata: {chunk}\n\n");
        let (_, kinds) = run(Endpoint::ChatCompletions, true, &stream);
        assert_eq!(names(&kinds), "kp", "{chunk}");
    }
}

#[test]
fn everything_a_model_can_say_first_is_content() {
    for delta in [
        r#"{"role":"assistant","content":"H"}"#,
        r#"{"content":null,"reasoning_content":"hm"}"#,
        r#"{"reasoning":"hm"}"#,
        r#"{"refusal":"I cannot"}"#,
        r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}"#,
        r#"{"audio":{"id":"audio_1"}}"#,
    ] {
        let stream = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
        let (_, kinds) = run(Endpoint::ChatCompletions, false, &stream);
        assert_eq!(names(&kinds), "c", "{delta}");
    }
}

#[test]
fn an_error_chunk_is_an_error_first_and_later() {
    let error = r#"data: {"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}

"#;
    let (meter, kinds) = run(Endpoint::ChatCompletions, true, error);
    assert_eq!(names(&kinds), "e");
    assert_eq!(meter.end(), Some(StreamEnd::Failed));
    assert_eq!(
        error_of(&kinds).judge(ProviderKind::OpenAi, 0).key,
        KeyVerdict::OutOfCredit {
            until_unix_micros: None,
            scope: Scope::Group
        }
    );

    let mid = r#"data: {"id":"gen-1","error":{"code":502,"message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}

"#;
    let head = chat("");
    let stream = format!("{}{mid}", head.rsplit_once("data:").unwrap().0);
    let (meter, kinds) = run(Endpoint::ChatCompletions, true, &stream);
    assert_eq!(names(&kinds), "pce");
    assert!(!meter.is_complete());
    assert_eq!(error_of(&kinds).status, 502);
}

#[test]
fn a_null_error_is_none() {
    let chunk = r#"data: {"error":null,"choices":[{"delta":{"content":"x"}}]}"#;
    let (_, kinds) = run(Endpoint::ChatCompletions, false, &format!("{chunk}\n\n"));
    assert_eq!(names(&kinds), "c");
}

fn responses(last: &str) -> String {
    format!(
        r#"event: response.created
data: {{"type":"response.created","response":{{"id":"resp_1","usage":null}}}}

event: response.in_progress
data: {{"type":"response.in_progress","response":{{"id":"resp_1"}}}}

event: response.output_item.added
data: {{"type":"response.output_item.added","item":{{}}}}

event: response.output_text.delta
data: {{"type":"response.output_text.delta","delta":"Hello you","sequence_number":4}}

{last}"#
    )
}

#[test]
fn a_responses_stream_ends_with_each_of_its_terminal_events() {
    for (name, end) in [
        ("response.completed", StreamEnd::Complete),
        ("response.incomplete", StreamEnd::Complete),
        ("response.failed", StreamEnd::Failed),
    ] {
        let last = format!(
            r#"event: {name}
data: {{"type":"{name}","response":{{"id":"resp_1","error":{{"code":"server_error","message":"oops"}},"usage":{{"input_tokens":50,"input_tokens_details":{{"cached_tokens":20}},"output_tokens":9,"total_tokens":59}}}}}}

"#
        );
        let (meter, kinds) = run(Endpoint::Responses, false, &responses(&last));
        let expected = if end == StreamEnd::Complete {
            "ppccE"
        } else {
            "ppcce"
        };
        assert_eq!(names(&kinds), expected);
        assert_eq!(meter.end(), Some(end));
        assert_eq!(meter.is_complete(), end == StreamEnd::Complete);
        let usage = meter.usage().unwrap();
        assert_eq!((usage.input_tokens, usage.cache_read_tokens), (30, 20));
        assert_eq!(usage.output_tokens, 9);
    }
}

#[test]
fn a_responses_stream_can_fail_with_an_error_event() {
    for data in [
        r#"{"type":"error","code":"rate_limit_exceeded","message":"Try again in 2s.","param":null,"sequence_number":1}"#,
        r#"{"type":"error","error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"Try again in 2s."}}"#,
    ] {
        let (meter, kinds) = run(
            Endpoint::Responses,
            false,
            &format!("event: error\ndata: {data}\n\n"),
        );
        assert_eq!(names(&kinds), "e");
        assert_eq!(meter.end(), Some(StreamEnd::Failed));
        let error = error_of(&kinds);
        assert_eq!(
            (error.status, error.code.as_str()),
            (429, "rate_limit_exceeded")
        );
        assert_eq!(
            error.judge(ProviderKind::OpenAi, 0).key,
            KeyVerdict::RateLimited {
                until_unix_micros: Some(2_000_000),
                scope: Scope::GroupModel
            }
        );
    }
}

#[test]
fn a_responses_stream_cut_in_the_middle_is_estimated() {
    let (meter, _) = run(Endpoint::Responses, false, &responses(""));
    assert!(!meter.is_complete());
    assert_eq!(meter.tally(1).usage.output_tokens, 3);
}

#[test]
fn an_error_message_with_a_key_in_it_is_masked() {
    let stream = r#"data: {"error":{"message":"Incorrect API key provided: sk-proj-abcdefghijklmnopqrstuvwx1234","code":"invalid_api_key"}}

"#;
    let (_, kinds) = run(Endpoint::ChatCompletions, false, stream);
    let error = error_of(&kinds);
    assert_eq!(error.message, "Incorrect API key provided: sk-p****1234");
    assert_eq!(
        error.judge(ProviderKind::OpenAi, 0).key,
        KeyVerdict::Invalid { scope: Scope::Key }
    );
}

#[test]
fn pings_of_every_vendor_say_nothing_about_the_answer() {
    for ping in [
        ": keep-alive",
        "event: ping\ndata: {\"type\": \"ping\"}",
        "event: ping\ndata: 2026-11-22",
        "data: {\"type\": \"ping\"}",
        "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":3}",
        "data:",
    ] {
        let (meter, kinds) = run(Endpoint::Messages, false, &format!("{ping}\n\n"));
        assert_eq!(names(&kinds), "k", "{ping}");
        assert!(!meter.has_content());
        for endpoint in [Endpoint::ChatCompletions, Endpoint::Responses] {
            if !ping.starts_with("data: {") {
                let (_, kinds) = run(endpoint, false, &format!("{ping}\n\n"));
                assert_eq!(names(&kinds), "k", "{endpoint:?}: {ping}");
            }
        }
    }
}

#[test]
fn what_no_client_can_read_is_garbage() {
    for (endpoint, garbage) in [
        (
            Endpoint::Messages,
            "event: content_block_delta\ndata: {\"type\":\"content_",
        ),
        (Endpoint::Messages, "event: message_stop\ndata:"),
        (Endpoint::Messages, "data: upstream error"),
        (Endpoint::ChatCompletions, "data: {\"choices\":[{]}"),
        (Endpoint::ChatCompletions, "data: [1]"),
        (Endpoint::ChatCompletions, "event: vendor\ndata: hello"),
        (
            Endpoint::Responses,
            "event: response.output_text.delta\ndata: {\"delta\":\"}",
        ),
        (Endpoint::Responses, "data: null"),
    ] {
        let (meter, kinds) = run(endpoint, true, &format!("{garbage}\n\n"));
        assert_eq!(names(&kinds), "g", "{endpoint:?}: {garbage}");
        assert!(!meter.is_complete());
    }
    for endpoint in [
        Endpoint::Messages,
        Endpoint::ChatCompletions,
        Endpoint::Responses,
    ] {
        for garbage in [
            "<html><body>502 Bad Gateway</body></html>",
            "{\"error\":null}",
        ] {
            let (_, kinds) = run(endpoint, true, &format!("{garbage}\n\n"));
            assert_eq!(names(&kinds), "g", "{endpoint:?}: {garbage}");
        }
    }
}

#[test]
fn clients_pass_over_events_of_a_name_they_do_not_know_whatever_is_in_them() {
    for endpoint in [Endpoint::Messages, Endpoint::Responses] {
        let (_, kinds) = run(endpoint, false, "event: vendor\ndata: hello\n\n");
        assert_eq!(names(&kinds), "c", "{endpoint:?}");
    }
}

#[test]
fn a_provider_that_gave_up_without_saying_why_is_an_error() {
    let gave_up = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}

"#;
    let (meter, kinds) = run(Endpoint::ChatCompletions, true, gave_up);
    assert_eq!(names(&kinds), "e");
    assert_eq!(error_of(&kinds).status, 500);
    assert!(!meter.is_complete());
    assert_eq!(meter.usage().map(|usage| usage.output_tokens), Some(2));
}

#[test]
fn an_error_in_a_whole_answer_is_found_wherever_the_dialects_put_it() {
    for (body, status, code) in [
        (
            r#"{"error":{"code":429,"message":"slow down","metadata":{"error_type":"rate_limit_exceeded"}}}"#,
            429,
            "rate_limit_exceeded",
        ),
        (
            r#"{"id":"gen-1","choices":[{"error":{"code":502,"message":"gone"},"finish_reason":"error"}]}"#,
            502,
            "",
        ),
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            529,
            "overloaded_error",
        ),
        (
            r#"{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"oops"},"output":[]}"#,
            500,
            "server_error",
        ),
        (r#"{"error":"model crashed"}"#, 500, ""),
    ] {
        let error = error_of_answer(body.as_bytes()).expect(body);
        assert_eq!(
            (error.status, error.code.as_str()),
            (status, code),
            "{body}"
        );
    }
    for body in [
        r#"{"id":"resp_1","status":"completed","error":null,"output":[]}"#,
        r#"{"choices":[{"message":{"content":"\"error\": no"}}]}"#,
        r#"{"choices":[{"error":null,"message":{"content":"the word error"}}]}"#,
        r#"{"content":[{"type":"tool_use","input":{"error":"x"}}]}"#,
        "nothing",
    ] {
        assert_eq!(error_of_answer(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn responses_events_are_numbered_as_they_come() {
    let (meter, _) = run(Endpoint::Responses, false, &responses(": comment\n\n"));
    let (longer, _) = run(
        Endpoint::Responses,
        false,
        &responses("event: response.x\ndata: {}\n\n"),
    );
    assert_eq!(
        longer.next_sequence_number(),
        meter.next_sequence_number() + 1
    );
}

proptest! {
    #[test]
    fn any_event_is_observed_without_panic(
        name in prop::sample::select(vec![
            "", "message_start", "message_delta", "content_block_delta", "error",
            "response.completed", "response.failed", "response.output_text.delta",
        ]),
        data in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..120),
            prop::sample::select(vec![
                "{\"usage\":{}}", "{\"usage\":[1]}", "{\"usage\":{\"output_tokens\":-1}}",
                "{\"choices\":[[[{\"delta\":{\"x\"", "{\"error\":\"x\"}", "{\"error\":[]}", "[[{}]]",
                "{\"message\":7}", "{\"response\":{\"usage\":{\"input_tokens\":1e300}}}",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ],
    ) {
        for endpoint in Endpoint::ALL {
            let mut meter = StreamMeter::new(endpoint, true);
            let event = SseEvent {
                name: name.as_bytes(),
                data: &data,
                is_comment_only: false,
                foreign: None,
                end: 0,
            };
            if let EventKind::Error(error) = meter.observe(&event) {
                prop_assert!((400..600).contains(&error.status));
                _ = error.judge(ProviderKind::Gemini, u64::MAX);
            }
            _ = meter.tally(1);
        }
    }
}
